#include "control/api/status_service.h"

#include <memory>
#include <optional>
#include <utility>

#include "gateway/base/mutex.h"

namespace gatehouse::api {

// Watch sends the state, and again when it changed and every kPeriod; never more than one message waits.
//
//   idle --changed, period--> due (an alarm gathers what else changes) --> writing --done--> idle, or due again
class StatusService::Watch final : public grpc::ServerWriteReactor<v1::Status> {
 public:
  explicit Watch(const absl::Status& refused) { Finish(ToGrpc(refused)); }
  Watch(StatusService& service, std::unique_ptr<Seats::Seat> seat, const grpc::CallbackServerContext& context)
      : service_(&service), seat_(std::move(seat)), line_(std::make_shared<Line>()) {
    line_->watch = this;
    admission_ = service.guard_.Admit(context, [this](const absl::Status& why) { End(ToGrpc(why)); });
    listener_ = service.distributor_.Listen([this] { Become(Due::kChanged); });
    StartSendInitialMetadata();
    Send();
    Tick(service.alarms_, line_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(grpc::Status::CANCELLED);
    {
      MutexLock lock(&mutex_);
      writing_ = false;
    }
    Become(Due::kWrote);
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override {
    if (line_ != nullptr) {
      listener_ = nullptr;
      MutexLock lock(&line_->mutex);
      line_->watch = nullptr;
    }
    delete this;
  }

 private:
  enum class Due : uint8_t { kChanged, kWrote };
  // What alarms hold: they may ring when the watch is gone.
  struct Line {
    Mutex mutex;
    Watch* watch ABSL_GUARDED_BY(mutex) = nullptr;
  };

  void Become(Due due) {
    {
      MutexLock lock(&mutex_);
      if (due == Due::kChanged) changed_ = true;
      if (!changed_ || writing_ || rung_ || ended_) return;
      rung_ = true;
    }
    service_->alarms_.After(kGather, [line = line_] {
      MutexLock lock(&line->mutex);
      if (line->watch != nullptr) line->watch->Send();
    });
  }
  static void Tick(publish::Alarms& alarms, const std::shared_ptr<Line>& line) {
    alarms.After(kPeriod, [&alarms, line] {
      {
        MutexLock lock(&line->mutex);
        if (line->watch == nullptr) return;
        line->watch->Become(Due::kChanged);
      }
      Tick(alarms, line);
    });
  }
  void Send() {
    v1::Status status = service_->Now();
    MutexLock lock(&mutex_);
    rung_ = false;
    if (writing_ || ended_) return;
    changed_ = false;
    writing_ = true;
    response_ = std::move(status);
    StartWrite(&response_);
  }
  void End(const grpc::Status& status) {
    MutexLock lock(&mutex_);
    if (ended_) return;
    ended_ = true;
    Finish(status);
  }

  StatusService* const service_ = nullptr;
  const std::unique_ptr<Seats::Seat> seat_;
  const std::shared_ptr<Line> line_;
  Mutex mutex_;
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool rung_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  v1::Status response_;
  std::unique_ptr<publish::Distributor::Listener> listener_;
  std::unique_ptr<Admission> admission_;  // last: its end waits for a notice that is given
};

v1::Status StatusService::Now() const {
  v1::Status status;
  status.set_version(facts_.version);
  status.set_revision(distributor_.revision());
  status.set_incarnation(facts_.incarnation);
  status.mutable_start_time()->set_seconds(absl::ToUnixSeconds(facts_.started));
  for (v1::GatewayStatus& gateway : distributor_.Gateways()) *status.add_gateways() = std::move(gateway);
  const hub::HubStats stats = hub_.stats();
  status.set_events(stats.events);
  status.set_events_lost(stats.lost);
  status.set_watchers(stats.watchers);
  if (std::optional<v1::ArchiveStatus> archive = hub_.archive()) *status.mutable_archive() = *std::move(archive);
  return status;
}

grpc::ServerUnaryReactor* StatusService::GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest* request,
                                                   v1::Status* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.StatusService/GetStatus", request);
  if (caller.ok()) *response = Now();
  reactor->Finish(ToGrpc(caller.status()));
  return reactor;
}

grpc::ServerWriteReactor<v1::Status>* StatusService::WatchStatus(grpc::CallbackServerContext* context,
                                                                 const v1::GetStatusRequest* request) {
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.StatusService/WatchStatus", request);
  if (!caller.ok()) return new Watch(caller.status());
  absl::StatusOr<std::unique_ptr<Seats::Seat>> seat = seats_.Take(*caller);
  if (!seat.ok()) return new Watch(seat.status());
  return new Watch(*this, *std::move(seat), *context);
}

}  // namespace gatehouse::api
