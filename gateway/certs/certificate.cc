#include "gateway/certs/certificate.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <ctime>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/exponent.h"
#include "gateway/certs/names.h"
#include "gateway/certs/san.h"

namespace gatehouse::certs {
namespace {

constexpr int kMaxSelfSignatureBits = 8192;  // a bigger key only costs the verifier
constexpr size_t kMaxNameSize = 8 * 1024;    // of subject and issuer each, in DER
constexpr size_t kMaxSerialOctets = 20;      // RFC 5280 section 4.1.2.2

// RFC 5280 section 4.1.2.5: Zulu, with seconds, without fractions.
std::optional<absl::Time> ReadTime(const ASN1_TIME* time) {
  const int expected = ASN1_STRING_type(time) == V_ASN1_UTCTIME ? 13 : 15;
  const unsigned char* text = ASN1_STRING_get0_data(time);
  std::tm tm{};
  if (ASN1_STRING_length(time) != expected || text[expected - 1] != 'Z' ||
      ASN1_TIME_to_tm(time, &tm) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  return absl::FromTM(tm, absl::UTCTimeZone());
}

std::string SerialContent(const ASN1_INTEGER* serial) {
  unsigned char* der = nullptr;
  const int size = i2d_ASN1_INTEGER(serial, &der);
  if (size <= 0) {
    ERR_clear_error();
    return "";
  }
  const unsigned char* p = der;
  long content = 0;
  int tag = 0, cls = 0;
  std::string out;
  if ((ASN1_get_object(&p, &content, &tag, &cls, size) & 0x80) == 0) {
    out.assign(reinterpret_cast<const char*>(p), static_cast<size_t>(content));
  }
  OPENSSL_free(der);
  return out;
}

std::string SerialDefect(const std::string& content) {
  if (content.empty()) return "serial number cannot be read";
  if ((static_cast<unsigned char>(content[0]) & 0x80) != 0) return "serial number is negative";
  if (content.find_first_not_of('\0') == std::string::npos) return "serial number is zero";
  if (content.size() > kMaxSerialOctets) return "serial number is longer than 20 octets";
  return "";
}

KeyFamily FamilyOf(EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      return KeyFamily::kRsa;
    case EVP_PKEY_EC:
      return KeyFamily::kEc;
    case EVP_PKEY_ED25519:
      return KeyFamily::kEd25519;
    case EVP_PKEY_ED448:
      return KeyFamily::kEd448;
    default:
      return KeyFamily::kOther;
  }
}

std::string HexWithoutLeadingZeros(const std::string& content) {
  size_t i = 0;
  while (i + 1 < content.size() && content[i] == '\0') ++i;
  return HexUpper(absl::string_view(content).substr(i));
}

}  // namespace

bool HasModestExponent(EVP_PKEY* key) {
  BIGNUM* exponent = nullptr;
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent);
  ERR_clear_error();
  const bool modest = exponent != nullptr && BN_is_odd(exponent) && !BN_is_one(exponent) &&
                      BN_num_bits(exponent) <= kMaxExponentBits;
  BN_free(exponent);
  return modest;
}

// Fills a Certificate from its x509_ and der_.
class CertificateParser {
 public:
  static absl::StatusOr<CertificateRef> Parse(UniqueX509 x509, std::string der) {
    std::shared_ptr<Certificate> c(new Certificate());
    c->x509_ = std::move(x509);
    c->der_ = std::make_shared<const std::string>(std::move(der));
    GH_RETURN_IF_ERROR(Fill(c.get()));
    ERR_clear_error();
    return CertificateRef(std::move(c));
  }

 private:
  static void Note(Certificate* c, std::string defect) {
    if (c->defect_.empty()) c->defect_ = std::move(defect);
  }

