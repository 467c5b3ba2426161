// Slot is where a worker keeps the snapshot in force: a plain pointer on the request path, a reference for whoever must
// outlive a change.
//
// Ownership:  shares the snapshot; the one before is released by Set unless a request pins it.
// Threading:  one per worker, touched on its loop only.
// Errors:     none.
#pragma once

#include <memory>
#include <utility>

#include "gateway/config/snapshot.h"

namespace gatehouse::config {

class Slot {
 public:
  void Set(std::shared_ptr<const Snapshot> snapshot) { snapshot_ = std::move(snapshot); }
  // Null before the first Set.
  const Snapshot* get() const { return snapshot_.get(); }
  const std::shared_ptr<const Snapshot>& shared() const { return snapshot_; }

 private:
  std::shared_ptr<const Snapshot> snapshot_;
};

}  // namespace gatehouse::config
