#include "gateway/server/decision_facts.h"

#include <algorithm>

namespace gatehouse::server {
namespace {

// What several schemes proved is put together anew for each request, of parts that stay.
bool Same(const identity::IdentityRef& a, const identity::IdentityRef& b) {
  if (a == b) return true;
  if (a == nullptr || b == nullptr) return false;
  return std::equal(a->parts().begin(), a->parts().end(), b->parts().begin(), b->parts().end());
}

}  // namespace

const std::shared_ptr<const events::Facts>& DecisionFacts::Find(
    const Key& key, absl::FunctionRef<std::shared_ptr<const events::Facts>()> make) {
  Entry& entry = entries_[key.route % entries_.size()];
  if (entry.facts == nullptr || entry.adoption != key.adoption || entry.route != key.route || entry.scheme != key.scheme ||
      !Same(entry.identity, key.identity)) {
    entry = Entry{key.adoption, key.route, key.scheme, key.identity, make()};
  }
  return entry.facts;
}

}  // namespace gatehouse::server
