#include "gateway/certs/mint.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/names.h"
#include "gateway/certs/pkcs12.h"
#include "gateway/certs/san.h"

namespace gatehouse::certs {
namespace {

constexpr size_t kMaxSerialOctets = 20;
constexpr int kPfxIterations = 100'000;

using UniqueExtension = std::unique_ptr<X509_EXTENSION, OpenSslDeleter<X509_EXTENSION_free>>;
using UniqueNames = std::unique_ptr<GENERAL_NAMES, OpenSslDeleter<GENERAL_NAMES_free>>;

absl::Status Wrong(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

absl::StatusOr<UniqueKey> NonNull(EVP_PKEY* key) {
  if (key == nullptr) return OpenSslError("key cannot be made");
  return UniqueKey(key);
}

// Not EVP_PKEY_Q_keygen: it names the curve in a way that a key method which the quick decoder registers does not know.
absl::StatusOr<UniqueKey> MintEcKey(int curve) {
  const std::unique_ptr<EVP_PKEY_CTX, OpenSslDeleter<EVP_PKEY_CTX_free>> context(EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr));
  EVP_PKEY* key = nullptr;
  if (context == nullptr || EVP_PKEY_keygen_init(context.get()) <= 0 ||
      EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context.get(), curve) <= 0 ||
      EVP_PKEY_CTX_set_ec_param_enc(context.get(), OPENSSL_EC_NAMED_CURVE) <= 0 || EVP_PKEY_keygen(context.get(), &key) <= 0) {
    return NonNull(nullptr);
  }
  return NonNull(key);
}

// UTCTime to 2049, GeneralizedTime from 2050, as RFC 5280 demands.
bool SetTime(ASN1_TIME* time, absl::Time value) {
  return ASN1_TIME_set(time, static_cast<time_t>(absl::ToUnixSeconds(value))) != nullptr;
}

absl::Status AddByConfig(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer, certificate, nullptr, nullptr, 0);
  UniqueExtension extension(X509V3_EXT_conf_nid(nullptr, &ctx, nid, value));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpenSslError(OBJ_nid2ln(nid));
  }
  return absl::OkStatus();
}

absl::Status AddSan(GENERAL_NAMES* names, const San& san) {
  const auto text_entry = [&](int type) {
    GENERAL_NAME* entry = GENERAL_NAME_new();
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, san.text.data(), static_cast<int>(san.text.size()));
    GENERAL_NAME_set0_value(entry, type, text);
    sk_GENERAL_NAME_push(names, entry);
  };
  switch (san.kind) {
    case SanKind::kDns:
      text_entry(GEN_DNS);
      return absl::OkStatus();
    case SanKind::kEmail:
      text_entry(GEN_EMAIL);
      return absl::OkStatus();
    case SanKind::kUri:
      text_entry(GEN_URI);
      return absl::OkStatus();
    case SanKind::kIp: {
      ASN1_OCTET_STRING* address = a2i_IPADDRESS(san.text.c_str());
      ERR_clear_error();
      if (address == nullptr) {
        return Wrong("sans", absl::StrCat("\"", EscapeText(san.text), "\" is not an IP address"));
      }
      GENERAL_NAME* entry = GENERAL_NAME_new();
      GENERAL_NAME_set0_value(entry, GEN_IPADD, address);
      sk_GENERAL_NAME_push(names, entry);
      return absl::OkStatus();
    }
    case SanKind::kUpn: {
      ASN1_UTF8STRING* text = ASN1_UTF8STRING_new();
      ASN1_STRING_set(text, san.text.data(), static_cast<int>(san.text.size()));
      ASN1_TYPE* value = ASN1_TYPE_new();
      ASN1_TYPE_set(value, V_ASN1_UTF8STRING, text);
      GENERAL_NAME* entry = GENERAL_NAME_new();
      GENERAL_NAME_set0_othername(entry, OBJ_txt2obj(kUpnOid, 1), value);
      sk_GENERAL_NAME_push(names, entry);
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::Status AddSans(X509* certificate, const std::vector<San>& sans, bool critical) {
  if (sans.empty()) return absl::OkStatus();
  UniqueNames names(GENERAL_NAMES_new());
  for (const San& san : sans) GH_RETURN_IF_ERROR(AddSan(names.get(), san));
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), critical ? 1 : 0,
                        X509V3_ADD_DEFAULT) != 1) {
    return OpenSslError("sans");
  }
  return absl::OkStatus();
}

