#include "gateway/server/grpc_timeout.h"

#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

TEST(GrpcTimeoutTest, EveryUnitIsRead) {
  EXPECT_EQ(ParseGrpcTimeout("1H"), absl::Hours(1));
  EXPECT_EQ(ParseGrpcTimeout("2M"), absl::Minutes(2));
  EXPECT_EQ(ParseGrpcTimeout("30S"), absl::Seconds(30));
  EXPECT_EQ(ParseGrpcTimeout("99999999m"), absl::Milliseconds(99'999'999));
  EXPECT_EQ(ParseGrpcTimeout("5u"), absl::Microseconds(5));
  EXPECT_EQ(ParseGrpcTimeout("0n"), absl::ZeroDuration());
}

TEST(GrpcTimeoutTest, AnythingElseIsMalformed) {
  for (const char* text : {"", "S", "1", "1s", "-1S", "+1S", "1 S", "123456789S", "1.5S", "1SS", "0x1S"}) {
    EXPECT_FALSE(ParseGrpcTimeout(text).has_value()) << text;
  }
}

TEST(GrpcTimeoutTest, IsWrittenRoundedUpAndReadBack) {
  EXPECT_EQ(FormatGrpcTimeout(absl::Milliseconds(1500)), "1500m");
  EXPECT_EQ(FormatGrpcTimeout(absl::Microseconds(1)), "1m");
  EXPECT_EQ(FormatGrpcTimeout(absl::Hours(24)), "86400000m");
  EXPECT_EQ(ParseGrpcTimeout(FormatGrpcTimeout(absl::Hours(24))), absl::Hours(24));
}

}  // namespace
}  // namespace gatehouse::server
