#include "gateway/certs/ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/openssl.h"
#include "gateway/base/status.h"
#include "gateway/certs/der.h"
#include "gateway/certs/names.h"
#include "gateway/certs/path.h"

namespace gatehouse::certs {
namespace {

using UniqueRequest = std::unique_ptr<OCSP_REQUEST, OpenSslDeleter<OCSP_REQUEST_free>>;

// id-pkix-ocsp is 1.3.6.1.5.5.7.48.1.
constexpr absl::string_view kBasicResponse = "\x2b\x06\x01\x05\x05\x07\x30\x01\x01";
constexpr absl::string_view kNonce = "\x2b\x06\x01\x05\x05\x07\x30\x01\x02";
constexpr absl::string_view kSha1 = "\x2b\x0e\x03\x02\x1a";
constexpr absl::string_view kSha256("\x60\x86\x48\x01\x65\x03\x04\x02\x01", 9);

constexpr size_t kMaxResponses = 128;
constexpr size_t kMaxCertificates = 8;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("OCSP answer cannot be read: ", what));
}
absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("OCSP answer is not accepted: ", what));
}

absl::string_view View(const unsigned char* data, size_t size) {
  return absl::string_view(reinterpret_cast<const char*>(data), size);
}

template <size_t N>
absl::string_view View(const std::array<uint8_t, N>& digest) {
  return View(digest.data(), N);
}

// The content of a certificate's subjectPublicKey, without the count of unused bits.
absl::string_view PublicKeyOctets(const Certificate& certificate) {
  const ASN1_BIT_STRING* key = X509_get0_pubkey_bitstr(certificate.x509());
  return View(ASN1_STRING_get0_data(key), static_cast<size_t>(ASN1_STRING_length(key)));
}

// One SingleResponse.
struct Single {
  OcspStatus status = OcspStatus::kUnknown;
  absl::Time this_update;
  std::optional<absl::Time> next_update;
  absl::Time revoked;
  RevocationReason reason = RevocationReason::kUnspecified;
};

std::optional<absl::Time> NextGeneralizedTime(DerReader& reader) {
  if (!reader.NextIs(der::kGeneralizedTime)) return std::nullopt;
  const std::optional<int64_t> seconds = reader.NextTime();
  if (!seconds) return std::nullopt;
  return absl::FromUnixSeconds(*seconds);
}

// The content of what [n] EXPLICIT wraps.
std::optional<absl::string_view> Unwrap(DerReader& reader, uint8_t n, uint8_t tag) {
  const std::optional<absl::string_view> wrapped = reader.Next(der::Constructed(n));
  if (!wrapped) return std::nullopt;
  DerReader inner(*wrapped);
  const std::optional<absl::string_view> content = inner.Next(tag);
  if (!content || !inner.done()) return std::nullopt;
  return content;
}

// RFC 6960 section 4.2.1, over octets that outlive this.
class Response {
 public:
  Response(const Certificate& subject, const Certificate& issuer, const OcspCheck& check)
      : subject_(subject), issuer_(issuer), check_(check) {}

  absl::StatusOr<std::shared_ptr<OcspAnswer>> Read(absl::string_view octets) {
    GH_RETURN_IF_ERROR(ReadOuter(octets));
    GH_RETURN_IF_ERROR(FindSigner());
    GH_RETURN_IF_ERROR(CheckNonce());
    GH_RETURN_IF_ERROR(CheckTimes());
    auto answer = std::make_shared<OcspAnswer>();
    answer->status = chosen_->status;
    answer->this_update = chosen_->this_update;
    answer->next_update = chosen_->next_update;
    answer->produced_at = produced_at_;
    answer->received = check_.now;
    answer->has_nonce = !check_.nonce.empty() && nonce_.has_value();
    answer->revoked = chosen_->revoked;
    answer->reason = chosen_->reason;
    answer->responder = delegate_ != nullptr ? delegate_->subject() : issuer_.subject();
    answer->nocheck = delegate_ != nullptr &&
                      X509_get_ext_by_NID(delegate_->x509(), NID_id_pkix_OCSP_noCheck, -1) >= 0;
    answer->delegate = std::move(delegate_);
    answer->der = std::string(octets);
    return answer;
  }

