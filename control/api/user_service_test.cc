// UserService and HashRenewals over a real server on a Unix socket, judged by config::Build.
#include "control/api/user_service.h"

#include <grpc/grpc.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "control/api/exports.h"
#include "control/api/server.h"
#include "control/api/user_edits.h"
#include "control/store/memory_store.h"
#include "control/store/store_fixture.h"
#include "gateway/config/build.h"
#include "gateway/credentials/password_hash.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Stub = v1::UserService::Stub;

constexpr char kHorse[] = "correct horse battery";
constexpr char kOfHorse[] = "$2y$04$DCxggwhvFPKJ3nakvNW7jO65cvuVgEkKWva5L5E8fiWMS6hLzg0w6";
constexpr char kOther[] = "$2b$05$P6fuiPiY9JbsaeOQZT9qW.jBdqlAEcfzfr3jeveXAd.nwPofN.aFe";  // the same password's
constexpr char kSha[] = "{SHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U=";
// Hashes are cheap here.
constexpr char kCheap[] = "hashing {argon2_memory_mib: 8 argon2_passes: 1}";

class IdlePublisher final : public Publisher {
 public:
  void Publish(uint64_t, const config::ResourceMap&) override {}
  void WaitInForce(uint64_t, absl::Duration, absl::AnyInvocable<void(v1::ForceStatus)> done) override {
    done(v1::ForceStatus());
  }
};

class UserServiceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { grpc_init(); }

  void SetUp() override {
    ASSERT_TRUE(changes_.Start().ok());
    options_.socket = folder_ / "run/control.sock";
    auto access = ControlServer::Prepare(options_);
    ASSERT_TRUE(access.ok()) << access.status();
    executor_ = std::make_unique<CallExecutor>(3, 64);
    callers_ = access->callers;
    callers_->SetRefused([this](const Caller& who, absl::string_view method, const absl::Status& why) { ledger_.Refused(who, method, why); });
    renewals_ = std::make_unique<HashRenewals>(changes_, ledger_, HashRenewals::Options{.gather = absl::ZeroDuration()});
    service_ = std::make_unique<UserService>(changes_, *renewals_, *executor_, access->guard, ledger_, clock_);
    auto server = ControlServer::Start(options_, *std::move(access), {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::UserService::NewStub(
        grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials()));
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Shutdown(absl::Seconds(1));
    if (callers_ != nullptr) callers_->SetRefused(nullptr);
    executor_.reset();
  }

  static validate::Findings Judge(const config::ResourceMap& resources, uint64_t) {
    validate::Findings findings;
    for (const config::Violation& violation : config::Build(resources).violations) {
      v1::Violation& added = findings.violations.emplace_back();
      added.set_path(violation.path);
      added.set_message(violation.message);
    }
    return findings;
  }
  static void Deadline(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    context->set_wait_for_ready(true);
  }
  template <typename Request>
  static Request Parse(const std::string& text) {
    Request request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
    return request;
  }
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::UserService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const std::string& request, Response* response) {
    grpc::ClientContext context;
    Deadline(&context);
    return (stub_.get()->*method)(&context, Parse<Request>(request), response);
  }
  grpc::Status Import(const std::vector<std::string>& messages, v1::ImportUsersResponse* response) {
    grpc::ClientContext context;
    Deadline(&context);
    auto writer = stub_->ImportUsers(&context, response);
    for (const std::string& message : messages) writer->Write(Parse<v1::ImportUsersRequest>(message));
    writer->WritesDone();
    return writer->Finish();
  }
  grpc::Status Export(const std::string& request, std::string* file, v1::ExportSummary* summary) {
    grpc::ClientContext context;
    Deadline(&context);
    auto reader = stub_->ExportUsers(&context, Parse<v1::ExportUsersRequest>(request));
    v1::ExportUsersResponse piece;
    while (reader->Read(&piece)) {
      file->append(piece.htpasswd());
      if (piece.has_summary()) *summary = piece.summary();
    }
    return reader->Finish();
  }
  void Put(const std::string& store) {
    v1::Resource resource;
    *resource.mutable_user_store() = Parse<v1::UserStore>(store);
    const auto outcome = changes_.Write({}, [&](Draft& draft) {
      draft.PutAsIs(resource);
      return absl::OkStatus();
    });
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }
  store::StateRef Stored() { return *store_.Load(0); }
  const v1::User* StoredUser(const std::string& name) {
    state_ = Stored();
    return FindUser(state_->resources.at({v1::USER_STORE, "staff"})->user_store(), name);
  }
  // What was told, once there are `n` of it.
  std::vector<std::string> AwaitAudit(size_t n) {
    MutexLock lock(&mutex_);
    while (audit_.size() < n) told_.Wait(&mutex_);
    return audit_;
  }
  std::vector<std::string> Told() {
    MutexLock lock(&mutex_);
    return audit_;
  }

  store::TemporaryFolder folder_;
  ControlServerOptions options_;
  FakeClock clock_;
  store::MemoryStore store_;
  IdlePublisher publisher_;
  Changes changes_{store_, Judge, publisher_, clock_};
  Mutex mutex_;
  CondVar told_;
  std::vector<std::string> audit_ ABSL_GUARDED_BY(mutex_);
  Ledger ledger_{store_, clock_, [this](v1::Event event) {
                   MutexLock lock(&mutex_);
                   audit_.push_back(absl::StrCat(v1::Event::Outcome_Name(event.outcome()), " ", event.actor(), " ", event.detail()));
                   told_.SignalAll();
                 }};
  std::shared_ptr<Callers> callers_;
  std::unique_ptr<CallExecutor> executor_;
  std::unique_ptr<HashRenewals> renewals_;
  std::unique_ptr<UserService> service_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<v1::UserService::Stub> stub_;
  store::StateRef state_;
};

