#include "control/api/user_edits.h"

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kBcrypt4[] = "$2y$04$DCxggwhvFPKJ3nakvNW7jO65cvuVgEkKWva5L5E8fiWMS6hLzg0w6";
constexpr char kBcrypt5[] = "$2b$05$P6fuiPiY9JbsaeOQZT9qW.jBdqlAEcfzfr3jeveXAd.nwPofN.aFe";
constexpr char kArgon2[] = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$zyGkcknq0tngfkqn9yjGnrZeJOb3Za8uvhBvofDKuoE";

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}
std::string Digest(const std::string& text) { return std::string(AsView(Sha256(text))); }

class UserEditsTest : public ::testing::Test {
 protected:
  UserEditsTest() {
    Store(absl::StrCat("name: 'staff' users {name: 'ann' password_hashes: '", kBcrypt4,
                       "' claims {type: 'team' value: '7'} expire_time {seconds: 1900000000}} users {name: 'bob' disabled: true "
                       "password_hashes: '", kBcrypt4, "' password_hashes: '", kBcrypt5, "'}"));
  }
  void Store(const std::string& text) {
    auto resource = std::make_shared<v1::Resource>();
    *resource->mutable_user_store() = Parse<v1::UserStore>(text);
    auto state = std::make_shared<store::State>();
    state->resources[{v1::USER_STORE, "staff"}] = resource;
    state_ = state;
  }
  // What the edit made is what the next one starts from.
  absl::Status Keep(const absl::Status& status, const Draft& draft) {
    if (!status.ok()) return status;
    auto state = std::make_shared<store::State>();
    state->resources = draft.resources();
    state_ = state;
    return status;
  }
  absl::Status Set(const std::string& text, const std::string& hash = "") {
    const auto request = Parse<v1::SetUserRequest>("user_store: 'staff' " + text);
    if (absl::Status checked = CheckSetUser(request); !checked.ok()) return checked;
    Draft draft(state_, etags_);
    return Keep(EditSetUser(request, hash, draft), draft);
  }
  absl::Status Delete(const std::string& text) {
    Draft draft(state_, etags_);
    return Keep(EditDeleteUser(Parse<v1::DeleteUserRequest>("user_store: 'staff' " + text), draft), draft);
  }
  absl::Status Import(const std::vector<credentials::HtpasswdEntry>& entries, ImportCounts* counts, bool replace = false) {
    v1::ImportOptions options;
    options.set_user_store("staff");
    options.set_replace(replace);
    Draft draft(state_, etags_);
    return Keep(EditImport(options, entries, counts, draft), draft);
  }
  const v1::UserStore& Users() const { return state_->resources.at({v1::USER_STORE, "staff"})->user_store(); }
  const v1::User& User(const std::string& name) const { return *FindUser(Users(), name); }
  std::string Etag(const std::string& name) const { return Shown(User(name), {}, etags_).etag(); }

  const Etags etags_;
  store::StateRef state_;
};

TEST_F(UserEditsTest, AMaskChangesWhatItNamesAndNothingElse) {
  const v1::User before = User("ann");
  ASSERT_TRUE(Set("user {name: 'ann' disabled: true} update_mask {paths: 'disabled'}").ok());
  v1::User wanted = before;
  wanted.set_disabled(true);
  EXPECT_EQ(User("ann").DebugString(), wanted.DebugString());
  ASSERT_TRUE(Set("user {name: 'ann'} update_mask {paths: 'expire_time' paths: 'claims'}").ok());
  EXPECT_FALSE(User("ann").has_expire_time()) << "a field that is named and absent is cleared";
  EXPECT_EQ(User("ann").claims_size(), 0);
  EXPECT_TRUE(User("ann").disabled());
  ASSERT_TRUE(Set("user {name: 'ann'} update_mask {paths: 'password'} password: 'x'", "H1").ok());
  EXPECT_THAT(User("ann").password_hashes(), ElementsAre("H1"));
  EXPECT_TRUE(User("ann").disabled());
}

