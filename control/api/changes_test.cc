// The writer, on a store in memory and a publisher that only listens.
#include "control/api/changes.h"

#include "absl/strings/str_cat.h"
#include "control/api/edits.h"
#include "control/api/resource_fields.h"
#include "control/api/user_edits.h"
#include "control/store/memory_store.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FakePublisher final : public Publisher {
 public:
  void Publish(uint64_t revision, const config::ResourceMap& resources) override {
    revisions.push_back(revision);
    last = config::SetOf(resources);
  }
  void WaitInForce(uint64_t, absl::Duration, absl::AnyInvocable<void(v1::ForceStatus)>) override {}
  std::vector<uint64_t> revisions;
  v1::ConfigSet last;
};

// A store that can refuse to commit.
class FailingStore final : public store::Store {
 public:
  const std::string& incarnation() const override { return memory_.incarnation(); }
  absl::StatusOr<uint64_t> Head() override { return memory_.Head(); }
  absl::StatusOr<store::StateRef> Load(uint64_t revision) override { return memory_.Load(revision); }
  absl::StatusOr<uint64_t> Commit(const store::Transaction& transaction) override {
    if (!failure.ok()) return failure;
    return memory_.Commit(transaction);
  }
  absl::StatusOr<Secret> KeyFor(const std::string& name) override { return memory_.KeyFor(name); }
  absl::StatusOr<uint64_t> Append(absl::Span<const store::Entry> entries) override { return memory_.Append(entries); }
  absl::StatusOr<std::vector<v1::Revision>> History(const store::HistoryQuery& query) override { return memory_.History(query); }
  absl::Status failure;

 private:
  store::MemoryStore memory_;
};

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class ChangesTest : public ::testing::Test {
 protected:
  ChangesTest() { EXPECT_TRUE(changes_.Start().ok()); }

  // Policies named "bad…" are refused, ones named "odd…" are warned about.
  static validate::Findings Judge(const v1::ConfigSet& set) {
    validate::Findings findings;
    for (const v1::Policy& policy : set.policies()) {
      v1::Violation violation;
      violation.set_path(validate::PathOf(v1::POLICY, policy.name()));
      violation.set_message("is so");
      if (policy.name().substr(0, 3) == "bad") findings.violations.push_back(violation);
      if (policy.name().substr(0, 3) == "odd") findings.warnings.push_back(violation);
    }
    return findings;
  }

  absl::StatusOr<Outcome> Apply(const std::string& set, WriteOptions options = {}, bool replace_all = false,
                                std::vector<v1::ResourceId> deletions = {}) {
    ApplySet apply;
    apply.options.set_replace_all(replace_all);
    apply.upserts = store::ResourcesOf(Parse<v1::ConfigSet>(set));
    apply.deletions = std::move(deletions);
    options.actor = "uid:7";
    return changes_.Write(options, [&](Draft& draft) { return EditApply(apply, draft); });
  }
  absl::StatusOr<Outcome> Update(const std::string& text) {
    const auto request = Parse<v1::UpdateRequest>(text);
    return changes_.Write({}, [&](Draft& draft) { return EditUpdate(request, draft); });
  }
  absl::StatusOr<Outcome> SetUser(const std::string& text, const std::string& hash) {
    const auto request = Parse<v1::SetUserRequest>(text);
    const absl::Status checked = CheckSetUser(request);
    if (!checked.ok()) return checked;
    return changes_.Write({}, [&](Draft& draft) { return EditSetUser(request, hash, draft); });
  }
  const v1::Resource* Stored(v1::Kind kind, const std::string& name) {
    state_ = changes_.Current();
    auto it = state_->resources.find({kind, name});
    return it == state_->resources.end() ? nullptr : it->second.get();
  }
  const v1::User& StoredUser(int i) { return Stored(v1::USER_STORE, "staff")->user_store().users(i); }
  static std::vector<std::string> Lines(const Outcome& outcome) {
    std::vector<std::string> lines;
    for (const v1::Change& change : outcome.changes) {
      lines.push_back(absl::StrCat(v1::Change::Action_Name(change.action()), " ", change.id().name()));
      for (const std::string& detail : change.details()) lines.push_back(detail);
    }
    return lines;
  }

  FakeClock clock_;
  FailingStore store_;
  FakePublisher publisher_;
  Changes changes_{store_, [](const config::ResourceMap& resources, uint64_t) { return Judge(config::SetOf(resources)); }, publisher_, clock_};
  store::StateRef state_;
};

