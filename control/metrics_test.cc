#include "control/metrics.h"

#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/publish/alarms.h"

namespace gatehouse {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Silent final : public publish::Endpoint {
 public:
  void Deliver(publish::Update) override {}
  void Confirm(uint64_t) override {}
  void Close(absl::Status) override {}
};

class ControlMetricsTest : public ::testing::Test {
 protected:
  std::string Scrape() { return ControlMetrics("1.2.3", distributor_, hub_); }
  std::unique_ptr<publish::Session> Connect(const std::string& name) {
    publish::GatewayHello hello;
    hello.name = name;
    return *distributor_.Connect(hello, std::make_shared<Silent>());
  }

  FakeClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  publish::Alarms alarms_;
  publish::Distributor distributor_{"store", clock_, alarms_, [](const v1::Event&) {}};
  hub::Hub hub_{clock_, {.max_events = 4}};
};

TEST_F(ControlMetricsTest, TellsWhichGatewaysAreBehindTheNewestRevision) {
  std::unique_ptr<publish::Session> quick = Connect("quick");
  std::unique_ptr<publish::Session> slow = Connect("slow");
  Connect("gone");  // and away again
  distributor_.Publish(7, {});
  quick->Ack(7);
  const std::string text = Scrape();
  EXPECT_THAT(text, HasSubstr("gatehouse_control_build_info{version=\"1.2.3\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\ngatehouse_control_revision 7\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_control_gateways{connected=\"true\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_control_gateways{connected=\"false\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\ngatehouse_control_gateways_behind 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_control_gateway_revision{gateway=\"quick\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_control_gateway_revision{gateway=\"slow\"} 0\n"));
}

TEST_F(ControlMetricsTest, TellsHowFarTheSlowestWatcherIsBehindAndWhatItMissed) {
  std::unique_ptr<hub::Watcher> watcher = *hub_.Watch({}, [] {});
  for (int i = 0; i < 3; ++i) hub_.PublishOne(v1::Event());
  EXPECT_THAT(Scrape(), HasSubstr("\ngatehouse_control_watcher_lag_events 3\n"));
  std::vector<hub::Watcher::Piece> out;
  watcher->Next(100, 1 << 20, &out);
  EXPECT_THAT(Scrape(), HasSubstr("\ngatehouse_control_watcher_lag_events 0\n"));
  EXPECT_THAT(Scrape(), HasSubstr("\ngatehouse_control_watcher_missed_events_total 0\n"));

  for (int i = 0; i < 10; ++i) hub_.PublishOne(v1::Event());
  EXPECT_THAT(Scrape(), HasSubstr("\ngatehouse_control_watcher_lag_events 10\n"));
  watcher->Next(100, 1 << 20, &out);
  EXPECT_THAT(Scrape(), HasSubstr("\ngatehouse_control_watcher_missed_events_total 6\n"));
  EXPECT_THAT(Scrape(), HasSubstr("\ngatehouse_control_events_total 13\n"));
  EXPECT_THAT(Scrape(), HasSubstr("\ngatehouse_control_watchers 1\n"));
  watcher = nullptr;
  EXPECT_THAT(Scrape(), HasSubstr("\ngatehouse_control_watchers 0\n"));
}

TEST_F(ControlMetricsTest, TellsOfTheArchiveAndTheLogWhereTheyAre) {
  EXPECT_THAT(Scrape(), Not(HasSubstr("archive")));
  EXPECT_THAT(Scrape(), Not(HasSubstr("event_log")));
  const std::string path = ::testing::TempDir() + "/metrics-" + std::to_string(getpid());
  std::filesystem::create_directories(path);  // no database can be there
  hub::ArchiveOptions options;
  options.path = path;
  options.max_waiting_bytes = 1;
  hub::Hub failing(clock_, {}, {hub::Archive::Open(options, clock_)});
  failing.PublishOne({});
  auto log = events::JsonLog::Open({.path = path + ".jsonl"}, clock_);
  ASSERT_TRUE(log.ok());
  const std::string text = ControlMetrics("1", distributor_, failing, log->get());
  EXPECT_THAT(text, HasSubstr("\ngatehouse_control_event_archive_lost_total 1\n"));
  EXPECT_THAT(text, HasSubstr("\ngatehouse_control_event_archive_failing 1\n"));
  EXPECT_THAT(text, HasSubstr("\ngatehouse_event_log_lost_lines_total 0\n"));
  std::filesystem::remove_all(path);
  std::filesystem::remove(path + ".jsonl");
}

}  // namespace
}  // namespace gatehouse
