#include "control/api/roles.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace gatehouse::api {
namespace {

constexpr Method kMethods[] = {
#include "control/api/method_roles.inc"
};

}  // namespace

Roles RolesOf(v1::Role role) {
  switch (role) {
    case v1::OWNER: return kOwnerRoles;
    case v1::VIEWER:
    case v1::EDITOR:
    case v1::USER_ADMIN:
    case v1::GATEWAY: return RoleBit(role);
    default: return 0;
  }
}

std::vector<v1::Role> ListRoles(Roles roles) {
  std::vector<v1::Role> list;
  for (int number = v1::Role_MIN; number <= v1::Role_MAX; ++number) {
    if (v1::Role_IsValid(number) && (roles & RoleBit(static_cast<v1::Role>(number))) != 0) {
      list.push_back(static_cast<v1::Role>(number));
    }
  }
  return list;
}

std::string RolesText(Roles roles) {
  std::string text;
  for (v1::Role role : ListRoles(roles)) absl::StrAppend(&text, text.empty() ? "" : ", ", v1::Role_Name(role));
  return text.empty() ? "no role" : text;
}

absl::Span<const Method> Methods() { return kMethods; }

const Method* FindMethod(absl::string_view name) {
  const auto* end = kMethods + std::size(kMethods);
  const auto* found =
      std::lower_bound(kMethods, end, name, [](const Method& m, absl::string_view n) { return m.name < n; });
  return found != end && found->name == name ? found : nullptr;
}

std::optional<v1::Role> RoleOf(absl::string_view method) {
  const Method* found = FindMethod(method);
  return found == nullptr ? std::nullopt : std::optional<v1::Role>(found->role);
}

}  // namespace gatehouse::api
