// HashRenewals replaces weak password hashes by new ones, with passwords that gateways have just verified
// (PasswordHashing.renew_on_login). It trusts no gateway: it verifies each password against the stored hash itself, so that
// whoever holds a gateway's key can renew the hashes of passwords that he knows, and touch no others. One thread hashes,
// so that renewal takes at most one core; what it made in a while becomes one revision.
//
//   Offer --queue (bounded, one a user)--> verify, hash --gathered--> Changes::Write --> ledger
//
// Ownership:  changes and ledger outlive it. Passwords die with their turn; what waits at the end is dropped.
// Threading:  thread-safe; one thread of its own.
// Units:      Options.gather is how long the first new hash of a revision waits for others.
// Errors:     Offer: RESOURCE_EXHAUSTED. A password that does not verify is told to the ledger; a hash that changed
//             meanwhile stays as it is.
#pragma once

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "control/api/desk.h"
#include "control/api/user_edits.h"
#include "gateway/base/steady.h"
#include "gateway/base/mutex.h"
#include "gateway/base/secret.h"

namespace gatehouse::api {

class HashRenewals {
 public:
  struct Options {
    size_t max_waiting = 256;
    size_t max_gathered = 256;
    absl::Duration gather = absl::Seconds(2);
  };

  HashRenewals(Changes& changes, Ledger& ledger) : HashRenewals(changes, ledger, Options()) {}
  HashRenewals(Changes& changes, Ledger& ledger, Options options);
  ~HashRenewals();
  HashRenewals(const HashRenewals&) = delete;
  HashRenewals& operator=(const HashRenewals&) = delete;

  // Offer is quick. `by` says that the password was verified; an offer of a user who waits is dropped.
  absl::Status Offer(const Caller& by, std::string user_store, std::string user, Secret password);

 private:
  struct Waiting {
    Caller by;
    std::string user_store;
    std::string user;
    Secret password;
    std::pair<std::string, std::string> key() const { return {user_store, user}; }
  };
  struct Made {
    Caller by;
    HashChange change;
  };

  void Run();
  // The next offer; false when the gathering is over or this ends.
  bool Take(SteadyTime until, Waiting* next);
  void Renew(const Waiting& offer);
  void Write();

  Changes& changes_;
  Ledger& ledger_;
  const Options options_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<std::pair<std::string, std::string>> users_ ABSL_GUARDED_BY(mutex_);  // of waiting_
  std::vector<Made> made_;  // the thread's own
  std::thread thread_;
};

}  // namespace gatehouse::api