TEST_F(ChangesTest, AChangeIsCommittedPublishedAndTold) {
  auto outcome = Apply("policies {name: 'a' public_message: 'hi'} upstreams {name: 'u' endpoints: 'h:1'}");
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->revision, 1u);
  EXPECT_THAT(Lines(*outcome), ElementsAre("ADDED a", "public_message: \"\" -> \"hi\"", "ADDED u",
                                           "endpoints: +1 (h:1) -0"));
  EXPECT_THAT(publisher_.revisions, ElementsAre(0, 1));
  EXPECT_EQ(publisher_.last.policies(0).public_message(), "hi");
  EXPECT_EQ(store_.History({.limit = 1})->at(0).actor(), "uid:7");
  EXPECT_EQ(store_.History({.limit = 1})->at(0).changes_size(), 2);
}

TEST_F(ChangesTest, WhatIsTheSameMakesNoRevision) {
  ASSERT_TRUE(Apply("policies {name: 'a' labels {key: 'x' value: '1'} labels {key: 'y' value: '2'}}").ok());
  auto outcome = Apply("policies {name: 'a' labels {key: 'y' value: '2'} labels {key: 'x' value: '1'}}");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->revision, 1u);
  EXPECT_THAT(outcome->changes, IsEmpty());
  EXPECT_THAT(publisher_.revisions, ElementsAre(0, 1));
}

TEST_F(ChangesTest, ADryRunTellsAndChangesNothing) {
  ASSERT_TRUE(Apply("policies {name: 'a'}").ok());
  WriteOptions options;
  options.dry_run = true;
  auto outcome = Apply("policies {name: 'odd'}", options, true);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->revision, 1u);
  EXPECT_THAT(Lines(*outcome), ElementsAre("REMOVED a", "ADDED odd"));
  EXPECT_EQ(outcome->warnings.size(), 1u);
  EXPECT_EQ(*store_.Head(), 1u);
  EXPECT_NE(Stored(v1::POLICY, "a"), nullptr);
}

TEST_F(ChangesTest, WarningsThatStoodBeforeAreToldApart) {
  const auto paths = [](const std::vector<v1::Violation>& warnings) {
    std::vector<std::string> names;
    for (const v1::Violation& warning : warnings) names.push_back(warning.path());
    return names;
  };
  ASSERT_TRUE(Apply("policies {name: 'odd1'}").ok());
  auto outcome = Apply("policies {name: 'odd2'}");  // which is new
  ASSERT_TRUE(outcome.ok());
  EXPECT_THAT(paths(outcome->warnings), ElementsAre("policies[\"odd2\"]"));
  EXPECT_THAT(paths(outcome->standing), ElementsAre("policies[\"odd1\"]"));
  outcome = Apply("policies {name: 'odd1' labels {key: 'x' value: '1'}}");  // what is changed is warned of again
  ASSERT_TRUE(outcome.ok());
  EXPECT_THAT(paths(outcome->warnings), ElementsAre("policies[\"odd1\"]"));
  EXPECT_THAT(paths(outcome->standing), ElementsAre("policies[\"odd2\"]"));
  WriteOptions trial;
  trial.dry_run = true;
  for (int i = 0; i < 2; ++i) {
    outcome = Apply("policies {name: 'odd3'}", trial);  // what was only tried was never told
    ASSERT_TRUE(outcome.ok());
    EXPECT_THAT(paths(outcome->warnings), ElementsAre("policies[\"odd3\"]"));
  }
}

