#include "control/compiler.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;

class CompilerTest : public ::testing::Test {
 protected:
  static std::shared_ptr<v1::ConfigSet> Upstreams(const char* endpoint) {
    auto set = std::make_shared<v1::ConfigSet>();
    set->add_upstreams()->set_name("u");
    set->mutable_upstreams(0)->add_endpoints(endpoint);
    return set;
  }
  static Sha256Digest DigestOf(const v1::ConfigSet& set) { return config::IndexOf(set).digest; }

  FakeClock clock_;
  publish::Alarms alarms_;
  publish::Distributor distributor_{"store-1", clock_, alarms_, [](const v1::Event&) {}};
  Compiler compiler_{distributor_, "store-1", clock_};
};

TEST_F(CompilerTest, SaysWhatIsWrongWithASet) {
  EXPECT_THAT(compiler_.Check(*Upstreams("nowhere"), 1).violations, Not(IsEmpty()));
  EXPECT_THAT(compiler_.Check(*Upstreams("127.0.0.1:80"), 1).violations, IsEmpty());
}

TEST_F(CompilerTest, WhatWasCheckedAndPublishedIsCompiledOnce) {
  auto set = Upstreams("127.0.0.1:80");
  EXPECT_THAT(compiler_.Check(*set, 1).violations, IsEmpty());
  const config::SnapshotRef checked = compiler_.Find(1, DigestOf(*set), *set).snapshot;
  compiler_.Publish(1, set);
  EXPECT_EQ(compiler_.Find(1, DigestOf(*set), *set).snapshot, checked);
  EXPECT_EQ(distributor_.revision(), 1u);
}

TEST_F(CompilerTest, ADryRunUnderTheSameNumberIsNeverTakenForTheRevision) {
  auto tried = Upstreams("127.0.0.1:80");
  auto stored = Upstreams("127.0.0.1:81");
  compiler_.Check(*tried, 1);
  const config::BuildResult found = compiler_.Find(1, DigestOf(*stored), *stored);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.snapshot->upstreams[0].endpoints[0], "127.0.0.1:81");
}

TEST_F(CompilerTest, AnEmptySetIsAConfiguration) {
  const v1::ConfigSet empty;
  EXPECT_TRUE(compiler_.Find(0, DigestOf(empty), empty).ok());
}

}  // namespace
}  // namespace gatehouse
