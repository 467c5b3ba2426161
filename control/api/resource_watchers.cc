#include "control/api/resource_watchers.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "control/api/call.h"
#include "control/api/config_service.h"
#include "control/api/resource_stream.h"
#include "gateway/base/steady.h"

namespace gatehouse::api {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(1);

}  // namespace

class ResourceWatchers::Watcher final : public Call {
 public:
  static std::shared_ptr<Watcher> Make(ResourceWatchers& owner, grpc::CallbackServerContext& context) {
    auto watcher = std::make_shared<Watcher>(owner, context);
    watcher->self_ = watcher;
    return watcher;
  }
  Watcher(ResourceWatchers& owner, grpc::CallbackServerContext& context) : owner_(owner), context_(context) {}

  void Sit(std::unique_ptr<Seats::Seat> seat) { seat_ = std::move(seat); }
  void Refuse(const absl::Status& status) { End(RespondStatus(status)); }
  void Start(const v1::WatchResourcesRequest& request, const Guard& guard) {
    {
      MutexLock lock(&mutex_);
      stream_.emplace(request, owner_.changes_.Current(), owner_.changes_.etags());
    }
    StartSendInitialMetadata();
    admission_ = guard.Admit(context_, [this](const absl::Status& why) { End(RespondStatus(why)); });
    Pump();
  }
  void Pump() {
    MutexLock lock(&mutex_);
    if (ended_ || !stream_.has_value()) return;
    if (writing_) {
      if (SteadyNow() >= patience_) context_.TryCancel();
      return;
    }
    if (!stream_->Next(owner_.changes_.Current(), &message_)) return;
    writing_ = true;
    patience_ = SteadyAfter(kPatience);
    StartWrite(&message_);
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
  void OnDone() override {
    admission_.reset();
    const std::shared_ptr<Watcher> self = std::move(self_);
    MutexLock lock(&owner_.mutex_);
    owner_.watchers_.erase(self);
  }

 private:
  void End(const grpc::Status& status) {
    MutexLock lock(&mutex_);
    if (ended_) return;
    ended_ = true;
    Finish(status);
  }

  ResourceWatchers& owner_;
  grpc::CallbackServerContext& context_;  // until ended_
  std::shared_ptr<Watcher> self_;         // until gRPC is done with this
  std::unique_ptr<Seats::Seat> seat_;
  Mutex mutex_;
  std::optional<ResourceStream> stream_ ABSL_GUARDED_BY(mutex_);
  v1::WatchResourcesResponse message_;  // gRPC's while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  SteadyTime patience_ ABSL_GUARDED_BY(mutex_) = SteadyAfter(kPatience);  // with one that takes nothing
  // Last: its end waits for a notice, which uses what is above.
  std::unique_ptr<Admission> admission_;
};

ResourceWatchers::ResourceWatchers(Changes& changes) : changes_(changes) {
  thread_ = std::thread([this] { Run(); });
  changes_.Listen([this] {
    MutexLock lock(&mutex_);
    news_ = true;
    changed_.SignalOne();
  });
}

ResourceWatchers::~ResourceWatchers() {
  changes_.Listen(nullptr);
  {
    MutexLock lock(&mutex_);
    ending_ = true;
    changed_.SignalOne();
  }
  thread_.join();
}

ResourceWatchers::Call* ResourceWatchers::Begin(grpc::CallbackServerContext& context,
                                                const v1::WatchResourcesRequest& request, const Guard& guard) {
  const absl::StatusOr<Caller> caller = guard(context, "/gatehouse.v1.ConfigService/WatchResources", &request);
  absl::Status refused = caller.status();
  const std::shared_ptr<Watcher> watcher = Watcher::Make(*this, context);
  if (refused.ok() && (!v1::Kind_IsValid(request.kind()) || request.kind() == v1::KIND_UNSPECIFIED)) {
    refused = absl::InvalidArgumentError("kind: required, one of the known kinds");
  }
  if (refused.ok()) {
    absl::StatusOr<std::unique_ptr<Seats::Seat>> seat = seats_.Take(*caller);
    refused = seat.status();
    if (seat.ok()) watcher->Sit(*std::move(seat));
  }
  if (refused.ok()) {
    {
      MutexLock lock(&mutex_);
      watchers_.insert(watcher);
    }
    watcher->Start(request, guard);
  } else {
    watcher->Refuse(refused);
  }
  return watcher.get();
}

void ResourceWatchers::Run() {
  MutexLock lock(&mutex_);
  while (!ending_) {
    if (!news_) {
      changed_.Wait(&mutex_);
      continue;
    }
    news_ = false;
    std::vector<std::shared_ptr<Watcher>> all(watchers_.begin(), watchers_.end());
    mutex_.Unlock();
    for (const std::shared_ptr<Watcher>& watcher : all) watcher->Pump();
    all.clear();
    mutex_.Lock();
  }
}

grpc::ServerWriteReactor<v1::WatchResourcesResponse>* ConfigService::WatchResources(
    grpc::CallbackServerContext* context, const v1::WatchResourcesRequest* request) {
  return watchers_.Begin(*context, *request, guard_);
}

}  // namespace gatehouse::api
