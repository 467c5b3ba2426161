#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gateway/metrics/registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MetricsTest : public ::testing::Test {
 protected:
  static RegistryOptions Options() {
    RegistryOptions options;
    options.workers = 2;
    options.max_routes = 3;
    options.max_schemes = 3;
    options.version = "0.1.0";
    return options;
  }
  Registry registry_{Options()};
};

TEST_F(MetricsTest, AScrapeSumsTheWorkers) {
  registry_.worker(0).connections_accepted.Add(2);
  registry_.worker(1).connections_accepted.Add(3);
  registry_.worker(1).handshakes_resumed.Add();
  std::string text = registry_.Scrape();
  EXPECT_THAT(text, HasSubstr("# TYPE gatehouse_connections_total counter\ngatehouse_connections_total 5\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_handshakes_total{kind=\"full\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_handshakes_total{kind=\"resumed\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_build_info{version=\"0.1.0\"} 1\n"));
}

TEST_F(MetricsTest, ARequestIsCountedByReasonRouteClassAndDuration) {
  uint16_t hello = registry_.routes().Intern("hello");
  registry_.worker(0).CountRequest(hello, Reason::kNone, 200, absl::Microseconds(80));
  registry_.worker(1).CountRequest(hello, Reason::kUnknownIssuer, 401, absl::Microseconds(60));
  registry_.worker(1).CountRequest(LabelTable::kOther, Reason::kNoRoute, 404, absl::Seconds(100));
  std::string text = registry_.Scrape();
  EXPECT_THAT(text, HasSubstr("gatehouse_decisions_total{reason=\"none\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_decisions_total{reason=\"UNKNOWN_ISSUER\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_requests_total{route=\"hello\",outcome=\"allowed\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_requests_total{route=\"hello\",outcome=\"refused\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_requests_total{route=\"other\",outcome=\"refused\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_responses_total{class=\"2xx\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_responses_total{class=\"4xx\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_request_duration_seconds_count 3\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_request_duration_seconds_bucket{le=\"5e-05\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_request_duration_seconds_bucket{le=\"0.0001\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_request_duration_seconds_bucket{le=\"60\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_request_duration_seconds_bucket{le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, Not(HasSubstr("reason=\"EXPIRED\"")));
}

TEST_F(MetricsTest, ABucketsBoundIsInclusive) {
  Histogram histogram;
  histogram.Observe(absl::Microseconds(50));
  histogram.Observe(absl::Microseconds(50) + absl::Nanoseconds(900));
  histogram.Observe(absl::ZeroDuration());
  Histogram::Sum sum;
  histogram.AddTo(&sum);
  EXPECT_EQ(sum.counts[0], 2);
  EXPECT_EQ(sum.counts[1], 1);
}

TEST_F(MetricsTest, NamesBeyondTheCapacityAreOther) {
  EXPECT_EQ(registry_.routes().Intern("a"), 1);
  EXPECT_EQ(registry_.routes().Intern("b"), 2);
  EXPECT_EQ(registry_.routes().Intern("a"), 1);
  EXPECT_EQ(registry_.routes().Intern("c"), LabelTable::kOther);
  // A number beyond the table cannot write out of bounds.
  registry_.worker(0).CountRequest(60'000, Reason::kNone, 200, absl::ZeroDuration());
  registry_.worker(0).CountScheme(60'000, SchemeResult::kSuccess);
  EXPECT_EQ(registry_.worker(0).route_allowed(LabelTable::kOther), 1);
  EXPECT_EQ(registry_.worker(0).scheme(LabelTable::kOther, SchemeResult::kSuccess), 1);
}

TEST_F(MetricsTest, ARequestWithoutAnAnswerHasItsOwnClass) {
  registry_.worker(0).CountRequest(0, Reason::kUpstreamUnavailable, 0, absl::ZeroDuration());
  registry_.worker(0).CountRequest(0, Reason::kUpstreamUnavailable, 999, absl::ZeroDuration());
  EXPECT_THAT(registry_.Scrape(), HasSubstr("gatehouse_responses_total{class=\"none\"} 2\n"));
}

TEST_F(MetricsTest, LabelTextIsEscaped) {
  uint16_t route = registry_.routes().Intern("a\"b\\c\nd");
  registry_.worker(0).CountRequest(route, Reason::kNone, 200, absl::ZeroDuration());
  EXPECT_THAT(registry_.Scrape(), HasSubstr("route=\"a\\\"b\\\\c\\nd\""));
}

TEST_F(MetricsTest, SourcesOfOneFamilyStandTogetherAndGoWhenRemoved) {
  double value = 4;
  auto read = [&value] { return value; };
  uint64_t a = registry_.AddSource(SourceType::kGauge, "gatehouse_upstream_open", "Open.", {{"upstream", "a"}}, read);
  registry_.AddSource(SourceType::kCounter, "gatehouse_other_total", "Other.", {}, read);
  registry_.AddSource(SourceType::kGauge, "gatehouse_upstream_open", "Open.", {{"upstream", "b"}}, read);
  EXPECT_THAT(registry_.Scrape(), HasSubstr("# TYPE gatehouse_upstream_open gauge\n"
                                            "gatehouse_upstream_open{upstream=\"a\"} 4\n"
                                            "gatehouse_upstream_open{upstream=\"b\"} 4\n"));
  registry_.RemoveSource(a);
  value = 5;
  std::string text = registry_.Scrape();
  EXPECT_THAT(text, Not(HasSubstr("upstream=\"a\"")));
  EXPECT_THAT(text, HasSubstr("gatehouse_upstream_open{upstream=\"b\"} 5\n"));
}

TEST_F(MetricsTest, TheRevisionIsTheLowestOfTheWorkers) {
  registry_.worker(0).snapshot_revision.Set(7);
  registry_.worker(1).snapshot_revision.Set(6);
  EXPECT_THAT(registry_.Scrape(), HasSubstr("gatehouse_snapshot_revision 6\n"));
}

TEST_F(MetricsTest, SchemesAreCountedByResult) {
  uint16_t basic = registry_.schemes().Intern("Basic");
  registry_.worker(0).CountScheme(basic, SchemeResult::kFailure);
  EXPECT_THAT(registry_.Scrape(),
              HasSubstr("gatehouse_scheme_results_total{scheme=\"Basic\",result=\"failure\"} 1\n"));
}

TEST_F(MetricsTest, ScrapingWhileWorkersCountLosesNothing) {
  std::atomic<bool> done{false};
  std::thread scraper([&] {
    while (!done) registry_.Scrape();
  });
  auto work = [&](int i) {
    for (int n = 0; n < 20'000; ++n) {
      registry_.worker(i).CountRequest(0, Reason::kNone, 200, absl::Microseconds(n));
    }
  };
  std::thread a(work, 0), b(work, 1);
  a.join();
  b.join();
  done = true;
  scraper.join();
  EXPECT_THAT(registry_.Scrape(), HasSubstr("gatehouse_decisions_total{reason=\"none\"} 40000\n"));
}

}  // namespace
}  // namespace gatehouse::metrics
