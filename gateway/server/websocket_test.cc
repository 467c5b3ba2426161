#include "gateway/server/websocket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "gateway/base/digest.h"

namespace gatehouse::server {
namespace {

using Outcome = WebSocketHandshake::Outcome;
using Fields = std::vector<std::pair<absl::string_view, absl::string_view>>;

constexpr absl::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";           // RFC 6455 1.3
constexpr absl::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";  // what proves it

class WebSocketTest : public testing::Test {
 protected:
  // The key that the upstream is sent; nullopt: refused.
  std::optional<std::string> Ask(const Fields& fields, int version = 11, bool upstream_http2 = false) {
    handshake_ = {};
    http::RequestHead head;
    head.version = version;
    head.websocket = true;
    for (const auto& [name, value] : fields) head.fields().Add(name, value);
    if (const auto fault = handshake_.Ask(head, upstream_http2)) {
      error_ = fault->text;
      status_ = fault->status;
      EXPECT_FALSE(handshake_.asked());
      return std::nullopt;
    }
    EXPECT_TRUE(handshake_.asked());
    return std::string(handshake_.key());
  }
  // What becomes of the upstream's answer to what was asked.
  Outcome Judge(int status, const Fields& fields) {
    answer_ = {};
    answer_.status = status;
    for (const auto& [name, value] : fields) answer_.fields.Add(name, value);
    wrong_ = "";
    const Outcome outcome = handshake_.Judge(&answer_, &wrong_);
    EXPECT_EQ(wrong_.empty(), outcome != Outcome::kWrong);
    return outcome;
  }
  WebSocketHandshake handshake_;
  http::ResponseHead answer_;
  absl::string_view error_, wrong_;
  int status_ = 0;
};

TEST_F(WebSocketTest, PassesTheClientsKeyOn) {
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}}), kKey);
}

TEST_F(WebSocketTest, MakesAKeyForHttp2WhateverTheClientSays) {
  const auto first = Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}}, 20);
  const auto second = Ask({{"sec-websocket-version", "13"}}, 20);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->size(), 24u);
  EXPECT_NE(*first, kKey);
  EXPECT_NE(*first, *second);
  // What it made, it takes.
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", *first}}), first);
}

TEST_F(WebSocketTest, RefusesAnyOtherVersion) {
  for (absl::string_view version : {"8", "013", "13, 8", "", "777"}) {
    EXPECT_EQ(Ask({{"sec-websocket-version", version}, {"sec-websocket-key", kKey}}), std::nullopt) << version;
    EXPECT_EQ(error_, "Sec-WebSocket-Version is not 13");
    EXPECT_EQ(status_, 426);
    EXPECT_TRUE(handshake_.other_version());
  }
  EXPECT_EQ(Ask({{"sec-websocket-key", kKey}}), std::nullopt);
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}}), std::nullopt);
  EXPECT_EQ(Ask({}, 20), std::nullopt);
  EXPECT_EQ(status_, 400) << "HTTP/2 has no Upgrade field, which 426 must have";
  EXPECT_TRUE(handshake_.other_version());
}

TEST_F(WebSocketTest, RefusesAKeyThatIsNotSixteenBytes) {
  for (absl::string_view key : {"", "dGhl", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "not base64 at all!!!!!=="}) {
    EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", key}}), std::nullopt) << key;
    EXPECT_EQ(error_, "Sec-WebSocket-Key is not 16 bytes in base64");
    EXPECT_EQ(status_, 400);
    EXPECT_FALSE(handshake_.other_version());
  }
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}}), std::nullopt);
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}, {"sec-websocket-key", kKey}}), std::nullopt);
}

TEST_F(WebSocketTest, BelievesTheAcceptOfTheStandardsExampleAlone) {
  ASSERT_TRUE(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}}));
  EXPECT_EQ(Judge(101, {{"sec-websocket-accept", kAccept}}), Outcome::kSwitch);
  EXPECT_EQ(answer_.fields.Find("sec-websocket-accept"), kAccept);
  for (const Fields& fields : {Fields{},
                               {{"sec-websocket-accept", kKey}},
                               {{"sec-websocket-accept", "S3PPLMBITXAQ9KYGZZHZRBK+XOO="}},
                               {{"sec-websocket-accept", kAccept}, {"sec-websocket-accept", kAccept}}}) {
    EXPECT_EQ(Judge(101, fields), Outcome::kWrong);
  }
}

TEST_F(WebSocketTest, LetsAnyOtherAnswerPassUnlessItLooksLikeConsent) {
  ASSERT_TRUE(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}}));
  for (int status : {200, 302, 403, 426, 500}) EXPECT_EQ(Judge(status, {}), Outcome::kOrdinary) << status;
  // To a client of HTTP/2 any 2xx is consent.
  ASSERT_TRUE(Ask({{"sec-websocket-version", "13"}}, 20));
  EXPECT_EQ(Judge(200, {}), Outcome::kWrong);
  EXPECT_EQ(Judge(204, {}), Outcome::kWrong);
  for (int status : {302, 403, 426, 500}) EXPECT_EQ(Judge(status, {}), Outcome::kOrdinary) << status;
}

TEST_F(WebSocketTest, KeepsTheProofFromAClientOfHttp2) {
  const auto key = Ask({{"sec-websocket-version", "13"}}, 20);
  ASSERT_TRUE(key);
  EXPECT_EQ(Judge(101, {{"sec-websocket-accept", kAccept}}), Outcome::kWrong);
  const std::array<uint8_t, 20> digest = Sha1(*key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  const std::string proof = absl::Base64Escape(std::string(digest.begin(), digest.end()));
  EXPECT_EQ(Judge(101, {{"sec-websocket-accept", proof}, {"sec-websocket-protocol", "chat"}}), Outcome::kSwitch);
  EXPECT_FALSE(answer_.fields.Has("sec-websocket-accept"));
  EXPECT_TRUE(answer_.fields.Has("sec-websocket-protocol"));
}

TEST_F(WebSocketTest, AsksAnUpstreamOfHttp2WithoutAKeyAndProvesItselfToAClientOfHttp1) {
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}}, 11, true), "");
  EXPECT_EQ(Judge(101, {{"sec-websocket-accept", "of nobody"}, {"sec-websocket-protocol", "chat"}}), Outcome::kSwitch);
  EXPECT_EQ(answer_.fields.Count("sec-websocket-accept"), 1u);
  EXPECT_EQ(answer_.fields.Find("sec-websocket-accept"), kAccept);
  EXPECT_TRUE(answer_.fields.Has("sec-websocket-protocol"));
  EXPECT_EQ(Judge(403, {}), Outcome::kOrdinary);
  // The client's handshake is held to the same.
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}}, 11, true), std::nullopt);
}

TEST_F(WebSocketTest, HasNoUseForKeyOrProofWhereBothSidesSpeakHttp2) {
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}}, 20, true), "");
  EXPECT_EQ(Judge(101, {{"sec-websocket-accept", kAccept}}), Outcome::kSwitch);
  EXPECT_FALSE(answer_.fields.Has("sec-websocket-accept"));
  EXPECT_EQ(Judge(302, {}), Outcome::kOrdinary);
}

}  // namespace
}  // namespace gatehouse::server
