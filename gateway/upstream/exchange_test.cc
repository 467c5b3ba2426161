// One exchange: framing, streaming, back-pressure, and every way in which an upstream can misbehave.
#include "gateway/upstream/upstream_fixture.h"

namespace gatehouse::upstream {
namespace {

class ExchangeTest : public UpstreamFixture {
 protected:
  // Sends a GET, answers it with `wire` and closes.
  void AnswerAndClose(absl::string_view wire, Answer* answer) {
    auto request = Start(answer);
    auto peer = AcceptRequest();
    peer->Send(wire);
    peer->Close();
    EXPECT_TRUE(Ends(*answer)) << wire;
    Turn();
  }
};

TEST_F(ExchangeTest, ARequestGoesOutAndItsResponseComesBack) {
  Answer answer;
  auto request = Start(&answer);
  EXPECT_EQ(answer.ended(), false);
  auto peer = AcceptRequest();
  EXPECT_EQ(peer->received, "GET /x HTTP/1.1\r\nhost: app.test\r\n\r\n");
  peer->Send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.heads, 1);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.fields.Find("content-type"), absl::string_view("text/plain"));
  EXPECT_FALSE(answer.fields.Has("connection"));
  EXPECT_FALSE(answer.fields.Has("x-hop"));
  EXPECT_TRUE(request->done());
  EXPECT_EQ(pool_->running(), 0u);
}

TEST_F(ExchangeTest, AChunkedResponseIsStreamedAndItsTrailersFollow) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  ASSERT_TRUE(Until([&] { return answer.body == "abc"; }));
  EXPECT_FALSE(answer.ended());
  peer->Send("2\r\nde\r\n0\r\nX-Sum: 7\r\n\r\n");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.body, "abcde");
  EXPECT_EQ(answer.trailers.Find("x-sum"), absl::string_view("7"));
  EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
}

TEST_F(ExchangeTest, AResponseWithoutLengthEndsWithTheConnection) {
  Answer answer;
  AnswerAndClose("HTTP/1.1 200 OK\r\n\r\nuntil the end", &answer);
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.body, "until the end");
  EXPECT_EQ(pool_->stats().open_connections.value(), 0);
}

TEST_F(ExchangeTest, AResetDoesNotEndAResponseWithoutLength) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 200 OK\r\n\r\nhalf");
  ASSERT_TRUE(Until([&] { return answer.body == "half"; }));
  peer->Reset();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  EXPECT_EQ(answer.errors, 1);
}

TEST_F(ExchangeTest, EarlyHintsAreTold) {
  Answer answer;
  AnswerAndClose("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", &answer);
  EXPECT_EQ(answer.hints, 1);
  EXPECT_EQ(answer.status, 204);
}

TEST_F(ExchangeTest, OtherInterimResponsesAreSkipped) {
  Answer answer;
  AnswerAndClose("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", &answer);
  EXPECT_EQ(answer.hints, 0);
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.status, 204);
}

TEST_F(ExchangeTest, ResponsesToHeadHaveNoBody) {
  Answer answer;
  auto request = Start(&answer, "HEAD");
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
}

TEST_F(ExchangeTest, ABodyIsFramedByItsLength) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kLength, 10);
  request->SendBody("hello", false);
  auto peer = Accept();
  request->SendBody("world", true);
  ASSERT_TRUE(Receives(*peer, "\r\n\r\nhelloworld"));
  EXPECT_TRUE(absl::StrContains(peer->received, "content-length: 10\r\n"));
  peer->Send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.status, 201);
  EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
}

TEST_F(ExchangeTest, ABodyOfUnknownLengthIsChunked) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kChunked);
  auto peer = AcceptRequest();
  request->SendBody("hello", false);
  request->SendBody("", false);
  request->SendBody("", true);
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
  peer->Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(Ends(answer));
}

TEST_F(ExchangeTest, ABodyOfAnotherLengthThanDeclaredIsABadRequestAndSpoilsTheConnection) {
  for (absl::string_view body : {"four", "sixsix"}) {
    Answer answer;
    auto request = Start(&answer, "POST", Framing::kLength, 5);
    auto peer = AcceptRequest();
    request->SendBody(body, true);
    EXPECT_FALSE(answer.ended()) << "called back inside SendBody";
    ASSERT_TRUE(Ends(answer));
    EXPECT_EQ(answer.error, ErrorKind::kBadRequest);
    EXPECT_TRUE(SeesClose(*peer));
    EXPECT_EQ(pool_->stats().open_connections.value(), 0);
  }
}

