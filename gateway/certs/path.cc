#include "gateway/certs/path.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {
namespace {

constexpr size_t kMaxEdges = 512;

// Depth-first search for anchors, in a fixed order, within a budget.
class Search {
 public:
  Search(absl::Span<const CertificateRef> presented, const TrustStore& store) : store_(store) {
    for (const CertificateRef& c : presented) {
      if (!store.IsAnchor(*c)) presented_.push_back(c);
    }
    // A fixed order makes the verdict independent of the order in which the client sent them.
    std::sort(
        presented_.begin(), presented_.end(),
        [](const CertificateRef& a, const CertificateRef& b) { return a->sha256() < b->sha256(); });
    const auto same = [](const CertificateRef& a, const CertificateRef& b) {
      return a->sha256() == b->sha256();
    };
    presented_.erase(std::unique(presented_.begin(), presented_.end(), same), presented_.end());
  }

  std::vector<Path> Run(const CertificateRef& leaf) {
    path_.push_back(leaf);
    Extend();
    // Shorter paths cost less and are what most callers mean.
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Path& a, const Path& b) { return a.size() < b.size(); });
    return std::move(found_);
  }

 private:
  bool Exhausted() const { return found_.size() >= kMaxCandidates || edges_ >= kMaxEdges; }

  bool WasPresented(const Certificate& certificate) const {
    return std::any_of(presented_.begin(), presented_.end(), [&](const CertificateRef& c) {
      return c->sha256() == certificate.sha256();
    });
  }

  static bool MayIssue(const CertificateRef& issuer, const CertificateRef& subject) {
    if (X509_NAME_cmp(X509_get_subject_name(issuer->x509()),
                      X509_get_issuer_name(subject->x509())) != 0) {
      return false;
    }
    const int answer = X509_check_issued(issuer->x509(), subject->x509());
    ERR_clear_error();
    return answer != X509_V_ERR_AKID_SKID_MISMATCH &&
           answer != X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH;
  }

  void Extend() {
    const CertificateRef current = path_.back();
    for (const CertificateRef& anchor : store_.AnchorsFor(*current)) {
      if (Exhausted()) return;
      ++edges_;
      if (!MayIssue(anchor, current)) continue;
      found_.push_back(path_);
      found_.back().push_back(anchor);
    }
    if (path_.size() + 1 >= kMaxPathLength) return;
    for (const CertificateRef& next : presented_) Try(current, next);
    for (const CertificateRef& next : store_.IntermediatesFor(*current)) {
      if (!WasPresented(*next)) Try(current, next);
    }
  }

  void Try(const CertificateRef& current, const CertificateRef& next) {
    if (Exhausted()) return;
    ++edges_;
    if (next->self_signed() || store_.IsAnchor(*next) || !MayIssue(next, current)) return;
    for (const CertificateRef& seen : path_) {
      if (seen->sha256() == next->sha256()) return;
    }
    path_.push_back(next);
    Extend();
    path_.pop_back();
  }

  const TrustStore& store_;
  std::vector<CertificateRef> presented_;
  Path path_;
  std::vector<Path> found_;
  size_t edges_ = 0;
};

Finding Wrong(Reason reason, const CertificateRef& certificate, std::string detail) {
  return Finding{reason, certificate, std::move(detail)};
}

Reason ReasonOf(int error) {
  switch (error) {
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
    case X509_V_ERR_SIGNATURE_ALGORITHM_MISMATCH:
      return Reason::kBadSignature;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
    case X509_V_ERR_OUT_OF_MEM:
    case X509_V_ERR_UNSPECIFIED:
      return Reason::kUnknownIssuer;
    default:
      return Reason::kConstraintViolation;
  }
}

// RFC 5280 section 4.2.1.10: neither permitted nor excluded subtrees is not a constraint but a
// mistake.
bool HasEmptyNameConstraints(X509* x) {
  if (X509_get_ext_by_NID(x, NID_name_constraints, -1) < 0) return false;
  auto* constraints =
      static_cast<NAME_CONSTRAINTS*>(X509_get_ext_d2i(x, NID_name_constraints, nullptr, nullptr));
  ERR_clear_error();
  if (constraints == nullptr) return true;
  const bool empty = sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees) <= 0 &&
                     sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees) <= 0;
  NAME_CONSTRAINTS_free(constraints);
  return empty;
}

// What OpenSSL lets pass, or reports as another error.
Finding CheckIssuer(const CertificateRef& ca, bool anchor) {
  const uint32_t usage = X509_get_key_usage(ca->x509());
  if (usage != UINT32_MAX && (usage & KU_KEY_CERT_SIGN) == 0) {
    return Wrong(Reason::kConstraintViolation, ca,
                 "key usage does not allow it to sign certificates");
  }
  if (anchor) return {};
  if (!ca->defect().empty()) return Wrong(Reason::kMalformedCertificate, ca, ca->defect());
  if (!ca->is_ca()) {
    return Wrong(Reason::kConstraintViolation, ca,
                 "not a certificate authority (basicConstraints)");
  }
  if (HasEmptyNameConstraints(ca->x509())) {
    return Wrong(Reason::kMalformedCertificate, ca, "name constraints are empty or cannot be read");
  }
  return {};
}

