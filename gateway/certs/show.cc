#include "gateway/certs/show.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/base/escape.h"
#include "gateway/certs/names.h"

namespace gatehouse::certs {
namespace {

std::string KeyText(const Certificate& c) {
  switch (c.key_family()) {
    case KeyFamily::kRsa:
      return absl::StrCat("RSA ", c.key_bits(), " bits");
    case KeyFamily::kEd25519:
      return "Ed25519";
    case KeyFamily::kEd448:
      return "Ed448";
    case KeyFamily::kEc: {
      char group[64] = "";
      size_t size = 0;
      EVP_PKEY_get_group_name(c.key(), group, sizeof group, &size);
      ERR_clear_error();
      const char* nist = EC_curve_nid2nist(OBJ_txt2nid(group));
      return absl::StrCat("ECDSA ", nist != nullptr    ? nist
                                    : group[0] != '\0' ? group
                                                       : "unnamed curve");
    }
    case KeyFamily::kOther:
      break;
  }
  return absl::StrCat("other, ", c.key_bits(), " bits");
}

std::vector<std::string> KeyUsages(X509* x) {
  static constexpr struct {
    uint32_t bit;
    const char* name;
  } kBits[] = {{KU_DIGITAL_SIGNATURE, "digitalSignature"},
               {KU_NON_REPUDIATION, "nonRepudiation"},
               {KU_KEY_ENCIPHERMENT, "keyEncipherment"},
               {KU_DATA_ENCIPHERMENT, "dataEncipherment"},
               {KU_KEY_AGREEMENT, "keyAgreement"},
               {KU_KEY_CERT_SIGN, "keyCertSign"},
               {KU_CRL_SIGN, "cRLSign"},
               {KU_ENCIPHER_ONLY, "encipherOnly"},
               {KU_DECIPHER_ONLY, "decipherOnly"}};
  std::vector<std::string> out;
  const uint32_t usage = X509_get_key_usage(x);
  if (usage == UINT32_MAX) return out;
  for (const auto& bit : kBits) {
    if ((usage & bit.bit) != 0) out.push_back(bit.name);
  }
  return out;
}

std::vector<std::string> ExtendedKeyUsages(X509* x) {
  std::vector<std::string> out;
  auto* uses =
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(x, NID_ext_key_usage, nullptr, nullptr));
  ERR_clear_error();
  for (int i = 0; i < sk_ASN1_OBJECT_num(uses); ++i) {
    const ASN1_OBJECT* use = sk_ASN1_OBJECT_value(uses, i);
    const int nid = OBJ_obj2nid(use);
    out.push_back(nid != NID_undef ? OBJ_nid2sn(nid) : DottedOid(use));
  }
  EXTENDED_KEY_USAGE_free(uses);
  return out;
}

std::string Until(const Certificate& c, absl::Time now) {
  if (now < c.not_before()) return " (not yet valid)";
  if (now > c.not_after()) return " (expired)";
  return absl::StrCat(" (", absl::ToInt64Hours(c.not_after() - now) / 24, " days left)");
}

std::string TimeText(absl::Time t) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", t, absl::UTCTimeZone());
}

}  // namespace

CertificateDetails Describe(const Certificate& certificate) {
  CertificateDetails d;
  d.subject = certificate.subject();
  d.issuer = certificate.issuer();
  d.serial = certificate.serial_hex_dotnet();
  d.not_before = certificate.not_before();
  d.not_after = certificate.not_after();
  d.key = KeyText(certificate);
  const char* algorithm = OBJ_nid2ln(certificate.signature_nid());
  d.signature = algorithm != nullptr ? algorithm : "unknown";
  d.sans = certificate.sans();
  d.key_usage = KeyUsages(certificate.x509());
  d.extended_key_usage = ExtendedKeyUsages(certificate.x509());
  d.ca = certificate.is_ca();
  d.self_signed = certificate.self_signed();
  d.sha1 = certificate.sha1_hex();
  d.sha256 = HexLower(AsView(certificate.sha256()));
  d.spki_sha256 = HexLower(AsView(certificate.spki_sha256()));
  d.defect = certificate.defect();
  return d;
}

std::string ShowText(const Certificate& certificate, absl::Time now) {
  const CertificateDetails d = Describe(certificate);
  std::string out;
  const auto line = [&](absl::string_view label, absl::string_view value) {
    absl::StrAppend(&out, label, std::string(label.size() < 14 ? 14 - label.size() : 1, ' '), value,
                    "\n");
  };
  const char* kind = d.self_signed ? (d.ca ? "certificate authority, self-signed" : "self-signed")
                     : d.ca        ? "certificate authority"
                                   : "leaf";
  line("subject", EscapeText(d.subject));
  line("issuer", EscapeText(d.issuer));
  line("kind", kind);
  line("serial", d.serial);
  line("valid from", TimeText(d.not_before));
  line("valid until", absl::StrCat(TimeText(d.not_after), Until(certificate, now)));
  line("key", d.key);
  line("signature", d.signature);
  for (const San& san : d.sans)
    line("name", absl::StrCat(SanKindName(san.kind), ":", EscapeText(san.text)));
  if (!d.key_usage.empty()) line("key usage", absl::StrJoin(d.key_usage, ", "));
  if (!d.extended_key_usage.empty())
    line("extended use", absl::StrJoin(d.extended_key_usage, ", "));
  line("sha256", d.sha256);
  line("spki sha256", d.spki_sha256);
  line("thumbprint", d.sha1);
  if (!d.defect.empty()) line("defect", EscapeText(d.defect));
  return out;
}

}  // namespace gatehouse::certs
