#include "gateway/authn/decision.h"

#include <optional>
#include <utility>

namespace gatehouse::authn {
namespace {

using Kind = SchemeResult::Kind;

bool Succeeded(const SchemeResult& result) {
  return result.kind == Kind::kSuccess && result.identity != nullptr;
}

// The documented exceptions to "401 whatever the reason".
bool IsThrottled(const SchemeResult& result) {
  return result.kind == Kind::kFailure &&
         (result.reason == Reason::kLockedOut || result.reason == Reason::kVerifierOverloaded ||
          result.reason == Reason::kVerifierUnavailable);
}

Decision Pending(uint32_t scheme) {
  Decision decision;
  decision.kind = Decision::Kind::kPending;
  decision.reason = Reason::kNone;
  decision.status = 0;
  decision.scheme = scheme;
  return decision;
}

Decision Refuse(const SchemeResult& result, uint32_t scheme) {
  Decision decision;
  decision.scheme = scheme;
  decision.reason = result.reason == Reason::kNone ? Reason::kNoCredentials : result.reason;
  if (IsThrottled(result)) {
    decision.kind = Decision::Kind::kDeny;
    decision.status = result.reason == Reason::kLockedOut ? 429 : 503;
    decision.retry_after = result.retry_after;
  } else {
    decision.kind = Decision::Kind::kChallenge;
    decision.status = 401;
  }
  return decision;
}

// Authenticated: the policies decide.
Decision Authorize(const Requirement& requirement, const RequestFacts& facts, identity::IdentityRef identity,
                   uint32_t scheme) {
  Decision decision;
  decision.scheme = scheme;
  decision.identity = std::move(identity);
  for (const auto& policy : requirement.policies) {
    if (policy != nullptr && policy->Holds({*decision.identity, facts.address, facts.now})) continue;
    decision.kind = Decision::Kind::kDeny;
    decision.reason = Reason::kPolicyNotMet;
    decision.status = 403;
    decision.policy = policy;
    return decision;
  }
  decision.kind = Decision::Kind::kAllow;
  decision.reason = Reason::kNone;
  decision.status = 200;
  return decision;
}

Decision DecideAny(const Requirement& requirement, SchemeSource& schemes, const RequestFacts& facts) {
  // The refusal that is reported: a throttled scheme, else the first that failed, else the first
  // without a result.
  std::optional<std::pair<uint32_t, SchemeResult>> throttled, failed, absent;
  for (uint32_t scheme : requirement.schemes) {
    SchemeResult result = schemes.Check(scheme);
    if (result.kind == Kind::kPending) return Pending(scheme);
    if (Succeeded(result)) return Authorize(requirement, facts, std::move(result.identity), scheme);
    auto& slot = IsThrottled(result) ? throttled : result.kind == Kind::kNoResult ? absent : failed;
    if (!slot) slot.emplace(scheme, std::move(result));
  }
  if (throttled) return Refuse(throttled->second, throttled->first);
  if (failed) return Refuse(failed->second, failed->first);
  if (absent && requirement.schemes.size() == 1) return Refuse(absent->second, absent->first);
  return Refuse(SchemeResult::NoResult(Reason::kNoCredentials), Decision::kNoScheme);
}

Decision DecideAll(const Requirement& requirement, SchemeSource& schemes, const RequestFacts& facts) {
  std::vector<identity::IdentityRef> identities;
  for (uint32_t scheme : requirement.schemes) {
    SchemeResult result = schemes.Check(scheme);
    if (result.kind == Kind::kPending) return Pending(scheme);
    if (!Succeeded(result)) return Refuse(result, scheme);
    identities.push_back(std::move(result.identity));
  }
  if (identities.empty()) {
    return Refuse(SchemeResult::NoResult(Reason::kNoCredentials), Decision::kNoScheme);
  }
  return Authorize(requirement, facts, identity::Identity::Merge(identities), requirement.schemes.front());
}

}  // namespace

Decision Decide(const Requirement& requirement, SchemeSource& schemes, const RequestFacts& facts) {
  switch (requirement.mode) {
    case Mode::kAnonymous: {
      static const identity::IdentityRef* const nobody =
          new identity::IdentityRef(identity::Identity::Merge({}));
      return Authorize(requirement, facts, *nobody, Decision::kNoScheme);
    }
    case Mode::kAnyOf:
    case Mode::kAnyScheme:
      return DecideAny(requirement, schemes, facts);
    case Mode::kAllOf:
      return DecideAll(requirement, schemes, facts);
  }
  return Refuse(SchemeResult::NoResult(Reason::kNoCredentials), Decision::kNoScheme);
}

}  // namespace gatehouse::authn
