// Bundle reads what people keep certificates in: PEM, DER, PKCS#7 (.p7b; RFC 2315 section 9.1) and PFX (RFC 7292).
//
// Private keys are left where they are: those of a PFX are not even decrypted, those of PEM are wiped. They are counted.
//
// Ownership:  values; certificates are shared.
// Threading:  pure.
// Units:      at most kMaxBundle octets and kMaxBundled certificates.
// Errors:     kInvalidArgument with the cause; what `password` returns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/secret.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::certs {

inline constexpr size_t kMaxBundle = 16 * 1024 * 1024;
inline constexpr size_t kMaxBundled = 10'000;

struct Bundle {
  enum class Form : uint8_t { kPem, kDer, kPkcs7, kPfx };
  Form form = Form::kPem;
  std::vector<CertificateRef> certificates;  // in the order of the file
  std::vector<std::string> crls_der;         // of PEM and PKCS#7, as they stand
  int private_keys = 0;                      // that were there
};

// `password` is called once when the bytes are a PFX.
absl::StatusOr<Bundle> ReadBundle(absl::string_view bytes, absl::FunctionRef<absl::StatusOr<Secret>()> password);

// A PEM block with this label: "CERTIFICATE", "X509 CRL".
std::string PemBlock(absl::string_view label, absl::string_view der);

// The same certificates in the order of a presented chain: the one that issued none of the others, then its issuer, and so
// on; the rest as they were.
std::vector<CertificateRef> LeafFirst(std::vector<CertificateRef> certificates);

}  // namespace gatehouse::certs
