#include "control/api/event_service.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/base/mutex.h"

namespace gatehouse::api {
namespace {

constexpr size_t kMaxEvents = 2048;            // in one message to a watcher
constexpr size_t kMaxBytes = 512 * 1024;       // likewise
constexpr size_t kMaxNameBytes = 64;

// The hub's own bytes, kept alive until gRPC has sent them.
grpc::Slice SliceOf(hub::Watcher::Piece&& piece) {
  auto* keep = new std::shared_ptr<const void>(std::move(piece.keep));
  return grpc::Slice(
      const_cast<char*>(piece.bytes.data()), piece.bytes.size(),
      [](void* p) { delete static_cast<std::shared_ptr<const void>*>(p); }, keep);
}

// WatchReactor sends what its watcher finds, one message at a time: gRPC's flow control is what slows it.
class WatchReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit WatchReactor(const absl::Status& refused) { Finish(ToGrpc(refused)); }
  WatchReactor(hub::Hub& hub, const v1::WatchRequest& request, const Guard& guard,
               grpc::CallbackServerContext& context) {
    auto watcher = hub.Watch(request, [this] { Pump(); });
    if (!watcher.ok()) {
      Finish(ToGrpc(watcher.status()));
      return;
    }
    const v1::Cursor place = (*watcher)->place();
    context.AddInitialMetadata("gatehouse-cursor", absl::StrCat(place.incarnation(), ":", place.sequence()));
    {
      MutexLock lock(&mutex_);
      watcher_ = *std::move(watcher);
    }
    StartSendInitialMetadata();
    admission_ = guard.Admit(context, [this](const absl::Status& why) { End(ToGrpc(why)); });
    Pump();
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mutex_);
      writing_ = false;
    }
    if (ok) {
      Pump();
    } else {
      End(grpc::Status::CANCELLED);
    }
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  void Pump() {
    MutexLock lock(&mutex_);
    if (ended_ || writing_ || watcher_ == nullptr) return;
    std::vector<hub::Watcher::Piece> pieces;
    hub::Watcher::Taken taken;
    do {
      taken = watcher_->Next(kMaxEvents, kMaxBytes, &pieces);
    } while (taken.events == 0 && taken.more);
    if (taken.events == 0) return;
    std::vector<grpc::Slice> slices;
    slices.reserve(pieces.size());
    for (hub::Watcher::Piece& piece : pieces) slices.push_back(SliceOf(std::move(piece)));
    response_ = grpc::ByteBuffer(slices.data(), slices.size());
    writing_ = true;
    StartWrite(&response_);
  }
  void End(const grpc::Status& status) {
    MutexLock lock(&mutex_);
    if (ended_) return;
    ended_ = true;
    Finish(status);
  }

  Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ByteBuffer response_;
  // Last: its end waits for a wake that runs, which uses what is above.
  std::unique_ptr<hub::Watcher> watcher_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Admission> admission_;  // likewise
};

// ReportReactor takes one batch after another and answers each, so that the gateway can forget it.
class ReportReactor final : public grpc::ServerBidiReactor<v1::ReportRequest, v1::ReportResponse> {
 public:
  ReportReactor(hub::Hub& hub, const absl::Status& refused) : hub_(hub) { End(ToGrpc(refused)); }
  // `expected`: the gateway that the caller's certificate names; empty: any.
  ReportReactor(hub::Hub& hub, const Guard& guard, const grpc::CallbackServerContext& context, std::string expected)
      : hub_(hub), expected_(std::move(expected)) {
    admission_ = guard.Admit(context, [this](const absl::Status& why) { End(ToGrpc(why)); });
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End(grpc::Status::OK);  // the gateway has said all
    if (gateway_.empty()) {
      gateway_ = request_.gateway();
      run_ = request_.run();
      if (gateway_.empty() || gateway_.size() > kMaxNameBytes || run_.empty() || run_.size() > kMaxNameBytes) {
        return End(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                                "the first report must have gateway and run, 1 to 64 bytes each"));
      }
    }
    if (!expected_.empty() && gateway_ != expected_) {
      return End(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "gateway: the certificate is another gateway's"));
    }
    if (request_.batch() == 0) {
      return End(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "batch: counts from 1"));
    }
    std::vector<v1::Event> events(std::make_move_iterator(request_.mutable_events()->begin()),
                                  std::make_move_iterator(request_.mutable_events()->end()));
    MutexLock lock(&mutex_);
    if (ended_) return;  // what nobody may say any more is not heard
    response_.set_batch(hub_.Report(gateway_, run_, request_.batch(), absl::MakeSpan(events)));
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return End(grpc::Status::CANCELLED);
    MutexLock lock(&mutex_);
    if (ended_) return;
    request_.Clear();
    StartRead(&request_);
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  void End(const grpc::Status& status) {
    MutexLock lock(&mutex_);
    if (ended_) return;
    ended_ = true;
    Finish(status);
  }

  hub::Hub& hub_;
  const std::string expected_;
  std::string gateway_;
  std::string run_;
  v1::ReportRequest request_;
  v1::ReportResponse response_;
  Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  // Last: its end waits for a notice that is given, which uses what is above.
  std::unique_ptr<Admission> admission_;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* EventService::Watch(grpc::CallbackServerContext* context,
                                                                const grpc::ByteBuffer* request) {
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.EventService/Watch", request->Length());
  if (!caller.ok()) return new WatchReactor(caller.status());
  grpc::ByteBuffer bytes(*request);
  v1::WatchRequest parsed;
  if (!grpc::SerializationTraits<v1::WatchRequest>::Deserialize(&bytes, &parsed).ok()) {
    return new WatchReactor(absl::InvalidArgumentError("the request is not a WatchRequest"));
  }
  return new WatchReactor(hub_, parsed, guard_, *context);
}

grpc::ServerUnaryReactor* EventService::Summary(grpc::CallbackServerContext* context, const v1::SummaryRequest* request,
                                                v1::SummaryResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.EventService/Summary", request);
  if (!caller.ok()) {
    reactor->Finish(ToGrpc(caller.status()));
    return reactor;
  }
  executor_.Submit(*caller, [this, reactor, request, response](const absl::StatusOr<Caller>& now) {
    if (!now.ok()) return reactor->Finish(ToGrpc(now.status()));
    absl::StatusOr<v1::SummaryResponse> counted = hub_.summary().Count(*request);
    if (counted.ok()) *response = *std::move(counted);
    reactor->Finish(ToGrpc(counted.status()));
  });
  return reactor;
}

grpc::ServerBidiReactor<v1::ReportRequest, v1::ReportResponse>* EventService::Report(
    grpc::CallbackServerContext* context) {
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.EventService/Report", nullptr);
  if (!caller.ok()) return new ReportReactor(hub_, caller.status());
  return new ReportReactor(hub_, guard_, *context, caller->gateway);
}

}  // namespace gatehouse::api
