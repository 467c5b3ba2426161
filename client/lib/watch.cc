#include "client/lib/watch.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "client/lib/event_stream.h"
#include "client/lib/status.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event_service.grpc.pb.h"

namespace gatehouse::client {

// Session is what the watch's thread works on.
class Watch::Session {
 public:
  Session(std::shared_ptr<grpc::Channel> channel, WatchOptions options, WatchHandler handler)
      : stub_(v1::EventService::NewStub(std::move(channel))),
        options_(std::move(options)),
        handler_(std::move(handler)),
        cursor_(options_.after) {}

  // Runs on the thread.
  void Run() {
    absl::Duration backoff = options_.backoff;
    while (true) {
      bool subscribed = false;
      absl::Status status = Subscribe(&subscribed);
      if (IsStopped()) return;
      if (absl::IsOutOfRange(status) && started_) {
        TellGap();
        cursor_.Clear();
      }
      // Before the first subscription the caller of Start hears of it, and decides.
      if (!started_ || !Curable(status)) {
        End(status);
        return;
      }
      if (subscribed) backoff = options_.backoff;
      if (handler_.on_interruption) handler_.on_interruption(status);
      if (!Rest(backoff)) return;
      backoff = std::min(backoff * 2, absl::Seconds(5));
    }
  }

  absl::Status AwaitStart() {
    MutexLock lock(&mutex_);
    while (!start_known_) changed_.Wait(&mutex_);
    return start_status_;
  }

  void Stop() {
    MutexLock lock(&mutex_);
    stopped_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.SignalAll();
  }

 private:
  static bool Curable(const absl::Status& status) {
    switch (status.code()) {
      case absl::StatusCode::kInvalidArgument:
      case absl::StatusCode::kPermissionDenied:
      case absl::StatusCode::kUnauthenticated:
      case absl::StatusCode::kUnimplemented:
        return false;
      default:
        return true;
    }
  }

  // Where the server says that the stream begins; empty when it does not.
  static v1::Cursor BeginningOf(const grpc::ClientContext& context) {
    v1::Cursor cursor;
    const auto told = context.GetServerInitialMetadata().find("gatehouse-cursor");
    if (told == context.GetServerInitialMetadata().end()) return cursor;
    const absl::string_view text(told->second.data(), told->second.size());
    const size_t colon = text.rfind(':');
    uint64_t sequence = 0;
    if (colon == absl::string_view::npos || !absl::SimpleAtoi(text.substr(colon + 1), &sequence)) return cursor;
    cursor.set_incarnation(std::string(text.substr(0, colon)));
    cursor.set_sequence(sequence);
    return cursor;
  }

  absl::Status Subscribe(bool* subscribed) {
    // Trailers only: gRPC's own reactor is what tells a refusal from a subscription, hence not the blocking reader.
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    {
      MutexLock lock(&mutex_);
      if (stopped_) return absl::CancelledError("the watch was dropped");
      context_ = &context;
    }
    v1::WatchRequest request;
    *request.mutable_filter() = options_.filter;
    const bool placed = !cursor_.incarnation().empty() || cursor_.sequence() != 0;
    if (placed) {
      *request.mutable_after() = cursor_;
    } else if (options_.since.has_value()) {
      const int64_t seconds = absl::ToUnixSeconds(*options_.since);
      request.mutable_since()->set_seconds(seconds);
      request.mutable_since()->set_nanos(
          static_cast<int32_t>(absl::ToInt64Nanoseconds(*options_.since - absl::FromUnixSeconds(seconds))));
    }
    const bool from_now = !placed && !options_.since.has_value() && !options_.from_oldest;
    // Taken up again, a stream tells of what is gone by a GAP.
    request.set_from_oldest(options_.from_oldest || (started_ && !from_now));
    EventStream stream([&] {
      *subscribed = true;
      if (from_now) cursor_ = BeginningOf(context);
      TellStart(absl::OkStatus());
    });
    stream.Start(*stub_, context, request);
    // Only the first subscription has a deadline: somebody waits for it.
    absl::Duration patience = start_told_ ? absl::InfiniteDuration() : options_.connect_timeout;
    if (!stream.AwaitSubscribed(patience)) context.TryCancel();
    while (std::optional<v1::WatchResponse> response = stream.Next()) {
      for (const v1::Event& event : response->events()) {
        if (event.has_cursor()) cursor_ = event.cursor();
        if (IsStopped()) break;
        handler_.on_event(event);
      }
    }
    absl::Status status = stream.Finish();
    {
      MutexLock lock(&mutex_);
      context_ = nullptr;
    }
    if (!*subscribed && absl::IsCancelled(status)) {
      return absl::UnavailableError("the control plane did not confirm the subscription in time");
    }
    return status.ok() ? absl::UnavailableError("the control plane ended the stream") : status;
  }

  void TellStart(absl::Status status) {
    MutexLock lock(&mutex_);
    if (start_known_) return;
    start_known_ = true;
    start_told_ = true;
    started_ = status.ok();
    start_status_ = std::move(status);
    changed_.SignalAll();
  }

  void TellGap() {
    v1::Event gap;
    gap.set_type(v1::Event::GAP);
    gap.set_outcome(v1::Event::NOTICE);
    gap.set_detail("the control plane no longer knows our place in the stream: events in between are lost");
    handler_.on_event(gap);
  }

  void End(const absl::Status& status) {
    bool told = started_;
    TellStart(status);
    if (told && handler_.on_end) handler_.on_end(status);
  }

  bool IsStopped() {
    MutexLock lock(&mutex_);
    return stopped_;
  }

  // Returns false when the watch was dropped meanwhile.
  bool Rest(absl::Duration duration) {
    const absl::Time until = absl::Now() + duration;
    MutexLock lock(&mutex_);
    while (!stopped_ && absl::Now() < until) changed_.WaitFor(&mutex_, until - absl::Now());
    return !stopped_;
  }

  const std::unique_ptr<v1::EventService::Stub> stub_;
  const WatchOptions options_;
  const WatchHandler handler_;
  // On the thread only.
  v1::Cursor cursor_;
  bool start_told_ = false;
  bool started_ = false;

  Mutex mutex_;
  CondVar changed_;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool start_known_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status start_status_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<Watch>> Watch::Start(std::shared_ptr<grpc::Channel> channel, WatchOptions options,
                                                    WatchHandler handler) {
  std::unique_ptr<Watch> watch(
      new Watch(std::make_shared<Session>(std::move(channel), std::move(options), std::move(handler))));
  absl::Status status = watch->session_->AwaitStart();
  if (!status.ok()) return status;
  return watch;
}

Watch::Watch(std::shared_ptr<Session> session) : session_(std::move(session)) {
  thread_ = std::thread([s = session_] { s->Run(); });
}

Watch::~Watch() {
  session_->Stop();
  thread_.join();
}

}  // namespace gatehouse::client
