#include "gateway/http/http2_codec.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/prefetch.h"

namespace gatehouse::http {
namespace {

constexpr size_t kMostSpare = 1024;        // streams and heads that a worker keeps for the next requests
constexpr size_t kMostSpareBytes = 4096;   // of a head, or of a body, that is kept
constexpr size_t kHeadBytes = 512;         // that a new head has room for

}  // namespace

Http2Codec::Http2Codec(CodecHandler* handler, CodecShared* shared, const CodecOptions* options)
    : handler_(handler),
      shared_(shared),
      options_(options),
      limits_(options->limits),
      resets_(limits_.reset_burst, limits_.reset_per_second),
      control_(limits_.control_burst, limits_.control_per_second),
      window_updates_(limits_.window_update_burst, limits_.window_update_per_second) {
  pages_ = shared_->parts().session_pages.Take();
  nghttp2_mem mem = Http2MemoryOf(this);
  int r = nghttp2_session_server_new3(&session_, shared_->parts().callbacks, this, shared_->parts().option, &mem);
  ABSL_RAW_CHECK(r == 0, "out of memory");
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(limits_.body_window)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits_.header_bytes)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},  // RFC 8441 3
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 5);
  // Some streams that are not read do not hold up the others.
  const size_t window = std::min<size_t>(kStreamWindows * limits_.body_window, INT32_MAX);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(window));
}

Http2Codec::~Http2Codec() {
  nghttp2_session_del(session_);
  shared_->parts().session_pages.Return(pages_);
  while (streams_ != nullptr) {
    Http2Stream* s = streams_;
    streams_ = s->next;
    FreeStream(s);
  }
}

Http2Stream* Http2Codec::NewStream(StreamId id) {
  std::vector<std::unique_ptr<Http2Stream>>& spare = shared_->parts().spare_streams;
  if (spare.empty()) spare.push_back(std::make_unique<Http2Stream>());
  Http2Stream* s = spare.back().release();
  spare.pop_back();
  if (!spare.empty()) Prefetch(spare.back().get(), sizeof(Http2Stream));
  s->id = newest_ = id;
  last_ = recent_[RecentAt(id)] = s;
  return s;
}

void Http2Codec::FreeStream(Http2Stream* s) {
  if (last_ == s) last_ = nullptr;
  if (recent_[RecentAt(s->id)] == s) recent_[RecentAt(s->id)] = nullptr;
  std::unique_ptr<Http2Stream> owned(s);
  if (s->head != nullptr) FreeHead(std::move(s->head));
  std::vector<std::unique_ptr<Http2Stream>>& spare = shared_->parts().spare_streams;
  if (spare.size() >= kMostSpare) return;
  static_cast<Http2StreamState&>(*s) = {};
  static_cast<Http2StreamCounts&>(*s) = {};
  static_cast<Http2StreamParts&>(*s) = {};
  if (s->out.capacity() > kMostSpareBytes) {
    std::string().swap(s->out);
  } else {
    s->out.clear();
  }
  s->fixed.reset();
  s->tx_trailers.reset();
  spare.push_back(std::move(owned));
}

std::unique_ptr<RequestHead> Http2Codec::NewHead() {
  CodecShared::Parts& parts = shared_->parts();
  auto& from = parts.spare_heads.empty() ? parts.hollow_heads : parts.spare_heads;
  if (from.empty()) from.push_back(std::make_unique<RequestHead>());
  std::unique_ptr<RequestHead> head = std::move(from.back());
  from.pop_back();
  if (!from.empty()) Prefetch(from.back().get(), sizeof(RequestHead));
  head->fields().Reserve(kHeadBytes, 16);
  return head;
}

void Http2Codec::FreeHead(std::unique_ptr<RequestHead> head) {
  const size_t bytes = head->fields().capacity();
  auto& to = bytes < kHeadBytes ? shared_->parts().hollow_heads : shared_->parts().spare_heads;
  if (to.size() >= kMostSpare || bytes > kMostSpareBytes) return;
  head->Clear();
  to.push_back(std::move(head));
}

void Http2Codec::TakeBack(RequestHead&& head) {
  auto& hollow = shared_->parts().hollow_heads;
  if (head.fields().capacity() < kHeadBytes) return;
  if (hollow.empty()) hollow.push_back(std::make_unique<RequestHead>());
  std::unique_ptr<RequestHead> filled = std::move(hollow.back());
  hollow.pop_back();
  if (!hollow.empty()) Prefetch(hollow.back().get(), sizeof(RequestHead));
  *filled = std::move(head);
  FreeHead(std::move(filled));
}

