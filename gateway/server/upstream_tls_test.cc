#include "gateway/server/upstream_tls.h"

#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

class UpstreamTlsContextsTest : public ::testing::Test {
 protected:
  static config::UpstreamTlsRef Pinned(uint8_t octet) {
    auto tls = std::make_shared<config::UpstreamTls>();
    tls->spki_pins.emplace_back().fill(octet);
    return tls;
  }
  static config::Snapshot Of(std::vector<config::UpstreamTlsRef> all) {
    config::Snapshot snapshot;
    for (config::UpstreamTlsRef& tls : all) {
      config::Upstream& upstream = snapshot.upstreams.emplace_back();
      upstream.index = static_cast<uint32_t>(snapshot.upstreams.size() - 1);
      upstream.name = std::string(1, static_cast<char>('a' + upstream.index));
      upstream.tls = std::move(tls);
    }
    return snapshot;
  }
  UpstreamTlsContexts Make(const config::Snapshot& snapshot, const config::Snapshot* before = nullptr,
                           const UpstreamTlsContexts* previous = nullptr) {
    absl::StatusOr<UpstreamTlsContexts> made = MakeUpstreamTls(snapshot, before, previous, clock_);
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : UpstreamTlsContexts();
  }
  FakeClock clock_;
};

TEST_F(UpstreamTlsContextsTest, ThereIsOneForEachUpstreamWithTls) {
  const UpstreamTlsContexts contexts = Make(Of({nullptr, Pinned(1)}));
  ASSERT_EQ(contexts.size(), 2u);
  EXPECT_EQ(contexts[0], nullptr);
  EXPECT_NE(contexts[1], nullptr);
}

TEST_F(UpstreamTlsContextsTest, WhatDidNotChangeIsTakenOverWithItsSessionsWhereverItStands) {
  const config::UpstreamTlsRef kept = Pinned(1);
  const config::Snapshot first = Of({Pinned(2), kept});
  const UpstreamTlsContexts before = Make(first);
  config::Snapshot second = Of({kept, Pinned(3)});
  second.upstreams[0].name = "b";
  second.upstreams[1].name = "a";
  const UpstreamTlsContexts after = Make(second, &first, &before);
  EXPECT_EQ(after[0], before[1]);
  EXPECT_NE(after[1], before[0]);
  second.upstreams[0].http2 = true;  // another ALPN
  EXPECT_NE(Make(second, &first, &before)[0], before[1]);
}

TEST_F(UpstreamTlsContextsTest, OneThatCouldProveNothingIsAnErrorThatNamesTheUpstream) {
  const config::Snapshot snapshot = Of({std::make_shared<config::UpstreamTls>()});
  const absl::Status status = MakeUpstreamTls(snapshot, nullptr, nullptr, clock_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().substr(0, 20), "upstreams[\"a\"].tls: ");
}

}  // namespace
}  // namespace gatehouse::server
