#include "gateway/upstream/http2_client.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/http/trailers.h"

namespace gatehouse::upstream {
namespace {

absl::string_view Of(nghttp2_rcbuf* buf) {
  const nghttp2_vec v = nghttp2_rcbuf_get_buf(buf);
  return absl::string_view(reinterpret_cast<const char*>(v.base), v.len);
}

// nghttp2 reads and copies; its struct just lacks const.
nghttp2_nv Nv(http::FieldList::Field field) {
  return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(field.name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(field.value.data())), field.name.size(),
                    field.value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

// The session's user data is the client, a stream's is its Http2Stream.
struct Http2ClientCallbacks {
  static Http2Client* Client(void* user) { return static_cast<Http2Client*>(user); }
  static Http2Stream* Find(nghttp2_session* session, int32_t id) {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int BeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    Http2Stream* s = Find(session, frame->hd.stream_id);
    if (s == nullptr || frame->hd.type != NGHTTP2_HEADERS) return 0;
    s->fields.Clear();
    s->header_bytes = 0;
    s->status = 0;
    return 0;
  }

  static int Header(nghttp2_session* session, const nghttp2_frame* frame, nghttp2_rcbuf* name_buf,
                    nghttp2_rcbuf* value_buf, uint8_t, void* user) {
    Http2Client* c = Client(user);
    Http2Stream* s = Find(session, frame->hd.stream_id);
    if (s == nullptr || s->over || frame->hd.type != NGHTTP2_HEADERS) return 0;
    const absl::string_view name = Of(name_buf), value = Of(value_buf);
    s->header_bytes += name.size() + value.size() + 32;
    if (s->header_bytes > c->limits_.header_bytes || s->fields.size() >= c->limits_.header_count) {
      s->too_large = true;
      // Some more is decoded to keep the compression state; far more is an attack on memory and time.
      if (s->header_bytes > 4 * c->limits_.header_bytes + 65536) {
        c->Fail("a header far over the limit");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
      }
      return 0;
    }
    if (name == ":status") {
      if (!absl::SimpleAtoi(value, &s->status)) s->status = 0;
      return 0;
    }
    s->fields.Add(name, value);
    return 0;
  }

  // Without this nghttp2 would leave such fields out, and pass on the rest.
  static int InvalidHeader(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf*, nghttp2_rcbuf*, uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int BeginFrame(nghttp2_session*, const nghttp2_frame_hd* hd, void* user) {
    // Never told of; nghttp2 turns pushes away, since SETTINGS_ENABLE_PUSH is 0.
    if (hd->type == NGHTTP2_PRIORITY || hd->type == NGHTTP2_PUSH_PROMISE) Client(user)->CountControl();
    return 0;
  }

  static int FrameReceived(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Client* c = Client(user);
    Http2Stream* s = frame->hd.stream_id > 0 ? Find(session, frame->hd.stream_id) : nullptr;
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (s == nullptr) {
          c->CountControl();
        } else if (!s->over) {
          c->OnHeaders(s, end);
        }
        return 0;
      case NGHTTP2_DATA:
        if (s == nullptr || (frame->hd.length == 0 && !end)) c->CountControl();
        if (s != nullptr && end) c->End(s);
        return 0;
      case NGHTTP2_SETTINGS:
        c->settled_ = c->settled_ || (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
        c->CountControl();
        return 0;
      case NGHTTP2_GOAWAY:
        c->going_away_ = true;
        return 0;
      case NGHTTP2_WINDOW_UPDATE:
        if (!c->window_updates_.Take(c->now_)) c->Fail("a flood of WINDOW_UPDATE frames");
        return 0;
      case NGHTTP2_RST_STREAM:
        if (s == nullptr) {
          c->CountControl();
        } else {
          s->reset_received = true;  // StreamClosed follows
        }
        return 0;
      default:
        c->CountControl();
        return 0;
    }
  }

  static int InvalidFrame(nghttp2_session* session, const nghttp2_frame* frame, int, void* user) {
    Http2Client* c = Client(user);
    if (Http2Stream* s = frame->hd.stream_id > 0 ? Find(session, frame->hd.stream_id) : nullptr) {
      c->FailStream(s, ErrorKind::kProtocol, "the response breaks the rules of HTTP/2", NGHTTP2_PROTOCOL_ERROR);
    }
    return 0;
  }

  static int DataChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t n, void* user) {
    Http2Client* c = Client(user);
    // A stream that is not read must not hold up the others.
    nghttp2_session_consume_connection(session, n);
    Http2Stream* s = Find(session, id);
    if (s == nullptr || s->over) return 0;
    s->unconsumed += n;
    c->handler_->OnStreamBody(s, absl::string_view(reinterpret_cast<const char*>(data), n));
    return 0;
  }

  static int StreamClosed(nghttp2_session* session, int32_t id, uint32_t code, void* user) {
    Http2Client* c = Client(user);
    std::unique_ptr<Http2Stream> s(Find(session, id));
    if (s == nullptr) return 0;
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    (s->prev != nullptr ? s->prev->next : c->streams_) = s->next;
    if (s->next != nullptr) s->next->prev = s->prev;
    --c->open_;
    if (s->over) return 0;
    if (c->target_ != nullptr) {
      c->untold_.emplace_back(std::move(s), code);
    } else {
      c->FailClosed(s.get(), code);
    }
    return 0;
  }

  static int FrameSent(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (Http2Stream* s = Find(session, frame->hd.stream_id)) s->head_sent = true;
    return 0;
  }

  // False: there is nothing to send.
  static bool SubmitTrailers(nghttp2_session* session, int32_t id, const http::FieldList& trailers) {
    std::vector<nghttp2_nv> nv;
    for (size_t i = 0; i < trailers.size(); ++i) {
      if (http::IsTrailer(trailers[i])) nv.push_back(Nv(trailers[i]));
    }
    return !nv.empty() && nghttp2_submit_trailer(session, id, nv.data(), nv.size()) == 0;
  }

  static ssize_t ReadBody(nghttp2_session* session, int32_t id, uint8_t*, size_t length, uint32_t* flags,
                          nghttp2_data_source* source, void*) {
    auto* s = static_cast<Http2Stream*>(source->ptr);
    const size_t n = std::min(s->unsent(), length);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == s->unsent() && s->out_end) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      s->body_ended = true;
      if (s->trailers != nullptr && SubmitTrailers(session, id, *s->trailers)) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    } else if (n == 0) {
      s->deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(n);
  }

  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_head, size_t length,
                      nghttp2_data_source* source, void* user) {
    Http2Client* c = Client(user);
    // nghttp2 sends DATA after DATA by this in one nghttp2_session_mem_send, until it is told to come again.
    if (c->target_->full()) return NGHTTP2_ERR_WOULDBLOCK;
    auto* s = static_cast<Http2Stream*>(source->ptr);
    c->target_->Append(frame_head, 9);
    if (length > 0) c->target_->Append(s->out.data() + s->sent, length);
    s->sent += length;
    s->body_begun = true;
    if (s->sent == s->out.size()) {
      s->out.clear();
      s->sent = 0;
    }
    if (!s->over) c->handler_->OnStreamSent(s);
    return 0;
  }
};

namespace {

// Made once for all sessions.
struct Parts {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  Parts() {
    ABSL_RAW_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0, "out of memory");
    using C = Http2ClientCallbacks;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, C::BeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, C::Header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, C::InvalidHeader);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, C::BeginFrame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, C::FrameReceived);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, C::InvalidFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, C::DataChunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, C::StreamClosed);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, C::FrameSent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, C::SendData);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
  }
  ~Parts() {
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
  }
};

}  // namespace

