#include "control/store/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "control/store/store_fixture.h"
#include "gateway/base/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SqliteStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<SqliteStore>> Open() {
    SqliteOptions options;
    options.path = folder_ / "state/store.db";
    return SqliteStore::Open(std::move(options));
  }
  std::string Refusal() {
    auto store = Open();
    return store.ok() ? "opened" : std::string(store.status().message());
  }
  void Put(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string Read(const std::string& name) {
    std::ifstream file(folder_ / name, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  mode_t Mode(const std::string& name) {
    struct stat info {};
    EXPECT_EQ(stat((folder_ / name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  }
  void Sql(const char* sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((folder_ / "state/store.db").c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, &error), SQLITE_OK) << (error == nullptr ? "" : error);
    sqlite3_free(error);
    sqlite3_close(db);
  }

  TemporaryFolder folder_;
};

TEST_F(SqliteStoreTest, AStoreFromBeforeThereWereEntriesGetsThem) {
  { ASSERT_TRUE((*Open())->Commit(Write(0, {Policy("a")})).ok()); }
  Sql("DROP TABLE entry");
  Entry entry;
  entry.method = "M";
  {
    auto store = Open();
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ(*(*store)->Append(entry), 1u);
  }
  EXPECT_EQ((*Open())->History({.limit = 9, .show = v1::HistoryRequest::WRITES})->size(), 2u) << "and keeps them";
}

TEST_F(SqliteStoreTest, ARestartFindsEverything) {
  std::string incarnation, before;
  {
    auto store = *Open();
    ASSERT_TRUE(store->Commit(Write(0, {Policy("a", "1"), Certificate("c", "KEY")})).ok());
    ASSERT_TRUE(store->Commit(Write(1, {Policy("b")})).ok());
    incarnation = store->incarnation();
    before = PrintHead(*store);
  }
  auto store = *Open();
  EXPECT_EQ(store->incarnation(), incarnation);
  EXPECT_EQ(PrintHead(*store), before);
  EXPECT_EQ(store->History({.limit = 10})->size(), 2u);
}

TEST_F(SqliteStoreTest, FilesAreClosedToOthers) {
  auto store = *Open();
  ASSERT_TRUE(store->Commit(Write(0, {Policy("a")})).ok());
  EXPECT_EQ(Mode("state"), 0700u);
  for (const char* name : {"state/store.db", "state/store.db-wal", "state/secret.key"}) EXPECT_EQ(Mode(name), 0600u);
}

TEST_F(SqliteStoreTest, SecretsAreNotReadableInTheFiles) {
  auto store = *Open();
  auto users = std::make_shared<v1::Resource>();
  users->mutable_user_store()->set_name("staff");
  users->mutable_user_store()->add_users()->add_password_hashes("$2y$10$HASHHASHHASH");
  auto scheme = std::make_shared<v1::Resource>();
  scheme->mutable_scheme()->set_name("own");
  v1::ValidatorService& service = *scheme->mutable_scheme()->mutable_basic()->mutable_validator();
  service.mutable_tls()->set_private_key_pem("SERVICEKEYTEXT");
  auto plain = std::make_shared<v1::Resource>();
  plain->mutable_scheme()->set_name("plain");
  ASSERT_TRUE(store->Commit(Write(0, {Certificate("c", "PRIVATEKEYTEXT"), users, scheme, plain, Policy("p", "PLAINTEXT")})).ok());

  const std::string files = Read("state/store.db") + Read("state/store.db-wal");
  EXPECT_THAT(files, HasSubstr("PLAINTEXT"));  // or this test would look in the wrong place
  EXPECT_THAT(files, Not(HasSubstr("PRIVATEKEYTEXT")));
  EXPECT_THAT(files, Not(HasSubstr("HASHHASH")));
  EXPECT_THAT(files, Not(HasSubstr("SERVICEKEYTEXT")));
  const auto state = *store->Load(0);
  EXPECT_EQ(state->resources.at({v1::SCHEME, "own"})->scheme().basic().validator().tls().private_key_pem(),
            "SERVICEKEYTEXT");
  EXPECT_EQ(state->resources.at({v1::SCHEME, "plain"})->scheme().name(), "plain");
}

TEST_F(SqliteStoreTest, ASecondProcessIsLockedOut) {
  auto store = *Open();
  EXPECT_THAT(Refusal(), HasSubstr("locked by another process"));
}

TEST_F(SqliteStoreTest, AFileThatIsNoDatabaseIsRefusedAndKept) {
  { auto store = *Open(); }
  std::remove((folder_ / "state/store.db-wal").c_str());
  Put("state/store.db", std::string(5000, 'x'));
  EXPECT_THAT(Refusal(), HasSubstr("not a database"));
  EXPECT_EQ(Read("state/store.db"), std::string(5000, 'x'));
}

TEST_F(SqliteStoreTest, ADatabaseOfAnotherProgramIsRefused) {
  { auto store = *Open(); }
  std::remove((folder_ / "state/store.db").c_str());
  std::remove((folder_ / "state/store.db-wal").c_str());
  Sql("CREATE TABLE cats(name TEXT)");
  ASSERT_EQ(chmod((folder_ / "state/store.db").c_str(), 0600), 0);
  EXPECT_THAT(Refusal(), HasSubstr("not a store of this program"));
}

TEST_F(SqliteStoreTest, ANewerSchemaIsRefused) {
  { auto store = *Open(); }
  Sql("UPDATE meta SET value = '2' WHERE key = 'schema_version'");
  EXPECT_THAT(Refusal(), HasSubstr("schema version \"2\"; this program knows 1"));
}

TEST_F(SqliteStoreTest, AnotherSecretKeyIsRefused) {
  { auto store = *Open(); }
  Put("state/secret.key", RandomBytes(32));
  EXPECT_THAT(Refusal(), HasSubstr("sealed with another secret key"));
  Put("state/secret.key", "short");
  EXPECT_THAT(Refusal(), HasSubstr("must hold 32 octets, it holds 5"));
}

TEST_F(SqliteStoreTest, AMissingKeyFileIsSaidAndNoNewOneIsMade) {
  { ASSERT_TRUE((*Open())->Commit(Write(0, {Certificate("c", "KEY")})).ok()); }
  const std::string key = Read("state/secret.key");
  ASSERT_EQ(unlink((folder_ / "state/secret.key").c_str()), 0);
  EXPECT_THAT(Refusal(), HasSubstr("secret.key is not there: restore it"));
  EXPECT_NE(access((folder_ / "state/secret.key").c_str(), F_OK), 0);
  Put("state/secret.key", key);
  ASSERT_EQ(chmod((folder_ / "state/secret.key").c_str(), 0600), 0);
  EXPECT_EQ(Refusal(), "opened");
}

class RotationTest : public SqliteStoreTest {
 protected:
  RotationTest() { (*Open())->Commit(Write(0, {Certificate("c", "KEY"), Policy("p")})).value(); }
  void PutKey(const std::string& name, const std::string& key, mode_t mode = 0600) {
    Put(name, key);
    chmod((folder_ / name).c_str(), mode);
  }
  std::vector<std::pair<uint64_t, uint64_t>> steps_;
  absl::StatusOr<std::string> Rotate(SqliteStore& store) {
    return store.RotateKey([this](uint64_t sealed, uint64_t all) { steps_.emplace_back(sealed, all); });
  }
};

TEST_F(RotationTest, TheKeyThatWaitsTakesOverAndTheOldOneOpensNothing) {
  const std::string old_key = Read("state/secret.key"), new_key(32, 'n');
  std::string before;
  {
    auto store = *Open();
    before = PrintHead(*store);
    PutKey("state/secret.key.new", new_key);
    const auto rotated = Rotate(*store);
    ASSERT_TRUE(rotated.ok()) << rotated.status();
    EXPECT_EQ(rotated->size(), 16u);
    EXPECT_EQ(steps_.back(), (std::pair<uint64_t, uint64_t>(1, 1)));
    EXPECT_EQ(PrintHead(*store), before);
    ASSERT_TRUE(store->Commit(Write(1, {Certificate("d", "KEY-2")})).ok());
    before = PrintHead(*store);
  }
  EXPECT_EQ(Read("state/secret.key"), new_key);
  EXPECT_NE(access((folder_ / "state/secret.key.new").c_str(), F_OK), 0);
  EXPECT_EQ(PrintHead(**Open()), before);
  PutKey("state/secret.key", old_key);
  EXPECT_THAT(Refusal(), HasSubstr("sealed with another secret key"));
}

TEST_F(RotationTest, KeysOfThoseWhoSealElsewhereStayAsTheyAre) {
  std::string key;
  {
    auto store = *Open();
    key = std::string(store->KeyFor("gateways")->Reveal());
    EXPECT_EQ(Read("state/state.db").find(key), std::string::npos);
    PutKey("state/secret.key.new", std::string(32, 'n'));
    ASSERT_TRUE(Rotate(*store).ok());
    EXPECT_EQ(store->KeyFor("gateways")->Reveal(), key);
  }
  auto store = *Open();
  EXPECT_EQ(store->KeyFor("gateways")->Reveal(), key);
}

TEST_F(RotationTest, AStartFinishesWhatACrashLeft) {
  const std::string old_key = Read("state/secret.key"), new_key(32, 'n');
  PutKey("state/secret.key.new", new_key);
  ASSERT_TRUE(Rotate(**Open()).ok());
  // As if the power had gone between the commit and the files' change of places.
  PutKey("state/secret.key", old_key);
  PutKey("state/secret.key.new", new_key);
  EXPECT_EQ(Refusal(), "opened");
  EXPECT_EQ(Read("state/secret.key"), new_key);
}

TEST_F(RotationTest, AKeyThatIsNoneChangesNothing) {
  auto store = *Open();
  const std::string before = PrintHead(*store);
  auto refusal = [&] { return std::string(Rotate(*store).status().message()); };
  EXPECT_THAT(refusal(), HasSubstr("put 32 random octets into"));
  PutKey("state/secret.key.new", "short");
  EXPECT_THAT(refusal(), HasSubstr("must hold 32 octets"));
  PutKey("state/secret.key.new", std::string(32, 'n'), 0644);
  EXPECT_THAT(refusal(), HasSubstr("mode 0600"));
  PutKey("state/secret.key.new", Read("state/secret.key"));
  EXPECT_THAT(refusal(), HasSubstr("is the one in force"));
  EXPECT_EQ(PrintHead(*store), before);
  EXPECT_TRUE(store->Commit(Write(1, {Certificate("d", "KEY-2")})).ok());
}

TEST_F(SqliteStoreTest, WhatOthersCanReadIsRefused) {
  { auto store = *Open(); }
  ASSERT_EQ(chmod((folder_ / "state/secret.key").c_str(), 0640), 0);
  EXPECT_THAT(Refusal(), HasSubstr("must be a file of mode 0600 that is yours; its mode is 0640"));
  ASSERT_EQ(chmod((folder_ / "state/secret.key").c_str(), 0600), 0);
  ASSERT_EQ(chmod((folder_ / "state/store.db").c_str(), 0644), 0);
  EXPECT_THAT(Refusal(), HasSubstr("must be a file of mode 0600"));
  ASSERT_EQ(chmod((folder_ / "state/store.db").c_str(), 0600), 0);
  ASSERT_EQ(chmod((folder_ / "state").c_str(), 0777), 0);
  EXPECT_THAT(Refusal(), HasSubstr("not writable by others"));
}

TEST_F(SqliteStoreTest, ASealedBodyOpensOnlyInItsPlace) {
  {
    auto store = *Open();
    ASSERT_TRUE(store->Commit(Write(0, {Certificate("a", "KEY-A"), Certificate("b", "KEY-B")})).ok());
  }
  Sql("UPDATE version SET body = (SELECT body FROM version WHERE name = 'b') WHERE name = 'a'");
  auto store = *Open();
  EXPECT_EQ(store->Load(0).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SqliteStoreTest, TheLineOfRevisionsCannotFork) {
  {
    auto store = *Open();
    ASSERT_TRUE(store->Commit(Write(0, {Policy("a")})).ok());
    ASSERT_TRUE(store->Commit(Write(1, {Policy("b")})).ok());
  }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((folder_ / "state/store.db").c_str(), &db), SQLITE_OK);
  const char* fork =
      "INSERT INTO revision(revision, parent, time, actor, message, changes) VALUES (9, 1, 0, '', '', x'')";
  EXPECT_EQ(sqlite3_exec(db, fork, nullptr, nullptr, nullptr), SQLITE_CONSTRAINT);
  sqlite3_close(db);
}

TEST(SecretBoxTest, OpensWhatItSealedAndNothingElse) {
  const SecretBox box{Secret(std::string(32, 'k'))}, other{Secret(std::string(32, 'o'))};
  for (const std::string& plain : {std::string(), std::string("x"), std::string(100'000, 'y')}) {
    const std::string sealed = box.Seal(plain, "here");
    EXPECT_EQ(*box.Open(sealed, "here"), plain);
    EXPECT_EQ(box.Open(sealed, "there").status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(other.Open(sealed, "here").status().code(), absl::StatusCode::kDataLoss);
    for (size_t at : {size_t{0}, sealed.size() / 2, sealed.size() - 1}) {
      std::string damaged = sealed;
      damaged[at] = static_cast<char>(damaged[at] ^ 1);
      EXPECT_FALSE(box.Open(damaged, "here").ok()) << at;
    }
    EXPECT_FALSE(box.Open(sealed.substr(0, sealed.size() - 1), "here").ok());
    EXPECT_NE(box.Seal(plain, "here"), sealed);
  }
  EXPECT_FALSE(box.Open("", "here").ok());
  EXPECT_NE(box.Fingerprint(), other.Fingerprint());
}

}  // namespace
}  // namespace gatehouse::store
