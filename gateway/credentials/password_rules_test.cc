#include "gateway/credentials/password_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/credentials/password_hash.h"
#include "gateway/credentials/stable_text.h"

namespace gatehouse::credentials {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Problems(absl::string_view password, const PasswordRules& rules = {}) {
  return PasswordProblems(password, "alice", "partners", rules);
}

TEST(PasswordRulesTest, TakesLongOnesOfAnyCharacters) {
  for (absl::string_view good :
       {"correct horse battery staple", "tr0ub4dor&3", "kPq9xW2m", "grüße an alle", "пароль-другой", "密码密码不容易猜吗",
        "รหัสผ่านยาวมาก", "  blanks count  ", "💂🚪💂🚪🗝🗝🔒x", "Passwordless is the way", "83719465x", "83-71-94-65-02 test"}) {
    EXPECT_THAT(Problems(good), IsEmpty()) << good;
    EXPECT_TRUE(HashPassword(HashKind::kBcrypt, good, {.bcrypt_cost = 4}).ok()) << "usable, too: " << good;
  }
}

TEST(PasswordRulesTest, CountsCharactersAndNotOctets) {
  EXPECT_THAT(Problems("grüßeüä"), ElementsAre(HasSubstr("at least 8 characters"))) << "7 characters, 11 octets";
  EXPECT_THAT(Problems("grüßeüäö"), IsEmpty());
  EXPECT_THAT(Problems("grüßeüäö", {.min_length = 15}), ElementsAre(HasSubstr("at least 15 characters")));
}

TEST(PasswordRulesTest, RefusesTheUsualOnesInTheUsualDisguises) {
  for (absl::string_view bad :
       {"password", "Password1", "PASSWORD123!", "p4$$w0rd", "P@ssw0rd2026", "12345678", "123456789", "87654321", "11111111",
        "qwertyuiop", "Qwertz123", "1qaz2wsx", "1q2w3e4r", "abcdefgh", "iloveyou", "letmein1", "admin123", "welcome1!",
        "changeme", "Sommer2026", "trustno1", "aaaaaaaaaaaaaaaaaaaa", "abcabcabcabc", "20252025", "sunshine", "!!!!!!!!",
        "zyxwvuts", "football"}) {
    EXPECT_THAT(Problems(bad), ElementsAre(HasSubstr("attackers try first"))) << bad;
  }
}

TEST(PasswordRulesTest, RefusesTheNamesOfUserAndStore) {
  for (absl::string_view bad : {"alice2026", "ALICE!!!!", "123alice456", "al1ce0000"}) {
    EXPECT_THAT(Problems(bad), ElementsAre(HasSubstr("user's name"))) << bad;
  }
  EXPECT_THAT(Problems("Partners1"), ElementsAre(HasSubstr("user store's name")));
  EXPECT_THAT(Problems("alice likes partners"), IsEmpty()) << "a sentence is no name";
  EXPECT_THAT(PasswordProblems("4711471x", "4711", "s", {}), IsEmpty());
  EXPECT_THAT(PasswordProblems("48151623", "48151623", "s", {}), ElementsAre(HasSubstr("user's name")));
}

TEST(PasswordRulesTest, RefusesWhatTheStoreDenies) {
  const PasswordRules rules{.denied = {"Example Corp", "gatehouse"}};
  EXPECT_THAT(Problems("example corp 7", rules), ElementsAre(HasSubstr("list of what is refused")));
  EXPECT_THAT(Problems("G4tehouse!", rules), ElementsAre(HasSubstr("list of what is refused")));
  EXPECT_THAT(Problems("gatehouse keeper", rules), IsEmpty());
}

TEST(PasswordRulesTest, RefusesWhatTwoKeyboardsMaySendDifferently) {
  EXPECT_THAT(Problems("cafe\xcc\x81 au lait"), ElementsAre(HasSubstr("more than one way"))) << "e and a combining acute";
  EXPECT_THAT(Problems("caf\xc3\xa9 au lait"), IsEmpty()) << "the composed one";
  EXPECT_THAT(Problems("273 \xe2\x84\xaa is cold"), ElementsAre(HasSubstr("more than one way"))) << "the Kelvin sign";
  EXPECT_THAT(Problems("no\xc2\xa0" "break here"), ElementsAre(HasSubstr("space")));
  EXPECT_THAT(Problems("wide\xe3\x80\x80space here"), ElementsAre(HasSubstr("space")));
  EXPECT_THAT(Problems("zero\xe2\x80\x8bwidth here"), ElementsAre(HasSubstr("invisible")));
  EXPECT_THAT(Problems("right\xe2\x80\xaeto left"), ElementsAre(HasSubstr("invisible")));
  EXPECT_THAT(Problems("private \xee\x80\x80 use"), ElementsAre(HasSubstr("private use")));
  EXPECT_THAT(Problems("no \xef\xbf\xbf character"), ElementsAre(HasSubstr("private use")));
}

TEST(PasswordRulesTest, RefusesWhatBasicCannotCarry) {
  EXPECT_THAT(Problems(""), ElementsAre(HasSubstr("must not be empty")));
  EXPECT_THAT(Problems("line\nbreak in it"), ElementsAre(HasSubstr("control characters")));
  EXPECT_THAT(Problems(absl::string_view("nul\0 in the middle", 17)), ElementsAre(HasSubstr("control characters")));
  EXPECT_THAT(Problems("c1 \xc2\x85 control"), ElementsAre(HasSubstr("control characters")));
  EXPECT_THAT(Problems("latin \xe9 one octet"), ElementsAre(HasSubstr("must be UTF-8")));
  EXPECT_THAT(Problems(std::string(512, 'k')), ElementsAre(HasSubstr("at most 511 bytes")));
}

TEST(PasswordRulesTest, TellsEverythingThatIsWrongAtOnce) {
  EXPECT_THAT(Problems("alice\t1"), ElementsAre(HasSubstr("control"), HasSubstr("at least 8"), HasSubstr("user's name")));
}

TEST(StableTextTest, KnowsTheEdgesOfItsTables) {
  EXPECT_EQ(ProblemOf(0x2FF), CharacterProblem::kNone);
  EXPECT_EQ(ProblemOf(0x300), CharacterProblem::kSpelling);
  EXPECT_EQ(ProblemOf(0x2FA1D), CharacterProblem::kSpelling) << "the last compatibility ideograph";
  EXPECT_EQ(ProblemOf(0x2FA1E), CharacterProblem::kNone);
  EXPECT_EQ(ProblemOf(0xAC00), CharacterProblem::kNone) << "a Hangul syllable";
  EXPECT_EQ(ProblemOf(0x1161), CharacterProblem::kSpelling) << "a vowel that joins one";
  EXPECT_EQ(ProblemOf(0x10FFFF), CharacterProblem::kPrivate);
}

}  // namespace
}  // namespace gatehouse::credentials
