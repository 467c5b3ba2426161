// Who may do what: every method x every role x every transport, from the descriptors; and what happens to calls that run when
// that changes.
#include "control/api/callers.h"

#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "control/api/server_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::Binding Bind(const std::string& name, v1::Role role, std::vector<std::string> callers) {
  v1::Binding binding;
  binding.set_name(name);
  binding.set_role(role);
  for (std::string& caller : callers) binding.add_callers(std::move(caller));
  return binding;
}

class CallersTest : public ServerTest {
 protected:
  std::shared_ptr<grpc::Channel> Named(const std::string& uri) {
    return Mutual(pki_->Leaf({{certs::SanKind::kUri, uri}}));
  }
  static bool Refused(grpc::StatusCode code) {
    return code == grpc::StatusCode::PERMISSION_DENIED || code == grpc::StatusCode::UNAUTHENTICATED;
  }
  // Calls every method; those that `roles` holds, and those of ANYBODY when `anybody`, get to a handler, and no others.
  void ExpectExactly(const std::shared_ptr<grpc::Channel>& channel, Roles roles, bool anybody) {
    for (const Method& method : Methods()) {
      const bool may = method.role == v1::ANYBODY ? anybody : (roles & RoleBit(method.role)) != 0;
      // A stream that is let in ends by itself when its time is over.
      const auto timeout = may && method.server_streaming ? std::chrono::milliseconds(300) : std::chrono::seconds(20);
      const grpc::Status status = Call(channel, std::string(method.name), timeout);
      // Join is let through, and finds that the request has no token.
      const bool refused = Refused(status.error_code()) && status.error_message().find("join token") == std::string::npos;
      EXPECT_NE(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << method.name;
      EXPECT_EQ(!refused, may)
          << method.name << " with " << RolesText(roles) << ": " << status.error_message();
    }
  }
  // Has the bindings that are stored followed, as in the program.
  void Follow() {
    BindingRules rules;
    rules.changed = [this](std::vector<v1::Binding> bindings) { callers_->SetBindings(std::move(bindings)); };
    changes_.SetBindingRules(std::move(rules));
  }
  // Writes past the guard.
  void Edit(const std::function<void(Draft&)>& edit) {
    const auto written = changes_.Write({}, [&](Draft& draft) {
      edit(draft);
      return absl::OkStatus();
    });
    ASSERT_TRUE(written.ok()) << written.status();
  }
  static void PutBinding(Draft& draft, v1::Binding binding) {
    v1::Resource resource;
    *resource.mutable_binding() = std::move(binding);
    draft.Put(std::move(resource));
  }
  // Waits for what another thread brings about.
  static bool Comes(const std::function<bool()>& what) {
    for (int i = 0; i < 2000 && !what(); ++i) usleep(5000);
    return what();
  }
};

TEST_F(CallersTest, EveryMethodTakesItsRoleAndNoOtherOverMutualTls) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("start.example")})).ok());
  std::vector<v1::Binding> bindings;
  const v1::Role given[] = {v1::VIEWER, v1::EDITOR, v1::USER_ADMIN, v1::OWNER, v1::GATEWAY};
  for (v1::Role role : given) {
    const std::string name = absl::AsciiStrToLower(v1::Role_Name(role));
    bindings.push_back(Bind(absl::StrCat("b-", name), role, {absl::StrCat("san:spiffe://r/", name)}));
  }
  callers_->SetBindings(bindings);
  for (v1::Role role : given) {
    ExpectExactly(Named(absl::StrCat("spiffe://r/", absl::AsciiStrToLower(v1::Role_Name(role)))), RolesOf(role), true);
  }
  ExpectExactly(Named("spiffe://r/nobody"), 0, true);
}

TEST_F(CallersTest, EveryMethodTakesItsRoleOverLoopbackAndTheSocket) {
  ControlServerOptions options = Socket();
  options.insecure_loopback = "127.0.0.1:0";
  ASSERT_TRUE(Start(options).ok());
  ExpectExactly(Plain(server_->addresses()[0]), kOwnerRoles | RoleBit(v1::GATEWAY), true);
  ExpectExactly(Plain(server_->addresses()[1]), kAllowedRoles, true);
}