TEST_F(UserServiceTest, PasswordsAreHashedHereAndNeverShown) {
  Put(absl::StrCat("name: 'staff' ", kCheap));
  v1::UserChangeResponse change;
  const auto status = Call(&Stub::SetUser, "user_store: 'staff' user {name: 'al'} password: 'correct horse battery'", &change);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(change.user().user().password_hashes_size(), 0);
  EXPECT_EQ(change.user().passwords(0).algorithm(), "argon2id");
  EXPECT_EQ(change.user().passwords(0).cost(), "m=8 MiB, t=1, p=1");
  EXPECT_FALSE(change.user().passwords(0).weaker());
  const std::string hash = StoredUser("al")->password_hashes(0);
  EXPECT_TRUE(credentials::VerifyPassword(hash, kHorse));
  v1::StoredUser user;
  ASSERT_TRUE(Call(&Stub::GetUser, "user_store: 'staff' user: 'al'", &user).ok());
  EXPECT_EQ(user.user().password_hashes_size(), 0);
  EXPECT_EQ(user.DebugString(), change.user().DebugString());
  v1::ListUsersResponse list;
  ASSERT_TRUE(Call(&Stub::ListUsers, "user_store: 'staff'", &list).ok());
  EXPECT_EQ(list.users(0).DebugString(), user.DebugString());
  for (const std::string& line : Told()) {
    EXPECT_THAT(line, Not(HasSubstr("horse")));
    EXPECT_THAT(line, Not(HasSubstr("argon2")));
  }
  EXPECT_EQ((*store_.History({.limit = 1}))[0].message(), "user al");
}

TEST_F(UserServiceTest, ABadPasswordIsRefusedWithEveryCauseAndNothingChanges) {
  Put("name: 'staff'");
  v1::UserChangeResponse change;
  const auto status = Call(&Stub::SetUser, "user_store: 'staff' user {name: 'al'} password: 'al\\001'", &change);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("password: must not contain control characters"));
  EXPECT_THAT(status.error_message(), HasSubstr("password: must have at least 8 characters"));
  EXPECT_THAT(status.error_message(), HasSubstr("password: must not be the user's name"));
  EXPECT_EQ(StoredUser("al"), nullptr);
  EXPECT_THAT(Told().back(), HasSubstr("REFUSED"));
}

