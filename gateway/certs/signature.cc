#include "gateway/certs/signature.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "gateway/base/openssl.h"
#include "gateway/base/status.h"
#include "gateway/certs/der.h"

namespace gatehouse::certs {
namespace {

using UniqueAlgorithm = std::unique_ptr<X509_ALGOR, OpenSslDeleter<X509_ALGOR_free>>;
using UniquePss = std::unique_ptr<RSA_PSS_PARAMS, OpenSslDeleter<RSA_PSS_PARAMS_free>>;
using UniqueKeyCtx = std::unique_ptr<EVP_PKEY_CTX, OpenSslDeleter<EVP_PKEY_CTX_free>>;
using UniqueDigestCtx = std::unique_ptr<EVP_MD_CTX, OpenSslDeleter<EVP_MD_CTX_free>>;

const unsigned char* Octets(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

int NidOf(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  return OBJ_obj2nid(object);
}

UniqueAlgorithm ReadAlgorithm(absl::string_view der) {
  const unsigned char* p = Octets(der);
  UniqueAlgorithm algorithm(d2i_X509_ALGOR(nullptr, &p, static_cast<long>(der.size())));
  if (algorithm != nullptr && p != Octets(der) + der.size()) algorithm = nullptr;
  return algorithm;
}

}  // namespace

bool AcceptsDigest(int digest_nid, const Strength& strength) {
  switch (digest_nid) {
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
      return true;
    case NID_sha1:
      return strength.allow_sha1;
    default:
      return false;
  }
}

// RFC 4055 section 3.1.
absl::Status SignedMessage::ReadPss(absl::string_view parameters, SignedMessage* out) {
  const auto wrong = absl::InvalidArgumentError("RSASSA-PSS parameters cannot be read");
  const unsigned char* p = Octets(parameters);
  UniquePss pss(d2i_RSA_PSS_PARAMS(nullptr, &p, static_cast<long>(parameters.size())));
  if (pss == nullptr || p != Octets(parameters) + parameters.size()) return wrong;
  out->digest_nid_ = pss->hashAlgorithm == nullptr ? NID_sha1 : NidOf(pss->hashAlgorithm);
  out->pss_.mask_digest_nid = NID_sha1;
  if (pss->maskGenAlgorithm != nullptr) {
    const ASN1_OBJECT* object = nullptr;
    int type = V_ASN1_UNDEF;
    const void* value = nullptr;
    X509_ALGOR_get0(&object, &type, &value, pss->maskGenAlgorithm);
    if (OBJ_obj2nid(object) != NID_mgf1 || type != V_ASN1_SEQUENCE) return wrong;
    const auto* hash = static_cast<const ASN1_STRING*>(value);
    const UniqueAlgorithm algorithm = ReadAlgorithm(
        absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(hash)),
                          static_cast<size_t>(ASN1_STRING_length(hash))));
    if (algorithm == nullptr) return wrong;
    out->pss_.mask_digest_nid = NidOf(algorithm.get());
  }
  const long salt = pss->saltLength == nullptr ? 20 : ASN1_INTEGER_get(pss->saltLength);
  const long trailer = pss->trailerField == nullptr ? 1 : ASN1_INTEGER_get(pss->trailerField);
  if (salt < 0 || salt > 512 || trailer != 1) return wrong;
  out->pss_.salt_size = static_cast<int>(salt);
  return absl::OkStatus();
}