TEST_F(CallersTest, WithoutAClientCertificateOnlyWhatAnybodyMayCallIsServed) {
  ControlServerOptions options = Tls({*ParseAllowedName("start.example")});
  options.gateway_authority = pki_->other->ToPem();
  ASSERT_TRUE(Start(options).ok());
  const auto channel = Mutual("");
  for (const Method& method : Methods()) {
    if (method.role == v1::ANYBODY) continue;
    EXPECT_EQ(Call(channel, std::string(method.name)).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method.name;
  }
  for (const char* method : {kHealth, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/nothing"}) {
    EXPECT_EQ(Call(channel, method).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
  EXPECT_FALSE(Refused(Call(channel, "/gatehouse.v1.GatewayService/Join").error_code()));
  EXPECT_TRUE(Refused(Call(Plain(server_->addresses()[0]), kStatus).error_code()) ||
              Call(Plain(server_->addresses()[0]), kStatus).error_code() == grpc::StatusCode::UNAVAILABLE);
}

TEST_F(CallersTest, ACertificateOfTheGatewaysAuthorityIsAGatewayAndNothingElse) {
  ControlServerOptions options = Tls({*ParseAllowedName("spiffe://ops/alice")});
  options.gateway_authority = pki_->other->ToPem();
  ASSERT_TRUE(Start(options).ok());
  callers_->SetBindings({Bind("all", v1::OWNER, {"san:spiffe://gatehouse/gateway/edge-1", "san:spiffe://ops/bob"})});
  auto gateway = [&](const std::string& uri) { return Mutual(pki_->Leaf({{certs::SanKind::kUri, uri}}, false)); };
  ExpectExactly(gateway("spiffe://gatehouse/gateway/edge-1"), RoleBit(v1::GATEWAY), true);
  // Names that this authority has no say about.
  EXPECT_EQ(Call(gateway("spiffe://ops/alice"), kStatus).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Call(gateway("spiffe://ops/bob"), kStatus).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Call(gateway("spiffe://gatehouse/gateway/"), "/gatehouse.v1.SnapshotService/Subscribe").error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  // And the clients' authority makes no gateways by that name.
  EXPECT_EQ(Call(Named("spiffe://gatehouse/gateway/edge-2"), "/gatehouse.v1.SnapshotService/Subscribe").error_code(),
            grpc::StatusCode::PERMISSION_DENIED);

  std::string asked;
  callers_->SetGatewayCheck([&](const std::string& name, const std::string& chain) {
    asked = name;
    return chain.empty() ? absl::InternalError("") : absl::PermissionDeniedError("removed");
  });
  const grpc::Status removed = Call(gateway("spiffe://gatehouse/gateway/edge-1"), "/gatehouse.v1.SnapshotService/Subscribe");
  EXPECT_EQ(removed.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(asked, "edge-1");
}

TEST_F(CallersTest, AStreamEndsWithItsReasonWhenTheBindingGoes) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("start.example")})).ok());
  callers_->SetBindings({Bind("a", v1::VIEWER, {"san:spiffe://ops/alice"}), Bind("b", v1::VIEWER, {"san:spiffe://ops/bob"}),
                         Bind("g", v1::GATEWAY, {"san:spiffe://ops/gate"})});
  const auto alice = Named("spiffe://ops/alice"), bob = Named("spiffe://ops/bob"), gate = Named("spiffe://ops/gate");
  grpc::ClientContext alices, bobs, gates, reports;
  auto watch = v1::EventService::NewStub(alice)->Watch(&alices, {});
  auto other = v1::EventService::NewStub(bob)->Watch(&bobs, {});
  auto subscribe = v1::SnapshotService::NewStub(gate)->Subscribe(&gates);
  auto report = v1::EventService::NewStub(gate)->Report(&reports);
  watch->WaitForInitialMetadata();
  other->WaitForInitialMetadata();
  subscribe->WaitForInitialMetadata();
  grpc::ClientContext statuses;
  v1::Status state;
  auto status = v1::StatusService::NewStub(alice)->WatchStatus(&statuses, {});
  ASSERT_TRUE(status->Read(&state));
  ASSERT_TRUE(Comes([&] { return callers_->calls()->LoadOf("san:spiffe://ops/gate").streams == 2; }));
  EXPECT_EQ(hub_.stats().watchers, 2u);

  callers_->SetBindings({Bind("b", v1::VIEWER, {"san:spiffe://ops/bob"}), Bind("a", v1::EDITOR, {"san:spiffe://ops/alice"})});
  v1::WatchResponse response;
  EXPECT_FALSE(watch->Read(&response));
  const grpc::Status ended = watch->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::PERMISSION_DENIED) << ended.error_message();
  EXPECT_THAT(ended.error_message(), HasSubstr("san:spiffe://ops/alice may not call /gatehouse.v1.EventService/Watch: the role "
                                               "VIEWER is needed, EDITOR given"));
  while (status->Read(&state)) {
  }
  EXPECT_EQ(status->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(subscribe->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(report->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Comes([&] { return hub_.stats().watchers == 1; })) << "bob's goes on";
  hub_.PublishOne({});
  EXPECT_TRUE(other->Read(&response));
  bobs.TryCancel();
  EXPECT_EQ(other->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Comes([&] { return callers_->calls()->LoadOf("san:spiffe://ops/bob").streams == 0; }));
}

TEST_F(CallersTest, AStreamEndsWhenItsAuthorityGoes) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("spiffe://ops/alice")})).ok());
  grpc::ClientContext context;
  auto watch = v1::EventService::NewStub(Named("spiffe://ops/alice"))->Watch(&context, {});
  watch->WaitForInitialMetadata();
  Put("ca.pem", pki_->other->ToPem());
  ASSERT_TRUE(server_->ReloadTls().ok());
  const grpc::Status ended = watch->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(ended.error_message(), HasSubstr("--client-ca changed"));
}