 private:
  absl::Status ReadOuter(absl::string_view octets) {
    DerReader whole(octets);
    const std::optional<absl::string_view> response = whole.Next(der::kSequence);
    if (!response) return Malformed("not DER");
    if (!whole.done()) return Malformed("octets follow the answer");
    DerReader fields(*response);
    const std::optional<absl::string_view> status = fields.Next(der::kEnumerated);
    if (!status || status->size() != 1) return Malformed("responseStatus");
    if ((*status)[0] != 0) return FromResponder((*status)[0]);
    const std::optional<absl::string_view> bytes = Unwrap(fields, 0, der::kSequence);
    if (!bytes || !fields.done()) return Malformed("responseBytes");
    DerReader typed(*bytes);
    const std::optional<absl::string_view> type = typed.Next(der::kOid);
    const std::optional<absl::string_view> inner = typed.Next(der::kOctetString);
    if (!type || !inner || !typed.done()) return Malformed("responseBytes");
    if (*type != kBasicResponse) return Malformed("not of the basic type");
    return ReadBasic(*inner);
  }

  static absl::Status FromResponder(char status) {
    static constexpr const char* kNames[] = {"",         "malformedRequest", "internalError",
                                             "tryLater", "",                 "sigRequired",
                                             "unauthorized"};
    const auto code = static_cast<uint8_t>(status);
    if (code >= std::size(kNames) || *kNames[code] == '\0') return Malformed("responseStatus");
    return absl::UnavailableError(absl::StrCat("the responder says ", kNames[code]));
  }

  absl::Status ReadBasic(absl::string_view octets) {
    DerReader whole(octets);
    const std::optional<absl::string_view> basic = whole.Next(der::kSequence);
    if (!basic || !whole.done()) return Malformed("not a BasicOCSPResponse");
    DerReader fields(*basic);
    const std::optional<DerElement> tbs = fields.Next();
    const std::optional<DerElement> algorithm = fields.Next();
    const std::optional<absl::string_view> bits = fields.Next(der::kBitString);
    const std::optional<absl::string_view> signature =
        bits ? WholeOctets(*bits) : std::optional<absl::string_view>();
    if (!tbs || tbs->tag != der::kSequence || !algorithm || algorithm->tag != der::kSequence ||
        !signature) {
      return Malformed("not a BasicOCSPResponse");
    }
    if (fields.NextIs(der::Constructed(0))) {
      const std::optional<absl::string_view> list = Unwrap(fields, 0, der::kSequence);
      if (!list) return Malformed("certificates");
      for (DerReader certificates(*list); !certificates.done();) {
        const std::optional<DerElement> certificate = certificates.Next();
        if (!certificate) return Malformed("certificates");
        if (certificates_.size() >= kMaxCertificates) {
          return Wrong(absl::StrCat("it holds over ", kMaxCertificates, " certificates"));
        }
        certificates_.push_back(certificate->whole);
      }
    }
    if (!fields.done()) return Malformed("not a BasicOCSPResponse");
    GH_ASSIGN_OR_RETURN(signed_,
                        SignedMessage::Create(tbs->whole, algorithm->whole, *signature));
    return ReadData(tbs->content);
  }

