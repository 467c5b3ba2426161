// Decide turns what the schemes of a route say about a request into one answer. Pure: it knows no
// socket, clock or scheme, and can be called again when something that was pending is known.
//
//   any_of: in the order given, the first success wins; a pending scheme suspends, later ones are
//   not asked. all_of: in the order given, the first that is not a success decides; the identities
//   merge. policies: each must hold for the resulting identity and the request's facts, else 403; they see the claims and
//   the certificate of schemes that succeeded and count, and no others.
//
// Ownership:  values.
// Threading:  pure.
// Errors:     none; what is broken (no scheme, a null policy or identity) is refused, never
// allowed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/reason.h"
#include "gateway/identity/identity.h"
#include "gateway/identity/policy.h"

namespace gatehouse::authn {

// kAnyScheme is any_of over the schemes that config::Build found to be in any_scheme.
enum class Mode : uint8_t { kAnonymous, kAnyOf, kAllOf, kAnyScheme };

struct Requirement {
  Mode mode = Mode::kAnyOf;       // with no scheme: refuses
  std::vector<uint32_t> schemes;  // indexes into the snapshot's schemes, in the order to ask
  std::vector<std::shared_ptr<const identity::Policy>> policies;
};

// SchemeResult is what one scheme says.
struct SchemeResult {
  enum class Kind : uint8_t {
    kNoResult,  // nothing was presented for this scheme
    kSuccess,
    kFailure,
    kPending,  // ask again later
  };
  Kind kind = Kind::kNoResult;
  Reason reason = Reason::kNone;   // kNoResult: kNoCertificate or kNoCredentials; kFailure: why
  identity::IdentityRef identity;  // kSuccess
  absl::Duration retry_after =
      absl::ZeroDuration();  // kFailure by kLockedOut, kVerifierOverloaded or kVerifierUnavailable

  static SchemeResult NoResult(Reason reason) { return {Kind::kNoResult, reason, nullptr, {}}; }
  static SchemeResult Success(identity::IdentityRef identity) {
    return {Kind::kSuccess, Reason::kNone, std::move(identity), {}};
  }
  static SchemeResult Failure(Reason reason, absl::Duration retry_after = absl::ZeroDuration()) {
    return {Kind::kFailure, reason, nullptr, retry_after};
  }
  static SchemeResult Pending() { return {Kind::kPending, Reason::kNone, nullptr, {}}; }
};

class SchemeSource {
 public:
  virtual ~SchemeSource() = default;
  // Check asks scheme `index` about this request. Asked at most once per Decide; must not forget an
  // answer between two Decides of one request.
  virtual SchemeResult Check(uint32_t index) = 0;
};

// What policies are asked about besides the identity; what is left out is not known to them.
struct RequestFacts {
  absl::Span<const uint8_t> address = {};  // as identity::Facts has it
  absl::Time now = absl::InfinitePast();
};

struct Decision {
  enum class Kind : uint8_t {
    kAllow,      // identity; its parts are empty for anonymous
    kChallenge,  // 401 with the route's challenges
    kDeny,       // status 403, 429 or 503
    kPending,    // a scheme has no answer yet: `scheme`
  };
  static constexpr uint32_t kNoScheme = UINT32_MAX;

  Kind kind = Kind::kDeny;
  Reason reason = Reason::kNoCredentials;  // for event, log and metric; never for the client
  int status = 403;                        // 200, 401, 403, 429, 503; 0 while pending
  identity::IdentityRef identity;          // kAllow; also on a 403 by policy: who was refused
  uint32_t scheme =
      kNoScheme;  // the scheme that decided: pending, first success, or the one refused
  absl::Duration retry_after = absl::ZeroDuration();  // 429 and 503
  std::shared_ptr<const identity::Policy>
      policy;  // the policy that did not hold; has public_message
};

Decision Decide(const Requirement& requirement, SchemeSource& schemes, const RequestFacts& facts = {});

}  // namespace gatehouse::authn