TEST_F(UserEditsTest, TwoPasswordsAreValidUntilTheOldOneIsRetired) {
  ASSERT_TRUE(Set("user {name: 'ann'} update_mask {paths: 'password'} password: 'x' keep_old_password: true", "H1").ok());
  EXPECT_THAT(User("ann").password_hashes(), ElementsAre("H1", kBcrypt4));
  ASSERT_TRUE(Set("user {name: 'ann'} update_mask {paths: 'password'} password: 'x' keep_old_password: true", "H2").ok());
  EXPECT_THAT(User("ann").password_hashes(), ElementsAre("H2", "H1")) << "never three";
  ASSERT_TRUE(Set("user {name: 'ann'} retire_old_password: true").ok());
  EXPECT_THAT(User("ann").password_hashes(), ElementsAre("H2"));
  EXPECT_EQ(User("ann").claims_size(), 1) << "nothing else";
  EXPECT_EQ(Set("user {name: 'ann'} retire_old_password: true").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(User("ann").password_hashes(), ElementsAre("H2")) << "the last one stays";
}

TEST_F(UserEditsTest, ChangesOfWhoIsNotThereAndStaleOnesAreRefused) {
  EXPECT_EQ(Set("user {name: 'eve'} update_mask {paths: 'disabled'}").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Set("user {name: 'eve'} retire_old_password: true").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Set("user {name: 'ann'} create_only: true", "H1").code(), absl::StatusCode::kAlreadyExists);
  const std::string etag = Etag("ann");
  ASSERT_TRUE(Set(absl::StrCat("user {name: 'ann' disabled: true} update_mask {paths: 'disabled'} etag: '", etag, "'")).ok());
  EXPECT_EQ(Set(absl::StrCat("user {name: 'ann'} update_mask {paths: 'disabled'} etag: '", etag, "'")).code(),
            absl::StatusCode::kAborted);
  EXPECT_TRUE(User("ann").disabled());
  EXPECT_EQ(Delete(absl::StrCat("user: 'ann' etag: '", etag, "'")).code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(Set("user {name: 'bob'} update_mask {paths: 'disabled'}").ok()) << "another user's change is no conflict";
  EXPECT_TRUE(Delete(absl::StrCat("user: 'ann' etag: '", Etag("ann"), "'")).ok());
  EXPECT_EQ(Delete("user: 'ann'").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FindUser(Users(), "ann"), nullptr);
}

TEST_F(UserEditsTest, TheEtagMovesWithAPasswordToo) {
  const std::string etag = Etag("ann");
  ASSERT_TRUE(Set("user {name: 'ann'} update_mask {paths: 'password'} password: 'x'", "H1").ok());
  EXPECT_NE(Etag("ann"), etag);
}

TEST_F(UserEditsTest, RequestsThatContradictThemselvesAreRefused) {
  for (const char* text : {
           "user {}",
           "user {name: 'ann' password_hashes: 'H'} password: 'x'",
           "user {name: 'ann'} keep_old_password: true",
           "user {name: 'ann'} update_mask {paths: 'name'}",
           "user {name: 'ann'} update_mask {paths: 'renewed'}",
           "user {name: 'ann'} update_mask {paths: 'password'}",
           "user {name: 'ann'} update_mask {paths: 'disabled'} password: 'x'",
           "user {name: 'ann'} update_mask {paths: 'password_hashes'}",
           "user {name: 'ann' password_hashes: 'H'} update_mask {paths: 'disabled'}",
           "user {name: 'ann'} update_mask {paths: 'disabled'} create_only: true",
           "user {name: 'ann'} retire_old_password: true password: 'x'",
           "user {name: 'ann' disabled: true} retire_old_password: true",
           "user {name: 'ann'} retire_old_password: true update_mask {paths: 'disabled'}",
       }) {
    EXPECT_EQ(Set(text).code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST_F(UserEditsTest, NewPasswordsObeyTheStoresRulesAndAreHashedAsItSays) {
  Store("name: 'staff' hashing {algorithm: BCRYPT bcrypt_cost: 10} password_rules {min_length: 12 denied: 'acme'}");
  const auto why = [&](const char* password) {
    return std::string(HashNewPassword(Users(), "ann", password).status().message());
  };
  EXPECT_THAT(why("too short 1"), HasSubstr("password: must have at least 12 characters"));
  EXPECT_THAT(why("acme2026acme"), IsEmpty()) << "two words are not one";
  EXPECT_THAT(why("ACME 20262027!"), HasSubstr("password: is on the user store's list"));
  EXPECT_THAT(why(std::string(73, 'k').append("z").c_str()), HasSubstr("bcrypt reads only 72 bytes"));
  EXPECT_THAT(why("too short 1"), Not(HasSubstr("too short"))) << "never quoted";
  const auto hash = HashNewPassword(Users(), "ann", "correct horse battery");
  ASSERT_TRUE(hash.ok()) << hash.status();
  EXPECT_EQ(credentials::ParseHash(*hash)->cost, 10u);
  Store("name: 'staff' hashing {argon2_memory_mib: 8 argon2_passes: 1}");
  EXPECT_EQ(HashNewPassword(Users(), "ann", "correct horse battery")->substr(0, 30), "$argon2id$v=19$m=8192,t=1,p=1$");
}

TEST_F(UserEditsTest, AnImportAddsAndReplacesAndKeepsWhatItDoesNotSay) {
  ImportCounts counts;
  ASSERT_TRUE(Import({{"ann", kBcrypt5}, {"carl", kBcrypt4}}, &counts).ok());
  EXPECT_EQ(counts.added, 1u);
  EXPECT_EQ(counts.changed, 1u);
  EXPECT_EQ(counts.removed, 0u);
  EXPECT_THAT(User("ann").password_hashes(), ElementsAre(kBcrypt5));
  EXPECT_EQ(User("ann").claims_size(), 1);
  EXPECT_TRUE(User("ann").has_expire_time());
  EXPECT_TRUE(User("bob").disabled());
  ASSERT_TRUE(Import({{"ann", kBcrypt5}, {"carl", kBcrypt4}}, &counts).ok());
  EXPECT_EQ(counts.unchanged, 2u);
  EXPECT_EQ(counts.added + counts.changed, 0u);
  ASSERT_TRUE(Import({{"bob", kBcrypt4}}, &counts, true).ok());
  EXPECT_EQ(counts.removed, 2u);
  EXPECT_EQ(counts.changed, 1u) << "the second password is gone";
  EXPECT_EQ(Users().users_size(), 1);
  EXPECT_TRUE(User("bob").disabled()) << "an import lets nobody in who was kept out";
}

TEST_F(UserEditsTest, AnImportAllowsWeakHashesOnlyWhenItHasSome) {
  ImportCounts counts;
  ASSERT_TRUE(Import({{"ann", kBcrypt5}}, &counts).ok());
  EXPECT_FALSE(Users().allow_weak_hashes());
  ASSERT_TRUE(Import({{"old", "{SHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U=", true}}, &counts).ok());
  EXPECT_TRUE(Users().allow_weak_hashes());
}

TEST_F(UserEditsTest, RenewedHashesKeepTheirPlaceAndRememberWhatTheyStoodFor) {
  Store(absl::StrCat("name: 'staff' hashing {renew_on_login: true} users {name: 'bob' password_hashes: 'NEW' password_hashes: '",
                     kBcrypt4, "'}"));
  std::vector<std::string> renewed;
  {
    Draft draft(state_, etags_);
    ASSERT_TRUE(Keep(EditRenewHashes({{"staff", "bob", kBcrypt4, kBcrypt5}}, &renewed, draft), draft).ok());
  }
  EXPECT_THAT(renewed, ElementsAre("bob"));
  EXPECT_THAT(User("bob").password_hashes(), ElementsAre("NEW", kBcrypt5));
  ASSERT_EQ(User("bob").renewed_size(), 1);
  EXPECT_EQ(User("bob").renewed(0).hash_sha256(), Digest(kBcrypt5));
  EXPECT_EQ(User("bob").renewed(0).original_sha256(), Digest(kBcrypt4));
  {
    Draft draft(state_, etags_);
    ASSERT_TRUE(Keep(EditRenewHashes({{"staff", "bob", kBcrypt5, kArgon2}}, &renewed, draft), draft).ok());
  }
  ASSERT_EQ(User("bob").renewed_size(), 1) << "what is gone is forgotten";
  EXPECT_EQ(User("bob").renewed(0).hash_sha256(), Digest(kArgon2));
  EXPECT_EQ(User("bob").renewed(0).original_sha256(), Digest(kBcrypt4)) << "the first of the line";
  ASSERT_TRUE(Set("user {name: 'bob'} update_mask {paths: 'password'} password: 'x'", "H9").ok());
  EXPECT_EQ(User("bob").renewed_size(), 0) << "another password";
}

TEST_F(UserEditsTest, AHashThatChangedMeanwhileIsNotRenewedNorWhereNobodyAsks) {
  std::vector<std::string> renewed;
  Draft draft(state_, etags_);
  ASSERT_TRUE(EditRenewHashes({{"staff", "ann", kBcrypt4, kBcrypt5}, {"gone", "ann", kBcrypt4, kBcrypt5}}, &renewed, draft).ok());
  EXPECT_THAT(renewed, IsEmpty()) << "the store does not ask";
  Store(absl::StrCat("name: 'staff' hashing {renew_on_login: true} users {name: 'ann' password_hashes: '", kBcrypt5, "'}"));
  Draft second(state_, etags_);
  ASSERT_TRUE(EditRenewHashes({{"staff", "ann", kBcrypt4, kArgon2}, {"staff", "eve", kBcrypt4, kArgon2}}, &renewed, second).ok());
  EXPECT_THAT(renewed, IsEmpty());
  EXPECT_EQ(second.resources().at({v1::USER_STORE, "staff"}), state_->resources.at({v1::USER_STORE, "staff"}));
}

TEST_F(UserEditsTest, PagesGoByNameAndStayBelowTheirSize) {
  std::string text = "name: 'staff'";
  for (int i : {4, 1, 3, 0, 2}) absl::StrAppend(&text, " users {name: 'u", i, "' password_hashes: '", kBcrypt4, "'}");
  Store(text);
  std::vector<std::string> names;
  std::string token;
  int pages = 0;
  do {
    v1::ListUsersResponse page;
    FillUsers(Users(), token, 2, 1 << 20, etags_, &page);
    for (const v1::StoredUser& user : page.users()) {
      names.push_back(user.user().name());
      EXPECT_EQ(user.user().password_hashes_size(), 0);
      EXPECT_EQ(user.passwords(0).algorithm(), "bcrypt");
      EXPECT_EQ(user.passwords(0).cost(), "cost 4");
      EXPECT_TRUE(user.passwords(0).weaker());
    }
    token = page.next_page_token();
    ++pages;
  } while (!token.empty());
  EXPECT_THAT(names, ElementsAre("u0", "u1", "u2", "u3", "u4"));
  EXPECT_EQ(pages, 3);
  v1::ListUsersResponse small;
  FillUsers(Users(), "", 5, 10, etags_, &small);
  EXPECT_EQ(small.users_size(), 1) << "at least one";
  EXPECT_EQ(small.next_page_token(), "u0");
}

TEST_F(UserEditsTest, AnExportLeavesOutWhoMayNotLogIn) {
  Store(absl::StrCat("name: 'staff' users {name: 'zoe' password_hashes: '", kArgon2, "' password_hashes: '", kBcrypt4,
                     "'} users {name: 'off' disabled: true password_hashes: '", kBcrypt4,
                     "'} users {name: 'old' expire_time {seconds: 100} password_hashes: '", kBcrypt4,
                     "'} users {name: '#hash' password_hashes: '", kBcrypt4, "'} users {name: 'ann' password_hashes: '", kBcrypt5,
                     "'}"));
  v1::ExportSummary summary;
  EXPECT_EQ(ExportFile(Users(), false, absl::FromUnixSeconds(100), &summary).Reveal(),
            absl::StrCat("ann:", kBcrypt5, "\nzoe:", kArgon2, "\n"));
  EXPECT_EQ(summary.users(), 2u);
  EXPECT_EQ(summary.left_out(), 3u);
  EXPECT_EQ(summary.second_passwords(), 1u);
  EXPECT_EQ(summary.argon2id(), 1u);
  v1::ExportSummary all;
  const Secret file = ExportFile(Users(), true, absl::FromUnixSeconds(100), &all);
  EXPECT_EQ(all.left_out(), 1u) << "a name that would be a comment";
  const credentials::HtpasswdFile read = credentials::ParseHtpasswd(file.Reveal(), false);
  EXPECT_THAT(read.errors, IsEmpty());
  EXPECT_EQ(read.entries.size(), 4u);
}

}  // namespace
}  // namespace gatehouse::api