// A stack that does not own its certificates.
void FreeBorrowingStack(STACK_OF(X509) * stack) { sk_X509_free(stack); }
using BorrowingStack = std::unique_ptr<STACK_OF(X509), OpenSslDeleter<FreeBorrowingStack>>;

X509_STORE* EmptyStore() {
  static X509_STORE* const store = X509_STORE_new();
  return store;
}

}  // namespace

std::vector<Path> CandidatePaths(const CertificateRef& leaf,
                                 absl::Span<const CertificateRef> presented,
                                 const TrustStore& store) {
  return Search(presented, store).Run(leaf);
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

Finding CheckSignatureAlgorithm(const CertificateRef& certificate, const Strength& strength) {
  switch (certificate->signature_digest_nid()) {
    case NID_sha224:
    case NID_sha256:
    case NID_sha384:
    case NID_sha512:
    case NID_sha512_224:
    case NID_sha512_256:
    case NID_sha3_224:
    case NID_sha3_256:
    case NID_sha3_384:
    case NID_sha3_512:
      return {};
    case NID_sha1:
      if (strength.allow_sha1) return {};
      break;
    case NID_undef:
      if (certificate->signature_nid() == NID_ED25519 || certificate->signature_nid() == NID_ED448)
        return {};
      break;
    default:
      break;
  }
  return Wrong(Reason::kWeakKeyOrSignature, certificate,
               absl::StrCat("signed with ", OBJ_nid2ln(certificate->signature_nid())));
}

Finding VerifyPath(const Path& path, const Strength& strength, const PolicyOptions& policy) {
  const size_t last = path.size() - 1;
  for (size_t i = 0; i <= last; ++i) {
    if (i > 0) {
      if (Finding f = CheckIssuer(path[i], i == last); !f.ok()) return f;
    }
    if (Finding f = CheckKey(path[i], strength); !f.ok()) return f;
    if (i == last) break;  // an anchor is trusted as it is: its own signature proves nothing
    if (Finding f = CheckSignatureAlgorithm(path[i], strength); !f.ok()) return f;
  }

  BorrowingStack middle(sk_X509_new_null());
  BorrowingStack trusted(sk_X509_new_null());
  UniqueStoreCtx ctx(X509_STORE_CTX_new());
  for (size_t i = 1; i < last; ++i) sk_X509_push(middle.get(), path[i]->x509());
  sk_X509_push(trusted.get(), path[last]->x509());
  if (ctx == nullptr ||
      X509_STORE_CTX_init(ctx.get(), EmptyStore(), path[0]->x509(), middle.get()) != 1) {
    return Wrong(Reason::kUnknownIssuer, path[0], TakeOpenSslError());
  }
  X509_STORE_CTX_set0_trusted_stack(ctx.get(), trusted.get());
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(ctx.get());
  // Exactly this path: what is in the middle is used before the anchor, and no other chain is
  // looked for.
  X509_VERIFY_PARAM_clear_flags(param, X509_V_FLAG_TRUSTED_FIRST);
  X509_VERIFY_PARAM_set_flags(
      param, X509_V_FLAG_NO_ALT_CHAINS | X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_POLICY_CHECK);
  // RFC 5280 section 6.1.1 c; without any OpenSSL's set is empty.
  if (policy.initial_set.empty()) X509_VERIFY_PARAM_add0_policy(param, OBJ_nid2obj(NID_any_policy));
  for (const std::string& octets : policy.initial_set) {
    std::string der = {6, static_cast<char>(octets.size())};
    der += octets;
    const auto* p = reinterpret_cast<const unsigned char*>(der.data());
    X509_VERIFY_PARAM_add0_policy(param, d2i_ASN1_OBJECT(nullptr, &p, static_cast<long>(der.size())));
  }
  if (policy.require_explicit) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_EXPLICIT_POLICY);
  if (policy.inhibit_mapping) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_INHIBIT_MAP);
  if (policy.inhibit_any) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_INHIBIT_ANY);
  // Only for an anchor that is an intermediate: the flag would also admit a leaf among the anchors,
  // which the caller has excluded.
  if (!path[last]->self_signed()) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_auth_level(param, 0);  // strength was checked above, by our own rules
  X509_VERIFY_PARAM_set_depth(param, static_cast<int>(kMaxPathLength));

  const int verified = X509_verify_cert(ctx.get());
  const int error = X509_STORE_CTX_get_error(ctx.get());
  ERR_clear_error();
  if (verified != 1 || error != X509_V_OK) {
    const auto depth = static_cast<size_t>(std::max(0, X509_STORE_CTX_get_error_depth(ctx.get())));
    return Wrong(ReasonOf(error), path[std::min(depth, last)],
                 X509_verify_cert_error_string(error));
  }
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(ctx.get());
  bool same = sk_X509_num(chain) == static_cast<int>(path.size());
  for (size_t i = 0; same && i < path.size(); ++i) {
    same = X509_cmp(sk_X509_value(chain, static_cast<int>(i)), path[i]->x509()) == 0;
  }
  if (!same)
    return Wrong(Reason::kUnknownIssuer, path[0], "the path that was verified is another one");
  return {};
}

}  // namespace gatehouse::certs