TEST_F(ChangesTest, EveryViolationIsToldAtOnceAndNothingChanges) {
  ASSERT_TRUE(Apply("policies {name: 'a'}").ok());
  auto outcome = Apply("policies {name: 'bad1'} policies {name: 'fine'} policies {name: 'bad2'}");
  EXPECT_EQ(outcome.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(validate::ViolationsOf(outcome.status()).size(), 2u);
  EXPECT_EQ(*store_.Head(), 1u);
  EXPECT_EQ(Stored(v1::POLICY, "fine"), nullptr);
  EXPECT_THAT(publisher_.revisions, ElementsAre(0, 1));
}

TEST_F(ChangesTest, AFailedCommitPublishesNothing) {
  ASSERT_TRUE(Apply("policies {name: 'a'}").ok());
  store_.failure = absl::ResourceExhaustedError("the disk is full");
  EXPECT_EQ(Apply("policies {name: 'b'}").status(), store_.failure);
  EXPECT_EQ(Stored(v1::POLICY, "b"), nullptr);
  EXPECT_THAT(publisher_.revisions, ElementsAre(0, 1));
  store_.failure = absl::OkStatus();
  EXPECT_EQ(Apply("policies {name: 'b'}")->revision, 2u);
}

TEST_F(ChangesTest, AnExpectedRevisionMustBeTheCurrentOne) {
  ASSERT_TRUE(Apply("policies {name: 'a'}").ok());
  WriteOptions options;
  options.expected_revision = 2;
  EXPECT_EQ(Apply("policies {name: 'b'}", options).status().code(), absl::StatusCode::kAborted);
  options.expected_revision = 0;  // of somebody who saw nothing there yet
  EXPECT_EQ(Apply("policies {name: 'b'}", options).status().code(), absl::StatusCode::kAborted);
  options.expected_revision = 1;
  EXPECT_TRUE(Apply("policies {name: 'b'}", options).ok());
}

TEST_F(ChangesTest, AnEtagMustBeTheCurrentOne) {
  ASSERT_TRUE(Apply("policies {name: 'a'}").ok());
  const std::string etag = changes_.etags().Of(*Stored(v1::POLICY, "a"));
  const std::string with = absl::StrCat("resource {policy {name: 'a' public_message: 'x' etag: '", etag, "'}}");
  EXPECT_TRUE(Update(with).ok());
  EXPECT_EQ(Update(with).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Apply(absl::StrCat("policies {name: 'a' etag: '", etag, "'}")).status().code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(Apply(absl::StrCat("policies {name: 'new' etag: '", etag, "'}")).status().code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(GetEtag(*Stored(v1::POLICY, "a")), "");  // never stored
}

TEST_F(ChangesTest, NobodyWithoutTheStoresKeyTriesPasswordsAgainstAnEtag) {
  const auto resource = Parse<v1::Resource>("user_store {name: 's' users {name: 'a' password_hashes: '{SHA}1'}}");
  const v1::User& user = resource.user_store().users(0);
  const auto judge = [](const config::ResourceMap&, uint64_t) { return validate::Findings(); };
  Changes restarted(store_, judge, publisher_, clock_);
  ASSERT_TRUE(restarted.Start().ok());
  EXPECT_EQ(restarted.etags().Of(resource), changes_.etags().Of(resource));
  EXPECT_EQ(restarted.etags().Of(user), changes_.etags().Of(user));

  FailingStore another;
  Changes elsewhere(another, judge, publisher_, clock_);
  ASSERT_TRUE(elsewhere.Start().ok());
  EXPECT_NE(elsewhere.etags().Of(resource), changes_.etags().Of(resource));
  EXPECT_NE(elsewhere.etags().Of(user), changes_.etags().Of(user));
}

TEST_F(ChangesTest, ReplaceAllRemovesWhatIsNotNamedAndKeepsSecrets) {
  ASSERT_TRUE(Apply("policies {name: 'a'} server_certificates {name: 'c' private_key_pem: 'KEY'}").ok());
  auto outcome = Apply("server_certificates {name: 'c' certificate_chain_pem: 'NEW'}", {}, true);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(Stored(v1::POLICY, "a"), nullptr);
  EXPECT_EQ(Stored(v1::SERVER_CERTIFICATE, "c")->server_certificate().private_key_pem(), "KEY");
  EXPECT_THAT(Lines(*outcome),
              ElementsAre("CHANGED c", "certificate_chain_pem: \"\" -> \"NEW\"", "REMOVED a"));
}

TEST_F(ChangesTest, TheKeyToAUsersOwnServiceIsASecretLikeOthers) {
  const std::string head = "schemes {name: 'own' basic {validator {endpoints: '127.0.0.1:1' ";
  ASSERT_TRUE(Apply(head + "tls {certificate_chain_pem: 'CHAIN' private_key_pem: 'KEY'}}}}").ok());
  const auto stored_key = [this] { return Stored(v1::SCHEME, "own")->scheme().basic().validator().tls().private_key_pem(); };
  EXPECT_EQ(Shown(*Stored(v1::SCHEME, "own"), changes_.etags()).ShortDebugString().find("KEY"), std::string::npos);
  auto outcome = Apply(head + "tls {certificate_chain_pem: 'NEW'}}}}");
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(stored_key(), "KEY");
  EXPECT_THAT(Lines(*outcome),
              ElementsAre("CHANGED own", "basic.validator.tls.certificate_chain_pem: \"CHAIN\" -> \"NEW\""));
  outcome = Apply(head + "tls {certificate_chain_pem: 'NEW' private_key_pem: 'OTHER'}}}}");
  EXPECT_THAT(Lines(*outcome), ElementsAre("CHANGED own", "basic.validator.tls.private_key_pem: changed (secret)"));
  ASSERT_TRUE(Apply(head + "tls {ca_pem: 'CA'}}}}").ok());
  EXPECT_EQ(stored_key(), "") << "who no longer says who asks needs no key";
}

TEST_F(ChangesTest, WhatIsNamedTwiceIsRefused) {
  v1::ResourceId a;
  a.set_kind(v1::POLICY);
  a.set_name("a");
  EXPECT_THAT(std::string(Apply("policies {name: 'a'} policies {name: 'a'}").status().message()),
              HasSubstr("policies[\"a\"]: named twice"));
  EXPECT_THAT(std::string(Apply("policies {name: 'a'}", {}, false, {a}).status().message()),
              HasSubstr("to be deleted, and named before"));
  EXPECT_THAT(std::string(Apply("", {}, false, {a}).status().message()), HasSubstr("there is none"));
}

TEST_F(ChangesTest, UnknownFieldsAreRefusedWithTheirResource) {
  v1::CreateRequest request;
  v1::Policy* policy = request.mutable_resource()->mutable_policy();
  policy->set_name("a");
  policy->GetReflection()->MutableUnknownFields(policy)->AddVarint(4711, 1);
  auto outcome = changes_.Write({}, [&](Draft& draft) { return EditCreate(request, draft); });
  EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("policies[\"a\"]: field number 4711 of Policy"));
}

TEST_F(ChangesTest, AMaskChangesItsFieldsOnly) {
  ASSERT_TRUE(Apply("upstreams {name: 'u' endpoints: 'h:1' max_pending: 5 connect_timeout {seconds: 1}}").ok());
  ASSERT_TRUE(Update("resource {upstream {name: 'u' endpoints: 'h:2' max_connections: 9}}"
                     "update_mask {paths: 'endpoints' paths: 'connect_timeout'}")
                  .ok());
  const v1::Upstream& upstream = Stored(v1::UPSTREAM, "u")->upstream();
  EXPECT_THAT(upstream.endpoints(), ElementsAre("h:2"));
  EXPECT_EQ(upstream.max_pending(), 5u);
  EXPECT_EQ(upstream.max_connections(), 0u);
  EXPECT_FALSE(upstream.has_connect_timeout());
}

TEST_F(ChangesTest, AMaskOfOtherFieldsIsRefused) {
  ASSERT_TRUE(Apply("policies {name: 'a'}").ok());
  auto status = Update("resource {policy {name: 'a'}} update_mask {paths: 'colour' paths: 'name' paths: 'etag'}").status();
  EXPECT_EQ(validate::ViolationsOf(status).size(), 3u) << status;
}

TEST_F(ChangesTest, UpdatesAndDeletesNeedSomethingToBeThere) {
  EXPECT_EQ(Update("resource {policy {name: 'a'}}").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Update("resource {}").status().code(), absl::StatusCode::kInvalidArgument);
  v1::DeleteRequest request;
  EXPECT_EQ(changes_.Write({}, [&](Draft& d) { return EditDelete(request, d); }).status().code(),
            absl::StatusCode::kInvalidArgument);
  request.mutable_id()->set_kind(v1::POLICY);
  request.mutable_id()->set_name("a");
  EXPECT_EQ(changes_.Write({}, [&](Draft& d) { return EditDelete(request, d); }).status().code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(Apply("policies {name: 'a'}").ok());
  request.set_etag("stale");
  EXPECT_EQ(changes_.Write({}, [&](Draft& d) { return EditDelete(request, d); }).status().code(),
            absl::StatusCode::kAborted);
  request.clear_etag();
  EXPECT_TRUE(changes_.Write({}, [&](Draft& d) { return EditDelete(request, d); }).ok());
  EXPECT_EQ(Stored(v1::POLICY, "a"), nullptr);
}

TEST_F(ChangesTest, UsersAreSetKeptRotatedAndDeleted) {
  EXPECT_EQ(SetUser("user_store: 'staff' user {name: 'al'}", "H1").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Apply("user_stores {name: 'staff'}").ok());
  EXPECT_THAT(std::string(SetUser("user_store: 'staff' user {name: 'al'}", "").status().message()),
              HasSubstr("a new user needs a password"));
  ASSERT_TRUE(SetUser("user_store: 'staff' user {name: 'al'}", "H1").ok());
  EXPECT_EQ(SetUser("user_store: 'staff' user {name: 'al'} create_only: true", "H2").status().code(),
            absl::StatusCode::kAlreadyExists);

  ASSERT_TRUE(SetUser("user_store: 'staff' user {name: 'al' disabled: true}", "").ok());
  EXPECT_THAT(StoredUser(0).password_hashes(), ElementsAre("H1"));
  EXPECT_TRUE(StoredUser(0).disabled());

  ASSERT_TRUE(SetUser("user_store: 'staff' user {name: 'al'} password: 'x' keep_old_password: true", "H2").ok());
  EXPECT_THAT(StoredUser(0).password_hashes(), ElementsAre("H2", "H1"));
  auto outcome = SetUser("user_store: 'staff' user {name: 'al'}", "H3");
  EXPECT_THAT(StoredUser(0).password_hashes(), ElementsAre("H3"));
  EXPECT_THAT(Lines(*outcome), ElementsAre("CHANGED staff", "users: +0 -0 ~1 (al)"));

  v1::DeleteUserRequest request;
  request.set_user_store("staff");
  request.set_user("al");
  EXPECT_TRUE(changes_.Write({}, [&](Draft& d) { return EditDeleteUser(request, d); }).ok());
  EXPECT_EQ(changes_.Write({}, [&](Draft& d) { return EditDeleteUser(request, d); }).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ChangesTest, AWriteWithoutHashesKeepsThoseOfUsersThatStay) {
  ASSERT_TRUE(Apply("user_stores {name: 's' users {name: 'a' password_hashes: 'HA'} users {name: 'b' password_hashes: 'HB'}}").ok());
  ASSERT_TRUE(Apply("user_stores {name: 's' users {name: 'c' password_hashes: 'HC'} users {name: 'b' disabled: true}}").ok());
  const v1::UserStore& users = Stored(v1::USER_STORE, "s")->user_store();
  ASSERT_EQ(users.users_size(), 2);
  EXPECT_THAT(users.users(0).password_hashes(), ElementsAre("HC"));
  EXPECT_THAT(users.users(1).password_hashes(), ElementsAre("HB"));
}

TEST_F(ChangesTest, AnAppliedStoreThatSaysNothingOfUsersKeepsThemAndOneThatDoesReplacesThem) {
  ASSERT_TRUE(Apply("user_stores {name: 'staff'}").ok());
  ASSERT_TRUE(SetUser("user_store: 'staff' user {name: 'al'}", "H1").ok());
  for (bool replace_all : {false, true}) {
    auto again = Apply("user_stores {name: 'staff'}", {}, replace_all);
    EXPECT_THAT(Lines(*again), ElementsAre()) << replace_all;
    EXPECT_THAT(StoredUser(0).password_hashes(), ElementsAre("H1"));
  }
  auto labelled = Apply("user_stores {name: 'staff' labels {key: 'a' value: 'b'}}");
  EXPECT_EQ(StoredUser(0).name(), "al");
  EXPECT_EQ(Stored(v1::USER_STORE, "staff")->user_store().labels().at("a"), "b");

  auto replaced = Apply("user_stores {name: 'staff' users {name: 'bo' password_hashes: 'H2'}}");
  EXPECT_EQ(Stored(v1::USER_STORE, "staff")->user_store().users_size(), 1);
  EXPECT_THAT(Lines(*replaced), Contains(HasSubstr("users: +1 (bo) -1")));
  // Who is named in an update mask is meant, also when the list is empty.
  ASSERT_TRUE(Update("resource {user_store {name: 'staff'}} update_mask {paths: 'users'}").ok());
  EXPECT_EQ(Stored(v1::USER_STORE, "staff")->user_store().users_size(), 0);
}

TEST_F(ChangesTest, WhatIsShownHasNoSecretsAndAnEtagThatFollowsThem) {
  auto resource = Parse<v1::Resource>("user_store {name: 's' users {name: 'a' password_hashes: 'HA'}}");
  const Etags etags;
  const v1::Resource shown = Shown(resource, etags);
  EXPECT_EQ(shown.ShortDebugString().find("HA"), std::string::npos);
  EXPECT_EQ(GetEtag(shown), etags.Of(resource));
  resource.mutable_user_store()->mutable_users(0)->set_password_hashes(0, "HB");
  EXPECT_NE(GetEtag(shown), etags.Of(resource));
  EXPECT_EQ(Shown(Parse<v1::Resource>("server_certificate {name: 'c' private_key_pem: 'K'}"), etags)
                .server_certificate().private_key_pem(), "");
}

TEST_F(ChangesTest, NobodyButTheServerSaysWhatARenewedHashStoodFor) {
  ASSERT_TRUE(Apply("user_stores {name: 's' users {name: 'a' password_hashes: 'HA' renewed {hash_sha256: 'x' original_sha256: 'y'}}}").ok());
  EXPECT_EQ(Stored(v1::USER_STORE, "s")->user_store().users(0).renewed_size(), 0);
  ASSERT_TRUE(SetUser("user_store: 's' user {name: 'b' password_hashes: 'HB' renewed {hash_sha256: 'x'}}", "").ok());
  EXPECT_EQ(Stored(v1::USER_STORE, "s")->user_store().users(1).renewed_size(), 0);
}

TEST_F(ChangesTest, AWriteThatMayNotBeginAnyMoreChangesNothing) {
  WriteOptions options;
  int asked = 0;
  options.begin = [&] { return ++asked == 1 ? absl::DeadlineExceededError("late") : absl::OkStatus(); };
  EXPECT_EQ(Apply("policies {name: 'a'}", options).status().message(), "late");
  EXPECT_EQ(*store_.Head(), 0u);
  EXPECT_THAT(publisher_.revisions, ElementsAre(0));
  options.dry_run = true;
  EXPECT_TRUE(Apply("policies {name: 'a'}", options).ok());
  EXPECT_EQ(asked, 1) << "a trial writes nothing";
  options.dry_run = false;
  EXPECT_EQ(Apply("policies {name: 'a'}", options)->revision, 1u);
}

TEST_F(ChangesTest, ALongNoteIsRefused) {
  WriteOptions options;
  options.message = std::string(1025, 'x');
  EXPECT_EQ(Apply("policies {name: 'a'}", options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gatehouse::api
