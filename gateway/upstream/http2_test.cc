// HTTP/2 to upstreams: streams, windows, and every way in which an upstream can misbehave.
#include "gateway/upstream/http2_fixture.h"
#include "gateway/upstream/pools.h"

namespace gatehouse::upstream {
namespace {

using Http2Test = Http2Fixture;

TEST_F(Http2Test, ARequestGoesOutAndItsResponseComesBackWithTrailers) {
  Answer answer;
  MakePool();
  http::FieldList fields;
  fields.Add("x-user", "CN=alice");
  fields.Add("connection", "x");
  fields.Add("host", "other");
  RequestHead head;
  head.method = "POST";
  head.target = "/pkg.Service/Call?q";
  head.authority = "app.test";
  head.fields = &fields;
  head.framing = Framing::kChunked;
  head.accepts_trailers = true;
  auto request = pool_->Start(head, &answer);
  request->SendBody("hello ", false);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  request->SendBody("world", true);
  ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].ended; }));
  const std::map<std::string, std::string> expected = {{":method", "POST"},      {":scheme", "http"},
                                                       {":authority", "app.test"}, {":path", "/pkg.Service/Call?q"},
                                                       {"x-user", "CN=alice"},   {"te", "trailers"}};
  EXPECT_EQ((*peer)[1].fields, expected);
  EXPECT_EQ((*peer)[1].body, "hello world");
  peer->Head(1, "200", {{"content-type", "application/grpc"}});
  peer->Body(1, "answer", false);
  ASSERT_TRUE(Until2(*peer, [&] { return answer.body == "answer"; }));
  EXPECT_FALSE(answer.ended());
  peer->Trailers(1, {{"grpc-status", "0"}});
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.trailers.Find("grpc-status"), absl::string_view("0"));
  EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
}

http::FieldList Sum() {
  http::FieldList trailers;
  trailers.Add("x-sum", "7");
  trailers.Add("content-length", "9");
  trailers.Add("x-split", "a\r\nb");
  return trailers;
}

TEST_F(Http2Test, ARequestsTrailersFollowItsBody) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kLength, 5);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  request->SendBody("hel", false);
  ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].body == "hel"; }));
  request->SetTrailers(Sum());
  request->SendBody("lo", true);
  ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].ended; }));
  EXPECT_EQ((*peer)[1].body, "hello");
  const std::map<std::string, std::string> expected = {{"x-sum", "7"}};
  EXPECT_EQ((*peer)[1].request_trailers, expected);
  EXPECT_FALSE(peer->broken);
  peer->Head(1, "200", {}, /*end=*/true);
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ((*peer)[1].reset, -1);
}

TEST_F(Http2Test, TrailersOfARequestThatWaitedForItsConnectionAreNotLost) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kChunked);
  request->SetTrailers(Sum());
  request->SendBody("", true);  // before the connection is there
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].ended; }));
  EXPECT_EQ((*peer)[1].request_trailers.count("x-sum"), 1u);
  EXPECT_EQ((*peer)[1].body, "");
}

TEST_F(Http2Test, TrailersThatMayAllNotPassStillEndTheRequest) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kChunked);
  http::FieldList trailers;
  trailers.Add("transfer-encoding", "chunked");
  request->SetTrailers(std::move(trailers));
  request->SendBody("x", true);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].ended; }));
  EXPECT_TRUE((*peer)[1].request_trailers.empty());
  EXPECT_EQ((*peer)[1].body, "x");
}

TEST_F(Http2Test, ARequestThatFindsNobodyGoesElsewhereWithItsTrailers) {
  FakeUpstream gone;
  options_.endpoints.insert(options_.endpoints.begin(), Endpoint::Of(gone.address()));
  gone.StopListening();
  Answer answers[2];
  std::unique_ptr<Request> requests[2];
  for (int i = 0; i < 2; ++i) {  // one of them at least is sent to who is gone
    requests[i] = Start(&answers[i], "POST", Framing::kChunked);
    requests[i]->SetTrailers(Sum());
    requests[i]->SendBody("x", true);
  }
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].ended && (*peer)[3].ended; }));
  for (int id : {1, 3}) EXPECT_EQ((*peer)[id].request_trailers.count("x-sum"), 1u);
  EXPECT_GE(pool_->stats().retries.value(), 1);
}

