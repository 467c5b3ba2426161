// Bindings as resources: what they may say, who may touch them, and that somebody stays owner.
#include "control/api/bindings.h"

#include "absl/strings/str_cat.h"
#include "control/api/edits.h"
#include "control/api/rollback.h"
#include "control/store/memory_store.h"
#include "control/store/store_fixture.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LastSet final : public Publisher {
 public:
  void Publish(uint64_t revision, const config::ResourceMap&) override { last_revision = revision; }
  void WaitInForce(uint64_t, absl::Duration, absl::AnyInvocable<void(v1::ForceStatus)>) override {}
  uint64_t last_revision = 0;
};

class BindingsTest : public ::testing::Test {
 protected:
  void Begin(bool owned_elsewhere = true) {
    BindingRules rules;
    rules.owned_elsewhere = owned_elsewhere;
    rules.changed = [this](std::vector<v1::Binding> bindings) {
      ++heard_;
      names_.clear();
      for (const v1::Binding& binding : bindings) names_.push_back(binding.name());
    };
    changes_.SetBindingRules(std::move(rules));
    ASSERT_TRUE(changes_.Start().ok());
  }
  absl::StatusOr<Outcome> Apply(const std::string& set, Roles roles = kOwnerRoles, bool replace_all = false,
                                std::vector<std::string> deletions = {}) {
    ApplySet apply;
    v1::ConfigSet parsed;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(set, &parsed)) << set;
    apply.upserts = store::ResourcesOf(parsed);
    apply.options.set_replace_all(replace_all);
    for (const std::string& name : deletions) {
      v1::ResourceId& id = apply.deletions.emplace_back();
      id.set_kind(v1::BINDING);
      id.set_name(name);
    }
    return changes_.Write({}, [&](Draft& draft) -> absl::Status {
      const absl::Status edited = EditApply(apply, draft);
      return edited.ok() ? CheckRights(draft, roles) : edited;
    });
  }
  std::string Refusal(const std::string& set) { return std::string(Apply(set).status().message()); }

  FakeClock clock_;
  store::MemoryStore store_;
  LastSet publisher_;
  Changes changes_{store_, [](const config::ResourceMap&, uint64_t) { return validate::Findings(); }, publisher_, clock_};
  int heard_ = 0;
  std::vector<std::string> names_;
};

constexpr char kAlice[] = "bindings {name: 'alice' callers: 'san:spiffe://ops/alice' role: OWNER}";

TEST_F(BindingsTest, AreStoredAndHeardOf) {
  Begin();
  auto outcome = Apply(absl::StrCat(kAlice, " policies {name: 'p'}"));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(names_, ElementsAre("alice"));
  EXPECT_EQ(store_.Load(0).value()->resources.count({v1::BINDING, "alice"}), 1u);
  const int heard = heard_;
  ASSERT_TRUE(Apply("bindings {name: 'bob' callers: 'uid:7' role: VIEWER}", kOwnerRoles).ok());
  EXPECT_EQ(heard_, heard + 1);
  EXPECT_EQ(publisher_.last_revision, 2u) << "a revision like any other";
  ASSERT_TRUE(Apply("policies {name: 'q'}").ok());
  EXPECT_EQ(heard_, heard + 1) << "what touches no binding is not heard of";
}

TEST_F(BindingsTest, OnlyAnOwnerTouchesThem) {
  Begin();
  ASSERT_TRUE(Apply(kAlice).ok());
  const Roles editor = RoleBit(v1::EDITOR) | RoleBit(v1::VIEWER) | RoleBit(v1::USER_ADMIN) | RoleBit(v1::GATEWAY);
  for (const char* set : {"bindings {name: 'me' callers: 'uid:7' role: OWNER}", "bindings {name: 'alice' callers: 'uid:7' role: OWNER}"}) {
    auto refused = Apply(set, editor);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("is a binding: the role OWNER is needed"));
  }
  EXPECT_EQ(Apply("", editor, false, {"alice"}).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Apply("bindings {name: 'x' callers: 'uid:7' role: VIEWER}", editor, true).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(Apply(absl::StrCat(kAlice, " policies {name: 'p'}"), editor).ok()) << "put again as it was";
  EXPECT_EQ(*store_.Head(), 2u);
}

TEST_F(BindingsTest, UsersTakeAUserAdmin) {
  Begin();
  const Roles editor = RoleBit(v1::EDITOR);
  EXPECT_TRUE(Apply("user_stores {name: 'staff'}", editor).ok());
  const char* with_user = "user_stores {name: 'staff' users {name: 'eve' password_hashes: 'x'}}";
  auto refused = Apply(with_user, editor);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("userStores[\"staff\"] would have other users: the role USER_ADMIN"));
  EXPECT_TRUE(Apply(with_user, RoleBit(v1::USER_ADMIN)).ok());
  EXPECT_TRUE(Apply("user_stores {name: 'staff' labels {key: 'a' value: 'b'}}", editor).ok()) << "users stay";
  EXPECT_EQ(Apply("", editor, true).status().code(), absl::StatusCode::kPermissionDenied) << "the store would go with its users";
}

