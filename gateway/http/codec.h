// ServerCodec turns bytes of one client connection into requests, and responses into bytes. Sans-I/O: it knows no socket,
// no TLS and no clock; Http1Codec and Http2Codec are the two kinds.
//
//   owner                                   codec
//   Receive(bytes, now)  ------------->     handler->OnRequest / OnBody / OnTrailers / OnReset / OnProtocolError
//   SendFixed | SendHead, SendBody ... ->   (gathers)
//   Produce(out) once per turn <---------   bytes;  handler->OnBodyWritable, OnStreamClosed
//
// Ownership:  handler, CodecShared and DateCache are borrowed and outlive the codec. The codec must not be destroyed
//             inside one of its callbacks (Loop::DeferDelete).
// Threading:  one thread. Send*, Reset and ConsumeBody may be called from inside handler callbacks.
// Units:      bytes. A stream id is the HTTP/2 one; HTTP/1 counts 1, 2, 3 ... per connection.
// Errors:     what the client does wrong is answered by the codec itself (400, 408, 413, 414, 417, 431, 501,
//             RST_STREAM, GOAWAY) and told by OnProtocolError, once per stream or connection; the handler words the
//             answer, and then gets nothing more of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/http/fixed_response.h"
#include "gateway/http/limits.h"
#include "gateway/http/message.h"
#include "gateway/http/out_buffer.h"
#include "gateway/loop/instant.h"

namespace gatehouse::http {

using StreamId = int32_t;

// HTTP/2 error codes that we send (RFC 9113 7); HTTP/1 closes the connection instead.
enum class ErrorCode : uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kFlowControlError = 3,
  kRefusedStream = 7,
  kCancel = 8,
  kEnhanceYourCalm = 11,
  kHttp11Required = 13,
};

struct ProtocolError {
  StreamId stream = 0;     // 0: the connection as a whole
  int status = 0;          // what the client is answered; 0: nothing but a reset, GOAWAY or close
  bool malformed = true;   // false: a limit (size, rate) was exceeded
  bool connection = false; // the connection ends
  absl::string_view text;  // constant text, safe to log
};

class CodecHandler {
 public:
  // The request passed the perimeter. When head.has_body, OnBody with end == true (or OnTrailers) follows, or OnReset.
  // `head` may be moved from, or only read.
  virtual void OnRequest(StreamId id, RequestHead&& head) = 0;
  // Body bytes; call ConsumeBody when they are used up. `data` may be empty when `end`.
  virtual void OnBody(StreamId id, absl::string_view data, bool end) = 0;
  // The body ended with trailers (instead of OnBody with end).
  virtual void OnTrailers(StreamId id, FieldList&& trailers) = 0;
  // The client gave the stream up. OnStreamClosed follows.
  virtual void OnReset(StreamId id, uint32_t code) = 0;
  // The stream is over, in any way, and its id is dead. Once for each OnRequest.
  virtual void OnStreamClosed(StreamId id) = 0;
  // SendBody took less than it was given before; it takes more now.
  virtual void OnBodyWritable(StreamId id) = 0;
  // Returns the fields and body of the answer; not looked at when error.status is 0.
  virtual Answer OnProtocolError(const ProtocolError& error) = 0;

 protected:
  ~CodecHandler() = default;
};

// DateCache is the Date field's value, kept current (once a second) by the worker. Empty: no Date is sent.
struct DateCache {
  std::string value;  // "Tue, 15 Nov 1994 08:12:31 GMT"
};

class ServerCodec {
 public:
  virtual ~ServerCodec() = default;

  enum class Result : uint8_t {
    kOk,
    kClose,  // nothing more is read from this client: send what Produce gives, then close
  };
  // What the connection is waiting for; says which timeout to arm (limits.h).
  enum class Phase : uint8_t {
    kIdle,    // no request
    kHead,    // part of a request's head is here
    kBody,    // a request's body is awaited from the client, and it may send (window is open)
    kStalled, // HTTP/2: answers wait for the client to open its windows, or have begun before the request's body ended
    kActive,  // requests are with the handler
  };

