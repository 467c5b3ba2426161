// What nghttp2 calls: frames that came, bodies that it wants to send.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/base/internal/raw_logging.h"
#include "gateway/http/http2_codec.h"
#include "gateway/http/trailers.h"

namespace gatehouse::http {
namespace {

absl::string_view Of(nghttp2_vec v) { return absl::string_view(reinterpret_cast<const char*>(v.base), v.len); }

}  // namespace

// The session's user data is the codec, a stream's is its Http2Stream.
struct Http2Callbacks {
  static Http2Codec* Codec(void* user) { return static_cast<Http2Codec*>(user); }

  static int BeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Codec* c = Codec(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      Http2Stream* s = c->NewStream(frame->hd.stream_id);
      s->head = c->NewHead();
      nghttp2_session_set_stream_user_data(session, s->id, s);
      c->Link(s);
      s->building = true;
      ++c->building_;
      return 0;
    }
    if (Http2Stream* s = c->Find(frame->hd.stream_id)) {
      s->trailers = true;
      s->header_bytes = 0;
      if (s->head == nullptr) s->head = c->NewHead();
      s->head->Clear();
      if (!s->building) ++c->building_;
      s->building = true;
    }
    return 0;
  }

  static int Header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name_buf, nghttp2_rcbuf* value_buf,
                    uint8_t, void* user) {
    Http2Codec* c = Codec(user);
    Http2Stream* s = c->Find(frame->hd.stream_id);
    if (s == nullptr || s->head == nullptr) return 0;
    absl::string_view name = Of(nghttp2_rcbuf_get_buf(name_buf));
    absl::string_view value = Of(nghttp2_rcbuf_get_buf(value_buf));
    FieldList& fields = s->head->fields();
    s->header_bytes += name.size() + value.size() + 32;
    if (s->header_bytes > c->limits_.header_bytes || fields.size() >= c->limits_.header_count) {
      s->too_large = true;
      // Some more is decoded to keep the compression state; far more is an attack on memory and time.
      if (s->header_bytes > 4 * c->limits_.header_bytes + 65536) {
        c->Calm("a header block far over the limit");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
      }
      if (!name.empty() && name[0] != ':') return 0;
    }
    if (name.empty() || name[0] != ':') {
      fields.AddLower(name, value);  // nghttp2 lets no upper case pass
    } else if (name == ":method") {
      s->method = fields.Store(value);
    } else if (name == ":scheme") {
      s->scheme = fields.Store(value);
    } else if (name == ":path") {
      s->path = fields.Store(value);
    } else if (name == ":authority") {
      s->authority = fields.Store(value);
      s->has_authority = true;
    } else if (name == ":protocol") {
      s->protocol = fields.Store(value);
      s->has_protocol = true;
    }
    return 0;
  }

  // PRIORITY and unknown types are ignored by nghttp2 and never reach FrameReceived, but cost time to read.
  static int BeginFrame(nghttp2_session*, const nghttp2_frame_hd* hd, void* user) {
    Http2Codec* c = Codec(user);
    bool idle_talk = hd->type == NGHTTP2_PRIORITY || hd->type > NGHTTP2_CONTINUATION;
    if (idle_talk && !c->control_.Take(c->now_)) c->Calm("a flood of control frames");
    return 0;
  }

  static int FrameReceived(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Codec* c = Codec(user);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS: {
        Http2Stream* s = c->Find(frame->hd.stream_id);
        if (s == nullptr) return 0;
        if (s->building) --c->building_;
        s->building = false;
        bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        if (!s->trailers) {
          c->OnHeadComplete(s, end);
        } else if (end && !s->dead) {
          s->rx_ended = true;
          if (s->too_large) {
            c->RefuseRequest(s, Refusal{431, false, "the trailers are too large"});
            return 0;
          }
          FieldList trailers = std::move(s->head->fields());
          s->head.reset();
          if (trailers.empty()) {
            c->handler_->OnBody(s->id, "", true);
          } else {
            c->handler_->OnTrailers(s->id, std::move(trailers));
          }
        }
        return 0;
      }
      case NGHTTP2_DATA: {
        Http2Stream* s = c->Find(frame->hd.stream_id);
        bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        if (frame->hd.length == 0 && !end && !c->control_.Take(c->now_)) c->Calm("a flood of empty DATA frames");
        if (s != nullptr && end && !s->rx_ended) {
          s->rx_ended = true;
          if (s->opened && !s->dead) c->handler_->OnBody(s->id, "", true);
        }
        return 0;
      }
      case NGHTTP2_RST_STREAM: {
        Http2Stream* s = c->Find(frame->hd.stream_id);
        c->CountReset();
        if (s != nullptr && s->opened && !s->dead) {
          s->dead = true;
          c->handler_->OnReset(s->id, frame->rst_stream.error_code);
        }
        return 0;
      }
      case NGHTTP2_WINDOW_UPDATE:
        if (!c->window_updates_.Take(c->now_)) c->Calm("a flood of WINDOW_UPDATE frames");
        return 0;
      case NGHTTP2_PING:
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 && !c->control_.Take(c->now_)) {
          c->Calm("a flood of control frames");
        }
        return 0;
      default:
        return 0;
    }
  }

  static int InvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    Http2Codec* c = Codec(user);
    c->CountReset();
    Http2Stream* s = c->Find(frame->hd.stream_id);
    ProtocolError error;
    error.stream = frame->hd.stream_id;
    error.text = "an HTTP/2 frame breaks the rules";
    if (s != nullptr) {
      if (s->dead) return 0;
      s->dead = true;
      error.text = "the request breaks the rules of HTTP/2";
    }
    c->handler_->OnProtocolError(error);
    return 0;
  }

  static int DataChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t n, void* user) {
    Http2Codec* c = Codec(user);
    Http2Stream* s = c->Find(id);
    if (s == nullptr || s->dead || !s->opened) {
      nghttp2_session_consume(session, id, n);
      return 0;
    }
    s->rx_total += n;
    c->progress_ += n;
    if (s->rx_total > c->limits_.body_bytes && !s->websocket) {
      nghttp2_session_consume(session, id, n);
      c->RefuseRequest(s, Refusal{413, false, "the body is too large"});
      return 0;
    }
    s->unconsumed += n;
    c->handler_->OnBody(id, absl::string_view(reinterpret_cast<const char*>(data), n), false);
    return 0;
  }

  static int StreamClosed(nghttp2_session* session, int32_t id, uint32_t code, void* user) {
    Http2Codec* c = Codec(user);
    Http2Stream* s = c->Find(id);
    if (s == nullptr) return 0;
    if (s->opened && !s->dead) {
      if (code == NGHTTP2_NO_ERROR) {
        c->resets_.GiveBack();
      } else {
        c->CountReset();  // nghttp2 reset it and told of no frame: a body that is not as long as its content-length
      }
    }
    c->waiting_ -= s->unsent;
    // What the stream never consumed still counts against the connection's window.
    if (s->unconsumed > 0) nghttp2_session_consume_connection(session, std::exchange(s->unconsumed, 0));
    s->dead = true;  // it can be found until it is freed
    c->Unlink(s);
    if (s->building) --c->building_;
    if (s->opened) {
      --c->active_;
      c->handler_->OnStreamClosed(id);
    }
    c->FreeStream(s);
    return 0;
  }

  static int FrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Codec* c = Codec(user);
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    Http2Stream* s = c->Find(frame->hd.stream_id);
    // Answered before the request ended: tell the client to stop sending (RFC 9113 8.1). A switched stream's other half goes on.
    if (s != nullptr && !s->rx_ended && !s->switched) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session* session, int32_t id, uint8_t*, size_t length, uint32_t* flags,
                          nghttp2_data_source* source, void*) {
    auto* s = static_cast<Http2Stream*>(source->ptr);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s->fixed != nullptr) {
      size_t left = s->fixed->body().size() - s->out_sent;
      size_t n = std::min(left, length);
      if (n == left) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(n);
    }
    size_t left = s->out.size() - s->out_sent;
    size_t n = std::min(left, length);
    if (n == left && s->tx_end) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (s->tx_trailers != nullptr) {
        std::vector<nghttp2_nv> nv;
        const FieldList& t = *s->tx_trailers;
        for (size_t i = 0; i < t.size(); ++i) {
          if (IsTrailer(t[i])) nv.push_back(Nv(t[i].name, t[i].value));
        }
        if (!nv.empty()) {
          *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
          nghttp2_submit_trailer(session, id, nv.data(), nv.size());
        }
      }
      return static_cast<ssize_t>(n);
    }
    if (n == 0) {
      s->deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(n);
  }

  // Such as a head of more than nghttp2 takes.
  static int FrameNotSent(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    Http2Codec* c = Codec(user);
    if (frame->hd.type == NGHTTP2_HEADERS && c->Find(frame->hd.stream_id) != nullptr) c->Reset(frame->hd.stream_id, ErrorCode::kInternalError);
    return 0;
  }

  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_head, size_t length,
                      nghttp2_data_source* source, void* user) {
    Http2Codec* c = Codec(user);
    // nghttp2 sends DATA after DATA by this in one nghttp2_session_mem_send, until it is told to come again.
    if (c->target_->full()) return NGHTTP2_ERR_WOULDBLOCK;
    auto* s = static_cast<Http2Stream*>(source->ptr);
    c->target_->Append(frame_head, 9);
    const char* from = s->fixed != nullptr ? s->fixed->body().data() : s->out.data();
    if (length > 0) c->target_->Append(from + s->out_sent, length);
    s->out_sent += length;
    s->unsent -= length;
    c->waiting_ -= length;
    c->progress_ += length;
    if (s->fixed == nullptr && s->out_sent == s->out.size()) {
      s->out.clear();
      s->out_sent = 0;
    }
    if (s->blocked && s->out.size() - s->out_sent <= c->limits_.send_buffer / 2) {
      s->blocked = false;
      c->writable_.push_back(s->id);
    }
    return 0;
  }
};

