// Route is one compiled route: which requests, what they must prove, and what answers them.
//
// Ownership:  owned by its RouteTable; policies, injector and fixed response are shared.
// Threading:  immutable once in a table.
// Units:      scheme, upstream and listener indexes are the snapshot's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gateway/authn/decision.h"
#include "gateway/config/access_log.h"
#include "gateway/config/redirect.h"
#include "gateway/config/rewrite.h"
#include "gateway/config/route_pattern.h"
#include "gateway/identity/headers.h"

namespace gatehouse::config {

inline constexpr uint32_t kNoScheme = authn::Decision::kNoScheme;

enum class Action : uint8_t { kFixedResponse, kIdentityResponse, kUpstream, kRedirect };

// FixedResponse is a constant answer. Equal answers need not be one object.
struct FixedResponse {
  int status = 200;
  std::string content_type;
  std::string body;
};

// ResponseHeaders changes the fields of an answer: first `remove`, then `set`. Names in lower case.
struct ResponseHeaders {
  std::vector<std::pair<std::string, std::string>> set;
  std::vector<std::string> remove;
};

// EventPolicy says which requests that were let in become events.
struct EventPolicy {
  uint32_t sample_one_in = 1;
  bool refuse_on_loss = false;  // 503 when the event could not be kept
};

struct Route {
  std::string name;
  uint32_t index = 0;                // in Snapshot::route_list()
  std::vector<HostPattern> hosts;    // empty: any
  PathPattern path;
  std::vector<std::string> methods;  // empty: every one but CONNECT and TRACE
  std::vector<uint32_t> listeners;   // ascending; never empty
  authn::Requirement requirement;
  // One WWW-Authenticate value for each scheme of the requirement, in its order.
  std::vector<std::string> challenges;
  Action action = Action::kFixedResponse;
  std::shared_ptr<const FixedResponse> fixed_response;  // kFixedResponse
  std::string identity_message;                         // kIdentityResponse; empty: the default text
  uint32_t upstream = 0;                                // kUpstream
  std::shared_ptr<const identity::Injector> injector;   // null: no identity headers
  std::shared_ptr<const Redirect> redirect;             // kRedirect
  std::shared_ptr<const Rewrite> rewrite;               // kUpstream; null: path and host stay
  std::shared_ptr<const ResponseHeaders> response_headers;  // null: the answer stays
  uint64_t max_body_bytes = UINT64_MAX;
  EventPolicy events;
  AccessLogRef access_log;  // null: what the listener says
  absl::Duration timeout = absl::InfiniteDuration();    // kUpstream: from the decision to the end of the answer
  bool keep_authorization = false;
  bool websocket = false;                               // upgrades to WebSocket pass; only with kUpstream

  bool anonymous() const { return requirement.mode == authn::Mode::kAnonymous; }
};

}  // namespace gatehouse::config
