// Connections: reuse, limits, the queue, other endpoints, repeats, change of configuration.
#include "gateway/upstream/pools.h"
#include "gateway/upstream/upstream_fixture.h"

namespace gatehouse::upstream {
namespace {

constexpr char kOk[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

class PoolTest : public UpstreamFixture {
 protected:
  static loop::Address RefusedAddress() {
    FakeUpstream gone;
    loop::Address address = gone.address();
    return address;
  }
};

TEST_F(PoolTest, AConnectionIsKeptAndUsedAgain) {
  auto peer = Warm();
  for (int i = 0; i < 3; ++i) {
    Answer answer;
    auto request = Start(&answer);
    ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
    peer->received.clear();
    peer->Send(kOk);
    ASSERT_TRUE(Ends(answer));
    EXPECT_EQ(answer.body, "ok");
  }
  EXPECT_EQ(pool_->stats().connects.value(), 1);
  EXPECT_EQ(pool_->stats().reused.value(), 3);
  EXPECT_EQ(pool_->stats().requests.value(), 4);
}

TEST_F(PoolTest, TheNextRequestMayBeStartedInsideOnComplete) {
  Answer first, second;
  std::unique_ptr<Request> b;
  auto a = Start(&first);
  first.on_end = [&] {
    a.reset();
    b = Start(&second);
  };
  auto peer = AcceptRequest();
  peer->received.clear();
  peer->Send(kOk);
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Send(kOk);
  ASSERT_TRUE(Ends(second));
  EXPECT_EQ(pool_->stats().connects.value(), 1);
}

TEST_F(PoolTest, AConnectionThatSaysCloseIsNotUsedAgain) {
  for (const char* wire : {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                           "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"}) {
    Answer answer;
    auto request = Start(&answer);
    auto peer = AcceptRequest();
    peer->Send(wire);
    ASSERT_TRUE(Ends(answer));
    EXPECT_EQ(answer.completions, 1);
    EXPECT_TRUE(SeesClose(*peer)) << wire;
    EXPECT_EQ(pool_->stats().open_connections.value(), 0);
  }
}

TEST_F(PoolTest, OctetsAfterTheResponseSpoilTheConnection) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Send(absl::StrCat(kOk, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"));
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.body, "ok");
  EXPECT_EQ(answer.completions, 1);
  EXPECT_TRUE(SeesClose(*peer));
  EXPECT_EQ(pool_->stats().idle_connections.value(), 0);
}

TEST_F(PoolTest, OctetsThatNobodyAskedForCloseAnIdleConnection) {
  auto peer = Warm();
  peer->Send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
  ASSERT_TRUE(Until([&] { return pool_->stats().open_connections.value() == 0; }));
  EXPECT_EQ(pool_->stats().idle_connections.value(), 0);
}

TEST_F(PoolTest, AnIdleConnectionThatTheUpstreamClosesIsForgotten) {
  auto peer = Warm();
  peer->Close();
  ASSERT_TRUE(Until([&] { return pool_->stats().open_connections.value() == 0; }));
}

TEST_F(PoolTest, AnIdleConnectionIsClosedAfterItsTime) {
  auto peer = Warm();
  Pass(options_.keep_timeout - absl::Seconds(2));
  EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
  Pass(absl::Seconds(3));
  EXPECT_EQ(pool_->stats().idle_connections.value(), 0);
  EXPECT_TRUE(SeesClose(*peer));
}

TEST_F(PoolTest, AGetOnAKeptConnectionThatDiesIsRepeatedOnceOnANewOne) {
  auto old = Warm();
  Answer answer;
  auto request = Start(&answer);
  ASSERT_TRUE(Receives(*old, "\r\n\r\n"));
  old->Reset();
  auto fresh = AcceptRequest();
  EXPECT_EQ(fresh->received, "GET /x HTTP/1.1\r\nhost: app.test\r\n\r\n");
  fresh->Send(kOk);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_EQ(answer.body, "ok");
  EXPECT_EQ(pool_->stats().repeated.value(), 1);
}

TEST_F(PoolTest, ARepeatedRequestIsNotRepeatedAgain) {
  auto old = Warm();
  Answer answer;
  auto request = Start(&answer);
  ASSERT_TRUE(Receives(*old, "\r\n\r\n"));
  old->Close();
  auto fresh = AcceptRequest();
  fresh->Close();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  Turn();
  EXPECT_EQ(upstream_.TryAccept(), nullptr);
}

TEST_F(PoolTest, ANewConnectionThatDiesIsNotRepeated) {
  Answer answer;
  auto request = Start(&answer);
  auto peer = AcceptRequest();
  peer->Close();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
}

TEST_F(PoolTest, AGetWhoseResponseHasBegunIsNotRepeated) {
  auto peer = Warm();
  Answer answer;
  auto request = Start(&answer);
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Send("HTTP/1.1 2");
  Turn();
  peer->Close();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  EXPECT_EQ(pool_->stats().repeated.value(), 0);
}

TEST_F(PoolTest, APostIsNeverRepeated) {
  auto peer = Warm();
  Answer answer;
  auto request = Start(&answer, "POST");
  ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
  peer->Close();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
  Turn();
  EXPECT_EQ(upstream_.TryAccept(), nullptr);
}

TEST_F(PoolTest, APutWithABodyIsNotRepeated) {
  auto peer = Warm();
  Answer answer;
  auto request = Start(&answer, "PUT", Framing::kLength, 2);
  request->SendBody("ab", true);
  ASSERT_TRUE(Receives(*peer, "ab"));
  peer->Close();
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kReset);
}

TEST_F(PoolTest, APostIsNotRiskedOnAConnectionThatIsKnownToBeDead) {
  auto dead = Warm();
  dead->Close();  // the loop has not turned since: the pool believes that it lives
  ASSERT_EQ(pool_->stats().idle_connections.value(), 1);
  Answer answer;
  auto request = Start(&answer, "POST");
  auto fresh = AcceptRequest();
  fresh->Send(kOk);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
}

TEST_F(PoolTest, ARefusedConnectionTriesTheOtherEndpoints) {
  options_.endpoints = {Endpoint::Of(RefusedAddress()), Endpoint::Of(RefusedAddress()), Endpoint::Of(upstream_.address())};
  options_.retries.attempts = 3;
  for (int i = 0; i < 3; ++i) {
    Answer answer;
    auto request = Start(&answer, "POST", Framing::kLength, 2);
    request->SendBody("hi", true);
    auto peer = Accept();
    ASSERT_TRUE(Receives(*peer, "\r\n\r\nhi")) << "nothing was sent before, so a POST may go elsewhere too";
    peer->Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    ASSERT_TRUE(Ends(answer));
    EXPECT_EQ(answer.completions, 1) << answer.detail;
  }
  EXPECT_EQ(pool_->stats().connects.value(), 5) << "those that refused rest for a while";
}

TEST_F(PoolTest, WhenEveryEndpointRefusesTheLastCauseIsTold) {
  options_.endpoints = {Endpoint::Of(RefusedAddress()), Endpoint::Of(RefusedAddress())};
  Answer answer;
  auto request = Start(&answer);
  EXPECT_FALSE(answer.ended()) << "called back inside Start";
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.errors, 1);
  EXPECT_EQ(answer.error, ErrorKind::kConnectFailed);
  EXPECT_TRUE(absl::StrContains(answer.detail, "Connection refused")) << answer.detail;
  EXPECT_EQ(pool_->stats().connects.value(), 2);
  EXPECT_EQ(pool_->stats().errors[static_cast<size_t>(ErrorKind::kConnectFailed)].value(), 1);
  Turn();
  EXPECT_EQ(pool_->stats().open_connections.value(), 0);
}

TEST_F(PoolTest, NoConnectionInTimeIsATimeout) {
  // A listener whose queue is full drops further SYNs: such a connect hangs.
  loop::ListenOptions listen;
  listen.backlog = 0;
  listen.defer_accept = absl::ZeroDuration();
  auto full = *loop::ListenSocket::Open(*loop::Address::Parse("127.0.0.1:0"), listen);
  std::vector<loop::Fd> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    (void)connect(fillers.back().get(), full.address().addr(), full.address().length());
  }
  options_.endpoints = {Endpoint::Of(full.address())};
  Answer answer;
  auto request = Start(&answer);
  Turn();
  ASSERT_FALSE(answer.ended());
  Pass(options_.connect_timeout + absl::Seconds(1));
  EXPECT_EQ(answer.errors, 1);
  EXPECT_EQ(answer.error, ErrorKind::kConnectTimeout);
}

