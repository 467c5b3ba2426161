#include "gateway/certs/der.h"

#include <gtest/gtest.h>

#include <string>

namespace gatehouse::certs {
namespace {

std::optional<int64_t> Utc(absl::string_view text) { return ReadDerTime(der::kUtcTime, text); }
std::optional<int64_t> Generalized(absl::string_view text) {
  return ReadDerTime(der::kGeneralizedTime, text);
}

TEST(DerTimeTest, ReadsEveryDayOfFourCenturies) {
  for (absl::CivilDay day(1950, 1, 1); day < absl::CivilDay(2350, 1, 1); ++day) {
    const std::string text = absl::FormatCivilTime(day);
    const std::string digits = text.substr(0, 4) + text.substr(5, 2) + text.substr(8, 2);
    const int64_t expected =
        absl::ToUnixSeconds(absl::FromCivil(day, absl::UTCTimeZone())) + 86'399;
    ASSERT_EQ(Generalized(digits + "235959Z"), expected) << digits;
    if (day.year() < 2050) {
      ASSERT_EQ(Utc(digits.substr(2) + "235959Z"), expected) << digits;
    }
  }
}

TEST(DerTimeTest, RefusesWhatIsNotOfTheOneForm) {
  for (const char* text :
       {"", "Z", "2501010000Z", "250101000000", "250101000000+0000", "250101000000z",
        "251301000000Z", "250001000000Z", "250100000000Z", "250132000000Z", "250229000000Z",
        "250431000000Z", "250101240000Z", "250101006000Z", "250101000060Z", "2501010000 0Z",
        "-50101000000Z", "20250101000000Z", "25010100000/Z", "25010100000:Z"}) {
    EXPECT_EQ(Utc(text), std::nullopt) << text;
  }
  for (const char* text : {"", "20250101000000.5Z", "20250101000000", "202501010000Z",
                           "250101000000Z", "19000229000000Z", "2025010100000\xff", "2025x101000000Z"}) {
    EXPECT_EQ(Generalized(text), std::nullopt) << text;
  }
  EXPECT_TRUE(Generalized("20000229000000Z"));
  EXPECT_EQ(ReadDerTime(der::kOctetString, "250101000000Z"), std::nullopt);
}

TEST(DerReaderTest, ReadsElementsInOrderAndStaysWhereItCannot) {
  const std::string octets("\x02\x01\x05\x04\x00\x30\x03\x02\x01\x07", 10);
  DerReader reader(octets);
  EXPECT_EQ(reader.Next(der::kOctetString), std::nullopt);
  EXPECT_EQ(reader.Next(der::kInteger), "\x05");
  EXPECT_EQ(reader.Next(der::kOctetString), "");
  const std::optional<DerElement> last = reader.Next();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->tag, der::kSequence);
  EXPECT_EQ(last->content.size(), 3u);
  EXPECT_EQ(last->whole.size(), 5u);
  EXPECT_TRUE(reader.done());
  EXPECT_FALSE(reader.Next());
}

TEST(DerReaderTest, RefusesLengthsThatAreNotTheOneEncoding) {
  const std::string long_content(0x80, 'x');
  EXPECT_TRUE(DerReader("\x04\x81\x80" + long_content).Next());
  for (const std::string& octets :
       {std::string("\x04"), std::string("\x04\x01"), std::string("\x30\x80\x00\x00", 4),
        std::string("\x04\x81\x01x", 4), std::string("\x04\x82\x00\x80", 4) + long_content,
        std::string("\x04\x85\x00\x00\x00\x00\x00", 7), std::string("\x04\x84\xff\xff\xff\xff", 6),
        std::string("\x04\x81"), std::string("\x1f\x81\x01\x00", 4), std::string("\x04\xff")}) {
    EXPECT_FALSE(DerReader(octets).Next()) << octets.size();
  }
}

TEST(DerReaderTest, KnowsIntegersInTheirFewestOctets) {
  EXPECT_TRUE(IsDerInteger(std::string("\0", 1)));
  EXPECT_TRUE(IsDerInteger(std::string("\0\x80", 2)));
  EXPECT_TRUE(IsDerInteger("\xff\x7f"));
  EXPECT_FALSE(IsDerInteger(""));
  EXPECT_FALSE(IsDerInteger(std::string("\0\x7f", 2)));
  EXPECT_FALSE(IsDerInteger("\xff\x80"));
}

TEST(DerOidTest, TakesWholeArcsInTheFewestOctets) {
  EXPECT_TRUE(IsDerOid("\x2a"));
  EXPECT_TRUE(IsDerOid("\x2a\x86\x48"));
  EXPECT_TRUE(IsDerOid("\x2a\x81\x80\x01"));  // 0x80 within an arc
  for (const char* wrong : {"", "\x80", "\x80\x01", "\x2a\x80\x01", "\x2a\x86", "\x2a\x86\x80"}) {
    EXPECT_FALSE(IsDerOid(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace gatehouse::certs
