// The vocabulary of the upstream side: what is asked, what comes back, what can go wrong.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "gateway/http/field_list.h"
#include "gateway/http/message.h"

namespace gatehouse::upstream {

enum class ErrorKind : uint8_t {
  kConnectFailed = 0,    // refused or unreachable, on every endpoint: 502
  kConnectTimeout = 1,   // on the last endpoint that was tried: 504
  kReset = 2,            // closed or reset before the response ended: 502
  kProtocol = 3,         // the response broke the rules of HTTP: 502
  kResponseTimeout = 4,  // no response head in time: 504
  kStalled = 5,          // 504
  kOverloaded = 6,       // max_pending, or queue_timeout: 503
  kNoEndpoint = 7,       // 503
  kBadRequest = 8,       // CR, LF, NUL in the head or a body of another length: a broken invariant above, 500
  kRefused = 9,          // HTTP/2: turned away before anything looked at it (REFUSED_STREAM, GOAWAY), again and again: 503
};
inline constexpr size_t kErrorKindCount = 10;
// "connect_failed" …, for metrics and events.
absl::string_view ErrorKindName(ErrorKind kind);
// The status that the client is told.
int StatusFor(ErrorKind kind);

// kUpgrade: the request asks for WebSocket; there is no body until the answer is 101, and then bytes both ways. Over HTTP/2 it is
// an extended CONNECT (RFC 8441), whose 2xx is told as 101; kProtocol where the upstream did not say that it takes one.
enum class Framing : uint8_t { kNoBody, kLength, kChunked, kUpgrade };

// Whether a request may be sent twice without a second effect (RFC 9110 9.2.2).
bool IsIdempotent(absl::string_view method);

// What is sent. Everything is copied by Start. Host comes from `authority`, framing fields from `framing`;
// hop-by-hop fields, Host, Content-Length, Transfer-Encoding and Expect among `fields` are dropped.
struct RequestHead {
  absl::string_view method;
  absl::string_view target;     // canonical path and query, as it goes on the wire
  absl::string_view authority;  // Host
  const http::FieldList* fields = nullptr;  // null: none
  Framing framing = Framing::kNoBody;
  uint64_t content_length = 0;  // kLength
  bool accepts_trailers = false;  // the client said `te: trailers`, and the upstream is told
  absl::string_view trailer;      // names of the trailers that will follow the body; empty: none are announced
};

// The response as the caller sees it. Views live until the callback returns. In any callback the caller may destroy
// its Request, and start others.
class ResponseHandler {
 public:
  virtual ~ResponseHandler() = default;
  // An answer was read and is about to be told: what will be needed can be brought into the processor's cache meanwhile.
  virtual void Expect() {}
  // The final head, without hop-by-hop fields. Never 1xx, but 101 when it answers kUpgrade.
  virtual void OnHead(http::ResponseHead&& head) = 0;
  // 103 (RFC 8297), before the final head; at most a few times.
  virtual void OnEarlyHints(http::FieldList&&) {}
  virtual void OnBody(absl::string_view bytes) = 0;
  virtual void OnTrailers(http::FieldList&& trailers) = 0;
  // The response is whole. The request's body may not be (an early response): what is left of it is not wanted.
  virtual void OnComplete() = 0;
  virtual void OnError(ErrorKind kind, absl::string_view detail) = 0;
  // writable() is true again.
  virtual void OnWritable() = 0;
  // kUpgrade, switched: the upstream ended its side, and takes what we still send. OnComplete follows once we ended ours.
  virtual void OnHalfClosed() {}
};

}  // namespace gatehouse::upstream