TEST_F(Http2Test, WhatTheUpstreamSaidUnreadIsNoReasonToLeaveItsConnection) {
  Answer first, second;
  auto a = Start(&first, "POST", Framing::kChunked);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "200");
  peer->Body(1, "part", false);
  peer->Work();  // waits in the socket
  auto b = Start(&second, "POST", Framing::kChunked);  // not to be risked on a connection that is dead
  ASSERT_TRUE(Gets(*peer, 3));
  EXPECT_EQ(pool_->stats().connects.value(), 1);
  peer->Body(1, "", true);
  peer->Head(3, "200", {}, /*end=*/true);
  ASSERT_TRUE(Ends2(*peer, first));
  ASSERT_TRUE(Ends2(*peer, second));
  EXPECT_EQ(first.body, "part");
  EXPECT_EQ(first.completions + second.completions, 2);
}

TEST_F(Http2Test, ADeadConnectionIsNotTakenAndThoseOnItAreTold) {
  Answer first, second;
  auto a = Start(&first, "POST", Framing::kChunked);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->peer().Reset();
  auto b = Start(&second, "POST", Framing::kChunked);
  auto other = AcceptHttp2();
  ASSERT_NE(other, nullptr);
  ASSERT_TRUE(Until2(*other, [&] { return first.ended() && !(*other)[1].fields.empty(); }));
  EXPECT_EQ(first.error, ErrorKind::kReset);
  other->Head(1, "200", {}, /*end=*/true);
  ASSERT_TRUE(Ends2(*other, second));
  EXPECT_EQ(second.completions, 1);
}

TEST_F(Http2Test, AnAnswerOfOneHeaderBlockSaysThatNothingFollows) {
  Answer answer;
  bool end = false;
  auto request = Start(&answer);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  answer.on_head = [&] { end = answer.head_ended; };
  peer->Head(1, "200", {{"grpc-status", "5"}}, /*end=*/true);
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_TRUE(end);
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.fields.Find("grpc-status"), absl::string_view("5"));
}

TEST_F(Http2Test, ManyRequestsShareOneConnectionFromTheStart) {
  Answer answers[20];
  std::vector<std::unique_ptr<Request>> requests;
  for (Answer& answer : answers) requests.push_back(Start(&answer));
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 39));
  for (int32_t id = 39; id > 0; id -= 2) {
    peer->Head(id, "200");
    peer->Body(id, absl::StrCat("for ", id), true);
  }
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(Ends2(*peer, answers[i]));
    EXPECT_EQ(answers[i].body, absl::StrCat("for ", 2 * i + 1));
  }
  EXPECT_EQ(pool_->stats().connects.value(), 1);
}

TEST_F(Http2Test, NoMoreStreamsThanTheUpstreamAllowsThenAnotherConnection) {
  Answer first;
  auto request = Start(&first);
  auto one = AcceptHttp2(/*max_streams=*/2);
  ASSERT_TRUE(Gets(*one, 1));
  Turn();  // its SETTINGS are read
  Answer second, third;
  auto r2 = Start(&second);
  auto r3 = Start(&third);
  auto two = AcceptHttp2(2);
  ASSERT_TRUE(Gets(*two, 1));
  EXPECT_TRUE(Gets(*one, 3));
  EXPECT_EQ(pool_->stats().connects.value(), 2);
}

TEST_F(Http2Test, WithTheLastConnectionFullARequestWaitsForAStreamThatEnds) {
  options_.max_connections = 1;
  Answer first, second;
  auto r1 = Start(&first);
  auto peer = AcceptHttp2(1);
  ASSERT_TRUE(Gets(*peer, 1));
  Turn();
  auto r2 = Start(&second);
  EXPECT_EQ(pool_->stats().pending.value(), 1);
  peer->Head(1, "204", {}, true);
  ASSERT_TRUE(Gets(*peer, 3));
  peer->Head(3, "204", {}, true);
  ASSERT_TRUE(Ends2(*peer, second));
  EXPECT_EQ(second.completions, 1);
}

TEST_F(Http2Test, AResponseThatIsNotReadStopsAtItsWindowAndHoldsUpNoOther) {
  Answer slow, quick;
  auto r1 = Start(&slow);
  r1->PauseReading();
  auto r2 = Start(&quick);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 3));
  const std::string large(3 << 20, 'x');
  peer->Head(1, "200");
  peer->Body(1, large, true);
  peer->Head(3, "200");
  peer->Body(3, large, true);
  ASSERT_TRUE(Ends2(*peer, quick));
  EXPECT_EQ(quick.body.size(), large.size());
  EXPECT_LE(slow.body.size(), 64u * 1024);
  EXPECT_FALSE(slow.ended());
  r1->ResumeReading();
  ASSERT_TRUE(Ends2(*peer, slow));
  EXPECT_EQ(slow.body.size(), large.size());
}

