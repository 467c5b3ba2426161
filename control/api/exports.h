// Exports bounds the exports of one service that run: each holds what it is made from, and a part of it until the caller
// has taken that. One whose part was not taken for a minute ends when somebody else wants to begin one.
//
// Ownership:  outlives its places.
// Threading:  thread-safe.
// Errors:     RESOURCE_EXHAUSTED, saying what to do.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

class Exports {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  static constexpr size_t kMost = 16;
  static constexpr size_t kMostOfOne = 4;  // of one caller
  static constexpr absl::Duration kPatience = absl::Minutes(1);

  // What an export has until it ends.
  class Place {
   public:
    explicit Place(Exports& exports) : exports_(exports) {}
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    // Since when a part waits for the caller; nothing: none does.
    void SetWaiting(std::optional<Instant> since);

   private:
    Exports& exports_;
  };

  // `cancel` ends the export; it is called at most once, while the place lives, and must not destroy it.
  absl::StatusOr<std::unique_ptr<Place>> Enter(const std::string& caller, std::function<void()> cancel, Instant now);

 private:
  struct Running {
    std::string caller;
    std::function<void()> cancel;
    std::optional<Instant> since;
  };

  Mutex mutex_;
  std::map<const Place*, Running> running_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::api
