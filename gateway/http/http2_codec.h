// Http2Codec is an nghttp2 server session behind the ServerCodec interface. Internal to this folder.
//
// A stream:   building (HEADERS arriving) -> open (with the handler) -> closed by nghttp2
// Memory:     Http2Stream lives from HEADERS to on_stream_close; the codec owns all of them in a list.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "gateway/http/flood.h"
#include "gateway/http/request_check.h"
#include "gateway/http/shared_parts.h"

namespace gatehouse::http {

struct Http2Stream;

// What of a stream is set back for the next one, in pieces of a line each: gcc sets larger ones with `rep stos`, which is slow.
struct Http2StreamState {
  Http2Stream* prev = nullptr;
  Http2Stream* next = nullptr;
  StreamId id = 0;
  bool opened = false;      // OnRequest was called
  bool rx_ended = false;
  bool building = false;    // a header block is arriving
  bool trailers = false;    // the fields that arrive are trailers
  bool dead = false;        // reset asked for or request refused: the handler gets nothing more
  bool head_request = false;
  bool tx_started = false;
  bool tx_end = false;      // all of the response is queued
  bool tx_ended = false;    // END_STREAM is on its way
  bool deferred = false;
  bool blocked = false;     // SendBody took less than given
  bool tx_limited = false;  // Content-Length was announced
  bool websocket = false;   // an extended CONNECT: carries bytes both ways once it is answered 200
  bool switched = false;
  // While the head arrives.
  bool has_authority = false;
  bool has_protocol = false;
  bool too_large = false;
};
struct Http2StreamCounts {
  uint64_t tx_remaining = 0;
  uint64_t rx_total = 0;
  size_t unconsumed = 0;
  size_t out_sent = 0;
  size_t unsent = 0;        // of what it was given to send; in waiting_ too
  size_t header_bytes = 0;
};
struct Http2StreamParts {
  FieldList::Slice method, scheme, authority, path, protocol;
};

struct Http2Stream : Http2StreamState, Http2StreamCounts, Http2StreamParts {
  std::string out;
  std::shared_ptr<const FixedResponse> fixed;
  std::unique_ptr<FieldList> tx_trailers;
  std::unique_ptr<RequestHead> head;  // while it arrives
};

class Http2Codec final : public ServerCodec {
 public:
  Http2Codec(CodecHandler* handler, CodecShared* shared, const CodecOptions* options);
  ~Http2Codec() override;

  void Expect() const override;
  void Expect(StreamId answered) const override;
  Result Receive(absl::string_view bytes, loop::Instant now) override;
  Result ReceiveEof() override;
  bool WantsRead() const override { return !failed_ && nghttp2_session_want_read(session_) != 0; }
  bool SendFixed(StreamId id, std::shared_ptr<const FixedResponse> response) override;
  bool SendHead(StreamId id, const ResponseHead& head, bool end) override;
  bool SendAnswer(StreamId id, const ResponseHead& head, absl::string_view body) override;
  bool SendSwitch(StreamId id, const ResponseHead& head) override;
  size_t SendBody(StreamId id, absl::string_view data, bool end) override;
  void SendTrailers(StreamId id, const FieldList& trailers) override;
  void SendEarlyHints(StreamId id, const FieldList& fields) override;
  void SendContinue(StreamId id) override;
  void Reset(StreamId id, ErrorCode code) override;
  void TakeBack(RequestHead&& head) override;
  void ConsumeBody(StreamId id, size_t n) override;
  bool TimeOut() override;
  void ShutdownNotice() override;
  void GoAway() override;
  void Produce(OutBuffer* out) override;
  bool WantsWrite() const override { return !broken_ && nghttp2_session_want_write(session_) != 0; }
  bool done() const override;
  size_t active_streams() const override { return active_; }
  void Rest() override;
  Phase phase() const override;
  uint64_t progress() const override { return progress_; }
  int version() const override { return 20; }

 private:
  friend struct Http2Callbacks;
  // Where nghttp2 has to look for a stream; a hint. Null: not known.
  const char* BucketOf(StreamId id) const;
  friend struct Http2Memory;
  Http2Stream* Find(StreamId id) const;
  Http2Stream* Answerable(StreamId id) const;
  void Link(Http2Stream* s);
  void Unlink(Http2Stream* s);
  // Streams and heads are used again, with their memory: a request costs no allocation for them.
  Http2Stream* NewStream(StreamId id);
  void FreeStream(Http2Stream* s);
  std::unique_ptr<RequestHead> NewHead();
  void FreeHead(std::unique_ptr<RequestHead> head);
  void OnHeadComplete(Http2Stream* s, bool end);
  bool AwaitsBody(const Http2Stream* s) const;
  void RefuseRequest(Http2Stream* s, const Refusal& refusal);
  void Calm(const char* text);
  void CountReset();
  void Wake(Http2Stream* s);
  void NoteUnsent(Http2Stream* s, size_t n) {
    s->unsent += n;
    waiting_ += n;
  }
  // SendBody, until so much waits.
  size_t PutBody(StreamId id, absl::string_view data, bool end, size_t most);
  bool Submit(Http2Stream* s, const nghttp2_nv* nv, size_t n, bool body);

  CodecHandler* const handler_;
  CodecShared* const shared_;
  const CodecOptions* const options_;
  const Limits& limits_;
  nghttp2_session* session_ = nullptr;
  SessionPages::Pages pages_;  // session_'s, out of the worker's pool
  bool has_frame_ = false;     // which of them it has in use
  bool has_table_ = false;
  Http2Stream* streams_ = nullptr;
  mutable Http2Stream* last_ = nullptr;  // that Find found: what comes next is mostly about it
  static constexpr size_t kRecent = 16;
  static size_t RecentAt(StreamId id) { return static_cast<uint32_t>(id) / 2 % kRecent; }
  std::array<Http2Stream*, kRecent> recent_{};  // by id: where Find looks before it asks nghttp2
  size_t active_ = 0;
  size_t building_ = 0;
  size_t waiting_ = 0;     // octets of bodies that were given to send and are not sent
  uint64_t progress_ = 0;
  static constexpr size_t kStreamWindows = 8;  // of the connection's window
  StreamId newest_ = 0;    // stream
  StreamId last_wanted_ = INT32_MAX;  // what came later is told by GOAWAY to be sent elsewhere
  size_t hints_ = 0;       // octets of 103s since all was produced
  StreamId before_ = 0;    // the newest one when Receive was called last
  bool failed_ = false;    // the client broke the connection's rules: nothing more is read
  bool broken_ = false;    // nghttp2 cannot go on: nothing more is sent either
  bool reported_ = false;  // OnProtocolError for the connection was called
  TokenBucket resets_;
  TokenBucket control_;
  TokenBucket window_updates_;
  loop::Instant now_;
  OutBuffer* target_ = nullptr;
  std::vector<StreamId> writable_;
};

inline nghttp2_nv Nv(absl::string_view name, absl::string_view value, uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  // nghttp2 reads and copies; its struct just lacks const.
  return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), flags};
}

// http2_callbacks.cc: what sends a stream's body.
nghttp2_data_source_read_callback Http2BodyReader();
// http2_memory.cc: where `codec`'s session has its memory.
nghttp2_mem Http2MemoryOf(Http2Codec* codec);

}  // namespace gatehouse::http
