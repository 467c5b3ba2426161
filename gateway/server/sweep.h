// Sweep looks at what runs when trust has changed, and cuts what is no longer admitted.
//
// A change is in force at once, since every request is decided anew; the sweep is for those who ask nothing: running
// streams first, then idle connections. It works in slices, a slice a turn of the loop, so that ten thousand connections
// hold up nobody's request. A connection whose name depends on nothing that changed costs one comparison of integers. A
// change that comes while a sweep is under way does not begin it anew (or the end of the list would never be reached):
// what is left is judged under the newest snapshot, and another sweep follows.
//
//   kResting --Begin--> kStreams --all seen--> kIdle --all seen--> kResting, or kStreams when Begin was called meanwhile
//       `-----Tick----> kStreams --all seen--> kResting (verdicts run out by themselves)
//
// Ownership:  owned by its worker, whose connections it visits.
// Threading:  the worker's loop only.
// Errors:     none. Each finished sweep that cut something is one TRUST event; what policies ended by the clock is another.
#pragma once

#include <cstdint>
#include <string>

namespace gatehouse::server {

class Connection;
class Worker;

class Sweep {
 public:
  explicit Sweep(Worker* worker) : worker_(worker) {}

  // A snapshot came into force.
  void Begin();
  // Looks at running streams alone.
  void Tick();
  // The connection leaves the worker's list.
  void Forget(const Connection* connection);

 private:
  enum class State : uint8_t { kResting, kStreams, kIdle };

  void Start(State state);
  void Turn();
  void Visit(Connection& connection);

  Worker* const worker_;
  State state_ = State::kResting;
  bool changed_ = false;  // this sweep goes on to kIdle
  bool again_ = false;    // a change came meanwhile
  Connection* at_ = nullptr;  // the next to be visited
  uint64_t swept_ = 0;     // the revision under which everything was looked at
  uint64_t sweeping_ = 0;  // the revision that was in force when this sweep began
  uint32_t connections_ = 0;  // cut
  uint32_t streams_ = 0;
  uint32_t ended_ = 0;  // streams that were cut since a policy holds no longer
  std::string ended_detail_;
};

}  // namespace gatehouse::server
