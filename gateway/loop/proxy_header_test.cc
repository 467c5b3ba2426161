#include "gateway/loop/proxy_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/socket.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/proxy_reader.h"

namespace gatehouse::loop {
namespace {

using Kind = ProxyHeader::Kind;

// Version 2: `family` and what follows the fixed part, in hex.
std::string Binary(absl::string_view command_and_family, absl::string_view rest_hex) {
  const std::string rest = absl::HexStringToBytes(rest_hex);
  std::string out("\r\n\r\n\0\r\nQUIT\n", 12);
  out += absl::HexStringToBytes(command_and_family);
  out.push_back(static_cast<char>(rest.size() >> 8));
  out.push_back(static_cast<char>(rest.size()));
  return out + rest;
}

const char kV4[] = "c0000201c6336401dc0401bb";  // 192.0.2.1:56324 to 198.51.100.1:443
const char kV6[] = "20010db8000000000000000000000001" "20010db8000000000000000000000002" "dc0401bb";

std::string ClientOf(absl::string_view header) {
  const ProxyHeader read = ReadProxyHeader(absl::StrCat(header, "\x16\x03\x01"));
  if (read.kind != Kind::kComplete) return absl::StrCat("not complete: ", read.error);
  if (read.length != header.size()) return "of another length";
  return read.client.has_value() ? read.client->ToString() : "unknown";
}

TEST(ProxyHeaderTest, ReadsTheClientOfBothVersions) {
  EXPECT_EQ(ClientOf("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), "192.0.2.1:56324");
  EXPECT_EQ(ClientOf("PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"), "[2001:db8::1]:56324");
  EXPECT_EQ(ClientOf("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
  EXPECT_EQ(ClientOf(Binary("2111", kV4)), "192.0.2.1:56324");
  EXPECT_EQ(ClientOf(Binary("2121", kV6)), "[2001:db8::1]:56324");
  EXPECT_EQ(ClientOf(Binary("2111", absl::StrCat(kV4, "0400020000" "ea000101"))), "192.0.2.1:56324") << "TLVs are read over";
}

TEST(ProxyHeaderTest, WhoSpeaksForItselfOrDoesNotKnowTellsNoClient) {
  EXPECT_EQ(ClientOf("PROXY UNKNOWN\r\n"), "unknown");
  EXPECT_EQ(ClientOf("PROXY UNKNOWN ffff::1 anything 1 2 3\r\n"), "unknown");
  EXPECT_EQ(ClientOf(Binary("2000", "")), "unknown");
  EXPECT_EQ(ClientOf(Binary("2011", kV4)), "unknown") << "LOCAL: the addresses do not count";
  EXPECT_EQ(ClientOf(Binary("2100", "")), "unknown");
  EXPECT_EQ(ClientOf(Binary("2100", "0400020000")), "unknown");
}

TEST(ProxyHeaderTest, EveryCutAsksForMore) {
  for (const std::string& header : {std::string("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), Binary("2121", kV6),
                                    std::string("PROXY UNKNOWN\r\n"), Binary("2000", "")}) {
    for (size_t n = 0; n < header.size(); ++n) {
      EXPECT_EQ(ReadProxyHeader(absl::string_view(header).substr(0, n)).kind, Kind::kIncomplete) << n;
    }
    EXPECT_EQ(ReadProxyHeader(header).kind, Kind::kComplete);
  }
}

TEST(ProxyHeaderTest, RefusesWhateverIsNotExactlyOne) {
  for (const std::string& bytes : {
           std::string("\x16\x03\x01\x02\x00"), std::string("GET / HTTP/1.1\r\n"), std::string("proxy TCP4 "), std::string("PROXX"),
           std::string("PROXY\tTCP4 192.0.2.1 198.51.100.1 1 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n"),
           std::string("PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n"),
           std::string("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
           std::string("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n"),
           std::string("PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1  2\r\n"),
           std::string("PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n"), std::string("PROXY UNKNOWNX\r\n"), std::string("PROXY \r\n"),
           std::string("PROXY TCP4 192.0.2.1\n198.51.100.1 1 2\r\n"),
           absl::StrCat("PROXY UNKNOWN ", std::string(100, 'x'), "\r\n"),
           std::string("PROXY TCP4 192.0.2.1\0 198.51.100.1 1 2\r\n", 40),
           Binary("1111", kV4), Binary("3111", kV4), Binary("2211", kV4),  // version 1 and 3, an unknown command
           Binary("2112", kV4), Binary("2131", kV4), Binary("2141", kV4),  // UDP, Unix, an unknown family
           Binary("2111", "c0000201"), Binary("2121", kV4), Binary("2111", ""),
           Binary("2111", absl::StrCat(kV4, std::string(2 * 4096, '0'))),
       }) {
    const ProxyHeader read = ReadProxyHeader(bytes);
    EXPECT_EQ(read.kind, Kind::kBad) << absl::CEscape(bytes.substr(0, 60));
    EXPECT_STRNE(read.error, "");
    EXPECT_FALSE(read.client.has_value());
  }
}


// A socket pair: what the load balancer writes, and what the reader leaves.
class ProxyReaderTest : public testing::Test {
 protected:
  ProxyReaderTest() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    balancer_ = Fd(fds[0]);
    ours_ = Fd(fds[1]);
  }
  void Send(absl::string_view bytes) { EXPECT_EQ(send(balancer_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size())); }
  std::string Left() {
    char buffer[8192];
    const ssize_t n = recv(ours_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : "";
  }
  Fd balancer_, ours_;
  ProxyReader reader_;
};

TEST_F(ProxyReaderTest, TakesTheHeaderHoweverItIsCutAndNothingBehindIt) {
  for (const std::string& header : {std::string("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), Binary("2111", kV4)}) {
    for (size_t cut = 1; cut < header.size(); ++cut) {
      ProxyReader reader;
      Send(header.substr(0, cut));
      EXPECT_EQ(reader.Read(ours_.get()), ProxyReader::State::kMore);
      EXPECT_EQ(Left(), "") << "a part that stays would make the socket readable for ever";
      Send(absl::StrCat(header.substr(cut), "hello"));
      ASSERT_EQ(reader.Read(ours_.get()), ProxyReader::State::kDone);
      EXPECT_EQ(reader.client()->ToString(), "192.0.2.1:56324");
      EXPECT_EQ(Left(), "hello");
    }
  }
}

TEST_F(ProxyReaderTest, TellsWhatIsWrongAndWhenNobodyIsThere) {
  Send("GET / HTTP/1.1\r\n");
  EXPECT_EQ(reader_.Read(ours_.get()), ProxyReader::State::kBad);
  EXPECT_STRNE(reader_.error(), "");
  Left();
  ProxyReader second;
  Send("PROXY ");
  balancer_.Close();
  EXPECT_EQ(second.Read(ours_.get()), ProxyReader::State::kGone);
}

}  // namespace
}  // namespace gatehouse::loop