TEST_F(PoolTest, EndpointsAreAskedInTurn) {
  FakeUpstream other;
  options_.endpoints = {Endpoint::Of(upstream_.address()), Endpoint::Of(other.address())};
  int here = 0, there = 0;
  std::vector<std::unique_ptr<Peer>> peers;
  std::vector<std::unique_ptr<Request>> requests;
  Answer answers[6];
  for (Answer& answer : answers) requests.push_back(Start(&answer));
  ASSERT_TRUE(Until([&] {
    if (auto p = upstream_.TryAccept()) peers.push_back(std::move(p)), ++here;
    if (auto p = other.TryAccept()) peers.push_back(std::move(p)), ++there;
    return here + there == 6;
  }));
  EXPECT_EQ(here, 3);
  EXPECT_EQ(there, 3);
}

TEST_F(PoolTest, BeyondTheConnectionsRequestsWaitInOrderAndBeyondTheQueueTheyAreRefused) {
  options_.max_connections = 1;
  options_.max_pending = 2;
  Answer a, b, c, d;
  auto ra = Start(&a), rb = Start(&b), rc = Start(&c), rd = Start(&d);
  EXPECT_FALSE(d.ended()) << "called back inside Start";
  ASSERT_TRUE(Ends(d));
  EXPECT_EQ(d.error, ErrorKind::kOverloaded);
  EXPECT_EQ(pool_->stats().pending.value(), 2);
  auto peer = AcceptRequest();
  for (Answer* answer : {&a, &b, &c}) {
    ASSERT_TRUE(Receives(*peer, "\r\n\r\n"));
    peer->received.clear();
    peer->Send(kOk);
    ASSERT_TRUE(Ends(*answer));
    EXPECT_EQ(answer->completions, 1);
  }
  EXPECT_EQ(pool_->stats().connects.value(), 1);
  EXPECT_EQ(pool_->stats().pending.value(), 0);
}

