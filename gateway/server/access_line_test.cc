#include "gateway/server/access_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

using config::AccessLog;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

AccessLine Typical() {
  AccessLine line;
  line.time = absl::FromUnixMicros(1'800'000'000'123'456);
  line.client = "198.51.100.7";
  line.principal = "CN=ann,O=Our Staff";
  line.scheme = "Certificate";
  line.method = "GET";
  line.host = "shop.example";
  line.path = "/orders/7";
  line.referer = "https://shop.example/?token=secret#x";
  line.user_agent = "curl/7.88 \"x\"";
  line.http_version = 20;
  line.tls_version = "TLSv1.3";
  line.status = 200;
  line.bytes_in = 3;
  line.bytes_out = 1234;
  line.duration = absl::Microseconds(1'500'042);
  line.upstream = "orders";
  line.upstream_time = absl::Microseconds(7);
  line.route = "r";
  line.listener = "edge";
  line.request_id = "0123456789abcdef01234567";
  line.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  return line;
}

std::string Written(AccessLog::Format format, const AccessLine& line) {
  std::string out;
  AppendLine(format, line, &out);
  return out;
}

TEST(AccessLineTest, IsOneJsonObject) {
  EXPECT_EQ(Written(AccessLog::Format::kJson, Typical()),
            R"({"time":"2027-01-15T08:00:00.123456Z","client":"198.51.100.7","principal":"CN=ann,O=Our Staff","scheme":"Certificate",)"
            R"("method":"GET","host":"shop.example","path":"/orders/7","protocol":"HTTP/2.0","tls":"TLSv1.3","status":200,"bytes_in":3,)"
            R"("bytes_out":1234,"duration":1.500042,"upstream":"orders","upstream_time":0.000007,"route":"r","listener":"edge",)"
            R"("request_id":"0123456789abcdef01234567","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"})"
            "\n");
  AccessLine refused = Typical();
  refused.reason = Reason::kRevoked;
  refused.proxy = "10.0.0.1";
  const auto json = nlohmann::json::parse(Written(AccessLog::Format::kJson, refused));
  EXPECT_EQ(json["reason"], "REVOKED");
  EXPECT_EQ(json["proxy"], "10.0.0.1");
}

TEST(AccessLineTest, IsNcsaCombined) {
  EXPECT_EQ(Written(AccessLog::Format::kCombined, Typical()),
            R"(198.51.100.7 - CN=ann,O=Our\x20Staff [15/Jan/2027:08:00:00 +0000] "GET /orders/7 HTTP/2.0" 200 1234 )"
            R"("https://shop.example/" "curl/7.88 \x22x\x22" "0123456789abcdef01234567")"
            "\n");
  AccessLine unreadable;
  unreadable.time = absl::UnixEpoch();
  unreadable.client = "::1";
  unreadable.status = 400;
  EXPECT_EQ(Written(AccessLog::Format::kCombined, unreadable), "::1 - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\" \"-\"\n");
}

TEST(AccessLineTest, LetsNobodyWriteALineOfTheirOwn) {
  for (const std::string& evil : {std::string("x\" 200 1\n1.2.3.4 - admin"), std::string("\r\n"), std::string("a\0b", 3), std::string("\x1b[2J"),
                                  std::string("\xc2\x9b[31m"), std::string("\xe2\x80\xae"), std::string("\xff\xfe"), std::string("\\\"},{\"")}) {
    AccessLine line = Typical();
    line.principal = line.host = line.path = line.user_agent = line.referer = line.method = evil;
    for (AccessLog::Format format : {AccessLog::Format::kJson, AccessLog::Format::kCombined}) {
      const std::string out = Written(format, line);
      EXPECT_EQ(out.find('\n'), out.size() - 1) << out;
      for (char c : out.substr(0, out.size() - 1)) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7F) << out;
    }
    const auto json = nlohmann::json::parse(Written(AccessLog::Format::kJson, line));
    EXPECT_EQ(json["status"], 200);
    EXPECT_EQ(json.size(), 19u);
    // What stands between the quotes of the combined form has no quote.
    const std::string combined = Written(AccessLog::Format::kCombined, line);
    EXPECT_EQ(std::count(combined.begin(), combined.end(), '"'), 8) << combined;
  }
}

TEST(AccessLineTest, CutsWhatIsVeryLong) {
  AccessLine line = Typical();
  const std::string path(64 * 1024, 'a');
  line.path = path;
  EXPECT_LT(Written(AccessLog::Format::kJson, line).size(), 4096u);
  EXPECT_LT(Written(AccessLog::Format::kCombined, line).size(), 4096u);
}

}  // namespace
}  // namespace gatehouse::server
