// TicketKeyRing makes the keys of session tickets and gives them to every gateway: a new key each period, the one before
// accepted for one period more, unless somebody who had them may not have them any more. Keys live in this process's memory and in that of the gateways, nowhere else; a control
// plane that starts anew has new ones, and tickets from before cost a full handshake.
//
// Ownership:  lines must be destroyed before the ring; alarms and clock outlive it.
// Threading:  thread-safe. Gives run one at a time, inside Add or Replace or on the alarm thread, and never after their line's
//             destructor returned; they must be quick and must not call the ring.
// Errors:     none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "control/publish/alarms.h"
#include "gateway/base/clock.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::publish {

class TicketKeyRing {
 public:
  using Give = std::function<void(v1::TicketKeys)>;
  // Line is a gateway's place at the ring.
  class Line;

  // REQUIRES: period > 0.
  TicketKeyRing(absl::Duration period, const Clock& clock, Alarms& alarms);
  ~TicketKeyRing();

  // Add gives the keys at once and after each change.
  std::unique_ptr<Line> Add(Give give);
  // Replace withdraws every key and gives a new one: no ticket from before is accepted by whoever was given it.
  void Replace();

 private:
  struct Core;
  // Shared with an alarm that may ring after this is gone.
  const std::shared_ptr<Core> core_;
};

class TicketKeyRing::Line {
 public:
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

 private:
  friend class TicketKeyRing;
  Line(std::shared_ptr<Core> core, uint64_t id) : core_(std::move(core)), id_(id) {}
  const std::shared_ptr<Core> core_;
  const uint64_t id_;
};

}  // namespace gatehouse::publish