TEST_F(ExchangeTest, AHeadThatWouldSmuggleIsRefusedAndNothingIsSent) {
  MakePool();
  Answer answer;
  RequestHead head;
  head.method = "GET";
  head.target = "/a HTTP/1.1\r\nx: y";
  auto request = pool_->Start(head, &answer);
  EXPECT_FALSE(answer.ended()) << "called back inside Start";
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kBadRequest);
  EXPECT_EQ(pool_->stats().connects.value(), 0);
}

TEST_F(ExchangeTest, WhatIsNotHttpIsAProtocolError) {
  for (absl::string_view wire :
       {"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200 OK\nx: y\n\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nx y: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    Answer answer;
    AnswerAndClose(wire, &answer);
    EXPECT_EQ(answer.errors, 1) << wire;
    EXPECT_EQ(answer.error, ErrorKind::kProtocol) << wire << ": " << answer.detail;
    EXPECT_TRUE(absl::StrContains(answer.detail, upstream_.address().ToString())) << answer.detail;
    EXPECT_EQ(pool_->stats().open_connections.value(), 0);
  }
}

TEST_F(ExchangeTest, AnEndlessHeadIsAProtocolError) {
  Answer answer;
  options_.max_response_head = 2048;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Send(absl::StrCat("HTTP/1.1 200 OK\r\nx: ", std::string(4096, 'x')));
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kProtocol);
}

TEST_F(ExchangeTest, ACloseBeforeTheEndIsAReset) {
  for (absl::string_view wire :
       {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"}) {
    Answer answer;
    AnswerAndClose(wire, &answer);
    EXPECT_EQ(answer.errors, 1) << wire;
    EXPECT_EQ(answer.completions, 0) << wire;
    EXPECT_EQ(answer.error, ErrorKind::kReset) << wire;
  }
}

TEST_F(ExchangeTest, AHalfCloseBeforeTheEndIsAReset) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  peer->HalfClose();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
}

TEST_F(ExchangeTest, AResetInsideTheBodyIsToldWithItsCause) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  ASSERT_TRUE(Until([&] { return answer.body == "half"; }));
  peer->Reset();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  EXPECT_TRUE(absl::StrContains(answer.detail, "reset by peer")) << answer.detail;
}

TEST_F(ExchangeTest, AnEarlyResponseIsDeliveredThoughTheBodyIsNotSent) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kLength, 1'000'000);
  request->SendBody(std::string(1000, 'x'), false);
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.body, "no");
  request->SendBody(std::string(1000, 'x'), false);  // nobody wants it, nothing happens
  EXPECT_TRUE(SeesClose(*peer)) << "a half-sent request's connection must not be used again";
  EXPECT_EQ(answer.errors, 0);
}

TEST_F(ExchangeTest, AResponseSentBeforeTheUpstreamStoppedReadingIsStillRead) {
  Answer answer;
  answer.on_head = [] {};
  auto request = Start(&answer, "POST", Framing::kChunked);
  auto peer = AcceptRequest();
  request->PauseReading();  // so that the answer waits in the kernel
  peer->Send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
  peer->Close();
  for (int i = 0; i < 10; ++i) {
    request->SendBody(std::string(5000, 'x'), false);  // the first is answered by a reset, the next fail
    Turn();
  }
  EXPECT_FALSE(answer.ended());
  EXPECT_TRUE(request->writable());
  request->ResumeReading();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1) << answer.detail;
  EXPECT_EQ(answer.status, 413);
}

