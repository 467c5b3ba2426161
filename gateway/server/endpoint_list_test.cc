#include "gateway/server/endpoint_list.h"

#include "gateway/config/build.h"
#include "gateway/server/upstreams.h"
#include "gmock/gmock.h"

namespace gatehouse::server {
namespace {

using ::testing::HasSubstr;

class EndpointListTest : public ::testing::Test {
 protected:
  EndpointListTest() {
    v1::ConfigSet set;
    for (const char* name : {"orders", "billing"}) {
      auto* upstream = set.add_upstreams();
      upstream->set_name(name);
      upstream->add_endpoints("127.0.0.2:80");
      upstream->add_endpoints("127.0.0.1:80");
    }
    config::BuildResult built = config::Build(set, {.revision = 7});
    EXPECT_TRUE(built.ok());
    snapshot_ = built.snapshot;
    upstream::Directory::Options options;
    options.workers = 2;
    options.clock = &clock_;
    directory_ = std::make_unique<upstream::Directory>(std::move(options));
    std::vector<upstream::ServiceSpec> specs;
    for (const config::Upstream& upstream : snapshot_->upstreams) specs.push_back(SpecOf(upstream));
    directory_->Use(std::move(specs));
  }
  absl::StatusOr<v1::ListEndpointsResponse> List(const std::string& upstream) {
    v1::ListEndpointsRequest request;
    request.set_upstream(upstream);
    return ListEndpoints(*snapshot_, request, *directory_);
  }
  FakeClock clock_;
  config::SnapshotRef snapshot_;
  std::unique_ptr<upstream::Directory> directory_;
};

TEST_F(EndpointListTest, TellsOfEveryEndpointInOrder) {
  const auto listed = List("");
  ASSERT_TRUE(listed.ok()) << listed.status();
  std::vector<std::string> lines;
  for (const auto& e : listed->endpoints()) lines.push_back(e.upstream() + " " + e.endpoint() + " " + e.address());
  EXPECT_THAT(lines, ::testing::ElementsAre("billing 127.0.0.1:80 127.0.0.1:80", "billing 127.0.0.2:80 127.0.0.2:80",
                                            "orders 127.0.0.1:80 127.0.0.1:80", "orders 127.0.0.2:80 127.0.0.2:80"));
  EXPECT_EQ(listed->endpoints(0).state(), v1::EndpointStatus::HEALTHY);
  EXPECT_EQ(listed->endpoints(0).since().seconds(), absl::ToUnixSeconds(clock_.Now()));
  EXPECT_FALSE(listed->truncated());
}

TEST_F(EndpointListTest, SumsTheWorkersCountsAndTellsStateAndCause) {
  const upstream::EndpointRef endpoint = directory_->For("orders", 0)->endpoints[1];
  for (const size_t worker : {0, 1}) {
    endpoint->worker(worker).requests.Add(3);
    endpoint->worker(worker).failures.Add(2);
    endpoint->worker(worker).active.Add(1);
    endpoint->worker(worker).connections.Add(4);
  }
  clock_.Advance(absl::Seconds(5));
  endpoint->Eject("it answered 503");
  auto of = [&] { return List("orders")->endpoints(0); };
  EXPECT_EQ(of().requests(), 6u);
  EXPECT_EQ(of().failures(), 4u);
  EXPECT_EQ(of().active_requests(), 2u);
  EXPECT_EQ(of().connections(), 8u);
  EXPECT_EQ(of().state(), v1::EndpointStatus::EJECTED);
  EXPECT_EQ(of().detail(), "on 1 of 2 workers: it answered 503");
  EXPECT_EQ(of().since().seconds(), absl::ToUnixSeconds(clock_.Now()));
}

TEST_F(EndpointListTest, AnUpstreamThatIsNotThereIsNamedWithWhatWasMeant) {
  const absl::Status status = List("order").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("there is no \"order\"; did you mean \"orders\"?"));
}

}  // namespace
}  // namespace gatehouse::server
