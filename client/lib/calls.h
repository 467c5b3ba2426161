// How the client makes calls: deadlines, and the waits and retries that its options ask for.
#pragma once

#include <grpcpp/client_context.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "client/lib/client.h"
#include "client/lib/status.h"

namespace gatehouse::client {

inline void SetDeadline(grpc::ClientContext& context, absl::Duration timeout) {
  // gRPC 1.51: a channel whose server was down once never connects again for fail-fast calls.
  context.set_wait_for_ready(true);
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

// Asks again while the server is unavailable: only for calls that change nothing.
template <typename Call>
absl::Status Retried(const ClientOptions& options, Call call) {
  const absl::Time deadline = absl::Now() + options.call_timeout;
  absl::Duration backoff = options.retry_backoff;
  while (true) {
    grpc::ClientContext context;
    SetDeadline(context, std::max(deadline - absl::Now(), absl::ZeroDuration()));
    absl::Status status = FromGrpc(call(context));
    if (!absl::IsUnavailable(status) || absl::Now() + backoff >= deadline) return status;
    absl::SleepFor(backoff);
    backoff = std::min(backoff * 2, absl::Seconds(2));
  }
}

template <typename Call>
absl::Status Once(absl::Duration timeout, Call call) {
  grpc::ClientContext context;
  SetDeadline(context, timeout);
  return FromGrpc(call(context));
}

// Once, for a change.
template <typename Call>
absl::Status Change(absl::Duration timeout, Call call) {
  return OfChange(Once(timeout, call));
}

inline absl::Duration Timeout(const ClientOptions& options, const ChangeOptions& change) {
  return options.call_timeout + (change.wait ? change.wait_timeout : absl::ZeroDuration());
}

inline void SetWait(const ChangeOptions& options, v1::WaitOptions& wait) {
  wait.set_wait(options.wait);
  wait.set_timeout_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(
      std::clamp(options.wait_timeout, absl::Milliseconds(1), absl::Hours(1)))));
}

}  // namespace gatehouse::client