  // Something is about to be read from the client: has memory that it will need brought into the processor's cache meanwhile.
  virtual void Expect() const {}
  // The same for the answer to a stream.
  virtual void Expect(StreamId) const {}
  // Receive digests bytes from the client. HTTP/1: call with "" when HasReadyInput.
  virtual Result Receive(absl::string_view bytes, loop::Instant now) = 0;
  // The client ended its side: HTTP/1 requests in process may still be answered. kClose when nothing is left to do.
  virtual Result ReceiveEof() = 0;
  // False: do not read the socket now (a body is not consumed, enough is pipelined, or answers wait to be produced).
  virtual bool WantsRead() const = 0;
  // Buffered input can be processed now: a pipelined request whose predecessor is answered, and what was answered produced.
  virtual bool HasReadyInput() const { return false; }

  // Responses. False: the stream is gone, or (SendHead) a field may not go on the wire: nothing was sent.
  virtual bool SendFixed(StreamId id, std::shared_ptr<const FixedResponse> response) = 0;
  virtual bool SendHead(StreamId id, const ResponseHead& head, bool end) = 0;
  // A whole answer of our own, of which nobody waits to send the rest: head, and all of `body`. `head.content_length` is its size.
  virtual bool SendAnswer(StreamId id, const ResponseHead& head, absl::string_view body) = 0;
  // Answers a request with `websocket`: from here on OnBody and SendBody carry bytes of another protocol, until both sides
  // said `end`. HTTP/1: 101; what the client sent behind its request comes by HasReadyInput. HTTP/2: 200. `head.status` is not
  // looked at.
  virtual bool SendSwitch(StreamId id, const ResponseHead& head) = 0;
  // SendBody returns how many bytes it took; less than data.size() means wait for OnBodyWritable. `end` counts only when
  // all was taken. Bytes beyond the announced Content-Length, or too few of them, break the stream.
  virtual size_t SendBody(StreamId id, absl::string_view data, bool end) = 0;
  // Ends the response. Trailers that may not go on the wire (trailers.h) are left out.
  virtual void SendTrailers(StreamId id, const FieldList& trailers) = 0;
  // 103 Early Hints, to clients of HTTP/1.1 and later that wait for the answer's head. What may not go on the wire is left out.
  virtual void SendEarlyHints(StreamId id, const FieldList& fields) = 0;
  // 100 Continue, if the client asked and it still makes sense.
  virtual void SendContinue(StreamId id) = 0;
  // Ends the stream at once. HTTP/1: the connection closes, after a complete response only what was produced is sent.
  virtual void Reset(StreamId id, ErrorCode code) = 0;
  // The head that OnRequest gave is not needed any more; its memory serves another.
  virtual void TakeBack(RequestHead&&) {}
  // `n` body bytes given by OnBody are used up.
  virtual void ConsumeBody(StreamId id, size_t n) = 0;

  // The deadline of the phase passed, and nothing moved. HTTP/1: 408, where nothing was answered yet. HTTP/2: a head is told of; streams
  // whose bodies wait for the client end, by 408 or a reset, and the others go on. True: so does the connection; otherwise the owner closes it.
  virtual bool TimeOut() = 0;

  // Two-phase drain: tell the client to stop opening streams (GOAWAY 2^31-1; HTTP/1: Connection: close on the next
  // response), then, at least a round trip later, refuse new ones.
  virtual void ShutdownNotice() = 0;
  virtual void GoAway() = 0;

  // Produce moves pending output to `out` until that is full. Call once per turn, again while WantsWrite.
  virtual void Produce(OutBuffer* out) = 0;
  virtual bool WantsWrite() const = 0;
  // No more requests will come and all output was produced: send it, close_notify, close.
  virtual bool done() const = 0;
  // The end of the connection would end an answer that is not whole (HTTP/1.0): close it without close_notify.
  virtual bool broken_off() const { return false; }
  // HTTP/1, switched: our side has ended and all output was produced, but the client may go on: send it and close_notify.
  virtual bool half_done() const { return false; }
  virtual bool idle() const { return active_streams() == 0; }
  // Rest lets go of memory that a connection needs only while it is busy. For one that has been idle for a while.
  virtual void Rest() = 0;
  virtual size_t active_streams() const = 0;
  virtual Phase phase() const = 0;
  // Grows with every octet of a body that comes, and in HTTP/2 that goes: kBody and kStalled last since it last did.
  virtual uint64_t progress() const = 0;
  virtual int version() const = 0;  // 11 or 20
};

}  // namespace gatehouse::http
