#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/certs/certificate.h"
#include "gateway/identity/claims.h"

namespace gatehouse::identity {
namespace {

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

}  // namespace

std::string CertificatePrincipal(const certs::Certificate& leaf, NameFormat format, bool by_key) {
  if (by_key) return absl::StrCat("spki-sha256:", HexLower(AsView(leaf.spki_sha256())));
  return format == NameFormat::kDotNet ? leaf.subject_dotnet() : leaf.subject();
}

std::vector<Claim> CertificateClaims(const certs::Certificate& leaf,
                                     const CertificateClaimOptions& options, bool by_key) {
  const std::string subject = CertificatePrincipal(leaf, options.name_format, by_key);
  const std::string& issuer = by_key ? subject : options.name_format == NameFormat::kDotNet ? leaf.issuer_dotnet() : leaf.issuer();
  std::vector<Claim> claims;
  claims.reserve(8 + leaf.sans().size());
  const auto add = [&](absl::string_view type, std::string value) {
    claims.push_back({std::string(type), std::move(value), issuer, options.scheme});
  };
  add(kNameIdentifier, subject);
  add(kName, subject);
  add("thumbprint", leaf.sha1_hex());
  if (by_key) {
    add("thumbprint_sha256", HexUpper(AsView(leaf.sha256())));
    return claims;
  }
  add("issuer", issuer);
  add("serialnumber", options.serial_format == SerialFormat::kInteger ? leaf.serial_hex_integer()
                                                                      : leaf.serial_hex_dotnet());
  add("thumbprint_sha256", HexUpper(AsView(leaf.sha256())));
  add("notbefore", Rfc3339(leaf.not_before()));
  add("notafter", Rfc3339(leaf.not_after()));
  for (const certs::San& san : leaf.sans()) add(certs::SanKindName(san.kind), san.text);
  return claims;
}

IdentityRef CertificateIdentity(std::shared_ptr<const certs::Certificate> leaf,
                                std::vector<std::shared_ptr<const certs::Certificate>> path,
                                const CertificateClaimOptions& options, bool pinned,
                                bool any_self_signed, bool by_key) {
  Part part;
  part.kind = PartKind::kCertificate;
  part.scheme = options.scheme;
  part.principal = CertificatePrincipal(*leaf, options.name_format, by_key);
  part.claims = CertificateClaims(*leaf, options, by_key);
  part.certificate = std::move(leaf);
  part.path = std::move(path);
  part.pinned = pinned;
  part.any_self_signed = any_self_signed;
  part.by_key = by_key;
  return Identity::Of(std::move(part));
}

}  // namespace gatehouse::identity