TEST_F(BindingsTest, AWholeConfigurationWithoutBindingsLeavesThem) {
  Begin();
  ASSERT_TRUE(Apply(absl::StrCat(kAlice, " policies {name: 'p'}")).ok());
  ASSERT_TRUE(Apply("policies {name: 'q'}", RoleBit(v1::EDITOR), true).ok());
  EXPECT_EQ(changes_.Current()->resources.count({v1::BINDING, "alice"}), 1u);
  EXPECT_EQ(changes_.Current()->resources.count({v1::POLICY, "p"}), 0u);
  ASSERT_TRUE(Apply("bindings {name: 'bob' callers: 'uid:7' role: OWNER}", kOwnerRoles, true).ok());
  EXPECT_THAT(names_, ElementsAre("bob"));
}

TEST_F(BindingsTest, TheLastOwnerStaysWhereNobodyOwnsASocket) {
  Begin(false);
  ASSERT_TRUE(Apply("policies {name: 'p'}").ok()) << "where there was none there need be none";
  ASSERT_TRUE(Apply(kAlice).ok());
  auto gone = Apply("", kOwnerRoles, false, {"alice"});
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(gone.status().message()), AllOf(HasSubstr("bindings[\"alice\"]"), HasSubstr("the last that makes an owner")));
  EXPECT_FALSE(Apply("bindings {name: 'alice' callers: 'san:spiffe://ops/alice' role: EDITOR}").ok());
  EXPECT_FALSE(Apply("bindings {name: 'alice' callers: 'uid:0' role: OWNER}").ok()) << "there is no socket that root could come by";
  ASSERT_TRUE(Apply("bindings {name: 'bob' callers: 'san:bob.example' role: OWNER}").ok());
  EXPECT_TRUE(Apply("", kOwnerRoles, false, {"alice"}).ok());
  EXPECT_FALSE(Apply("", kOwnerRoles, false, {"bob"}).ok());
}

TEST_F(BindingsTest, WithASocketNoBindingIsTheLast) {
  Begin(true);
  ASSERT_TRUE(Apply(kAlice).ok());
  EXPECT_TRUE(Apply("", kOwnerRoles, false, {"alice"}).ok());
  EXPECT_THAT(names_, IsEmpty());
}

TEST_F(BindingsTest, WhatTheySayIsCheckedAndEverythingWrongIsTold) {
  Begin();
  EXPECT_THAT(Refusal("bindings {name: 'b' callers: 'uid:007' callers: 'alice' callers: 'san:*.example' callers: 'uid:1' callers: 'uid:1'}"),
              AllOf(HasSubstr("bindings[\"b\"].role: required"), HasSubstr("callers[0]: \"uid:007\" names nobody"),
                    HasSubstr("callers[1]: \"alice\""), HasSubstr("callers[2]"), HasSubstr("callers[4]: named twice")));
  EXPECT_THAT(Refusal("bindings {name: '0b' role: VIEWER}"), AllOf(HasSubstr(".name: an id"), HasSubstr(".callers: required")));
  EXPECT_THAT(Refusal("bindings {name: 'b' callers: 'uid:1' role: ANYBODY}"), HasSubstr(".role: required"));
  EXPECT_THAT(Refusal("bindings {name: 'b' callers: 'uid:1' role: 77}"), HasSubstr(".role: required"));
  EXPECT_THAT(Refusal("bindings {name: 'b' callers: 'san:a\\033[2J' role: VIEWER}"), testing::Not(HasSubstr("\033")));
  std::string many = "bindings {name: 'b' role: VIEWER ";
  for (int i = 0; i < 1001; ++i) absl::StrAppend(&many, "callers: 'uid:", i, "' ");
  EXPECT_THAT(Refusal(many + "}"), HasSubstr("1001, at most 1000"));
  EXPECT_EQ(*store_.Head(), 0u);
}

TEST_F(BindingsTest, ARollbackRestoresNone) {
  Begin();
  ASSERT_TRUE(Apply(kAlice).ok());
  ASSERT_TRUE(Apply("bindings {name: 'bob' callers: 'uid:7' role: VIEWER} policies {name: 'p'}", kOwnerRoles, false, {"alice"}).ok());
  std::vector<v1::Violation> kept;
  auto outcome = changes_.Write({}, [&](Draft& draft) {
    EditRollback(**store_.Load(1), true, draft, &kept);
    return CheckRights(draft, RoleBit(v1::EDITOR));
  });
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(changes_.Current()->resources.count({v1::BINDING, "alice"}), 0u);
  EXPECT_EQ(changes_.Current()->resources.count({v1::BINDING, "bob"}), 1u);
  EXPECT_EQ(changes_.Current()->resources.count({v1::POLICY, "p"}), 0u);
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_THAT(kept[0].message(), HasSubstr("a rollback restores no binding"));
}

}  // namespace
}  // namespace gatehouse::api
