// ResourceStream is what one watcher of a kind is still to be told: first what is there, then what differs from what it
// was told last. Revisions that come while it is being told are taken together.
//
//   kIdle --another state--> kTelling, a message at a time --all told--> kIdle
//
// Ownership:  shares the state that was told last, and the one that is being told.
// Threading:  thread-compatible.
// Units:      a message is about 1 MiB, or one resource.
// Errors:     none.
#pragma once

#include <string>
#include <vector>

#include "control/api/etags.h"
#include "control/api/labels.h"
#include "control/store/store.h"
#include "gatehouse/v1/config_service.pb.h"

namespace gatehouse::api {

class ResourceStream {
 public:
  // REQUIRES: request.kind() is a known kind. `current` counts as told when only changes are asked for. etags outlives this.
  ResourceStream(const v1::WatchResourcesRequest& request, store::StateRef current, const Etags& etags);

  // Next makes the next message, or returns false when there is nothing to tell while `current` is the state.
  bool Next(const store::StateRef& current, v1::WatchResourcesResponse* message);

 private:
  // Finds what differs between told_ and telling_.
  void Collect();
  // Tells from next_ on; true when all was told.
  bool Tell(v1::WatchResourcesResponse* message);

  const Etags& etags_;
  const v1::Kind kind_;
  const Labels labels_;
  const std::string name_;
  store::StateRef told_;
  store::StateRef telling_;  // null: idle
  struct Difference {
    std::string name;
    config::ResourceRef now;  // null: it is gone
  };
  std::vector<Difference> differences_;
  size_t next_ = 0;
  bool synced_ = false;
};

}  // namespace gatehouse::api
