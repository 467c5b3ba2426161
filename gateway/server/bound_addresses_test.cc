#include "gateway/server/bound_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gatehouse::server {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class BoundAddressesTest : public ::testing::Test {
 protected:
  static config::Listener Listener(const std::string& name, const std::string& address) {
    config::Listener listener;
    listener.name = name;
    listener.address = address;
    return listener;
  }
  static std::string Actual(const BoundAddresses& bound, const std::string& name) { return bound.by_listener().at(name).actual.ToString(); }

  std::vector<BoundAddresses::Sockets> sockets_ = std::vector<BoundAddresses::Sockets>(2);
};

TEST_F(BoundAddressesTest, OpensASocketOfTheSamePortForEachWorker) {
  absl::StatusOr<BoundAddresses> bound = BoundAddresses().For({Listener("edge", "127.0.0.1:0")}, &sockets_);
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_NE(Actual(*bound, "edge"), "127.0.0.1:0");
  for (const auto& of_worker : sockets_) EXPECT_EQ(of_worker.at("edge").address().ToString(), Actual(*bound, "edge"));
}

TEST_F(BoundAddressesTest, AListenerThatStaysKeepsItsAddressWithoutANewSocket) {
  absl::StatusOr<BoundAddresses> before = BoundAddresses().For({Listener("edge", "127.0.0.1:0")}, &sockets_);
  ASSERT_TRUE(before.ok());
  std::vector<BoundAddresses::Sockets> more(2);
  absl::StatusOr<BoundAddresses> after = before->For({Listener("edge", "127.0.0.1:0"), Listener("other", "127.0.0.1:0")}, &more);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(Actual(*after, "edge"), Actual(*before, "edge"));
  EXPECT_EQ(more[0].count("edge"), 0u);
  EXPECT_EQ(more[0].count("other"), 1u);
}

TEST_F(BoundAddressesTest, AnAddressPassesFromOneListenerToAnother) {
  const std::string address = loop::ListenSocket::Open(*loop::Address::Parse("127.0.0.1:0"), {})->address().ToString();  // free again
  absl::StatusOr<BoundAddresses> before = BoundAddresses().For({Listener("old", address)}, &sockets_);
  ASSERT_TRUE(before.ok()) << before.status();
  std::vector<BoundAddresses::Sockets> more(2);
  absl::StatusOr<BoundAddresses> after = before->For({Listener("new", address)}, &more);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->by_listener().at("new").claim, before->by_listener().at("old").claim);
  EXPECT_EQ(more[1].at("new").address().ToString(), address);
}

TEST_F(BoundAddressesTest, AnAddressThatSomebodyElseHasIsRefusedByTheListenersNameAndLeavesNothingOpen) {
  loop::ListenOptions alone;
  alone.reuse_port = false;
  const auto theirs = loop::ListenSocket::Open(*loop::Address::Parse("127.0.0.1:0"), alone);
  ASSERT_TRUE(theirs.ok());
  const absl::StatusOr<BoundAddresses> bound =
      BoundAddresses().For({Listener("first", "127.0.0.1:0"), Listener("edge", theirs->address().ToString())}, &sockets_);
  ASSERT_FALSE(bound.ok());
  EXPECT_THAT(std::string(bound.status().message()), StartsWith("listeners[\"edge\"].address: "));
  EXPECT_THAT(std::string(bound.status().message()), HasSubstr(theirs->address().ToString()));
  EXPECT_TRUE(sockets_[0].empty());
}

TEST_F(BoundAddressesTest, AnAddressThatIsNoneIsRefusedByTheListenersName) {
  const absl::StatusOr<BoundAddresses> bound = BoundAddresses().For({Listener("edge", "here")}, &sockets_);
  ASSERT_FALSE(bound.ok());
  EXPECT_THAT(std::string(bound.status().message()), StartsWith("listeners[\"edge\"].address: "));
}

}  // namespace
}  // namespace gatehouse::server