TEST_F(PoolTest, WhoWaitsGetsTheNewConnectionThatTakesTheDeadOnesPlace) {
  options_.max_connections = 1;
  Answer a, b;
  auto ra = Start(&a), rb = Start(&b);
  auto peer = AcceptRequest();
  ra.reset();  // half-way: its connection is lost
  auto fresh = AcceptRequest();
  fresh->Send(kOk);
  ASSERT_TRUE(Ends(b));
  EXPECT_EQ(b.completions, 1);
}

TEST_F(PoolTest, ARequestThatWaitsTooLongIsRefusedAndACancelledOneLeavesTheQueue) {
  options_.max_connections = 1;
  Answer a, b, c;
  auto ra = Start(&a), rb = Start(&b), rc = Start(&c);
  auto peer = AcceptRequest();
  rb.reset();
  EXPECT_EQ(pool_->stats().pending.value(), 1);
  Pass(options_.queue_timeout + absl::Seconds(1));
  EXPECT_EQ(c.error, ErrorKind::kOverloaded);
  EXPECT_EQ(c.errors, 1);
  EXPECT_FALSE(b.ended());
  EXPECT_EQ(pool_->stats().pending.value(), 0);
  peer->Send(kOk);
  ASSERT_TRUE(Ends(a));
  EXPECT_EQ(a.completions, 1);
}

TEST_F(PoolTest, ABodyGivenWhileTheRequestWaitsIsSentLater) {
  options_.max_connections = 1;
  options_.send_buffer = 1000;
  Answer a, b;
  auto ra = Start(&a);
  auto rb = Start(&b, "POST", Framing::kLength, 4000);
  rb->SendBody(std::string(2000, 'q'), false);
  EXPECT_FALSE(rb->writable());
  auto peer = AcceptRequest();
  peer->received.clear();
  peer->Send(kOk);
  ASSERT_TRUE(Until([&] { return b.writables == 1; }));
  rb->SendBody(std::string(2000, 'q'), true);
  ASSERT_TRUE(Receives(*peer, std::string(4000, 'q')));
  peer->Send(kOk);
  ASSERT_TRUE(Ends(b));
}

