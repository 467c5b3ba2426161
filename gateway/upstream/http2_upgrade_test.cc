// WebSocket to HTTP/2 upstreams: an extended CONNECT (RFC 8441), its two directions and their ends.
#include "gateway/upstream/http2_fixture.h"

namespace gatehouse::upstream {
namespace {

class Http2UpgradeTest : public Http2Fixture {
 protected:
  void Ask(bool connect = true) {
    request_ = Start(&answer_, "GET", Framing::kUpgrade);
    auto raw = Accept();
    ASSERT_NE(raw, nullptr);
    peer_ = std::make_unique<Http2Peer>(std::move(raw), 100, true, connect);
  }
  void Switch() {
    Ask();
    ASSERT_TRUE(Gets(*peer_, 1));
    peer_->Head(1, "200", {{"x-a", "1"}, {"sec-websocket-protocol", "chat"}});
    ASSERT_TRUE(Until2(*peer_, [&] { return answer_.heads == 1; }));
  }
  Http2Peer::Stream& stream() { return (*peer_)[1]; }

  Answer answer_;
  std::unique_ptr<Request> request_;
  std::unique_ptr<Http2Peer> peer_;
};

TEST_F(Http2UpgradeTest, IsAnExtendedConnectAndBytesGoBothWays) {
  Switch();
  const std::map<std::string, std::string> expected = {
      {":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "app.test"}, {":path", "/x"}};
  EXPECT_EQ(stream().fields, expected);
  EXPECT_EQ(answer_.status, 101);
  EXPECT_EQ(answer_.fields.Find("x-a"), absl::string_view("1"));
  peer_->Body(1, "early", false);
  request_->SendBody("hello", false);
  ASSERT_TRUE(Until2(*peer_, [&] { return answer_.body == "early" && stream().body == "hello"; }));
  EXPECT_FALSE(answer_.ended());
  EXPECT_FALSE(peer_->broken);
}

TEST_F(Http2UpgradeTest, IsNotAskedBeforeTheUpstreamHasSaidThatItMay) {
  Ask();
  Turn();
  peer_->peer().Poll();
  EXPECT_FALSE(absl::StrContains(peer_->peer().received, "websocket")) << "the preface and SETTINGS, and no more";
  ASSERT_TRUE(Gets(*peer_, 1));  // once the peer works, and says its SETTINGS
  EXPECT_EQ(stream().fields[":protocol"], "websocket");
}

TEST_F(Http2UpgradeTest, IsRefusedWhereTheUpstreamDoesNotTakeIt) {
  Ask(/*connect=*/false);
  ASSERT_TRUE(Ends2(*peer_, answer_));
  EXPECT_EQ(answer_.error, ErrorKind::kProtocol);
  EXPECT_TRUE(absl::StrContains(answer_.detail, "SETTINGS_ENABLE_CONNECT_PROTOCOL")) << answer_.detail;
  EXPECT_TRUE(peer_->streams.empty());
  // On a connection that is known not to, at once; and it still serves others.
  Answer second, plain;
  auto again = Start(&second, "GET", Framing::kUpgrade);
  auto other = Start(&plain);
  ASSERT_TRUE(Gets(*peer_, 1));
  ASSERT_TRUE(Ends2(*peer_, second));
  EXPECT_EQ(second.error, ErrorKind::kProtocol);
  peer_->Head(1, "200", {}, /*end=*/true);
  ASSERT_TRUE(Ends2(*peer_, plain));
  EXPECT_EQ(pool_->stats().connects.value(), 1);
}

TEST_F(Http2UpgradeTest, AnUpstreamThatNeverSaysItsSettingsIsNotAwaitedForEver) {
  Ask();
  Turn();
  Pass(options_.response_timeout + absl::Seconds(2));
  ASSERT_TRUE(Ends(answer_));
  EXPECT_EQ(answer_.error, ErrorKind::kResponseTimeout);
}

TEST_F(Http2UpgradeTest, CancelledBeforeTheSettingsItIsNeverAsked) {
  Ask();
  Turn();
  request_.reset();
  Answer plain;
  auto other = Start(&plain);
  ASSERT_TRUE(Gets(*peer_, 1));
  EXPECT_EQ(stream().fields[":method"], "GET");
}

TEST_F(Http2UpgradeTest, AnyOtherAnswerIsAnOrdinaryOneAndTheConnectionGoesOn) {
  Ask();
  ASSERT_TRUE(Gets(*peer_, 1));
  peer_->Head(1, "403");
  peer_->Body(1, "no", true);
  ASSERT_TRUE(Ends2(*peer_, answer_));
  EXPECT_EQ(answer_.completions, 1);
  EXPECT_EQ(answer_.status, 403);
  EXPECT_EQ(answer_.body, "no");
  Answer plain;
  auto other = Start(&plain);
  ASSERT_TRUE(Gets(*peer_, 3));
  EXPECT_EQ(stream().reset, NGHTTP2_CANCEL) << "no more comes on the first";
  EXPECT_EQ(pool_->stats().connects.value(), 1);
}

TEST_F(Http2UpgradeTest, IsCompleteWhenBothSidesHaveEndedTheirs) {
  Switch();
  request_->SendBody("bye", true);
  ASSERT_TRUE(Until2(*peer_, [&] { return stream().ended && stream().body == "bye"; }));
  EXPECT_FALSE(answer_.ended());
  peer_->Body(1, "and bye", true);
  ASSERT_TRUE(Ends2(*peer_, answer_));
  EXPECT_EQ(answer_.completions, 1);
  EXPECT_EQ(answer_.half_closes, 0);
  EXPECT_EQ(answer_.body, "and bye");
  ASSERT_TRUE(Until2(*peer_, [&] { return stream().closed; }));
  EXPECT_EQ(stream().reset, -1);
  EXPECT_EQ(pool_->stats().idle_connections.value(), 1);
}

TEST_F(Http2UpgradeTest, TheUpstreamMayEndFirst) {
  Switch();
  peer_->Body(1, "bye", true);
  ASSERT_TRUE(Until2(*peer_, [&] { return answer_.half_closes == 1; }));
  EXPECT_FALSE(answer_.ended());
  const std::string much(300'000, 'x');
  request_->SendBody(much, false);
  ASSERT_TRUE(Until2(*peer_, [&] { return stream().body == much; }));
  EXPECT_FALSE(answer_.ended());
  request_->SendBody("last", true);
  ASSERT_TRUE(Ends2(*peer_, answer_));
  ASSERT_TRUE(Until2(*peer_, [&] { return stream().ended && stream().closed; }));
  EXPECT_EQ(answer_.completions, 1);
  EXPECT_EQ(stream().body, much + "last");
  EXPECT_EQ(stream().reset, -1);
}

TEST_F(Http2UpgradeTest, AnAnswerThatEndsTheStreamIsASwitchThatIsHalfClosed) {
  Ask();
  ASSERT_TRUE(Gets(*peer_, 1));
  peer_->Head(1, "200", {}, /*end=*/true);
  ASSERT_TRUE(Until2(*peer_, [&] { return answer_.half_closes == 1; }));
  EXPECT_EQ(answer_.status, 101);
  EXPECT_FALSE(answer_.head_ended);
  request_->SendBody("", true);
  ASSERT_TRUE(Ends2(*peer_, answer_));
  EXPECT_EQ(answer_.completions, 1);
}

TEST_F(Http2UpgradeTest, WhatWasSentLastGoesOutThoughTheRequestIsGone) {
  Switch();
  peer_->Body(1, "", true);
  ASSERT_TRUE(Until2(*peer_, [&] { return answer_.half_closes == 1; }));
  request_->SendBody("last words", true);
  request_.reset();
  ASSERT_TRUE(Until2(*peer_, [&] { return stream().closed; }));
  EXPECT_EQ(stream().body, "last words");
  EXPECT_EQ(stream().reset, -1);
}

TEST_F(Http2UpgradeTest, OneThatIsCutIsResetAndOthersRunOn) {
  Switch();
  Answer second;
  auto other = Start(&second, "GET", Framing::kUpgrade);
  ASSERT_TRUE(Gets(*peer_, 3));
  peer_->Head(3, "200");
  ASSERT_TRUE(Until2(*peer_, [&] { return second.heads == 1; }));
  request_->SendBody("unheard", false);
  request_.reset();
  ASSERT_TRUE(Until2(*peer_, [&] { return stream().closed; }));
  EXPECT_EQ(stream().reset, NGHTTP2_CANCEL);
  other->SendBody("still here", false);
  ASSERT_TRUE(Until2(*peer_, [&] { return (*peer_)[3].body == "still here"; }));
}

TEST_F(Http2UpgradeTest, AResetIsAnErrorAndNoEnd) {
  Switch();
  peer_->Reset(1, NGHTTP2_INTERNAL_ERROR);
  ASSERT_TRUE(Ends2(*peer_, answer_));
  EXPECT_EQ(answer_.errors, 1);
  EXPECT_EQ(answer_.error, ErrorKind::kReset);
}

TEST_F(Http2UpgradeTest, EndsWhenNothingGoesEitherWay) {
  Switch();
  Pass(options_.stall_timeout / 2);
  EXPECT_FALSE(answer_.ended());
  Pass(options_.stall_timeout);
  ASSERT_TRUE(Ends2(*peer_, answer_));
  EXPECT_EQ(answer_.error, ErrorKind::kStalled);
  ASSERT_TRUE(Until2(*peer_, [&] { return stream().reset == NGHTTP2_CANCEL; }));
}

TEST_F(Http2UpgradeTest, AnAnswerThatDoesNotComeIsAwaitedAsLongAsAnyOther) {
  Ask();
  ASSERT_TRUE(Gets(*peer_, 1));
  Pass(options_.response_timeout + absl::Seconds(2));
  ASSERT_TRUE(Ends2(*peer_, answer_));
  EXPECT_EQ(answer_.error, ErrorKind::kResponseTimeout);
}

}  // namespace
}  // namespace gatehouse::upstream
