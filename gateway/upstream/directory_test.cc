// Names, health checks, and what the directory tells workers and people.
#include "gateway/upstream/directory.h"

#include <atomic>
#include <set>

#include "absl/strings/match.h"
#include "gateway/base/mutex.h"
#include "gateway/upstream/upstream_fixture.h"
#include "gmock/gmock.h"

namespace gatehouse::upstream {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(5);

// Answers what the test says; who asks while it says nothing is held.
class FakeResolver final : public Resolver {
 public:
  struct Zone {
    Mutex mutex;
    CondVar changed;
    std::map<std::string, absl::StatusOr<std::vector<std::string>>> names ABSL_GUARDED_BY(mutex);
    int asked ABSL_GUARDED_BY(mutex) = 0;
    int given ABSL_GUARDED_BY(mutex) = 0;  // answers
  };
  explicit FakeResolver(std::shared_ptr<Zone> zone) : zone_(std::move(zone)) {}
  absl::StatusOr<std::vector<loop::Address>> Resolve(const std::string& host, uint16_t port) override {
    MutexLock lock(&zone_->mutex);
    ++zone_->asked;
    const absl::Time end = absl::Now() + kPatience;
    while (zone_->names.find(host) == zone_->names.end() && absl::Now() < end) {
      zone_->changed.WaitFor(&zone_->mutex, absl::Milliseconds(50));
    }
    auto it = zone_->names.find(host);
    ++zone_->given;
    if (it == zone_->names.end()) return absl::UnavailableError("nobody answered the test's question");
    if (!it->second.ok()) return it->second.status();
    std::vector<loop::Address> addresses;
    for (const std::string& ip : *it->second) addresses.push_back(*loop::Address::Parse(absl::StrCat(ip, ":", port)));
    return addresses;
  }

 private:
  const std::shared_ptr<Zone> zone_;
};

class DirectoryTest : public UpstreamFixture {
 protected:
  ~DirectoryTest() override { directory_.reset(); }

  Directory& directory() {
    if (directory_ == nullptr) {
      Directory::Options options;
      options.workers = 2;
      options.resolver = std::make_unique<FakeResolver>(zone_);
      options.on_change = [this](const std::string& upstream) {
        MutexLock lock(&mutex_);
        looks_.push_back(upstream);
        const absl::Time end = absl::Now() + kPatience;
        while (held_ && absl::Now() < end) opened_.WaitFor(&mutex_, absl::Milliseconds(50));
      };
      options.on_endpoint = [this](const EndpointChange& change) {
        MutexLock lock(&mutex_);
        changes_.push_back(absl::StrCat(change.upstream, " ", change.endpoint, change.in_service ? " + " : " - ", change.detail));
      };
      directory_ = std::make_unique<Directory>(std::move(options));
    }
    return *directory_;
  }
  void Answer(const std::string& host, absl::StatusOr<std::vector<std::string>> addresses) {
    MutexLock lock(&zone_->mutex);
    zone_->names.insert_or_assign(host, std::move(addresses));
    zone_->changed.SignalAll();
  }
  ServiceSpec Spec(std::vector<std::string> endpoints, const std::string& name = "app") {
    ServiceSpec spec;
    spec.options.name = name;
    spec.endpoints = std::move(endpoints);
    spec.dns_refresh = absl::Milliseconds(20);
    return spec;
  }
  std::vector<std::string> Addresses(size_t worker = 0) {
    std::vector<std::string> out;
    const auto options = directory().For("app", worker);
    if (!options.has_value()) return {"none"};
    for (const EndpointRef& endpoint : options->endpoints) out.push_back(endpoint->text());
    return out;
  }
  std::vector<std::string> Changes() {
    MutexLock lock(&mutex_);
    return changes_;
  }
  ::testing::AssertionResult Comes(const std::function<bool()>& what) { return Until(what); }

