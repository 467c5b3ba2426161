// What an endpoint, or a client, can do at the worst moment: octets that nobody asked for, ends within a read, blame where none is due.
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "gateway/upstream/health_checker.h"
#include "gateway/upstream/http2_fixture.h"
#include "gateway/upstream/pool.h"

namespace gatehouse::upstream {
namespace {

class FaultsTest : public UpstreamFixture {
 protected:
  ~FaultsTest() override { pool_.reset(); }
};

// Octets lie behind an answer that ended exactly with the read buffer (32 KiB). The next request, here a POST that waited,
// is given them as its answer.
TEST_F(FaultsTest, OctetsBehindAnAnswerThatFilledTheReadBufferAreNotTheNextRequestsAnswer) {
  options_.max_connections = 1;
  Answer first, second;
  auto a = Start(&first, "GET");
  auto peer = AcceptRequest();
  auto b = Start(&second, "POST", Framing::kNoBody);  // waits
  std::string head = "HTTP/1.1 200 OK\r\ncontent-length: ";
  std::string answer;
  for (size_t body = 32600; body < 32768; ++body) {
    answer = absl::StrCat(head, body, "\r\n\r\n", std::string(body, 'a'));
    if (answer.size() == 32768) break;
  }
  ASSERT_EQ(answer.size(), 32768u);
  peer->Send(absl::StrCat(answer, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"));
  ASSERT_TRUE(Ends(first));
  EXPECT_EQ(first.completions, 1);
  Turn();
  EXPECT_NE(second.body, "evil") << "a POST was answered with what had come before it was sent";
}

// A POST is given the connection of an answer that was just read, and the upstream breaks it off before it is sent.
TEST_F(FaultsTest, ARequestOfWhichNothingCouldBeSentGoesElsewhere) {
  options_.max_connections = 1;
  Answer first, second;
  auto a = Start(&first, "GET");
  auto peer = AcceptRequest();
  auto b = Start(&second, "POST", Framing::kLength, 3);  // waits
  b->SendBody("abc", true);
  first.on_end = [&] { peer->Reset(); };
  peer->Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  ASSERT_TRUE(Ends(first));
  auto other = Accept();
  ASSERT_TRUE(other != nullptr && Receives(*other, "\r\n\r\nabc"));
  other->Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  ASSERT_TRUE(Ends(second));
  EXPECT_EQ(second.status, 200) << second.detail;
}

// Nothing of the request had been sent when octets came: both the client and the upstream spoke in one turn of the loop.
class UnaskedOctetsTest : public FaultsTest, public testing::WithParamInterface<bool> {};
TEST_P(UnaskedOctetsTest, OctetsThatCameBeforeTheRequestWasSentAreNotItsAnswer) {
  const bool client_first = GetParam();
  auto peer = Warm();
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  Answer answer;
  std::unique_ptr<Request> request;
  std::string seen_by_peer = "?";
  loop::Watch client(&loop_, fds[0], [&](bool, bool) {
    char c;
    if (recv(fds[0], &c, 1, 0) == 1) request = Start(&answer, "GET");
  });
  client.Set(true, false);
  answer.on_head = [&] {
    peer->Poll();
    seen_by_peer = peer->received;
  };
  Turn(3);
  if (client_first) (void)!send(fds[1], "x", 1, 0);
  peer->Send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
  if (!client_first) (void)!send(fds[1], "x", 1, 0);
  Turn();
  ASSERT_NE(request, nullptr);
  EXPECT_FALSE(answer.body == "evil") << "answered; of the request the upstream had seen: '" << seen_by_peer << "'";
  client.Set(false, false);
  request.reset();
  close(fds[0]);
  close(fds[1]);
}
INSTANTIATE_TEST_SUITE_P(All, UnaskedOctetsTest, testing::Bool());

// A WebSocket that nobody spoke on is no failure of its endpoint.
class BlameTest : public UpstreamFixture {
 protected:
  ~BlameTest() override { pool_.reset(); }
  void Have(size_t n) {
    options_.endpoints.clear();
    for (size_t i = 0; i < n; ++i) {
      places_.push_back(std::make_unique<FakeUpstream>());
      options_.endpoints.push_back(Endpoint::Of(places_[i]->address()));
    }
  }
  std::unique_ptr<Peer> AcceptAnywhere() {
    std::unique_ptr<Peer> peer;
    EXPECT_TRUE(Until([&] {
      for (auto& place : places_) {
        if ((peer = place->TryAccept()) != nullptr) return true;
      }
      return false;
    }));
    return peer;
  }
  std::vector<std::unique_ptr<FakeUpstream>> places_;
};

TEST_F(BlameTest, IdleWebSocketsEjectNoEndpoint) {
  Have(2);
  std::vector<std::unique_ptr<Answer>> answers;
  std::vector<std::unique_ptr<Request>> requests;
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back(std::make_unique<Answer>());
    requests.push_back(Start(answers.back().get(), "GET", Framing::kUpgrade));
    peers.push_back(AcceptAnywhere());
    ASSERT_TRUE(Receives(*peers.back(), "\r\n\r\n"));
    peers.back()->Send("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n");
    ASSERT_TRUE(Until([&] { return answers.back()->heads == 1; }));
  }
  Pass(options_.stall_timeout + absl::Seconds(2));
  ASSERT_TRUE(Until([&] {
    return std::all_of(answers.begin(), answers.end(), [](const auto& answer) { return answer->ended(); });
  }));
  EXPECT_EQ(pool_->stats().failures.value(), 0);
  EXPECT_EQ(pool_->stats().ejections.value(), 0);
}

// A client that does not read its answers, and goes on sending, is no failure of the endpoint.
TEST_F(BlameTest, ClientsThatDoNotReadEjectNoEndpoint) {
  Have(2);
  std::vector<std::unique_ptr<Answer>> answers;
  std::vector<std::unique_ptr<Request>> requests;
  std::vector<std::unique_ptr<Peer>> peers;
  const std::string piece(64 * 1024, 'x');
  for (int i = 0; i < 10; ++i) {
    answers.push_back(std::make_unique<Answer>());
    requests.push_back(Start(answers.back().get(), "POST", Framing::kChunked));
    peers.push_back(AcceptAnywhere());
    ASSERT_TRUE(Receives(*peers.back(), "\r\n\r\n"));
    peers.back()->Send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    ASSERT_TRUE(Until([&] { return answers.back()->heads == 1; }));
    requests.back()->PauseReading();  // its client does not read
    // An upstream that echoes: as its answer is not read, it reads no more.
    for (int n = 0; n < 200 && requests.back()->writable(); ++n) {
      requests.back()->SendBody(piece, false);
      Turn(2);
    }
    ASSERT_FALSE(requests.back()->writable());
  }
  Pass(options_.stall_timeout + absl::Seconds(2));
  Turn();
  EXPECT_EQ(pool_->stats().ejections.value(), 0);
}

class Http2FaultsTest : public Http2Fixture {
 protected:
  ~Http2FaultsTest() override { pool_.reset(); }
  std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload) {
    std::string f;
    f.push_back(static_cast<char>(payload.size() >> 16));
    f.push_back(static_cast<char>(payload.size() >> 8));
    f.push_back(static_cast<char>(payload.size()));
    f.push_back(static_cast<char>(type));
    f.push_back(static_cast<char>(flags));
    for (int s = 24; s >= 0; s -= 8) f.push_back(static_cast<char>(stream >> s));
    f.append(payload.data(), payload.size());
    return f;
  }
};

// The upstream refuses a POST unseen, floods, and ends: the retry closes the connection within the very read that is then
// found to be broken, and the connection is reported closed twice: the second time it is another one that goes.
TEST_F(Http2FaultsTest, AConnectionThatWasClosedWithinItsReadIsNotClosedAgain) {
  Answer answer;
  auto request = Start(&answer, "POST");
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  Turn();
  peer->Reset(1, NGHTTP2_REFUSED_STREAM);
  peer->Work();
  std::string flood;
  for (int i = 0; i < 3000; ++i) flood += Frame(4, 0, 0, "");
  peer->peer().Send(flood);
  peer->peer().HalfClose();
  auto second = AcceptHttp2();  // where it is tried again
  ASSERT_TRUE(second != nullptr);
  EXPECT_EQ(pool_->stats().open_connections.value(), 1);
  ASSERT_TRUE(Gets(*second, 1));
  second->Head(1, "200", {}, true);
  ASSERT_TRUE(Ends2(*second, answer));
  EXPECT_EQ(answer.status, 200);
}

// The same without a flood: nothing is produced within nghttp2's own work.
TEST_F(Http2FaultsTest, TheRetryOfARefusedRequestDoesNotProduceWithinReceive) {
  Answer answer;
  auto request = Start(&answer, "POST");
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  Turn();
  peer->Reset(1, NGHTTP2_REFUSED_STREAM);
  peer->Work();
  peer->peer().HalfClose();
  auto second = AcceptHttp2();
  ASSERT_TRUE(second != nullptr);
  ASSERT_TRUE(Gets(*second, 1));
  second->Head(1, "200", {}, true);
  ASSERT_TRUE(Ends2(*second, answer));
  EXPECT_EQ(answer.status, 200);
}

// An early answer and the end of the connection; the handler starts another request in OnComplete, as it may.
TEST_F(Http2FaultsTest, ARequestStartedInOnCompleteClosesNoConnectionWithinItsRead) {
  Answer answer, next;
  auto request = Start(&answer, "POST", Framing::kChunked);
  request->SendBody("begun", false);
  std::unique_ptr<Request> other;
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  Turn();
  answer.on_end = [&] { other = Start(&next, "POST"); };
  peer->Head(1, "413", {}, /*end=*/true);
  peer->Work();
  peer->peer().HalfClose();
  ASSERT_TRUE(Ends(answer));
  auto second = AcceptHttp2();
  ASSERT_TRUE(second != nullptr);
  ASSERT_TRUE(Gets(*second, 1));
  second->Head(1, "200", {}, true);
  ASSERT_TRUE(Ends2(*second, next));
}

// GOAWAY, or the end, came in the turn in which a request took the idle connection: nothing of it was sent.
class GoodbyeTest : public Http2FaultsTest, public testing::WithParamInterface<std::tuple<const char*, bool, bool>> {};
TEST_P(GoodbyeTest, ARequestThatWasNotSentWhenTheUpstreamSaidGoodbyeGoesElsewhere) {
  const auto [method, client_first, reset] = GetParam();
  std::unique_ptr<Http2Peer> peer;
  {
    Answer warm;
    auto request = Start(&warm, "GET");
    peer = AcceptHttp2();
    ASSERT_TRUE(Gets(*peer, 1));
    peer->Head(1, "200", {}, true);
    ASSERT_TRUE(Ends2(*peer, warm));
    for (int i = 0; i < 5; ++i) {
      peer->Work();
      Turn(3);
    }
  }
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  Answer answer;
  std::unique_ptr<Request> request;
  loop::Watch client(&loop_, fds[0], [&](bool, bool) {
    char c;
    if (recv(fds[0], &c, 1, 0) == 1) request = Start(&answer, method);
  });
  client.Set(true, false);
  Turn(3);
  if (client_first) (void)!send(fds[1], "x", 1, 0);
  if (reset) {
    peer->peer().Reset();
  } else {
    peer->GoAway(1);
    peer->Work();
  }
  if (!client_first) (void)!send(fds[1], "x", 1, 0);
  Turn();
  ASSERT_NE(request, nullptr);
  std::unique_ptr<Http2Peer> second;
  ASSERT_TRUE(Until([&] {
    if (auto raw = upstream_.TryAccept()) second = std::make_unique<Http2Peer>(std::move(raw));
    return second != nullptr || answer.ended();
  }));
  EXPECT_EQ(answer.errors, 0) << ErrorKindName(answer.error) << ": " << answer.detail
                              << "; the upstream saw " << peer->streams.size() << " requests";
  client.Set(false, false);
  if (second != nullptr) {
    ASSERT_TRUE(Gets(*second, 1));
    second->Head(1, "200", {}, true);
    ASSERT_TRUE(Ends2(*second, answer));
    EXPECT_EQ(answer.status, 200);
  }
  request.reset();
  close(fds[0]);
  close(fds[1]);
}
INSTANTIATE_TEST_SUITE_P(All, GoodbyeTest,
                         testing::Combine(testing::Values("GET", "POST"), testing::Bool(), testing::Bool()));

// A request that fails later, when its endpoint has gone and its connection with it.
TEST_F(Http2FaultsTest, ARequestThatFailsLaterOutlivesItsEndpoint) {
  Answer answer;
  auto request = Start(&answer, "GET", Framing::kUpgrade);
  auto raw = Accept();
  auto peer = std::make_unique<Http2Peer>(std::move(raw), 100, true, /*connect=*/false);
  Turn();
  FakeUpstream elsewhere;
  UpstreamOptions options = options_;
  options.endpoints = {Endpoint::Of(elsewhere.address())};
  options_.endpoints.clear();
  pool_->Update(options);
  ASSERT_TRUE(Ends2(*peer, answer));
  EXPECT_EQ(answer.error, ErrorKind::kProtocol);
}

// No handler starts anything: a bad answer ejects its endpoint, and its retry makes room by closing the connection, within the
// read in which nghttp2 still works on the stream.
TEST_F(Http2FaultsTest, TheRetryOfABadAnswerClosesNoConnectionWithinItsRead) {
  FakeUpstream other;
  options_.endpoints = {Endpoint::Of(upstream_.address()), Endpoint::Of(other.address())};
  options_.max_connections = 1;
  options_.max_response_head = 1000;
  options_.retries = {.attempts = 2, .idempotent = true, .budget_percent = 20};
  options_.ejection.consecutive_failures = 1;
  Answer answer;
  auto request = Start(&answer, "GET");
  std::unique_ptr<Http2Peer> peer;
  FakeUpstream* second_place = nullptr;
  ASSERT_TRUE(Until([&] {
    for (FakeUpstream* place : {&upstream_, &other}) {
      auto accepted = peer == nullptr ? place->TryAccept() : nullptr;
      if (accepted == nullptr) continue;
      peer = std::make_unique<Http2Peer>(std::move(accepted));
      second_place = place == &upstream_ ? &other : &upstream_;
    }
    return peer != nullptr;
  }));
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "200", {{"x-large", std::string(2000, 'x')}}, /*end=*/true);
  peer->Work();
  std::unique_ptr<Http2Peer> second;
  ASSERT_TRUE(Until([&] {
    if (auto p = second_place->TryAccept()) second = std::make_unique<Http2Peer>(std::move(p));
    return second != nullptr;
  }));
  ASSERT_TRUE(Gets(*second, 1));
  second->Head(1, "200", {}, true);
  ASSERT_TRUE(Ends2(*second, answer));
  EXPECT_EQ(answer.status, 200);
}

// Two refused at a time must not keep a third out once nothing runs any more.
TEST_F(FaultsTest, ARequestThatWasRefusedOverTheLimitDoesNotCountAgainstIt) {
  options_.max_requests = 1;
  Answer a, b, c;
  auto first = Start(&a);
  auto second = Start(&b);  // refused, told at the end of the turn
  first.reset();
  auto third = Start(&c);
  Turn();
  EXPECT_EQ(b.errors, 1);
  EXPECT_EQ(c.errors, 0) << c.detail;
}

// One connection that breaks is one failure.
TEST_F(Http2FaultsTest, OneBrokenConnectionIsOneFailure) {
  FakeUpstream other;
  options_.endpoints = {Endpoint::Of(upstream_.address()), Endpoint::Of(other.address())};
  options_.endpoints[1]->SetHealthy(false, "for now");
  std::vector<std::unique_ptr<Answer>> answers;
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 5; ++i) {
    answers.push_back(std::make_unique<Answer>());
    requests.push_back(Start(answers.back().get(), "POST"));
  }
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 9));
  options_.endpoints[1]->SetHealthy(true, "well");
  peer->peer().Reset();
  ASSERT_TRUE(Until([&] { return answers[0]->ended() && answers[4]->ended(); }));
  EXPECT_EQ(pool_->stats().ejections.value(), 0);
}

