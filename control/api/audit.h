// Events of type AUDIT: what is told of calls that write, and of those that are refused.
//
// Threading:  pure functions; Refusals is thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/api/changes.h"
#include "control/api/guard.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event.pb.h"

namespace gatehouse::api {

// At most kMaxAuditLines lines tell what changed, secrets masked.
inline constexpr int kMaxAuditLines = 100;
// A write of the configuration, or its refusal.
v1::Event AuditEvent(const Caller& who, const absl::StatusOr<Outcome>& result, const WriteOptions& options);
// Another write, under `revision`.
v1::Event ActEvent(const store::Entry& entry, uint64_t revision);
// A refused call. `method` may be a path that a stranger made up.
v1::Event RefusalEvent(const Caller& who, absl::string_view method, const absl::Status& why);
// Why, on one line no longer than an event bears.
std::string RefusalText(const absl::Status& why);
// Whose refusals are counted together: of a name, or of an address (IPv6: /64).
std::string AccountOf(const Caller& who);

// Refusals bounds what is told of refused calls: no more of one caller, or of all, than the stream of events and a disk bear. Who is
// refused in a loop is told of now and then, with the number that was left out.
class Refusals {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  struct Rate {
    double per_second = 1;
    double burst = 1;
  };
  struct Limits {
    Rate of_one, of_all;
  };
  explicit Refusals(Limits limits) : limits_(limits) {}

  // How many were left out before this one, if it is to be told.
  std::optional<uint64_t> Take(const Caller& who, Instant now);

 private:
  struct Bucket {
    double tokens = 0;
    Instant refilled{};
    bool Take(Rate rate, Instant now);
  };
  const Limits limits_;
  Mutex mutex_;
  Bucket all_ ABSL_GUARDED_BY(mutex_);
  LruCache<std::string, Bucket> callers_ ABSL_GUARDED_BY(mutex_){4096};
  uint64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace gatehouse::api
