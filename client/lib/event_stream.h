// EventStream is one call of EventService.Watch, read by a thread that may block. Private to the library.
//
// Ownership:  lives on the reading thread's stack; the context outlives it.
// Threading:  gRPC's threads call the reactor; the reading thread calls the rest. `on_subscribed` runs on the reading
//             thread, within AwaitSubscribed.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event_service.grpc.pb.h"

namespace gatehouse::client {

class EventStream final : public grpc::ClientReadReactor<v1::WatchResponse> {
 public:
  explicit EventStream(std::function<void()> on_subscribed) : on_subscribed_(std::move(on_subscribed)) {}

  void Start(v1::EventService::Stub& stub, grpc::ClientContext& context, const v1::WatchRequest& request);
  // Waits until the server confirms the subscription or refuses it. False when `timeout` has passed.
  bool AwaitSubscribed(absl::Duration timeout);
  // Next waits for the next message; std::nullopt when there will be none. Not to be called after that.
  std::optional<v1::WatchResponse> Next();
  // Waits for the call's end. REQUIRES: Next returned std::nullopt.
  absl::Status Finish();

 private:
  void OnReadInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::function<void()> on_subscribed_;
  v1::WatchResponse response_;  // gRPC's while a read is under way

  Mutex mutex_;
  CondVar changed_;
  bool metadata_known_ ABSL_GUARDED_BY(mutex_) = false;
  bool subscribed_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_ok_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::client
