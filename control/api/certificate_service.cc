#include "control/api/certificate_service.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "gateway/base/mutex.h"

namespace gatehouse::api {
namespace {

constexpr absl::Duration kMaxWait = absl::Seconds(30);

// ExplainReactor ends with the desk's answer or the caller's cancellation, whichever is first; what comes second finds
// it detached.
class ExplainReactor final : public grpc::ServerUnaryReactor {
 public:
  struct Slot {
    Mutex mutex;
    ExplainReactor* reactor ABSL_GUARDED_BY(mutex) = nullptr;  // null: ended
  };

  explicit ExplainReactor(v1::ExplainResponse* response) : response_(response), slot_(std::make_shared<Slot>()) {
    MutexLock lock(&slot_->mutex);
    slot_->reactor = this;
  }
  const std::shared_ptr<Slot>& slot() const { return slot_; }

  static void End(Slot& slot, absl::StatusOr<v1::ExplainResponse> answer) {
    MutexLock lock(&slot.mutex);
    ExplainReactor* reactor = std::exchange(slot.reactor, nullptr);
    if (reactor == nullptr) return;
    if (answer.ok()) *reactor->response_ = *std::move(answer);
    reactor->Finish(ToGrpc(answer.status()));
  }
  void OnCancel() override {
    const std::shared_ptr<Slot> slot = slot_;
    End(*slot, absl::CancelledError("cancelled"));
  }
  void OnDone() override { delete this; }

 private:
  v1::ExplainResponse* const response_;
  const std::shared_ptr<Slot> slot_;
};

}  // namespace

grpc::ServerUnaryReactor* CertificateService::Explain(grpc::CallbackServerContext* context,
                                                      const v1::ExplainRequest* request,
                                                      v1::ExplainResponse* response) {
  auto* reactor = new ExplainReactor(response);
  const std::shared_ptr<ExplainReactor::Slot> slot = reactor->slot();
  absl::StatusOr<std::string> caller = guard_(*context, "/gatehouse.v1.CertificateService/Explain");
  if (!caller.ok()) {
    ExplainReactor::End(*slot, caller.status());
    return reactor;
  }
  const auto left = context->deadline() - std::chrono::system_clock::now();
  desk_.Explain(*request, std::min(kMaxWait, absl::FromChrono(left)),
                [slot](absl::StatusOr<v1::ExplainResponse> answer) { ExplainReactor::End(*slot, std::move(answer)); });
  return reactor;
}

}  // namespace gatehouse::api