TEST_F(Http2Test, ARequestBodyStopsAtTheUpstreamsWindowAndItsCallerIsTold) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kChunked);
  auto peer = AcceptHttp2(100, /*consume=*/false);
  size_t sent = 0;
  auto give = [&] {
    while (request->writable() && sent < (1 << 20)) {
      request->SendBody(std::string(16 * 1024, 'b'), false);
      sent += 16 * 1024;
    }
  };
  answer.on_writable = give;
  give();
  ASSERT_TRUE(Gets(*peer, 1));
  for (int i = 0; i < 50; ++i) {
    Turn(1);
    peer->Work();
  }
  EXPECT_LE(sent, 64u * 1024 * 3);  // the upstream's window, and our buffer
  EXPECT_EQ((*peer)[1].body.size(), 65535u);
  for (size_t seen = 0; sent < (1 << 20);) {
    peer->Consume(1, (*peer)[1].body.size() - seen);
    seen = (*peer)[1].body.size();
    ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].body.size() > seen; }));
  }
  EXPECT_GT(answer.writables, 4);
}

TEST_F(Http2Test, ACancelledRequestResetsItsStreamAndLeavesTheOthers) {
  Answer a, b;
  auto r1 = Start(&a), r2 = Start(&b);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 3));
  r1.reset();
  ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].reset == NGHTTP2_CANCEL; }));
  peer->Head(3, "204", {}, true);
  ASSERT_TRUE(Ends2(*peer, b));
  EXPECT_EQ(b.completions, 1);
  EXPECT_FALSE(a.ended());
}

TEST_F(Http2Test, ARequestMayBeDestroyedInAnyCallback) {
  for (int at = 0; at < 3; ++at) {
    Answer answer;
    auto request = Start(&answer, "POST", Framing::kChunked);
    if (at == 0) answer.on_head = [&] { request.reset(); };
    if (at == 1) answer.on_body = [&] { request.reset(); };
    if (at == 2) answer.on_end = [&] { request.reset(); };
    auto peer = AcceptHttp2();
    ASSERT_TRUE(Gets(*peer, 1));
    peer->Head(1, "200");
    peer->Body(1, "x", true);
    ASSERT_TRUE(Until2(*peer, [&] { return request == nullptr; })) << at;
    EXPECT_EQ(answer.ended(), at == 2);
    EXPECT_EQ(pool_->running(), 0u);
    pool_.reset();
  }
}

TEST_F(Http2Test, AnEarlyResponseEndsTheRequestAndStopsItsBody) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kChunked);
  request->SendBody("part", false);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "413", {}, true);
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.completions, 1);
  ASSERT_TRUE(Until2(*peer, [&] { return (*peer)[1].reset >= 0; }));
  Answer next;
  auto after = Start(&next);
  ASSERT_TRUE(Gets(*peer, 3)) << "the connection goes on";
}

TEST_F(Http2Test, WhatIsTurnedAwayUnseenIsSentAgainElsewhereEvenAPost) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kLength, 5);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->GoAway(0);
  ASSERT_TRUE(Until([&] { return (peer->Work(), pool_->stats().connects.value() == 2); }));
  auto next = AcceptHttp2();
  request->SendBody("hello", true);
  ASSERT_TRUE(Until2(*next, [&] { return (*next)[1].ended; }));
  EXPECT_EQ((*next)[1].body, "hello");
  EXPECT_EQ((*next)[1].fields["content-length"], "5");
  next->Head(1, "201", {}, true);
  ASSERT_TRUE(Ends2(*next, answer));
  EXPECT_EQ(answer.status, 201);
  EXPECT_TRUE(Closes(*peer)) << "it said goodbye";
}

TEST_F(Http2Test, AnUpstreamThatTurnsAwayAgainAndAgainFailsTheRequest) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptHttp2();
  for (int32_t id = 1; !answer.ended() && id < 20; id += 2) {
    ASSERT_TRUE(Until2(*peer, [&] { return answer.ended() || peer->streams.contains(id); }));
    if (!answer.ended()) peer->Reset(id, NGHTTP2_REFUSED_STREAM);
  }
  EXPECT_EQ(answer.errors, 1);
  EXPECT_EQ(answer.error, ErrorKind::kRefused);
  EXPECT_EQ(StatusFor(answer.error), 503);
  EXPECT_EQ(pool_->stats().failures.value(), 0) << "to turn away is no failure";
}