absl::Status AddProfile(X509* certificate, X509* issuer, const MintRequest& request) {
  const bool ca = request.profile == Profile::kCa || request.profile == Profile::kIntermediate;
  std::string constraints = ca ? "critical,CA:TRUE" : "critical,CA:FALSE";
  if (ca && request.path_length) absl::StrAppend(&constraints, ",pathlen:", *request.path_length);
  GH_RETURN_IF_ERROR(AddByConfig(certificate, issuer, NID_basic_constraints, constraints.c_str()));
  GH_RETURN_IF_ERROR(
      AddByConfig(certificate, issuer, NID_key_usage,
                  ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature"));
  if (!ca && (request.client_use || request.server_use)) {
    const char* uses = !request.server_use  ? "clientAuth"
                       : request.client_use ? "clientAuth,serverAuth"
                                            : "serverAuth";
    GH_RETURN_IF_ERROR(AddByConfig(certificate, issuer, NID_ext_key_usage, uses));
  }
  GH_RETURN_IF_ERROR(AddByConfig(certificate, issuer, NID_subject_key_identifier, "hash"));
  if (issuer != certificate && X509_get0_subject_key_id(issuer) != nullptr) {
    GH_RETURN_IF_ERROR(AddByConfig(certificate, issuer, NID_authority_key_identifier, "keyid"));
  }
  const bool no_subject = X509_NAME_entry_count(X509_get_subject_name(certificate)) == 0;
  return AddSans(certificate, request.sans, no_subject);
}

absl::Status AddExtension(X509* certificate, const MintExtension& wanted) {
  ASN1_OBJECT* object = OBJ_txt2obj(wanted.oid.c_str(), 0);
  if (object == nullptr) {
    ERR_clear_error();
    return Wrong("extensions",
                 absl::StrCat("\"", EscapeText(wanted.oid), "\" is not an object identifier"));
  }
  for (int at = X509_get_ext_by_OBJ(certificate, object, -1); at >= 0;
       at = X509_get_ext_by_OBJ(certificate, object, -1)) {
    X509_EXTENSION_free(X509_delete_ext(certificate, at));
  }
  absl::Status status;
  if (!wanted.der.empty()) {
    ASN1_OCTET_STRING* value = ASN1_OCTET_STRING_new();
    ASN1_STRING_set(value, wanted.der.data(), static_cast<int>(wanted.der.size()));
    UniqueExtension extension(
        X509_EXTENSION_create_by_OBJ(nullptr, object, wanted.critical ? 1 : 0, value));
    ASN1_OCTET_STRING_free(value);
    if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1)
      status = OpenSslError("extensions");
  }
  ASN1_OBJECT_free(object);
  return status;
}

absl::Status SetSerial(X509* certificate, std::string content) {
  if (content.size() > kMaxSerialOctets) return Wrong("serial", "longer than 20 octets");
  if (content.empty()) {
    content = RandomBytes(16);
    content[0] = static_cast<char>((content[0] & 0x3f) | 0x40);  // positive, of constant length
  }
  std::string der = {2, static_cast<char>(content.size())};
  der += content;
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  ASN1_INTEGER* serial = d2i_ASN1_INTEGER(nullptr, &p, static_cast<long>(der.size()));
  if (serial == nullptr) return OpenSslError("serial");
  const int set = X509_set_serialNumber(certificate, serial);
  ASN1_INTEGER_free(serial);
  return set == 1 ? absl::OkStatus() : OpenSslError("serial");
}

std::string TakeText(BIO* bio) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  return std::string(text, static_cast<size_t>(size));
}

// Never asks a terminal: an encrypted key is an error.
int NoPassword(char*, int, int, void*) { return -1; }

}  // namespace

absl::StatusOr<KeyType> ParseKeyType(absl::string_view name) {
  const std::string word = absl::AsciiStrToLower(name);
  if (word == "rsa" || word == "rsa2048") return KeyType::kRsa2048;
  if (word == "rsa3072") return KeyType::kRsa3072;
  if (word == "rsa4096") return KeyType::kRsa4096;
  if (word == "ecdsa" || word == "p256") return KeyType::kP256;
  if (word == "p384") return KeyType::kP384;
  if (word == "ed25519") return KeyType::kEd25519;
  return Wrong("key type",
               absl::StrCat("\"", EscapeText(name),
                            "\" is not one of rsa2048, rsa3072, rsa4096, p256, p384, ed25519"));
}

