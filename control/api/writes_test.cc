// Made from the descriptors: every method that writes is told of when it succeeds and when it is refused, in an AUDIT event and in
// the history. A method that is added without a scenario here fails.
#include <map>

#include "absl/strings/str_cat.h"
#include "control/api/server_fixture.h"
#include "control/store/sqlite_store.h"
#include "gateway/base/join_token.h"
#include "gateway/certs/signing_request.h"
#include "gmock/gmock.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/text_format.h"

namespace gatehouse::api {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kHash[] = "$2y$04$DCxggwhvFPKJ3nakvNW7jO65cvuVgEkKWva5L5E8fiWMS6hLzg0w6";  // of "correct horse battery"

class WritesTest : public ServerTest {
 protected:
  enum class Who : uint8_t { kOwner, kGateway, kStranger };
  // Requests in text format; what they need is made before.
  struct Scenario {
    Who who = Who::kOwner;
    std::function<std::string()> good;
    std::string bad;
  };

  WritesTest() {
    store::SqliteOptions options;
    options.path = folder_ / "sealed.db";
    options.key = Secret(std::string(32, 'k'));
    options.new_key = Secret(std::string(32, 'n'));
    sealed_ = *store::SqliteStore::Open(std::move(options));
  }
  store::Store& SealedStore() override { return *sealed_; }

  void SetUp() override {
    ServerTest::SetUp();
    // Its authority is needed before the server has it.
    clock_.Set(absl::Now());
    auto registry = GatewayRegistry::Open(folder_ / "", *store_.KeyFor("gateways"), clock_);
    ASSERT_TRUE(registry.ok()) << registry.status();
    std::vector<AllowedName> names = {*ParseAllowedName("owner.example", kOwnerRoles)};
    for (size_t i = 0; i < Methods().size(); ++i) names.push_back(*ParseAllowedName(absl::StrCat("viewer", i, ".example"), RoleBit(v1::VIEWER)));
    ControlServerOptions options = Tls(names);
    options.gateway_authority = (*registry)->authority();
    options.limits.octets_at_once = uint64_t{1} << 20;
    ASSERT_TRUE(Start(options).ok());
  }

  std::shared_ptr<grpc::Channel> Dns(const std::string& name) { return Mutual(pki_->Leaf({{certs::SanKind::kDns, name}})); }
  std::shared_ptr<grpc::Channel> As(Who who) {
    switch (who) {
      case Who::kOwner: return Dns("owner.example");
      case Who::kStranger: return Mutual("");
      case Who::kGateway: break;
    }
    if (gateway_ == nullptr) {
      v1::JoinRequest request;
      request.set_token(Token());
      request.set_gateway("edge-1");
      request.set_signing_request(SigningRequest());
      std::string why;
      auto joined = registry_->Join(request, [](const std::string&) { return false; }, &why);
      EXPECT_TRUE(joined.ok()) << why;
      gateway_ = Mutual(joined->response.certificate_chain());
    }
    return gateway_;
  }
  std::string Token() { return registry_->CreateToken({}, Sha256("anchor"), "san:maker")->token(); }
  std::string SigningRequest() { return *certs::MintSigningRequest(pki_->key.get()); }

  // Stores what a scenario needs, past the ledger.
  void Seed(const std::string& resources) {
    v1::ConfigSet set;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(resources, &set)) << resources;
    const auto outcome = changes_.Write({}, [&](Draft& draft) {
      draft.Clear(true);
      for (v1::Resource& resource : store::ResourcesOf(set)) draft.PutAsIs(std::move(resource));
      return absl::OkStatus();
    });
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }
  void SeedUser() {
    Seed(absl::StrCat("user_stores {name: 's' hashing {argon2_memory_mib: 8 argon2_passes: 1 renew_on_login: true} users {name: 'a' "
                      "password_hashes: '", kHash, "'}}"));
  }
  void ConnectGateway() {
    lines_["edge-1"] = desk_.Add("edge-1", [this](const v1::Question& question) {
      v1::Answer answer;
      answer.set_id(question.id());
      answer.mutable_clear_lockouts()->set_cleared(2);
      lines_["edge-1"]->Answer(answer);
    });
  }

