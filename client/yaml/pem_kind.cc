#include "client/yaml/pem_kind.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"

namespace gatehouse::client {
namespace {

const char* Wanted(PemKind want) {
  switch (want) {
    case PemKind::kCertificate:
      return "a certificate";
    case PemKind::kPrivateKey:
      return "a private key";
    case PemKind::kCrl:
      return "a certificate revocation list";
  }
  return "anything known";
}

}  // namespace

std::string WrongPem(absl::string_view text, PemKind want) {
  static constexpr absl::string_view kBegin = "-----BEGIN ";
  bool found = false;
  std::string other;
  size_t at = 0;
  while ((at = text.find(kBegin, at)) != absl::string_view::npos) {
    at += kBegin.size();
    size_t end = text.find("-----", at);
    if (end == absl::string_view::npos || end - at > 64) continue;
    absl::string_view label = text.substr(at, end - at);
    bool key = absl::EndsWith(label, "PRIVATE KEY");
    if (key && want != PemKind::kPrivateKey) return absl::StrCat("is a private key, not ", Wanted(want));
    if (label == "ENCRYPTED PRIVATE KEY") return "is an encrypted private key; decrypt it first";
    bool right = (want == PemKind::kPrivateKey && key) || (want == PemKind::kCrl && label == "X509 CRL") ||
                 (want == PemKind::kCertificate && (label == "CERTIFICATE" || label == "X509 CERTIFICATE"));
    found = found || right;
    if (!right && other.empty()) other = EscapeText(label);
  }
  if (found) return "";
  if (other == "CERTIFICATE") other = "a certificate";
  if (other == "X509 CRL") other = "a certificate revocation list";
  if (other.empty()) return absl::StrCat("holds no PEM block, let alone ", Wanted(want));
  return absl::StrCat("is ", other, ", not ", Wanted(want));
}

}  // namespace gatehouse::client
