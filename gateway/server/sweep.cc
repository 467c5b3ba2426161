#include "gateway/server/sweep.h"

#include <utility>

#include "gateway/server/connection.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {
namespace {

// How long one turn of the loop may be held up. A single visit that judges a chain is longer than nothing, so a slice
// may be longer by one.
constexpr absl::Duration kSlice = absl::Milliseconds(1);
// The clock is read once in so many visits that judged nothing.
constexpr int kVisits = 32;

}  // namespace

void Sweep::Begin() {
  if (state_ != State::kResting) {
    again_ = true;
    return;
  }
  changed_ = true;
  Start(State::kStreams);
}

void Sweep::Tick() {
  if (state_ == State::kResting) Start(State::kStreams);
}

void Sweep::Forget(const Connection* connection) {
  if (at_ == connection) at_ = connection->next_;
}

void Sweep::Start(State state) {
  if (state == State::kStreams && worker_->snapshot() != nullptr) sweeping_ = worker_->snapshot()->revision;
  state_ = state;
  at_ = worker_->first_;
  worker_->loop_.Post([this] { Turn(); });
}

void Sweep::Turn() {
  const loop::Instant until = loop::Instant::Now() + kSlice;
  for (int visits = 0; at_ != nullptr; ++visits) {
    Connection& connection = *at_;
    at_ = connection.next_;
    if (connection.NeedsSweep(state_ == State::kStreams)) {
      Visit(connection);
      visits += kVisits;
    }
    if (visits < kVisits) continue;
    visits = 0;
    if (loop::Instant::Now() >= until) break;
  }
  if (at_ != nullptr) return worker_->loop_.Post([this] { Turn(); });
  if (state_ == State::kStreams && changed_) return Start(State::kIdle);
  if (connections_ != 0 || streams_ != 0) worker_->RecordCut(connections_, streams_, swept_);
  if (ended_ != 0) worker_->RecordEnded(ended_, ended_detail_);
  connections_ = streams_ = ended_ = 0;
  if (changed_) swept_ = sweeping_;
  state_ = State::kResting;
  changed_ = again_;
  again_ = false;
  if (changed_) Start(State::kStreams);
}

void Sweep::Visit(Connection& connection) {
  Connection::Swept swept = connection.Sweep();
  streams_ += swept.withdrawn;
  connections_ += swept.closing;
  if (swept.ended != 0) ended_detail_ = std::move(swept.detail);
  ended_ += swept.ended;
}

}  // namespace gatehouse::server
