#include "gateway/certs/path.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include "absl/strings/str_cat.h"
#include "gateway/certs/name_constraints.h"
#include "gateway/certs/policy.h"

namespace gatehouse::certs {
namespace {

Finding Wrong(Reason reason, const CertificateRef& certificate, std::string detail) {
  return Finding{reason, certificate, std::move(detail)};
}

Finding CheckCritical(const CertificateRef& c) {
  const std::string& unknown = c->extensions().unknown_critical;
  if (unknown.empty()) return {};
  return Wrong(Reason::kConstraintViolation, c, absl::StrCat("critical extension ", unknown, " is not known"));
}

// Section 6.1.4 l and m, from below: self-issued certificates do not count, and neither does the last of the path.
Finding CheckPathLengths(const Path& path) {
  size_t below = 0;
  for (size_t i = 1; i < path.size(); ++i) {
    const std::optional<size_t>& allowed = path[i]->extensions().path_length;
    if (allowed && below > *allowed) {
      return Wrong(Reason::kConstraintViolation, path[i],
                   absl::StrCat("allows ", *allowed, " authorities below it, and has ", below));
    }
    if (!path[i]->self_issued()) ++below;
  }
  return {};
}

}  // namespace

bool AnchorMayIssue(const Certificate& anchor) {
  const Extensions& e = anchor.extensions();
  if (e.has_basic_constraints) return e.ca;
  return X509_get_version(anchor.x509()) == X509_VERSION_3 ? e.key_cert_sign : anchor.self_issued();
}

Finding CheckKey(const CertificateRef& certificate, const Strength& strength) {
  const int bits = certificate->key_bits();
  switch (certificate->key_family()) {
    case KeyFamily::kRsa:
      if (bits < strength.min_rsa_bits) {
        return Wrong(Reason::kWeakKeyOrSignature, certificate,
                     absl::StrCat("RSA key of ", bits, " bits, at least ", strength.min_rsa_bits));
      }
      if (bits > strength.max_rsa_bits) {
        return Wrong(Reason::kWeakKeyOrSignature, certificate,
                     absl::StrCat("RSA key of ", bits, " bits, at most ", strength.max_rsa_bits));
      }
      if (!certificate->modest_exponent()) {
        return Wrong(Reason::kWeakKeyOrSignature, certificate,
                     absl::StrCat("RSA key with a public exponent of more than ", kMaxExponentBits, " bits, or one that is even or 1"));
      }
      return {};
    case KeyFamily::kEc: {
      if (bits < strength.min_ec_bits) {
        return Wrong(Reason::kWeakKeyOrSignature, certificate,
                     absl::StrCat("curve of ", bits, " bits, at least ", strength.min_ec_bits));
      }
      int explicit_curve = 0;
      EVP_PKEY_get_int_param(certificate->key(), OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                             &explicit_curve);
      ERR_clear_error();
      if (explicit_curve != 0) {
        return Wrong(Reason::kWeakKeyOrSignature, certificate,
                     "curve given by parameters, not by name");
      }
      return {};
    }
    case KeyFamily::kEd25519:
    case KeyFamily::kEd448:
      return {};
    case KeyFamily::kOther:
      break;
  }
  if (strength.allow_dsa && certificate->key() != nullptr &&
      EVP_PKEY_get_base_id(certificate->key()) == EVP_PKEY_DSA) {
    return {};
  }
  return Wrong(Reason::kWeakKeyOrSignature, certificate, "key of a kind that is not accepted");
}

// RSASSA-PSS has a second digest, that of the mask.
bool AcceptsPss(const Certificate& certificate, const Strength& strength) {
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(nullptr, &algorithm, certificate.x509());
  unsigned char* der = nullptr;
  const int size = i2d_X509_ALGOR(algorithm, &der);
  if (size <= 0) return false;
  const absl::StatusOr<SignedMessage> message = SignedMessage::Create(
      "", absl::string_view(reinterpret_cast<const char*>(der), static_cast<size_t>(size)), "");
  OPENSSL_free(der);
  return message.ok() && message->Accepts(strength).ok();
}

Finding CheckSignatureAlgorithm(const CertificateRef& certificate, const Strength& strength) {
  const int algorithm = certificate->signature_nid();
  if (algorithm == NID_ED25519 || algorithm == NID_ED448 ||
      (AcceptsDigest(certificate->signature_digest_nid(), strength) &&
       (algorithm != NID_rsassaPss || AcceptsPss(*certificate, strength)))) {
    return {};
  }
  return Wrong(Reason::kWeakKeyOrSignature, certificate,
               absl::StrCat("signed with ", OBJ_nid2ln(certificate->signature_nid())));
}

Finding CheckIssuer(const CertificateRef& ca, bool anchor, const Strength& strength) {
  const Extensions& e = ca->extensions();
  // What cannot be read could be a constraint.
  if (!e.unreadable.empty()) return Wrong(Reason::kMalformedCertificate, ca, e.unreadable);
  if (!(anchor ? AnchorMayIssue(*ca) : ca->is_ca())) {  // section 6.1.4 k
    return Wrong(Reason::kConstraintViolation, ca, "not a certificate authority (basicConstraints)");
  }
  if (e.has_key_usage && !e.key_cert_sign) {  // section 6.1.4 n
    return Wrong(Reason::kConstraintViolation, ca, "key usage does not allow it to sign certificates");
  }
  if (!anchor && !ca->defect().empty()) return Wrong(Reason::kMalformedCertificate, ca, ca->defect());
  if (Finding f = CheckCritical(ca); !f.ok()) return f;
  if (Finding f = CheckKey(ca, strength); !f.ok()) return f;
  return anchor ? Finding{} : CheckSignatureAlgorithm(ca, strength);  // an anchor's own signature proves nothing
}

Finding PathVerifier::Verify(const Path& path) {
  const size_t last = path.size() - 1;
  const CertificateRef& leaf = path.front();
  if (Finding f = CheckCritical(leaf); !f.ok()) return f;
  if (Finding f = CheckKey(leaf, strength_); !f.ok()) return f;
  if (Finding f = CheckSignatureAlgorithm(leaf, strength_); !f.ok()) return f;
  for (size_t i = 1; i <= last; ++i) {
    if (Finding f = CheckIssuer(path[i], i == last, strength_); !f.ok()) return f;
  }
  if (Finding f = CheckPathLengths(path); !f.ok()) return f;
  for (size_t i = last; i-- > 0;) {
    if (Finding f = Signature(path[i + 1], path[i]); !f.ok()) return f;
  }
  for (size_t i = last; i > 0; --i) {
    if (!path[i]->extensions().has_name_constraints) continue;
    for (size_t below = i; below-- > 0;) {
      if (below > 0 && path[below]->self_issued()) continue;  // section 6.1.3 b, c
      if (Finding f = Names(path[i], path[below], below == 0); !f.ok()) return f;
    }
  }
  return CheckPolicies(path, policy_, work_);
}

bool PathVerifier::Fails(const Path& below, const Certificate& issuer) const {
  const auto failed = [](const auto& memory, const Certificate& upper, const Certificate& lower) {
    const auto it = memory.find({&upper, &lower});
    return it != memory.end() && !it->second.ok();
  };
  if (failed(signatures_, issuer, *below.back())) return true;
  const std::optional<size_t>& allowed = issuer.extensions().path_length;
  size_t authorities = 0;
  for (size_t i = 0; i < below.size(); ++i) {
    const bool counts = i > 0 && !below[i]->self_issued();
    authorities += counts ? 1 : 0;
    if ((i == 0 || counts) && failed(names_, issuer, *below[i])) return true;
  }
  return allowed && authorities > *allowed;
}

Finding PathVerifier::Signature(const CertificateRef& issuer, const CertificateRef& subject) {
  const auto [it, added] = signatures_.try_emplace(Pair(issuer.get(), subject.get()));
  Finding& found = it->second;
  if (!added) return found;
  if (++work_->signatures > Work::kMaxSignatures) {
    return found = Wrong(Reason::kConstraintViolation, subject, "more signatures than are verified for one judgement");
  }
  if (subject->IsSignedBy(*issuer)) return found;
  const absl::string_view wanted = subject->extensions().authority_key_id;
  const absl::string_view had = issuer->extensions().subject_key_id;
  if (!wanted.empty() && !had.empty() && wanted != had) {
    return found = Wrong(Reason::kUnknownIssuer, subject,
                         absl::StrCat("issued by another authority named \"", issuer->subject(),
                                      "\": neither its key identifier nor its signature is this one's"));
  }
  return found = Wrong(Reason::kBadSignature, subject, absl::StrCat("not signed by \"", issuer->subject(), "\""));
}

Finding PathVerifier::Names(const CertificateRef& issuer, const CertificateRef& subject, bool end) {
  const auto [it, added] = names_.try_emplace(Pair(issuer.get(), subject.get()));
  if (!added) return it->second;
  std::string wrong = NameConstraintViolation(*issuer, *subject, end, work_);
  if (!wrong.empty()) {
    it->second = Wrong(Reason::kConstraintViolation, subject,
                       absl::StrCat(wrong, " (name constraints of \"", issuer->subject(), "\")"));
  }
  return it->second;
}

}  // namespace gatehouse::certs
