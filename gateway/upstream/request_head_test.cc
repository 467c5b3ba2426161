#include "gateway/upstream/request_head.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::upstream {
namespace {

class RequestHeadTest : public ::testing::Test {
 protected:
  std::string Write() {
    std::string out;
    head_.fields = &fields_;
    if (!WriteHead(head_, &out)) {
      EXPECT_EQ(out, "");
      return "refused";
    }
    return out;
  }
  http::FieldList fields_;
  RequestHead head_{"GET", "/a?b=c", "app.test:8080"};
};

TEST_F(RequestHeadTest, IsWrittenWithTheTargetAndHostAsGivenAndFieldsInOrder) {
  fields_.Add("accept", "*/*");
  fields_.Add("x-user", "CN=alice");
  fields_.Add("accept", "text/html");
  EXPECT_EQ(Write(),
            "GET /a?b=c HTTP/1.1\r\nhost: app.test:8080\r\naccept: */*\r\nx-user: CN=alice\r\n"
            "accept: text/html\r\n\r\n");
}

TEST_F(RequestHeadTest, FramesByLengthOrChunksAndNeverByTheCallersFields) {
  fields_.Add("content-length", "999");
  fields_.Add("transfer-encoding", "gzip");
  EXPECT_EQ(Write(), "GET /a?b=c HTTP/1.1\r\nhost: app.test:8080\r\n\r\n");
  head_.framing = Framing::kLength;
  head_.content_length = 5;
  EXPECT_EQ(Write(), "GET /a?b=c HTTP/1.1\r\nhost: app.test:8080\r\ncontent-length: 5\r\n\r\n");
  head_.framing = Framing::kChunked;
  EXPECT_EQ(Write(), "GET /a?b=c HTTP/1.1\r\nhost: app.test:8080\r\ntransfer-encoding: chunked\r\n\r\n");
}

TEST_F(RequestHeadTest, DropsWhatBelongsToOneConnection) {
  for (const char* name : {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "host", "expect",
                           "proxy-authorization"}) {
    fields_.Add(name, "x");
  }
  fields_.Add("x-kept", "1");
  EXPECT_EQ(Write(), "GET /a?b=c HTTP/1.1\r\nhost: app.test:8080\r\nx-kept: 1\r\n\r\n");
}

TEST_F(RequestHeadTest, RefusesWhateverWouldBreakTheMessage) {
  const std::string nul("a\0b", 3);
  for (absl::string_view value : {absl::string_view("a\r\nx: y"), absl::string_view("a\n"), absl::string_view("\r"),
                                  absl::string_view(nul)}) {
    fields_.Clear();
    fields_.Add("x", value);
    EXPECT_EQ(Write(), "refused") << value;
  }
  for (const char* name : {"", "x y", "x:", "x\r\n", "\xc3\xa9"}) {
    fields_.Clear();
    fields_.Add(name, "1");
    EXPECT_EQ(Write(), "refused") << name;
  }
  fields_.Clear();
  for (const char* target : {"", "/a b", "/a\r\n", "/a\t", "/\x7f"}) {
    head_.target = target;
    EXPECT_EQ(Write(), "refused") << target;
  }
  head_.target = "/";
  for (const char* authority : {"a b", "a\r\nx: y", "a\n"}) {
    head_.authority = authority;
    EXPECT_EQ(Write(), "refused") << authority;
  }
  head_.authority = "a";
  for (const char* method : {"", "GET ", "G\r\nT", "GE/T"}) {
    head_.method = method;
    EXPECT_EQ(Write(), "refused") << method;
  }
}

TEST_F(RequestHeadTest, ChunksCarryTheirSizeInHexAndAnEmptyOneIsNotWritten) {
  std::string out;
  AppendChunk(std::string(26, 'x'), &out);
  AppendChunk("", &out);
  EXPECT_EQ(out, "1a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
}

TEST_F(RequestHeadTest, TrailersFollowTheLastChunkAndNothingElse) {
  http::FieldList trailers;
  for (const char* name : {"x-sum", "content-length", "transfer-encoding", "host", "authorization", "x y", ":path"}) trailers.Add(name, "7");
  trailers.Add("x-split", "7\r\nhost: other");
  std::string out;
  AppendBody(Framing::kChunked, "ab", false, &trailers, &out);
  EXPECT_EQ(out, "2\r\nab\r\n");
  out.clear();
  AppendBody(Framing::kChunked, "c", true, &trailers, &out);
  EXPECT_EQ(out, "1\r\nc\r\n0\r\nx-sum: 7\r\n\r\n");
  out.clear();
  AppendBody(Framing::kLength, "ab", true, &trailers, &out);
  EXPECT_EQ(out, "ab");
}

TEST_F(RequestHeadTest, TrailersAreAnnouncedWhereTheyHaveAPlace) {
  head_.trailer = "x-sum";
  head_.framing = Framing::kChunked;
  EXPECT_THAT(Write(), testing::HasSubstr("\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"));
  head_.framing = Framing::kLength;
  EXPECT_THAT(Write(), testing::Not(testing::HasSubstr("trailer")));
  head_.accepts_trailers = true;
  EXPECT_THAT(Write(), testing::HasSubstr("\r\nconnection: te\r\nte: trailers\r\n"));
  head_.framing = Framing::kUpgrade;
  EXPECT_THAT(Write(), testing::Not(testing::HasSubstr("trailers")));
  head_.framing = Framing::kChunked;
  head_.trailer = "x\r\nhost: other";
  EXPECT_EQ(Write(), "refused");
}

TEST_F(RequestHeadTest, OnlyMethodsWithoutASecondEffectAreIdempotent) {
  for (const char* method : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}) EXPECT_TRUE(IsIdempotent(method));
  for (const char* method : {"POST", "PATCH", "get", ""}) EXPECT_FALSE(IsIdempotent(method));
}

TEST_F(RequestHeadTest, EveryErrorHasANameAndAStatus) {
  for (size_t i = 0; i < kErrorKindCount; ++i) {
    auto kind = static_cast<ErrorKind>(i);
    EXPECT_FALSE(ErrorKindName(kind).empty()) << i;
    EXPECT_GE(StatusFor(kind), 500) << i;
  }
}

}  // namespace
}  // namespace gatehouse::upstream
