#include "gateway/server/client_origin.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace gatehouse::server {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

events::PeerAddress Address(const std::string& text) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(40000);
    return events::PeerAddress::FromSockaddr(&v4, sizeof v4);
  }
  EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr), 1) << text;
  v6.sin6_family = AF_INET6;
  return events::PeerAddress::FromSockaddr(&v6, sizeof v6);
}

http::FieldList List(const Fields& fields) {
  http::FieldList list;
  for (const auto& [name, value] : fields) list.Add(name, value);
  return list;
}

class ClientOriginTest : public ::testing::Test {
 protected:
  // "client via hop, hop scheme authority", or the error.
  std::string From(const Fields& fields, const std::string& peer = "10.0.0.1") {
    absl::StatusOr<ClientOrigin> origin = ReadOrigin(List(fields), trusted_, Address(peer));
    if (!origin.ok()) return std::string(origin.status().message());
    return absl::StrCat(origin->host, origin->hops.empty() ? "" : " via ", absl::StrJoin(origin->hops, ", "),
                        origin->scheme.empty() ? "" : " ", origin->scheme, origin->authority.empty() ? "" : " ", origin->authority);
  }
  std::string FromX(const std::string& list) { return From({{"x-forwarded-for", list}}); }
  std::string FromForwarded(const std::string& list) { return From({{"forwarded", list}}); }

  const std::vector<AddressRange> trusted_ = {*ParseAddressRange("10.0.0.0/8"), *ParseAddressRange("2001:db8::/32")};
};

TEST_F(ClientOriginTest, IsTheLastOneThatIsNotTrusted) {
  EXPECT_EQ(FromX("198.51.100.7"), "198.51.100.7");
  EXPECT_EQ(FromX("1.1.1.1, 198.51.100.7"), "198.51.100.7");
  EXPECT_EQ(FromX("1.1.1.1, 198.51.100.7, 10.0.0.2,10.0.0.3"), "198.51.100.7 via 10.0.0.2, 10.0.0.3");
  EXPECT_EQ(From({{"x-forwarded-for", "1.1.1.1"}, {"x-forwarded-for", "198.51.100.7"}}), "198.51.100.7") << "one list";
  EXPECT_EQ(FromX("10.0.0.9, 10.0.0.2"), "10.0.0.9 via 10.0.0.2") << "all are trusted";
  EXPECT_EQ(FromX("198.51.100.7:4711"), "198.51.100.7");
  EXPECT_EQ(FromX("[2001:db9::7]:4711, 2001:db8::1"), "2001:db9::7 via 2001:db8::1");
  EXPECT_EQ(From({}), "10.0.0.1") << "the proxy itself";
}

TEST_F(ClientOriginTest, IsWhoReportedAnEntryThatIsNoAddress) {
  EXPECT_EQ(FromX("10.9.9.9, unknown"), "10.0.0.1");
  EXPECT_EQ(FromX("10.9.9.9, , 10.0.0.2"), "10.0.0.2");
  EXPECT_EQ(FromX("10.9.9.9, 198.51.100.7 evil"), "10.0.0.1");
  EXPECT_EQ(FromX(""), "10.0.0.1");
  for (const char* bad : {"198.51.100.7:x", "198.51.100.7:70000", "[198.51.100.7]", "[::1", "::1]", "256.1.1.1", "1.1.1", "_hidden",
                          "\"1.1.1.1\"", "0x7f.1", "1.1.1.1/8", "localhost"}) {
    EXPECT_EQ(FromX(bad), "10.0.0.1") << bad;
  }
  EXPECT_EQ(FromX("x, 198.51.100.7"), "198.51.100.7") << "what strangers write is not looked at";
}

TEST_F(ClientOriginTest, TakesAMappedAddressForWhatItIs) {
  EXPECT_EQ(FromX("::ffff:198.51.100.7"), "198.51.100.7");
  EXPECT_EQ(FromX("198.51.100.7, ::ffff:10.0.0.2"), "198.51.100.7 via 10.0.0.2");
}

TEST_F(ClientOriginTest, ReadsRfc7239) {
  EXPECT_EQ(FromForwarded("for=198.51.100.7"), "198.51.100.7");
  EXPECT_EQ(FromForwarded("For=\"[2001:db9:cafe::17]:4711\""), "2001:db9:cafe::17");
  EXPECT_EQ(FromForwarded("for=198.51.100.7;proto=http;by=203.0.113.43"), "198.51.100.7 http");
  EXPECT_EQ(FromForwarded("for=1.1.1.1, for=198.51.100.7;host=\"shop.example:8443\";proto=HTTPS, for=10.0.0.2"),
            "198.51.100.7 via 10.0.0.2 https shop.example:8443");
  EXPECT_EQ(From({{"forwarded", "for=198.51.100.7"}, {"forwarded", "for=10.0.0.2"}}), "198.51.100.7 via 10.0.0.2");
  EXPECT_EQ(FromForwarded("for=198.51.100.7;ext=\"a,b;c\\\"d\", for=10.0.0.2"), "198.51.100.7 via 10.0.0.2");
  for (const char* bad : {"for=_hidden", "for=unknown", "198.51.100.7", "for=\"198.51.100.7", "for=198.51.100.7;for=1.1.1.1", "for=",
                          "for=198.51.100.7;x", "proto=https", "for=2001:db9::1:"}) {
    EXPECT_EQ(FromForwarded(bad).substr(0, 8), "10.0.0.1") << bad;
  }
}

