// Slot is where a worker keeps the snapshot in force: a plain pointer on the request path, a pin for whoever of its thread must
// outlive a change.
//
// Ownership:  shares the snapshot; the one before is released by Set unless a request pins it.
// Threading:  one per worker, touched on its loop only, and so are its pins.
// Errors:     none.
#pragma once

#include <memory>
#include <utility>

#include "boost/smart_ptr/intrusive_ptr.hpp"
#include "boost/smart_ptr/intrusive_ref_counter.hpp"
#include "gateway/config/snapshot.h"

namespace gatehouse::config {

// One worker's share of a snapshot. Pins are counted without atomics, each of which would wait for all that was written before.
class PinnedSnapshot : public boost::intrusive_ref_counter<PinnedSnapshot, boost::thread_unsafe_counter> {
 public:
  explicit PinnedSnapshot(std::shared_ptr<const Snapshot> snapshot) : snapshot_(std::move(snapshot)) {}
  const std::shared_ptr<const Snapshot>& snapshot() const { return snapshot_; }

 private:
  const std::shared_ptr<const Snapshot> snapshot_;
};
using SnapshotPin = boost::intrusive_ptr<const PinnedSnapshot>;

class Slot {
 public:
  void Set(std::shared_ptr<const Snapshot> snapshot) { pin_.reset(new PinnedSnapshot(std::move(snapshot))); }
  // Null before the first Set.
  const Snapshot* get() const { return shared().get(); }
  const std::shared_ptr<const Snapshot>& shared() const { return pin_->snapshot(); }
  const SnapshotPin& pin() const { return pin_; }

 private:
  SnapshotPin pin_{new PinnedSnapshot(nullptr)};
};

}  // namespace gatehouse::config
