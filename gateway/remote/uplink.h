// Uplink carries the gateway's events to a control plane through EventService.Report. Batches are numbered and kept until
// they are acknowledged, so that a broken stream loses nothing and the hub counts nothing twice. What does not fit is
// lost, counted, and the next event says how many.
//
// Ownership:  owns what waits. The channel source outlives it.
// Threading:  Add from any thread, never blocks; one thread of its own sends.
// Units:      at most kMostWaiting events wait, and kMostWaitingBytes in wire form, of which strangers fill much with the names in
//             their certificates; beyond them only those that must be kept (has_room).
// Errors:     none to the caller; a stream that fails is opened again with back-off and jitter.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gateway/base/mutex.h"
#include "gateway/events/event.h"
#include "gatehouse/v1/event_service.grpc.pb.h"

namespace gatehouse::remote {

class Uplink {
 public:
  static constexpr size_t kMostWaiting = 16 * 1024;
  static constexpr size_t kMostWaitingBytes = size_t{32} << 20;
  static constexpr size_t kBatch = 512;
  // A connected channel to a control plane, or null after waiting a while for one.
  using ChannelSource = std::function<std::shared_ptr<grpc::Channel>()>;

  Uplink(std::string gateway, ChannelSource channels);
  ~Uplink();
  Uplink(const Uplink&) = delete;
  Uplink& operator=(const Uplink&) = delete;

  void Add(events::Batch batch);
  // Stop gives what waits `grace` to be delivered, then ends. What was not is lost.
  void Stop(absl::Duration grace);
  uint64_t lost() const;
  // Whether an event that must be kept will be: asked before what it tells is done. What was promised in the meantime, no
  // more than the workers' rings hold, is kept too.
  bool has_room() const { return room_.load(std::memory_order_relaxed); }

 private:
  struct Waiting {
    std::string wire;     // of a v1::Event
    uint64_t untold = 0;  // lost before it, which it tells
  };
  void Run();
  bool Full() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return waiting_.size() >= kMostWaiting || waiting_bytes_ >= kMostWaitingBytes;
  }
  // Sends until the stream breaks or the uplink stops; false when nothing was acknowledged.
  bool Serve(const std::shared_ptr<grpc::Channel>& channel);
  bool WaitForWork();

  const std::string gateway_;
  const std::string run_;
  const ChannelSource channels_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t untold_ ABSL_GUARDED_BY(mutex_) = 0;  // of lost_, not yet told by an event
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool delivering_ ABSL_GUARDED_BY(mutex_) = false;  // batch_ is not acknowledged yet
  std::atomic<bool> room_{true};
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;  // of the running stream
  // The sender's own.
  v1::ReportRequest batch_;  // being delivered; kept over a reconnect
  uint64_t number_ = 0;
  std::thread thread_;
};

}  // namespace gatehouse::remote
