// Seats bounds how many watchers of one kind there are: of all callers together, and of each, so that none takes every place.
//
// Ownership:  outlives its seats.
// Threading:  thread-safe.
// Errors:     RESOURCE_EXHAUSTED, saying whose watchers are too many.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "control/api/guard.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

class Seats {
 public:
  // Of all of them, one account has at most so many.
  static constexpr size_t MostOfOne(size_t most) { return most / 4; }

  // One watcher's; destroying it gives it back.
  class Seat {
   public:
    Seat(Seats& seats, std::string account) : seats_(seats), account_(std::move(account)) {}
    ~Seat() { seats_.Leave(account_); }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

   private:
    Seats& seats_;
    const std::string account_;
  };

  // `what`: "watchers of the status".
  Seats(std::string what, size_t most) : what_(std::move(what)), most_(most) {}

  absl::StatusOr<std::unique_ptr<Seat>> Take(const Caller& who);

 private:
  void Leave(const std::string& account);

  const std::string what_;
  const size_t most_;
  Mutex mutex_;
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, size_t> of_one_ ABSL_GUARDED_BY(mutex_);  // none is 0
};

}  // namespace gatehouse::api
