#include "control/events/find_event.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace gatehouse::hub {
namespace {

class FindEventTest : public ::testing::Test {
 protected:
  void Emit(const std::string& request_id, const std::string& detail = "") {
    v1::Event event;
    event.set_type(v1::Event::DECISION);
    event.mutable_request()->set_request_id(request_id);
    event.set_detail(detail);
    hub_.PublishOne(event);
  }
  absl::StatusCode Code(absl::string_view id) { return FindEvent(hub_, id).status().code(); }

  FakeClock clock_;
  Hub hub_{clock_, HubOptions{.max_events = 5000}};
};

TEST_F(FindEventTest, FindsByCursorAndByRequestId) {
  for (int i = 1; i <= 3000; ++i) Emit(absl::StrCat("abc", i));
  auto event = FindEvent(hub_, absl::StrCat(hub_.incarnation(), ":17"));
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->request().request_id(), "abc17");
  event = FindEvent(hub_, "abc2999");
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->cursor().sequence(), 2999u);
}

TEST_F(FindEventTest, OfARequestWithSeveralEventsTheNewestCounts) {
  Emit("abc1", "first");
  Emit("abc1", "second");
  Emit("abc12", "another");
  EXPECT_EQ(FindEvent(hub_, "abc1")->detail(), "second");
}

TEST_F(FindEventTest, WhatIsNotKeptIsNotFound) {
  EXPECT_EQ(Code("abc"), absl::StatusCode::kNotFound) << "nothing at all is kept";
  for (int i = 1; i <= 6000; ++i) Emit(absl::StrCat("abc", i));
  EXPECT_EQ(Code("abc1"), absl::StatusCode::kNotFound) << "not any more";
  EXPECT_EQ(Code(absl::StrCat(hub_.incarnation(), ":1")), absl::StatusCode::kNotFound);
  EXPECT_EQ(Code(absl::StrCat(hub_.incarnation(), ":6001")), absl::StatusCode::kNotFound) << "not yet";
  EXPECT_EQ(Code("0123456789abcdef:5999"), absl::StatusCode::kNotFound) << "of another hub";
}

TEST_F(FindEventTest, WhatIsNeitherCursorNorRequestIdIsSaid) {
  for (const char* id : {"", "no hex", "abc:", "abc:x", "abc:0", ":5", "abc1\n"}) {
    EXPECT_EQ(Code(id), absl::StatusCode::kInvalidArgument) << id;
  }
  EXPECT_EQ(Code(std::string(65, 'a')), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gatehouse::hub
