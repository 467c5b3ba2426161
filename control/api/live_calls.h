// LiveCalls knows every call that runs and whose it is: it bounds how much one caller may ask for and have held in memory, ends
// calls that stay too long, and ends streams whose caller has lost the right to them.
//
//   (accepted) --Begin--> kOpen --Enter--> kCounted --Finishing--> kEnding --End--> gone
//
// Begin, Finishing and End come from an interceptor of the gRPC server, so no service has a part in it. Without it (tests)
// only the rate is bounded.
//
// Ownership:  records refer to the calls' contexts between Begin and Finishing only.
// Threading:  thread-safe. Notices to streams run without our lock, under the admission's own.
// Units:      steady time; octets of requests, as they came.
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

#include "absl/time/time.h"
#include "control/api/caller.h"
#include "control/api/deed.h"
#include "control/api/guard.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {

// Of one caller.
struct CallerLimits {
  double calls_per_second = 1000;
  double burst = 2000;
  size_t calls_at_once = 512;
  size_t streams_at_once = 2048;
  // Of the requests of calls that run: one Apply of the largest kind. What comes in a stream to us is added up.
  uint64_t octets_at_once = uint64_t{256} * 1024 * 1024;
  uint64_t octets_per_minute = uint64_t{1024} * 1024 * 1024;
  // Of octets_at_once, what is held for the caller however much others have.
  uint64_t octets_reserved = uint64_t{64} * 1024;
};
// Of one address whose caller has no name.
inline constexpr CallerLimits kStrangerLimits = {.calls_per_second = 5, .burst = 20, .calls_at_once = 8, .streams_at_once = 0,
                                                 .octets_at_once = 64 * 1024, .octets_per_minute = 256 * 1024, .octets_reserved = 0};

class LiveCalls {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  using Key = const grpc::ServerContextBase*;

  // `octets_of_all` bounds what the requests of all callers together hold, beside what is reserved.
  explicit LiveCalls(uint64_t octets_of_all) : octets_of_all_(octets_of_all) {}

  // A call of the server; returns its number.
  uint64_t Begin(grpc::ServerContextBase* context);
  // Its status is on the way: the context is not to be touched any more.
  void Finishing(Key key, uint64_t number, const absl::Status& status);
  void End(Key key, uint64_t number);

  // Counts the call, and `octets` of it, for its caller, once however often it is asked for.
  absl::Status Enter(Key key, const Method& method, std::shared_ptr<const Identity> identity, const CallerLimits& limits,
                     size_t octets, Instant now);
  // More octets of a call that was entered.
  absl::Status Hold(Key key, const CallerLimits& limits, size_t octets, Instant now);
  // The call's deed, if it has one. Set: a call that has one keeps it.
  std::shared_ptr<Deed> SetDeed(Key key, std::shared_ptr<Deed> deed);
  std::shared_ptr<Deed> DeedOf(Key key) const;
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
  // Tells the stream, or cancels it when nobody takes the notice. False: it has ended, or was told before.
  bool Revoke(const Stream& stream, const absl::Status& why);

  // Ends calls that are no streams from the server and have run for `longest`, with DEADLINE_EXCEEDED; those that have begun to
  // write end by themselves. Returns how many.
  size_t EndOlder(Instant now, absl::Duration longest);

  // Calls and streams that `account` has running, and what their requests hold.
  struct Load {
    size_t calls = 0;
    size_t streams = 0;
    uint64_t octets = 0;
  };
  Load LoadOf(const std::string& account) const;

 private:
  struct Notice;
  class NoticeAdmission;
  struct Record {
    uint64_t number = 0;
    grpc::ServerContextBase* context = nullptr;
    Instant began{};
    uint64_t octets = 0;
    std::shared_ptr<Deed> deed;
    const Method* method = nullptr;  // null: not entered
    std::shared_ptr<const Identity> identity;
    std::shared_ptr<Notice> notice;
    bool revoked = false;
    bool ending = false;
  };
  struct Account {
    double tokens = 0;
    Instant refilled{};
    size_t calls = 0;
    size_t streams = 0;
    uint64_t octets = 0;
    double octet_tokens = 0;
  };
  // OK when the caller may have so many octets more; then they are taken from what it may send in a minute.
  absl::Status Weigh(const std::string& name, Account& account, const CallerLimits& limits, uint64_t octets)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void Refill(Account& account, const CallerLimits& limits, Instant now);
  void Leave(const Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MakeRoom(size_t most, Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t octets_of_all_;
  mutable Mutex mutex_;
  uint64_t octets_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<Key, Record> records_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Account> accounts_ ABSL_GUARDED_BY(mutex_);
};

// What the server's builder takes.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallCounter(std::shared_ptr<LiveCalls> calls);

}  // namespace gatehouse::api