  std::map<std::string, Scenario> Scenarios() {
    constexpr char kPolicy[] = "policy {name: 'p'}";
    const auto having_policy = [this](const std::string& request) {
      return [this, request] {
        Seed("policies {name: 'p' public_message: 'old'}");
        return request;
      };
    };
    const auto having_user = [this](const std::string& request) {
      return [this, request] {
        SeedUser();
        return request;
      };
    };
    std::map<std::string, Scenario> all;
    all["AccessService/RotateKey"] = {.good = [] { return ""; }};  // and again: no other key waits
    all["ConfigService/Apply"] = {.good = [] { return "resources {policies {name: 'applied'}}"; }, .bad = "options {expected_revision: 999}"};
    all["ConfigService/Create"] = {.good = [] { return absl::StrCat("resource {policy {name: 'created'}}"); }};
    all["ConfigService/Update"] = {.good = having_policy(absl::StrCat("resource {", kPolicy, "}"))};
    all["ConfigService/Delete"] = {.good = having_policy("id {kind: POLICY name: 'p'}")};
    all["ConfigService/Rollback"] = {.good = having_policy("revision: 0")};
    all["GatewayService/CreateJoinToken"] = {.good = [] { return "gateway: 'edge-7'"; }, .bad = "gateway: '../7'"};
    all["GatewayService/DeleteJoinToken"] = {.good = [this] { return absl::StrCat("id: '", JoinToken::Parse(Token())->id, "'"); }};
    all["GatewayService/Join"] = {.who = Who::kStranger, .good = [this] {
      v1::JoinRequest request;
      request.set_token(Token());
      request.set_gateway("edge-2");
      request.set_signing_request(SigningRequest());
      return request.DebugString();
    }};
    all["GatewayService/RenewCertificate"] = {.who = Who::kGateway, .good = [this] {
      v1::RenewCertificateRequest request;
      request.set_signing_request(SigningRequest());
      return request.DebugString();
    }};
    all["GatewayService/RemoveGateway"] = {.good = [this] {
      As(Who::kGateway);
      gateway_ = nullptr;
      return "gateway: 'edge-1'";
    }};
    all["LockoutService/ClearLockouts"] = {.good = [this] {
      ConnectGateway();
      return "all: true";
    }};
    all["UserService/SetUser"] = {.good = having_user("user_store: 's' user {name: 'b'} password: 'correct horse battery'")};
    all["UserService/DeleteUser"] = {.good = having_user("user_store: 's' user: 'a'")};
    all["UserService/ImportUsers"] = {.good = having_user(absl::StrCat("options {user_store: 's'} htpasswd: 'c:", kHash, "\\n'"))};
    all["UserService/ExportUsers"] = {.good = having_user("user_store: 's'")};
    all["UserService/RenewHash"] = {.who = Who::kGateway,
                                    .good = having_user("user_store: 's' user: 'a' password: 'correct horse battery'")};
    return all;
  }