  absl::Status ReadData(absl::string_view content) {
    DerReader data(content);
    if (data.NextIs(der::Constructed(0))) {
      const std::optional<absl::string_view> version = Unwrap(data, 0, der::kInteger);
      if (!version || *version != absl::string_view("\0", 1)) return Malformed("version");
    }
    const std::optional<DerElement> responder = data.Next();
    if (!responder) return Malformed("responderID");
    DerReader id(responder->content);
    if (responder->tag == der::Constructed(1)) {
      const std::optional<DerElement> name = id.Next();
      if (name) responder_name_ = NameFromDer(name->whole);
      if (responder_name_ == nullptr || !id.done()) return Malformed("responderID");
    } else if (responder->tag == der::Constructed(2)) {
      const std::optional<absl::string_view> hash = id.Next(der::kOctetString);
      if (!hash || hash->size() != 20 || !id.done()) return Malformed("responderID");
      responder_key_hash_ = *hash;
    } else {
      return Malformed("responderID");
    }
    const std::optional<absl::Time> produced_at = NextGeneralizedTime(data);
    if (!produced_at) return Malformed("producedAt");
    produced_at_ = *produced_at;
    const std::optional<absl::string_view> responses = data.Next(der::kSequence);
    if (!responses) return Malformed("responses");
    if (data.NextIs(der::Constructed(1))) GH_RETURN_IF_ERROR(ReadExtensions(data, true));
    if (!data.done()) return Malformed("not a ResponseData");
    size_t count = 0;
    for (DerReader singles(*responses); !singles.done();) {
      const std::optional<absl::string_view> single = singles.Next(der::kSequence);
      if (!single) return Malformed("responses");
      if (++count > kMaxResponses) {
        return Wrong(absl::StrCat("it is about more than ", kMaxResponses, " certificates"));
      }
      GH_RETURN_IF_ERROR(ReadSingle(*single));
    }
    if (!chosen_) return Wrong("it is not about this certificate");
    return absl::OkStatus();
  }

