#include "control/publish/local_gateway.h"

#include <utility>

#include "gateway/base/mutex.h"

namespace gatehouse::publish {
namespace {

constexpr size_t kMaxQueued = QuestionDesk::kMaxQuestions + 2;

}  // namespace

// Shared with completions that may come when the gateway is gone.
class LocalGateway::Lane final : public Endpoint, public std::enable_shared_from_this<Lane> {
 public:
  Lane(Take take, Ask ask, Confirmed confirmed)
      : take_(std::move(take)),
        ask_(std::move(ask)),
        confirmed_(std::move(confirmed)),
        updates_(std::make_unique<Executor>(1, 2)),
        questions_(std::make_unique<Executor>(1, kMaxQueued)) {}

  absl::Status Join(Distributor& distributor, GatewayHello hello) {
    // Held, so that the answer to the first update waits for the session.
    MutexLock lock(&mutex_);
    absl::StatusOr<std::unique_ptr<Session>> session = distributor.Connect(std::move(hello), shared_from_this());
    if (session.ok()) session_ = *std::move(session);
    return session.status();
  }
  void SetLine(QuestionDesk::Line* line) {
    MutexLock lock(&mutex_);
    line_ = line;
  }
  void Leave() {
    std::unique_ptr<Executor> updates;
    std::unique_ptr<Executor> questions;
    {
      MutexLock lock(&work_mutex_);
      updates.swap(updates_);
      questions.swap(questions_);
    }
    updates.reset();
    questions.reset();
    std::unique_ptr<Session> session;  // ends after the lock
    MutexLock lock(&mutex_);
    session.swap(session_);
    line_ = nullptr;
  }

  // There is one update at a time: the queue cannot be full.
  void Deliver(Update update) override {
    MutexLock lock(&work_mutex_);
    if (updates_ == nullptr) return;
    updates_->Submit([self = shared_from_this(), to = std::move(update.to)]() mutable {
      const uint64_t revision = to->revision;
      self->take_(std::move(to), [self, revision](const std::vector<v1::Violation>& violations) {
        self->Answer(revision, violations);
      });
    });
  }
  void Confirm(uint64_t) override {
    MutexLock lock(&work_mutex_);
    if (updates_ != nullptr) confirmed_();
  }
  void Close(absl::Status) override {}
  void Report(v1::GatewayLoad load) {
    MutexLock lock(&mutex_);
    if (session_ != nullptr) session_->Report(std::move(load));
  }

  void Give(v1::Question question) {
    MutexLock work(&work_mutex_);
    if (questions_ == nullptr) return;
    questions_->Submit([self = shared_from_this(), question = std::move(question)] {
      v1::Answer answer = self->ask_(question);
      answer.set_id(question.id());
      MutexLock lock(&self->mutex_);
      if (self->line_ != nullptr) self->line_->Answer(std::move(answer));
    });
  }

 private:
  void Answer(uint64_t revision, const std::vector<v1::Violation>& violations) {
    MutexLock lock(&mutex_);
    if (session_ == nullptr) return;
    if (violations.empty()) {
      session_->Ack(revision);
    } else {
      session_->Nack(revision, {violations.begin(), violations.end()});
    }
  }

  const Take take_;
  const Ask ask_;
  const Confirmed confirmed_;

  Mutex mutex_;
  std::unique_ptr<Session> session_ ABSL_GUARDED_BY(mutex_);
  QuestionDesk::Line* line_ ABSL_GUARDED_BY(mutex_) = nullptr;

  Mutex work_mutex_;
  std::unique_ptr<Executor> updates_ ABSL_GUARDED_BY(work_mutex_);  // null: left
  std::unique_ptr<Executor> questions_ ABSL_GUARDED_BY(work_mutex_);
};

absl::StatusOr<std::unique_ptr<LocalGateway>> LocalGateway::Connect(Distributor& distributor, QuestionDesk& desk,
                                                                    std::string name, std::string version, Take take,
                                                                    Ask ask, Confirmed confirmed) {
  auto lane = std::make_shared<Lane>(std::move(take), std::move(ask), std::move(confirmed));
  GatewayHello hello;
  hello.name = name;
  hello.version = std::move(version);
  hello.peer = "embedded";
  hello.exclusive = true;
  absl::Status joined = lane->Join(distributor, std::move(hello));
  if (!joined.ok()) return joined;
  std::unique_ptr<LocalGateway> gateway(new LocalGateway());
  gateway->lane_ = lane;
  gateway->line_ = desk.Add(std::move(name), [lane](v1::Question question) { lane->Give(std::move(question)); });
  lane->SetLine(gateway->line_.get());
  return gateway;
}

LocalGateway::~LocalGateway() { lane_->Leave(); }

void LocalGateway::Report(v1::GatewayLoad load) { lane_->Report(std::move(load)); }

}  // namespace gatehouse::publish
