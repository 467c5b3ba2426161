#include "gateway/server/forwarded_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace gatehouse::server {
namespace {

using ::testing::Contains;
using ::testing::Not;
using ::testing::Pair;
using upstream::Framing;

using Fields = std::vector<std::pair<std::string, std::string>>;

class ForwardedRequestTest : public testing::Test {
 protected:
  ForwardedRequestTest() {
    head_.set_parts({.method = "POST", .authority = "shop.example", .path = "/a"});
  }
  void Client(const Fields& fields) {
    for (const auto& [name, value] : fields) head_.fields().Add(name, value);
  }
  // What the upstream gets; `request_` is the rest of it.
  Fields Sent() {
    const auto refusal = request_.emplace().Make(Terms());
    EXPECT_FALSE(refusal.has_value()) << refusal->detail;
    Fields out;
    const http::FieldList& fields = *request_->head().fields;
    for (size_t i = 0; i < fields.size(); ++i) out.emplace_back(fields[i].name, fields[i].value);
    return out;
  }
  ForwardTerms Terms() {
    return {head_, strip_, route_, config::Forwarded::kNone, identity_, nullptr, peer_, "id-1", websocket_, &ids_};
  }
  bool Trails(absl::string_view name) { return PassesAsTrailer(head_, strip_, name); }

  http::RequestHead head_;
  identity::StripList strip_{std::vector<std::string>{"x-who"}};
  config::Route route_;
  identity::Identity identity_{std::vector<identity::PartRef>{}};
  WebSocketHandshake websocket_;
  http::RandomIds ids_;
  const loop::Address peer_ = *loop::Address::Parse("192.0.2.1:5000");
  std::optional<ForwardedRequest> request_;
};

TEST_F(ForwardedRequestTest, LeavesOutWhatIsOursToSayAndWhatBelongsToTheConnection) {
  Client({{"host", "shop.example"}, {"accept", "a/b"}, {"connection", "x-mine, close"}, {"x-mine", "1"}, {"te", "trailers"},
          {"expect", "100-continue"}, {"authorization", "Basic eA=="}, {"x-forwarded-for", "1.1.1.1"}, {"x-request-id", "forged"},
          {"traceparent", "forged"}});
  const Fields sent = Sent();
  EXPECT_THAT(sent, Contains(Pair("accept", "a/b")));
  EXPECT_THAT(sent, Contains(Pair("x-request-id", "id-1")));
  EXPECT_THAT(sent, Not(Contains(Pair("x-request-id", "forged"))));
  for (const char* name : {"host", "connection", "x-mine", "te", "expect", "authorization", "x-forwarded-for"}) {
    EXPECT_THAT(sent, Not(Contains(Pair(name, testing::_)))) << name;
  }
  EXPECT_TRUE(request_->head().accepts_trailers);
  EXPECT_EQ(request_->head().framing, Framing::kNoBody);
}

TEST_F(ForwardedRequestTest, AnnouncesTheTrailersThatMayPass) {
  Client({{"trailer", "X-Sum, X-Who, X-Auth-User, Content-Length"}, {"connection", "x-hop"}, {"trailer", "x-hop, x-last"}});
  Sent();
  EXPECT_EQ(request_->head().trailer, "") << "none follow a request without a body";
  head_.has_body = true;
  const Fields sent = Sent();
  EXPECT_EQ(request_->head().trailer, "x-sum, x-last");
  EXPECT_EQ(request_->head().framing, Framing::kChunked);
  EXPECT_THAT(sent, Not(Contains(Pair("trailer", testing::_))));
}

TEST_F(ForwardedRequestTest, LetsNoTrailerPassForAnIdentityOrAHeader) {
  Client({{"connection", "close, X-Hop"}});
  EXPECT_TRUE(Trails("x-sum"));
  EXPECT_TRUE(Trails("grpc-status"));
  for (const char* name : {"x-who", "x_who", "x-auth-user", "x_auth_user", "remote-user", "client-cert", "x-forwarded-client-cert",
                           "x-forwarded-user", "x-hop", "authorization", "content-length", "transfer-encoding", "connection", "host",
                           "x-forwarded-for", "x-request-id", "traceparent", "cookie"}) {
    EXPECT_FALSE(Trails(name)) << name;
  }
}

TEST_F(ForwardedRequestTest, HasTheLesserTimeOfClientAndRoute) {
  route_.timeout = absl::Seconds(10);
  Client({{"content-type", "application/grpc"}, {"grpc-timeout", "5S"}});
  EXPECT_THAT(Sent(), Contains(Pair("grpc-timeout", "5S")));
  EXPECT_EQ(request_->limit(), absl::Seconds(5));
  route_.timeout = absl::Seconds(2);
  EXPECT_THAT(Sent(), Not(Contains(Pair("grpc-timeout", "5S"))));
  EXPECT_EQ(request_->limit(), absl::Seconds(2));
}

TEST_F(ForwardedRequestTest, HoldsNothingOfTheRequestBefore) {
  ForwardedRequest again;
  Client({{"content-type", "application/grpc"}, {"grpc-timeout", "5S"}, {"te", "trailers"}, {"trailer", "x-sum"}, {"x-old", "1"}});
  head_.has_body = true;
  head_.content_length = 3;
  ASSERT_FALSE(again.Make(Terms()).has_value());
  head_ = http::RequestHead();
  Client({{"accept", "a/b"}});
  ASSERT_FALSE(again.Make(Terms()).has_value());
  const upstream::RequestHead& head = again.head();
  EXPECT_FALSE(head.fields->Has("x-old"));
  EXPECT_FALSE(head.fields->Has("grpc-timeout"));
  EXPECT_EQ(head.fields->Count("traceparent"), 1u);
  EXPECT_FALSE(head.accepts_trailers);
  EXPECT_EQ(head.trailer, "");
  EXPECT_EQ(head.framing, Framing::kNoBody);
  EXPECT_EQ(again.limit(), route_.timeout);
}

TEST_F(ForwardedRequestTest, RefusesATimeThatIsNone) {
  Client({{"content-type", "application/grpc"}, {"grpc-timeout", "soon"}});
  const auto refusal = request_.emplace().Make(Terms());
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->status, 400);
  EXPECT_EQ(refusal->reason, Reason::kMalformedRequest);
}

}  // namespace
}  // namespace gatehouse::server
