// The table of methods is what the descriptors say, and a method without a role does not get into it.
#include "control/api/roles.h"

#include "absl/strings/str_cat.h"
#include "control/api/role_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

google::protobuf::FileDescriptorSet Service(const std::string& name, const std::vector<std::pair<std::string, int>>& methods) {
  google::protobuf::FileDescriptorSet files;
  google::protobuf::FileDescriptorProto& file = *files.add_file();
  file.set_name("x.proto");
  file.set_package("gatehouse.v1");
  google::protobuf::ServiceDescriptorProto& service = *file.add_service();
  service.set_name(name);
  for (const auto& [method, role] : methods) {
    google::protobuf::MethodDescriptorProto& added = *service.add_method();
    added.set_name(method);
    if (role != 0) added.mutable_options()->SetExtension(v1::role, static_cast<v1::Role>(role));
    if (role != 0 && role != v1::VIEWER) added.mutable_options()->SetExtension(v1::writes, method[0] != 'B');
  }
  return files;
}

TEST(RolesTest, AMethodWithoutARoleDoesNotBuildAndIsNamed) {
  const auto table = RoleTable(Service("XService", {{"Read", v1::VIEWER}, {"Forgotten", 0}}));
  ASSERT_FALSE(table.ok());
  EXPECT_THAT(std::string(table.status().message()),
              AllOf(HasSubstr("x.proto: gatehouse.v1.XService.Forgotten: has no `option (role)`"), Not(HasSubstr("Read"))));
  EXPECT_FALSE(RoleTable({}).ok()) << "no descriptors at all are no table without methods";
}

TEST(RolesTest, AMethodThatDoesNotSayWhetherItWritesDoesNotBuildAndNoViewerWrites) {
  google::protobuf::FileDescriptorSet files = Service("XService", {{"Mute", v1::EDITOR}, {"Loud", v1::EDITOR}, {"Read", v1::VIEWER}});
  auto* methods = files.mutable_file(0)->mutable_service(0)->mutable_method();
  methods->Mutable(0)->mutable_options()->ClearExtension(v1::writes);
  EXPECT_THAT(std::string(RoleTable(files).status().message()),
              AllOf(HasSubstr("XService.Mute: has no `option (writes)`"), Not(HasSubstr("Loud")), Not(HasSubstr("Read"))));
  methods->Mutable(0)->mutable_options()->SetExtension(v1::writes, false);
  EXPECT_TRUE(RoleTable(files).ok());
  methods->Mutable(2)->mutable_options()->SetExtension(v1::writes, true);
  EXPECT_THAT(std::string(RoleTable(files).status().message()), HasSubstr("XService.Read: writes, and VIEWER may call it"));
}

TEST(RolesTest, TheTableIsInOrderOfNameAndUsersOwnServiceIsNotInIt) {
  EXPECT_EQ(*RoleTable(Service("XService", {{"B", v1::OWNER}, {"C", v1::EDITOR}, {"A", v1::VIEWER}})),
            "{\"/gatehouse.v1.XService/A\", v1::VIEWER, false, false, false},\n"
            "{\"/gatehouse.v1.XService/B\", v1::OWNER, false, false, false},\n"
            "{\"/gatehouse.v1.XService/C\", v1::EDITOR, false, false, true},\n");
  EXPECT_FALSE(RoleTable(Service("CredentialValidator", {{"Validate", 0}})).ok());
}

TEST(RolesTest, MethodsAreFoundByTheirWholeNameOnly) {
  EXPECT_GT(Methods().size(), 30u);
  for (const Method& method : Methods()) {
    EXPECT_EQ(FindMethod(method.name), &method);
    EXPECT_EQ(RoleOf(absl::StrCat(method.name, "x")), std::nullopt);
    EXPECT_EQ(RoleOf(method.name.substr(0, method.name.size() - 1)), std::nullopt) << method.name;
  }
  EXPECT_EQ(RoleOf("/gatehouse.v1.ConfigService/Apply"), v1::EDITOR);
  EXPECT_EQ(RoleOf("/gatehouse.v1.CredentialValidator/Validate"), std::nullopt);
  EXPECT_EQ(RoleOf(""), std::nullopt);
}

TEST(RolesTest, NoRoleContainsAnotherButTheOwners) {
  EXPECT_EQ(RolesOf(v1::EDITOR), RoleBit(v1::EDITOR));
  EXPECT_EQ(RolesText(RolesOf(v1::OWNER)), "VIEWER, EDITOR, USER_ADMIN, OWNER");
  EXPECT_EQ(RolesOf(v1::ANYBODY), 0u);
  EXPECT_EQ(RolesOf(v1::ROLE_UNSPECIFIED), 0u);
  EXPECT_EQ(RolesOf(static_cast<v1::Role>(77)), 0u);
  EXPECT_EQ(RolesText(0), "no role");
}

}  // namespace
}  // namespace gatehouse::api