TEST_F(CallersTest, StreamsEndSoonAfterTheirCertificateExpiresAndItIsLookedAtOnce) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("spiffe://ops/alice")})).ok());
  std::atomic<bool> expired{false};
  std::atomic<int> looked{0};
  callers_->SetVouch([&](const std::string&) -> absl::StatusOr<Voucher> {
    ++looked;
    if (expired) return absl::PermissionDeniedError("it expired");
    return Voucher::kClients;
  });
  const auto channel = Named("spiffe://ops/alice");
  grpc::ClientContext first, second;
  auto one = v1::EventService::NewStub(channel)->Watch(&first, {});
  auto two = v1::EventService::NewStub(channel)->Watch(&second, {});
  one->WaitForInitialMetadata();
  two->WaitForInitialMetadata();
  EXPECT_EQ(callers_->Sweep({}, absl::Hours(1)), 0u);
  EXPECT_EQ(callers_->calls()->LoadOf("san:spiffe://ops/alice").streams, 2u);
  expired = true;
  looked = 0;
  callers_->Sweep({}, absl::Hours(1));
  EXPECT_EQ(looked, 1);
  EXPECT_EQ(one->Finish().error_message(), "it expired");
  EXPECT_EQ(two->Finish().error_message(), "it expired");
  EXPECT_EQ(AwaitTold().at(0).outcome(), v1::Event::REFUSED);
  callers_->SetVouch(nullptr);
}

TEST_F(CallersTest, WhoLosesTheRoleWhileWaitingForTheWritersTurnWritesNothing) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("start.example")})).ok());
  Follow();
  Edit([](Draft& draft) { PutBinding(draft, Bind("mallory", v1::OWNER, {"san:spiffe://ops/mallory"})); });
  const auto channel = Named("spiffe://ops/mallory");
  grpc::Status status;
  std::thread mallory;
  Edit([&](Draft& draft) {
    draft.Remove({v1::BINDING, "mallory"});
    mallory = std::thread([&] {
      grpc::ClientContext context;
      v1::CreateRequest request;
      *request.mutable_resource()->mutable_binding() = Bind("again", v1::OWNER, {"san:spiffe://ops/mallory"});
      v1::ChangeResponse response;
      status = v1::ConfigService::NewStub(channel)->Create(&context, request, &response);
    });
    ASSERT_TRUE(Comes([&] { return callers_->calls()->LoadOf("san:spiffe://ops/mallory").calls == 1; }));
    // The call is counted, and waits for the writer before others are answered.
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(Call(channel, kStatus).ok());
  });
  mallory.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
  EXPECT_EQ(changes_.Current()->resources.count({v1::BINDING, "again"}), 0u);
  EXPECT_EQ(AwaitTold().at(0).outcome(), v1::Event::REFUSED);
}

TEST_F(CallersTest, WhoKeepsARoleWhileWaitingDoesNoMoreThanItAllows) {
  ASSERT_TRUE(Start(Socket()).ok());
  Caller by("san:spiffe://ops/mallory");
  by.roles = kOwnerRoles;
  by.judge = [] { return RoleBit(v1::EDITOR); };
  auto ending = std::make_shared<Ending>([](grpc::Status status) { EXPECT_THAT(status.error_message(), HasSubstr("the role OWNER is needed, EDITOR given")); });
  Desk{"/gatehouse.v1.ConfigService/", changes_, executor_, callers_->guard(), ledger_}.Write(
      by, "Create", ending, {}, {}, [](Draft& draft) {
        PutBinding(draft, Bind("again", v1::OWNER, {"san:spiffe://ops/mallory"}));
        return absl::OkStatus();
      }, nullptr);
  EXPECT_EQ(changes_.Current()->resources.count({v1::BINDING, "again"}), 0u);
}