void InitHttp2Parts(CodecShared::Parts* parts) {
  ABSL_RAW_CHECK(nghttp2_session_callbacks_new(&parts->callbacks) == 0 && nghttp2_option_new(&parts->option) == 0,
                 "out of memory");
  nghttp2_session_callbacks* cb = parts->callbacks;
  nghttp2_session_callbacks_set_on_begin_headers_callback(cb, Http2Callbacks::BeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback2(cb, Http2Callbacks::Header);
  nghttp2_session_callbacks_set_on_begin_frame_callback(cb, Http2Callbacks::BeginFrame);
  nghttp2_session_callbacks_set_on_frame_recv_callback(cb, Http2Callbacks::FrameReceived);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, Http2Callbacks::InvalidFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, Http2Callbacks::DataChunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(cb, Http2Callbacks::StreamClosed);
  nghttp2_session_callbacks_set_on_frame_send_callback(cb, Http2Callbacks::FrameSent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, Http2Callbacks::FrameNotSent);
  nghttp2_session_callbacks_set_send_data_callback(cb, Http2Callbacks::SendData);
  nghttp2_option_set_no_auto_window_update(parts->option, 1);
  nghttp2_option_set_no_closed_streams(parts->option, 1);
  nghttp2_option_set_max_send_header_block_length(parts->option, 256 * 1024);  // an upstream's largest head, and what routes add
}

nghttp2_data_source_read_callback Http2BodyReader() { return Http2Callbacks::ReadBody; }

}  // namespace gatehouse::http