  // Notes the nonce; refuses critical extensions that are not known (RFC 6960 section 4.4).
  absl::Status ReadExtensions(DerReader& reader, bool of_response) {
    const std::optional<absl::string_view> list = Unwrap(reader, 1, der::kSequence);
    if (!list) return Malformed("extensions");
    for (DerReader extensions(*list); !extensions.done();) {
      const std::optional<DerExtension> extension = extensions.NextExtension();
      if (!extension) return Malformed("extensions");
      if (of_response && extension->oid == kNonce) {
        if (nonce_) return Malformed("two nonces");
        nonce_ = extension->value;
      } else if (extension->critical) {
        return Wrong("a critical extension is not known");
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadSingle(absl::string_view content) {
    DerReader fields(content);
    const std::optional<absl::string_view> id = fields.Next(der::kSequence);
    const std::optional<DerElement> status = fields.Next();
    const std::optional<absl::Time> this_update = NextGeneralizedTime(fields);
    if (!id || !status || !this_update) return Malformed("SingleResponse");
    Single single;
    single.this_update = *this_update;
    if (fields.NextIs(der::Constructed(0))) {
      const std::optional<absl::string_view> wrapped = fields.Next(der::Constructed(0));
      if (!wrapped) return Malformed("nextUpdate");
      DerReader inner(*wrapped);
      single.next_update = NextGeneralizedTime(inner);
      if (!single.next_update || !inner.done()) return Malformed("nextUpdate");
      if (*single.next_update < single.this_update) {
        return Malformed("nextUpdate is before thisUpdate");
      }
    }
    if (!ReadStatus(*status, &single)) return Malformed("certStatus");
    GH_ASSIGN_OR_RETURN(const bool ours, IsOurs(*id));
    if (fields.NextIs(der::Constructed(1))) {
      if (ours) {
        GH_RETURN_IF_ERROR(ReadExtensions(fields, false));
      } else if (!fields.Next()) {
        return Malformed("extensions");
      }
    }
    if (!fields.done()) return Malformed("SingleResponse");
    if (!ours) return absl::OkStatus();
    const bool newer = !chosen_ || single.this_update > chosen_->this_update;
    const bool worse = chosen_ && single.this_update == chosen_->this_update &&
                       single.status == OcspStatus::kRevoked;
    if (newer || worse) chosen_ = single;
    return absl::OkStatus();
  }

  static bool ReadStatus(const DerElement& status, Single* single) {
    if (status.tag == der::Context(0) || status.tag == der::Context(2)) {
      single->status = status.tag == der::Context(0) ? OcspStatus::kGood : OcspStatus::kUnknown;
      return status.content.empty();
    }
    if (status.tag != der::Constructed(1)) return false;
    single->status = OcspStatus::kRevoked;
    DerReader info(status.content);
    const std::optional<absl::Time> when = NextGeneralizedTime(info);
    if (!when) return false;
    single->revoked = *when;
    if (!info.done()) {
      const std::optional<absl::string_view> code = Unwrap(info, 0, der::kEnumerated);
      if (!code || code->size() != 1) return false;
      const std::optional<RevocationReason> reason =
          RevocationReasonOf(static_cast<uint8_t>((*code)[0]));
      if (!reason) return false;
      single->reason = *reason;
    }
    return info.done();
  }

  // Whether a CertID is that of subject_; an unknown hash algorithm is not.
  absl::StatusOr<bool> IsOurs(absl::string_view id) const {
    DerReader fields(id);
    const std::optional<absl::string_view> algorithm = fields.Next(der::kSequence);
    const std::optional<absl::string_view> name_hash = fields.Next(der::kOctetString);
    const std::optional<absl::string_view> key_hash = fields.Next(der::kOctetString);
    const std::optional<absl::string_view> serial = fields.Next(der::kInteger);
    if (!algorithm || !name_hash || !key_hash || !serial || !fields.done()) {
      return Malformed("certID");
    }
    DerReader algorithm_fields(*algorithm);
    const std::optional<absl::string_view> hash = algorithm_fields.Next(der::kOid);
    if (!hash) return Malformed("certID");
    if (*serial != SerialOf(subject_)) return false;
    const absl::string_view name = NameDer(X509_get_issuer_name(subject_.x509()));
    const absl::string_view key = PublicKeyOctets(issuer_);
    if (*hash == kSha1) return *name_hash == View(Sha1(name)) && *key_hash == View(Sha1(key));
    if (*hash == kSha256) {
      return *name_hash == View(Sha256(name)) && *key_hash == View(Sha256(key));
    }
    return false;
  }

  bool IsResponder(const Certificate& certificate) const {
    if (responder_name_ != nullptr) {
      return X509_NAME_cmp(responder_name_.get(), X509_get_subject_name(certificate.x509())) == 0;
    }
    return responder_key_hash_ == View(Sha1(PublicKeyOctets(certificate)));
  }

  // RFC 6960 section 4.2.2.2: the issuer itself, or whom it issued a certificate for signing answers.
  absl::Status FindSigner() {
    absl::Status last = Wrong("nobody who may sign it is in it");
    if (IsResponder(issuer_)) {
      last = signed_.Verify(issuer_.key(), check_.strength);
      if (last.ok()) return last;
    }
    for (absl::string_view der : certificates_) {
      absl::StatusOr<CertificateRef> certificate = Certificate::FromDer(der);
      if (!certificate.ok()) return Malformed("certificates");
      if (!IsResponder(**certificate) || (*certificate)->sha256() == issuer_.sha256()) continue;
      last = CheckDelegate(*certificate);
      if (last.ok()) last = signed_.Verify((*certificate)->key(), check_.strength);
      if (last.ok()) {
        delegate_ = *std::move(certificate);
        return last;
      }
    }
    return Wrong(last.message());
  }

  absl::Status CheckDelegate(const CertificateRef& delegate) const {
    X509* x = delegate->x509();
    if (!delegate->defect().empty()) {
      return absl::InvalidArgumentError(absl::StrCat("responder: ", delegate->defect()));
    }
    if ((X509_get_extension_flags(x) & EXFLAG_CRITICAL) != 0) {
      return absl::InvalidArgumentError("the responder has a critical extension that is not known");
    }
    if (X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(issuer_.x509())) != 0) {
      return absl::InvalidArgumentError("the responder is not of the certificate's own issuer");
    }
    const uint32_t extended = X509_get_extended_key_usage(x);
    if (extended == UINT32_MAX || (extended & XKU_OCSP_SIGN) == 0) {
      return absl::InvalidArgumentError("the responder's extended key usage is not OCSPSigning");
    }
    const uint32_t usage = X509_get_key_usage(x);
    if (usage != UINT32_MAX && (usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0) {
      return absl::InvalidArgumentError("the responder's key usage does not let it sign");
    }
    if (check_.now + check_.skew < delegate->not_before() ||
        check_.now - check_.skew > delegate->not_after()) {
      return absl::InvalidArgumentError("the responder's certificate is not valid now");
    }
    if (Finding f = CheckKey(delegate, check_.strength); !f.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("responder: ", f.detail));
    }
    if (Finding f = CheckSignatureAlgorithm(delegate, check_.strength); !f.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("responder: ", f.detail));
    }
    const bool issued = X509_verify(x, issuer_.key()) == 1;
    ERR_clear_error();
    if (!issued) {
      return absl::InvalidArgumentError("the responder is not of the certificate's own issuer");
    }
    return absl::OkStatus();
  }

  absl::Status CheckNonce() const {
    if (check_.nonce.empty() || !nonce_) return absl::OkStatus();
    DerReader value(*nonce_);
    const std::optional<absl::string_view> nonce = value.Next(der::kOctetString);
    if (!nonce || !value.done() || *nonce != check_.nonce) {
      return Wrong("its nonce is not the one that was sent");
    }
    return absl::OkStatus();
  }

  // RFC 6960 section 4.2.2.1.
  absl::Status CheckTimes() const {
    const absl::Time latest = check_.now + check_.skew;
    if (chosen_->this_update > latest || produced_at_ > latest) {
      return Wrong("it is from the future");
    }
    if (chosen_->next_update && *chosen_->next_update + check_.skew < check_.now) {
      return Wrong("it has expired");
    }
    return absl::OkStatus();
  }

  const Certificate& subject_;
  const Certificate& issuer_;
  const OcspCheck& check_;
  SignedMessage signed_;
  std::vector<absl::string_view> certificates_;
  UniqueName responder_name_;
  absl::string_view responder_key_hash_;
  absl::Time produced_at_;
  std::optional<absl::string_view> nonce_;
  std::optional<Single> chosen_;
  CertificateRef delegate_;
};

}  // namespace