TEST_F(PoolTest, ARequestCancelledWhileItConnectsLeavesAConnectionForTheNext) {
  Answer a, b;
  auto ra = Start(&a);
  ra.reset();
  ASSERT_TRUE(Until([&] { return pool_->stats().idle_connections.value() == 1; }));
  auto rb = Start(&b);
  auto peer = AcceptRequest();
  peer->Send(kOk);
  ASSERT_TRUE(Ends(b));
  EXPECT_EQ(pool_->stats().connects.value(), 1);
}

TEST_F(PoolTest, WithoutEndpointsEveryRequestIsRefused) {
  options_.endpoints.clear();
  Answer answer;
  auto request = Start(&answer);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.error, ErrorKind::kNoEndpoint);
}

TEST_F(PoolTest, AFailingRequestMayBeDestroyedBeforeItIsTold) {
  options_.endpoints.clear();
  Answer a, b;
  auto ra = Start(&a), rb = Start(&b);
  ra.reset();
  b.on_end = [&] { rb.reset(); };
  ASSERT_TRUE(Ends(b));
  EXPECT_FALSE(a.ended());
  EXPECT_EQ(pool_->running(), 0u);
}

TEST_F(PoolTest, AnUpdateLeavesRunningRequestsAndUsesTheNewEndpointsForOthers) {
  auto kept = Warm();
  Answer running;
  auto request = Start(&running);
  ASSERT_TRUE(Receives(*kept, "\r\n\r\n"));

  FakeUpstream other;
  UpstreamOptions changed = options_;
  changed.endpoints = {Endpoint::Of(other.address())};
  pool_->Update(changed);

  kept->Send(kOk);
  ASSERT_TRUE(Ends(running));
  EXPECT_EQ(running.completions, 1);
  EXPECT_TRUE(SeesClose(*kept)) << "its endpoint is gone";

  Answer next;
  auto second = Start(&next);
  std::unique_ptr<Peer> peer;
  ASSERT_TRUE(Until([&] { return (peer = other.TryAccept()) != nullptr; }));
  peer->Send(kOk);
  ASSERT_TRUE(Ends(next));
  EXPECT_EQ(next.completions, 1);
}

TEST_F(PoolTest, AnUpdateKeepsConnectionsToEndpointsThatStay) {
  auto kept = Warm();
  FakeUpstream other;
  UpstreamOptions changed = options_;
  changed.endpoints = {options_.endpoints[0], Endpoint::Of(other.address())};
  pool_->Update(changed);
  EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
}

TEST_F(PoolTest, RequestsThatOutliveThePoolEndSilently) {
  options_.max_connections = 1;
  Answer a, b;
  auto ra = Start(&a), rb = Start(&b);
  auto peer = AcceptRequest();
  pool_.reset();
  Turn();
  ra->SendBody("x", true);
  rb->PauseReading();
  ra.reset();
  rb.reset();
  EXPECT_FALSE(a.ended());
  EXPECT_FALSE(b.ended());
}

TEST_F(PoolTest, PoolsKeepWhatStaysAndRetireWhatIsGone) {
  Pools pools(&loop_);
  UpstreamOptions other = options_;
  other.name = "other";
  pools.Apply({options_, other});
  Pool* app = pools.Find("app");
  ASSERT_NE(app, nullptr);
  EXPECT_EQ(pools.Find("none"), nullptr);

  RequestHead head;
  head.method = "GET";
  head.target = "/x";
  Answer answer;
  auto request = app->Start(head, &answer);
  auto peer = AcceptRequest();
  Pool* kept = pools.Find("other");
  pools.Apply({other});  // app is gone, and carries a request
  EXPECT_EQ(pools.Find("app"), nullptr);
  EXPECT_EQ(pools.Find("other"), kept);
  EXPECT_EQ(pools.retired(), 1u);
  peer->Send(kOk);
  ASSERT_TRUE(Ends(answer));
  EXPECT_EQ(answer.completions, 1);
  EXPECT_TRUE(SeesClose(*peer)) << "a pool that is gone keeps no connection";
  pools.Apply({other});
  EXPECT_EQ(pools.retired(), 0u);
}

}  // namespace
}  // namespace gatehouse::upstream
