// The library against real services on a real Unix socket.
#include "client/lib/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "client/lib/apply_chunks.h"
#include "client/lib/fake_control_plane.h"
#include "client/lib/status.h"
#include "gateway/base/mutex.h"

namespace gatehouse::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

v1::Event EventAt(uint64_t sequence) {
  v1::Event event;
  event.mutable_cursor()->set_incarnation("hub");
  event.mutable_cursor()->set_sequence(sequence);
  event.set_type(v1::Event::DECISION);
  return event;
}

class ClientTest : public ::testing::Test {
 protected:
  std::unique_ptr<Client> Connect() {
    auto client = Client::Connect(*ParseTarget(server_.target(), {}, false),
                                  {.call_timeout = absl::Seconds(5), .retry_backoff = absl::Milliseconds(1)});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // Collects what a watch hears.
  struct Heard {
    Mutex mutex;
    CondVar changed;
    std::vector<v1::Event> events ABSL_GUARDED_BY(mutex);
    int interruptions ABSL_GUARDED_BY(mutex) = 0;
    std::optional<absl::Status> end ABSL_GUARDED_BY(mutex);

    WatchHandler Handler() {
      return {[this](const v1::Event& event) {
                MutexLock lock(&mutex);
                events.push_back(event);
                changed.SignalAll();
              },
              [this](const absl::Status&) {
                MutexLock lock(&mutex);
                ++interruptions;
              },
              [this](const absl::Status& status) {
                MutexLock lock(&mutex);
                end = status;
                changed.SignalAll();
              }};
    }
    std::vector<v1::Event> Await(size_t count) {
      MutexLock lock(&mutex);
      const absl::Time until = absl::Now() + absl::Seconds(20);
      while (events.size() < count && absl::Now() < until) changed.WaitFor(&mutex, absl::Seconds(1));
      return events;
    }
    absl::Status AwaitEnd() {
      MutexLock lock(&mutex);
      const absl::Time until = absl::Now() + absl::Seconds(20);
      while (!end.has_value() && absl::Now() < until) changed.WaitFor(&mutex, absl::Seconds(1));
      return end.value_or(absl::DeadlineExceededError("the watch did not end"));
    }
  };

  FakeControlPlane server_;
};

TEST(ConnectTest, SaysWhyNobodyAnswers) {
  // Bound and never listened at: the port is nobody's.
  const int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(taken, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const auto target = ParseTarget(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)), {}, true);
  ASSERT_TRUE(target.ok());
  const auto client = Client::Connect(*target, {.connect_timeout = absl::Milliseconds(200)});
  close(taken);
  EXPECT_TRUE(absl::IsUnavailable(client.status()));
  EXPECT_THAT(client.status().message(), HasSubstr("Connection refused"));
}

TEST_F(ClientTest, CarriesViolationsInTheStatus) {
  v1::Violations violations;
  violations.add_violations()->set_path("routes[\"a\"]");
  server_.apply_status =
      grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "invalid", violations.SerializeAsString());
  absl::Status status = Connect()->Apply({}, {}, {}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  ASSERT_THAT(ViolationsOf(status), SizeIs(1));
  EXPECT_EQ(ViolationsOf(status)[0].path(), "routes[\"a\"]");
  EXPECT_THAT(ViolationsOf(absl::InternalError("x")), IsEmpty());
}

TEST_F(ClientTest, ReadsAgainOnceTheServerIsBack) {
  std::unique_ptr<Client> client = Connect();
  ASSERT_TRUE(client->GetStatus().ok());
  server_.Stop();
  server_.status_answer.set_revision(5);
  std::thread restart([this] { server_.Start(); });
  absl::StatusOr<v1::Status> status = client->GetStatus();
  restart.join();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->revision(), 5u);
}