absl::StatusOr<std::string> MakeOcspRequest(const Certificate& subject, const Certificate& issuer,
                                            absl::string_view nonce) {
  UniqueRequest request(OCSP_REQUEST_new());
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), subject.x509(), issuer.x509());
  if (id == nullptr || OCSP_request_add0_id(request.get(), id) == nullptr) {
    OCSP_CERTID_free(id);
    return OpenSslError("OCSP request");
  }
  if (!nonce.empty()) {
    std::string copy(nonce);
    if (OCSP_request_add1_nonce(request.get(), reinterpret_cast<unsigned char*>(copy.data()),
                                static_cast<int>(copy.size())) != 1) {
      return OpenSslError("OCSP request");
    }
  }
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_REQUEST(request.get(), &der);
  if (size <= 0) return OpenSslError("OCSP request");
  std::string out(View(der, static_cast<size_t>(size)));
  OPENSSL_free(der);
  return out;
}

absl::StatusOr<OcspAnswerRef> ReadOcspAnswer(absl::string_view der, const Certificate& subject,
                                             const Certificate& issuer, const OcspCheck& check) {
  if (der.size() > kMaxOcspSize) {
    return Malformed(
        absl::StrCat(der.size(), " octets, at most ", kMaxOcspSize, " are read"));
  }
  GH_ASSIGN_OR_RETURN(std::shared_ptr<OcspAnswer> answer,
                      Response(subject, issuer, check).Read(der));
  return OcspAnswerRef(std::move(answer));
}

}  // namespace gatehouse::certs