Http2Client::Http2Client(Http2Handler* handler, const Http2Limits& limits)
    : handler_(handler),
      limits_(limits),
      control_(limits.control_burst, limits.control_per_second),
      window_updates_(limits.window_update_burst, limits.window_update_per_second) {
  static const Parts parts;
  ABSL_RAW_CHECK(nghttp2_session_client_new2(&session_, parts.callbacks, this, parts.option) == 0, "out of memory");
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(limits_.stream_window)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits_.header_bytes)},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 3);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(limits_.connection_window));
}

Http2Client::~Http2Client() {
  nghttp2_session_del(session_);
  while (streams_ != nullptr) {
    std::unique_ptr<Http2Stream> s(streams_);
    streams_ = s->next;
  }
}

void Http2Client::Fail(absl::string_view why) {
  if (error_.empty()) error_ = std::string(why);
}

void Http2Client::CountControl() {
  if (!control_.Take(now_)) Fail("a flood of control frames");
}

bool Http2Client::CanOpen() const {
  if (going_away_ || !error_.empty() || nghttp2_session_check_request_allowed(session_) == 0) return false;
  const uint32_t theirs = nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return open_ < std::min<size_t>(theirs, limits_.streams);
}

bool Http2Client::TakesConnect() const {
  return settled_ && nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

Http2Stream* Http2Client::Open(const http::FieldList& head, std::string&& body, bool end,
                               std::unique_ptr<http::FieldList> trailers, void* user) {
  auto s = std::make_unique<Http2Stream>();
  std::vector<nghttp2_nv> nv;
  nv.reserve(head.size());
  for (size_t i = 0; i < head.size(); ++i) nv.push_back(Nv(head[i]));
  s->user = user;
  s->tunnel = head[0].value == "CONNECT";
  s->out = std::move(body);
  s->out_end = end;
  s->trailers = std::move(trailers);
  s->body_ended = end && s->out.empty() && s->trailers == nullptr;
  nghttp2_data_provider provider;
  provider.source.ptr = s.get();
  provider.read_callback = Http2ClientCallbacks::ReadBody;
  s->id = nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), s->body_ended ? nullptr : &provider, s.get());
  if (s->id < 0) return nullptr;
  s->next = streams_;
  if (streams_ != nullptr) streams_->prev = s.get();
  streams_ = s.get();
  ++open_;
  ++active_;
  return s.release();
}

