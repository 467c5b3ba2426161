#include "gateway/server/upstreams.h"

#include "gmock/gmock.h"

namespace gatehouse::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class UpstreamsTest : public ::testing::Test {
 protected:
  UpstreamsTest()
      : upstreams_(Upstreams::Options{.workers = 2,
                                      .clock = &clock_,
                                      .resolver = nullptr,
                                      .registry = &registry_,
                                      .report = [this](events::Event event) { events_.push_back(std::move(event)); },
                                      .refresh = [](const std::string&) {}}) {}

  void Use(std::vector<std::string> names) {
    config::Snapshot snapshot;
    snapshot.revision = 9;
    for (const std::string& name : names) {
      config::Upstream& upstream = snapshot.upstreams.emplace_back();
      upstream.name = name;
      upstream.endpoints = {"127.0.0.1:80"};
    }
    upstreams_.Use(snapshot, UpstreamTlsContexts(snapshot.upstreams.size()));
  }
  upstream::EndpointRef EndpointOf(const std::string& name) { return upstreams_.directory().For(name, 0)->endpoints[0]; }

  FakeClock clock_;
  metrics::Registry registry_{metrics::RegistryOptions()};
  std::vector<events::Event> events_;
  Upstreams upstreams_;
};

TEST_F(UpstreamsTest, AnEndpointThatGoesOutOfServiceAndComesBackIsAnEventEach) {
  Use({"orders"});
  // Not by its health, which the directory's own thread may be setting right: nobody asks for it.
  EndpointOf("orders")->Eject("no answer");
  EndpointOf("orders")->Return();
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_EQ(events_[0].kind, events::EventKind::kUpstream);
  EXPECT_EQ(events_[0].reason, Reason::kUpstreamUnavailable);
  EXPECT_EQ(events_[0].facts->revision, 9u);
  EXPECT_EQ(events_[0].facts->upstream->upstream, "orders");
  EXPECT_EQ(events_[0].facts->upstream->endpoint, "127.0.0.1:80");
  EXPECT_EQ(events_[0].facts->detail, "out of service: no answer");
  EXPECT_EQ(events_[1].reason, Reason::kNone);
  EXPECT_EQ(events_[1].facts->detail, "back in service: its rest is over");
}

TEST_F(UpstreamsTest, NothingIsToldAfterStop) {
  Use({"orders"});
  const upstream::EndpointRef endpoint = EndpointOf("orders");
  upstreams_.Stop();
  endpoint->Eject("no answer");
  EXPECT_TRUE(events_.empty());
}

TEST_F(UpstreamsTest, MetricsAreSummedOverWorkersAndGoWithTheUpstream) {
  Use({"orders", "billing"});
  upstreams_.directory().For("orders", 0)->stats->requests.Add(3);
  upstreams_.directory().For("orders", 1)->stats->requests.Add(4);
  EndpointOf("orders")->Eject("no answer");
  const std::string text = registry_.Scrape();
  EXPECT_THAT(text, HasSubstr("gatehouse_upstream_requests_total{upstream=\"orders\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_upstream_endpoints{upstream=\"orders\",state=\"ejected\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gatehouse_upstream_endpoints{upstream=\"billing\",state=\"healthy\"} 1\n"));
  Use({"billing"});
  EXPECT_THAT(registry_.Scrape(), Not(HasSubstr("\"orders\"")));
  Use({"billing"});
  EXPECT_THAT(registry_.Scrape(), HasSubstr("gatehouse_upstream_requests_total{upstream=\"billing\"} 0\n"));
}

TEST_F(UpstreamsTest, TheSpecSaysWhatTheConfigurationSays) {
  config::Upstream upstream;
  upstream.name = "orders";
  upstream.endpoints = {"app.internal:80"};
  upstream.least_request = true;
  upstream.eject_after = 0;
  upstream.attempts = 4;
  upstream.retry_idempotent = true;
  upstream.max_requests = 7;
  upstream.health_check = config::HealthCheck{.path = "/h", .statuses = {204}};
  const upstream::ServiceSpec spec = SpecOf(upstream);
  EXPECT_EQ(spec.options.balance, upstream::Balance::kLeastRequest);
  EXPECT_EQ(spec.options.ejection.consecutive_failures, 0u);
  EXPECT_EQ(spec.options.retries.attempts, 4u);
  EXPECT_TRUE(spec.options.retries.idempotent);
  EXPECT_EQ(spec.options.max_requests, 7u);
  EXPECT_THAT(spec.endpoints, ElementsAre("app.internal:80"));
  ASSERT_TRUE(spec.health_check.has_value());
  EXPECT_EQ(spec.health_check->path, "/h");
  EXPECT_THAT(spec.health_check->statuses, ElementsAre(204));
}

}  // namespace
}  // namespace gatehouse::server
