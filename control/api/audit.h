// What is told of calls that write, and of those that are refused: events of type AUDIT.
//
// Threading:  AuditEvent is a pure function; Refusals is thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/api/changes.h"
#include "control/api/guard.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event.pb.h"

namespace gatehouse::api {

// Hears of every write and of every refused call (type AUDIT). Must be quick.
using Audit = std::function<void(v1::Event)>;

// `method` is what a person reads, e.g. "Apply (dry run)"; the facts come from `options`. At most kMaxAuditLines lines tell
// what changed, secrets masked.
inline constexpr int kMaxAuditLines = 100;
v1::Event AuditEvent(absl::string_view method, const Caller& who, const absl::StatusOr<Outcome>& result,
                     const WriteOptions& options = {});

// Refusals tells of calls that the guard refused, and no more of one caller, or of all, than the stream of events bears: who
// is refused in a loop is told of now and then, with the number that was left out.
class Refusals {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  explicit Refusals(Audit audit) : audit_(std::move(audit)) {}

  void Tell(const Caller& who, absl::string_view method, const absl::Status& why, Instant now);

 private:
  struct Bucket {
    double tokens = 0;
    Instant refilled{};
    bool Take(double per_second, double burst, Instant now);
  };
  const Audit audit_;
  Mutex mutex_;
  Bucket all_ ABSL_GUARDED_BY(mutex_);
  LruCache<std::string, Bucket> callers_ ABSL_GUARDED_BY(mutex_){4096};
  uint64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace gatehouse::api