  const std::shared_ptr<FakeResolver::Zone> zone_ = std::make_shared<FakeResolver::Zone>();
  Mutex mutex_;
  CondVar opened_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;  // the directory's thread, in its next on_change
  std::vector<std::string> looks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> changes_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Directory> directory_;
};

TEST_F(DirectoryTest, LiteralAddressesAreThereAtOnceAndShared) {
  directory().Use({Spec({"127.0.0.1:1", "[::1]:2"})});
  EXPECT_THAT(Addresses(), ElementsAre("127.0.0.1:1", "[::1]:2"));
  EXPECT_EQ(directory().For("app", 0)->endpoints, directory().For("app", 1)->endpoints);
  EXPECT_NE(directory().For("app", 0)->stats, directory().For("app", 1)->stats);
  EXPECT_FALSE(directory().For("app", 0)->resolving);
  EXPECT_FALSE(directory().For("other", 0).has_value());
}

TEST_F(DirectoryTest, AnEndpointThatStaysKeepsItsStateOverAChange) {
  directory().Use({Spec({"127.0.0.1:1", "127.0.0.1:2"})});
  const auto before = directory().For("app", 0)->endpoints;
  directory().Use({Spec({"127.0.0.1:3", "127.0.0.1:2"})});
  const auto after = directory().For("app", 0)->endpoints;
  EXPECT_EQ(after[1], before[1]);
  EXPECT_EQ(before[0]->report().state, EndpointState::kDraining);
}

TEST_F(DirectoryTest, ADrainingEndpointIsListedWhileItIsBusy) {
  directory().Use({Spec({"127.0.0.1:1"})});
  const EndpointRef busy = directory().For("app", 0)->endpoints[0];
  busy->worker(1).active.Add();
  directory().Use({Spec({"127.0.0.1:2"})});
  ASSERT_EQ(directory().List("").size(), 2u);
  EXPECT_EQ(directory().List("")[0].endpoint.state, EndpointState::kDraining);
  EXPECT_EQ(directory().List("")[0].endpoint.active, 1u);
  busy->worker(1).active.Add(-1);
  EXPECT_EQ(directory().List("").size(), 1u);
}

TEST_F(DirectoryTest, ANameStandsForAllItsAddresses) {
  directory().Use({Spec({"app.test:80", "127.0.0.9:1"})});
  EXPECT_TRUE(directory().For("app", 0)->resolving);
  EXPECT_THAT(Addresses(), ElementsAre("127.0.0.9:1")) << "what is known is used";
  Answer("app.test", std::vector<std::string>{"127.0.0.2", "127.0.0.1"});
  ASSERT_TRUE(Comes([&] { return Addresses().size() == 3; }));
  EXPECT_THAT(Addresses(), ElementsAre("127.0.0.1:80", "127.0.0.2:80", "127.0.0.9:1"));
  EXPECT_FALSE(directory().For("app", 0)->resolving);
  EXPECT_EQ(directory().For("app", 0)->endpoints[0]->host(), "app.test");
  EXPECT_THAT(Changes(), IsEmpty());
}

TEST_F(DirectoryTest, AddressesThatComeAndGoAreSeen) {
  Answer("app.test", std::vector<std::string>{"127.0.0.1", "127.0.0.2"});
  directory().Use({Spec({"app.test:80"})});
  ASSERT_TRUE(Comes([&] { return Addresses().size() == 2; }));
  const EndpointRef stays = directory().For("app", 0)->endpoints[1];
  const EndpointRef goes = directory().For("app", 0)->endpoints[0];
  Answer("app.test", std::vector<std::string>{"127.0.0.3", "127.0.0.2"});
  ASSERT_TRUE(Comes([&] { return Addresses() == std::vector<std::string>{"127.0.0.2:80", "127.0.0.3:80"}; }));
  EXPECT_EQ(directory().For("app", 0)->endpoints[0], stays);
  EXPECT_EQ(goes->report().state, EndpointState::kDraining);
  MutexLock lock(&mutex_);
  EXPECT_EQ(looks_.size(), 2u) << "workers look again only when something changed";
}

TEST_F(DirectoryTest, WhileDnsDoesNotAnswerTheAddressesKnownStay) {
  Answer("app.test", std::vector<std::string>{"127.0.0.1"});
  directory().Use({Spec({"app.test:80"})});
  ASSERT_TRUE(Comes([&] { return Addresses().size() == 1; }));
  Answer("app.test", absl::UnavailableError("server failure"));
  int asked = 0;
  {
    MutexLock lock(&zone_->mutex);
    asked = zone_->asked;
  }
  ASSERT_TRUE(Comes([&] {
    MutexLock lock(&zone_->mutex);
    return zone_->asked > asked + 2;
  }));
  EXPECT_THAT(Addresses(), ElementsAre("127.0.0.1:80"));
  EXPECT_THAT(Changes(), IsEmpty());
}

TEST_F(DirectoryTest, ANameThatIsGoneHasNoAddressesAndComesBack) {
  Answer("app.test", std::vector<std::string>{"127.0.0.1"});
  directory().Use({Spec({"app.test:80"})});
  ASSERT_TRUE(Comes([&] { return Addresses().size() == 1; }));
  Answer("app.test", absl::NotFoundError("no such name"));
  ASSERT_TRUE(Comes([&] { return Changes().size() == 1; }));
  EXPECT_THAT(Changes()[0], HasSubstr("app app.test:80 - its name has no address: no such name"));
  EXPECT_THAT(Addresses(), IsEmpty());
  ASSERT_EQ(directory().List("app").size(), 1u);
  EXPECT_EQ(directory().List("app")[0].endpoint.address, "");
  EXPECT_EQ(directory().List("app")[0].endpoint.detail, "no such name");
  Answer("app.test", std::vector<std::string>{"127.0.0.1"});
  ASSERT_TRUE(Comes([&] { return Changes().size() == 2; }));
  EXPECT_THAT(Changes()[1], HasSubstr("app app.test:80 + "));
}

TEST_F(DirectoryTest, ANameThatFailsFromTheStartIsToldAndWorkersStopWaiting) {
  Answer("app.test", absl::UnavailableError("server failure"));
  directory().Use({Spec({"app.test:80"})});
  ASSERT_TRUE(Comes([&] { return !directory().For("app", 0)->resolving; }));
  ASSERT_TRUE(Comes([&] { return Changes().size() == 1; }));
  EXPECT_THAT(Changes()[0], HasSubstr("server failure"));
}

TEST_F(DirectoryTest, ANameThatIsSlowHoldsUpNobodyElse) {
  Answer("quick.test", std::vector<std::string>{"127.0.0.1"});
  directory().Use({Spec({"slow.test:80", "quick.test:80"})});
  ASSERT_TRUE(Comes([&] { return Addresses().size() == 1; }));
  EXPECT_TRUE(directory().For("app", 0)->resolving);
  Answer("slow.test", std::vector<std::string>{"127.0.0.2"});
  ASSERT_TRUE(Comes([&] { return Addresses().size() == 2; }));
}

TEST_F(DirectoryTest, AnAnswerForAnUpstreamThatHasJustGoneIsForgotten) {
  Answer("quick.test", std::vector<std::string>{"127.0.0.1"});
  {
    MutexLock lock(&mutex_);
    held_ = true;
  }
  directory().Use({Spec({"quick.test:80", "slow.test:80"})});
  ASSERT_TRUE(Comes([&] {
    MutexLock lock(&mutex_);
    return looks_.size() == 1;
  }));
  // Its thread is held, and is given the answer before it is told that nobody wants it.
  Answer("slow.test", std::vector<std::string>{"127.0.0.2"});
  ASSERT_TRUE(Comes([&] {
    MutexLock lock(&zone_->mutex);
    return zone_->given >= 2;
  }));
  directory().Use({});
  {
    MutexLock lock(&mutex_);
    held_ = false;
    opened_.SignalAll();
  }
  directory_.reset();  // after all that it was given
}

TEST_F(DirectoryTest, TwoNamesForOnePlaceAreOneEndpoint) {
  Answer("a.test", std::vector<std::string>{"127.0.0.1"});
  Answer("b.test", std::vector<std::string>{"127.0.0.1"});
  directory().Use({Spec({"a.test:80", "b.test:80", "127.0.0.1:80"})});
  ASSERT_TRUE(Comes([&] { return !directory().For("app", 0)->resolving; }));
  EXPECT_THAT(Addresses(), ElementsAre("127.0.0.1:80"));
}

TEST_F(DirectoryTest, TheSystemFindsLocalhost) {
  const auto found = SystemResolver().Resolve("localhost", 8080);
  ASSERT_TRUE(found.ok()) << found.status();
  std::set<std::string> texts;
  for (const loop::Address& address : *found) texts.insert(address.ToString());
  EXPECT_TRUE(texts.count("127.0.0.1:8080") + texts.count("[::1]:8080") > 0);
}

class HealthTest : public DirectoryTest {
 protected:
  // A directory that asks upstream_ by `check`, every 100 ms.
  void Check(HealthCheckOptions check = {}) {
    check.interval = absl::Milliseconds(100);
    ServiceSpec spec = Spec({upstream_.address().ToString()});
    spec.health_check = std::move(check);
    directory().Use({std::move(spec)});
    endpoint_ = directory().For("app", 0)->endpoints[0];
  }
  // The next question, answered.
  std::string Next(absl::string_view answer) {
    auto peer = AcceptRequest();
    if (peer == nullptr) return "";
    if (answer.empty()) {
      peer->Reset();
    } else {
      peer->Send(answer);
    }
    std::string question = peer->received;
    answered_.push_back(std::move(peer));
    return question;
  }
  static constexpr char kGood[] = "HTTP/1.1 204 Fine\r\n\r\n";
  static constexpr char kBad[] = "HTTP/1.1 503 Ill\r\ncontent-length: 0\r\n\r\n";
  EndpointRef endpoint_;
  std::vector<std::unique_ptr<Peer>> answered_;
};

TEST_F(HealthTest, TheFirstAnswerCountsAtOnceAndThenSeveralInARow) {
  Check();
  EXPECT_TRUE(endpoint_->healthy()) << "until it was asked";
  EXPECT_EQ(Next(kBad), absl::StrCat("GET / HTTP/1.1\r\nhost: ", upstream_.address().ToString(),
                                     "\r\nuser-agent: gatehouse-health\r\n\r\n"));
  ASSERT_TRUE(Comes([&] { return !endpoint_->healthy(); }));
  EXPECT_THAT(endpoint_->report().detail, HasSubstr("answered 503"));
  Next(kGood);
  Next(kBad);
  Next(kGood);
  EXPECT_FALSE(endpoint_->healthy()) << "one good answer is not two";
  Next(kGood);
  ASSERT_TRUE(Comes([&] { return endpoint_->healthy(); }));
  Next(kBad);
  Next("");
  EXPECT_TRUE(endpoint_->healthy()) << "two bad answers are not three";
  Next(kBad);
  ASSERT_TRUE(Comes([&] { return !endpoint_->healthy(); }));
  ASSERT_TRUE(Comes([&] { return Changes().size() == 3; }));
  EXPECT_THAT(Changes()[0], HasSubstr(" - "));
  EXPECT_THAT(Changes()[1], HasSubstr(" + "));
}

TEST_F(HealthTest, PathHostAndStatusesAreAsConfigured) {
  HealthCheckOptions check;
  check.path = "/healthz?deep=1";
  check.host = "app.test";
  check.statuses = {204, 429};
  check.healthy_after = 1;
  check.unhealthy_after = 1;
  Check(std::move(check));
  EXPECT_THAT(Next("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
              HasSubstr("GET /healthz?deep=1 HTTP/1.1\r\nhost: app.test\r\n"));
  ASSERT_TRUE(Comes([&] { return !endpoint_->healthy(); }));
  Next("HTTP/1.1 429 Busy\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(Comes([&] { return endpoint_->healthy(); }));
}

TEST_F(HealthTest, AnEndpointThatSaysNothingIsUnhealthy) {
  HealthCheckOptions check;
  check.timeout = absl::Milliseconds(20);
  Check(std::move(check));
  auto silent = Accept();
  ASSERT_TRUE(Comes([&] { return !endpoint_->healthy(); }));
  EXPECT_THAT(endpoint_->report().detail, HasSubstr("no answer to the health check within 20ms"));
}

TEST_F(HealthTest, AnAnswerWithoutEndIsNoGoodAnswer) {
  Check();
  Next("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + std::string(70'000, 'x'));
  ASSERT_TRUE(Comes([&] { return !endpoint_->healthy(); }));
  EXPECT_THAT(endpoint_->report().detail, HasSubstr("over 64 KiB"));
}

TEST_F(HealthTest, AGrpcStatusThatIsNoTextIsToldAsText) {
  HealthCheckOptions check;
  check.grpc_service = "acme.Orders";
  Check(std::move(check));
  Next("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ngrpc-status: \xff\x9b\r\n\r\n");
  ASSERT_TRUE(Comes([&] { return !endpoint_->healthy(); }));
  EXPECT_THAT(endpoint_->report().detail, HasSubstr("grpc-status \\xFF\\x9B"));
}

TEST_F(HealthTest, AnEndpointThatTakesNoConnectionIsUnhealthy) {
  const std::string address = upstream_.address().ToString();
  upstream_.StopListening();
  ServiceSpec spec = Spec({address});
  spec.health_check = HealthCheckOptions();
  directory().Use({std::move(spec)});
  endpoint_ = directory().For("app", 0)->endpoints[0];
  ASSERT_TRUE(Comes([&] { return !endpoint_->healthy(); }));
  EXPECT_THAT(endpoint_->report().detail, HasSubstr("refused"));
}

TEST_F(HealthTest, QuestionsAreNotCountedAsRequests) {
  Check();
  Next(kGood);
  Next(kGood);
  EXPECT_EQ(endpoint_->report().requests, 0u);
  EXPECT_EQ(directory().For("app", 0)->stats->requests.value(), 0);
}

TEST_F(HealthTest, AnEndpointThatIsNotAskedAnyMoreIsTakenToBeWell) {
  Check();
  Next(kBad);
  ASSERT_TRUE(Comes([&] { return !endpoint_->healthy(); }));
  directory().Use({Spec({upstream_.address().ToString()})});
  ASSERT_TRUE(Comes([&] { return endpoint_->healthy(); }));
  EXPECT_EQ(directory().For("app", 0)->endpoints[0], endpoint_);
}

TEST_F(HealthTest, AGrpcQuestionIsOneMessageOfTheProtocol) {
  EXPECT_EQ(GrpcHealthQuestion(""), std::string(5, '\0'));
  EXPECT_EQ(GrpcHealthQuestion("a.B"), std::string("\0\0\0\0\5\x0a\3a.B", 10));
  const std::string longer = GrpcHealthQuestion(std::string(200, 'x'));
  EXPECT_EQ(longer.substr(0, 8), std::string("\0\0\0\0\xcb\x0a\xc8\1", 8));
  EXPECT_TRUE(GrpcHealthServing(absl::string_view("\0\0\0\0\2\x08\1", 7)));
  EXPECT_FALSE(GrpcHealthServing(absl::string_view("\0\0\0\0\2\x08\2", 7)));
  EXPECT_FALSE(GrpcHealthServing(absl::string_view("\0\0\0\0\0", 5)));
  EXPECT_FALSE(GrpcHealthServing(""));
}

}  // namespace
}  // namespace gatehouse::upstream
