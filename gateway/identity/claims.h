// The claims that Gatehouse issues, and which types nobody else may issue.
//
// Threading:  pure.
// Errors:     none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gateway/credentials/user_store.h"
#include "gateway/identity/identity.h"

namespace gatehouse::identity {

inline constexpr char kNameIdentifier[] =
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
inline constexpr char kName[] = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";

// ClaimType turns the short words `nameidentifier` and `name` into their URIs and leaves every
// other type alone.
absl::string_view ClaimType(absl::string_view type);

enum class NameFormat : uint8_t { kRfc4514, kDotNet };
enum class SerialFormat : uint8_t { kDotNet, kInteger };

struct CertificateClaimOptions {
  std::string scheme;
  NameFormat name_format = NameFormat::kRfc4514;
  SerialFormat serial_format = SerialFormat::kDotNet;
};

// CertificatePrincipal is the subject in the given format; of a certificate that is pinned by its key `spki-sha256:` and 64 hex digits.
std::string CertificatePrincipal(const certs::Certificate& leaf, NameFormat format, bool by_key = false);

// CertificateClaims: nameidentifier, name, thumbprint, issuer, serialnumber, thumbprint_sha256,
// notbefore, notafter (RFC 3339, UTC) and one claim for each SAN entry (dns, email, uri, ip, upn). `by_key`: the first two, which
// say the key, and the thumbprints, all issued by that key.
std::vector<Claim> CertificateClaims(const certs::Certificate& leaf,
                                     const CertificateClaimOptions& options, bool by_key = false);

// CertificateIdentity is the identity of a valid verdict: its leaf and its path (leaf first, anchor
// last; empty when pinned). Build it once per verdict, not per request. `pinned`,
// `any_self_signed` and `by_key` are those of the verdict. REQUIRES: leaf is not null.
IdentityRef CertificateIdentity(std::shared_ptr<const certs::Certificate> leaf,
                                std::vector<std::shared_ptr<const certs::Certificate>> path,
                                const CertificateClaimOptions& options, bool pinned = false,
                                bool any_self_signed = false, bool by_key = false);

// BasicClaims: nameidentifier and name = the user, then the user's own; a reserved type is left
// out, whatever the store says.
std::vector<Claim> BasicClaims(const credentials::User& user, absl::string_view scheme,
                               absl::string_view user_store);

// BasicIdentity is the identity of a verified user. Build it once per user and connection, not per
// request.
IdentityRef BasicIdentity(const credentials::User& user, absl::string_view scheme,
                          absl::string_view user_store);

// IsReservedClaimType: types that no user store can mint (compared without ASCII case, short words
// included).
bool IsReservedClaimType(absl::string_view type);

// CanIssue says whether a scheme of this kind can issue claims of `type`; for Basic,
// nameidentifier, name and whatever is not reserved.
bool CanIssue(PartKind kind, absl::string_view type);

}  // namespace gatehouse::identity
