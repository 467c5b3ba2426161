// Flights knows which credentials are being verified, over all workers: who brings the same ones meanwhile waits for that
// hash and does not pay one of his own.
//
// Ownership:  shares the waiters with those who wait.
// Threading:  thread-safe. A waiter's callback is touched on its own loop only.
// Errors:     none.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "gateway/base/digest.h"
#include "gateway/base/mutex.h"

namespace gatehouse::credentials {

struct CheckResult;

// Where a worker's answers go.
struct Home {
  // Runs work on the worker's loop, later. Called from any thread.
  std::function<void(absl::AnyInvocable<void()>)> post;
  bool gone = false;  // on the loop only: nobody is to be called any more
};

struct Waiter {
  std::shared_ptr<Home> home;
  absl::AnyInvocable<void(const CheckResult&)> done;  // null once called or dropped
  std::atomic<bool> dropped{false};
};
using WaiterRef = std::shared_ptr<Waiter>;

class Flights {
 public:
  // True: these credentials are under way, and `waiter` will hear. False: they are from now on, and the caller sees to it
  // that Land follows.
  bool JoinOrBegin(const Sha256Digest& key, const WaiterRef& waiter);
  // Land tells everybody who waits, each on his own loop, later.
  void Land(const Sha256Digest& key, const CheckResult& result);

  size_t size() const;

 private:
  mutable Mutex mutex_;
  absl::flat_hash_map<Sha256Digest, std::vector<WaiterRef>, DigestHash> active_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::credentials