TEST_F(ClientTest, PagesThroughEverything) {
  for (const char* name : {"a", "b", "c"}) {
    server_.resources[std::string("policies/") + name].mutable_policy()->set_name(name);
  }
  Pages<v1::Resource> pages = Connect()->List(v1::POLICY);
  std::vector<std::string> names;
  while (true) {
    auto resource = pages.Next();
    ASSERT_TRUE(resource.ok());
    if (!resource->has_value()) break;
    names.push_back((*resource)->policy().name());
  }
  EXPECT_THAT(names, ElementsAre("a", "b", "c"));
}

TEST_F(ClientTest, ResumesAWatchAfterTheLastEventSeen) {
  server_.streams = {{EventAt(1), EventAt(2)}, {EventAt(3)}};
  Heard heard;
  auto watch = Connect()->Watch({.backoff = absl::Milliseconds(1)}, heard.Handler());
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_THAT(heard.Await(3), SizeIs(3));
  MutexLock lock(&server_.mutex);
  ASSERT_THAT(server_.watches, SizeIs(2));
  EXPECT_EQ(server_.watches[1].after().sequence(), 2u);
  EXPECT_FALSE(server_.watches[0].from_oldest());
  EXPECT_TRUE(server_.watches[1].from_oldest()) << "what is gone meanwhile is a GAP, not the end";
}

TEST_F(ClientTest, ResumesAWatchThatHasSeenNothingWhereItBegan) {
  server_.watch_cursor = "hub:4";
  server_.streams = {{}, {EventAt(5)}};
  Heard heard;
  auto watch = Connect()->Watch({.backoff = absl::Milliseconds(1)}, heard.Handler());
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_THAT(heard.Await(1), SizeIs(1));
  MutexLock lock(&server_.mutex);
  ASSERT_THAT(server_.watches, SizeIs(2));
  EXPECT_FALSE(server_.watches[0].has_after());
  EXPECT_EQ(server_.watches[1].after().incarnation(), "hub");
  EXPECT_EQ(server_.watches[1].after().sequence(), 4u);
  EXPECT_TRUE(server_.watches[1].from_oldest());
}

TEST_F(ClientTest, AsksForATimeUntilItHasSeenAnEvent) {
  server_.watch_cursor = "hub:4";
  server_.streams = {{}, {EventAt(5)}, {EventAt(6)}};
  Heard heard;
  auto watch = Connect()->Watch({.since = absl::FromUnixMillis(1500), .backoff = absl::Milliseconds(1)}, heard.Handler());
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_THAT(heard.Await(2), SizeIs(2));
  MutexLock lock(&server_.mutex);
  ASSERT_THAT(server_.watches, SizeIs(3));
  for (int i : {0, 1}) {
    EXPECT_EQ(server_.watches[static_cast<size_t>(i)].since().seconds(), 1);
    EXPECT_EQ(server_.watches[static_cast<size_t>(i)].since().nanos(), 500'000'000);
  }
  EXPECT_FALSE(server_.watches[0].from_oldest());
  EXPECT_TRUE(server_.watches[1].from_oldest()) << "what is gone meanwhile is a GAP, told once";
  EXPECT_FALSE(server_.watches[2].has_since());
  EXPECT_EQ(server_.watches[2].after().sequence(), 5u);
}

TEST_F(ClientTest, TellsOfAGapWhenItsPlaceIsForgotten) {
  server_.streams = {{EventAt(7)}, {}, {EventAt(1)}};
  server_.forgotten = 1;  // the second Watch is OUT_OF_RANGE
  Heard heard;
  auto watch = Connect()->Watch({.backoff = absl::Milliseconds(1)}, heard.Handler());
  ASSERT_TRUE(watch.ok()) << watch.status();
  std::vector<v1::Event> events = heard.Await(3);
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(events[1].type(), v1::Event::GAP);
  EXPECT_EQ(events[2].cursor().sequence(), 1u);
  MutexLock lock(&server_.mutex);
  EXPECT_FALSE(server_.watches[2].has_after());
  MutexLock heard_lock(&heard.mutex);
  EXPECT_EQ(heard.interruptions, 2) << "it rests before it asks again";
}