TEST_F(Http2Test, AfterGoAwayRunningRequestsEndAndNewOnesGoElsewhere) {
  Answer a, b;
  auto r1 = Start(&a);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->GoAway(1);
  ASSERT_TRUE(Until2(*peer, [&] { return true; }));
  Turn();
  auto r2 = Start(&b);
  auto other = AcceptHttp2();
  ASSERT_TRUE(Gets(*other, 1));
  peer->Head(1, "200");
  peer->Body(1, "whole", true);
  ASSERT_TRUE(Ends2(*peer, a));
  EXPECT_EQ(a.body, "whole");
  EXPECT_TRUE(Closes(*peer));
}

TEST_F(Http2Test, AResetStreamIsAnErrorThatNamesItsCodeAndLeavesTheConnection) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "200");
  peer->Body(1, "half", false);
  ASSERT_TRUE(Until2(*peer, [&] { return answer.body == "half"; }));
  peer->Reset(1, NGHTTP2_INTERNAL_ERROR);
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  EXPECT_TRUE(absl::StrContains(answer.detail, "INTERNAL_ERROR")) << answer.detail;
  EXPECT_EQ(pool_->stats().open_connections.value(), 1);
}

TEST_F(Http2Test, AClosedConnectionFailsEveryRequestOnItOnce) {
  for (bool reset : {false, true}) {
    Answer a, b;
    auto r1 = Start(&a), r2 = Start(&b, "POST", Framing::kChunked);
    auto peer = AcceptHttp2();
    ASSERT_TRUE(Gets(*peer, 3));
    reset ? peer->peer().Reset() : peer->peer().Close();
    ASSERT_TRUE(Ends(a));
    ASSERT_TRUE(Ends(b));
    for (const Answer* answer : {&a, &b}) {
      EXPECT_EQ(answer->errors, 1);
      EXPECT_EQ(answer->error, ErrorKind::kReset);
    }
    EXPECT_EQ(pool_->stats().open_connections.value(), 0);
  }
}

TEST_F(Http2Test, AKeptConnectionThatDiesIsReplacedForWhatMayBeSentTwice) {
  Answer warm;
  auto r = Start(&warm);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "204", {}, true);
  ASSERT_TRUE(Ends2(*peer, warm));

  Answer get, post;
  auto r1 = Start(&get);
  auto r2 = Start(&post, "POST", Framing::kChunked);
  ASSERT_TRUE(Gets(*peer, 5));
  peer->peer().Close();
  ASSERT_TRUE(Ends(post));
  EXPECT_EQ(post.error, ErrorKind::kReset);
  auto next = AcceptHttp2();
  ASSERT_TRUE(Gets(*next, 1));
  next->Head(1, "204", {}, true);
  ASSERT_TRUE(Ends2(*next, get));
  EXPECT_EQ(get.completions, 1);
  EXPECT_EQ(pool_->stats().repeated.value(), 1);
}

TEST_F(Http2Test, AnUpstreamThatSpeaksHttp1IsAProtocolError) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = Accept();
  peer->Send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kProtocol);
  EXPECT_EQ(pool_->stats().open_connections.value(), 0);
}

TEST_F(Http2Test, MalformedResponsesAreErrorsOfTheirStreamAlone) {
  using Fields = std::vector<std::pair<std::string, std::string>>;
  const Fields bad[] = {
      {{"connection", "close"}}, {{"transfer-encoding", "chunked"}}, {{"content-length", "3"}, {"content-length", "4"}},
      {{"x", "a\x01z"}},          {{":path", "/"}},
      {{"x y", "1"}},            {{"content-length", "+3"}},
  };
  for (const Fields& fields : bad) {
    Answer answer;
    auto request = Start(&answer);
    auto peer = AcceptHttp2();
    ASSERT_TRUE(Gets(*peer, 1));
    peer->Head(1, "200", fields);
    peer->Body(1, "abc", true);
    ASSERT_TRUE(Ends2(*peer, answer)) << fields[0].first;
    EXPECT_EQ(answer.errors, 1) << fields[0].first;
    EXPECT_EQ(answer.error, ErrorKind::kProtocol) << fields[0].first;
    pool_.reset();
  }
}