absl::StatusOr<UniqueKey> MintKey(KeyType type) {
  switch (type) {
    case KeyType::kRsa2048:
      return NonNull(EVP_RSA_gen(2048));
    case KeyType::kRsa3072:
      return NonNull(EVP_RSA_gen(3072));
    case KeyType::kRsa4096:
      return NonNull(EVP_RSA_gen(4096));
    case KeyType::kP256:
      return MintEcKey(NID_X9_62_prime256v1);
    case KeyType::kP384:
      return MintEcKey(NID_secp384r1);
    case KeyType::kEd25519:
      return NonNull(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  }
  return Wrong("key type", "unknown");
}

absl::StatusOr<CertificateRef> Mint(const MintRequest& request, EVP_PKEY* key,
                                    std::optional<Signer> signer) {
  const bool by_other =
      request.profile == Profile::kIntermediate || request.profile == Profile::kLeaf;
  if (key == nullptr) return Wrong("key", "missing");
  if (by_other != signer.has_value()) {
    return Wrong("signer",
                 by_other ? "required for this profile" : "not used by a self-signed profile");
  }
  if (by_other && (signer->certificate == nullptr || signer->key == nullptr))
    return Wrong("signer", "incomplete");
  if (request.not_after < request.not_before) return Wrong("not_after", "earlier than not_before");
  if (request.path_length && *request.path_length < 0) return Wrong("path_length", "negative");

  UniqueX509 x(X509_new());
  X509_set_version(x.get(), X509_VERSION_3);
  UniqueName subject(X509_NAME_new());
  if (request.subject.empty()) {
    if (request.sans.empty()) return Wrong("subject", "required when there is no SAN");
  } else {
    absl::StatusOr<UniqueName> parsed = ParseName(request.subject);
    if (!parsed.ok()) return Wrong("subject", parsed.status().message());
    subject = *std::move(parsed);
  }
  X509* issuer = by_other ? signer->certificate->x509() : x.get();
  EVP_PKEY* signing_key = by_other ? signer->key : key;
  if (X509_set_subject_name(x.get(), subject.get()) != 1 ||
      X509_set_issuer_name(x.get(), by_other ? X509_get_subject_name(issuer) : subject.get()) !=
          1 ||
      X509_set_pubkey(x.get(), key) != 1 ||
      !SetTime(X509_getm_notBefore(x.get()), request.not_before) ||
      !SetTime(X509_getm_notAfter(x.get()), request.not_after)) {
    return OpenSslError("certificate");
  }
  GH_RETURN_IF_ERROR(SetSerial(x.get(), request.serial));
  GH_RETURN_IF_ERROR(AddProfile(x.get(), issuer, request));
  for (const MintExtension& extension : request.extensions)
    GH_RETURN_IF_ERROR(AddExtension(x.get(), extension));

  const int family = EVP_PKEY_get_base_id(signing_key);
  const EVP_MD* digest = EVP_sha256();
  if (family == EVP_PKEY_ED25519 || family == EVP_PKEY_ED448) digest = nullptr;
  if (family == EVP_PKEY_EC && EVP_PKEY_get_bits(signing_key) > 256) digest = EVP_sha384();
  if (X509_sign(x.get(), signing_key, digest) <= 0) return OpenSslError("signature");
  unsigned char* der = nullptr;
  const int size = i2d_X509(x.get(), &der);
  if (size <= 0) return OpenSslError("certificate");
  const std::string bytes(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return Certificate::FromDer(bytes);
}

absl::StatusOr<Secret> KeyToPem(EVP_PKEY* key) {
  UniqueBio bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("key cannot be encoded");
  }
  return Secret(TakeText(bio.get()));
}

absl::StatusOr<UniqueKey> KeyFromPem(absl::string_view pem) {
  if (absl::StrContains(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----") ||
      absl::StrContains(pem, "Proc-Type: 4,ENCRYPTED")) {
    return absl::InvalidArgumentError("is encrypted; give it without a password");
  }
  UniqueBio bio = MemoryBio(pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr);
  if (key != nullptr) return UniqueKey(key);
  ERR_clear_error();
  if (absl::StrContains(pem, "-----BEGIN CERTIFICATE-----")) {
    return absl::InvalidArgumentError("is a certificate, not a private key");
  }
  return absl::InvalidArgumentError(pem.empty() ? "is empty" : "is not a private key in PEM");
}

std::string ChainToPem(absl::Span<const CertificateRef> chain) {
  std::string out;
  for (const CertificateRef& c : chain) out += c->ToPem();
  return out;
}

absl::StatusOr<std::string> ToPfx(EVP_PKEY* key, absl::Span<const CertificateRef> chain,
                                  const Secret& password, absl::string_view friendly_name) {
  if (chain.empty() || key == nullptr)
    return Wrong("chain", "a certificate and its key are required");
  if (EVP_PKEY_eq(chain[0]->key(), key) != 1) {
    ERR_clear_error();
    return Wrong("key", "does not match the certificate");
  }
  GH_RETURN_IF_ERROR(CheckPfxPassword(password));
  UniqueX509Stack rest(sk_X509_new_null());
  for (const CertificateRef& c : chain.subspan(1)) {
    X509_up_ref(c->x509());
    sk_X509_push(rest.get(), c->x509());
  }
  const char* word = password.Reveal().data();
  const std::string friendly(friendly_name);
  UniquePkcs12 bag(PKCS12_create(word, friendly.c_str(), key, chain[0]->x509(), rest.get(),
                                 NID_aes_256_cbc, NID_aes_256_cbc, kPfxIterations, -1, 0));
  if (bag == nullptr ||
      PKCS12_set_mac(bag.get(), word, -1, nullptr, 0, kPfxIterations, EVP_sha256()) != 1) {
    return OpenSslError("PKCS#12");
  }
  unsigned char* der = nullptr;
  const int size = i2d_PKCS12(bag.get(), &der);
  if (size <= 0) return OpenSslError("PKCS#12");
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_clear_free(der, static_cast<size_t>(size));
  return out;
}

}  // namespace gatehouse::certs