void Http2Client::SendBody(Http2Stream* s, absl::string_view bytes, bool end, std::unique_ptr<http::FieldList> trailers) {
  if (s->over || s->out_end) return;
  if (s->sent > 0 && s->sent >= s->out.size() / 2) {
    s->out.erase(0, s->sent);
    s->sent = 0;
  }
  s->out.append(bytes.data(), bytes.size());
  s->out_end = end;
  if (trailers != nullptr) s->trailers = std::move(trailers);
  if (!s->deferred || (bytes.empty() && !end)) return;
  s->deferred = false;
  nghttp2_session_resume_data(session_, s->id);
}

void Http2Client::Consume(Http2Stream* s) {
  if (s->unconsumed == 0) return;
  nghttp2_session_consume_stream(session_, s->id, std::exchange(s->unconsumed, 0));
}

void Http2Client::Drop(Http2Stream* s) {
  if (s->over) return;
  s->over = true;
  --active_;
  const auto window = static_cast<size_t>(std::max(0, std::min(nghttp2_session_get_stream_remote_window_size(session_, s->id),
                                                               nghttp2_session_get_remote_window_size(session_))));
  if (s->half_closed && s->out_end && s->unsent() <= window) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
}

void Http2Client::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void Http2Client::GoAway() { nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0); }

void Http2Client::End(Http2Stream* s) {
  if (s->over) return;
  if (s->switched && !s->body_ended) {
    if (!std::exchange(s->half_closed, true)) handler_->OnStreamHalfClosed(s);
    return;
  }
  s->over = true;
  --active_;
  // Answered before the request ended (RFC 9113 8.1): the rest is not wanted.
  if (!s->body_ended) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
  handler_->OnStreamEnd(s);
}