TEST_F(CallersTest, WhoLosesTheRoleWhileWaitingForAThreadGetsNoToken) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("start.example")})).ok());
  callers_->SetBindings({Bind("mallory", v1::OWNER, {"san:spiffe://ops/mallory"})});
  auto go = std::make_shared<absl::Notification>();
  for (const char* other : {"a", "b", "c"}) executor_.Submit(other, [go](const absl::StatusOr<Caller>&) { go->WaitForNotification(); });
  EXPECT_TRUE(Comes([&] { return executor_.queued() == 0; }));
  grpc::Status status;
  v1::CreateJoinTokenResponse token;
  std::thread mallory([&] {
    grpc::ClientContext context;
    status = v1::GatewayService::NewStub(Named("spiffe://ops/mallory"))->CreateJoinToken(&context, {}, &token);
  });
  EXPECT_TRUE(Comes([&] { return executor_.queued() == 1; }));
  callers_->SetBindings({});
  go->Notify();
  mallory.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
  EXPECT_EQ(token.token(), "");
  EXPECT_TRUE(registry_->Tokens().empty());
}

TEST_F(CallersTest, AnybodyWithANameIsToldWhoTheyAre) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("start.example")})).ok());
  callers_->SetBindings({Bind("b", v1::VIEWER, {"san:spiffe://ops/alice"}), Bind("a", v1::EDITOR, {"san:spiffe://ops/alice"})});
  auto who = [](const std::shared_ptr<grpc::Channel>& channel, v1::WhoAmIResponse* response) {
    grpc::ClientContext context;
    return v1::AccessService::NewStub(channel)->WhoAmI(&context, {}, response);
  };
  v1::WhoAmIResponse response;
  ASSERT_TRUE(who(Named("spiffe://ops/alice"), &response).ok());
  EXPECT_EQ(response.caller(), "san:spiffe://ops/alice");
  EXPECT_THAT(response.roles(), ElementsAre(v1::VIEWER, v1::EDITOR));
  EXPECT_THAT(response.bindings(), ElementsAre("a", "b"));
  EXPECT_THAT(response.peer(), ::testing::StartsWith("127.0.0.1:"));
  response.Clear();
  ASSERT_TRUE(who(Named("spiffe://ops/stranger"), &response).ok());
  EXPECT_EQ(response.caller(), "san:spiffe://ops/stranger");
  EXPECT_EQ(response.roles_size(), 0);
  EXPECT_EQ(who(Mutual(pki_->Leaf({})), &response).error_code(), grpc::StatusCode::UNAUTHENTICATED) << "it names nobody";
}

TEST_F(CallersTest, EveryRefusalIsHeardOfWithWhoAndWhereAndWhat) {
  ASSERT_TRUE(Start(Tls({*ParseAllowedName("start.example")})).ok());
  callers_->SetBindings({Bind("b", v1::VIEWER, {"san:spiffe://ops/alice"})});
  Mutex mutex;
  std::vector<std::string> heard;
  callers_->SetRefused([&](const Caller& who, absl::string_view method, const absl::Status& why) {
    MutexLock lock(&mutex);
    heard.push_back(absl::StrCat(who.name, " ", who.peer.substr(0, 10), " ", method, " ", absl::StatusCodeToString(why.code())));
  });
  Call(Named("spiffe://ops/alice"), "/gatehouse.v1.ConfigService/Apply");
  Call(Named("spiffe://ops/stranger"), kHealth);
  callers_->SetRefused(nullptr);
  EXPECT_THAT(heard, ElementsAre("san:spiffe://ops/alice 127.0.0.1: /gatehouse.v1.ConfigService/Apply PERMISSION_DENIED",
                                 "san:spiffe://ops/stranger  /grpc.health.v1.Health/Check PERMISSION_DENIED"));
}

