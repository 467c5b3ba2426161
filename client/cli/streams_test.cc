// What becomes of standard input and output that fail.
#include <gmock/gmock.h>

#include "client/cli/cli_fixture.h"

namespace gatehouse::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StreamsTest : public CliTest {};

TEST_F(StreamsTest, WhatCouldNotBeWrittenIsNoSuccess) {
  out_fails_ = true;
  server_.streams = {{v1::Event()}};
  v1::WatchResourcesResponse all;
  all.set_synced(true);
  server_.resource_streams = {{all}};
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{{"get", "routes"},
                                                                                       {"get", "routes", "-w"},
                                                                                       {"events", "watch", "--count", "1"},
                                                                                       {"status", "-w", "-n", "1"},
                                                                                       {"completion", "bash"},
                                                                                       {"--help"}}) {
    EXPECT_EQ(Ctl(command), kUnavailable) << command[0];
    EXPECT_THAT(err_, HasSubstr("error: standard output could not be written\n")) << command[0];
  }
  EXPECT_EQ(Ctl({"get", "routes", "x"}), kNotFound) << "what went wrong before counts";
}

TEST_F(StreamsTest, InputThatCannotBeReadIsNoEnd) {
  in_fails_ = true;
  const std::string route = "kind: Route\nname: a\n---\n";
  EXPECT_EQ(Ctl({"apply", "--replace-all", "-f", "-"}, route), kRefused);
  EXPECT_THAT(err_, HasSubstr("standard input could not be read"));
  EXPECT_EQ(Ctl({"user", "add", "staff", "ann", "--password-stdin"}, "correct horse"), kRefused);
  EXPECT_THAT(err_, HasSubstr("standard input could not be read"));
  EXPECT_THAT(server_.applied, IsEmpty());
  EXPECT_THAT(server_.users, IsEmpty());
}

}  // namespace
}  // namespace gatehouse::cli
