#include "gateway/credentials/flights.h"

#include <algorithm>
#include <utility>

#include "gateway/credentials/checker.h"

namespace gatehouse::credentials {
namespace {

void EraseDropped(std::vector<WaiterRef>* waiters) {
  waiters->erase(std::remove_if(waiters->begin(), waiters->end(), [](const WaiterRef& w) { return w->dropped.load(); }),
                 waiters->end());
}

}  // namespace

bool Flights::JoinOrBegin(const Sha256Digest& key, const WaiterRef& waiter) {
  MutexLock lock(&mutex_);
  const auto [flight, begun] = active_.try_emplace(key);
  std::vector<WaiterRef>& waiters = flight->second;
  if (waiters.size() == waiters.capacity()) {
    // Callers that gave up must not add up while one hash runs.
    EraseDropped(&waiters);
  }
  waiters.push_back(waiter);
  return !begun;
}

void Flights::Land(const Sha256Digest& key, const CheckResult& result) {
  std::vector<WaiterRef> waiters;
  {
    // Out of the map first: who asks again from now on begins a new flight.
    MutexLock lock(&mutex_);
    auto flight = active_.find(key);
    if (flight == active_.end()) return;
    waiters = std::move(flight->second);
    active_.erase(flight);
  }
  EraseDropped(&waiters);
  std::stable_sort(waiters.begin(), waiters.end(),
                   [](const WaiterRef& a, const WaiterRef& b) { return a->home.get() < b->home.get(); });
  for (auto it = waiters.begin(); it != waiters.end();) {
    Home& home = *(*it)->home;
    const auto end = std::find_if(it, waiters.end(), [&](const WaiterRef& w) { return w->home.get() != &home; });
    std::vector<WaiterRef> of_home(std::make_move_iterator(it), std::make_move_iterator(end));
    it = end;
    // Moved: callbacks die on their loop.
    home.post([of_home = std::move(of_home), result] {
      for (const WaiterRef& waiter : of_home) {
        auto done = std::exchange(waiter->done, nullptr);
        if (done && !waiter->home->gone) done(result);
      }
    });
  }
}

size_t Flights::size() const {
  MutexLock lock(&mutex_);
  return active_.size();
}

}  // namespace gatehouse::credentials