TEST_F(CallersTest, ACallerHasSoManyStreamsAtOnce) {
  ControlServerOptions options = Socket();
  options.limits.streams_at_once = 2;
  ASSERT_TRUE(Start(options).ok());
  const auto channel = Plain(server_->addresses()[0]);
  grpc::ClientContext first, second;
  auto one = v1::EventService::NewStub(channel)->Watch(&first, {});
  auto two = v1::EventService::NewStub(Plain(server_->addresses()[0]))->Watch(&second, {});
  one->WaitForInitialMetadata();
  two->WaitForInitialMetadata();
  grpc::ChannelArguments apart;
  apart.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto more = grpc::CreateCustomChannel(server_->addresses()[0], grpc::InsecureChannelCredentials(), apart);
  const grpc::Status third = Call(more, "/gatehouse.v1.EventService/Watch");
  EXPECT_EQ(third.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(third.error_message(), HasSubstr("2 streams run at once already; end some"));
  EXPECT_TRUE(Call(more, kStatus).ok()) << "calls are counted apart";
  first.TryCancel();
  one->Finish();
  EXPECT_TRUE(Comes([&] { return callers_->calls()->LoadOf(absl::StrCat("uid:", geteuid())).streams == 1; }));
  second.TryCancel();
  two->Finish();
}

TEST_F(CallersTest, ACallThatStaysTooLongEndsAtItsDeadlineAndAStreamDoesNot) {
  ASSERT_TRUE(Start(Socket()).ok());
  const auto channel = Plain(server_->addresses()[0]);
  grpc::ClientContext slow, watching;
  v1::ApplyResponse response;
  auto apply = v1::ConfigService::NewStub(channel)->Apply(&slow, &response);  // and says nothing
  auto watch = v1::EventService::NewStub(channel)->Watch(&watching, {});
  watch->WaitForInitialMetadata();
  const std::string self = absl::StrCat("uid:", geteuid());
  ASSERT_TRUE(Comes([&] { return callers_->calls()->LoadOf(self).calls == 1; }));
  EXPECT_EQ(callers_->calls()->EndOlder(std::chrono::steady_clock::now(), absl::Hours(1)), 0u);
  EXPECT_EQ(callers_->calls()->EndOlder(std::chrono::steady_clock::now() + std::chrono::minutes(10), absl::Minutes(10)), 1u);
  const grpc::Status ended = apply->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ended.error_message(), "the call took longer than 10m; nothing was changed");
  const std::vector<v1::Event> told = AwaitTold();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].outcome(), v1::Event::REFUSED);
  EXPECT_EQ(told[0].detail(), "ConfigService/Apply: the call took longer than 10m; nothing was changed");
  EXPECT_EQ(callers_->calls()->LoadOf(self).streams, 1u);
  watching.TryCancel();
  watch->Finish();
}

class RecogniseTest : public ::testing::Test {
 protected:
  Caller Of(Identity identity) {
    auto caller = callers_->Recognise(identity);
    EXPECT_TRUE(caller.ok()) << caller.status();
    return caller.ok() ? *caller : Caller();
  }
  Identity Uid(uid_t uid) {
    Identity identity;
    identity.kind = Identity::Kind::kUid;
    identity.uid = uid;
    return identity;
  }
  Identity Names(const std::vector<std::string>& names) {
    Identity identity;
    identity.kind = Identity::Kind::kCertificate;
    for (const std::string& name : names) identity.names.push_back(*ParseAllowedName(name));
    return identity;
  }
  std::shared_ptr<Callers> callers_ = std::make_shared<Callers>(
      CallerRules{.allowed_names = {*ParseAllowedName("root.example", kOwnerRoles), *ParseAllowedName("ops.example")}},
      std::make_shared<PeerCredentials>());
};

TEST_F(RecogniseTest, RolesOfSeveralBindingsAddUp) {
  callers_->SetBindings({Bind("read", v1::VIEWER, {"uid:4000000", "san:a@x.example"}), Bind("write", v1::EDITOR, {"uid:4000000"}),
                         Bind("other", v1::OWNER, {"uid:4000001"})});
  const Caller caller = Of(Uid(4000000));
  EXPECT_EQ(caller.name, "uid:4000000");
  EXPECT_EQ(caller.roles, RoleBit(v1::VIEWER) | RoleBit(v1::EDITOR));
  EXPECT_THAT(caller.bindings, ElementsAre("read", "write"));
  EXPECT_TRUE(callers_->MayConnect(4000000));
  EXPECT_FALSE(callers_->MayConnect(4000002));
  EXPECT_EQ(Of(Names({"a@x.example"})).roles, RoleBit(v1::VIEWER));
  EXPECT_EQ(Of(Names({"A@x.example"})).roles, 0u);
  callers_->SetBindings({});
  EXPECT_EQ(Of(Uid(4000000)).roles, 0u);
  EXPECT_FALSE(callers_->MayConnect(4000000));
}