TEST_F(ExchangeTest, AnUpstreamThatReadsSlowlyHoldsTheSenderBackWithBoundedMemory) {
  Answer answer;
  options_.send_buffer = 64 * 1024;
  auto request = Start(&answer, "POST", Framing::kChunked);
  auto peer = AcceptRequest();
  const std::string piece(16 * 1024, 'b');
  size_t sent = 0;
  // Fills the kernel's buffers and then ours, as fast as it may.
  auto fill = [&] {
    while (request->writable() && sent < 64u << 20) {
      request->SendBody(piece, false);
      sent += piece.size();
    }
  };
  answer.on_writable = fill;
  fill();
  Turn(500);
  answer.on_writable = nullptr;
  ASSERT_FALSE(request->writable());
  size_t stalled_at = sent;
  EXPECT_LT(stalled_at, 32u << 20);
  Turn(100);
  EXPECT_FALSE(request->writable()) << "nothing was read, so nothing may be asked for";

  int before = answer.writables;
  ASSERT_TRUE(Until([&] {
    peer->Poll();
    return answer.writables > before;
  }));
  EXPECT_TRUE(request->writable());
  request->SendBody("", true);
  ASSERT_TRUE(Receives(*peer, "\r\n0\r\n\r\n"));
  peer->Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_GT(peer->received.size(), sent);
}

TEST_F(ExchangeTest, APausedClientStopsTheUpstreamWithBoundedMemory) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  constexpr size_t kSize = 32u << 20;
  peer->Send(absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", kSize, "\r\n\r\n"));
  answer.on_body = [&] { request->PauseReading(); };
  const std::string piece(64 * 1024, 'z');
  size_t sent = 0;
  for (int idle = 0; idle < 50;) {
    size_t n = peer->SendSome(absl::string_view(piece).substr(0, std::min(piece.size(), kSize - sent)));
    sent += n;
    idle = n == 0 ? idle + 1 : 0;
    loop_.RunOnce(false);
  }
  EXPECT_LT(sent, kSize) << "the upstream was never stopped";
  EXPECT_LE(answer.body.size(), 32u * 1024);

  answer.on_body = nullptr;
  request->ResumeReading();
  ASSERT_TRUE(Until([&] {
    sent += peer->SendSome(absl::string_view(piece).substr(0, std::min(piece.size(), kSize - sent)));
    return answer.ended();
  }));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.body.size(), kSize);
}

TEST_F(ExchangeTest, APausedRequestDoesNotKeepTheLoopSpinning) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  request->PauseReading();
  peer->Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  Turn();
  bool rung = false;
  loop::Timer timer(&loop_, [&rung] { rung = true; });
  timer.Start(absl::Milliseconds(20));
  int turns = 0;
  while (!rung) {
    loop_.RunOnce(true);
    ++turns;
  }
  EXPECT_LT(turns, 20) << "octets that nobody reads wake the loop";
  EXPECT_EQ(answer.heads, 0);
}

TEST_F(ExchangeTest, BothBodiesMayRunAtOnce) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kChunked);
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 5; ++i) {
    request->SendBody("ping", false);
    ASSERT_TRUE(Receives(*peer, "4\r\nping\r\n"));
    peer->received.clear();
    peer->Send("4\r\npong\r\n");
    ASSERT_TRUE(Until([&] { return answer.body.size() == static_cast<size_t>(i + 1) * 4; }));
  }
  request->SendBody("", true);
  ASSERT_TRUE(Receives(*peer, "0\r\n\r\n"));
  peer->Send("0\r\n\r\n");
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
}

TEST_F(ExchangeTest, NoResponseInTimeIsATimeout) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  Turn();
  Pass(options_.response_timeout - absl::Seconds(2));
  EXPECT_FALSE(answer.ended());
  Pass(absl::Seconds(3));
  EXPECT_EQ(answer.error, ErrorKind::kResponseTimeout);
  EXPECT_EQ(answer.errors, 1);
  EXPECT_TRUE(SeesClose(*peer));
}

TEST_F(ExchangeTest, ABodyThatStopsIsStalledAndOneThatIsPausedIsNot) {
  Answer answer;
  options_.response_timeout = absl::Seconds(10);
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  ASSERT_TRUE(Until([&] { return answer.body == "half"; }));
  Pass(absl::Seconds(20));  // more than the head may take
  EXPECT_FALSE(answer.ended());
  request->PauseReading();
  Pass(options_.stall_timeout * 2);  // the client is slow, not the upstream
  EXPECT_FALSE(answer.ended());
  request->ResumeReading();
  Turn();
  Pass(options_.stall_timeout + absl::Seconds(2));
  ASSERT_TRUE(answer.ended());
  EXPECT_EQ(answer.error, ErrorKind::kStalled);
}