void Http2Client::FailStream(Http2Stream* s, ErrorKind kind, absl::string_view detail, uint32_t code) {
  if (s->over) return;
  s->over = true;
  --active_;
  if (code != 0) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s->id, code);
  handler_->OnStreamFailed(s, kind, detail);
}

void Http2Client::FailClosed(Http2Stream* s, uint32_t code) {
  if (s->half_closed && code == NGHTTP2_NO_ERROR) {
    s->body_ended = true;  // or the upstream does not want the rest
    End(s);
  } else if ((code == NGHTTP2_REFUSED_STREAM && !s->head_seen) || !s->head_sent) {
    FailStream(s, ErrorKind::kRefused, "turned the request away unseen", 0);
  } else if (code == NGHTTP2_PROTOCOL_ERROR && !s->reset_received) {
    FailStream(s, ErrorKind::kProtocol, "the response breaks the rules of HTTP/2", 0);  // nghttp2 found it
  } else {
    FailStream(s, ErrorKind::kReset,
               absl::StrCat("reset the stream before the response was complete: ", nghttp2_http2_strerror(code)), 0);
  }
}

void Http2Client::Tell() {
  while (!untold_.empty()) {
    const auto [stream, code] = std::move(untold_.back());
    untold_.pop_back();
    FailClosed(stream.get(), code);
  }
}

void Http2Client::OnHeaders(Http2Stream* s, bool end) {
  const auto refuse = [&](absl::string_view why) { FailStream(s, ErrorKind::kProtocol, why, NGHTTP2_PROTOCOL_ERROR); };
  if (s->too_large) return refuse("the response's header is too large");
  http::FieldList fields = std::move(s->fields);
  s->fields = http::FieldList();
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!http::IsToken(fields[i].name) || !http::IsFieldValue(fields[i].value)) {
      return refuse("a response field is malformed");
    }
  }
  if (s->head_seen) {
    if (!fields.empty() && !s->switched) handler_->OnStreamTrailers(s, std::move(fields));
    return End(s);  // nghttp2 lets no trailers pass that do not end the stream
  }
  if (s->status < 100 || s->status > 599 || s->status == 101) return refuse("the response's status is not 100 to 599");
  if (s->status < 200) {
    if (end) return refuse("an interim response ends the stream");
    if (++s->interim > limits_.interim_responses) return refuse("too many interim responses");
    if (s->status == 103) handler_->OnStreamHints(s, std::move(fields));
    return;
  }
  s->head_seen = true;
  s->switched = s->tunnel && s->status < 300;
  http::ResponseHead head;
  head.status = s->status;
  head.end = end && !s->switched;
  if (std::optional<absl::string_view> length = fields.Find("content-length")) {
    head.content_length = http::ParseContentLength(*length);
    if (!head.content_length.has_value()) return refuse("the response's content-length is not one plain number");
  }
  head.fields = std::move(fields);
  handler_->OnStreamHead(s, std::move(head));
  if (end) End(s);
}

bool Http2Client::Receive(absl::string_view bytes, loop::Instant now) {
  now_ = now;
  const ssize_t r = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (r < 0) Fail(nghttp2_strerror(static_cast<int>(r)));
  return error_.empty();
}

bool Http2Client::Produce(http::OutBuffer* out) {
  target_ = out;
  while (!out->full()) {
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) Fail(nghttp2_strerror(static_cast<int>(n)));
    if (n <= 0) break;
    out->Append(data, static_cast<size_t>(n));
  }
  target_ = nullptr;
  // After a connection error nghttp2 said so to the upstream, and reads no more.
  if (active_ > untold_.size() && nghttp2_session_want_read(session_) == 0) Fail("it broke the rules of HTTP/2");
  return error_.empty();
}

}  // namespace gatehouse::upstream
