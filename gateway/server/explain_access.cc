#include "gateway/server/explain_access.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/config/build_verdict.h"
#include "gateway/identity/claims.h"
#include "gateway/server/live_judge.h"

namespace gatehouse::server {
namespace {

using authn::SchemeResult;

std::string Utf8(absl::string_view text) { return IsValidUtf8(text) ? std::string(text) : EscapeText(text); }

v1::Reason ToProto(Reason reason) { return static_cast<v1::Reason>(reason); }

absl::string_view ModeName(authn::Mode mode) {
  switch (mode) {
    case authn::Mode::kAnonymous: return "anonymous";
    case authn::Mode::kAnyOf: return "any_of";
    case authn::Mode::kAllOf: return "all_of";
    case authn::Mode::kAnyScheme: return "any_scheme";
  }
  return "";
}

}  // namespace

SchemeResult Presented::Check(uint32_t index) {
  auto [it, fresh] = answers_.try_emplace(index);
  if (fresh) it->second = Ask(snapshot_.scheme(index));
  return it->second.result;
}

Presented::Answer Presented::Ask(const config::Scheme& scheme) const {
  if (scheme.is_certificate()) return AskCertificate(scheme);
  if (scheme.validator != nullptr) {
    return {SchemeResult::NoResult(Reason::kNoCredentials), "a service of your own decides; it is not asked here"};
  }
  const auto* basic = std::get_if<credentials::BasicSchemeRef>(&scheme.kind);
  if (basic != nullptr && *basic != nullptr) return AskBasic(scheme, **basic);
  return {SchemeResult::NoResult(Reason::kNoCredentials), "what it would say is not known here"};
}

Presented::Answer Presented::AskCertificate(const config::Scheme& scheme) const {
  if (credentials_.chain.empty()) return {SchemeResult::NoResult(Reason::kNoCertificate), "no certificate is presented"};
  certs::Verdict verdict =
      JudgeLive(credentials_.chain, *scheme.certificate(), at_, revocation_, /*offline=*/true, nullptr);
  if (verdict.outcome != certs::Outcome::kValid) return {SchemeResult::Failure(verdict.reason), ""};
  return {SchemeResult::Success(identity::CertificateIdentity(std::move(verdict.leaf), std::move(verdict.path), scheme.claims,
                                                              verdict.pinned, verdict.any_self_signed, verdict.by_key)),
          ""};
}

Presented::Answer Presented::AskBasic(const config::Scheme& scheme, const credentials::BasicScheme& basic) const {
  if (credentials_.user.empty()) return {SchemeResult::NoResult(Reason::kNoCredentials), "no password is presented"};
  const credentials::UserRef user = basic.users == nullptr ? nullptr : basic.users->Find(credentials_.user);
  if (user == nullptr) {
    return {SchemeResult::Failure(Reason::kUnknownUser), absl::StrCat("no such user in ", scheme.user_store_name)};
  }
  if (scheme.user_store_name != credentials_.user_store) {
    return {SchemeResult::Failure(Reason::kWrongPassword),
            absl::StrCat("the user of that name in ", scheme.user_store_name, " is taken to have another password")};
  }
  if (user->disabled) return {SchemeResult::Failure(Reason::kUserDisabled), "the user is disabled"};
  if (user->expires && at_ >= *user->expires) {
    return {SchemeResult::Failure(Reason::kUserDisabled),
            absl::StrCat("the user expired at ", absl::FormatTime(absl::RFC3339_sec, *user->expires, absl::UTCTimeZone()))};
  }
  return {SchemeResult::Success(identity::BasicIdentity(*user, scheme.name, scheme.user_store_name)),
          "if the password is right"};
}

void FillAccess(const config::Snapshot& snapshot, const config::Route& route, const Credentials& credentials,
                const authn::RequestFacts& facts, RevocationDesk* revocation, v1::AccessVerdict* out) {
  Presented presented(snapshot, credentials, facts.now, revocation);
  const authn::Decision decision = authn::Decide(route.requirement, presented, facts);
  out->set_route(route.name);
  out->set_status(static_cast<uint32_t>(decision.status));
  out->set_reason(ToProto(decision.reason));
  out->set_require(std::string(ModeName(route.requirement.mode)));
  for (uint32_t index : route.requirement.schemes) {
    v1::SchemeAnswer* to = out->add_schemes();
    const config::Scheme& scheme = snapshot.scheme(index);
    to->set_scheme(scheme.name);
    auto answer = presented.answers().find(index);
    if (answer == presented.answers().end()) continue;
    const SchemeResult& result = answer->second.result;
    to->set_asked(true);
    to->set_accepted(result.kind == SchemeResult::Kind::kSuccess);
    to->set_reason(ToProto(result.reason));
    to->set_detail(answer->second.detail);
    if (to->accepted() && !scheme.is_certificate()) out->set_if_password_right(true);
  }
  if (decision.identity == nullptr) return;
  out->set_principal(Utf8(decision.identity->principal()));
  for (const identity::PolicyRef& policy : route.requirement.policies) {
    config::FillVerdict(*policy, {*decision.identity, facts.address, facts.now}, out->add_policies());
  }
  decision.identity->ForEachClaim([out](const identity::Claim& claim) {
    v1::ExplainedClaim* to = out->add_claims();
    to->set_type(claim.type);
    to->set_value(Utf8(claim.value));
    to->set_issuer(Utf8(claim.issuer));
    to->set_scheme(claim.scheme);
  });
}

}  // namespace gatehouse::server
