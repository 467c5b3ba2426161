#include "control/compiler.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;

class CompilerTest : public ::testing::Test {
 protected:
  static config::ResourceMap Upstreams(const char* endpoint) {
    v1::ConfigSet set;
    set.add_upstreams()->set_name("u");
    set.mutable_upstreams(0)->add_endpoints(endpoint);
    return config::ResourceMap(set);
  }

  FakeClock clock_;
  publish::Alarms alarms_;
  publish::Distributor distributor_{"store-1", clock_, alarms_, [](const v1::Event&) {}};
  Compiler compiler_{distributor_, "store-1", clock_};
};

TEST_F(CompilerTest, SaysWhatIsWrongWithASet) {
  EXPECT_THAT(compiler_.Check(Upstreams("nowhere"), 1).violations, Not(IsEmpty()));
  EXPECT_THAT(compiler_.Check(Upstreams("127.0.0.1:80"), 1).violations, IsEmpty());
}

TEST_F(CompilerTest, WhatWasCheckedAndPublishedIsCompiledOnce) {
  auto set = Upstreams("127.0.0.1:80");
  EXPECT_THAT(compiler_.Check(set, 1).violations, IsEmpty());
  const config::SnapshotRef checked = compiler_.Find(1, set).snapshot;
  compiler_.Publish(1, set);
  EXPECT_EQ(compiler_.Find(1, set).snapshot, checked);
  EXPECT_EQ(distributor_.revision(), 1u);
}

TEST_F(CompilerTest, ADryRunUnderTheSameNumberIsNeverTakenForTheRevision) {
  auto tried = Upstreams("127.0.0.1:80");
  auto stored = Upstreams("127.0.0.1:81");
  compiler_.Check(tried, 1);
  const config::BuildResult found = compiler_.Find(1, stored);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.snapshot->upstreams[0].endpoints[0], "127.0.0.1:81");
}

TEST_F(CompilerTest, AnEmptySetIsAConfiguration) {
  EXPECT_TRUE(compiler_.Find(0, {}).ok());
}

TEST_F(CompilerTest, GatewaysDoNotHearWhoMayUseTheControlPlane) {
  config::ResourceMap resources = Upstreams("127.0.0.1:80");
  const Sha256Digest without = resources.digest();
  auto binding = std::make_shared<v1::Resource>();
  binding->mutable_binding()->set_name("owners");
  resources[config::KeyOf(*binding)] = binding;
  EXPECT_THAT(compiler_.Check(resources, 1).violations, IsEmpty());
  compiler_.Publish(1, resources);
  const config::BuildResult found = compiler_.Find(1, Upstreams("127.0.0.1:80"));
  EXPECT_EQ(found.snapshot->digest, without);
}

}  // namespace
}  // namespace gatehouse