// "Each question has a connection of its own: an endpoint that takes none is not well."
TEST_F(Http2FaultsTest, EachHealthCheckOverHttp2HasAConnectionOfItsOwn) {
  auto endpoint = Endpoint::Of(upstream_.address());
  HealthCheckOptions check;
  check.interval = absl::Milliseconds(20);
  check.timeout = absl::Seconds(2);
  auto checker = std::make_unique<HealthChecker>(&loop_, endpoint, check, options_);
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "200", {}, true);
  std::unique_ptr<Peer> second;
  EXPECT_TRUE(Until2(*peer, [&] {
    return (second = upstream_.TryAccept()) != nullptr || peer->streams.contains(3);
  }));
  EXPECT_NE(second, nullptr) << "the second question came on the first one's connection";
  checker.reset();
  Turn();
}

// What it was asked before says nothing about what it is asked now.
TEST_F(FaultsTest, TheAnswerToTheQuestionBeforeSaysNothing) {
  EndpointRef endpoint = Endpoint::Of(upstream_.address());
  HealthCheckOptions options;
  options.path = "/old";
  HealthChecker checker(&loop_, endpoint, options, options_);
  auto peer = AcceptRequest();
  ASSERT_NE(peer, nullptr);
  ASSERT_TRUE(absl::StrContains(peer->received, "GET /old"));
  options.path = "/new";  // the old path is known to be gone
  checker.Update(options, options_);
  peer->Send("HTTP/1.1 404 Gone\r\ncontent-length: 0\r\n\r\n");
  Turn(50);
  EXPECT_TRUE(endpoint->healthy()) << "/new was not asked yet: " << endpoint->report().detail;
}

