#include "gateway/identity/claims.h"

#include <array>

#include "absl/strings/match.h"

namespace gatehouse::identity {
namespace {

// Issued by every scheme, from what it proved.
bool IsNameClaim(absl::string_view type) {
  return absl::EqualsIgnoreCase(type, kNameIdentifier) || absl::EqualsIgnoreCase(type, kName);
}

bool IsCertificateClaim(absl::string_view type) {
  static constexpr std::array<absl::string_view, 11> kTypes = {"thumbprint", "thumbprint_sha256",
                                                               "issuer",     "serialnumber",
                                                               "notbefore",  "notafter",
                                                               "dns",        "email",
                                                               "uri",        "ip",
                                                               "upn"};
  for (absl::string_view reserved : kTypes) {
    if (absl::EqualsIgnoreCase(type, reserved)) return true;
  }
  return false;
}

}  // namespace

absl::string_view ClaimType(absl::string_view type) {
  if (type == "nameidentifier") return kNameIdentifier;
  if (type == "name") return kName;
  return type;
}

bool IsReservedClaimType(absl::string_view type) {
  return IsNameClaim(type) || IsCertificateClaim(type) || absl::EqualsIgnoreCase(type, "name") ||
         absl::EqualsIgnoreCase(type, "nameidentifier");
}

bool CanIssue(PartKind kind, absl::string_view type) {
  const absl::string_view full = ClaimType(type);
  if (full == kName || full == kNameIdentifier) return true;
  return kind == PartKind::kCertificate ? IsCertificateClaim(full) : !IsReservedClaimType(full);
}

std::vector<Claim> BasicClaims(const credentials::User& user, absl::string_view scheme,
                               absl::string_view user_store) {
  std::vector<Claim> claims;
  claims.reserve(2 + user.claims.size());
  const auto add = [&](absl::string_view type, absl::string_view value) {
    claims.push_back(
        {std::string(type), std::string(value), std::string(user_store), std::string(scheme)});
  };
  add(kNameIdentifier, user.name);
  add(kName, user.name);
  for (const credentials::UserClaim& claim : user.claims) {
    if (!IsReservedClaimType(claim.type)) add(claim.type, claim.value);
  }
  return claims;
}

IdentityRef BasicIdentity(const credentials::User& user, absl::string_view scheme,
                          absl::string_view user_store) {
  Part part;
  part.kind = PartKind::kBasic;
  part.scheme = std::string(scheme);
  part.principal = user.name;
  part.claims = BasicClaims(user, scheme, user_store);
  return Identity::Of(std::move(part));
}

}  // namespace gatehouse::identity
