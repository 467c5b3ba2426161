#include "control/validate/validate.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::validate {
namespace {

v1::Violation Make(const std::string& path, const std::string& message) {
  v1::Violation violation;
  violation.set_path(path);
  violation.set_message(message);
  return violation;
}

std::vector<std::string> Unknown(const google::protobuf::Message& message) {
  std::vector<v1::Violation> violations;
  FindUnknownFields(message, PathOf(v1::ROUTE, "hello"), &violations);
  std::vector<std::string> paths;
  for (const v1::Violation& violation : violations) paths.push_back(violation.path());
  return paths;
}

TEST(ValidateTest, ARefusalSaysEverythingAsTextAndAsData) {
  const absl::Status status = Refusal({Make("routes[\"a\"].match", "required"), Make("", "whole")});

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "nothing was changed\nroutes[\"a\"].match: required\nwhole");
  const auto violations = ViolationsOf(status);
  ASSERT_EQ(violations.size(), 2u);
  EXPECT_EQ(violations[0].path(), "routes[\"a\"].match");
  EXPECT_EQ(violations[1].message(), "whole");
}

TEST(ValidateTest, AnOrdinaryStatusHasNoViolations) {
  EXPECT_TRUE(ViolationsOf(absl::NotFoundError("x")).empty());
  EXPECT_TRUE(ViolationsOf(absl::OkStatus()).empty());
}

TEST(ValidateTest, FieldsThatNobodyKnowsAreFoundAtEveryDepth) {
  v1::Route route;
  EXPECT_THAT(Unknown(route), ::testing::IsEmpty());

  route.mutable_match()->set_path("/");
  route.GetReflection()->MutableUnknownFields(&route)->AddVarint(4242, 1);
  v1::RouteMatch* match = route.mutable_match();
  match->GetReflection()->MutableUnknownFields(match)->AddLengthDelimited(77, "x");
  EXPECT_THAT(Unknown(route), ::testing::ElementsAre("routes[\"hello\"]", "routes[\"hello\"].match"));
}

TEST(ValidateTest, AnUnknownFieldWithinAListIsNamedByItsIndex) {
  v1::UserStore store;
  store.add_users();
  v1::User* user = store.add_users();
  user->GetReflection()->MutableUnknownFields(user)->AddVarint(99, 1);
  EXPECT_THAT(Unknown(store), ::testing::ElementsAre("routes[\"hello\"].users[1]"));
}

TEST(ValidateTest, EveryKindHasAPath) {
  for (int kind = v1::Kind_MIN + 1; kind <= v1::Kind_MAX; ++kind) {
    EXPECT_NE(PathOf(static_cast<v1::Kind>(kind), "x").substr(0, 9), "resources") << kind;
  }
}

}  // namespace
}  // namespace gatehouse::validate