  static absl::Status Fill(Certificate* c) {
    X509* x = c->x509_.get();
    // Printed four ways, compared and hashed: a long one would cost more than the rest of the certificate.
    for (const X509_NAME* name : {X509_get_subject_name(x), X509_get_issuer_name(x)}) {
      if (NameDer(name).size() > kMaxNameSize) {
        return absl::InvalidArgumentError(absl::StrCat("name of ", NameDer(name).size(), " octets, at most ",
                                                       kMaxNameSize, " are read"));
      }
    }
    const std::optional<absl::Time> not_before = ReadTime(X509_get0_notBefore(x));
    const std::optional<absl::Time> not_after = ReadTime(X509_get0_notAfter(x));
    if (!not_before || !not_after) {
      return absl::InvalidArgumentError("validity period is not in the form of RFC 5280");
    }
    c->not_before_ = *not_before;
    c->not_after_ = *not_after;

    c->sha256_ = Sha256(*c->der_);
    const auto sha1 = Sha1(*c->der_);
    c->sha1_hex_ =
        HexUpper(absl::string_view(reinterpret_cast<const char*>(sha1.data()), sha1.size()));
    unsigned char* spki = nullptr;
    const int spki_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    if (spki_size <= 0) return OpenSslError("public key");
    c->spki_sha256_ = Sha256(
        absl::string_view(reinterpret_cast<const char*>(spki), static_cast<size_t>(spki_size)));
    OPENSSL_free(spki);

    FillNames(c);
    FillKeyAndSignature(c);

    if (const long version = X509_get_version(x); version < X509_VERSION_1 || version > X509_VERSION_3) {
      Note(c, "version is none of 1 to 3");
    }
    const std::string serial = SerialContent(X509_get0_serialNumber(x));
    c->serial_hex_dotnet_ = HexUpper(serial);
    c->serial_hex_integer_ = HexWithoutLeadingZeros(serial);
    Note(c, SerialDefect(serial));

    ReadExtensions(x, &c->extensions_);
    Note(c, c->extensions_.defect);
    Note(c, ReadSans(c->extensions_.alternative_names, &c->sans_));
    if (X509_NAME_entry_count(X509_get_subject_name(x)) == 0) {
      if (c->sans_.empty()) Note(c, "neither a subject nor a subjectAltName");
      // RFC 5280 section 4.1.2.6
      if (!c->extensions_.critical_alternative_names) Note(c, "no subject, and a subjectAltName that is not critical");
    }
    return absl::OkStatus();
  }

  static void FillNames(Certificate* c) {
    X509* x = c->x509_.get();
    const X509_NAME* subject = X509_get_subject_name(x);
    const X509_NAME* issuer = X509_get_issuer_name(x);
    c->subject_ = NameRfc4514(subject);
    c->subject_dotnet_ = NameDotNet(subject);
    c->issuer_ = NameRfc4514(issuer);
    c->issuer_dotnet_ = NameDotNet(issuer);
    c->subject_attributes_ = TextAttributes(subject);
    c->self_issued_ = X509_NAME_cmp(subject, issuer) == 0;
    if (std::string wrong = NameDefect(subject); !wrong.empty())
      Note(c, absl::StrCat("subject: ", wrong));
    if (std::string wrong = NameDefect(issuer); !wrong.empty())
      Note(c, absl::StrCat("issuer: ", wrong));
    if (X509_NAME_entry_count(issuer) == 0) Note(c, "issuer is empty");
  }

  static void FillKeyAndSignature(Certificate* c) {
    X509* x = c->x509_.get();
    int digest = NID_undef, algorithm = NID_undef, bits = 0;
    uint32_t flags = 0;
    X509_get_signature_info(x, &digest, &algorithm, &bits, &flags);
    c->signature_nid_ = X509_get_signature_nid(x);
    c->signature_digest_nid_ = digest;
    EVP_PKEY* key = X509_get0_pubkey(x);
    if (key == nullptr) {
      Note(c, "public key cannot be read");
      return;
    }
    c->key_family_ = FamilyOf(key);
    c->key_bits_ = EVP_PKEY_get_bits(key);
    if (c->key_family_ == KeyFamily::kRsa) c->modest_exponent_ = HasModestExponent(key);
  }
};

bool Certificate::self_signed() const {
  if (!self_issued_) return false;
  Known known = self_signed_.load(std::memory_order_relaxed);
  if (known == Known::kNotYet) {
    const bool affordable = key() != nullptr && key_bits_ <= kMaxSelfSignatureBits && modest_exponent_;
    known = affordable && X509_verify(x509(), key()) == 1 ? Known::kYes : Known::kNo;
    ERR_clear_error();
    self_signed_.store(known, std::memory_order_relaxed);
  }
  return known == Known::kYes;
}