TEST_F(Http2Test, ABodyOfAnotherLengthThanAnnouncedIsAnError) {
  for (absl::string_view body : {"ab", "abcd"}) {
    Answer answer;
    auto request = Start(&answer);
    auto peer = AcceptHttp2();
    ASSERT_TRUE(Gets(*peer, 1));
    peer->Head(1, "200", {{"content-length", "3"}});
    peer->Body(1, body, true);
    ASSERT_TRUE(Ends2(*peer, answer));
    EXPECT_EQ(answer.errors, 1) << body;
    EXPECT_EQ(answer.error, ErrorKind::kProtocol);
    pool_.reset();
  }
}

TEST_F(Http2Test, EarlyHintsAreToldAndOtherInterimResponsesSkippedUpToABound) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "103", {{"link", "x"}});
  peer->Head(1, "200", {}, true);
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.hints, 1);
  EXPECT_FALSE(answer.fields.Has("link"));

  Answer flooded;
  auto r2 = Start(&flooded);
  ASSERT_TRUE(Gets(*peer, 3));
  for (int i = 0; i < 20; ++i) peer->Head(3, "102");
  ASSERT_TRUE(Ends2(*peer, flooded));
  EXPECT_EQ(flooded.error, ErrorKind::kProtocol);
}

TEST_F(Http2Test, AHeaderOverTheLimitIsAnErrorOfItsStream) {
  options_.max_response_head = 4096;
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "200", {{"x", std::string(5000, 'x')}}, true);
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_EQ(answer.error, ErrorKind::kProtocol);
  EXPECT_TRUE(absl::StrContains(answer.detail, "too large")) << answer.detail;
}

// A hostile upstream, frame by frame.
class HostileHttp2Test : public Http2Test {
 protected:
  static std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload) {
    std::string f;
    for (int shift : {16, 8, 0}) f.push_back(static_cast<char>(payload.size() >> shift));
    f.push_back(static_cast<char>(type));
    f.push_back(static_cast<char>(flags));
    for (int shift : {24, 16, 8, 0}) f.push_back(static_cast<char>(stream >> shift));
    return absl::StrCat(f, payload);
  }
  // The answer to a request when the upstream says `bytes`.
  void Hear(absl::string_view bytes, bool closes = true) {
    auto request = Start(&answer_);
    auto peer = Accept();
    ASSERT_TRUE(Receives(*peer, "PRI * HTTP/2.0"));
    std::string all = Frame(4, 0, 0, "");
    all.append(bytes.data(), bytes.size());
    absl::string_view rest = all;
    ASSERT_TRUE(Until([&] {
      if (!rest.empty()) rest.remove_prefix(peer->SendSome(rest.substr(0, 16384)));
      peer->received.clear();
      return !peer->Poll() || answer_.ended();
    }));
    ASSERT_TRUE(Ends(answer_));
    EXPECT_EQ(answer_.error, ErrorKind::kProtocol) << answer_.detail;
    if (closes) {
      EXPECT_EQ(pool_->stats().open_connections.value(), 0);
    }
  }
  static std::string Repeat(const std::string& frame, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += frame;
    return all;
  }
  Answer answer_;
};

TEST_F(HostileHttp2Test, FloodsOfPingEndTheConnection) { Hear(Repeat(Frame(6, 0, 0, "12345678"), 20000)); }
TEST_F(HostileHttp2Test, FloodsOfSettingsEndTheConnection) { Hear(Repeat(Frame(4, 0, 0, ""), 20000)); }
TEST_F(HostileHttp2Test, FloodsOfPriorityEndTheConnection) {
  Hear(Repeat(Frame(2, 0, 1, std::string("\0\0\0\0\1", 5)), 20000));
}
TEST_F(HostileHttp2Test, FloodsOfWindowUpdateEndTheConnection) {
  Hear(Repeat(Frame(8, 0, 0, std::string("\0\0\0\1", 4)), 200000));
}
TEST_F(HostileHttp2Test, FloodsOfEmptyDataEndTheConnection) {
  Hear(Frame(1, 4, 1, "\x88") + Repeat(Frame(0, 0, 1, ""), 20000));
}
TEST_F(HostileHttp2Test, AHeaderWithoutEndEndsTheConnection) {
  Hear(Frame(1, 0, 1, "\x88") + Repeat(Frame(9, 0, 1, std::string("\0\1x\1y", 5)), 200000));
}
TEST_F(HostileHttp2Test, APushOnItsRequestIsAnErrorOfTheRequest) {
  Hear(Frame(5, 4, 1, std::string("\0\0\0\2\x82", 5)) + Frame(5, 4, 1, std::string("\0\0\0\2\x82", 5)), /*closes=*/false);
}
TEST_F(HostileHttp2Test, DataOverTheWindowEndsTheConnectionOrItsStream) {
  answer_.on_head = [] {};
  Hear(Frame(1, 4, 1, "\x88") + Frame(0, 0, 1, std::string(20000, 'x')));  // over SETTINGS_MAX_FRAME_SIZE
}
TEST_F(HostileHttp2Test, AResponseOnAStreamThatNobodyOpenedEndsTheConnection) { Hear(Frame(1, 5, 9, "\x88")); }
TEST_F(HostileHttp2Test, GarbageEndsTheConnection) { Hear(std::string(100, '\xff')); }

