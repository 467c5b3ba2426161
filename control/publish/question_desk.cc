#include "control/publish/question_desk.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace gatehouse::publish {

struct QuestionDesk::Core {
  explicit Core(Alarms& alarms_) : alarms(alarms_) {}

  struct Gateway {
    std::string name;
    Give give;
  };
  struct Asked {
    uint64_t line = 0;
    std::string gateway;
    Done done;
  };

  Alarms& alarms;
  Mutex mutex;
  std::map<uint64_t, Gateway> lines ABSL_GUARDED_BY(mutex);
  std::map<uint64_t, Asked> questions ABSL_GUARDED_BY(mutex);
  uint64_t next ABSL_GUARDED_BY(mutex) = 1;

  void Finish(Done done, std::string gateway, absl::StatusOr<v1::Answer> answer) {
    alarms.After(absl::ZeroDuration(), [done = std::move(done), gateway = std::move(gateway), answer = std::move(answer)]() mutable {
      done(gateway, std::move(answer));
    });
  }
  void FinishAsked(std::map<uint64_t, Asked>::iterator it, absl::StatusOr<v1::Answer> answer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Done done = std::move(it->second.done);
    std::string gateway = std::move(it->second.gateway);
    questions.erase(it);
    Finish(std::move(done), std::move(gateway), std::move(answer));
  }
};

QuestionDesk::QuestionDesk(Alarms& alarms) : core_(std::make_shared<Core>(alarms)) {}

QuestionDesk::~QuestionDesk() {
  MutexLock lock(&core_->mutex);
  core_->questions.clear();
}

std::unique_ptr<QuestionDesk::Line> QuestionDesk::Add(std::string gateway, Give give) {
  MutexLock lock(&core_->mutex);
  const uint64_t id = core_->next++;
  core_->lines[id] = Core::Gateway{std::move(gateway), std::move(give)};
  return std::unique_ptr<Line>(new Line(core_, id));
}

void QuestionDesk::Ask(const std::string& gateway, v1::Question question, absl::Duration timeout, Done done) {
  Core& core = *core_;
  Give give;
  {
    MutexLock lock(&core.mutex);
    if (core.questions.size() >= kMaxQuestions) {
      return core.Finish(std::move(done), gateway, absl::ResourceExhaustedError("too many questions at once; try again"));
    }
    uint64_t line = 0;
    for (const auto& [id, connected] : core.lines) {
      if (!gateway.empty() && connected.name != gateway) continue;
      line = id;  // of one name the newest connection counts; of any, so does the newest
    }
    if (line == 0) {
      return core.Finish(std::move(done), gateway,
                         absl::UnavailableError(gateway.empty()
                                                    ? std::string("no gateway is connected")
                                                    : absl::StrCat("gateway ", gateway, " is not connected")));
    }
    question.set_id(core.next++);
    core.questions[question.id()] = Core::Asked{line, core.lines[line].name, std::move(done)};
    give = core.lines[line].give;
  }
  core.alarms.After(timeout, [weak = std::weak_ptr<Core>(core_), id = question.id()] {
    std::shared_ptr<Core> alive = weak.lock();
    if (alive == nullptr) return;
    MutexLock lock(&alive->mutex);
    auto it = alive->questions.find(id);
    if (it == alive->questions.end()) return;
    const std::string asked = it->second.gateway;
    alive->FinishAsked(it, absl::DeadlineExceededError(absl::StrCat("gateway ", asked, " did not answer in time")));
  });
  give(std::move(question));
}

std::set<std::string> QuestionDesk::Gateways() const {
  MutexLock lock(&core_->mutex);
  std::set<std::string> names;
  for (const auto& [id, gateway] : core_->lines) names.insert(gateway.name);
  return names;
}

QuestionDesk::Line::~Line() {
  MutexLock lock(&core_->mutex);
  core_->lines.erase(id_);
  for (auto it = core_->questions.begin(); it != core_->questions.end();) {
    auto next = std::next(it);
    if (it->second.line == id_) {
      const std::string gateway = it->second.gateway;
      core_->FinishAsked(it, absl::UnavailableError(absl::StrCat("gateway ", gateway, " disconnected")));
    }
    it = next;
  }
}

void QuestionDesk::Line::Answer(v1::Answer answer) {
  MutexLock lock(&core_->mutex);
  auto it = core_->questions.find(answer.id());
  if (it == core_->questions.end() || it->second.line != id_) return;
  if (answer.code() != 0) {
    const bool known = answer.code() > 0 && answer.code() <= 16;
    core_->FinishAsked(it, absl::Status(known ? static_cast<absl::StatusCode>(answer.code())
                                              : absl::StatusCode::kUnknown,
                                        answer.error()));
    return;
  }
  core_->FinishAsked(it, std::move(answer));
}

}  // namespace gatehouse::publish