TEST_F(ClientOriginTest, RefusesTwoKindsOfFieldsThatDoNotAgree) {
  EXPECT_EQ(From({{"x-forwarded-for", "198.51.100.7"}, {"forwarded", "for=198.51.100.7;proto=https"}}), "198.51.100.7");
  EXPECT_EQ(From({{"x-forwarded-for", "198.51.100.7"}, {"forwarded", "for=10.9.9.9"}}),
            "Forwarded and X-Forwarded-For name different clients");
  EXPECT_EQ(From({{"x-forwarded-for", "unknown"}, {"forwarded", "for=198.51.100.7"}}),
            "Forwarded and X-Forwarded-For name different clients");
}

TEST_F(ClientOriginTest, BelievesSchemeAndHostOfTheTrustedOnly) {
  EXPECT_EQ(From({{"x-forwarded-for", "198.51.100.7"}, {"x-forwarded-proto", "http"}, {"x-forwarded-host", "Shop.Example"}}),
            "198.51.100.7 http shop.example");
  EXPECT_EQ(From({{"x-forwarded-for", "198.51.100.7"}, {"x-forwarded-proto", "ftp"}, {"x-forwarded-host", "a b"}}), "198.51.100.7");
  EXPECT_EQ(From({{"x-forwarded-for", "198.51.100.7"}, {"x-forwarded-proto", "http, https"}}), "198.51.100.7 https");
}

TEST_F(ClientOriginTest, IsFoundInAListOfThousandsByItsEnd) {
  std::string list;
  for (int i = 0; i < 10'000; ++i) list += "1.1.1.1,";
  EXPECT_EQ(From({{"x-forwarded-for", list + "198.51.100.7, 10.0.0.2"}, {"x-forwarded-proto", "http"}}), "198.51.100.7 via 10.0.0.2 http");
  const std::string commas(30'000, ','), host(500, 'a');
  const absl::Time began = absl::Now();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(From({{"x-forwarded-for", commas + "10.0.0.3"}, {"x-forwarded-host", host}}), "10.0.0.3 " + host);
  EXPECT_LT(absl::Now() - began, absl::Seconds(2)) << "the host is read once, and 64 entries";
}

std::vector<std::string> Told(config::Forwarded kind, const ClientOrigin* origin, const std::string& peer) {
  http::FieldList out;
  AddForwarded(kind, origin, peer, "shop.example:8443", &out);
  std::vector<std::string> lines;
  for (size_t i = 0; i < out.size(); ++i) lines.push_back(absl::StrCat(out[i].name, ": ", out[i].value));
  return lines;
}

TEST(AddForwardedTest, TellsThePeerWhereNobodyIsBetween) {
  using ::testing::ElementsAre;
  EXPECT_THAT(Told(config::Forwarded::kXForwarded, nullptr, "198.51.100.7"),
              ElementsAre("x-forwarded-for: 198.51.100.7", "x-forwarded-proto: https", "x-forwarded-host: shop.example:8443"));
  EXPECT_THAT(Told(config::Forwarded::kForwarded, nullptr, "2001:db9::7"),
              ElementsAre("forwarded: for=\"[2001:db9::7]\";host=\"shop.example:8443\";proto=https"));
  EXPECT_EQ(Told(config::Forwarded::kBoth, nullptr, "198.51.100.7").size(), 4u);
  EXPECT_THAT(Told(config::Forwarded::kNone, nullptr, "198.51.100.7"), ElementsAre());
}

TEST(AddForwardedTest, TellsTheWholeTrustedWay) {
  using ::testing::ElementsAre;
  ClientOrigin origin;
  origin.host = "198.51.100.7";
  origin.hops = {"10.0.0.2"};
  origin.scheme = "http";
  origin.authority = "a.example";
  EXPECT_THAT(Told(config::Forwarded::kBoth, &origin, "10.0.0.1"),
              ElementsAre("x-forwarded-for: 198.51.100.7, 10.0.0.2, 10.0.0.1", "x-forwarded-proto: http",
                          "x-forwarded-host: a.example",
                          "forwarded: for=198.51.100.7;host=\"a.example\";proto=http, for=10.0.0.2, for=10.0.0.1"));
}

}  // namespace
}  // namespace gatehouse::server