TEST_F(Http2Test, ResponseAndIdleTimeoutsAreOfEachRequest) {
  Answer silent, stalled;
  auto r1 = Start(&silent), r2 = Start(&stalled);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 3));
  peer->Head(3, "200");
  peer->Body(3, "x", false);
  ASSERT_TRUE(Until2(*peer, [&] { return stalled.body == "x"; }));
  for (int i = 0; i < 8; ++i) {
    Pass(absl::Seconds(9));  // the upstream answers each PING
    for (int j = 0; j < 5; ++j) {
      Turn(2);
      peer->Work();
    }
    Turn();
  }
  EXPECT_EQ(silent.error, ErrorKind::kResponseTimeout);
  EXPECT_EQ(stalled.error, ErrorKind::kStalled);
  EXPECT_EQ(silent.errors + stalled.errors, 2);
}

TEST_F(Http2Test, ASilentUpstreamIsAskedAndThenGivenUp) {
  options_.ping_after = absl::Seconds(20);
  options_.ping_timeout = absl::Seconds(5);
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kChunked);  // no timeout runs while the caller may still send
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  Turn();
  Pass(absl::Seconds(21));
  ASSERT_TRUE(Until2(*peer, [&] { return peer->pings == 1; }));
  Turn();
  EXPECT_FALSE(answer.ended());
  Pass(absl::Seconds(10));  // the answer was heard: asked again
  ASSERT_TRUE(Until2(*peer, [&] { return peer->pings == 2; }));
  Pass(absl::Seconds(30));  // the second answer is not read by anybody
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kStalled);
  EXPECT_EQ(pool_->stats().open_connections.value(), 0);
}

TEST_F(Http2Test, AnUpstreamThatRefusesTheConnectionFailsAllThatWaitedForIt) {
  upstream_.StopListening();
  Answer a, b;
  auto r1 = Start(&a), r2 = Start(&b);
  ASSERT_TRUE(Ends(a));
  ASSERT_TRUE(Ends(b));
  EXPECT_EQ(a.error, ErrorKind::kConnectFailed);
  EXPECT_EQ(b.error, ErrorKind::kConnectFailed);
}

TEST_F(Http2Test, AnIdleConnectionSaysGoodbyeWhenItsTimeIsOver) {
  Answer warm;
  auto r = Start(&warm);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "204", {}, true);
  ASSERT_TRUE(Ends2(*peer, warm));
  Turn();
  Pass(absl::Seconds(61));
  ASSERT_TRUE(Closes(*peer));
  EXPECT_TRUE(peer->goaway);
}

TEST_F(Http2Test, AnotherProtocolIsAnotherPoolAndRunningRequestsGoOn) {
  Pools pools(&loop_);
  pools.Apply({options_});
  RequestHead head;
  head.method = "GET";
  head.target = "/x";
  head.authority = "a";
  Answer answer;
  auto request = pools.Find("app")->Start(head, &answer);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  options_.http2 = false;
  pools.Apply({options_});
  Answer next;
  auto second = pools.Find("app")->Start(head, &next);
  auto plain = Accept();
  ASSERT_TRUE(Receives(*plain, "GET /x HTTP/1.1"));
  peer->Head(1, "204", {}, true);
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_EQ(answer.completions, 1);
}

}  // namespace
}  // namespace gatehouse::upstream