TEST_F(UserServiceTest, WhatIsNotThereIsNotFound) {
  Put("name: 'staff'");
  v1::StoredUser user;
  v1::ListUsersResponse list;
  v1::UserChangeResponse change;
  using grpc::StatusCode;
  EXPECT_EQ(Call(&Stub::GetUser, "user_store: 'staff' user: 'al'", &user).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(Call(&Stub::GetUser, "user_store: 'gone' user: 'al'", &user).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(Call(&Stub::ListUsers, "user_store: 'gone'", &list).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(Call(&Stub::ListUsers, "user_store: 'staff' page_size: -1", &list).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Call(&Stub::SetUser, "user_store: 'gone' user {name: 'al'} password: 'correct horse'", &change).error_code(),
            StatusCode::NOT_FOUND);
  EXPECT_EQ(Call(&Stub::DeleteUser, "user_store: 'staff' user: 'al'", &change).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(UserServiceTest, ConcurrentChangesOfDifferentUsersAreAllKept) {
  Put(absl::StrCat("name: 'staff' ", kCheap));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        v1::UserChangeResponse change;
        EXPECT_TRUE(Call(&Stub::SetUser,
                         absl::StrCat("user_store: 'staff' user {name: 'u", t, "-", i, "' password_hashes: '", kOfHorse, "'}"),
                         &change).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Stored()->resources.at({v1::USER_STORE, "staff"})->user_store().users_size(), 20);
}

TEST_F(UserServiceTest, AnImportIsAllOrNothingAndADryRunNamesEveryLine) {
  Put("name: 'staff'");
  const std::string bad = absl::StrCat("ann:", kOfHorse, "\\nbob:plain\\nold:", kSha, "\\n");
  v1::ImportUsersResponse response;
  auto status = Import({absl::StrCat("options {user_store: 'staff'} htpasswd: '", bad, "'")}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("line 2: password hash: this is no password hash"));
  EXPECT_THAT(status.error_message(), HasSubstr("line 3: sha hash: is weak"));
  EXPECT_EQ(StoredUser("ann"), nullptr);
  ASSERT_TRUE(Import({absl::StrCat("options {user_store: 'staff' dry_run: true} htpasswd: '", bad, "'")}, &response).ok());
  EXPECT_EQ(response.bad_line_count(), 2u);
  EXPECT_EQ(response.bad_lines(1).path(), "line 3");
  EXPECT_EQ(response.added(), 1u);
  EXPECT_EQ(StoredUser("ann"), nullptr);

  // Cut in the middle of a line, and of a name.
  response.Clear();
  status = Import({"options {user_store: 'staff' allow_weak_hashes: true messages: 2 message: 'moved'} htpasswd: 'an'",
                   absl::StrCat("htpasswd: 'n:", kOfHorse, "\\nold:", kSha, "'")}, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.added(), 2u);
  EXPECT_EQ(StoredUser("ann")->password_hashes(0), kOfHorse);
  EXPECT_TRUE(Stored()->resources.at({v1::USER_STORE, "staff"})->user_store().allow_weak_hashes());
  EXPECT_EQ((*store_.History({.limit = 1}))[0].message(), "moved");
}

TEST_F(UserServiceTest, AnImportThatBrokeOffOrNamesNobodyChangesNothing) {
  Put(absl::StrCat("name: 'staff' users {name: 'ann' password_hashes: '", kOfHorse, "'}"));
  v1::ImportUsersResponse response;
  const std::string line = absl::StrCat("htpasswd: 'bob:", kOfHorse, "\\n'");
  EXPECT_THAT(Import({absl::StrCat("options {user_store: 'staff' messages: 2 replace: true} ", line)}, &response).error_message(),
              HasSubstr("2 announced, 1 came"));
  EXPECT_THAT(Import({"options {user_store: 'staff' replace: true} htpasswd: '# nobody\\n'"}, &response).error_message(),
              HasSubstr("names no user"));
  EXPECT_EQ(Import({absl::StrCat("options {user_store: 'staff' expected_revision: 7} ", line)}, &response).error_code(),
            grpc::StatusCode::ABORTED);
  EXPECT_EQ(Import({absl::StrCat("options {user_store: 'gone'} ", line)}, &response).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(StoredUser("bob"), nullptr);
  EXPECT_NE(StoredUser("ann"), nullptr);
}

TEST_F(UserServiceTest, TheHistoryTellsOfAnExportBeforeItIsSent) {
  std::string users;
  for (int i = 0; i < 20'000; ++i) absl::StrAppend(&users, "users {name: 'user", i, "' password_hashes: '", kOfHorse, "'} ");
  Put(absl::StrCat("name: 'staff' ", users));
  const uint64_t before = Stored()->revision;
  std::string file;
  v1::ExportSummary summary;
  ASSERT_TRUE(Export("user_store: 'staff'", &file, &summary).ok());
  EXPECT_EQ(summary.users(), 20'000u);
  EXPECT_EQ(summary.revision(), before);
  EXPECT_EQ(*store_.Head(), before) << "nothing changed, and no gateway is woken";
  const auto history = *store_.History({.limit = 1, .show = v1::HistoryRequest::WRITES});
  EXPECT_THAT(history[0].effects(), ElementsAre(absl::StrCat("export of the password hashes of 20000 users of userStores[\"staff\"], as of revision ", before)));
  EXPECT_EQ(history[0].method(), "UserService/ExportUsers");
  EXPECT_EQ(history[0].actor(), absl::StrCat("uid:", geteuid()));
  const credentials::HtpasswdFile read = credentials::ParseHtpasswd(file, false);
  EXPECT_EQ(read.entries.size(), 20'000u);
  EXPECT_EQ(read.errors.size(), 0u);
  EXPECT_EQ(Export("user_store: 'gone'", &file, &summary).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(UserServiceTest, ExportsThatNobodyReadsAreFewAndThoseRefusedAreNotToldOf) {
  std::string users;
  for (int i = 0; i < 20'000; ++i) absl::StrAppend(&users, "users {name: 'user", i, "' password_hashes: '", kOfHorse, "'} ");
  Put(absl::StrCat("name: 'staff' ", users));
  grpc::ChannelArguments small;  // what its end takes unread
  small.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  small.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65536);
  const auto stub = v1::UserService::NewStub(
      grpc::CreateCustomChannel(server_->addresses()[0], grpc::InsecureChannelCredentials(), small));
  const auto request = Parse<v1::ExportUsersRequest>("user_store: 'staff'");
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::ExportUsersResponse>>> unread;
  for (size_t i = 0; i < Exports::kMostOfOne; ++i) {
    Deadline(contexts.emplace_back(std::make_unique<grpc::ClientContext>()).get());
    unread.push_back(stub->ExportUsers(contexts.back().get(), request));
    unread.back()->WaitForInitialMetadata();
  }
  std::string file;
  v1::ExportSummary summary;
  const grpc::Status refused = Export("user_store: 'staff'", &file, &summary);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("has 4 exports running already: read them to their end or cancel them"));
  size_t told = 0;
  const auto history = *store_.History({.limit = 20, .show = v1::HistoryRequest::WRITES});
  for (const v1::Revision& entry : history) {
    if (entry.method() == "UserService/ExportUsers") ++told;
  }
  EXPECT_EQ(told, Exports::kMostOfOne);

  for (v1::ExportUsersResponse piece; unread[0]->Read(&piece);) file.append(piece.htpasswd());
  EXPECT_TRUE(unread[0]->Finish().ok());
  file.clear();
  const grpc::Status again = Export("user_store: 'staff'", &file, &summary);
  EXPECT_TRUE(again.ok()) << again.error_message();
  EXPECT_EQ(credentials::ParseHtpasswd(file, false).entries.size(), 20'000u);
  for (auto& context : contexts) context->TryCancel();
}

class RenewHashTest : public UserServiceTest {
 protected:
  void Renewing(const std::string& hashes) {
    Put(absl::StrCat("name: 'staff' hashing {argon2_memory_mib: 8 argon2_passes: 1 renew_on_login: true} users {name: 'ann' ",
                     hashes, "}"));
  }
  grpc::Status Offer(const std::string& user, const std::string& password) {
    v1::RenewHashResponse response;
    return Call(&Stub::RenewHash, absl::StrCat("user_store: 'staff' user: '", user, "' password: '", password, "'"), &response);
  }
};

TEST_F(RenewHashTest, AVerifiedPasswordGetsANewHash) {
  Renewing(absl::StrCat("password_hashes: '", kOfHorse, "'"));
  ASSERT_TRUE(Offer("ann", kHorse).ok());
  EXPECT_THAT(AwaitAudit(1)[0], HasSubstr("RenewHash: 1 changes"));
  const v1::User* ann = StoredUser("ann");
  EXPECT_EQ(ann->password_hashes(0).substr(0, 30), "$argon2id$v=19$m=8192,t=1,p=1$");
  EXPECT_TRUE(credentials::VerifyPassword(ann->password_hashes(0), kHorse));
  EXPECT_EQ(ann->renewed_size(), 1);
  const auto history = *store_.History({.limit = 1});
  EXPECT_EQ(history[0].actor(), absl::StrCat("uid:", geteuid()));
  EXPECT_EQ(history[0].message(), "new hashes for old passwords on login, 1 user: ann");
}

TEST_F(RenewHashTest, AGatewayCannotRenewWhatItDoesNotKnow) {
  Renewing(absl::StrCat("password_hashes: '", kOfHorse, "'"));
  ASSERT_TRUE(Offer("ann", "a password of its own").ok()) << "it learns nothing";
  EXPECT_THAT(AwaitAudit(1)[0], HasSubstr("the password offered for userStores[\"staff\"].users[\"ann\"] is not the user's"));
  EXPECT_THAT(StoredUser("ann")->password_hashes(), ElementsAre(kOfHorse));
}

TEST_F(RenewHashTest, OnlyTheHashThatIsWeakerIsRenewedAndOnlyOnce) {
  const std::string good = *credentials::HashPassword(credentials::HashKind::kArgon2id, "another password",
                                                      {.argon2_passes = 1, .argon2_memory_bytes = 8 << 20});
  Renewing(absl::StrCat("password_hashes: '", good, "' password_hashes: '", kOther, "'"));
  ASSERT_TRUE(Offer("ann", kHorse).ok());
  AwaitAudit(1);
  const std::vector<std::string> now(StoredUser("ann")->password_hashes().begin(), StoredUser("ann")->password_hashes().end());
  EXPECT_EQ(now[0], good);
  EXPECT_TRUE(credentials::VerifyPassword(now[1], kHorse));
  // Both are as good as new ones: whatever is offered is dropped, without a word and without a revision.
  const uint64_t revision = Stored()->revision;
  for (const char* password : {kHorse, "another password", "none of the two"}) ASSERT_TRUE(Offer("ann", password).ok());
  renewals_ = nullptr;  // they have had their turn, or never will
  EXPECT_EQ(Stored()->revision, revision);
}

TEST_F(RenewHashTest, AStoreThatDoesNotAskGetsNone) {
  Put(absl::StrCat("name: 'staff' users {name: 'ann' password_hashes: '", kOfHorse, "'} "));
  const uint64_t revision = Stored()->revision;
  ASSERT_TRUE(Offer("ann", kHorse).ok());
  ASSERT_TRUE(Offer("nobody", kHorse).ok());
  EXPECT_EQ(Offer("ann", "").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  renewals_ = nullptr;
  EXPECT_EQ(Stored()->revision, revision);
}

TEST_F(RenewHashTest, ManyUsersMakeOneRevisionAndTooManyAreTurnedAway) {
  std::string users;
  for (int i = 0; i < 6; ++i) absl::StrAppend(&users, "users {name: 'u", i, "' password_hashes: '", kOfHorse, "'} ");
  Put(absl::StrCat("name: 'staff' hashing {algorithm: BCRYPT bcrypt_cost: 10 renew_on_login: true} ", users));
  const uint64_t revision = Stored()->revision;
  HashRenewals slow(changes_, ledger_, {.max_waiting = 8, .max_gathered = 6, .gather = absl::Hours(1)});
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(slow.Offer("gateway:a", "staff", absl::StrCat("u", i), Secret(absl::string_view(kHorse))).ok());
  AwaitAudit(1);
  EXPECT_EQ(Stored()->revision, revision + 1);
  for (int i = 0; i < 6; ++i) EXPECT_NE(StoredUser(absl::StrCat("u", i))->password_hashes(0), kOfHorse);
  EXPECT_THAT((*store_.History({.limit = 1}))[0].message(), HasSubstr("6 users: u0, u1, u2, u3, u4, ..."));
  HashRenewals full(changes_, ledger_, {.max_waiting = 0});
  EXPECT_EQ(full.Offer("gateway:a", "staff", "u0", Secret(absl::string_view(kHorse))).code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace gatehouse::api