TEST_F(ClientTest, EndsAWatchThatIsNoLongerAllowed) {
  server_.streams = {{EventAt(1)}};
  server_.hold_last_stream = false;
  Heard heard;
  auto watch = Connect()->Watch({.backoff = absl::Milliseconds(50)}, heard.Handler());
  ASSERT_TRUE(watch.ok()) << watch.status();
  heard.Await(1);
  {
    MutexLock lock(&server_.mutex);
    server_.watch_status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no more");
  }
  EXPECT_TRUE(absl::IsPermissionDenied(heard.AwaitEnd()));
}

TEST_F(ClientTest, StopsAWatchWhenItIsDropped) {
  Heard heard;
  auto watch = Connect()->Watch({}, heard.Handler());
  ASSERT_TRUE(watch.ok()) << watch.status();
  watch->reset();  // returns, although the stream would never end by itself
  MutexLock lock(&heard.mutex);
  EXPECT_FALSE(heard.end.has_value());
}

TEST_F(ClientTest, RefusesAWatchAtTheStart) {
  server_.watch_status = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "bad filter");
  Heard heard;
  EXPECT_TRUE(absl::IsInvalidArgument(Connect()->Watch({}, heard.Handler()).status()));
  server_.Stop();
}

TEST(PagesTest, DoesNotFollowATokenInCircles) {
  Pages<int> pages([](const std::string&) -> absl::StatusOr<Pages<int>::Page> { return Pages<int>::Page{{}, "x"}; });
  EXPECT_FALSE(pages.Next().ok());
  EXPECT_TRUE(pages.Next().ok());
}

TEST(ApplyChunksTest, AlwaysSendsTheOptionsFirstAndOnce) {
  v1::ApplyOptions options;
  options.set_dry_run(true);
  EXPECT_THAT(ApplyChunks(options, {}, {}), SizeIs(1));
  v1::ConfigSet set;
  for (int i = 0; i < 3; ++i) set.add_trust_stores()->add_anchors()->set_pem(std::string(900'000, 'x'));
  std::vector<v1::ApplyRequest> chunks = ApplyChunks(options, set, {v1::ResourceId()});
  ASSERT_THAT(chunks, SizeIs(3));
  EXPECT_TRUE(chunks[0].options().dry_run());
  EXPECT_EQ(chunks[0].options().messages(), 3u);
  EXPECT_FALSE(chunks[1].has_options());
  EXPECT_EQ(chunks[2].deletions_size(), 1);
}

TEST(TargetTest, DemandsTlsBeyondThisMachine) {
  EXPECT_TRUE(ParseTarget("unix:/x", {}, false).ok());
  EXPECT_EQ(ParseTarget("/x", {}, false)->address, "unix:/x");
  EXPECT_TRUE(ParseTarget("127.0.0.1:1", {}, true).ok());
  EXPECT_TRUE(ParseTarget("[::1]:1", {}, true).ok());
  EXPECT_TRUE(ParseTarget("h:1", {"ca", "cert", "key", ""}, false).ok());
  for (const char* bad : {"", "unix:", "h", "h:0", "h:65536", ":1"}) EXPECT_FALSE(ParseTarget(bad, {}, true).ok()) << bad;
  EXPECT_FALSE(ParseTarget("10.0.0.1:1", {}, true).ok());
  EXPECT_FALSE(ParseTarget("127.0.0.1:1", {}, false).ok());
  EXPECT_FALSE(ParseTarget("h:1", {"ca", "cert", "", ""}, false).ok());
  EXPECT_FALSE(ParseTarget("unix:/x", {"ca", "", "", ""}, false).ok());
  EXPECT_FALSE(ParseTarget(std::string("unix:/") + std::string(200, 'x'), {}, false).ok());
}

}  // namespace
}  // namespace gatehouse::client
