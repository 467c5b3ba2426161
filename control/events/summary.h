// Summary counts decisions: by minute, outcome, reason, route, scheme and gateway, for the last 24 hours.
//
// Memory is bounded: a minute holds at most 2,000 combinations, all minutes together 300,000 (some 20 MiB), and 10,000
// names are known at a time. What is beyond keeps its outcome and reason; its route, scheme and gateway become kOther.
//
// Threading:  thread-safe. Add is called once an event and costs some 50 ns; Count holds the lock for one minute's counts
//             at a time.
// Units:      an event that stands for several (`sampled`) counts as many.
// Errors:     Count: INVALID_ARGUMENT naming the field.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/events/batch.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event_service.pb.h"

namespace gatehouse::hub {

struct SummaryLimits {
  size_t per_minute = 2'000;
  size_t combinations = 300'000;
  size_t names = 10'000;
};

class Summary {
 public:
  // No resource can be called that.
  static constexpr char kOther[] = "(other)";
  static constexpr int kMinutes = 24 * 60;
  static constexpr size_t kMostRows = 10'000;

  explicit Summary(const Clock& clock, SummaryLimits limits = {});
  Summary(const Summary&) = delete;
  Summary& operator=(const Summary&) = delete;

  // Takes note of decisions; what is none is passed over. A time of its own that lies within the 24 hours counts, else `now`
  // does. One of these holds the lock, so that many are counted under it.
  class ABSL_SCOPED_LOCKABLE Adding {
   public:
    Adding(Summary* summary, absl::Time now) ABSL_EXCLUSIVE_LOCK_FUNCTION(summary->mutex_);
    ~Adding() ABSL_UNLOCK_FUNCTION();
    Adding(const Adding&) = delete;
    Adding& operator=(const Adding&) = delete;
    void Add(const Facts& facts) ABSL_NO_THREAD_SAFETY_ANALYSIS { summary_.AddLocked(facts); }

   private:
    Summary& summary_;
  };
  void Add(const Facts& facts, absl::Time now) { Adding(this, now).Add(facts); }

  absl::StatusOr<v1::SummaryResponse> Count(const v1::SummaryRequest& request) const;

 private:
  // What counts are kept apart by; names by number.
  struct Key {
    uint32_t route = 0;
    uint32_t scheme = 0;
    uint32_t gateway = 0;
    uint16_t reason = 0;
    uint16_t outcome = 0;
    bool operator==(const Key& o) const {
      return std::tie(route, scheme, gateway, reason, outcome) == std::tie(o.route, o.scheme, o.gateway, o.reason, o.outcome);
    }
    template <typename H>
    friend H AbslHashValue(H h, const Key& k) {
      return H::combine(std::move(h), k.route, k.scheme, k.gateway, k.reason, k.outcome);
    }
  };
  struct Minute {
    int64_t number = -1;  // of Unix time
    absl::flat_hash_map<Key, uint64_t> counts;
  };
  struct Named {
    std::string text;
    bool used = false;
  };

  // The last name that was asked for in a place, and its number.
  struct Recent {
    std::string text;
    uint32_t number = 0;
  };
  uint32_t NameOf(absl::string_view text, Recent* recent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddLocked(const Facts& facts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Minute& At(int64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes it the place of another minute.
  void Forget(Minute* minute, int64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets what is older than a day, and the names that nothing refers to any more.
  void Turn(int64_t now_minute) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The clock was ahead and is set right: forgets what is of the future.
  void TurnBack(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const SummaryLimits limits_;

  mutable Mutex mutex_;
  absl::Time started_ ABSL_GUARDED_BY(mutex_);
  std::array<Minute, kMinutes> minutes_ ABSL_GUARDED_BY(mutex_);
  size_t combinations_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t newest_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Named> names_ ABSL_GUARDED_BY(mutex_);  // [0]: the empty one, [1]: kOther
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, uint32_t> numbers_ ABSL_GUARDED_BY(mutex_);
  std::string joined_ ABSL_GUARDED_BY(mutex_);  // schemes
  // Most events are like the one before.
  // Where the last decision was counted; null: there is no such place any more.
  Key last_key_ ABSL_GUARDED_BY(mutex_);
  int64_t last_minute_ ABSL_GUARDED_BY(mutex_) = -1;
  uint64_t* last_count_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Recent route_ ABSL_GUARDED_BY(mutex_), scheme_ ABSL_GUARDED_BY(mutex_), gateway_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::hub