  // Sends one message, and takes what comes.
  static grpc::Status Send(const std::shared_ptr<grpc::Channel>& channel, const std::string& method, const std::string& bytes) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    void* tag = nullptr;
    const auto next = [&] {
      bool ok = false;
      queue.Next(&tag, &ok);
      return ok;
    };
    auto call = stub.PrepareCall(&context, method, &queue);
    call->StartCall(&queue);
    next();
    grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    call->WriteLast(request, grpc::WriteOptions(), &queue);
    next();
    grpc::ByteBuffer answer;
    do {
      call->Read(&answer, &queue);
    } while (next());
    grpc::Status status;
    call->Finish(&status, &queue);
    next();
    queue.Shutdown();
    next();
    return status;
  }
  static std::string Encode(const Method& method, const std::string& text) {
    std::string name(method.name.substr(1));
    std::replace(name.begin(), name.end(), '/', '.');
    const auto* descriptor = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
    std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor->input_type())->New());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << name << ": " << text;
    return message->SerializeAsString();
  }
  std::vector<v1::Revision> History() {
    ledger_.Flush();
    return *store_.History({.limit = 5000, .show = v1::HistoryRequest::EVERYTHING});
  }
  // The newest entry is of this call, as its event is.
  void ExpectRefusal(const std::string& method, const v1::Event& event) {
    const v1::Revision entry = History().at(0);
    EXPECT_EQ(entry.method(), method);
    EXPECT_EQ(entry.actor(), event.actor());
    EXPECT_EQ(entry.peer(), event.peer());
    EXPECT_EQ(entry.revision(), *store_.Head());
    EXPECT_EQ(entry.times(), 1u);
    EXPECT_EQ(absl::StrCat(method, ": ", entry.refusal()), event.detail());
    EXPECT_EQ(entry.changes_size() + entry.effects_size(), 0);
  }
  // Exactly one event, of this call.
  v1::Event OneEvent(const std::string& method, v1::Event::Outcome outcome) {
    const std::vector<v1::Event> told = AwaitTold();
    EXPECT_EQ(told.size(), 1u) << method << ": " << told.back().detail();
    const v1::Event& event = told[0];
    EXPECT_EQ(event.type(), v1::Event::AUDIT);
    EXPECT_EQ(event.outcome(), outcome) << event.detail();
    EXPECT_EQ(event.audit().method(), method);
    EXPECT_THAT(event.peer(), StartsWith("127.0.0.1:")) << method;
    EXPECT_THAT(event.detail(), StartsWith(method)) << method;
    EXPECT_FALSE(event.actor().empty()) << method;
    return event;
  }
  static std::string ShortName(const Method& method) { return std::string(method.name.substr(strlen("/gatehouse.v1."))); }

  std::unique_ptr<store::SqliteStore> sealed_;
  std::shared_ptr<grpc::Channel> gateway_;
  std::map<std::string, std::unique_ptr<publish::QuestionDesk::Line>> lines_;
};

TEST_F(WritesTest, EachThatSucceedsIsOneEventAndOneEntryOfTheHistory) {
  std::map<std::string, Scenario> scenarios = Scenarios();
  size_t writing = 0;
  for (const Method& method : Methods()) {
    if (!method.writes) continue;
    ++writing;
    const std::string name = ShortName(method);
    SCOPED_TRACE(name);
    ASSERT_EQ(scenarios.count(name), 1u) << "a method that writes needs a scenario";
    const Scenario& scenario = scenarios[name];
    const auto channel = As(scenario.who);
    const std::string request = Encode(method, scenario.good());
    const std::vector<v1::Revision> before = History();
    const uint64_t head = *store_.Head();
    const grpc::Status status = Send(channel, std::string(method.name), request);
    ASSERT_TRUE(status.ok()) << status.error_message();
    const v1::Event event = OneEvent(name, v1::Event::NOTICE);
    EXPECT_EQ(event.revision(), *store_.Head());
    EXPECT_EQ(event.previous_revision(), head);
    EXPECT_GT(event.audit().changes_size(), 0);

    const std::vector<v1::Revision> after = History();
    ASSERT_EQ(after.size(), before.size() + 1);
    const v1::Revision& entry = after[0];
    EXPECT_EQ(entry.method(), name);
    EXPECT_THAT(entry.peer(), StartsWith("127.0.0.1:"));
    EXPECT_EQ(entry.actor(), event.actor());
    EXPECT_EQ(entry.revision(), *store_.Head());
    EXPECT_EQ(*store_.Head(), head + (entry.entry() == 0 ? 1 : 0)) << "what changes no configuration makes no revision";
    EXPECT_EQ(entry.effects_size() == 0, entry.entry() == 0);
    EXPECT_EQ(entry.changes_size() == 0, entry.entry() != 0);
    // Nor is a secret told anywhere.
    for (const char* secret : {"correct horse", kHash, "gh1."}) {
      EXPECT_EQ(absl::StrCat(event.ShortDebugString(), entry.ShortDebugString()).find(secret), std::string::npos) << secret;
    }
  }
  EXPECT_EQ(writing, scenarios.size()) << "a scenario without its method";
}

