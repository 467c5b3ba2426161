#include "gateway/certs/crl_mint.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/names.h"

namespace gatehouse::certs {
namespace {

using UniqueRevoked = std::unique_ptr<X509_REVOKED, OpenSslDeleter<X509_REVOKED_free>>;
using UniqueTime = std::unique_ptr<ASN1_TIME, OpenSslDeleter<ASN1_TIME_free>>;
using UniqueInteger = std::unique_ptr<ASN1_INTEGER, OpenSslDeleter<ASN1_INTEGER_free>>;
using UniqueEnumerated = std::unique_ptr<ASN1_ENUMERATED, OpenSslDeleter<ASN1_ENUMERATED_free>>;
using UniqueExtension = std::unique_ptr<X509_EXTENSION, OpenSslDeleter<X509_EXTENSION_free>>;
using UniqueObject = std::unique_ptr<ASN1_OBJECT, OpenSslDeleter<ASN1_OBJECT_free>>;
using UniqueOctets = std::unique_ptr<ASN1_OCTET_STRING, OpenSslDeleter<ASN1_OCTET_STRING_free>>;
using UniqueIssuingPoint =
    std::unique_ptr<ISSUING_DIST_POINT, OpenSslDeleter<ISSUING_DIST_POINT_free>>;

UniqueTime TimeOf(absl::Time time) {
  return UniqueTime(ASN1_TIME_set(nullptr, static_cast<time_t>(absl::ToUnixSeconds(time))));
}

absl::StatusOr<UniqueExtension> ExtensionOf(const MintExtension& wanted) {
  UniqueObject object(OBJ_txt2obj(wanted.oid.c_str(), 0));
  UniqueOctets value(ASN1_OCTET_STRING_new());
  ASN1_STRING_set(value.get(), wanted.der.data(), static_cast<int>(wanted.der.size()));
  UniqueExtension extension(
      object == nullptr ? nullptr
                        : X509_EXTENSION_create_by_OBJ(nullptr, object.get(),
                                                       wanted.critical ? 1 : 0, value.get()));
  if (extension == nullptr) return OpenSslError(absl::StrCat("extensions: ", wanted.oid));
  return extension;
}

GENERAL_NAME* UriName(const std::string& url) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  ASN1_STRING_set(text, url.data(), static_cast<int>(url.size()));
  GENERAL_NAME_set0_value(name, GEN_URI, text);
  return name;
}

absl::Status AddScope(X509_CRL* crl, const MintCrlScope& scope) {
  UniqueIssuingPoint point(ISSUING_DIST_POINT_new());
  if (!scope.urls.empty()) {
    point->distpoint = DIST_POINT_NAME_new();
    point->distpoint->type = 0;
    point->distpoint->name.fullname = sk_GENERAL_NAME_new_null();
    for (const std::string& url : scope.urls) {
      sk_GENERAL_NAME_push(point->distpoint->name.fullname, UriName(url));
    }
  }
  // FALSE is the default, which DER leaves out.
  point->onlyuser = scope.user_certificates_only ? 0xff : 0;
  point->onlyCA = scope.authorities_only ? 0xff : 0;
  point->onlyattr = scope.attribute_certificates_only ? 0xff : 0;
  point->indirectCRL = scope.indirect ? 0xff : 0;
  if (!scope.reasons.empty()) {
    point->onlysomereasons = ASN1_BIT_STRING_new();
    for (RevocationReason reason : scope.reasons) {
      // ReasonFlags leaves out removeFromCRL, so that its last two bits are one less than the codes.
      const int code = static_cast<int>(reason);
      ASN1_BIT_STRING_set_bit(point->onlysomereasons, code > 8 ? code - 2 : code, 1);
    }
  }
  if (X509_CRL_add1_ext_i2d(crl, NID_issuing_distribution_point, point.get(), 1,
                            X509V3_ADD_DEFAULT) != 1) {
    return OpenSslError("scope");
  }
  return absl::OkStatus();
}

absl::Status AddNumber(X509_CRL* crl, int nid, uint64_t number) {
  UniqueInteger value(ASN1_INTEGER_new());
  ASN1_INTEGER_set_uint64(value.get(), number);
  const int critical = nid == NID_delta_crl ? 1 : 0;
  if (X509_CRL_add1_ext_i2d(crl, nid, value.get(), critical, X509V3_ADD_DEFAULT) != 1) {
    return OpenSslError("number");
  }
  return absl::OkStatus();
}

absl::Status AddEntry(X509_CRL* crl, const MintCrlEntry& entry) {
  UniqueRevoked revoked(X509_REVOKED_new());
  if (entry.serial.empty() || entry.serial.size() > 127) {
    return absl::InvalidArgumentError("entries: serial: 1 to 127 octets");
  }
  std::string der = {2, static_cast<char>(entry.serial.size())};
  der += entry.serial;
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  UniqueInteger serial(d2i_ASN1_INTEGER(nullptr, &p, static_cast<long>(der.size())));
  if (serial == nullptr) return OpenSslError("entries: serial");
  X509_REVOKED_set_serialNumber(revoked.get(), serial.get());
  X509_REVOKED_set_revocationDate(revoked.get(), TimeOf(entry.revoked).get());
  if (entry.reason) {
    UniqueEnumerated reason(ASN1_ENUMERATED_new());
    ASN1_ENUMERATED_set(reason.get(), static_cast<long>(*entry.reason));
    X509_REVOKED_add1_ext_i2d(revoked.get(), NID_crl_reason, reason.get(), 0, X509V3_ADD_DEFAULT);
  }
  if (!entry.certificate_issuer.empty()) {
    GH_ASSIGN_OR_RETURN(UniqueName name, ParseName(entry.certificate_issuer));
    GENERAL_NAME* general = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(general, GEN_DIRNAME, name.release());
    UniqueGeneralNames names(sk_GENERAL_NAME_new_null());
    sk_GENERAL_NAME_push(names.get(), general);
    X509_REVOKED_add1_ext_i2d(revoked.get(), NID_certificate_issuer, names.get(), 1,
                              X509V3_ADD_DEFAULT);
  }
  for (const MintExtension& wanted : entry.extensions) {
    GH_ASSIGN_OR_RETURN(UniqueExtension extension, ExtensionOf(wanted));
    X509_REVOKED_add_ext(revoked.get(), extension.get(), -1);
  }
  if (X509_CRL_add0_revoked(crl, revoked.release()) != 1) return OpenSslError("entries");
  return absl::OkStatus();
}

absl::Status AddExtensions(X509_CRL* crl, const MintCrlRequest& request, X509* signer) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, signer, nullptr, nullptr, crl, 0);
  if (X509_get0_subject_key_id(signer) != nullptr) {
    UniqueExtension id(X509V3_EXT_conf_nid(nullptr, &ctx, NID_authority_key_identifier, "keyid"));
    if (id == nullptr || X509_CRL_add_ext(crl, id.get(), -1) != 1) return OpenSslError("signer");
  }
  if (request.number) GH_RETURN_IF_ERROR(AddNumber(crl, NID_crl_number, *request.number));
  if (request.delta_base) GH_RETURN_IF_ERROR(AddNumber(crl, NID_delta_crl, *request.delta_base));
  if (request.scope) GH_RETURN_IF_ERROR(AddScope(crl, *request.scope));
  for (const MintExtension& wanted : request.extensions) {
    GH_ASSIGN_OR_RETURN(UniqueExtension extension, ExtensionOf(wanted));
    X509_CRL_add_ext(crl, extension.get(), -1);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> MintCrl(const MintCrlRequest& request, Signer signer) {
  if (signer.certificate == nullptr || signer.key == nullptr) {
    return absl::InvalidArgumentError("signer: incomplete");
  }
  UniqueCrl crl(X509_CRL_new());
  if (!request.version1) X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
  if (request.issuer.empty()) {
    X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(signer.certificate->x509()));
  } else {
    GH_ASSIGN_OR_RETURN(UniqueName issuer, ParseName(request.issuer));
    X509_CRL_set_issuer_name(crl.get(), issuer.get());
  }
  X509_CRL_set1_lastUpdate(crl.get(), TimeOf(request.this_update).get());
  if (request.next_update) {
    X509_CRL_set1_nextUpdate(crl.get(), TimeOf(*request.next_update).get());
  }
  for (const MintCrlEntry& entry : request.entries) {
    GH_RETURN_IF_ERROR(AddEntry(crl.get(), entry));
  }
  if (!request.version1) {
    GH_RETURN_IF_ERROR(AddExtensions(crl.get(), request, signer.certificate->x509()));
  }
  const EVP_MD* digest = EVP_sha256();
  if (EVP_PKEY_get_base_id(signer.key) == EVP_PKEY_ED25519) digest = nullptr;
  if (!request.digest.empty()) {
    digest = EVP_get_digestbyname(request.digest.c_str());
    if (digest == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("digest: \"", EscapeText(request.digest), "\" is not known"));
    }
  }
  if (X509_CRL_sign(crl.get(), signer.key, digest) <= 0) return OpenSslError("signature");
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(crl.get(), &der);
  if (size <= 0) return OpenSslError("CRL");
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::string CrlToPem(absl::string_view der) {
  UniqueBio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), PEM_STRING_X509_CRL, "",
                reinterpret_cast<const unsigned char*>(der.data()), static_cast<long>(der.size()));
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

}  // namespace gatehouse::certs
