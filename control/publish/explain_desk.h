// ExplainDesk passes questions about certificates to a gateway, and the answers back: the code that decides live
// requests answers, not a copy of it here.
//
// Ownership:  lines must be destroyed before the desk; alarms outlive it.
// Threading:  thread-safe. Orders are given without a lock; answers run on the alarm thread.
// Errors:     given to `done`: INVALID_ARGUMENT (chain), UNAVAILABLE (gateway not connected),
//             RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, and what the gateway says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/publish/alarms.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::publish {

class ExplainDesk {
 public:
  // Gives an order to a gateway. Must be quick and must not call back at once.
  using Give = std::function<void(v1::ExplainOrder)>;
  using Done = absl::AnyInvocable<void(absl::StatusOr<v1::ExplainResponse>)>;
  // Line is a connected gateway's place at the desk; destroying it fails what it was asked.
  class Line;

  // Orders that wait for an answer, of all gateways together.
  static constexpr size_t kMaxOrders = 256;
  static constexpr size_t kMaxChainBytes = 1024 * 1024;

  explicit ExplainDesk(Alarms& alarms);
  ~ExplainDesk();

  std::unique_ptr<Line> Add(std::string gateway, Give give);

  // Explain asks the gateway that the request names, or any. `done` runs exactly once, never inside this call, unless
  // the desk is destroyed first.
  void Explain(const v1::ExplainRequest& request, absl::Duration timeout, Done done);

 private:
  struct Core;
  const std::shared_ptr<Core> core_;
};

class ExplainDesk::Line {
 public:
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // Answer takes the gateway's answer; one to an order that it was not given is ignored.
  void Answer(v1::ExplainAnswer answer);

 private:
  friend class ExplainDesk;
  Line(std::shared_ptr<Core> core, uint64_t id) : core_(std::move(core)), id_(id) {}
  const std::shared_ptr<Core> core_;
  const uint64_t id_;
};

}  // namespace gatehouse::publish
