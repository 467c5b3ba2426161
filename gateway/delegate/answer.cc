#include "gateway/delegate/answer.h"

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/identity/claims.h"

namespace gatehouse::delegate {
namespace {

bool IsText(absl::string_view text) {
  return IsValidUtf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<uint8_t>(c) < 0x20 || c == 0x7f;
         });
}

// What is wrong with the claim, or "".
std::string Problem(const credentials::UserClaim& claim) {
  if (claim.type.empty()) return "type is empty";
  if (claim.type.size() > kMaxClaimTypeBytes) return absl::StrCat("type has more than ", kMaxClaimTypeBytes, " bytes");
  if (!IsText(claim.type)) return "type is not UTF-8 without control characters";
  if (identity::IsReservedClaimType(claim.type)) {
    return "type is reserved to certificate schemes and to the user's name";
  }
  if (claim.value.size() > kMaxClaimValueBytes) return absl::StrCat("value has more than ", kMaxClaimValueBytes, " bytes");
  if (!IsText(claim.value)) return "value is not UTF-8 without control characters";
  return "";
}

absl::StatusOr<Believed> Refused(Reason reason) {
  Believed believed;
  believed.reason = reason;
  return believed;
}

}  // namespace

absl::StatusOr<Believed> Read(const Reply& reply, absl::string_view user) {
  switch (reply.verdict) {
    case Verdict::kNone: return absl::InvalidArgumentError("the answer has no verdict");
    case Verdict::kWrongPassword: return Refused(Reason::kWrongPassword);
    case Verdict::kUnknownUser: return Refused(Reason::kUnknownUser);
    case Verdict::kUserDisabled: return Refused(Reason::kUserDisabled);
    case Verdict::kAllow: break;
  }
  if (!reply.user.empty() && reply.user != user) {
    return absl::InvalidArgumentError("the answer names another user than was asked about");
  }
  if (reply.lifetime < absl::ZeroDuration()) return absl::InvalidArgumentError("the answer's lifetime is negative");
  if (reply.claims.size() > kMaxClaims) {
    return absl::InvalidArgumentError(absl::StrCat("the answer has more than ", kMaxClaims, " claims"));
  }
  for (size_t i = 0; i < reply.claims.size(); ++i) {
    const std::string problem = Problem(reply.claims[i]);
    if (!problem.empty()) return absl::InvalidArgumentError(absl::StrCat("the answer's claims[", i, "].", problem));
  }
  auto believed = std::make_shared<credentials::User>();
  believed->name = std::string(user);
  believed->claims = reply.claims;
  Believed out;
  out.user = std::move(believed);
  out.lifetime = reply.lifetime;
  return out;
}

}  // namespace gatehouse::delegate