bool Certificate::IsSignedBy(const Certificate& issuer) const {
  const Sha256Digest* signer = signer_.load(std::memory_order_acquire);
  if (signer != nullptr && *signer == issuer.spki_sha256_) return true;
  const bool verified = X509_verify(x509(), issuer.key()) == 1;
  ERR_clear_error();
  if (!verified || signer != nullptr || !is_ca()) return verified;
  auto found = std::make_unique<const Sha256Digest>(issuer.spki_sha256_);
  if (signer_.compare_exchange_strong(signer, found.get(), std::memory_order_release, std::memory_order_relaxed)) {
    static_cast<void>(found.release());
  }
  return true;
}

absl::StatusOr<CertificateRef> Certificate::FromDer(absl::string_view der) {
  if (der.size() > kMaxCertificateSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        "certificate of ", der.size(), " octets, at most ", kMaxCertificateSize, " are read"));
  }
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  UniqueX509 x509(d2i_X509(nullptr, &p, static_cast<long>(der.size())));
  if (x509 == nullptr) return OpenSslError("certificate cannot be read");
  if (reinterpret_cast<const char*>(p) != der.data() + der.size()) {
    return absl::InvalidArgumentError("octets follow the certificate");
  }
  std::string copy(der);
  unsigned char* again = nullptr;
  const int size = i2d_X509(x509.get(), &again);
  const bool same = size > 0 && absl::string_view(reinterpret_cast<const char*>(again),
                                                  static_cast<size_t>(size)) == der;
  OPENSSL_free(again);
  if (!same) return absl::InvalidArgumentError("certificate is not DER");
  return CertificateParser::Parse(std::move(x509), std::move(copy));
}

absl::StatusOr<CertificateRef> Certificate::FromX509(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size <= 0) return OpenSslError("certificate cannot be encoded");
  std::string copy(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  if (copy.size() > kMaxCertificateSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        "certificate of ", copy.size(), " octets, at most ", kMaxCertificateSize, " are read"));
  }
  X509_up_ref(certificate);
  return CertificateParser::Parse(UniqueX509(certificate), std::move(copy));
}

absl::StatusOr<std::vector<CertificateRef>> Certificate::ListFromPem(absl::string_view pem) {
  std::vector<CertificateRef> out;
  UniqueBio bio = MemoryBio(pem);
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &name, &header, &data, &size) != 1) {
      const unsigned long error = ERR_peek_last_error();
      const bool end =
          ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
      if (!end) return OpenSslError("PEM cannot be read");
      ERR_clear_error();
      break;
    }
    const std::string kind = name;
    const std::string der(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<size_t>(size));
    if (absl::StrContains(kind, "PRIVATE KEY")) {
      return absl::InvalidArgumentError("is a private key, not a certificate");
    }
    if (kind != PEM_STRING_X509 && kind != PEM_STRING_X509_OLD) {
      return absl::InvalidArgumentError(
          absl::StrCat("is PEM of kind \"", EscapeText(kind), "\", not a certificate"));
    }
    absl::StatusOr<CertificateRef> certificate = FromDer(der);
    if (!certificate.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          out.empty() ? "" : absl::StrCat("certificate ", out.size() + 1, " of the text: "),
          certificate.status().message()));
    }
    out.push_back(*std::move(certificate));
  }
  if (out.empty()) {
    if (pem.empty()) return absl::InvalidArgumentError("is empty");
    if (pem.front() == 0x30) return absl::InvalidArgumentError("is DER, not PEM");
    return absl::InvalidArgumentError("holds no PEM block");
  }
  return out;
}

std::string Certificate::ToPem() const {
  UniqueBio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), x509_.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

Sha256Digest PresentedKey(const std::vector<absl::string_view>& ders) {
  std::string all;
  size_t total = 0;
  for (absl::string_view der : ders) total += der.size() + 4;
  all.reserve(total);
  for (absl::string_view der : ders) {
    const auto n = static_cast<uint32_t>(der.size());
    for (int shift = 24; shift >= 0; shift -= 8) all += static_cast<char>(n >> shift & 0xff);
    all.append(der.data(), der.size());
  }
  return Sha256(all);
}

}  // namespace gatehouse::certs
