// FakeClient is a validation service for tests: it holds questions until the test answers them, on the test's thread.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "gateway/delegate/client.h"

namespace gatehouse::delegate {

class FakeClient final : public Client {
 public:
  struct Asked {
    Question question;
    absl::Duration deadline;
    Done done;
  };

  bool Reachable() override { return reachable; }
  void Ask(Question question, absl::Duration deadline, Done done) override {
    ++total;
    asked.push_back({std::move(question), deadline, std::move(done)});
  }
  void Shutdown() override {
    while (!asked.empty()) Answer(absl::CancelledError());
  }

  // Answers the question that waits longest. REQUIRES: there is one.
  void Answer(absl::StatusOr<Reply> reply) {
    Asked first = std::move(asked.front());
    asked.pop_front();
    first.done(std::move(reply));
  }
  void Allow(absl::Duration lifetime = absl::ZeroDuration()) {
    Reply reply;
    reply.verdict = Verdict::kAllow;
    reply.lifetime = lifetime;
    Answer(std::move(reply));
  }
  void Deny(Verdict verdict = Verdict::kWrongPassword) {
    Reply reply;
    reply.verdict = verdict;
    Answer(std::move(reply));
  }

  bool reachable = true;
  int total = 0;
  std::deque<Asked> asked;
};

}  // namespace gatehouse::delegate