void Http2Codec::Link(Http2Stream* s) {
  s->next = streams_;
  if (streams_ != nullptr) streams_->prev = s;
  streams_ = s;
}

void Http2Codec::Unlink(Http2Stream* s) {
  (s->prev != nullptr ? s->prev->next : streams_) = s->next;
  if (s->next != nullptr) s->next->prev = s->prev;
}

Http2Stream* Http2Codec::Find(StreamId id) const {
  if (last_ != nullptr && last_->id == id) return last_;
  last_ = recent_[RecentAt(id)];
  if (last_ == nullptr || last_->id != id) last_ = static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session_, id));
  return last_;
}

Http2Stream* Http2Codec::Answerable(StreamId id) const {
  Http2Stream* s = Find(id);
  return s == nullptr || s->dead || !s->opened ? nullptr : s;
}

void Http2Codec::Calm(const char* text) {
  if (failed_) return;
  failed_ = true;
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  if (reported_) return;
  reported_ = true;
  ProtocolError error;
  error.malformed = false;
  error.connection = true;
  error.text = text;
  handler_->OnProtocolError(error);
}

void Http2Codec::CountReset() {
  if (!resets_.Take(now_)) Calm("too many streams reset");
}

// nghttp2 1.52 begins with a table of 256 buckets and spreads streams over it, so that every new one is in a line that was not
// used for long. Wherever it looks instead, this costs nothing.
const char* Http2Codec::BucketOf(StreamId id) const {
  constexpr size_t kBucket = SessionPages::kTable / 256;
  if (!has_table_) return nullptr;
  return static_cast<const char*>(pages_.table) + (static_cast<uint32_t>(id) * 2654435769u >> 24) * kBucket;
}

// Clients number streams in order, and open about as many as the last time.
void Http2Codec::Expect() const {
  constexpr int64_t kMost = 32;
  for (int64_t id = int64_t{newest_} + 2, end = newest_ + std::min<int64_t>(newest_ - before_, kMost); id <= end; id += 2) {
    Prefetch(BucketOf(static_cast<StreamId>(id)), 1);
  }
}

void Http2Codec::Expect(StreamId answered) const {
  Prefetch(BucketOf(answered), 1);
  Prefetch(recent_[RecentAt(answered)], sizeof(Http2Stream));
}

ServerCodec::Result Http2Codec::Receive(absl::string_view bytes, loop::Instant now) {
  if (failed_) return Result::kClose;
  now_ = now;
  before_ = newest_;
  ssize_t r = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (r < 0) {
    bool calm = failed_;
    failed_ = true;
    if (!calm) {
      // nghttp2 has queued a GOAWAY where the protocol wants one; for a wrong preface there is nothing to say.
      nghttp2_session_terminate_session(session_, r == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM
                                                                           : NGHTTP2_PROTOCOL_ERROR);
    }
    if (!reported_) {
      reported_ = true;
      ProtocolError error;
      error.malformed = r != NGHTTP2_ERR_FLOODED;
      error.connection = true;
      error.text = nghttp2_strerror(static_cast<int>(r));
      handler_->OnProtocolError(error);
    }
    return Result::kClose;
  }
  if (failed_) return Result::kClose;
  return nghttp2_session_want_read(session_) == 0 ? Result::kClose : Result::kOk;
}

ServerCodec::Result Http2Codec::ReceiveEof() {
  failed_ = true;
  broken_ = true;
  return Result::kClose;
}

void Http2Codec::OnHeadComplete(Http2Stream* s, bool end) {
  std::unique_ptr<RequestHead> head = std::move(s->head);
  s->rx_ended = end;
  if (s->dead || head == nullptr) return;
  // The client is told that it was not handled, and sends it again elsewhere (RFC 9113 6.8).
  if (s->id > last_wanted_) return Reset(s->id, ErrorCode::kRefusedStream);
  if (s->too_large) {
    s->head_request = head->fields().View(s->method) == "HEAD";
    return RefuseRequest(s, Refusal{431, false, "the header is too large"});
  }
  head->version = 20;
  const FieldList& fields = head->fields();
  RawRequest raw;
  raw.method = fields.View(s->method);
  raw.scheme = fields.View(s->scheme);
  raw.authority = fields.View(s->authority);
  raw.target = fields.View(s->path);
  raw.has_authority = s->has_authority;
  s->head_request = raw.method == "HEAD";
  if (s->has_protocol) {
    // Extended CONNECT (RFC 8441 4).
    if (raw.method != "CONNECT") return RefuseRequest(s, Refusal{400, true, "a :protocol without CONNECT"});
    if (fields.View(s->protocol) != "websocket") return RefuseRequest(s, Refusal{501, true, "the protocol is not supported"});
    if (end || fields.Has("content-length")) return RefuseRequest(s, Refusal{400, true, "an extended CONNECT with a length or without a body"});
    raw.method = "GET";
    head->websocket = s->websocket = true;
  }
  std::optional<Refusal> refusal = CheckRequest(raw, limits_, options_->tls, head.get());
  if (refusal.has_value()) return RefuseRequest(s, *refusal);
  head->has_body = !end;
  if (!head->has_body) head->expect_continue = false;
  s->opened = true;
  ++active_;
  handler_->OnRequest(s->id, std::move(*head));
  FreeHead(std::move(head));  // it may have been moved from
}