TEST_F(WritesTest, EachThatIsRefusedForItsCallerIsOneEventAndOneEntry) {
  for (size_t i = 0; i < Methods().size(); ++i) {
    const Method& method = Methods()[i];
    if (!method.writes || method.role == v1::ANYBODY) continue;
    SCOPED_TRACE(method.name);
    // Each by a caller of its own: of one who is refused in a loop only some is told.
    const std::string viewer = absl::StrCat("viewer", i, ".example");
    EXPECT_EQ(Send(Dns(viewer), std::string(method.name), "").error_code(), grpc::StatusCode::PERMISSION_DENIED);
    const v1::Event event = OneEvent(ShortName(method), v1::Event::REFUSED);
    EXPECT_EQ(event.actor(), absl::StrCat("san:", viewer));
    EXPECT_THAT(event.detail(), HasSubstr("is needed, VIEWER given"));
    ExpectRefusal(ShortName(method), event);
  }
}

TEST_F(WritesTest, EachThatIsRefusedForWhatItAsksIsOneEventAndOneEntry) {
  ASSERT_TRUE(sealed_->RotateKey([](uint64_t, uint64_t) {}).ok());
  for (auto& [name, scenario] : Scenarios()) {
    SCOPED_TRACE(name);
    const Method* method = FindMethod(absl::StrCat("/gatehouse.v1.", name));
    ASSERT_NE(method, nullptr);
    const auto channel = As(scenario.who);
    const size_t before = History().size();
    const grpc::Status status = Send(channel, std::string(method->name), Encode(*method, scenario.bad));
    EXPECT_FALSE(status.ok());
    const v1::Event event = OneEvent(name, v1::Event::REFUSED);
    EXPECT_EQ(History().size(), before + 1);
    ExpectRefusal(name, event);
    // Which fault a token has is told here alone.
    const std::string said = name == "GatewayService/Join" ? "gateway: a name is" : RefusalText({absl::StatusCode::kUnknown, status.error_message().substr(0, 200)});
    EXPECT_THAT(event.detail(), HasSubstr(said));
  }
}

TEST_F(WritesTest, WhatIsRefusedLeavesNoSecretInTheHistory) {
  const char* const kMark = "MARKED-a7f3";
  const std::pair<std::string, std::string> calls[] = {
      {"ConfigService/Update", absl::StrCat("resource {server_certificate {name: 'c' certificate_chain_pem: 'x' private_key_pem: '", kMark, "'}}")},
      {"ConfigService/Update", absl::StrCat("resource {user_store {name: 's' users {name: 'a' password_hashes: '", kMark, "'}}}")},
      {"ConfigService/Update", absl::StrCat("resource {scheme {name: 'b' basic {validator {tls {private_key_pem: '", kMark, "'}}}}}")},
      {"UserService/SetUser", absl::StrCat("user_store: 'none' user {name: 'a'} password: '", kMark, "'")},
      {"UserService/ImportUsers", absl::StrCat("options {user_store: 's'} htpasswd: 'c:", kMark, "'")},
      {"GatewayService/Join", absl::StrCat("token: 'gh1.000000000000.", kMark, "' gateway: 'edge-1' signing_request: 'x'")},
      {"UserService/RenewHash", absl::StrCat("user_store: 's' user: 'a' password: '", kMark, "'")},
  };
  for (const auto& [name, request] : calls) {
    SCOPED_TRACE(name);
    const Method* method = FindMethod(absl::StrCat("/gatehouse.v1.", name));
    ASSERT_NE(method, nullptr);
    EXPECT_FALSE(Send(As(Who::kOwner), std::string(method->name), Encode(*method, request)).ok());
    const v1::Event event = AwaitTold().at(0);
    const v1::Revision entry = History().at(0);
    EXPECT_EQ(entry.method(), name);
    EXPECT_EQ(absl::StrCat(event.ShortDebugString(), entry.ShortDebugString()).find(kMark), std::string::npos) << entry.refusal();
  }
}

TEST_F(WritesTest, NoMessageOfAnyMethodIsHeldBeyondItsCallersShare) {
  // Field 15000, which no message has.
  std::string large;
  for (uint32_t value : {uint32_t{15000} << 3 | 2, uint32_t{2} << 20}) {
    for (; value >= 0x80; value >>= 7) large.push_back(static_cast<char>(value | 0x80));
    large.push_back(static_cast<char>(value));
  }
  large.append(size_t{2} << 20, 'x');
  for (const Method& method : Methods()) {
    if (method.client_streaming && method.server_streaming) continue;  // these hold one message at a time
    const auto channel = As(method.role == v1::GATEWAY ? Who::kGateway : Who::kOwner);
    const grpc::Status status = Send(channel, std::string(method.name), large);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << method.name << ": " << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr("of 1048576 that one caller may have held (--max-caller-memory)")) << method.name;
  }
  EXPECT_EQ(callers_->calls()->LoadOf("san:owner.example").octets, 0u);
}

