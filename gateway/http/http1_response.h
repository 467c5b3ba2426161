// ResponseParser reads HTTP/1.1 responses of an upstream, strictly: what two parsers could read differently is an error.
//
//   kHead -> (1xx: again kHead) -> kBody -> kDone -> Reset(for the next request)
//      `------------ anything wrong ----------> kFailed
//
// Ownership:  keeps incomplete heads itself; body bytes are passed on as views of the input.
// Threading:  one thread.
// Errors:     kFailed with a constant text; the connection must then be closed.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/http/chunked.h"
#include "gateway/http/message.h"

namespace gatehouse::http {

class ResponseHandler {
 public:
  // The final head. When `end`, the response has no body and is complete. With status 101 the connection is switched, and what
  // follows until its end is the body.
  virtual void OnResponseHead(ResponseHead&& head, bool end) = 0;
  virtual void OnResponseBody(absl::string_view data) = 0;
  // Complete. Trailers are empty unless the body was chunked and had some.
  virtual void OnResponseEnd(FieldList&& trailers) = 0;
  // 100 Continue arrived. 101 is an OnResponseHead, where it was asked for; 1xx without a function here are skipped.
  virtual void OnContinue() {}
  // 103 Early Hints (RFC 8297).
  virtual void OnEarlyHints(FieldList&&) {}

 protected:
  ~ResponseHandler() = default;
};

struct ResponseLimits {
  size_t header_bytes = 64 * 1024;
  size_t header_count = 200;
  int interim_responses = 16;
};

class ResponseParser {
 public:
  enum class State : uint8_t { kHead, kBody, kDone, kFailed };

  ResponseParser(ResponseHandler* handler, const ResponseLimits& limits) : handler_(handler), limits_(limits) {}

  // For the next response on this connection. `request_method` decides whether there is a body; `upgrade`, whether the request
  // asked for WebSocket.
  void Reset(absl::string_view request_method, bool upgrade = false);
  // Receive returns how many bytes it took: all, unless the response is complete (kDone; what follows is unexpected on a
  // connection without pipelining) or kFailed. Handler calls happen inside; the parser must not be destroyed in them.
  size_t Receive(absl::string_view bytes);
  // The upstream closed: completes a close-delimited body, and is an error otherwise.
  void ReceiveEof();

  State state() const { return state_; }
  // After kDone: the connection can carry another request.
  bool reusable() const { return state_ == State::kDone && reusable_; }
  // Bytes of this response have arrived: a failed request may not be repeated on another connection.
  bool started() const { return started_; }
  absl::string_view error() const { return error_; }

 private:
  enum class Body : uint8_t { kNone, kLength, kChunked, kUntilClose };
  void Fail(const char* text);
  void OnHead(absl::string_view head);
  void OnSwitch(ResponseHead&& head, int version);
  void Finish(FieldList&& trailers);
  size_t ReceiveBody(absl::string_view bytes);

  ResponseHandler* const handler_;
  const ResponseLimits limits_;
  State state_ = State::kHead;
  Body body_ = Body::kNone;
  bool head_request_ = false;
  bool upgrade_ = false;
  bool reusable_ = false;
  bool started_ = false;
  int interim_ = 0;
  uint64_t remaining_ = 0;
  std::string partial_;  // an incomplete head
  size_t scanned_ = 0;
  ResponseHead head_;  // the one that came, for the handler to look at or take; its memory serves the next
  ChunkedDecoder chunked_;
  const char* error_ = "";
};

}  // namespace gatehouse::http
