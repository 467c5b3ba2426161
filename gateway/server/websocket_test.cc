#include "gateway/server/websocket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace gatehouse::server {
namespace {

using Fields = std::vector<std::pair<absl::string_view, absl::string_view>>;

constexpr absl::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";           // RFC 6455 1.3
constexpr absl::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";  // what proves it

class WebSocketTest : public testing::Test {
 protected:
  std::optional<std::string> Ask(const Fields& fields, int version = 11) {
    http::RequestHead head;
    head.version = version;
    head.websocket = true;
    for (const auto& [name, value] : fields) head.fields().Add(name, value);
    return AskWebSocket(head, &error_);
  }
  static bool Proves(const Fields& fields) {
    http::FieldList list;
    for (const auto& [name, value] : fields) list.Add(name, value);
    return ProvesWebSocket(list, kKey);
  }
  absl::string_view error_;
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
  }
  EXPECT_EQ(Ask({{"sec-websocket-key", kKey}}), std::nullopt);
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}}), std::nullopt);
  EXPECT_EQ(Ask({}, 20), std::nullopt);
}

TEST_F(WebSocketTest, RefusesAKeyThatIsNotSixteenBytes) {
  for (absl::string_view key : {"", "dGhl", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "not base64 at all!!!!!=="}) {
    EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", key}}), std::nullopt) << key;
    EXPECT_EQ(error_, "Sec-WebSocket-Key is not 16 bytes in base64");
  }
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}}), std::nullopt);
  EXPECT_EQ(Ask({{"sec-websocket-version", "13"}, {"sec-websocket-key", kKey}, {"sec-websocket-key", kKey}}), std::nullopt);
}

TEST_F(WebSocketTest, BelievesTheAcceptOfTheStandardsExampleAlone) {
  EXPECT_TRUE(Proves({{"sec-websocket-accept", kAccept}}));
  EXPECT_FALSE(Proves({}));
  EXPECT_FALSE(Proves({{"sec-websocket-accept", kKey}}));
  EXPECT_FALSE(Proves({{"sec-websocket-accept", "S3PPLMBITXAQ9KYGZZHZRBK+XOO="}}));
  EXPECT_FALSE(Proves({{"sec-websocket-accept", kAccept}, {"sec-websocket-accept", kAccept}}));
}

}  // namespace
}  // namespace gatehouse::server