class OctetsTest : public ::testing::Test {
 protected:
  absl::Status Enter(const std::string& name, size_t octets, const CallerLimits& limits, double seconds = 0) {
    auto identity = std::make_shared<Identity>();
    identity->kind = Identity::Kind::kCertificate;
    identity->names.push_back(*ParseAllowedName(name));
    contexts_.push_back(std::make_unique<grpc::CallbackServerContext>());
    numbers_.push_back(calls_.Begin(contexts_.back().get()));
    return calls_.Enter(contexts_.back().get(), *FindMethod("/gatehouse.v1.ConfigService/Apply"), identity, limits, octets,
                        LiveCalls::Instant(std::chrono::milliseconds(1'000'000 + static_cast<int64_t>(seconds * 1000))));
  }
  absl::Status HoldLast(size_t octets, const CallerLimits& limits) {
    return calls_.Hold(contexts_.back().get(), limits, octets, LiveCalls::Instant(std::chrono::seconds(1000)));
  }
  void EndAll() {
    for (size_t i = 0; i < contexts_.size(); ++i) calls_.End(contexts_[i].get(), numbers_[i]);
  }
  LiveCalls calls_{1000};
  std::vector<std::unique_ptr<grpc::CallbackServerContext>> contexts_;
  std::vector<uint64_t> numbers_;
};

TEST_F(OctetsTest, WhatOneCallerSendsInPiecesIsAddedUpAndGivenBackAtTheEnd) {
  const CallerLimits limits = {.octets_at_once = 500, .octets_reserved = 10};
  ASSERT_TRUE(Enter("a.example", 0, limits).ok());
  ASSERT_TRUE(HoldLast(300, limits).ok());
  ASSERT_TRUE(HoldLast(200, limits).ok());
  EXPECT_EQ(HoldLast(1, limits).message(),
            "san:a.example: requests of calls that run would hold 501 octets, of 500 that one caller may have held "
            "(--max-caller-memory); send less at once, or wait for those calls to end");
  EXPECT_EQ(Enter("a.example", 1, limits).code(), absl::StatusCode::kResourceExhausted) << "another call of the same caller";
  EXPECT_TRUE(Enter("b.example", 400, limits).ok());
  EXPECT_EQ(calls_.LoadOf("san:a.example").octets, 500u);
  EndAll();
  EXPECT_EQ(calls_.LoadOf("san:a.example").octets, 0u);
  EXPECT_TRUE(Enter("a.example", 500, limits).ok());
}

TEST_F(OctetsTest, AllCallersTogetherHaveABoundAndEachHasAReserve) {
  const CallerLimits limits = {.octets_at_once = 500, .octets_reserved = 10};
  ASSERT_TRUE(Enter("a.example", 500, limits).ok());
  ASSERT_TRUE(Enter("b.example", 500, limits).ok());
  const absl::Status refused = Enter("c.example", 11, limits);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("requests of all callers would hold 1011 octets, of 1000"));
  EXPECT_TRUE(Enter("c.example", 10, limits).ok()) << "who asks little is served";
  EndAll();
  EXPECT_TRUE(Enter("c.example", 500, limits).ok());
}

TEST_F(OctetsTest, ACallerSendsSoMuchAMinute) {
  const CallerLimits limits = {.octets_at_once = 500, .octets_per_minute = 600};
  ASSERT_TRUE(Enter("a.example", 500, limits).ok());
  EndAll();
  EXPECT_THAT(std::string(Enter("a.example", 200, limits, 1).message()), HasSubstr("more than 600 octets a minute (--max-caller-minute)"));
  EXPECT_TRUE(Enter("a.example", 200, limits, 10).ok()) << "ten a second come back";
  EXPECT_TRUE(Enter("b.example", 500, limits, 1).ok());
}

}  // namespace
}  // namespace gatehouse::api