TEST_F(ExchangeTest, ASlowClientIsNotTheUpstreamsTimeout) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kLength, 4);
  auto peer = AcceptRequest();
  Turn();
  Pass(options_.response_timeout * 2);
  EXPECT_FALSE(answer.ended());
  request->SendBody("body", true);
  ASSERT_TRUE(Receives(*peer, "body"));
  Pass(options_.response_timeout * 2);
  EXPECT_EQ(answer.error, ErrorKind::kResponseTimeout);
}

TEST_F(ExchangeTest, AnUpstreamThatDoesNotTakeTheBodyIsStalled) {
  Answer answer;
  auto request = Start(&answer, "POST", Framing::kChunked);
  auto peer = AcceptRequest();
  request->SendBody(std::string(32u << 20, 'x'), true);
  Turn(100);
  Pass(options_.stall_timeout + absl::Seconds(2));
  ASSERT_TRUE(answer.ended());
  EXPECT_EQ(answer.error, ErrorKind::kStalled);
}

TEST_F(ExchangeTest, ACancelledRequestCallsNothingBackAndItsConnectionIsClosed) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  request.reset();
  EXPECT_EQ(pool_->running(), 0u);
  EXPECT_TRUE(SeesClose(*peer));
  EXPECT_FALSE(answer.ended());
  EXPECT_EQ(answer.heads, 0);
}