// "What cannot be repeated is not risked on a connection that is known to be dead": but one that waited is.
TEST_F(FaultsTest, APostThatWaitedIsNotRiskedOnAConnectionThatHasEnded) {
  options_.max_connections = 1;
  Answer first, second;
  auto a = Start(&first, "GET");
  auto peer = AcceptRequest();
  auto b = Start(&second, "POST", Framing::kNoBody);  // waits
  peer->Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  peer->Close();  // without a word; both are here when the answer is read
  ASSERT_TRUE(Ends(first));
  EXPECT_EQ(first.completions, 1);
  std::unique_ptr<Peer> next;
  EXPECT_TRUE(Until([&] { return second.ended() || (next = upstream_.TryAccept()) != nullptr; }));
  EXPECT_FALSE(second.ended()) << "lost: " << second.detail;
  b.reset();
  a.reset();
  pool_.reset();
}

// Requests that a kept HTTP/2 connection lost are repeated, however many: the one that is opened for the last carries them all.
TEST_F(Http2FaultsTest, AllThatAKeptConnectionLostIsRepeated) {
  options_.max_connections = 1;
  options_.max_pending = 2;
  Answer warm;
  auto w = Start(&warm, "GET");
  auto peer = AcceptHttp2();
  ASSERT_TRUE(Gets(*peer, 1));
  peer->Head(1, "200", {}, true);
  ASSERT_TRUE(Ends2(*peer, warm));
  std::vector<std::unique_ptr<Answer>> answers;
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 6; ++i) {
    answers.push_back(std::make_unique<Answer>());
    requests.push_back(Start(answers.back().get(), "GET"));
  }
  ASSERT_TRUE(Gets(*peer, 13));
  peer->peer().Reset();
  Turn(50);
  int failed = 0;
  for (auto& a : answers) failed += a->errors;
  EXPECT_EQ(failed, 0) << answers[5]->detail << answers[4]->detail << answers[3]->detail << answers[1]->detail;
  requests.clear();
  w.reset();
  pool_.reset();
}

}  // namespace
}  // namespace gatehouse::upstream
