// LiveCalls knows every call that runs and whose it is: it bounds how much one caller may ask for, ends calls that stay too
// long, and ends streams whose caller has lost the right to them.
//
//   (accepted) --Begin--> kOpen --Enter--> kCounted --Finishing--> kEnding --End--> gone
//
// Begin, Finishing and End come from an interceptor of the gRPC server, so no service has a part in it. Without it (tests)
// only the rate is bounded.
//
// Ownership:  records refer to the calls' contexts between Begin and Finishing only.
// Threading:  thread-safe. Notices to streams run without our lock, under the admission's own.
// Units:      steady time.
// Errors:     RESOURCE_EXHAUSTED, saying what there is too much of and what to do.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/support/server_interceptor.h>

#include "control/api/caller.h"
#include "control/api/guard.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

// Of one caller.
struct CallerLimits {
  double calls_per_second = 1000;
  double burst = 2000;
  size_t calls_at_once = 512;
  size_t streams_at_once = 2048;
};
// Of one address whose caller has no name.
inline constexpr CallerLimits kStrangerLimits = {.calls_per_second = 5, .burst = 20, .calls_at_once = 8, .streams_at_once = 0};

class LiveCalls {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  using Key = const grpc::ServerContextBase*;

  // A call of the server; returns its number.
  uint64_t Begin(Key key);
  // Its status is on the way: the context is not to be touched any more.
  void Finishing(Key key, uint64_t number);
  void End(Key key, uint64_t number);

  // Counts the call for its caller, once however often it is asked for.
  absl::Status Enter(Key key, const Method& method, std::shared_ptr<const Identity> identity, const CallerLimits& limits,
                     Instant now);
  // See Guard::Admit.
  std::unique_ptr<Admission> Admit(Key key, std::function<void(const absl::Status&)> end);

  // Streams from the server that run, to be judged again.
  struct Stream {
    Key key;
    uint64_t number;
    const Method* method;
    std::shared_ptr<const Identity> identity;
  };
  std::vector<Stream> Streams() const;
  // Tells the stream, or cancels it when nobody takes the notice.
  void Revoke(const Stream& stream, const absl::Status& why);

  // Cancels calls that are no streams from the server and began before `before`. Returns how many.
  size_t CancelOlder(Instant before);

  // Calls and streams that `account` has running.
  struct Load {
    size_t calls = 0;
    size_t streams = 0;
  };
  Load LoadOf(const std::string& account) const;

 private:
  struct Notice;
  class NoticeAdmission;
  struct Record {
    uint64_t number = 0;
    Instant began{};
    const Method* method = nullptr;  // null: not entered
    std::shared_ptr<const Identity> identity;
    std::shared_ptr<Notice> notice;
    bool ending = false;
  };
  struct Account {
    double tokens = 0;
    Instant refilled{};
    size_t calls = 0;
    size_t streams = 0;
  };
  void Leave(const Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MakeRoom(Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<Key, Record> records_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Account> accounts_ ABSL_GUARDED_BY(mutex_);
};

// What the server's builder takes.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallCounter(std::shared_ptr<LiveCalls> calls);

}  // namespace gatehouse::api