TEST_F(ExchangeTest, ARequestMayBeDestroyedInsideAnyOfItsCallbacks) {
  for (int which = 0; which < 4; ++which) {
    Answer answer;
    auto request = Start(&answer);
    auto destroy = [&request] { request.reset(); };
    if (which == 0) answer.on_head = destroy;
    if (which == 1) answer.on_body = destroy;
    if (which >= 2) answer.on_end = destroy;
    auto peer = AcceptRequest();
    peer->Send(which == 3 ? "garbage\r\n\r\n"
                          : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\nx: y\r\n\r\n");
    ASSERT_TRUE(Until([&] { return request == nullptr; })) << which;
    Turn();
    EXPECT_EQ(answer.ended(), which >= 2) << which;
    EXPECT_EQ(pool_->running(), 0u);
    pool_->CloseIdle();
  }
}

TEST_F(ExchangeTest, ARequestMayBeDestroyedInsideOnWritable) {
  Answer answer;
  options_.send_buffer = 1024;
  auto request = Start(&answer, "POST", Framing::kChunked);
  answer.on_writable = [&] { request.reset(); };
  request->SendBody(std::string(5000, 'x'), false);
  EXPECT_FALSE(request->writable());
  auto peer = Accept();
  ASSERT_TRUE(Until([&] { return request == nullptr; }));
  EXPECT_TRUE(SeesClose(*peer));
  EXPECT_FALSE(answer.ended());
}


constexpr absl::string_view kSwitched = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nx-a: 1\r\n\r\n";

class UpgradeTest : public ExchangeTest {
 protected:
  void Switch(absl::string_view more = "") {
    request_ = Start(&answer_, "GET", Framing::kUpgrade);
    peer_ = AcceptRequest();
    peer_->Send(absl::StrCat(kSwitched, more));
    ASSERT_TRUE(Until([&] { return answer_.heads == 1; }));
  }
  Answer answer_;
  std::unique_ptr<Request> request_;
  std::unique_ptr<Peer> peer_;
};

TEST_F(UpgradeTest, BytesGoBothWaysAfterASwitch) {
  Switch("early");
  EXPECT_EQ(peer_->received, "GET /x HTTP/1.1\r\nhost: app.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
  EXPECT_EQ(answer_.status, 101);
  EXPECT_FALSE(answer_.fields.Has("upgrade"));
  ASSERT_TRUE(Until([&] { return answer_.body == "early"; }));
  request_->SendBody("0\r\n\r\nhello", false);
  ASSERT_TRUE(Receives(*peer_, "\r\n\r\n0\r\n\r\nhello"));
  peer_->Send("HTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(Until([&] { return answer_.body == "earlyHTTP/1.1 200 OK\r\n\r\n"; }));
  EXPECT_FALSE(answer_.ended());
}

TEST_F(UpgradeTest, IsCompleteWhenBothSidesHaveEndedTheirs) {
  Switch();
  request_->SendBody("bye", true);
  ASSERT_TRUE(Receives(*peer_, "bye"));
  ASSERT_TRUE(SeesClose(*peer_)) << "ours is ended";
  EXPECT_FALSE(answer_.ended());
  peer_->Send("and bye");
  peer_->Close();
  ASSERT_TRUE(Ends(answer_));
  EXPECT_EQ(answer_.completions, 1);
  EXPECT_EQ(answer_.body, "and bye");
  EXPECT_EQ(pool_->stats().open_connections.value(), 0);
}

TEST_F(UpgradeTest, TheUpstreamMayEndFirst) {
  Switch();
  peer_->HalfClose();
  ASSERT_TRUE(Until([&] { return answer_.half_closes == 1; }));
  EXPECT_FALSE(answer_.ended());
  request_->SendBody("last", true);
  ASSERT_TRUE(Receives(*peer_, "last"));
  ASSERT_TRUE(Ends(answer_));
  EXPECT_EQ(answer_.completions, 1);
}

TEST_F(UpgradeTest, WhatWasSentLastGoesOutThoughTheRequestIsGone) {
  Switch();
  peer_->HalfClose();
  ASSERT_TRUE(Until([&] { return answer_.half_closes == 1; }));
  const std::string much(8 << 20, 'x');
  request_->SendBody(much, true);
  Turn(3);
  request_.reset();
  size_t got = 0;
  ASSERT_TRUE(Until([&] {
    bool open = peer_->Poll();
    got += peer_->received.size();
    peer_->received.clear();
    return !open;
  }));
  EXPECT_GE(got, much.size());
  EXPECT_TRUE(Until([&] { return pool_->stats().open_connections.value() == 0; }));
}

TEST_F(UpgradeTest, AResetIsAnErrorAndNoEnd) {
  Switch();
  peer_->Reset();
  ASSERT_TRUE(Ends(answer_));
  EXPECT_EQ(answer_.errors, 1);
  EXPECT_EQ(answer_.error, ErrorKind::kReset);
}

TEST_F(UpgradeTest, EndsWhenNothingGoesEitherWay) {
  Switch();
  Pass(options_.stall_timeout / 2);
  EXPECT_FALSE(answer_.ended());
  Pass(options_.stall_timeout);
  ASSERT_TRUE(Ends(answer_));
  EXPECT_EQ(answer_.error, ErrorKind::kStalled);
}

TEST_F(UpgradeTest, AnAnswerThatDoesNotComeIsAwaitedAsLongAsAnyOther) {
  request_ = Start(&answer_, "GET", Framing::kUpgrade);
  peer_ = AcceptRequest();
  Pass(options_.response_timeout + absl::Seconds(2));
  ASSERT_TRUE(Ends(answer_));
  EXPECT_EQ(answer_.error, ErrorKind::kResponseTimeout);
}

TEST_F(UpgradeTest, AnOrdinaryAnswerIsOneAndItsConnectionIsNotUsedAgain) {
  request_ = Start(&answer_, "GET", Framing::kUpgrade);
  peer_ = AcceptRequest();
  peer_->Send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  ASSERT_TRUE(Ends(answer_));
  EXPECT_EQ(answer_.completions, 1);
  EXPECT_EQ(answer_.status, 403);
  EXPECT_EQ(answer_.body, "no");
  EXPECT_EQ(pool_->stats().idle_connections.value(), 0);
  EXPECT_TRUE(SeesClose(*peer_));
}

TEST_F(UpgradeTest, ASwitchThatNobodyAskedForIsAnError) {
  request_ = Start(&answer_);
  peer_ = AcceptRequest();
  peer_->Send(kSwitched);
  ASSERT_TRUE(Ends(answer_));
  EXPECT_EQ(answer_.error, ErrorKind::kProtocol);
}

TEST_F(ExchangeTest, AResetWithinABodyWithoutLengthIsNoEndOfIt) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Send("HTTP/1.1 200 OK\r\n\r\nhalf");
  ASSERT_TRUE(Until([&] { return answer.body == "half"; }));
  peer->Reset();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.errors, 1);
  EXPECT_EQ(answer.error, ErrorKind::kReset);
}

}  // namespace
}  // namespace gatehouse::upstream
