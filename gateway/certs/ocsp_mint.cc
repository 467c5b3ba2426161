#include "gateway/certs/ocsp_mint.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::certs {
namespace {

using UniqueBasic = std::unique_ptr<OCSP_BASICRESP, OpenSslDeleter<OCSP_BASICRESP_free>>;
using UniqueResponse = std::unique_ptr<OCSP_RESPONSE, OpenSslDeleter<OCSP_RESPONSE_free>>;
using UniqueId = std::unique_ptr<OCSP_CERTID, OpenSslDeleter<OCSP_CERTID_free>>;
using UniqueTime = std::unique_ptr<ASN1_TIME, OpenSslDeleter<ASN1_GENERALIZEDTIME_free>>;
using UniqueExtension = std::unique_ptr<X509_EXTENSION, OpenSslDeleter<X509_EXTENSION_free>>;
using UniqueObject = std::unique_ptr<ASN1_OBJECT, OpenSslDeleter<ASN1_OBJECT_free>>;
using UniqueOctets = std::unique_ptr<ASN1_OCTET_STRING, OpenSslDeleter<ASN1_OCTET_STRING_free>>;

UniqueTime TimeOf(absl::Time time) {
  return UniqueTime(
      ASN1_GENERALIZEDTIME_set(nullptr, static_cast<time_t>(absl::ToUnixSeconds(time))));
}

absl::StatusOr<std::string> Encoded(OCSP_RESPONSE* response) {
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &der);
  if (size <= 0) return OpenSslError("OCSP answer");
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

absl::Status AddSingle(OCSP_BASICRESP* basic, const MintOcspRequest& request,
                       const MintOcspSingle& single) {
  UniqueId id(OCSP_cert_to_id(request.sha256_ids ? EVP_sha256() : EVP_sha1(),
                              single.subject->x509(), request.issuer->x509()));
  static constexpr int kStatus[] = {V_OCSP_CERTSTATUS_GOOD, V_OCSP_CERTSTATUS_REVOKED,
                                    V_OCSP_CERTSTATUS_UNKNOWN};
  const UniqueTime next = single.next_update ? TimeOf(*single.next_update) : nullptr;
  const UniqueTime revoked = TimeOf(single.revoked);
  const bool is_revoked = single.status == OcspStatus::kRevoked;
  if (OCSP_basic_add1_status(
          basic, id.get(), kStatus[static_cast<int>(single.status)],
          single.reason ? static_cast<int>(*single.reason) : OCSP_REVOKED_STATUS_NOSTATUS,
          is_revoked ? revoked.get() : nullptr, TimeOf(single.this_update).get(),
          next.get()) == nullptr) {
    return OpenSslError("answers");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> MintOcspAnswer(const MintOcspRequest& request, Signer responder) {
  UniqueBasic basic(OCSP_BASICRESP_new());
  for (const MintOcspSingle& single : request.answers) {
    GH_RETURN_IF_ERROR(AddSingle(basic.get(), request, single));
  }
  if (!request.nonce.empty()) {
    std::string copy = request.nonce;
    OCSP_basic_add1_nonce(basic.get(), reinterpret_cast<unsigned char*>(copy.data()),
                          static_cast<int>(copy.size()));
  }
  for (const MintExtension& wanted : request.extensions) {
    UniqueObject object(OBJ_txt2obj(wanted.oid.c_str(), 0));
    UniqueOctets value(ASN1_OCTET_STRING_new());
    ASN1_STRING_set(value.get(), wanted.der.data(), static_cast<int>(wanted.der.size()));
    UniqueExtension extension(X509_EXTENSION_create_by_OBJ(nullptr, object.get(),
                                                           wanted.critical ? 1 : 0, value.get()));
    if (extension == nullptr) return OpenSslError(absl::StrCat("extensions: ", wanted.oid));
    OCSP_BASICRESP_add_ext(basic.get(), extension.get(), -1);
  }
  for (const CertificateRef& c : request.certificates) OCSP_basic_add1_cert(basic.get(), c->x509());
  // OpenSSL would write the system's time; there is no other way to set another.
  const UniqueTime produced = TimeOf(request.produced_at);
  auto* field = const_cast<ASN1_GENERALIZEDTIME*>(OCSP_resp_get0_produced_at(basic.get()));
  ASN1_STRING_copy(field, produced.get());
  const EVP_MD* digest = EVP_sha256();
  if (!request.digest.empty()) digest = EVP_get_digestbyname(request.digest.c_str());
  if (EVP_PKEY_get_base_id(responder.key) == EVP_PKEY_ED25519) digest = nullptr;
  unsigned long flags = OCSP_NOCERTS | OCSP_NOTIME;
  if (request.by_key) flags |= OCSP_RESPID_KEY;
  if (OCSP_basic_sign(basic.get(), responder.certificate->x509(), responder.key, digest, nullptr,
                      flags) != 1) {
    return OpenSslError("signature");
  }
  UniqueResponse response(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
  return Encoded(response.get());
}

std::string MintOcspError(int status) {
  UniqueResponse response(OCSP_response_create(status, nullptr));
  return Encoded(response.get()).value_or("");
}

}  // namespace gatehouse::certs
