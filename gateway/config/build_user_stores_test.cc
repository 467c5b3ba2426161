#include "gateway/config/build_user_stores.h"

#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BuildUserStoresTest : public BuildTest {
 protected:
  static BuildResult With(const std::string& fields, const Snapshot* previous = nullptr) {
    return BuildText(Base() + "user_stores { name: \"u\" " + fields + " }", previous);
  }
  static std::vector<std::string> Violations(const std::string& fields) { return Lines(With(fields).violations); }
};

TEST_F(BuildUserStoresTest, BoundsHowPasswordsAreHashed) {
  EXPECT_THAT(Violations("hashing { argon2_memory_mib: 4 }"), ElementsAre(HasSubstr("hashing.argon2_memory_mib: must be 8 to 256")));
  EXPECT_THAT(Violations("hashing { argon2_memory_mib: 257 }"), ElementsAre(HasSubstr("argon2_memory_mib")));
  EXPECT_THAT(Violations("hashing { argon2_memory_mib: 4294967295 }"), ElementsAre(HasSubstr("argon2_memory_mib")));
  EXPECT_THAT(Violations("hashing { argon2_passes: 17 }"), ElementsAre(HasSubstr("argon2_passes: must be 1 to 16")));
  EXPECT_THAT(Violations("hashing { argon2_lanes: 17 }"), ElementsAre(HasSubstr("argon2_lanes")));
  EXPECT_THAT(Violations("hashing { argon2_memory_mib: 256 argon2_passes: 5 }"), ElementsAre(HasSubstr("memory times passes")));
  EXPECT_THAT(Violations("hashing { bcrypt_cost: 9 }"), ElementsAre(HasSubstr("bcrypt_cost: must be 10 to 15")));
  EXPECT_THAT(Violations("hashing { bcrypt_cost: 16 }"), ElementsAre(HasSubstr("bcrypt_cost")));
  EXPECT_THAT(Violations("hashing { algorithm: BCRYPT bcrypt_cost: 15 argon2_memory_mib: 256 argon2_passes: 4 }"), IsEmpty());
}

TEST_F(BuildUserStoresTest, RefusesAnUnknownAlgorithm) {
  v1::ConfigSet set = Parse(Base());
  set.mutable_user_stores(0)->mutable_hashing()->set_algorithm(static_cast<v1::PasswordHashing::Algorithm>(9));
  EXPECT_THAT(Lines(Build(set).violations), ElementsAre(HasSubstr("hashing.algorithm: must be ARGON2ID or BCRYPT")));
}

TEST_F(BuildUserStoresTest, BoundsTheRules) {
  EXPECT_THAT(Violations("password_rules { min_length: 7 }"), ElementsAre(HasSubstr("password_rules.min_length: must be 8 to 64")));
  EXPECT_THAT(Violations("password_rules { min_length: 65 }"), ElementsAre(HasSubstr("min_length")));
  EXPECT_THAT(Violations("password_rules { denied: \"\" denied: \"ok\" denied: \"\\377\" }"),
              ElementsAre(HasSubstr("denied[0]"), HasSubstr("denied[2]")));
  std::string many = "password_rules { ";
  for (int i = 0; i < 1001; ++i) many += "denied: \"w\" ";
  EXPECT_THAT(Violations(many + "}"), ElementsAre(HasSubstr("denied: must be at most 1000")));
}

TEST_F(BuildUserStoresTest, WarnsOfWeakHashesAtEveryApplyAndOfAPermissionThatNobodyNeeds) {
  constexpr char kWeak[] = "users { name: \"old\" password_hashes: \"{SHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U=\" }";
  EXPECT_THAT(Violations(kWeak), ElementsAre(HasSubstr("users[\"old\"].password_hashes[0]: sha is weak")));
  const std::string allowed = std::string("allow_weak_hashes: true ") + kWeak;
  const BuildResult first = With(allowed);
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(Lines(first.warnings),
              Contains("userStores[\"u\"].users: 1 user has a hash that a graphics card tries by the million (apr1, {SHA}): "
                          "old; set new passwords, or hashing.renew_on_login"));
  EXPECT_EQ(Lines(With(allowed, first.snapshot.get()).warnings), Lines(first.warnings)) << "an unchanged store, too";
  EXPECT_THAT(Lines(With("allow_weak_hashes: true").warnings), Contains(HasSubstr("no user has a weak hash: take it back")));
}

TEST_F(BuildUserStoresTest, SaysHowNewPasswordsAreHashed) {
  const credentials::PasswordHashing standard = HashingOf({});
  EXPECT_EQ(standard.kind, credentials::HashKind::kArgon2id);
  EXPECT_EQ(standard.options.argon2_memory_bytes, 32u << 20);
  EXPECT_FALSE(standard.renew_on_login);
  v1::PasswordHashing message;
  message.set_algorithm(v1::PasswordHashing::BCRYPT);
  message.set_bcrypt_cost(14);
  message.set_argon2_memory_mib(64);
  message.set_argon2_passes(2);
  message.set_argon2_lanes(4);
  message.set_renew_on_login(true);
  const credentials::PasswordHashing all = HashingOf(message);
  EXPECT_EQ(all.kind, credentials::HashKind::kBcrypt);
  EXPECT_EQ(all.options.bcrypt_cost, 14u);
  EXPECT_EQ(all.options.argon2_memory_bytes, 64u << 20);
  EXPECT_EQ(all.options.argon2_passes, 2u);
  EXPECT_EQ(all.options.argon2_lanes, 4u);
  EXPECT_TRUE(all.renew_on_login);
  EXPECT_EQ(RulesOf({}).min_length, 8u);
}

}  // namespace
}  // namespace gatehouse::config
