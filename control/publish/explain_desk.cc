#include "control/publish/explain_desk.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace gatehouse::publish {

struct ExplainDesk::Core {
  explicit Core(Alarms& alarms_) : alarms(alarms_) {}

  struct Gateway {
    std::string name;
    Give give;
  };
  struct Order {
    uint64_t line = 0;
    std::string gateway;
    Done done;
  };

  Alarms& alarms;
  Mutex mutex;
  std::map<uint64_t, Gateway> lines ABSL_GUARDED_BY(mutex);
  std::map<uint64_t, Order> orders ABSL_GUARDED_BY(mutex);
  uint64_t next ABSL_GUARDED_BY(mutex) = 1;

  void Finish(Done done, absl::StatusOr<v1::ExplainResponse> answer) {
    alarms.After(absl::ZeroDuration(), [done = std::move(done), answer = std::move(answer)]() mutable {
      done(std::move(answer));
    });
  }
  void FinishOrder(std::map<uint64_t, Order>::iterator it, absl::StatusOr<v1::ExplainResponse> answer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Done done = std::move(it->second.done);
    orders.erase(it);
    Finish(std::move(done), std::move(answer));
  }
};

ExplainDesk::ExplainDesk(Alarms& alarms) : core_(std::make_shared<Core>(alarms)) {}

ExplainDesk::~ExplainDesk() {
  MutexLock lock(&core_->mutex);
  core_->orders.clear();
}

std::unique_ptr<ExplainDesk::Line> ExplainDesk::Add(std::string gateway, Give give) {
  MutexLock lock(&core_->mutex);
  const uint64_t id = core_->next++;
  core_->lines[id] = Core::Gateway{std::move(gateway), std::move(give)};
  return std::unique_ptr<Line>(new Line(core_, id));
}

void ExplainDesk::Explain(const v1::ExplainRequest& request, absl::Duration timeout, Done done) {
  Core& core = *core_;
  if (request.chain_pem().empty()) {
    return core.Finish(std::move(done), absl::InvalidArgumentError("chain_pem: required"));
  }
  if (request.chain_pem().size() > kMaxChainBytes) {
    return core.Finish(std::move(done), absl::InvalidArgumentError("chain_pem: over 1 MiB"));
  }
  v1::ExplainOrder order;
  *order.mutable_request() = request;
  Give give;
  {
    MutexLock lock(&core.mutex);
    if (core.orders.size() >= kMaxOrders) {
      return core.Finish(std::move(done), absl::ResourceExhaustedError("too many certificates are being explained"));
    }
    uint64_t line = 0;
    for (const auto& [id, gateway] : core.lines) {
      if (!request.gateway().empty() && gateway.name != request.gateway()) continue;
      line = id;  // of one name the newest connection counts; of any, so does the newest
    }
    if (line == 0) {
      return core.Finish(std::move(done),
                         absl::UnavailableError(request.gateway().empty()
                                                    ? std::string("no gateway is connected")
                                                    : absl::StrCat("gateway ", request.gateway(), " is not connected")));
    }
    order.set_id(core.next++);
    core.orders[order.id()] = Core::Order{line, core.lines[line].name, std::move(done)};
    give = core.lines[line].give;
  }
  core.alarms.After(timeout, [weak = std::weak_ptr<Core>(core_), id = order.id()] {
    std::shared_ptr<Core> alive = weak.lock();
    if (alive == nullptr) return;
    MutexLock lock(&alive->mutex);
    auto it = alive->orders.find(id);
    if (it == alive->orders.end()) return;
    const std::string gateway = it->second.gateway;
    alive->FinishOrder(it, absl::DeadlineExceededError(absl::StrCat("gateway ", gateway, " did not answer in time")));
  });
  give(std::move(order));
}

ExplainDesk::Line::~Line() {
  MutexLock lock(&core_->mutex);
  core_->lines.erase(id_);
  for (auto it = core_->orders.begin(); it != core_->orders.end();) {
    auto next = std::next(it);
    if (it->second.line == id_) {
      const std::string gateway = it->second.gateway;
      core_->FinishOrder(it, absl::UnavailableError(absl::StrCat("gateway ", gateway, " disconnected")));
    }
    it = next;
  }
}

void ExplainDesk::Line::Answer(v1::ExplainAnswer answer) {
  MutexLock lock(&core_->mutex);
  auto it = core_->orders.find(answer.id());
  if (it == core_->orders.end() || it->second.line != id_) return;
  if (answer.code() != 0) {
    const bool known = answer.code() > 0 && answer.code() <= 16;
    core_->FinishOrder(it, absl::Status(known ? static_cast<absl::StatusCode>(answer.code())
                                              : absl::StatusCode::kUnknown,
                                        answer.error()));
    return;
  }
  answer.mutable_response()->set_gateway(it->second.gateway);
  core_->FinishOrder(it, std::move(*answer.mutable_response()));
}

}  // namespace gatehouse::publish
