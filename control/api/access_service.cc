#include "control/api/access_service.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/api/deed.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {
namespace {

// RotateCall tells how far the rotation is; a slow reader sees some of the steps. The rotation goes on when the caller goes.
//
//   kIdle <--write, written--> kWriting; the last word waits for its turn      (any) --ended, written--> kEnded
class RotateCall final : public grpc::ServerWriteReactor<v1::RotateKeyResponse> {
 public:
  // What the executor and the reactor share; null: the call has ended.
  struct Slot {
    Mutex mutex;
    RotateCall* call ABSL_GUARDED_BY(mutex) = nullptr;

    void Step(const v1::RotateKeyResponse& step) {
      MutexLock lock(&mutex);
      if (call != nullptr) call->Send(step);
    }
    void End(const absl::Status& status) {
      MutexLock lock(&mutex);
      if (call != nullptr) call->Close(ToGrpc(status));
    }
  };

  RotateCall() : slot_(std::make_shared<Slot>()) {
    MutexLock lock(&slot_->mutex);
    slot_->call = this;
  }
  const std::shared_ptr<Slot>& slot() const { return slot_; }

  void OnWriteDone(bool ok) override {
    const std::shared_ptr<Slot> slot = slot_;
    MutexLock lock(&slot->mutex);
    writing_ = false;
    if (slot->call == nullptr) return;
    if (!ok) return Close(grpc::Status::CANCELLED);
    if (next_.has_value()) {
      Send(*std::exchange(next_, std::nullopt));
    } else if (ending_.has_value()) {
      Close(*ending_);
    }
  }
  void OnCancel() override {
    const std::shared_ptr<Slot> slot = slot_;
    MutexLock lock(&slot->mutex);
    if (slot->call != nullptr) Close(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  // Under the lock of the slot, which clang does not know for that of slot_.
  void Send(const v1::RotateKeyResponse& step) {
    if (writing_) {
      next_ = step;
      return;
    }
    writing_ = true;
    written_ = step;
    StartWrite(&written_);
  }
  void Close(const grpc::Status& status) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (writing_ && status.error_code() != grpc::StatusCode::CANCELLED) {
      ending_ = status;
      return;
    }
    slot_->call = nullptr;
    Finish(status);
  }

  const std::shared_ptr<Slot> slot_;
  bool writing_ = false;
  v1::RotateKeyResponse written_;
  std::optional<v1::RotateKeyResponse> next_;
  std::optional<grpc::Status> ending_;
};

}  // namespace

grpc::ServerUnaryReactor* AccessService::WhoAmI(grpc::CallbackServerContext* context, const v1::WhoAmIRequest* request,
                                                v1::WhoAmIResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.AccessService/WhoAmI", request);
  if (!caller.ok()) {
    reactor->Finish(ToGrpc(caller.status()));
  } else if (caller->name.empty()) {
    reactor->Finish(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the caller has no name: a client certificate with one is needed"));
  } else {
    response->set_caller(caller->name);
    response->set_peer(caller->peer);
    for (v1::Role role : ListRoles(caller->roles)) response->add_roles(role);
    for (const std::string& binding : caller->bindings) response->add_bindings(binding);
    reactor->Finish(grpc::Status::OK);
  }
  return reactor;
}

grpc::ServerWriteReactor<v1::RotateKeyResponse>* AccessService::RotateKey(grpc::CallbackServerContext* context,
                                                                          const v1::RotateKeyRequest* request) {
  auto* call = new RotateCall();
  const std::shared_ptr<RotateCall::Slot> slot = call->slot();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.AccessService/RotateKey", request);
  if (!caller.ok()) {
    slot->End(caller.status());
    return call;
  }
  executor_.Submit(*caller, [this, slot](absl::StatusOr<Caller> now) {
    constexpr char kMethod[] = "AccessService/RotateKey";
    if (!now.ok()) return slot->End(now.status());
    const Caller& by = *now;
    if (absl::Status wanted = Begin(by); !wanted.ok()) return slot->End(wanted);
    v1::RotateKeyResponse step;
    const absl::StatusOr<std::string> key = store_.RotateKey([&](uint64_t sealed, uint64_t total) {
      step.set_sealed(sealed);
      step.set_total(total);
      slot->Step(step);
    });
    if (!key.ok()) {
      ledger_.Refused(by, kMethod, key.status());
      return slot->End(key.status());
    }
    const absl::Status noted =
        ledger_.Append(by, {kMethod, {absl::StrCat(step.sealed(), " sealed values are under key ", *key, " now; the key before it opens nothing")}});
    step.set_done(true);
    step.set_key_id(*key);
    slot->Step(step);
    slot->End(noted);
  });
  return call;
}

}  // namespace gatehouse::api
