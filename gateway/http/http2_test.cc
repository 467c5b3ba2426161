#include <nghttp2/nghttp2.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "gateway/http/codec_factory.h"
#include "gateway/http/codec_recorder.h"
#include "gateway/http/session_pages.h"
#include "gateway/http/shared_parts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::http {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields Get(const std::string& path = "/a") {
  return {{":method", "GET"}, {":scheme", "https"}, {":authority", "h"}, {":path", path}};
}

// The other side: an nghttp2 client in memory, and raw frames where a client library would refuse to send them.
class Client {
 public:
  Client() {
    nghttp2_session_callbacks* cb;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, [](nghttp2_session*, const nghttp2_frame* f, const uint8_t* n, size_t nl,
                                                            const uint8_t* v, size_t vl, uint8_t, void* u) {
      static_cast<Client*>(u)->got[f->hd.stream_id] +=
          absl::StrCat(absl::string_view(reinterpret_cast<const char*>(n), nl), "=",
                       absl::string_view(reinterpret_cast<const char*>(v), vl), ";");
      return 0;
    });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        cb, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* d, size_t n, void* u) {
          static_cast<Client*>(u)->bodies[id].append(reinterpret_cast<const char*>(d), n);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, [](nghttp2_session*, int32_t id, uint32_t code, void* u) {
      static_cast<Client*>(u)->closed[id] = code;
      return 0;
    });
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, [](nghttp2_session*, const nghttp2_frame* f, void* u) {
      if (f->hd.type == NGHTTP2_GOAWAY) {
        static_cast<Client*>(u)->goaways.push_back(f->goaway.error_code);
        static_cast<Client*>(u)->last_stream = f->goaway.last_stream_id;
      }
      return 0;
    });
    nghttp2_option* option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1);  // so that malformed requests can be sent
    nghttp2_session_client_new2(&session, cb, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(session, 0, nullptr, 0);
  }
  ~Client() { nghttp2_session_del(session); }

  int32_t Request(const Fields& fields, const std::string* body = nullptr) {
    std::vector<nghttp2_nv> nv;
    for (const auto& [n, v] : fields) {
      nv.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(n.data())), reinterpret_cast<uint8_t*>(const_cast<char*>(v.data())),
                    n.size(), v.size(), 0});
    }
    nghttp2_data_provider p;
    p.source.ptr = new std::pair<std::string, size_t>(body != nullptr ? *body : "", 0);
    sources.emplace_back(static_cast<std::pair<std::string, size_t>*>(p.source.ptr));
    p.read_callback = [](nghttp2_session*, int32_t, uint8_t* b, size_t n, uint32_t* flags, nghttp2_data_source* s, void*) -> ssize_t {
      auto* from = static_cast<std::pair<std::string, size_t>*>(s->ptr);
      n = std::min(n, from->first.size() - from->second);
      std::copy_n(from->first.data() + from->second, n, reinterpret_cast<char*>(b));
      from->second += n;
      if (from->second == from->first.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(n);
    };
    return nghttp2_submit_request(session, nullptr, nv.data(), nv.size(), body != nullptr ? &p : nullptr, nullptr);
  }
  // A request whose body comes by Data.
  int32_t Open(const Fields& fields) {
    std::vector<nghttp2_nv> nv;
    for (const auto& [n, v] : fields) {
      nv.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(n.data())), reinterpret_cast<uint8_t*>(const_cast<char*>(v.data())),
                    n.size(), v.size(), 0});
    }
    return nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, -1, nullptr, nv.data(), nv.size(), nullptr);
  }
  void Data(int32_t id, const std::string& bytes, bool end) {
    sources.push_back(std::make_unique<std::pair<std::string, size_t>>(bytes, 0));
    nghttp2_data_provider p;
    p.source.ptr = sources.back().get();
    p.read_callback = [](nghttp2_session*, int32_t, uint8_t* b, size_t n, uint32_t* flags, nghttp2_data_source* s, void*) -> ssize_t {
      auto* from = static_cast<std::pair<std::string, size_t>*>(s->ptr);
      n = std::min(n, from->first.size() - from->second);
      std::copy_n(from->first.data() + from->second, n, reinterpret_cast<char*>(b));
      from->second += n;
      if (from->second == from->first.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(n);
    };
    nghttp2_submit_data(session, end ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE, id, &p);
  }
  std::string Take() {
    std::string out;
    const uint8_t* p;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(session, &p)) > 0) out.append(reinterpret_cast<const char*>(p), static_cast<size_t>(n));
    return out;
  }

  nghttp2_session* session = nullptr;
  std::map<int32_t, std::string> got, bodies;
  std::map<int32_t, uint32_t> closed;
  std::vector<uint32_t> goaways;
  int32_t last_stream = -1;
  std::vector<std::unique_ptr<std::pair<std::string, size_t>>> sources;
};

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string f;
  for (int shift : {16, 8, 0}) f.push_back(static_cast<char>(payload.size() >> shift));
  f.push_back(static_cast<char>(type));
  f.push_back(static_cast<char>(flags));
  for (int shift : {24, 16, 8, 0}) f.push_back(static_cast<char>(stream >> shift));
  return f + payload;
}

