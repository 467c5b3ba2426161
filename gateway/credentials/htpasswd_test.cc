#include "gateway/credentials/htpasswd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "gateway/credentials/password_hash.h"

namespace gatehouse::credentials {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kBcrypt[] = "$2y$04$DCxggwhvFPKJ3nakvNW7jO65cvuVgEkKWva5L5E8fiWMS6hLzg0w6";
constexpr char kApr1[] = "$apr1$9QEgHskj$8tUYKwJPiUkpYFzeBx/2i.";
constexpr char kSha[] = "{SHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U=";

std::vector<std::string> Users(const HtpasswdFile& file) {
  std::vector<std::string> users;
  for (const HtpasswdEntry& entry : file.entries) users.push_back(entry.user);
  return users;
}
std::vector<std::string> Errors(const HtpasswdFile& file) {
  std::vector<std::string> errors;
  for (const HtpasswdError& error : file.errors) errors.push_back(absl::StrCat(error.line, ": ", error.message));
  return errors;
}
// Why a file of one line is refused; "" when it is not.
std::string Why(const std::string& line, bool allow_weak = false) {
  const HtpasswdFile file = ParseHtpasswd(line, allow_weak);
  return file.errors.empty() ? "" : file.errors[0].message;
}

TEST(ParseHtpasswdTest, ReadsUsersAndSkipsCommentsAndEmptyLines) {
  const HtpasswdFile file = ParseHtpasswd(
      absl::StrCat("# staff\n\nann:", kBcrypt, "\r\n   \nbob:", kBcrypt, ":Bob of accounting\ngr\xc3\xbc\xc3\x9f e:", kBcrypt),
      false);
  EXPECT_THAT(Errors(file), IsEmpty());
  EXPECT_THAT(Users(file), ElementsAre("ann", "bob", "gr\xc3\xbc\xc3\x9f e"));
  EXPECT_EQ(file.entries[1].hash, kBcrypt) << "what follows a second colon is a comment";
}

TEST(ParseHtpasswdTest, NamesEveryBadLineAndItsCauseAndNoHash) {
  const HtpasswdFile file = ParseHtpasswd(
      absl::StrCat("ann:", kBcrypt, "\nno colon\n:", kBcrypt, "\nbob:\ncarl:hunter2\nann:", kBcrypt, "\n dan:", kBcrypt,
                   "\n\xef\xbb\xbfray:", kBcrypt, "\nev\te:", kBcrypt, "\n\xff:", kBcrypt, "\nfay:", kBcrypt, " \n"),
      false);
  EXPECT_THAT(Errors(file),
              ElementsAre(HasSubstr("2: has no colon"), HasSubstr("3: user name must not be empty"),
                          HasSubstr("4: has no hash"), HasSubstr("5: password hash: this is no password hash"),
                          HasSubstr("6: names the user of line 1 again"), HasSubstr("7: user name begins or ends with a blank"),
                          HasSubstr("8: begins with a byte order mark"), HasSubstr("9: user name must not contain control"),
                          HasSubstr("10: user name must be UTF-8"), HasSubstr("11: bcrypt hash: must be")));
  for (const std::string& error : Errors(file)) EXPECT_THAT(error, Not(HasSubstr("hunter2")));
}

TEST(ParseHtpasswdTest, TakesWeakHashesOnlyWhenTheyAreAllowed) {
  for (absl::string_view hash : {kApr1, kSha}) {
    EXPECT_THAT(Why(absl::StrCat("ann:", hash)), HasSubstr("is weak; allow_weak_hashes takes it")) << hash;
    const HtpasswdFile file = ParseHtpasswd(absl::StrCat("ann:", hash), true);
    ASSERT_THAT(Users(file), ElementsAre("ann"));
    EXPECT_TRUE(file.entries[0].weak);
  }
  EXPECT_FALSE(ParseHtpasswd(absl::StrCat("ann:", kBcrypt), true).entries[0].weak);
}

TEST(ParseHtpasswdTest, RefusesOtherKindsWithTheirNamesEvenWhenWeakOnesAreAllowed) {
  // As htpasswd, mkpasswd, openssl passwd and slappasswd write them.
  const std::pair<const char*, const char*> cases[] = {
      {"u/MzrD8KEb20M", "DES crypt"},
      {"$1$wC0aoi3Z$tGZQdh6BipLovnYtj0mn0/", "md5-crypt"},
      {"$5$pL.s2F/SLeDbMKuD$TxndlNoviSt0SfQUk4/SuWUuohC9Al.Dvev/cbUp4Z9", "SHA-256-crypt"},
      {"$7$CU..../....qpd0iYACfXS5RXVNM0cEJ0$YjCRNJGD.X6YWhxDugLOZkPeU1nWHyrXOTAb5sCrr22", "scrypt"},
      {"$gy$j9T$w3c/zvR1QuikH9bAp.fC41$WTdlaAeqWWIpVfR/Z7N/f.Yk8aVrtVh7fqc7KjSo6EA", "gost-yescrypt"},
      {"$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$RAquK13ermzOjNSOG3E5+qbxCgyCUqgHKHV2D6E4/IY", "only argon2id"},
      {"$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$pjrI38UnKSfO7axGJT6u1541h//nj+CyEW5j0piz1DY", "version must be v=19"},
      {"$2x$04$DCxggwhvFPKJ3nakvNW7jO65cvuVgEkKWva5L5E8fiWMS6hLzg0w6", "broken early kind"},
      {"{SSHA}rKnVJn1nIrrOVhFRcdIQGKFvOdFuPQ==", "{SSHA}"},
      {"{ssha512}AAAA", "{SSHA}"},
      {"{MD5}X03MO1qnZdYdgyfeuILPmQ==", "{MD5}"},
      {"{sha}mN7MYuzjmaIu0w1JDvMzvn/ec4U=", "in capitals"},
      {"{PLAIN}secret", "only {SHA} is known"},
      {"!", "locked account"},
      {"*", "locked account"},
      {"secret", "plaintext"},
      {"$apr1$9QEgHskj$", "22 characters"},
      {"$apr1$$8tUYKwJPiUkpYFzeBx/2i.", "salt must be 1 to 8"},
      {"{SHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U", "20 octets"},
      {"{SHA}AAAA", "20 octets"},
  };
  for (const auto& [hash, cause] : cases) {
    EXPECT_THAT(Why(absl::StrCat("ann:", hash), true), HasSubstr(cause)) << hash;
    EXPECT_FALSE(VerifyPassword(hash, "correct horse battery")) << hash;
  }
}

TEST(ParseHtpasswdTest, ReadsBackWhatIsWritten) {
  std::string text;
  AppendHtpasswd("ann", kBcrypt, &text);
  AppendHtpasswd("bob", kApr1, &text);
  const HtpasswdFile file = ParseHtpasswd(text, true);
  EXPECT_THAT(Errors(file), IsEmpty());
  EXPECT_THAT(Users(file), ElementsAre("ann", "bob"));
  EXPECT_EQ(file.entries[1].hash, kApr1);
}

}  // namespace
}  // namespace gatehouse::credentials
