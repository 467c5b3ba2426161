// ConfigService over a real server on a Unix socket, judged by config::Build.
#include <unistd.h>

#include <future>

#include "control/api/config_service_fixture.h"
#include "gateway/base/escape.h"
#include "gmock/gmock.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kUpstream[] = "upstream {name: 'u' endpoints: '127.0.0.1:1'}";

TEST_F(ConfigServiceTest, CreatesReadsUpdatesListsAndDeletes) {
  using Stub = v1::ConfigService::Stub;
  v1::ChangeResponse change;
  ASSERT_TRUE(Call(&Stub::Create, absl::StrCat("message: 'first' resource {", kUpstream, "}"), &change).ok());
  EXPECT_EQ(change.revision(), 1u);
  const std::string etag = change.resource().upstream().etag();
  EXPECT_FALSE(etag.empty());
  EXPECT_EQ(Call(&Stub::Create, absl::StrCat("resource {", kUpstream, "}"), &change).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);

  v1::Resource resource;
  ASSERT_TRUE(Call(&Stub::Get, "id {kind: UPSTREAM name: 'u'}", &resource).ok());
  EXPECT_EQ(resource.upstream().etag(), etag);
  EXPECT_EQ(Call(&Stub::Get, "id {kind: UPSTREAM name: 'v'}", &resource).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Call(&Stub::Get, "id {name: 'v'}", &resource).error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  change.Clear();
  ASSERT_TRUE(Call(&Stub::Update, "resource {upstream {name: 'u' max_pending: 7}} update_mask {paths: 'max_pending'}",
                   &change).ok());
  EXPECT_EQ(change.resource().upstream().max_pending(), 7u);
  EXPECT_THAT(change.resource().upstream().endpoints(), ElementsAre("127.0.0.1:1"));

  v1::HistoryResponse history;
  ASSERT_TRUE(Call(&Stub::History, "page_size: 1", &history).ok());
  EXPECT_EQ(history.revisions(0).revision(), 2u);
  const std::string next = absl::StrCat("page_token: '", history.next_page_token(), "'");
  ASSERT_TRUE(Call(&Stub::History, next, &history).ok());
  ASSERT_EQ(history.revisions_size(), 1);
  EXPECT_EQ(history.revisions(0).message(), "first");
  EXPECT_EQ(history.revisions(0).actor(), absl::StrCat("uid:", geteuid()));
  EXPECT_EQ(history.next_page_token(), "");

  EXPECT_EQ(Call(&Stub::Delete, "id {kind: UPSTREAM name: 'u'} etag: 'x'", &change).error_code(),
            grpc::StatusCode::ABORTED);
  EXPECT_TRUE(Call(&Stub::Delete, "id {kind: UPSTREAM name: 'u'}", &change).ok());
  EXPECT_EQ(Call(&Stub::Get, "id {kind: UPSTREAM name: 'u'}", &resource).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ConfigServiceTest, TheHistoryIsOneLineOfRevisionsAndOtherWritesInPages) {
  using Stub = v1::ConfigService::Stub;
  v1::ChangeResponse change;
  const auto note = [&](const std::string& effect, bool routine = false) {
    Act act{"GatewayService/X", {effect}};
    act.routine = routine;
    ASSERT_TRUE(ledger_.Append(Caller("uid:1"), act).ok());
  };
  note("before all");
  ASSERT_TRUE(Call(&Stub::Create, absl::StrCat("resource {", kUpstream, "}"), &change).ok());
  note("first");
  note("by itself", true);
  note("second");
  ledger_.Refused(Caller("uid:2"), "X/Y", absl::NotFoundError("none"));
  ledger_.Flush();
  ASSERT_TRUE(Call(&Stub::Delete, "id {kind: UPSTREAM name: 'u'}", &change).ok());
  const auto all = [&](const std::string& show, int page_size) {
    std::vector<std::string> lines;
    std::string token;
    do {
      v1::HistoryResponse page;
      EXPECT_TRUE(Call(&Stub::History, absl::StrCat("page_size: ", page_size, " page_token: '", token, "' ", show), &page).ok());
      for (const v1::Revision& one : page.revisions()) {
        EXPECT_EQ(one.parent(), one.entry() == 0 ? one.revision() - 1 : one.revision());
        lines.push_back(absl::StrCat(one.revision(), one.entry() == 0 ? "" : absl::StrCat(" ", one.refusal().empty() ? one.effects(0) : one.refusal())));
      }
      EXPECT_LE(page.revisions_size(), page_size);
      token = page.next_page_token();
    } while (!token.empty());
    return lines;
  };
  for (int size : {1, 2, 3, 5, 6, 100}) {
    EXPECT_THAT(all("", size), ElementsAre("2", "1 second", "1 first", "1", "0 before all")) << size;
    EXPECT_THAT(all("show: CONFIGURATION", size), ElementsAre("2", "1")) << size;
    EXPECT_THAT(all("show: EVERYTHING", size), ElementsAre("2", "1 none", "1 second", "1 by itself", "1 first", "1", "0 before all")) << size;
    EXPECT_THAT(all("show: REFUSALS", size), ElementsAre("1 none")) << size;
  }
  v1::HistoryResponse page;
  for (const char* bad : {"page_token: 'x'", "page_token: '1.'", "page_token: '1.2.3'", "page_token: '-1'", "page_size: -1"}) {
    EXPECT_EQ(Call(&Stub::History, bad, &page).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << bad;
  }
  EXPECT_EQ(*store_.Head(), 2u);
}

TEST_F(ConfigServiceTest, RollsBackAsANewRevisionAndTellsWhatItLeftAlone) {
  using Stub = v1::ConfigService::Stub;
  v1::ApplyResponse response;
  ASSERT_TRUE(Apply({absl::StrCat("resources { upstreams {name: 'u' endpoints: '127.0.0.1:1'} }")}, &response).ok());
  ASSERT_TRUE(Apply({"resources { upstreams {name: 'u' endpoints: '127.0.0.1:2'} user_stores {name: 's'} "
                     "schemes {name: 'b' basic {user_store: 's'}} }"},
                    &response).ok());
  EXPECT_EQ(Call(&Stub::Rollback, "", &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Call(&Stub::Rollback, "revision: 7", &response).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Call(&Stub::Rollback, "revision: 1 expected_revision: 1", &response).error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(Call(&Stub::Rollback, "revision: 1 expected_revision: 0", &response).error_code(), grpc::StatusCode::ABORTED);

  response.Clear();
  ASSERT_TRUE(Call(&Stub::Rollback, "revision: 1 dry_run: true", &response).ok());
  EXPECT_EQ(response.revision(), 2u);
  ASSERT_EQ(response.changes_size(), 1);
  EXPECT_EQ(response.changes(0).id().name(), "u");
  EXPECT_EQ(changes_.Current()->revision, 2u);

  response.Clear();
  ASSERT_TRUE(Call(&Stub::Rollback, "revision: 1", &response).ok());
  EXPECT_EQ(response.revision(), 3u);
  ASSERT_EQ(response.warnings_size(), 2);
  EXPECT_EQ(response.warnings(0).path(), "schemes[\"b\"]");
  EXPECT_EQ(response.warnings(1).path(), "userStores[\"s\"]");
  v1::Resource resource;
  ASSERT_TRUE(Call(&Stub::Get, "id {kind: UPSTREAM name: 'u'}", &resource).ok());
  EXPECT_EQ(resource.upstream().endpoints(0), "127.0.0.1:1");
  ASSERT_TRUE(Call(&Stub::Get, "id {kind: SCHEME name: 'b'}", &resource).ok());
  v1::HistoryResponse history;
  ASSERT_TRUE(Call(&Stub::History, "page_size: 1", &history).ok());
  EXPECT_EQ(history.revisions(0).message(), "rollback to revision 1");

  response.Clear();
  ASSERT_TRUE(Call(&Stub::Rollback, "revision: 0 restore_trust: true", &response).ok());
  EXPECT_EQ(Call(&Stub::Get, "id {kind: SCHEME name: 'b'}", &resource).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(Call(&Stub::Get, "id {kind: USER_STORE name: 's'}", &resource).ok());
  EXPECT_THAT(Audit(), ::testing::Contains(absl::StrCat("NOTICE uid:", geteuid(), " ConfigService/Rollback: 2 changes")));
}

TEST_F(ConfigServiceTest, ARollbackThatDoesNotHoldTogetherIsRefusedWithWhatMayBeWhy) {
  using Stub = v1::ConfigService::Stub;
  v1::ApplyResponse response;
  ASSERT_TRUE(Apply({"resources { user_stores {name: 's'} schemes {name: 'b' basic {user_store: 's'}} "
                     "routes {name: 'r' match {path: '/'} require {any_of: 'b'} fixed_response {}} }"},
                    &response).ok());
  ASSERT_TRUE(Apply({"deletions {kind: ROUTE name: 'r'} deletions {kind: SCHEME name: 'b'}"}, &response).ok());
  const grpc::Status refused = Call(&Stub::Rollback, "revision: 1", &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("schemes[\"b\"] stays as it is now: trust comes back only with restore_trust"));
  EXPECT_EQ(changes_.Current()->revision, 2u);
  EXPECT_TRUE(Call(&Stub::Rollback, "revision: 1 restore_trust: true", &response).ok());
}

TEST_F(ConfigServiceTest, ListsInPagesByName) {
  std::string set;
  for (int i = 0; i < 25; ++i) absl::StrAppend(&set, "upstreams {name: 'u", 10 + i, "' endpoints: '127.0.0.1:1'} ");
  v1::ApplyResponse applied;
  ASSERT_TRUE(Apply({"resources {" + set + "}"}, &applied).ok());
  std::vector<std::string> names;
  v1::ListResponse page;
  do {
    ASSERT_TRUE(Call(&v1::ConfigService::Stub::List,
                     absl::StrCat("kind: UPSTREAM page_size: 10 page_token: '", page.next_page_token(), "'"), &page).ok());
    EXPECT_LE(page.resources_size(), 10);
    EXPECT_EQ(page.revision(), 1u);
    for (const v1::Resource& resource : page.resources()) names.push_back(resource.upstream().name());
  } while (!page.next_page_token().empty());
  ASSERT_EQ(names.size(), 25u);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(Call(&v1::ConfigService::Stub::List, "", &page).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Call(&v1::ConfigService::Stub::List, "kind: ROUTE page_size: -1", &page).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ConfigServiceTest, WhatIsReferredToIsNotDeleted) {
  v1::ApplyResponse applied;
  const auto status = Apply({"options {messages: 2} resources {upstreams {name: 'u' endpoints: '127.0.0.1:1'}}",
                             "resources {routes {name: 'r' match {path: '/'} anonymous: true upstream: 'u'}}"}, &applied);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(applied.changes_size(), 2);
  v1::ChangeResponse change;
  const grpc::Status refused = Call(&v1::ConfigService::Stub::Delete, "id {kind: UPSTREAM name: 'u'}", &change);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  v1::Violations violations;
  ASSERT_TRUE(violations.ParseFromString(refused.error_details()));
  ASSERT_EQ(violations.violations_size(), 1);
  EXPECT_EQ(violations.violations(0).path(), "routes[\"r\"].upstream");
  EXPECT_EQ(*store_.Head(), 1u);
}

TEST_F(ConfigServiceTest, AnApplyThatBrokeOffIsNotTakenForAWholeSet) {
  v1::ApplyResponse applied;
  const std::string first = "options {messages: 2 replace_all: true} resources {upstreams {name: 'u' endpoints: '127.0.0.1:1'}}";
  EXPECT_EQ(Apply({first}, &applied).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Apply({}, &applied).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Apply({"resources {}", "resources {}"}, &applied).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(*store_.Head(), 0u);
  EXPECT_TRUE(Apply({first, ""}, &applied).ok());
}

TEST_F(ConfigServiceTest, VeryManyViolationsFitAnAnswerAndTheRestIsCounted) {
  std::string set;
  for (int i = 0; i < 500; ++i) absl::StrAppend(&set, "routes {name: 'r", i, "' match {path: '/'} upstream: 'nowhere'} ");
  v1::ApplyResponse applied;
  const grpc::Status status = Apply({"resources {" + set + "}"}, &applied);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("nothing was changed\n"));
  v1::Violations violations;
  ASSERT_TRUE(violations.ParseFromString(status.error_details()));
  EXPECT_GT(violations.violations_size(), 10);
  EXPECT_THAT(violations.violations().rbegin()->message(), HasSubstr("more"));
}

TEST_F(ConfigServiceTest, ViolationsInAnyAlphabetFitAnAnswer) {
  std::string name, set;
  for (int i = 0; i < 100; ++i) name += "\u20ac";
  for (int i = 0; i < 50; ++i) absl::StrAppend(&set, "routes {name: 'r", i, "' match {path: '/'} upstream: '", name, "'} ");
  v1::ApplyResponse applied;
  const grpc::Status status = Apply({"resources {" + set + "}"}, &applied);
  // gRPC triples what is not ASCII; a client that is sent too much reads nothing of it.
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("nothing was changed"));
  EXPECT_TRUE(IsValidUtf8(status.error_message()));
}

TEST_F(ConfigServiceTest, AWaitEndsWhenTheRevisionIsInForce) {
  auto done = std::async(std::launch::async, [this] {
    v1::ChangeResponse change;
    EXPECT_TRUE(Call(&v1::ConfigService::Stub::Create,
                     absl::StrCat("wait {wait: true timeout_ms: 2500} resource {", kUpstream, "}"), &change).ok());
    return change;
  });
  auto answer = publisher_.Await();
  EXPECT_EQ(publisher_.timeout(), absl::Milliseconds(2500));
  v1::ForceStatus force;
  force.set_gateways(3);
  force.set_in_force(2);
  answer(force);
  EXPECT_EQ(done.get().force().in_force(), 2u);
}

TEST_F(ConfigServiceTest, ACallerWhoGivesUpWaitingEndsTheCallAndTheChangeStands) {
  grpc::ClientContext context;
  Deadline(&context);
  auto done = std::async(std::launch::async, [&] {
    v1::ChangeResponse change;
    return stub_->Create(&context, Parse<v1::CreateRequest>(absl::StrCat("wait {wait: true} resource {", kUpstream, "}")),
                         &change);
  });
  auto answer = publisher_.Await();
  context.TryCancel();
  EXPECT_EQ(done.get().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(*store_.Head(), 1u);
  server_->Shutdown(absl::ZeroDuration());  // does not wait for the publisher
  answer(v1::ForceStatus());                // late, and harmless
}

TEST_F(ConfigServiceTest, EveryWriteAndEveryRefusalIsAudited) {
  v1::ChangeResponse change;
  const std::string me = absl::StrCat("uid:", geteuid());
  ASSERT_TRUE(Call(&v1::ConfigService::Stub::Create, absl::StrCat("resource {", kUpstream, "}"), &change).ok());
  Call(&v1::ConfigService::Stub::Delete, "id {kind: UPSTREAM name: 'nope'}", &change);
  EXPECT_THAT(Audit(), ElementsAre(absl::StrCat("NOTICE ", me, " ConfigService/Create: 1 changes"),
                                   absl::StrCat("REFUSED ", me, " ConfigService/Delete: there is no upstreams[\"nope\"]")));
}

}  // namespace
}  // namespace gatehouse::api
