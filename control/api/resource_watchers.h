// ResourceWatchers serves ConfigService.WatchResources: a thread of its own tells every watcher of each revision, so that
// writers wait for none of them. A watcher who is slow is told several revisions at once; one who takes nothing at all for a
// minute while there is news is cut off, since each holds the state that it was told last.
//
// Ownership:  changes outlives this; this outlives the server that the calls belong to. Calls own themselves.
// Threading:  thread-safe.
// Errors:     the call's status: INVALID_ARGUMENT (kind), RESOURCE_EXHAUSTED (too many watchers).
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <set>
#include <thread>

#include "control/api/changes.h"
#include "control/api/guard.h"
#include "control/api/seats.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/config_service.grpc.pb.h"

namespace gatehouse::api {

class ResourceWatchers {
 public:
  using Call = grpc::ServerWriteReactor<v1::WatchResourcesResponse>;
  static constexpr size_t kMaxWatchers = 256;  // of one caller a quarter

  explicit ResourceWatchers(Changes& changes);
  ~ResourceWatchers();
  ResourceWatchers(const ResourceWatchers&) = delete;
  ResourceWatchers& operator=(const ResourceWatchers&) = delete;

  // Begin serves one call, for as long as the guard lets its caller.
  Call* Begin(grpc::CallbackServerContext& context, const v1::WatchResourcesRequest& request, const Guard& guard);

 private:
  class Watcher;
  void Run();

  Changes& changes_;
  Mutex mutex_;  // writers take it: held for a moment, and never while a watcher is told
  CondVar changed_;
  Seats seats_{"watchers of resources", kMaxWatchers};
  std::set<std::shared_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  bool news_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace gatehouse::api
