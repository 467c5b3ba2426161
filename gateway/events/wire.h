// The one place where events meet the proto: what the uplink and the hub are told. The wire form is written by hand,
// straight from the slot: this runs once per request.
//
// Errors: text that is not UTF-8 (a path, a name in a certificate) is escaped, since a proto string must be; valid text
//         is passed as it is, and escaped by whoever prints it.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "gateway/events/event.h"
#include "gatehouse/v1/event.pb.h"

namespace gatehouse::events {

// WireAppender appends the fields of a v1::Event to `out`, with `gateway` for its gateway unless that is empty; the cursor
// is left to the hub. Lengths may be longer varints than they need be, which every protobuf parser takes. What an event says as
// the one before it did is not worked out again.
class WireAppender {
 public:
  // `gateway` outlives this.
  explicit WireAppender(absl::string_view gateway) : gateway_(gateway) {}
  void Append(const Event& event, std::string* out);

 private:
  const absl::string_view gateway_;
  std::string head_;  // of the last event: type, outcome, reason, time, gateway; empty: there was none
  EventKind kind_{};
  Outcome outcome_{};
  Reason reason_{};
  absl::Time time_;
};

// The same for a single event.
inline void AppendWire(const Event& event, absl::string_view gateway, std::string* out) { WireAppender(gateway).Append(event, out); }

// AppendEntry is AppendWire as one of a WatchResponse's events: entries put together are a WatchResponse.
void AppendEntry(const Event& event, absl::string_view gateway, std::string* out);

// An event's kind and outcome as the proto words them.
v1::Event::Type TypeOf(EventKind kind);
v1::Event::Outcome OutcomeOf(Outcome outcome);

}  // namespace gatehouse::events