void Http2Codec::RefuseRequest(Http2Stream* s, const Refusal& refusal) {
  s->dead = true;
  ProtocolError error;
  error.stream = s->id;
  error.malformed = refusal.malformed;
  error.text = refusal.text;
  if (!s->tx_started) error.status = refusal.status;
  Answer worded = handler_->OnProtocolError(error);
  if (!s->tx_started) {
    std::string status = absl::StrCat(refusal.status);
    std::string length = absl::StrCat(worded.body.size());
    std::vector<nghttp2_nv> nv = {Nv(":status", status), Nv("content-length", length)};
    const FieldList& fields = worded.head.fields;
    for (size_t i = 0; i < fields.size(); ++i) nv.push_back(Nv(fields[i].name, fields[i].value));
    const bool body = !s->head_request && !worded.body.empty();
    s->out = std::move(worded.body);
    if (body) NoteUnsent(s, s->out.size());
    s->tx_end = true;
    Submit(s, nv.data(), nv.size(), body);
  } else {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
  }
  CountReset();  // making us refuse is as cheap for a client as resetting
}

bool Http2Codec::Submit(Http2Stream* s, const nghttp2_nv* nv, size_t n, bool body) {
  s->tx_started = true;
  nghttp2_data_provider provider;
  provider.source.ptr = s;
  provider.read_callback = Http2BodyReader();
  if (!body) s->tx_end = true;
  return nghttp2_submit_response(session_, s->id, nv, n, body ? &provider : nullptr) == 0;
}

bool Http2Codec::SendFixed(StreamId id, std::shared_ptr<const FixedResponse> response) {
  Http2Stream* s = Answerable(id);
  if (s == nullptr || s->tx_started) return false;
  const std::vector<nghttp2_nv>& fixed = response->http2_fields();
  bool body = !s->head_request && !response->body().empty();
  s->tx_end = true;
  if (body) NoteUnsent(s, response->body().size());
  if (options_->date == nullptr || options_->date->value.empty() || fixed.size() >= 32) {
    s->fixed = std::move(response);
    return Submit(s, s->fixed->http2_fields().data(), s->fixed->http2_fields().size(), body);
  }
  nghttp2_nv nv[33];
  std::copy(fixed.begin(), fixed.end(), nv);
  nv[fixed.size()] = Nv("date", options_->date->value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  size_t n = fixed.size() + 1;
  s->fixed = std::move(response);  // keeps alive what the fields refer to
  return Submit(s, nv, n, body);
}

bool Http2Codec::SendHead(StreamId id, const ResponseHead& head, bool end) {
  Http2Stream* s = Answerable(id);
  if (s == nullptr || s->tx_started || head.status < 200 || head.status > 599) return false;
  const FieldList& fields = head.fields;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!IsToken(fields[i].name) || !IsFieldValue(fields[i].value)) return false;
  }
  bool date = options_->date != nullptr && !options_->date->value.empty();
  char digits[32];  // of the status, then of the length
  char* at = digits;
  const auto print = [&](uint64_t number) {
    char* const begin = std::exchange(at, std::to_chars(at, digits + sizeof(digits), number).ptr);
    return absl::string_view(begin, static_cast<size_t>(at - begin));
  };
  absl::InlinedVector<nghttp2_nv, 32> nv;
  nv.reserve(fields.size() + 3);
  nv.push_back(Nv(":status", print(static_cast<uint64_t>(head.status))));
  for (size_t i = 0; i < fields.size(); ++i) {
    if (IsHopByHop(fields[i].name) || fields[i].name == "content-length") continue;
    if (date && fields[i].name == "date") continue;
    nv.push_back(Nv(fields[i].name, fields[i].value));
  }
  bool bodiless = s->head_request || head.status == 204 || head.status == 304;
  std::optional<uint64_t> announced = head.content_length;
  if (!announced.has_value() && end && !bodiless) announced = 0;
  if (announced.has_value() && head.status != 204) {
    nv.push_back(Nv("content-length", print(*announced)));
  }
  if (date) nv.push_back(Nv("date", options_->date->value));
  if (end && !bodiless && *announced > 0) {
    Reset(id, ErrorCode::kInternalError);  // the body that was announced will not come
    return true;
  }
  s->tx_limited = !bodiless && announced.has_value();
  s->tx_remaining = announced.value_or(0);
  // A bodiless answer ends with its head, whatever SendBody brings.
  return Submit(s, nv.data(), nv.size(), !end && !bodiless);
}

