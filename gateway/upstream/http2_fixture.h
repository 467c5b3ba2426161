// An HTTP/2 upstream for tests: nghttp2's server side over a socket, doing what the test says.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/upstream/upstream_fixture.h"

namespace gatehouse::upstream {

class Http2Peer {
 public:
  struct Stream {
    std::map<std::string, std::string> fields;
    std::map<std::string, std::string> request_trailers;
    std::string body;
    bool ended = false;
    int64_t reset = -1;  // the code
    bool closed = false;
    // To be sent.
    std::string out;
    bool out_end = false;
    bool deferred = false;
    std::vector<std::pair<std::string, std::string>> trailers;
  };

  // `connect`: it takes an extended CONNECT. Nothing is said before Work.
  explicit Http2Peer(std::unique_ptr<Peer> peer, uint32_t max_streams = 100, bool consume = true, bool connect = false)
      : peer_(std::move(peer)), consume_(consume) {
    nghttp2_session_callbacks* cb;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, OnClose);
    nghttp2_option* option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_server_new2(&session_, cb, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams},
                                         {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, connect}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 2);
  }
  ~Http2Peer() { nghttp2_session_del(session_); }

  // Reads and writes what can be; false once the connection is closed.
  bool Work() {
    bool open = peer_->Poll();
    if (!peer_->received.empty()) {
      std::string got = std::exchange(peer_->received, {});
      if (nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(got.data()), got.size()) < 0) broken = true;
    }
    for (;;) {
      const uint8_t* data;
      ssize_t n = nghttp2_session_mem_send(session_, &data);
      if (n <= 0) break;
      rest_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
    }
    if (open && !rest_.empty()) rest_.erase(0, peer_->SendSome(rest_));
    return open;
  }
  Stream& operator[](int32_t id) { return streams[id]; }
  void Head(int32_t id, const std::string& status, std::vector<std::pair<std::string, std::string>> fields = {},
            bool end = false) {
    fields.insert(fields.begin(), {":status", status});
    std::vector<nghttp2_nv> nv = Nvs(fields);
    if (status[0] == '1') {
      nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, nv.data(), nv.size(), nullptr);
      return;
    }
    nghttp2_data_provider provider;
    provider.source.ptr = this;
    provider.read_callback = Read;
    nghttp2_submit_response(session_, id, nv.data(), nv.size(), end ? nullptr : &provider);
  }
  void Body(int32_t id, absl::string_view bytes, bool end) {
    Stream& s = streams[id];
    s.out.append(bytes.data(), bytes.size());
    s.out_end = end;
    if (std::exchange(s.deferred, false)) nghttp2_session_resume_data(session_, id);
  }
  void Trailers(int32_t id, std::vector<std::pair<std::string, std::string>> fields) {
    streams[id].trailers = std::move(fields);
    Body(id, "", true);
  }
  void Reset(int32_t id, uint32_t code) { nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, code); }
  void GoAway(int32_t last) { nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0); }
  void Consume(int32_t id, size_t n) { nghttp2_session_consume(session_, id, n); }
  Peer& peer() { return *peer_; }

  std::map<int32_t, Stream> streams;
  int pings = 0;
  bool answer_pings = true;
  bool broken = false;
  bool goaway = false;  // came

 private:
  static std::vector<nghttp2_nv> Nvs(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::vector<nghttp2_nv> nv;
    for (const auto& [name, value] : fields) {
      nv.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                    NGHTTP2_NV_FLAG_NONE});
    }
    return nv;
  }
  static Http2Peer* Self(void* user) { return static_cast<Http2Peer*>(user); }
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user) {
    Stream& s = Self(user)->streams[frame->hd.stream_id];
    auto& fields = frame->headers.cat == NGHTTP2_HCAT_REQUEST ? s.fields : s.request_trailers;
    fields[std::string(reinterpret_cast<const char*>(name), name_size)] = std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Peer* p = Self(user);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) ++p->pings;
    if (frame->hd.type == NGHTTP2_GOAWAY) p->goaway = true;
    if (frame->hd.stream_id == 0) return 0;
    Stream& s = p->streams[frame->hd.stream_id];
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
      s.ended = true;
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) s.reset = frame->rst_stream.error_code;
    return 0;
  }
  static int OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t n, void* user) {
    Http2Peer* p = Self(user);
    p->streams[id].body.append(reinterpret_cast<const char*>(data), n);
    if (p->consume_) nghttp2_session_consume(session, id, n);
    return 0;
  }
  static int OnClose(nghttp2_session*, int32_t id, uint32_t, void* user) {
    Self(user)->streams[id].closed = true;
    return 0;
  }
  static ssize_t Read(nghttp2_session* session, int32_t id, uint8_t* into, size_t size, uint32_t* flags,
                      nghttp2_data_source* source, void*) {
    Stream& s = static_cast<Http2Peer*>(source->ptr)->streams[id];
    const size_t n = std::min(size, s.out.size());
    std::copy_n(s.out.begin(), n, into);
    s.out.erase(0, n);
    if (s.out.empty() && s.out_end) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!s.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv> nv = Nvs(s.trailers);
        nghttp2_submit_trailer(session, id, nv.data(), nv.size());
      }
    } else if (n == 0) {
      s.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(n);
  }

  std::unique_ptr<Peer> peer_;
  const bool consume_;
  std::string rest_;
  nghttp2_session* session_ = nullptr;
};

class Http2Fixture : public UpstreamFixture {
 protected:
  Http2Fixture() { options_.http2 = true; }
  std::unique_ptr<Http2Peer> AcceptHttp2(uint32_t max_streams = 100, bool consume = true) {
    auto peer = Accept();
    return peer == nullptr ? nullptr : std::make_unique<Http2Peer>(std::move(peer), max_streams, consume);
  }
  // The loop turns and the peer works until `what` holds.
  ::testing::AssertionResult Until2(Http2Peer& peer, const std::function<bool()>& what) {
    return Until([&] {
      peer.Work();
      return what();
    });
  }
  ::testing::AssertionResult Ends2(Http2Peer& peer, const Answer& answer) {
    return Until2(peer, [&] { return answer.ended(); });
  }
  ::testing::AssertionResult Gets(Http2Peer& peer, int32_t id) {
    return Until2(peer, [&] { return peer.streams.contains(id) && !peer.streams[id].fields.empty(); });
  }
  ::testing::AssertionResult Closes(Http2Peer& peer) {
    return Until([&] { return !peer.Work(); });
  }
};

}  // namespace gatehouse::upstream
