// Upstreams: what is read, and what is refused with which path.
#include "gateway/config/build_fixture.h"

namespace gatehouse::config {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BuildUpstreamsTest : public BuildTest {
 protected:
  static std::shared_ptr<const Snapshot> Good(const std::string& fields) {
    return BuildGood("upstreams { name: \"u\" endpoints: \"10.0.0.1:80\" " + fields + " }");
  }
};

TEST_F(BuildUpstreamsTest, WhatIsNotSaidHasItsDefault) {
  const auto snapshot = Good("");
  const Upstream& u = snapshot->upstream(0);
  EXPECT_FALSE(u.least_request);
  EXPECT_FALSE(u.health_check.has_value());
  EXPECT_EQ(u.dns_refresh, absl::Seconds(30));
  EXPECT_EQ(u.max_requests, 0u);
  EXPECT_EQ(u.eject_after, 5u);
  EXPECT_EQ(u.eject_for, absl::Seconds(30));
  EXPECT_EQ(u.eject_percent, 50u);
  EXPECT_EQ(u.attempts, 2u);
  EXPECT_FALSE(u.retry_idempotent);
  EXPECT_EQ(u.retry_budget_percent, 20u);
}

TEST_F(BuildUpstreamsTest, EveryFieldIsRead) {
  const auto snapshot = Good(R"(
      endpoints: "app.internal:8080" endpoints: "[::1]:9" balance: LEAST_REQUEST max_requests: 7 dns_refresh { seconds: 5 }
      health_check { path: "/healthz?deep=1" host: "app" interval { seconds: 1 } timeout { nanos: 500000000 }
                     healthy_after: 4 unhealthy_after: 1 statuses: 204 statuses: 429 }
      ejection { consecutive_failures: 9 rest { seconds: 2 } max_percent: 100 }
      retries { attempts: 4 idempotent: true budget_percent: 5 })");
  const Upstream& u = snapshot->upstream(0);
  EXPECT_THAT(u.endpoints, ElementsAre("10.0.0.1:80", "app.internal:8080", "[::1]:9"));
  EXPECT_TRUE(u.least_request);
  EXPECT_EQ(u.max_requests, 7u);
  EXPECT_EQ(u.dns_refresh, absl::Seconds(5));
  ASSERT_TRUE(u.health_check.has_value());
  EXPECT_EQ(u.health_check->path, "/healthz?deep=1");
  EXPECT_EQ(u.health_check->host, "app");
  EXPECT_EQ(u.health_check->interval, absl::Seconds(1));
  EXPECT_EQ(u.health_check->timeout, absl::Milliseconds(500));
  EXPECT_EQ(u.health_check->healthy_after, 4u);
  EXPECT_EQ(u.health_check->unhealthy_after, 1u);
  EXPECT_THAT(u.health_check->statuses, ElementsAre(204, 429));
  EXPECT_EQ(u.eject_after, 9u);
  EXPECT_EQ(u.eject_for, absl::Seconds(2));
  EXPECT_EQ(u.eject_percent, 100u);
  EXPECT_EQ(u.attempts, 4u);
  EXPECT_TRUE(u.retry_idempotent);
  EXPECT_EQ(u.retry_budget_percent, 5u);
}

TEST_F(BuildUpstreamsTest, EjectionIsSwitchedOff) { EXPECT_EQ(Good("ejection { off: true }")->upstream(0).eject_after, 0u); }

TEST_F(BuildUpstreamsTest, EachMistakeIsRefusedAtItsPath) {
  struct Bad {
    const char* fields;
    const char* path;
    const char* cause;
  };
  const std::string path_too_long = "health_check { path: \"/" + std::string(1024, 'a') + "\" }";
  for (const Bad& bad : std::vector<Bad>{
           {"endpoints: 'nobody'", ".endpoints[1]", "name:port"},
           {"endpoints: 'a b:1'", ".endpoints[1]", "name:port"},
           {"endpoints: '-x:1'", ".endpoints[1]", "name:port"},
           {"endpoints: 'app:0'", ".endpoints[1]", "name:port"},
           {"endpoints: 'app:65536'", ".endpoints[1]", "name:port"},
           {"endpoints: '10.0.0.256:1'", ".endpoints[1]", "name:port"},
           {"endpoints: '::1:80'", ".endpoints[1]", "name:port"},
           {"endpoints: '0.0.0.0:80'", ".endpoints[1]", "unspecified"},
           {"endpoints: '[::]:80'", ".endpoints[1]", "unspecified"},
           {"endpoints: 'app:1' endpoints: 'APP:1'", ".endpoints[2]", "is there twice"},
           {"dns_refresh { nanos: 999999999 }", ".dns_refresh", "out of range"},
           {"balance: 7", ".balance", "is no balance"},
           {"health_check { path: 'x' }", ".health_check.path", "begin with '/'"},
           {"health_check { path: '/a b' }", ".health_check.path", "visible"},
           {"health_check { path: '/a\\r\\nx: y' }", ".health_check.path", "visible"},
           {"health_check { path: '/a#b' }", ".health_check.path", "without '#'"},
           {path_too_long.c_str(), ".health_check.path", "at most"},
           {"health_check { host: 'a\\r\\nb' }", ".health_check.host", "host name"},
           {"health_check { interval { nanos: 99999999 } }", ".health_check.interval", "out of range"},
           {"health_check { timeout { seconds: 601 } }", ".health_check.timeout", "out of range"},
           {"health_check { healthy_after: 1001 }", ".health_check.healthy_after", "out of range"},
           {"health_check { unhealthy_after: 1001 }", ".health_check.unhealthy_after", "out of range"},
           {"health_check { statuses: 200 statuses: 700 }", ".health_check.statuses[1]", "200 to 599"},
           {"health_check { statuses: 101 }", ".health_check.statuses[0]", "200 to 599"},
           {"health_check { grpc_service: '' }", ".health_check.grpc_service", "needs protocol HTTP_2"},
           {"protocol: HTTP_2 health_check { grpc_service: 'a' path: '/' }", ".health_check.path", "excludes grpc_service"},
           {"protocol: HTTP_2 health_check { grpc_service: 'a' statuses: 200 }", ".health_check.statuses", "excludes grpc_service"},
           {"protocol: HTTP_2 health_check { grpc_service: 'a b' }", ".health_check.grpc_service", "visible"},
           {"ejection { max_percent: 101 }", ".ejection.max_percent", "out of range"},
           {"ejection { rest { nanos: 5 } }", ".ejection.rest", "out of range"},
           {"ejection { off: true max_percent: 10 }", ".ejection.off", "excludes"},
           {"retries { attempts: 11 }", ".retries.attempts", "1 to 10"},
           {"retries { budget_percent: 101 }", ".retries.budget_percent", "1 to 100"},
       }) {
    const BuildResult result =
        BuildText(absl::StrCat("upstreams { name: 'u' endpoints: '10.0.0.1:80' ", bad.fields, " }"));
    ASSERT_EQ(result.snapshot, nullptr) << bad.fields;
    EXPECT_THAT(Lines(result.violations),
                Contains(::testing::AllOf(HasSubstr(absl::StrCat("upstreams[\"u\"]", bad.path, ": ")), HasSubstr(bad.cause))))
        << bad.fields;
  }
}

}  // namespace
}  // namespace gatehouse::config