bool Http2Codec::SendSwitch(StreamId id, const ResponseHead& head) {
  Http2Stream* s = Answerable(id);
  if (s == nullptr || s->tx_started || !s->websocket) return false;
  const FieldList& fields = head.fields;
  std::vector<nghttp2_nv> nv = {Nv(":status", "200")};
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!IsToken(fields[i].name) || !IsFieldValue(fields[i].value)) return false;
    if (IsHopByHop(fields[i].name) || fields[i].name == "content-length") continue;
    nv.push_back(Nv(fields[i].name, fields[i].value));
  }
  s->switched = true;
  return Submit(s, nv.data(), nv.size(), true);
}

void Http2Codec::Wake(Http2Stream* s) {
  if (!s->deferred) return;
  s->deferred = false;
  nghttp2_session_resume_data(session_, s->id);
}

bool Http2Codec::SendAnswer(StreamId id, const ResponseHead& head, absl::string_view body) {
  if (!SendHead(id, head, body.empty())) return false;
  if (!body.empty()) PutBody(id, body, /*end=*/true, body.size());
  return true;
}

size_t Http2Codec::SendBody(StreamId id, absl::string_view data, bool end) { return PutBody(id, data, end, limits_.send_buffer); }

size_t Http2Codec::PutBody(StreamId id, absl::string_view data, bool end, size_t most) {
  Http2Stream* s = Answerable(id);
  if (s == nullptr || !s->tx_started || s->tx_end) return data.size();  // nobody waits for it
  size_t held = s->out.size() - s->out_sent;
  size_t room = held < most ? most - held : 0;
  size_t take = std::min(room, data.size());
  if (s->tx_limited) {
    if (take > s->tx_remaining) {
      Reset(id, ErrorCode::kInternalError);
      return data.size();
    }
    s->tx_remaining -= take;
  }
  if (s->out_sent > 0 && s->out_sent >= s->out.size() / 2) {
    s->out.erase(0, s->out_sent);
    s->out_sent = 0;
  }
  s->out.append(data.data(), take);
  NoteUnsent(s, take);
  if (take < data.size()) {
    s->blocked = true;
  } else if (end) {
    if (s->tx_limited && s->tx_remaining > 0) {
      Reset(id, ErrorCode::kInternalError);
      return take;
    }
    s->tx_end = true;
  }
  Wake(s);
  return take;
}

void Http2Codec::SendTrailers(StreamId id, const FieldList& trailers) {
  Http2Stream* s = Answerable(id);
  if (s == nullptr || !s->tx_started || s->tx_end) return;
  if (s->tx_limited && s->tx_remaining > 0) return Reset(id, ErrorCode::kInternalError);
  s->tx_trailers = std::make_unique<FieldList>(trailers);
  s->tx_end = true;
  Wake(s);
}

void Http2Codec::SendEarlyHints(StreamId id, const FieldList& fields) {
  Http2Stream* s = Answerable(id);
  if (s == nullptr || s->tx_started || hints_ > limits_.send_buffer) return;
  std::vector<nghttp2_nv> nv = {Nv(":status", "103")};
  for (size_t i = 0; i < fields.size(); ++i) {
    FieldList::Field f = fields[i];
    if (!IsToken(f.name) || !IsFieldValue(f.value) || IsHopByHop(f.name) || f.name == "content-length") continue;
    nv.push_back(Nv(f.name, f.value));
    hints_ += f.name.size() + f.value.size();
  }
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, nv.data(), nv.size(), nullptr);
}

void Http2Codec::SendContinue(StreamId id) {
  Http2Stream* s = Answerable(id);
  if (s == nullptr || s->tx_started || s->rx_ended || s->rx_total > 0) return;
  nghttp2_nv nv = Nv(":status", "100");
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, &nv, 1, nullptr);
}

