// DecisionFacts is what a connection remembers of its last decisions: what the events of one caller on one route have in
// common is made once, not for each request. As many as fit are kept; a connection that rests lets go of all.
//
// Ownership:  keeps the identities alive, so that they can be told apart by address.
// Threading:  the worker's loop only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "gateway/events/event.h"
#include "gateway/identity/identity.h"

namespace gatehouse::server {

class DecisionFacts {
 public:
  // What tells decisions of a connection apart.
  struct Key {
    uint64_t adoption = 0;  // Worker::adoptions(), of the snapshot that decided
    uint32_t route = 0;     // its index there, or any other number for none
    uint32_t scheme = 0;    // whose answer decided a refusal: likewise
    const identity::IdentityRef& identity;  // null: nobody was authenticated
  };
  // Find returns what was made for `key`, or else keeps what `make` returns.
  const std::shared_ptr<const events::Facts>& Find(const Key& key, absl::FunctionRef<std::shared_ptr<const events::Facts>()> make);

 private:
  struct Entry {
    uint64_t adoption = 0;
    uint32_t route = 0;
    uint32_t scheme = 0;
    identity::IdentityRef identity;
    std::shared_ptr<const events::Facts> facts;  // null: unused
  };
  std::array<Entry, 4> entries_;  // by route
};

}  // namespace gatehouse::server