class Http2Test : public ::testing::Test {
 protected:
  Http2Test() { Start(); }
  void Start() {
    client_ = std::make_unique<Client>();
    codec_ = NewHttp2Codec(&seen_, &shared_, &options_);
    seen_ = CodecRecorder();
    seen_.codec = codec_.get();
    FieldList f;
    f.Add("content-type", "text/plain");
    fixed_ = *FixedResponse::Create(200, f, "hello");
    seen_.on_request = [this](StreamId id) {
      if (answer_) codec_->SendFixed(id, fixed_);
    };
  }
  // Both sides talk until nothing is left to say.
  void Talk() {
    for (int i = 0; i < 100; ++i) {
      std::string in = client_->Take();
      if (!in.empty()) codec_->Receive(in, loop::Instant{1});
      OutBuffer out;
      codec_->Produce(&out);
      if (!out.empty()) {
        nghttp2_session_mem_recv(client_->session, reinterpret_cast<const uint8_t*>(out.view().data()), out.size());
      }
      if (in.empty() && out.empty()) return;
    }
  }

  CodecOptions options_;
  CodecShared shared_;
  CodecRecorder seen_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<ServerCodec> codec_;
  std::shared_ptr<const FixedResponse> fixed_;
  bool answer_ = true;
};

TEST_F(Http2Test, AnswersManyStreams) {
  for (int i = 0; i < 50; ++i) client_->Request(Get());
  Talk();
  EXPECT_EQ(client_->bodies.size(), 50u);
  EXPECT_EQ(client_->bodies[1], "hello");
  EXPECT_EQ(client_->got[99], ":status=200;content-type=text/plain;content-length=5;");
  EXPECT_TRUE(codec_->idle());
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kIdle);
}

TEST_F(Http2Test, DateIsAddedWhenGiven) {
  DateCache date{"Tue, 15 Nov 1994 08:12:31 GMT"};
  options_.date = &date;
  Start();
  client_->Request(Get());
  Talk();
  EXPECT_TRUE(absl::StrContains(client_->got[1], "date=Tue, 15 Nov 1994 08:12:31 GMT;"));
}