void Http2Codec::Reset(StreamId id, ErrorCode code) {
  Http2Stream* s = Find(id);
  if (s == nullptr) return;
  s->dead = true;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, static_cast<uint32_t>(code));
}

void Http2Codec::ConsumeBody(StreamId id, size_t n) {
  Http2Stream* s = Find(id);
  if (s == nullptr) return;
  n = std::min(n, s->unconsumed);
  s->unconsumed -= n;
  nghttp2_session_consume(session_, id, n);
}

bool Http2Codec::TimeOut() {
  if (failed_ || reported_) return false;
  if (building_ > 0) {
    ProtocolError error;
    error.malformed = false;
    error.connection = true;
    error.text = "the head did not come in time";
    handler_->OnProtocolError(error);
    return false;
  }
  // Nothing moved on any stream: those that wait for the client end, those that wait for us go on.
  const Phase late = phase();
  std::vector<StreamId> stalled;
  for (const Http2Stream* s = streams_; s != nullptr; s = s->next) {
    if (!s->opened || s->dead) continue;
    if (late == Phase::kBody ? AwaitsBody(s) && !s->tx_started : late == Phase::kStalled && (AwaitsBody(s) || s->unsent > 0)) stalled.push_back(s->id);
  }
  for (StreamId id : stalled) {
    Http2Stream* s = Answerable(id);
    if (s == nullptr) continue;
    if (!s->tx_started) {
      RefuseRequest(s, Refusal{408, false, "the body did not come in time"});
    } else {
      handler_->OnReset(id, static_cast<uint32_t>(ErrorCode::kCancel));
      Reset(id, ErrorCode::kCancel);
    }
  }
  return !stalled.empty();
}

void Http2Codec::ShutdownNotice() { nghttp2_submit_shutdown_notice(session_); }

void Http2Codec::GoAway() {
  last_wanted_ = nghttp2_session_get_last_proc_stream_id(session_);
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, static_cast<int32_t>(last_wanted_), NGHTTP2_NO_ERROR, nullptr, 0);
}

void Http2Codec::Produce(OutBuffer* out) {
  target_ = out;
  while (!out->full() && !broken_) {
    const uint8_t* data = nullptr;
    ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) {
      failed_ = broken_ = true;
      break;
    }
    if (n == 0) break;
    out->Append(data, static_cast<size_t>(n));
  }
  if (!out->full()) hints_ = 0;  // all that could go is produced
  target_ = nullptr;
  std::vector<StreamId> writable = std::move(writable_);
  writable_.clear();
  for (StreamId id : writable) {
    if (Answerable(id) != nullptr) handler_->OnBodyWritable(id);
  }
}

void Http2Codec::Rest() {
  // Between two frames nothing of the buffer is looked at again. One that nghttp2 made larger is on the heap.
  if (streams_ == nullptr && !WantsWrite()) SessionPages::Rest(pages_);
}

bool Http2Codec::done() const {
  if (broken_) return true;
  return nghttp2_session_want_write(session_) == 0 && (failed_ || nghttp2_session_want_read(session_) == 0);
}

ServerCodec::Phase Http2Codec::phase() const {
  if (building_ > 0) return Phase::kHead;
  if (active_ == 0) return Phase::kIdle;
  bool stalled = waiting_ > 0;
  for (const Http2Stream* s = streams_; s != nullptr; s = s->next) {
    if (!AwaitsBody(s)) continue;
    if (!s->tx_started) return Phase::kBody;
    stalled = true;
  }
  return stalled ? Phase::kStalled : Phase::kActive;
}

bool Http2Codec::AwaitsBody(const Http2Stream* s) const {
  if (!s->opened || s->rx_ended || s->dead || s->websocket) return false;
  // Neither its window nor the connection's is shut: it is the client's turn.
  return nghttp2_session_get_stream_effective_recv_data_length(session_, s->id) <
             nghttp2_session_get_stream_effective_local_window_size(session_, s->id) &&
         nghttp2_session_get_effective_recv_data_length(session_) < nghttp2_session_get_effective_local_window_size(session_);
}

CodecShared::CodecShared() : parts_(std::make_unique<Parts>()) { InitHttp2Parts(parts_.get()); }

CodecShared::~CodecShared() {
  nghttp2_session_callbacks_del(parts_->callbacks);
  nghttp2_option_del(parts_->option);
}

std::unique_ptr<ServerCodec> NewHttp2Codec(CodecHandler* handler, CodecShared* shared, const CodecOptions* options) {
  return std::make_unique<Http2Codec>(handler, shared, options);
}

}  // namespace gatehouse::http
