// Show describes a certificate to people and programs (`gatehousectl cert show`).
//
// Threading:  pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::certs {

// Facts of one certificate; texts are as they stand in the certificate: escape before printing.
struct CertificateDetails {
  std::string subject, issuer, serial;
  absl::Time not_before, not_after;
  std::string key;        // "RSA 2048 bits", "ECDSA P-256", "Ed25519"
  std::string signature;  // "ecdsa-with-SHA256"
  std::vector<San> sans;
  std::vector<std::string> key_usage;           // "digitalSignature", ...
  std::vector<std::string> extended_key_usage;  // "clientAuth", or a dotted OID
  bool ca = false;
  bool self_signed = false;
  std::string sha1, sha256, spki_sha256;  // upper-case hex, lower-case hex, lower-case hex
  std::string defect;
};

CertificateDetails Describe(const Certificate& certificate);

// Several lines of text, escaped, without colours; `now` adds "expired", "not yet valid" or the days left.
std::string ShowText(const Certificate& certificate, absl::Time now);

}  // namespace gatehouse::certs
