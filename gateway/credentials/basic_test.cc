#include "gateway/credentials/basic.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/credentials/base64.h"

namespace gatehouse::credentials {
namespace {

BasicResult ParsePair(absl::string_view pair) {
  return ParseBasic(absl::StrCat("Basic ", absl::Base64Escape(pair)));
}
bool IsError(const BasicResult& result, BasicError error) {
  const BasicError* got = std::get_if<BasicError>(&result);
  return got != nullptr && *got == error;
}
std::string Show(const BasicResult& result) {
  if (const auto* c = std::get_if<BasicCredentials>(&result)) {
    return absl::StrCat(c->user, "|", c->password.Reveal());
  }
  return absl::StrCat("error ", static_cast<int>(std::get<BasicError>(result)));
}

TEST(ParseBasicTest, ReadsTheExampleOfRfc7617) {
  EXPECT_EQ(Show(ParseBasic("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")), "Aladdin|open sesame");
  EXPECT_EQ(Show(ParseBasic("Basic dGVzdDoxMjPCow==")), "test|123\xc2\xa3");
}

TEST(ParseBasicTest, TakesTheSchemeWordInAnyCaseAndSeveralSpaces) {
  EXPECT_EQ(Show(ParseBasic("bASIC   QTpi")), "A|b");
}

TEST(ParseBasicTest, SeparatesAtTheFirstColon) {
  EXPECT_EQ(Show(ParsePair("ann:a:b:")), "ann|a:b:");
}

TEST(ParseBasicTest, ReadsAnEmptyPassword) { EXPECT_EQ(Show(ParsePair("ann:")), "ann|"); }

TEST(ParseBasicTest, LeavesOtherSchemesAlone) {
  for (absl::string_view value :
       {"Bearer abc", "Basicx QTpi", "", " ", "Negotiate", "\tBasic QTpi"}) {
    EXPECT_TRUE(IsError(ParseBasic(value), BasicError::kOtherScheme)) << value;
  }
}

TEST(ParseBasicTest, RefusesWhatIsNotStrictBase64) {
  for (absl::string_view value : {"Basic",          "Basic ",         "Basic    ",
                                  "Basic QTpi ",    "Basic QTpi\t",   "Basic QTp",
                                  "Basic QTpiYw",   "Basic QTpiYw=",  "Basic QTpiYw===",
                                  "Basic QTpi====", "Basic QT pi",    "Basic QTpi,",
                                  "Basic QTpiY===", "Basic =",        "Basic ====",
                                  "Basic QTp=iQ==", "Basic QTpiYx==", "Basic Q\xc3\xa9pi",
                                  "Basic QTpi\n",   "Basic _-__"}) {
    EXPECT_TRUE(IsError(ParseBasic(value), BasicError::kMalformed)) << value;
  }
}

TEST(ParseBasicTest, RefusesPairsThatNobodyCanHave) {
  using namespace std::string_literals;
  for (const std::string& pair :
       {""s, ":"s, ":secret"s, "no colon"s, "a\0b:c"s, "ann:se\0cret"s, "ann\r\n:x"s, "ann:x\x7f"s,
        "ann:\x1f"s, "\xff:x"s, "ann:\xc0\xaf"s, "ann:\xed\xa0\x80"s, "ann:\xe2\x82"s}) {
    EXPECT_TRUE(IsError(ParsePair(pair), BasicError::kMalformed)) << absl::CHexEscape(pair);
  }
}

TEST(ParseBasicTest, RefusesMoreThanEightKibibytesOfAnyScheme) {
  const std::string edge =
      absl::StrCat("Basic ", absl::Base64Escape("a:" + std::string(6134, 'x')));
  ASSERT_LE(edge.size(), kMaxAuthorizationBytes);
  EXPECT_TRUE(std::holds_alternative<BasicCredentials>(ParseBasic(edge)));
  EXPECT_TRUE(IsError(ParseBasic("Basic " + std::string(8187, 'A')), BasicError::kTooLarge));
  EXPECT_TRUE(IsError(ParseBasic("Bearer " + std::string(8192, 'A')), BasicError::kTooLarge));
}

TEST(DecodeBase64Test, InvertsTheEncodingOfEveryLength) {
  std::string bytes, decoded;
  for (int n = 0; n < 70; ++n) {
    ASSERT_TRUE(DecodeBase64(absl::Base64Escape(bytes), Base64Padding::kRequired, &decoded));
    EXPECT_EQ(decoded, bytes);
    bytes.push_back(static_cast<char>(n * 37));
  }
}

TEST(DecodeBase64Test, RefusesPaddingWhereItIsForbidden) {
  std::string decoded;
  EXPECT_TRUE(DecodeBase64("QQ", Base64Padding::kForbidden, &decoded));
  EXPECT_FALSE(DecodeBase64("QQ==", Base64Padding::kForbidden, &decoded));
  EXPECT_FALSE(DecodeBase64("QR", Base64Padding::kForbidden, &decoded));
  EXPECT_EQ(decoded, "");
}

}  // namespace
}  // namespace gatehouse::credentials