TEST_F(Http2Test, NoMoreIsProducedAtATimeThanThereIsRoomFor) {
  const std::string body(64 * 1024, 'b');
  fixed_ = *FixedResponse::Create(200, {}, body);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30}};
  nghttp2_submit_settings(client_->session, NGHTTP2_FLAG_NONE, settings, 1);
  nghttp2_session_set_local_window_size(client_->session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
  for (int i = 0; i < 40; ++i) client_->Request(Get());
  codec_->Receive(client_->Take(), loop::Instant{1});
  size_t pieces = 0;
  for (; codec_->WantsWrite(); ++pieces) {
    ASSERT_LT(pieces, 1000u);
    OutBuffer out(20'000);
    codec_->Produce(&out);
    EXPECT_LT(out.size(), 20'000u + 17'000);
    nghttp2_session_mem_recv(client_->session, reinterpret_cast<const uint8_t*>(out.view().data()), out.size());
    codec_->Receive(client_->Take(), loop::Instant{1});
  }
  EXPECT_GT(pieces, 70u);
  ASSERT_EQ(client_->bodies.size(), 40u);
  for (const auto& [id, got] : client_->bodies) EXPECT_EQ(got, body) << id;
}

TEST_F(Http2Test, AClientThatWaitsForUsIsNotAwaited) {
  answer_ = false;
  seen_.consume = false;  // a slow upstream
  const std::string body(200'000, 'u');
  client_->Request({{":method", "POST"}, {":scheme", "https"}, {":authority", "h"}, {":path", "/a"}}, &body);
  Talk();
  EXPECT_EQ(seen_.bodies[1].size(), 65'536u);
  EXPECT_NE(codec_->phase(), ServerCodec::Phase::kBody) << "body_timeout would end a connection whose client may not send";
}

TEST_F(Http2Test, OneSlowUploadDoesNotStopAnother) {
  answer_ = false;
  seen_.consume = false;
  const std::string body(200'000, 'u'), small = "small";
  client_->Request({{":method", "POST"}, {":scheme", "https"}, {":authority", "h"}, {":path", "/slow"}}, &body);
  Talk();
  client_->Request({{":method", "POST"}, {":scheme", "https"}, {":authority", "h"}, {":path", "/quick"}}, &small);
  Talk();
  EXPECT_EQ(seen_.bodies[3], "small");
}

// RFC 9113 6.8: what is above the GOAWAY's last stream was not and will not be processed: a client sends it again elsewhere.
TEST_F(Http2Test, WhatGoAwayDisownsWasNotHandedOver) {
  client_->Request(Get());
  Talk();
  answer_ = false;
  codec_->ShutdownNotice();
  codec_->GoAway();
  client_->Request({{":method", "POST"}, {":scheme", "https"}, {":authority", "h"}, {":path", "/pay"}});
  codec_->Receive(client_->Take(), loop::Instant{1});  // was on its way, or in the socket, in the same turn
  Talk();
  ASSERT_FALSE(client_->goaways.empty());
  EXPECT_EQ(std::count(seen_.lines.begin(), seen_.lines.end(), "request 3 POST h /pay"), 0);
}

// nghttp2 sends no head that is much larger, and tells only who asks.
TEST_F(Http2Test, ALargeHeadIsSentOrTheStreamEnds) {
  size_t octets = 335;  // 64 KB in all: what an upstream may send
  seen_.on_request = [&](StreamId id) {
    ResponseHead head;
    for (int i = 0; i < 190; ++i) head.fields.Add(absl::StrCat("x-", i), std::string(octets, 'v'));
    EXPECT_TRUE(codec_->SendHead(id, head, false));
    codec_->SendBody(id, "hello", true);
  };
  client_->Request(Get());
  Talk();
  EXPECT_EQ(client_->bodies[1], "hello");
  EXPECT_TRUE(codec_->idle());
  octets = 3000;
  client_->Request(Get());
  Talk();
  EXPECT_EQ(client_->closed.count(3), 1u);
  EXPECT_EQ(client_->closed[3], static_cast<uint32_t>(ErrorCode::kInternalError));
  EXPECT_TRUE(codec_->idle());
}

TEST_F(Http2Test, EarlyHintsThatNobodyReadsAreBounded) {
  FieldList hints;
  hints.Add("link", std::string(50'000, 'l'));
  seen_.on_request = [&](StreamId id) {
    for (int i = 0; i < 16; ++i) codec_->SendEarlyHints(id, hints);  // as many as an upstream may send
  };
  for (int i = 0; i < 100; ++i) client_->Request(Get());
  codec_->Receive(client_->Take(), loop::Instant{1});
  size_t waits = 0;
  while (codec_->WantsWrite()) {
    OutBuffer out;
    codec_->Produce(&out);
    waits += out.size();
  }
  EXPECT_LT(waits, 16u << 20) << "what waited in memory for one client";
}

// SEMANTICS 6: each is refused, and never reaches the handler.
TEST_F(Http2Test, AttackCorpus) {
  auto with = [](std::vector<std::pair<std::string, std::string>> changes) {
    Fields f = Get();
    for (auto& [n, v] : changes) {
      bool replaced = false;
      for (auto& field : f) {
        if (field.first == n && n[0] == ':') {
          field.second = v;
          replaced = true;
        }
      }
      if (!replaced) f.emplace_back(n, v);
    }
    return f;
  };
  const std::vector<std::pair<const char*, Fields>> rows = {
      {"authority and host differ", with({{"host", "other"}})},
      {"two hosts", with({{"host", "h"}, {"host", "h"}})},
      {"scheme http", with({{":scheme", "http"}})},
      {"userinfo", with({{":authority", "u@h"}})},
      {"empty authority", with({{":authority", ""}})},
      {"fragment", with({{":path", "/a#b"}})},
      {"relative path", with({{":path", "a"}})},
      {"empty path", with({{":path", ""}})},
      {"encoded slash", with({{":path", "/a%2Fb"}})},
      {"backslash", with({{":path", "/a\\b"}})},
      {"above the root", with({{":path", "/../x"}})},
      {"raw non-ASCII", with({{":path", "/\xc3\xa4"}})},
      {"CONNECT", {{":method", "CONNECT"}, {":authority", "h:443"}}},
      {"extended CONNECT", with({{":method", "CONNECT"}, {":protocol", "websocket"}})},
      {"TRACE", with({{":method", "TRACE"}})},
      {"no path", {{":method", "GET"}, {":scheme", "https"}, {":authority", "h"}}},
      {"no authority", {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}}},
      {"late pseudo field", with({{"x", "y"}, {":late", "z"}})},
      {"connection", with({{"connection", "close"}})},
      {"transfer-encoding", with({{"transfer-encoding", "chunked"}})},
      {"te", with({{"te", "gzip"}})},
      {"two lengths", with({{"content-length", "0"}, {"content-length", "0"}})},
      {"length list", with({{"content-length", "0, 0"}})},
      {"CR LF in a value", with({{"x", "a\r\nb: c"}})},
      {"expectation", with({{"expect", "magic"}})},
      {"long path", with({{":path", "/" + std::string(9000, 'a')}})},
      {"large header", with({{"x", std::string(20000, 'a')}, {"y", std::string(20000, 'a')}})},
  };
  for (const auto& [what, fields] : rows) {
    SCOPED_TRACE(what);
    Start();
    int32_t id = client_->Request(fields);
    client_->Request(Get("/good"));
    Talk();
    EXPECT_EQ(seen_.heads.count(id), 0u);
    EXPECT_EQ(seen_.heads.count(3), 1u) << "the connection goes on";
    EXPECT_FALSE(absl::StrContains(client_->got[id], ":status=2"));
    EXPECT_EQ(client_->closed.count(id), 1u);
    EXPECT_EQ(seen_.texts.size(), 1u);
  }
}

TEST_F(Http2Test, RefusalsAreWordedByTheHandlerButNotToHead) {
  seen_.refusal.head.fields.Add("content-type", "text/x");
  seen_.refusal.body = "no";
  client_->Request(Get("/%zz"));
  Fields head = Get("/%zz");
  head[0].second = "HEAD";
  client_->Request(head);
  std::string body(200'000, 'x');
  options_.limits.body_bytes = 1000;
  Fields post = Get("/upload");
  post[0].second = "POST";
  answer_ = false;
  client_->Request(post, &body);
  Talk();
  EXPECT_EQ(client_->got[1], ":status=400;content-length=2;content-type=text/x;");
  EXPECT_EQ(client_->bodies[1], "no");
  EXPECT_EQ(client_->got[3], ":status=400;content-length=2;content-type=text/x;");
  EXPECT_EQ(client_->bodies[3], "");
  EXPECT_EQ(client_->got[5], ":status=413;content-length=2;content-type=text/x;");
  EXPECT_EQ(client_->bodies[5], "no");
  EXPECT_EQ(client_->closed[5], static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_THAT(seen_.lines, Contains("closed 5"));
  EXPECT_TRUE(codec_->idle());
}

TEST_F(Http2Test, AHeadThatDoesNotComeInTimeIsTold) {
  codec_->TimeOut();
  EXPECT_THAT(seen_.lines, ElementsAre()) << "nothing was asked";
  codec_->Receive(client_->Take() + Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x82"), loop::Instant{1});
  codec_->TimeOut();
  EXPECT_THAT(seen_.lines, ElementsAre("error 0 0 fatal"));
}

TEST_F(Http2Test, OnlyStreamsThatWaitForTheClientEndWhenHisTimeIsOver) {
  answer_ = false;
  Fields post = Get("/upload");
  post[0].second = "POST";
  const int32_t upload = client_->Open(post);
  const int32_t download = client_->Request(Get("/wait"));
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kBody);
  EXPECT_TRUE(codec_->TimeOut());
  Talk();
  EXPECT_EQ(client_->got[upload].substr(0, 12), ":status=408;");
  EXPECT_EQ(client_->closed.count(upload), 1u);
  EXPECT_EQ(client_->closed.count(download), 0u);
  EXPECT_TRUE(client_->goaways.empty());
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kActive);
  EXPECT_FALSE(codec_->TimeOut()) << "who waits for us has time";
  codec_->SendFixed(download, fixed_);
  Talk();
  EXPECT_EQ(client_->bodies[download], "hello");
  // An answer had begun: it is broken off.
  const int32_t both = client_->Open(post);
  Talk();
  ASSERT_TRUE(codec_->SendHead(both, ResponseHead(), false));
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kStalled);
  EXPECT_TRUE(codec_->TimeOut());
  Talk();
  EXPECT_EQ(client_->closed.at(both), static_cast<uint32_t>(ErrorCode::kCancel));
  EXPECT_THAT(seen_.lines, Contains(absl::StrCat("reset ", both, " 8")));
  EXPECT_TRUE(codec_->idle());
}

TEST_F(Http2Test, HostAloneIsTheAuthorityAndCookiesAreJoined) {
  client_->Request({{":method", "GET"}, {":scheme", "https"}, {":path", "/a?x"}, {"host", "H:443"}, {"cookie", "a=1"}, {"cookie", "b=2"}});
  Talk();
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h:443 /a?x", "closed 1"));
  EXPECT_EQ(*seen_.heads[1].fields().Find("cookie"), "a=1; b=2");
}

TEST_F(Http2Test, AHostFieldIsMadeFromTheAuthority) {
  client_->Request(Get());
  Talk();
  EXPECT_EQ(*seen_.heads[1].fields().Find("host"), "h");
}

TEST_F(Http2Test, ABodyIsPausedUntilConsumed) {
  answer_ = false;
  seen_.consume = false;
  std::string body(300'000, 'x');
  Fields post = Get();
  post[0].second = "POST";
  client_->Request(post, &body);
  Talk();
  size_t first = seen_.bodies[1].size();
  EXPECT_LE(first, 65'536u);
  size_t consumed = 0;
  while (seen_.bodies[1].size() < body.size()) {
    size_t have = seen_.bodies[1].size();
    ASSERT_GT(have, consumed);
    codec_->ConsumeBody(1, have - consumed);
    consumed = have;
    Talk();
  }
  EXPECT_THAT(seen_.lines, Contains("end 1 300000"));
}

TEST_F(Http2Test, AStreamThatIsNeverConsumedDoesNotStarveTheOthers) {
  answer_ = false;
  seen_.consume = false;
  std::string body(60'000, 'x');
  Fields post = Get();
  post[0].second = "POST";
  for (int i = 0; i < 5; ++i) {
    int32_t id = client_->Request(post, &body);
    Talk();
    codec_->Reset(id, ErrorCode::kCancel);
    Talk();
    EXPECT_EQ(client_->closed.count(id), 1u);
    EXPECT_EQ(seen_.bodies[id].size(), 60'000u) << "the connection's window came back";
  }
}

TEST_F(Http2Test, StreamsABodyWithBackPressureAndTrailers) {
  answer_ = false;
  client_->Request(Get());
  Talk();
  ResponseHead head;
  head.fields.Add("x", "y");
  ASSERT_TRUE(codec_->SendHead(1, head, false));
  std::string big(200'000, 'b');
  size_t sent = 0;
  seen_.on_writable = [&](StreamId id) { sent += codec_->SendBody(id, absl::string_view(big).substr(sent), false); };
  sent = codec_->SendBody(1, big, false);
  EXPECT_LT(sent, big.size());
  Talk();
  EXPECT_EQ(sent, big.size());
  FieldList trailers;
  trailers.Add("grpc-status", "0");
  codec_->SendTrailers(1, trailers);
  Talk();
  EXPECT_EQ(client_->bodies[1], big);
  EXPECT_TRUE(absl::StrContains(client_->got[1], "grpc-status=0;"));
  EXPECT_EQ(client_->closed[1], 0u);
}

TEST_F(Http2Test, AnEarlyAnswerStopsTheUpload) {
  std::string body(200'000, 'x');
  Fields post = Get();
  post[0].second = "POST";
  client_->Request(post, &body);
  Talk();
  EXPECT_EQ(client_->bodies[1], "hello");
  EXPECT_EQ(client_->closed[1], static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_THAT(seen_.lines, Contains("closed 1"));
}

TEST_F(Http2Test, AClientsResetIsTold) {
  answer_ = false;
  client_->Request(Get());
  Talk();
  nghttp2_submit_rst_stream(client_->session, 0, 1, NGHTTP2_CANCEL);
  Talk();
  EXPECT_THAT(seen_.lines, ElementsAre("request 1 GET h /a", "reset 1 8", "closed 1"));
  EXPECT_FALSE(codec_->SendFixed(1, fixed_));
}

TEST_F(Http2Test, RapidResetEndsTheConnection) {
  answer_ = false;
  for (int i = 0; i < 300 && client_->goaways.empty(); ++i) {
    int32_t id = client_->Request(Get());
    if (id < 0) break;
    Talk();
    nghttp2_submit_rst_stream(client_->session, 0, id, NGHTTP2_CANCEL);
    Talk();
  }
  EXPECT_THAT(client_->goaways, Contains(NGHTTP2_ENHANCE_YOUR_CALM));
  EXPECT_LE(seen_.heads.size(), 110u);
}

TEST_F(Http2Test, CompletedRequestsPayForSomeResets) {
  for (int i = 0; i < 400; ++i) {
    answer_ = i % 2 == 0;
    int32_t id = client_->Request(Get());
    Talk();
    if (!answer_) nghttp2_submit_rst_stream(client_->session, 0, id, NGHTTP2_CANCEL);
    Talk();
  }
  EXPECT_THAT(client_->goaways, ElementsAre());
}

TEST_F(Http2Test, MadeResetsCountLikeTheClientsOwn) {
  Fields bad = Get("/a#b");
  for (int i = 0; i < 300 && client_->goaways.empty(); ++i) {
    if (client_->Request(bad) < 0) break;
    Talk();
  }
  EXPECT_FALSE(client_->goaways.empty());
}

TEST_F(Http2Test, BodiesThatAreNotAsLongAsTheySayCountAsResets) {
  answer_ = false;
  const std::string two = "xx", none;
  for (const std::string& body : {two, none}) {
    Start();
    Fields post = Get();
    post[0].second = "POST";
    post.emplace_back("content-length", "1");
    int asked = 0;
    for (; asked < 300 && client_->goaways.empty() && client_->Request(post, &body) >= 0; ++asked) Talk();
    EXPECT_THAT(client_->goaways, ElementsAre(NGHTTP2_ENHANCE_YOUR_CALM)) << body.size();
    EXPECT_LT(asked, 110) << body.size();
  }
}

TEST_F(Http2Test, AnAnswerThatWaitsForAWindowIsAStallUntilItGoes) {
  const nghttp2_settings_entry shut{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
  nghttp2_submit_settings(client_->session, NGHTTP2_FLAG_NONE, &shut, 1);
  const int32_t fixed = client_->Request(Get());
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kStalled);
  const uint64_t before = codec_->progress();

  nghttp2_submit_ping(client_->session, NGHTTP2_FLAG_NONE, nullptr);
  Talk();
  EXPECT_EQ(codec_->progress(), before) << "a PING takes nothing";

  // Octet by octet, as nghttp2's client would not ask.
  const auto open = [&](char octets) {
    codec_->Receive(Frame(NGHTTP2_WINDOW_UPDATE, 0, static_cast<uint32_t>(fixed), std::string("\0\0\0", 3) + octets), loop::Instant{1});
    OutBuffer out;
    codec_->Produce(&out);
  };
  open(2);
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kStalled);
  EXPECT_EQ(codec_->progress(), before + 2);
  open(100);
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kIdle);
  EXPECT_EQ(codec_->progress(), before + 5);

  answer_ = false;
  const int32_t streamed = client_->Request(Get());
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kActive) << "nothing waits yet";
  codec_->SendHead(streamed, ResponseHead(), false);
  codec_->SendBody(streamed, "some", false);
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kStalled);
  nghttp2_submit_rst_stream(client_->session, NGHTTP2_FLAG_NONE, streamed, NGHTTP2_CANCEL);
  const int32_t asked = client_->Request(Get());
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kActive) << "what waited went with its stream";
  codec_->Reset(asked, ErrorCode::kCancel);
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kIdle);
}

TEST_F(Http2Test, ABodyOfARequestThatIsBeingAnsweredHasTheTimeOfAStall) {
  answer_ = false;
  Fields post = Get();
  post[0].second = "POST";
  const int32_t id = client_->Open(post);
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kBody);
  codec_->SendHead(id, ResponseHead(), false);
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kStalled);
  const uint64_t before = codec_->progress();
  client_->Data(id, "more", false);
  Talk();
  EXPECT_EQ(codec_->progress(), before + 4);
  client_->Data(id, "", true);
  Talk();
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kActive);
}

TEST_F(Http2Test, FloodsOfControlFramesEndTheConnection) {
  const std::pair<const char*, std::string> floods[] = {
      {"ping", Frame(NGHTTP2_PING, 0, 0, std::string(8, 'p'))},
      {"settings", Frame(NGHTTP2_SETTINGS, 0, 0, "")},
      {"empty data", Frame(NGHTTP2_DATA, 0, 1, "")},
      {"priority", Frame(NGHTTP2_PRIORITY, 0, 1, std::string("\0\0\0\0\x10", 5))},
  };
  answer_ = false;
  for (const auto& [what, frame] : floods) {
    SCOPED_TRACE(what);
    Start();
    std::string body = "x";
    Fields post = Get();
    post[0].second = "POST";
    client_->Request(post);
    // Headers without END_STREAM, by hand: flip the flag of the HEADERS frame.
    std::string in = client_->Take();
    size_t at = in.find(std::string("\x01\x05\0\0\0\x01", 6));
    ASSERT_NE(at, std::string::npos);
    in[at + 1] = '\x04';
    codec_->Receive(in, loop::Instant{1});
    std::string many;
    for (int i = 0; i < 400; ++i) many += frame;
    EXPECT_EQ(codec_->Receive(many, loop::Instant{1}), ServerCodec::Result::kClose);
    EXPECT_THAT(seen_.lines, Contains("error 0 0 fatal"));
    OutBuffer out;
    codec_->Produce(&out);
    EXPECT_TRUE(codec_->done());
  }
}

TEST_F(Http2Test, AContinuationFloodEndsTheConnection) {
  std::string in = client_->Take() + Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x82");
  for (int i = 0; i < 100'000; ++i) in += Frame(NGHTTP2_CONTINUATION, 0, 1, "");
  EXPECT_EQ(codec_->Receive(in, loop::Instant{1}), ServerCodec::Result::kClose);
}

TEST_F(Http2Test, AWrongPrefaceEndsTheConnection) {
  EXPECT_EQ(codec_->Receive("GET / HTTP/1.1\r\nHost: h\r\n\r\n", loop::Instant{1}), ServerCodec::Result::kClose);
  OutBuffer out;
  codec_->Produce(&out);
  EXPECT_TRUE(codec_->done());
  EXPECT_THAT(seen_.heads, testing::IsEmpty());
}

TEST_F(Http2Test, DrainsInTwoPhasesWithoutLosingARequest) {
  answer_ = false;
  client_->Request(Get());
  Talk();
  codec_->ShutdownNotice();
  Talk();
  ASSERT_EQ(client_->goaways.size(), 1u);
  EXPECT_EQ(client_->last_stream, 2147483647);
  codec_->GoAway();
  Talk();
  EXPECT_EQ(client_->last_stream, 1);
  EXPECT_FALSE(codec_->done());
  codec_->SendFixed(1, fixed_);
  Talk();
  EXPECT_EQ(client_->bodies[1], "hello");
  EXPECT_TRUE(codec_->done());
}

TEST_F(Http2Test, ContinueAndHead) {
  answer_ = false;
  std::string body = "x";
  Fields post = Get();
  post[0].second = "POST";
  post.emplace_back("expect", "100-continue");
  client_->Request(post);
  Fields head = Get();
  head[0].second = "HEAD";
  client_->Request(head);
  Talk();
  EXPECT_TRUE(codec_->SendFixed(3, fixed_));
  Talk();
  EXPECT_TRUE(absl::StrContains(client_->got[3], "content-length=5"));
  EXPECT_EQ(client_->bodies[3], "");
}

TEST(SessionPagesTest, RestedPagesAreOutOfMemoryAndStillTaken) {
  SessionPages pool;
  const SessionPages::Pages pages = pool.Take();
  ASSERT_NE(pages.frame, nullptr);
  const auto resident = [&pages] {
    unsigned char of[(SessionPages::kFrame + SessionPages::kTable) / 4096] = {};
    EXPECT_EQ(mincore(pages.frame, SessionPages::kFrame + SessionPages::kTable, of), 0);
    return std::count_if(std::begin(of), std::end(of), [](unsigned char p) { return (p & 1) != 0; });
  };
  std::memset(pages.frame, 'x', SessionPages::kFrame);
  std::memset(pages.table, 0, SessionPages::kTable);
  EXPECT_EQ(resident(), 6);
  SessionPages::Rest(pages);
  EXPECT_EQ(resident(), 0);
  EXPECT_EQ(pool.taken(), 1u);
  EXPECT_NE(pool.Take().frame, pages.frame);
  pool.Return(pages);
  EXPECT_EQ(pool.Take().frame, pages.frame);
}

TEST(SessionPagesTest, ATableThatHoldsSomethingStays) {
  SessionPages pool;
  const SessionPages::Pages pages = pool.Take();
  ASSERT_NE(pages.frame, nullptr);
  std::memset(pages.table, 0, SessionPages::kTable);
  for (size_t at : {size_t{0}, size_t{1}, SessionPages::kTable / 2, SessionPages::kTable - 1}) {
    static_cast<char*>(pages.table)[at] = 7;
    SessionPages::Rest(pages);
    EXPECT_EQ(static_cast<char*>(pages.table)[at], 7) << at;
    static_cast<char*>(pages.table)[at] = 0;
  }
}

TEST_F(Http2Test, EachSessionHasItsPagesFromThePoolAndReturnsThem) {
  SessionPages& pool = shared_.parts().session_pages;
  EXPECT_EQ(pool.taken(), 1u);
  auto other = NewHttp2Codec(&seen_, &shared_, &options_);
  EXPECT_EQ(pool.taken(), 2u);
  other.reset();
  EXPECT_EQ(pool.taken(), 1u);
}

TEST_F(Http2Test, AConnectionThatRestedGoesOnAsBefore) {
  for (int i = 0; i < 3; ++i) {
    const int32_t id = client_->Request(Get());
    Talk();
    EXPECT_EQ(client_->bodies[id], "hello");
    EXPECT_EQ(client_->closed[id], 0u);
    codec_->Rest();
  }
  // In the middle of a stream nothing is let go of.
  answer_ = false;
  const int32_t id = client_->Request(Get());
  Talk();
  codec_->Rest();
  codec_->SendFixed(id, fixed_);
  codec_->Rest();
  Talk();
  EXPECT_EQ(client_->bodies[id], "hello");
  EXPECT_TRUE(client_->goaways.empty());
}


Fields Connect(const std::string& protocol = "websocket") {
  return {{":method", "CONNECT"}, {":protocol", protocol}, {":scheme", "https"}, {":authority", "h"}, {":path", "/ws"}};
}

TEST_F(Http2Test, AnExtendedConnectForWebSocketIsTheGetThatItStandsFor) {
  answer_ = false;
  const int32_t id = client_->Open(Connect());
  Talk();
  ASSERT_EQ(seen_.heads.count(id), 1u);
  EXPECT_TRUE(seen_.heads.at(id).websocket);
  EXPECT_EQ(seen_.heads.at(id).method(), "GET");
  EXPECT_EQ(codec_->phase(), ServerCodec::Phase::kActive) << "no body is awaited";
  ResponseHead head;
  head.fields.Add("sec-websocket-protocol", "chat");
  ASSERT_TRUE(codec_->SendSwitch(id, head));
  Talk();
  EXPECT_EQ(client_->got[id], ":status=200;sec-websocket-protocol=chat;");
  client_->Data(id, "hello", false);
  Talk();
  EXPECT_EQ(seen_.bodies[id], "hello");
  codec_->SendBody(id, "bye", true);
  Talk();
  EXPECT_EQ(client_->bodies[id], "bye");
  EXPECT_EQ(client_->closed.count(id), 0u) << "the client's half goes on";
  client_->Data(id, " world", true);
  Talk();
  EXPECT_EQ(seen_.bodies[id], "hello world");
  EXPECT_EQ(client_->closed.at(id), 0u);
  EXPECT_THAT(seen_.lines, ElementsAre(absl::StrCat("request ", id, " GET h /ws +body"), absl::StrCat("end ", id, " 11"),
                                       absl::StrCat("closed ", id)));
}

TEST_F(Http2Test, NoOtherConnectIsServed) {
  const int32_t plain = client_->Open({{":method", "CONNECT"}, {":authority", "h:443"}});
  const int32_t other = client_->Open(Connect("connect-udp"));
  const int32_t ended = client_->Request(Connect());
  Fields sized = Connect();
  sized.emplace_back("content-length", "5");
  const int32_t with_length = client_->Open(sized);
  Fields get = Get();
  get.emplace_back(":protocol", "websocket");
  const int32_t not_connect = client_->Open(get);
  Talk();
  EXPECT_TRUE(absl::StartsWith(client_->got[plain], ":status=501;")) << client_->got[plain];
  EXPECT_TRUE(absl::StartsWith(client_->got[other], ":status=501;")) << client_->got[other];
  EXPECT_TRUE(absl::StartsWith(client_->got[ended], ":status=400;")) << client_->got[ended];
  EXPECT_FALSE(absl::StartsWith(client_->got[with_length], ":status=200;"));
  EXPECT_FALSE(absl::StartsWith(client_->got[not_connect], ":status=200;"));
  EXPECT_TRUE(seen_.heads.empty());
}

TEST_F(Http2Test, AWebSocketHasNoLimitOfBodiesButItsWindow) {
  options_.limits.body_bytes = 10;
  answer_ = false;
  seen_.consume = false;
  const int32_t id = client_->Open(Connect());
  Talk();
  ASSERT_TRUE(codec_->SendSwitch(id, ResponseHead()));
  client_->Data(id, std::string(200'000, 'x'), false);
  Talk();
  EXPECT_EQ(seen_.bodies[id].size(), 65'536u);
  codec_->Reset(id, ErrorCode::kCancel);
  Talk();
  EXPECT_EQ(client_->closed.at(id), 8u);
}


TEST_F(Http2Test, EarlyHintsGoBeforeTheAnswerAndNeverAfterIt) {
  answer_ = false;
  const int32_t id = client_->Request(Get());
  Talk();
  FieldList hints;
  hints.Add("link", "</a.css>; rel=preload");
  hints.Add("connection", "close");
  codec_->SendEarlyHints(id, hints);
  Talk();
  EXPECT_EQ(client_->got[id], ":status=103;link=</a.css>; rel=preload;");
  client_->got.clear();
  codec_->SendFixed(id, fixed_);
  codec_->SendEarlyHints(id, hints);
  Talk();
  EXPECT_TRUE(absl::StartsWith(client_->got[id], ":status=200;")) << client_->got[id];
  EXPECT_FALSE(absl::StrContains(client_->got[id], "103"));
}

TEST_F(Http2Test, ExpectingAStreamWhosePlaceWasTakenIsHarmless) {
  answer_ = false;
  client_->Request(Get("/slow"));
  Talk();
  answer_ = true;
  for (int i = 0; i < 16; ++i) client_->Request(Get());
  Talk();
  EXPECT_EQ(client_->closed.count(33), 1u);
  codec_->Expect(1);
}

}  // namespace
}  // namespace gatehouse::http
