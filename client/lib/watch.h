// Watch is a subscription to the event stream. Dropping it ends the subscription.
//
//   kSubscribing --metadata--> kStreaming --broken--> kWaiting --backoff--> kSubscribing
//         `---------------------- refused, dropped ---------------------------------^ kEnded
//
// A broken stream is taken up again after the last event that was seen, or where it began. Where that is no longer possible
// (the hub has forgotten the place, or another one answers) the handler gets one event of type GAP, and the watch goes on
// with what is still kept.
//
// Ownership:  owns its thread and call; the destructor cancels and joins.
// Threading:  the handler runs on the watch's thread, one call at a time, and never after the destructor has
//             returned. The destructor must not be called from the handler.
// Errors:     a refusal that waiting does not cure (a bad filter, no permission) ends the watch: `on_end` says why.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gatehouse/v1/event_service.pb.h"

namespace gatehouse::client {

struct WatchOptions {
  v1::EventFilter filter;
  // Events after this one first; unset: only new ones.
  v1::Cursor after;
  // Events of this time and later first. Not together with `after`.
  std::optional<absl::Time> since;
  // Where those are not kept any more: a GAP, and what is still there, instead of OUT_OF_RANGE. Alone: all that is kept.
  bool from_oldest = false;
  // Until the first subscription stands.
  absl::Duration connect_timeout = absl::Seconds(5);
  // Before a broken stream is taken up again; doubles up to five seconds.
  absl::Duration backoff = absl::Milliseconds(100);
};

struct WatchHandler {
  // Required.
  std::function<void(const v1::Event&)> on_event;
  // The stream broke and will be taken up again. May be empty.
  std::function<void(const absl::Status&)> on_interruption;
  // The watch is over by itself. Called at most once, last. May be empty.
  std::function<void(const absl::Status&)> on_end;
};

class Watch {
 public:
  // Start returns once the server has confirmed the subscription: events from then on are not missed.
  static absl::StatusOr<std::unique_ptr<Watch>> Start(std::shared_ptr<grpc::Channel> channel, WatchOptions options,
                                                      WatchHandler handler);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  class Session;
  explicit Watch(std::shared_ptr<Session> session);

  const std::shared_ptr<Session> session_;
  std::thread thread_;
};

}  // namespace gatehouse::client