absl::StatusOr<SignedMessage> SignedMessage::Create(absl::string_view message,
                                                    absl::string_view algorithm_der,
                                                    absl::string_view signature) {
  SignedMessage out;
  out.message_ = message;
  out.signature_ = signature;
  const UniqueAlgorithm algorithm = ReadAlgorithm(algorithm_der);
  if (algorithm == nullptr) {
    ERR_clear_error();
    return absl::InvalidArgumentError("signature algorithm cannot be read");
  }
  const int nid = NidOf(algorithm.get());
  out.algorithm_nid_ = nid;
  if (nid == NID_ED25519 || nid == NID_ED448) {
    out.key_nid_ = nid;
    if (message.size() > kMaxEdDsaMessage) {
      return absl::InvalidArgumentError(absl::StrCat(
          message.size(), " octets are signed with EdDSA, at most ", kMaxEdDsaMessage));
    }
    return out;
  }
  if (nid == NID_rsassaPss) {
    out.key_nid_ = EVP_PKEY_RSA_PSS;
    DerReader outer(algorithm_der);
    DerReader fields(outer.Next(der::kSequence).value_or(""));
    const bool named = fields.Next(der::kOid).has_value();
    if (absl::Status read = ReadPss(named ? fields.rest() : "", &out); !read.ok()) {
      ERR_clear_error();
      return read;
    }
  } else if (OBJ_find_sigid_algs(nid, &out.digest_nid_, &out.key_nid_) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("unknown signature algorithm");
  }
  const EVP_MD* digest = EVP_get_digestbynid(out.digest_nid_);
  if (digest == nullptr) return absl::InvalidArgumentError("unknown digest of the signature");
  out.digest_.resize(static_cast<size_t>(EVP_MD_get_size(digest)));
  unsigned int size = 0;
  if (EVP_Digest(message.data(), message.size(),
                 reinterpret_cast<unsigned char*>(out.digest_.data()), &size, digest,
                 nullptr) != 1) {
    return OpenSslError("digest of the signature");
  }
  return out;
}

absl::Status SignedMessage::Verify(EVP_PKEY* key, const Strength& strength) const {
  GH_RETURN_IF_ERROR(Accepts(strength));
  return IsSignedBy(key);
}

absl::Status SignedMessage::Accepts(const Strength& strength) const {
  const bool eddsa = digest_nid_ == NID_undef;
  if ((eddsa || AcceptsDigest(digest_nid_, strength)) &&
      (key_nid_ != EVP_PKEY_DSA || strength.allow_dsa) &&
      (pss_.mask_digest_nid == 0 || AcceptsDigest(pss_.mask_digest_nid, strength))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("signed with ", OBJ_nid2ln(algorithm_nid_), ", which is not accepted"));
}

absl::Status SignedMessage::IsSignedBy(EVP_PKEY* key) const {
  const bool eddsa = digest_nid_ == NID_undef;
  const int kind = key == nullptr ? 0 : EVP_PKEY_get_base_id(key);
  const bool pss = key_nid_ == EVP_PKEY_RSA_PSS;
  if (kind != key_nid_ && !(pss && kind == EVP_PKEY_RSA)) {
    return absl::InvalidArgumentError("signed with a key of another kind");
  }
  int verified = 0;
  if (eddsa) {
    UniqueDigestCtx ctx(EVP_MD_CTX_new());
    if (EVP_DigestVerifyInit(ctx.get(), nullptr, nullptr, nullptr, key) == 1) {
      verified = EVP_DigestVerify(ctx.get(), Octets(signature_), signature_.size(),
                                  Octets(message_), message_.size());
    }
  } else {
    UniqueKeyCtx ctx(EVP_PKEY_CTX_new(key, nullptr));
    const bool ready =
        ctx != nullptr && EVP_PKEY_verify_init(ctx.get()) == 1 &&
        (!pss || (EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_PKCS1_PSS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx.get(), pss_.salt_size) == 1)) &&
        EVP_PKEY_CTX_set_signature_md(ctx.get(), EVP_get_digestbynid(digest_nid_)) == 1 &&
        (!pss || EVP_PKEY_CTX_set_rsa_mgf1_md(
                     ctx.get(), EVP_get_digestbynid(pss_.mask_digest_nid)) == 1);
    if (ready) {
      verified = EVP_PKEY_verify(ctx.get(), Octets(signature_), signature_.size(), Octets(digest_),
                                 digest_.size());
    }
  }
  ERR_clear_error();
  if (verified != 1) return absl::InvalidArgumentError("the signature is not by this key");
  return absl::OkStatus();
}

}  // namespace gatehouse::certs
