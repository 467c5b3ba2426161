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
    size_t questions = 0;  // that are not answered
  };
  struct Asked {
    uint64_t line = 0;
    std::string gateway;
    Done done;  // null: nobody waits for the answer any more
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
  void FinishAsked(Asked& asked, absl::StatusOr<v1::Answer> answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (asked.done) Finish(std::exchange(asked.done, nullptr), asked.gateway, std::move(answer));
  }
  absl::StatusOr<uint64_t> LineTo(const std::string& gateway) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
};

// Of one name the newest connection counts; of any the one with the fewest questions, of equals the newest.
absl::StatusOr<uint64_t> QuestionDesk::Core::LineTo(const std::string& gateway) {
  auto best = lines.end();
  for (auto it = lines.begin(); it != lines.end(); ++it) {
    const bool better = gateway.empty() ? best == lines.end() || it->second.questions <= best->second.questions
                                        : it->second.name == gateway;
    if (better) best = it;
  }
  if (best == lines.end()) {
    return absl::UnavailableError(gateway.empty() ? std::string("no gateway is connected")
                                                  : absl::StrCat("gateway ", gateway, " is not connected"));
  }
  if (best->second.questions >= kMaxQuestions) {
    return absl::ResourceExhaustedError(absl::StrCat("gateway ", best->second.name, " has ", kMaxQuestions,
                                                     " questions to answer already; try again once it has answered"));
  }
  return best->first;
}

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
    const absl::StatusOr<uint64_t> line = core.LineTo(gateway);
    if (!line.ok()) return core.Finish(std::move(done), gateway, line.status());
    Core::Gateway& asked = core.lines[*line];
    question.set_id(core.next++);
    core.questions[question.id()] = Core::Asked{*line, asked.name, std::move(done)};
    ++asked.questions;
    give = asked.give;
  }
  core.alarms.After(timeout, [weak = std::weak_ptr<Core>(core_), id = question.id()] {
    std::shared_ptr<Core> alive = weak.lock();
    if (alive == nullptr) return;
    MutexLock lock(&alive->mutex);
    auto it = alive->questions.find(id);
    if (it == alive->questions.end()) return;
    alive->FinishAsked(it->second,
                       absl::DeadlineExceededError(absl::StrCat("gateway ", it->second.gateway, " did not answer in time")));
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
    if (it->second.line != id_) {
      ++it;
      continue;
    }
    core_->FinishAsked(it->second, absl::UnavailableError(absl::StrCat("gateway ", it->second.gateway, " disconnected")));
    it = core_->questions.erase(it);
  }
}

void QuestionDesk::Line::Answer(v1::Answer answer) {
  MutexLock lock(&core_->mutex);
  auto it = core_->questions.find(answer.id());
  if (it == core_->questions.end() || it->second.line != id_) return;
  const bool known = answer.code() > 0 && answer.code() <= 16;
  if (answer.code() == 0) {
    core_->FinishAsked(it->second, std::move(answer));
  } else {
    core_->FinishAsked(it->second, absl::Status(known ? static_cast<absl::StatusCode>(answer.code()) : absl::StatusCode::kUnknown,
                                                answer.error()));
  }
  core_->questions.erase(it);
  --core_->lines[id_].questions;
}

}  // namespace gatehouse::publish
