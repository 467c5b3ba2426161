#include "gateway/server/ticket_keys.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::TicketKeys Good() {
  v1::TicketKeys message;
  v1::TicketKey& key = *message.add_keys();
  key.set_name(std::string(16, 'n'));
  key.set_secret(std::string(64, 's'));
  key.mutable_issue_until()->set_seconds(100);
  key.mutable_accept_until()->set_seconds(200);
  key.mutable_accept_until()->set_nanos(5);
  return message;
}

std::string ErrorOf(const v1::TicketKeys& message) { return std::string(TicketKeysOf(message).status().message()); }

TEST(TicketKeysOfTest, ReadsWhatTheControlPlaneSends) {
  absl::StatusOr<std::vector<tls::TicketKey>> keys = TicketKeysOf(Good());
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->size(), 1u);
  EXPECT_EQ((*keys)[0].name[15], 'n');
  EXPECT_EQ((*keys)[0].secret[63], 's');
  EXPECT_EQ((*keys)[0].issue_until, absl::FromUnixSeconds(100));
  EXPECT_EQ((*keys)[0].accept_until, absl::FromUnixSeconds(200) + absl::Nanoseconds(5));
}

TEST(TicketKeysOfTest, NamesWhatIsWrongAndNeverTheSecret) {
  EXPECT_THAT(ErrorOf({}), HasSubstr("keys: "));
  v1::TicketKeys many = Good();
  for (int i = 0; i < 16; ++i) *many.add_keys() = many.keys(0);
  EXPECT_THAT(ErrorOf(many), HasSubstr("1 to 16"));
  v1::TicketKeys bad = Good();
  bad.mutable_keys(0)->set_name("n");
  EXPECT_THAT(ErrorOf(bad), HasSubstr("keys[0].name"));
  bad = Good();
  bad.mutable_keys(0)->set_secret("sss");
  EXPECT_THAT(ErrorOf(bad), HasSubstr("keys[0].secret"));
  EXPECT_THAT(ErrorOf(bad), Not(HasSubstr("sss")));
  bad = Good();
  bad.mutable_keys(0)->mutable_accept_until()->set_seconds(1);
  EXPECT_THAT(ErrorOf(bad), HasSubstr("keys[0].accept_until"));
}

}  // namespace
}  // namespace gatehouse::server
