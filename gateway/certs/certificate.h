// Certificate is one parsed X.509 certificate: everything that a verdict, a claim or a header needs, read once.
//
// Parsing is lenient enough for roots that systems ship and strict about form: DER only, no trailing bytes, a bounded
// size, no extension twice, decodable key. What makes a certificate unfit to name a caller (ambiguous names, NUL or
// control characters, SAN entries that are not names, a bad serial number) does not fail parsing; it is its defect(),
// and the validator refuses a leaf or an intermediate that has one.
//
// Ownership:  immutable, shared as CertificateRef; owns its X509.
// Threading:  immutable; any thread.
// Units:      times are wall-clock; sizes in octets.
// Errors:     kInvalidArgument with the cause.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/base/openssl.h"
#include "gateway/certs/extensions.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxCertificateSize = 64 * 1024;
inline constexpr int kMaxExponentBits = 32;  // of an RSA key: a longer one only costs the verifier

enum class SanKind : uint8_t { kDns, kEmail, kUri, kIp, kUpn };
// "dns", "email", "uri", "ip", "upn".
absl::string_view SanKindName(SanKind kind);

struct San {
  SanKind kind = SanKind::kDns;
  std::string text;  // an address in its usual text form
  friend bool operator==(const San&, const San&) = default;
};

// One attribute of a distinguished name, in the order of the encoding: least specific first.
struct NameAttribute {
  std::string oid;         // dotted
  std::string value;       // UTF-8, as it stands
};

enum class KeyFamily : uint8_t { kRsa, kEc, kEd25519, kEd448, kOther };

class Certificate;
using CertificateRef = std::shared_ptr<const Certificate>;

class Certificate {
 public:
  static absl::StatusOr<CertificateRef> FromDer(absl::string_view der);
  // Takes a reference of its own. REQUIRES: certificate is not null.
  static absl::StatusOr<CertificateRef> FromX509(X509* certificate);
  // Every certificate of a PEM text, in order; at least one, else an error that says what the text is instead. Text
  // between blocks is ignored; a block of any other kind is an error.
  static absl::StatusOr<std::vector<CertificateRef>> ListFromPem(absl::string_view pem);

  ~Certificate() { delete signer_.load(std::memory_order_relaxed); }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  const std::string& der() const { return *der_; }
  // The same for whoever keeps the octets longer than the certificate.
  const std::shared_ptr<const std::string>& shared_der() const { return der_; }
  // Not to be changed by the caller.
  X509* x509() const { return x509_.get(); }
  EVP_PKEY* key() const { return X509_get0_pubkey(x509_.get()); }

  const Sha256Digest& sha256() const { return sha256_; }
  const Sha256Digest& spki_sha256() const { return spki_sha256_; }
  // Upper-case hex, as .NET prints a thumbprint.
  const std::string& sha1_hex() const { return sha1_hex_; }

  // RFC 4514.
  const std::string& subject() const { return subject_; }
  const std::string& issuer() const { return issuer_; }
  const std::string& subject_dotnet() const { return subject_dotnet_; }
  const std::string& issuer_dotnet() const { return issuer_dotnet_; }
  const std::vector<NameAttribute>& subject_attributes() const { return subject_attributes_; }

  // Upper-case hex of the INTEGER's content octets; a leading 00 stays.
  const std::string& serial_hex_dotnet() const { return serial_hex_dotnet_; }
  // The same without leading 00.
  const std::string& serial_hex_integer() const { return serial_hex_integer_; }

  absl::Time not_before() const { return not_before_; }
  absl::Time not_after() const { return not_after_; }
  const std::vector<San>& sans() const { return sans_; }

  // Subject and issuer names are equal.
  bool self_issued() const { return self_issued_; }
  // self_issued and the signature verifies with the certificate's own key. Verified when first asked, and never with an
  // RSA key that is absurd (modulus or exponent).
  bool self_signed() const;
  // Whether the signature verifies with `issuer`'s key. That it does is remembered for one key: authorities are presented
  // again and again. The caller has seen to it that the key is not absurd.
  bool IsSignedBy(const Certificate& issuer) const;
  // Version 3 with basicConstraints CA:TRUE.
  bool is_ca() const { return extensions_.ca; }
  const Extensions& extensions() const { return extensions_; }

  KeyFamily key_family() const { return key_family_; }
  // RSA modulus or curve size.
  int key_bits() const { return key_bits_; }
  // False for an RSA key whose public exponent is even, one or longer than kMaxExponentBits.
  bool modest_exponent() const { return modest_exponent_; }
  // OpenSSL's numbers of the signature algorithm and of its digest (NID_undef for EdDSA).
  int signature_nid() const { return signature_nid_; }
  int signature_digest_nid() const { return signature_digest_nid_; }

  // Why the certificate cannot name a caller or issue; empty when it can.
  const std::string& defect() const { return defect_; }

  std::string ToPem() const;

 private:
  Certificate() = default;
  friend class CertificateParser;

  std::shared_ptr<const std::string> der_;
  UniqueX509 x509_;
  Sha256Digest sha256_{};
  Sha256Digest spki_sha256_{};
  std::string sha1_hex_;
  std::string subject_, issuer_, subject_dotnet_, issuer_dotnet_;
  std::vector<NameAttribute> subject_attributes_;
  std::string serial_hex_dotnet_, serial_hex_integer_;
  absl::Time not_before_, not_after_;
  std::vector<San> sans_;
  std::string defect_;
  int key_bits_ = 0;
  int signature_nid_ = 0;
  int signature_digest_nid_ = 0;
  KeyFamily key_family_ = KeyFamily::kOther;
  bool modest_exponent_ = true;
  bool self_issued_ = false;
  enum class Known : uint8_t { kNotYet, kNo, kYes };
  mutable std::atomic<Known> self_signed_ = Known::kNotYet;  // whoever asks first writes what all would
  // spki_sha256 of a key that the signature verified with. Owned; written once.
  mutable std::atomic<const Sha256Digest*> signer_ = nullptr;
  Extensions extensions_;
};

// PresentedKey digests a whole presented list, leaf first: each certificate's length and octets.
Sha256Digest PresentedKey(const std::vector<absl::string_view>& ders);

}  // namespace gatehouse::certs
