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

struct Vector {
  const char* what;
  std::string field;
  std::string user;      // "" and no password: refused
  std::string password;
  BasicError error = BasicError::kMalformed;
};

TEST(ParseBasicTest, DecidesOurVectors) {
  using namespace std::string_literals;
  const auto pair = [](const std::string& text) { return absl::StrCat("Basic ", absl::Base64Escape(text)); };
  const std::vector<Vector> vectors = {
      // RFC 7617 section 2, and 2.1 for UTF-8.
      {"the example", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
      {"the example of UTF-8", "Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3"},
      {"two octets a character", pair("gr\xc3\xbc\xc3\x9f:\xc3\xa4\xc3\xb6"), "gr\xc3\xbc\xc3\x9f", "\xc3\xa4\xc3\xb6"},
      {"three octets", pair("\xe5\xaf\x86:\xe7\xa0\x81"), "\xe5\xaf\x86", "\xe7\xa0\x81"},
      {"four octets", pair("\xf0\x9f\x9a\xaa:\xf0\x9f\x97\x9d"), "\xf0\x9f\x9a\xaa", "\xf0\x9f\x97\x9d"},
      {"the highest character", pair("a:\xf4\x8f\xbf\xbf"), "a", "\xf4\x8f\xbf\xbf"},
      {"decomposed stays decomposed", pair("e\xcc\x81:x"), "e\xcc\x81", "x"},
      {"a byte order mark is part of the name", pair("\xef\xbb\xbf" "a:b"), "\xef\xbb\xbf" "a", "b"},
      {"blanks are characters", pair(" a : b "), " a ", " b "},
      {"a password of colons", pair("a:::"), "a", "::"},
      {"a user of one character, no password", pair("a:"), "a", ""},
      {"base64 without padding", pair("a:bcde"), "a", "bcde"},
      {"one pad", pair("a:bcd"), "a", "bcd"},
      {"two pads", pair("a:bc"), "a", "bc"},
      {"plus and slash", "Basic YTo+Pj8/", "a", ">>?\x3f"},
      {"many blanks after the scheme", "Basic          QTpi", "A", "b"},
      {"upper case", "BASIC QTpi", "A", "b"},
      {"all 511 octets of a longest password", pair("a:" + std::string(511, 'x')), "a", std::string(511, 'x')},
      // Empty parts.
      {"nothing in it", pair(""), "", ""},
      {"a colon alone", pair(":"), "", ""},
      {"no user", pair(":password"), "", ""},
      {"no colon", pair("user"), "", ""},
      // Octets that are no text.
      {"NUL in the user", pair("a\0:b"s), "", ""},
      {"NUL in the password", pair("a:b\0"s), "", ""},
      {"NUL alone", pair("\0"s), "", ""},
      {"a tab", pair("a\t:b"), "", ""},
      {"an escape", pair("a:\x1b[0m"), "", ""},
      {"a line end", pair("a:b\n"), "", ""},
      {"DEL", pair("a:\x7f"), "", ""},
      {"Latin-1", pair("\xe9:x"), "", ""},
      {"a lone continuation", pair("a:\x80"), "", ""},
      {"overlong", pair("a:\xc1\xbf"), "", ""},
      {"overlong NUL", pair("a:\xc0\x80"), "", ""},
      {"a surrogate", pair("a:\xed\xa0\x80"), "", ""},
      {"above the highest character", pair("a:\xf4\x90\x80\x80"), "", ""},
      {"cut in a character", pair("a:\xf0\x9f\x9a"), "", ""},
      // Base64 that is not the one encoding.
      {"URL alphabet", "Basic YTo-Pj8_", "", ""},
      {"no padding where there must be", "Basic YTpiYw", "", ""},
      {"too much padding", "Basic YTpiYw===", "", ""},
      {"padding in the middle", "Basic YQ==OmI=", "", ""},
      {"stray bits", "Basic YTpiYx==", "", ""},
      {"a blank inside", "Basic YTpi Yw==", "", ""},
      {"two tokens", "Basic QTpi QTpi", "", ""},
      {"a list of two", "Basic QTpi, Basic QTpi", "", ""},
      {"parameters", "Basic QTpi, realm=\"x\"", "", ""},
      {"NUL after it", "Basic QTpi\0"s, "", ""},
      {"a tab for the blank", "Basic\tQTpi", "", "", BasicError::kOtherScheme},
      {"no blank", "BasicQTpi", "", "", BasicError::kOtherScheme},
      {"another scheme that begins alike", "Basic2 QTpi", "", "", BasicError::kOtherScheme},
      // Huge.
      {"8 KiB and one octet", "Basic " + std::string(kMaxAuthorizationBytes - 5, 'A'), "", "", BasicError::kTooLarge},
      {"a megabyte", std::string(1 << 20, 'B'), "", "", BasicError::kTooLarge},
  };
  for (const Vector& v : vectors) {
    const BasicResult result = ParseBasic(v.field);
    if (v.user.empty()) {
      EXPECT_TRUE(IsError(result, v.error)) << v.what << ": " << Show(result);
    } else {
      EXPECT_EQ(Show(result), absl::StrCat(v.user, "|", v.password)) << v.what;
    }
  }
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
