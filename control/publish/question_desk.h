// QuestionDesk passes questions about certificates and trust to a gateway, and the answers back: the code that decides
// live requests answers, not a copy of it here. Each gateway has places of its own, so that one which answers nothing
// keeps nobody from asking the others. A question holds its place until it is answered or the gateway is gone, however
// long somebody waits for the answer: it may still be on its way.
//
// Ownership:  lines must be destroyed before the desk; alarms outlive it.
// Threading:  thread-safe. Questions are given without a lock; answers run on the alarm thread.
// Errors:     given to `done`: UNAVAILABLE (gateway not connected), RESOURCE_EXHAUSTED (it has too many questions to answer),
//             DEADLINE_EXCEEDED, and what the gateway says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/publish/alarms.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::publish {

class QuestionDesk {
 public:
  // Gives a question to a gateway. Called under no lock; must be quick.
  using Give = std::function<void(v1::Question)>;
  using Done = absl::AnyInvocable<void(const std::string& gateway, absl::StatusOr<v1::Answer>)>;
  // Line is a connected gateway's place at the desk; destroying it fails what it was asked.
  class Line;

  // Questions that one gateway has to answer.
  static constexpr size_t kMaxQuestions = 32;

  explicit QuestionDesk(Alarms& alarms);
  ~QuestionDesk();

  std::unique_ptr<Line> Add(std::string gateway, Give give);

  // Ask gives `question` to `gateway`, or when that is empty to any: to the one with the fewest to answer. `done` runs
  // exactly once, never inside this call, unless the desk is destroyed first.
  void Ask(const std::string& gateway, v1::Question question, absl::Duration timeout, Done done);
  // Who is connected.
  std::set<std::string> Gateways() const;

 private:
  struct Core;
  const std::shared_ptr<Core> core_;
};

class QuestionDesk::Line {
 public:
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // Answer takes the gateway's answer; one to a question that it was not given is ignored.
  void Answer(v1::Answer answer);

 private:
  friend class QuestionDesk;
  Line(std::shared_ptr<Core> core, uint64_t id) : core_(std::move(core)), id_(id) {}
  const std::shared_ptr<Core> core_;
  const uint64_t id_;
};

}  // namespace gatehouse::publish
