#include "control/api/resource_watchers.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/api/call.h"
#include "control/api/config_service.h"
#include "control/api/resource_stream.h"
#include "gateway/base/deadline.h"

namespace gatehouse::api {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(1);

}  // namespace

// Lock order: watchers' mutex, then a watcher's.
class ResourceWatchers::Watcher final : public Call {
 public:
  Watcher(ResourceWatchers& owner, grpc::CallbackServerContext& context) : owner_(owner), context_(context) {}

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
      if (patience_.passed()) context_.TryCancel();
      return;
    }
    if (!stream_->Next(owner_.changes_.Current(), &message_)) return;
    writing_ = true;
    patience_ = Deadline(kPatience);
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
    {
      MutexLock lock(&owner_.mutex_);
      owner_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  void End(const grpc::Status& status) {
    MutexLock lock(&mutex_);
    if (ended_) return;
    ended_ = true;
    Finish(status);
  }

  ResourceWatchers& owner_;
  grpc::CallbackServerContext& context_;
  Mutex mutex_;
  std::optional<ResourceStream> stream_ ABSL_GUARDED_BY(mutex_);
  v1::WatchResourcesResponse message_;  // gRPC's while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  Deadline patience_ ABSL_GUARDED_BY(mutex_){kPatience};  // with one that takes nothing
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
  absl::Status refused = guard(context, "/gatehouse.v1.ConfigService/WatchResources", &request).status();
  auto* watcher = new Watcher(*this, context);
  if (refused.ok() && (!v1::Kind_IsValid(request.kind()) || request.kind() == v1::KIND_UNSPECIFIED)) {
    refused = absl::InvalidArgumentError("kind: required, one of the known kinds");
  }
  if (refused.ok()) {
    MutexLock lock(&mutex_);
    if (watchers_.size() < kMaxWatchers) {
      watchers_.insert(watcher);
    } else {
      refused = absl::ResourceExhaustedError(absl::StrCat("there are ", kMaxWatchers, " watchers of resources already"));
    }
  }
  if (refused.ok()) {
    watcher->Start(request, guard);
  } else {
    watcher->Refuse(refused);
  }
  return watcher;
}

void ResourceWatchers::Run() {
  MutexLock lock(&mutex_);
  while (!ending_) {
    if (!news_) {
      changed_.Wait(&mutex_);
      continue;
    }
    news_ = false;
    for (Watcher* watcher : watchers_) watcher->Pump();
  }
}

grpc::ServerWriteReactor<v1::WatchResourcesResponse>* ConfigService::WatchResources(
    grpc::CallbackServerContext* context, const v1::WatchResourcesRequest* request) {
  return watchers_.Begin(*context, *request, guard_);
}

}  // namespace gatehouse::api
