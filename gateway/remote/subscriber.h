// Subscriber keeps a gateway in step with a control plane: it takes snapshots and deltas from SnapshotService.Subscribe,
// builds and installs them, and says which it took and which it could not.
//
//   kSeeking --connected, Hello sent--> kFollowing --stream broke--> kSeeking (next control plane, back-off and jitter)
//
// A revision that cannot be taken is NACKed whole and the one before stays; a lower revision of the same incarnation is
// never taken. Each good one is saved, so that a restart needs no control plane.
//
// Ownership:  gateway and file outlive it; file may be null.
// Threading:  threads of its own. Start and Stop from one thread.
// Errors:     logged; the gateway goes on with what it has.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/lib/target.h"
#include "gateway/base/clock.h"
#include "gateway/base/executor.h"
#include "gateway/base/mutex.h"
#include "gateway/base/steady.h"
#include "gateway/remote/snapshot_file.h"
#include "gateway/server/gateway.h"
#include "gateway/server/load_meter.h"
#include "gateway/server/renewal.h"
#include "gatehouse/v1/snapshot_service.grpc.pb.h"

namespace gatehouse::remote {

class Subscriber {
 public:
  struct Options {
    std::string gateway;
    std::vector<client::Target> targets;  // asked in turn; at least one
    const Clock* clock = nullptr;
    absl::Duration renewal_period = absl::Seconds(1);  // as server::Renewal's
  };
  static constexpr absl::Duration kLoadPeriod = absl::Seconds(5);
  Subscriber(Options options, server::Gateway* gateway, SnapshotFile* file);
  ~Subscriber();
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  void Start();
  void Stop();
  // Opens the stream anew, on a channel of its own.
  void Reconnect();
  // WaitInStep returns true when a control plane's newest revision is in force; false when nothing of one came for as long as
  // `timeout`, or EndWait was called. What comes in pieces, or is being built, is waited for.
  bool WaitInStep(absl::Duration timeout);
  // From any thread.
  void EndWait();
  // Load reads the saved configuration: a floor below which no control plane of its incarnation is followed. NOT_FOUND
  // when there is none. Before Start.
  absl::Status Load();
  // Restore brings what Load read into force, unless a control plane's came first.
  absl::Status Restore();
  // The channel that is connected now; null when none is. For the uplink.
  std::shared_ptr<grpc::Channel> channel() const;

 private:
  using Stream = grpc::ClientReaderWriterInterface<v1::SubscribeRequest, v1::SubscribeResponse>;

  void Run();
  // Follows until the stream breaks; false when nothing was received.
  bool Follow(const client::Target& target);
  // True to go on; false to open the stream anew.
  bool Receive(const v1::SubscribeResponse& response, Stream* stream);
  bool ReceiveChunk(const v1::SnapshotChunk& chunk, Stream* stream);
  bool ReceiveDelta(const v1::Delta& delta, Stream* stream);
  // `delta`: what made it of the one that is held; null: it came whole.
  void Take(SavedSnapshot offered, const v1::Delta* delta, Stream* stream);
  void Answer(const v1::Question& question, Stream* stream);
  void Write(const v1::SubscribeRequest& request, Stream* stream);
  // What was refused is tried again: files that it names have changed, or an address may be free.
  void Retry();
  void Hold(SavedSnapshot snapshot, const v1::Delta* delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(install_mutex_);
  // What is held is the newest there is.
  void Confirm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(install_mutex_);
  // Says how busy the gateway is, every kLoadPeriod while a stream is followed.
  void ReportLoad();
  void TakeTicketKeys(const v1::TicketKeys& message);
  void InStep();
  // Something of a configuration came, and is `receiving` being taken, or was.
  void Progress(bool receiving);
  // What is wrong; empty when it is in force.
  std::vector<v1::Violation> Install(const SavedSnapshot& snapshot);

  const Options options_;
  server::Gateway* const gateway_;
  SnapshotFile* const file_;
  // Installing, and what is installed: the subscriber's thread, and Restore from another.
  Mutex install_mutex_;
  SavedSnapshot held_ ABSL_GUARDED_BY(install_mutex_);  // in force, or loaded and the floor
  bool in_force_ ABSL_GUARDED_BY(install_mutex_) = false;
  absl::Time confirmed_saved_ ABSL_GUARDED_BY(install_mutex_) = absl::InfinitePast();
  std::optional<SavedSnapshot> refused_ ABSL_GUARDED_BY(install_mutex_);  // the last, if nothing was taken since
  // The subscriber's thread.
  std::string pieces_;           // of the snapshot under way
  uint64_t pieces_revision_ = 0;
  bool whole_ = false;           // ask for everything: a delta did not fit
  // Answers what the control plane asks of the stream that is followed.
  std::unique_ptr<Executor> questions_;
  Mutex write_mutex_;  // of the stream: updates and answers are written by several threads
  Stream* stream_ ABSL_GUARDED_BY(write_mutex_) = nullptr;  // the one that is followed; null: none
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool in_step_ ABSL_GUARDED_BY(mutex_) = false;
  bool wait_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool receiving_ ABSL_GUARDED_BY(mutex_) = false;  // a piece is being taken
  SteadyTime progress_ ABSL_GUARDED_BY(mutex_);     // when the last was
  std::shared_ptr<grpc::Channel> channel_ ABSL_GUARDED_BY(mutex_);
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  server::LoadMeter load_meter_;  // the loads' thread
  std::thread thread_;
  std::thread loads_;
  server::Renewal renewal_;  // last: its thread calls Retry
};

}  // namespace gatehouse::remote
