#include "gateway/fetch/address_rules.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <string>

namespace gatehouse::fetch {
namespace {

bool Permits(const AddressRules& rules, const std::string& text) {
  std::array<uint8_t, 16> octets{};
  if (inet_pton(AF_INET, text.c_str(), octets.data()) == 1) return rules.Permits(absl::MakeConstSpan(octets.data(), 4));
  EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), octets.data()), 1) << text;
  return rules.Permits(absl::MakeConstSpan(octets));
}

std::vector<AddressRange> Ranges(std::vector<std::string> texts) {
  std::vector<AddressRange> out;
  for (const std::string& text : texts) out.push_back(*ParseAddressRange(text));
  return out;
}

TEST(AddressRulesTest, WithoutConfigurationOnlyWhatIsSomewhereElseIsReached) {
  const AddressRules rules;
  for (const char* denied : {
           "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "169.254.169.254", "169.254.0.1", "224.0.0.1",
           "239.255.255.255", "240.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192",
           "::", "::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "fd00:ec2::254",
           // IPv4 in IPv6: mapped, compatible, NAT64, 6to4
           "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::127.0.0.1", "::169.254.169.254",
           "64:ff9b::169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe",
           // whatever it carries
           "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "2001:0:1:2::8000:ffff", "fd20:ce::254",
       }) {
    EXPECT_FALSE(Permits(rules, denied)) << denied;
  }
  for (const char* permitted : {
           "1.1.1.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.201", "126.255.255.255",
           "128.0.0.1", "169.253.255.255", "169.255.0.0", "223.255.255.255", "2001:db8::1", "fd00::1", "fc00::1",
           "fd00:ec2::253", "2001:1::1", "64:ff9b:2::1", "::ffff:0:10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::101:101", "2002:a00:1::1",
       }) {
    EXPECT_TRUE(Permits(rules, permitted)) << permitted;
  }
}

TEST(AddressRulesTest, TheLongestPrefixDecides) {
  const AddressRules rules(Ranges({"127.0.0.1", "0.0.0.0/0", "10.1.0.0/16"}), Ranges({"10.0.0.0/8", "10.1.2.0/24"}));
  EXPECT_TRUE(Permits(rules, "127.0.0.1"));
  EXPECT_FALSE(Permits(rules, "127.0.0.2")) << "a wide range does not lift a narrow built-in one";
  EXPECT_FALSE(Permits(rules, "169.254.169.254"));
  EXPECT_FALSE(Permits(rules, "10.2.0.1"));
  EXPECT_TRUE(Permits(rules, "10.1.0.1"));
  EXPECT_FALSE(Permits(rules, "10.1.2.3"));
  EXPECT_TRUE(Permits(rules, "::ffff:127.0.0.1")) << "judged by the IPv4 address that it carries";
}

TEST(AddressRulesTest, OfEqualPrefixesDeniedGoesFirstAndTheBuiltInOnesLast) {
  const AddressRules lifted(Ranges({"127.0.0.0/8", "::1"}), {});
  EXPECT_TRUE(Permits(lifted, "127.3.2.1"));
  EXPECT_TRUE(Permits(lifted, "::1"));
  EXPECT_FALSE(Permits(lifted, "::2")) << "an IPv4-compatible address of this network";
  const AddressRules both(Ranges({"10.0.0.0/8"}), Ranges({"10.0.0.0/8"}));
  EXPECT_FALSE(Permits(both, "10.0.0.1"));
}

TEST(AddressRulesTest, OnlyTheInternetHasAddresses) {
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_FALSE(AddressRules(Ranges({"0.0.0.0/0", "::/0"}), {}).Permits(&other));
}

}  // namespace
}  // namespace gatehouse::fetch
