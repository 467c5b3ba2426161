// Ledger is where every write ends, and every refused call: it makes the AUDIT event and the entry of the history.
//
//   a change of the configuration   Wrote: the revision is its entry
//   any other write                 Append: an entry of its own
//   a call that was refused         Refused: by the guard, by its limits, by what it asked for; its entry is written soon after
//
// A call that writes and ends badly without a word is told of all the same (Deed::End).
//
// Ownership:  the store outlives it.
// Threading:  thread-safe; Append blocks on the store: never on a gRPC thread.
// Errors:     Append: UNAVAILABLE; what was written stands, and is told of as such.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/api/audit.h"
#include "control/api/history_queue.h"
#include "control/store/store.h"
#include "gateway/base/clock.h"

namespace gatehouse::api {

// What a write did that changed no configuration.
struct Act {
  std::string method;                // "GatewayService/Join"
  std::vector<std::string> effects;  // a line each; no secrets
  std::string actor;                 // who, where the caller has no name; empty: "unknown"
  bool routine = false;              // see store::Entry
};

class Ledger {
 public:
  // `tell` hears of every event. Must be quick.
  Ledger(store::Store& store, const Clock& clock, std::function<void(v1::Event)> tell)
      : store_(store), clock_(clock), tell_(std::move(tell)), queue_(store) {}

  // A write of the configuration, a trial of one, or why it was refused.
  void Wrote(const Caller& by, const absl::StatusOr<Outcome>& result, const WriteOptions& options);
  absl::Status Append(const Caller& by, const Act& act);
  // `method` may be a path. What one caller is refused in a loop is told now and then.
  void Refused(const Caller& who, absl::string_view method, const absl::Status& why);
  // Returns once the entries of what was refused before are written.
  void Flush() { queue_.Flush(); }

 private:
  void TellRefusal(const Caller& who, v1::Event event, const absl::Status& why);

  store::Store& store_;
  const Clock& clock_;
  const std::function<void(v1::Event)> tell_;
  // Apart: strangers hide nothing of what those are refused who may call something.
  Refusals strangers_{{.of_one = {1, 10}, .of_all = {20, 200}}};
  Refusals known_{{.of_one = {10, 100}, .of_all = {100, 1000}}};
  HistoryQueue queue_;
};

}  // namespace gatehouse::api
