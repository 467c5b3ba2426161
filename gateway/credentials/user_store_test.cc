#include "gateway/credentials/user_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"

namespace gatehouse::credentials {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kCheap[] = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";
constexpr char kDear[] = "$2b$10$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";

User Ann() { return {.name = "ann", .password_hashes = {kCheap}, .claims = {{"role", "admin"}}}; }
User Bob() { return {.name = "bob", .password_hashes = {kDear}}; }

std::shared_ptr<const UserStore> Store(std::vector<User> users) {
  std::vector<UserStoreError> errors;
  auto store = UserStore::Create({"people", std::move(users)}, &errors);
  EXPECT_THAT(errors, IsEmpty());
  return store;
}
std::vector<std::string> ErrorsOf(std::vector<User> users) {
  std::vector<UserStoreError> errors;
  EXPECT_EQ(UserStore::Create({"people", std::move(users)}, &errors), nullptr);
  std::vector<std::string> text;
  for (const UserStoreError& e : errors) text.push_back(absl::StrCat(e.path, ": ", e.message));
  return text;
}

TEST(UserStoreTest, FindsItsUsersByExactName) {
  auto store = Store({Ann(), Bob()});
  ASSERT_NE(store->Find("ann"), nullptr);
  EXPECT_EQ(store->Find("ann")->name, "ann");
  EXPECT_EQ(store->Find("Ann"), nullptr);
  EXPECT_EQ(store->Find(""), nullptr);
}

TEST(UserStoreTest, HasTheSameEpochForTheSameContentInAnyOrder) {
  EXPECT_EQ(Store({Ann(), Bob()})->epoch(), Store({Bob(), Ann()})->epoch());
  EXPECT_NE(Store({Ann(), Bob()})->epoch(), Store({Ann()})->epoch());
}

TEST(UserStoreTest, MovesOnlyTheEpochOfTheUserThatChanged) {
  auto before = Store({Ann(), Bob()});
  std::vector<User> changes(5, Ann());
  changes[0].disabled = true;
  changes[1].password_hashes = {kDear};
  changes[2].expires = absl::FromUnixSeconds(0);
  changes[3].claims[0].value = "user";
  changes[4].password_hashes.push_back(kDear);
  for (const User& changed : changes) {
    auto after = Store({changed, Bob()});
    EXPECT_NE(after->Find("ann")->epoch, before->Find("ann")->epoch);
    EXPECT_EQ(after->Find("bob")->epoch, before->Find("bob")->epoch);
    EXPECT_NE(after->epoch(), before->epoch());
  }
}

TEST(UserStoreTest, ReportsEveryViolationAtOnce) {
  User bad_hash = Ann();
  bad_hash.password_hashes = {kCheap, "plaintext", kCheap};
  User colon = Ann();
  colon.name = "a:b";
  User claim = Bob();
  claim.claims = {{"", "x"}, {"role", "a\nb"}};
  EXPECT_THAT(
      ErrorsOf({bad_hash, colon, claim, Bob()}),
      ElementsAre(HasSubstr("users[\"ann\"].password_hashes: must be one"),
                  HasSubstr("users[\"ann\"].password_hashes[1]: password hash: this is no"),
                  HasSubstr("users[1].name: must not contain a colon"),
                  HasSubstr("users[\"bob\"].claims[0].type: must not be empty"),
                  HasSubstr("users[\"bob\"].claims[1].value: must be UTF-8 without control"),
                  HasSubstr("users[\"bob\"].name: is used by an earlier user")));
}

TEST(UserStoreTest, RefusesUsersWithoutAHashAndNeverQuotesOne) {
  User none = Ann();
  none.password_hashes.clear();
  EXPECT_THAT(ErrorsOf({none}), ElementsAre(HasSubstr("password_hashes")));
  User leaked = Ann();
  leaked.password_hashes = {"hunter2"};
  EXPECT_THAT(ErrorsOf({leaked}), Not(Contains(HasSubstr("hunter2"))));
}

TEST(UserStoreTest, DrawsDecoysFromItsOwnMixAndAlwaysTheSameForOneName) {
  std::vector<User> users;
  for (int i = 0; i < 30; ++i) {
    users.push_back(
        {.name = absl::StrCat("user", i), .password_hashes = {i < 10 ? kCheap : kDear}});
  }
  auto store = Store(users);
  std::map<std::string, int> drawn;
  for (int i = 0; i < 3000; ++i) {
    const std::string name = absl::StrCat("stranger", i);
    absl::Span<const std::string> decoys = store->DecoyHashes(name);
    ASSERT_EQ(decoys.size(), 1u);
    EXPECT_EQ(decoys[0], store->DecoyHashes(name)[0]);
    ++drawn[decoys[0]];
  }
  // A third of the users are cheap: about 1000 of 3000, standard deviation 26.
  EXPECT_NEAR(drawn[kCheap], 1000, 160);
  EXPECT_EQ(drawn[kCheap] + drawn[kDear], 3000);
}

TEST(UserStoreTest, BurnsAHashEvenWithoutUsers) {
  EXPECT_THAT(Store({})->DecoyHashes("x"), ElementsAre(HasSubstr("$argon2id$")));
}

TEST(UserStoreTest, RefusesWeakHashesUntilTheyAreAllowedAndCountsTheirUsers) {
  const User weak{.name = "old", .password_hashes = {kCheap, "{SHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U="}};
  EXPECT_THAT(ErrorsOf({weak, Ann()}), ElementsAre(HasSubstr("users[\"old\"].password_hashes[1]: sha is weak")));
  UserStoreInput input{"people", {weak, Ann()}};
  input.allow_weak_hashes = true;
  EXPECT_EQ(UserStore::Create(std::move(input), nullptr)->weak_users(), 1u);
}

TEST(UserStoreTest, BurnsWhatANewPasswordWouldCostAsLongAsItHasNoUsers) {
  UserStoreInput input{"people", {}};
  input.hashing.kind = HashKind::kBcrypt;
  input.hashing.options.bcrypt_cost = 11;
  const auto store = UserStore::Create(std::move(input), nullptr);
  const std::string decoy = store->DecoyHashes("x")[0];
  EXPECT_EQ(*ParseHash(decoy), (HashCost{HashKind::kBcrypt, 11, 0, 0}));
  EXPECT_TRUE(ParseHash(Store({})->DecoyHashes("x")[0]).ok());
}

TEST(UserStoreTest, KeepsTheEpochOfAUserWhoseHashWasRenewed) {
  const auto before = Store({Ann(), Bob()});
  User renewed = Ann();
  renewed.password_hashes = {kDear};
  renewed.renewed = {{Sha256(kDear), Sha256(kCheap)}};
  EXPECT_EQ(Store({renewed, Bob()})->Find("ann")->epoch, before->Find("ann")->epoch);
  // What is said of a hash that the user does not have any more says nothing.
  renewed.password_hashes = {"$2b$11$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"};
  EXPECT_NE(Store({renewed, Bob()})->Find("ann")->epoch, before->Find("ann")->epoch);
}

TEST(UserStoreTest, BurnsTwoHashesWhereUsersHaveTwo) {
  EXPECT_EQ(Store({{.name = "ann", .password_hashes = {kCheap, kDear}}})->DecoyHashes("x").size(),
            2u);
}

}  // namespace
}  // namespace gatehouse::credentials
