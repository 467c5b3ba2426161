// The HTTP/1.1 client of a worker: a Pool keeps connections to one upstream alive; a Request is one exchange over one
// of them, streamed in both directions with bounded memory.
//
//   auto request = pool.Start(head, &handler);      // nothing is called back inside Start
//   request->SendBody(bytes, /*end=*/false);        // while writable(); OnWritable says when again
//   request.reset();                                // cancel: no callback follows
//
// A request:
//   kQueued --connection--> kConnecting --> kSending --head--> kReceiving --end--> kDone
//      `-------------- error, timeout (exactly one OnError) ----------------------> kDone
//
// Retries: a refused or timed-out connect tries the other endpoints, since nothing was sent. A kept connection that
// dies before the first octet of the response is retried once on a new one, only for idempotent methods without a body.
//
// Ownership:  the caller owns the Request; destroying it cancels, inside a callback too. The Pool outlives its
//             requests' use of the loop: destroying a Pool ends running requests with OnError(kShutdown), later.
// Threading:  thread-compatible, on the loop's thread only.
// Errors:     OnError, once, never after OnComplete; Start itself never fails and never calls back.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gateway/base/counter.h"
#include "gateway/upstream/options.h"

namespace gatehouse::loop {
class Loop;
}

namespace gatehouse::upstream {

enum class ErrorKind : uint8_t {
  kConnectFailed = 0,    // refused or unreachable, on every endpoint: 502
  kConnectTimeout = 1,   // 504
  kReset = 2,            // closed or reset before the response ended: 502
  kProtocol = 3,         // the response was not HTTP/1.1: 502
  kResponseTimeout = 4,  // no response head in time: 504
  kStalled = 5,          // 504
  kOverloaded = 6,       // max_pending, or queue_timeout: 503
  kNoEndpoint = 7,       // 503
  kBadRequest = 8,       // the head given to Start holds CR, LF, NUL or a bad length: a broken invariant above, 500
  kShutdown = 9,         // the pool is gone: 503
};
inline constexpr size_t kErrorKindCount = 10;
// "connect_failed" …, for metrics and events.
absl::string_view ErrorKindName(ErrorKind kind);
// The status that the client is told.
int StatusFor(ErrorKind kind);

struct Field {
  absl::string_view name;
  absl::string_view value;
};

enum class Framing : uint8_t { kNoBody, kLength, kChunked };

// What is sent. Everything is copied by Start. Host comes from `authority`, framing fields from `framing`;
// hop-by-hop fields, Host, Content-Length, Transfer-Encoding and Expect among `fields` are dropped.
struct RequestHead {
  absl::string_view method;
  absl::string_view target;     // canonical path and query, as it goes on the wire
  absl::string_view authority;  // Host
  absl::Span<const Field> fields;
  Framing framing = Framing::kNoBody;
  uint64_t content_length = 0;  // kLength
};

// The response as the caller sees it. Views live until the callback returns.
class ResponseHandler {
 public:
  virtual ~ResponseHandler() = default;
  // `fields` are without hop-by-hop fields; Content-Length stays. `end` means no body follows (OnComplete does).
  virtual void OnHead(int status, absl::Span<const Field> fields, bool end) = 0;
  virtual void OnBody(absl::string_view bytes) = 0;
  virtual void OnTrailers(absl::Span<const Field> fields) = 0;
  // The response is whole. The request's body may not be (an early response): what is left of it is not wanted.
  virtual void OnComplete() = 0;
  virtual void OnError(ErrorKind kind, absl::string_view detail) = 0;
  // writable() is true again.
  virtual void OnWritable() = 0;
};

class Request {
 public:
  virtual ~Request() = default;
  // SendBody copies `bytes` to the send buffer; it is never refused, but call it only while writable(), or the buffer
  // grows past its mark. After `end` nothing more. With kLength, more or fewer octets than declared end in kBadRequest.
  virtual void SendBody(absl::string_view bytes, bool end) = 0;
  virtual bool writable() const = 0;
  // While paused no OnBody comes (a chunk being delivered apart) and the upstream's window fills.
  virtual void PauseReading() = 0;
  virtual void ResumeReading() = 0;
};

// Counted by the pool, read by anybody.
struct PoolStats {
  Counter requests;
  Counter connects;  // attempted
  Counter reused;    // requests that found a kept connection
  Counter retries;
  Counter open_connections;  // gauge
  Counter idle_connections;  // gauge
  Counter pending;           // gauge
  Counter errors[kErrorKindCount];
};

class Pool {
 public:
  // REQUIRES: loop outlives the pool.
  static std::unique_ptr<Pool> Create(loop::Loop* loop, UpstreamOptions options);
  virtual ~Pool() = default;

  virtual std::unique_ptr<Request> Start(const RequestHead& head, ResponseHandler* handler) = 0;
  // Update takes new options: running requests go on, connections to endpoints that are gone are not used again.
  virtual void Update(UpstreamOptions options) = 0;
  virtual const PoolStats& stats() const = 0;
  virtual const UpstreamOptions& options() const = 0;
};

}  // namespace gatehouse::upstream
