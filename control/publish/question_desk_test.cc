#include "control/publish/question_desk.h"

#include <future>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::publish {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class QuestionDeskTest : public ::testing::Test {
 protected:
  using Answered = std::future<absl::StatusOr<std::string>>;
  struct Gateway {
    std::vector<v1::Question> asked;
    std::unique_ptr<QuestionDesk::Line> line;

    void Answer(size_t i) {
      v1::Answer answer;
      answer.set_id(asked.at(i).id());
      line->Answer(std::move(answer));
    }
  };

  std::unique_ptr<Gateway> Connect(const std::string& name) {
    auto gateway = std::make_unique<Gateway>();
    gateway->line = desk_.Add(name, [g = gateway.get()](v1::Question question) { g->asked.push_back(std::move(question)); });
    return gateway;
  }
  // Becomes the name of the gateway that answered.
  Answered Ask(const std::string& gateway, absl::Duration timeout = absl::Seconds(60)) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
    desk_.Ask(gateway, {}, timeout, [promise](const std::string& from, absl::StatusOr<v1::Answer> answer) {
      promise->set_value(answer.ok() ? absl::StatusOr<std::string>(from) : answer.status());
    });
    return promise->get_future();
  }
  void Fill(const std::string& gateway) {
    for (size_t i = 0; i < QuestionDesk::kMaxQuestions; ++i) waiting_.push_back(Ask(gateway));
  }

  Alarms alarms_;
  QuestionDesk desk_{alarms_};
  std::vector<Answered> waiting_;
};

TEST_F(QuestionDeskTest, AGatewayThatAnswersNothingUsesUpItsOwnPlacesAlone) {
  auto stopped = Connect("stopped");
  auto well = Connect("well");
  for (int i = 0; i < 10; ++i) Fill("stopped");
  EXPECT_THAT(stopped->asked, SizeIs(QuestionDesk::kMaxQuestions));
  EXPECT_EQ(Ask("stopped").get().status(),
            absl::ResourceExhaustedError("gateway stopped has 32 questions to answer already; try again once it has answered"));

  Answered answered = Ask("well");
  ASSERT_THAT(well->asked, SizeIs(1));
  well->Answer(0);
  EXPECT_EQ(*answered.get(), "well");
}

TEST_F(QuestionDeskTest, AnAnswerMakesRoomForTheNextQuestion) {
  auto slow = Connect("slow");
  Fill("slow");
  slow->Answer(3);
  EXPECT_EQ(*waiting_[3].get(), "slow");
  Answered next = Ask("slow");
  ASSERT_THAT(slow->asked, SizeIs(QuestionDesk::kMaxQuestions + 1));
  slow->Answer(QuestionDesk::kMaxQuestions);
  EXPECT_EQ(*next.get(), "slow");
}

// It is still on its way to the gateway: without that it would wait there in any number.
TEST_F(QuestionDeskTest, AQuestionThatNobodyWaitsForAnyMoreHoldsItsPlaceUntilItIsAnswered) {
  auto stopped = Connect("stopped");
  for (size_t i = 0; i < QuestionDesk::kMaxQuestions; ++i) waiting_.push_back(Ask("stopped", absl::ZeroDuration()));
  for (Answered& answered : waiting_) EXPECT_EQ(answered.get().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Ask("stopped").get().status().code(), absl::StatusCode::kResourceExhausted);
  stopped->Answer(0);
  Answered next = Ask("stopped");
  EXPECT_THAT(stopped->asked, SizeIs(QuestionDesk::kMaxQuestions + 1));
  stopped->Answer(QuestionDesk::kMaxQuestions);
  EXPECT_EQ(*next.get(), "stopped");

  stopped->line.reset();
  stopped = Connect("stopped");
  next = Ask("stopped");
  EXPECT_THAT(stopped->asked, SizeIs(1)) << "a new connection begins anew";
}

TEST_F(QuestionDeskTest, WhatAnyMayAnswerIsAskedOfTheOneWithTheFewestQuestions) {
  auto well = Connect("well");
  auto stopped = Connect("stopped");
  Answered unanswered = Ask("");
  EXPECT_THAT(stopped->asked, SizeIs(1)) << "of equals the newest";
  EXPECT_THAT(well->asked, IsEmpty());
  Answered answered = Ask("");
  ASSERT_THAT(well->asked, SizeIs(1));
  well->Answer(0);
  EXPECT_EQ(*answered.get(), "well");
}

TEST_F(QuestionDeskTest, OfOneNameTheNewestConnectionIsAsked) {
  auto before = Connect("g");
  auto now = Connect("g");
  waiting_.push_back(Ask("g"));
  waiting_.push_back(Ask("g"));
  EXPECT_THAT(before->asked, IsEmpty());
  EXPECT_THAT(now->asked, SizeIs(2));
}

}  // namespace
}  // namespace gatehouse::publish