TEST_F(RecogniseTest, TheSocketsOwnerAndTheNamesGivenAtTheStartNeedNoBinding) {
  EXPECT_EQ(Of(Uid(geteuid())).roles, kOwnerRoles | RoleBit(v1::GATEWAY));
  EXPECT_EQ(Of(Uid(0)).roles, kOwnerRoles | RoleBit(v1::GATEWAY));
  EXPECT_EQ(Of(Names({"x.example", "ROOT.example"})).roles, kOwnerRoles);
  EXPECT_EQ(Of(Names({"x.example", "root.example"})).name, "san:root.example");
  EXPECT_EQ(Of(Names({"ops.example"})).roles, kAllowedRoles);
  EXPECT_FALSE(Of(Names({"ops.example"})).Has(v1::OWNER));
}

TEST_F(RecogniseTest, AUidIsNotAName) {
  callers_->SetBindings({Bind("b", v1::OWNER, {"san:uid:0", "san:0", "uid:007", "uid:-1", "uid:4294967295", "uid:", "4000000"})});
  for (uid_t uid : {7u, 4000000u, 4294967295u}) EXPECT_EQ(Of(Uid(uid)).roles, 0u) << uid;
}

TEST(LiveCallsTest, ACallerWhoCallsTooOftenIsToldAndMayCallAgainLater) {
  LiveCalls calls(1000);
  const Method& method = *FindMethod("/gatehouse.v1.ConfigService/Get");
  auto identity = std::make_shared<Identity>();
  identity->kind = Identity::Kind::kUid;
  identity->uid = 7;
  auto other = std::make_shared<Identity>(*identity);
  other->uid = 8;
  const CallerLimits limits{.calls_per_second = 2, .burst = 3};
  const LiveCalls::Instant start{};
  auto enter = [&](const auto& who, double seconds) {
    return calls.Enter(nullptr, method, who, limits, 0,
                       start + std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds)));
  };
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(enter(identity, 1).ok());
  const absl::Status refused = enter(identity, 1);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("uid:7: more than 2 calls a second"));
  EXPECT_TRUE(enter(other, 1).ok()) << "nobody else is held up";
  EXPECT_TRUE(enter(identity, 1.5).ok());
  EXPECT_FALSE(enter(identity, 1.6).ok());
  EXPECT_FALSE(enter(identity, 0).ok()) << "a clock that goes back gives nothing away";
}

TEST(LiveCallsTest, StrangersAreManyAndTheTableIsBounded) {
  LiveCalls calls(1000);
  const Method& method = *FindMethod("/gatehouse.v1.GatewayService/Join");
  const LiveCalls::Instant start{};
  size_t let_in = 0;
  for (int i = 0; i < 12'000; ++i) {
    auto identity = std::make_shared<Identity>();
    identity->peer = absl::StrCat("10.", i >> 16, ".", (i >> 8) & 255, ".", i & 255, ":1");
    if (calls.Enter(nullptr, method, identity, kStrangerLimits, 0, start + std::chrono::seconds(1)).ok()) ++let_in;
  }
  EXPECT_EQ(let_in, 5'000u);
  auto owner = std::make_shared<Identity>();
  owner->kind = Identity::Kind::kUid;
  EXPECT_TRUE(calls.Enter(nullptr, method, owner, CallerLimits(), 0, start + std::chrono::seconds(1)).ok()) << "who has a name gets in";
  auto identity = std::make_shared<Identity>();
  identity->peer = "192.0.2.1:1";
  EXPECT_TRUE(calls.Enter(nullptr, method, identity, kStrangerLimits, 0, start + std::chrono::minutes(5)).ok());
}

TEST(LiveCallsTest, StrangersOfOneNetworkOfIpv6AreOne) {
  Identity identity;
  identity.peer = "[2001:db8:1:2:3:4:5:6]:41234";
  EXPECT_EQ(identity.Account(), "from 2001:db8:1:2::/64");
  identity.peer = "[::ffff:192.0.2.1]:1";
  EXPECT_EQ(identity.Account(), "from 192.0.2.1");
  identity.peer = "192.0.2.1:41234";
  EXPECT_EQ(identity.Account(), "from 192.0.2.1");
}

}  // namespace
}  // namespace gatehouse::api
