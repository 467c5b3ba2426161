// Roles of callers, and the role that each method takes. The table of methods is made at build time from the descriptors
// (role_table.cc): a method of ours without `option (role)` does not build.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gatehouse/v1/access.pb.h"

namespace gatehouse::api {

// A set of roles: bit N is the v1::Role of that number.
using Roles = uint32_t;
constexpr Roles RoleBit(v1::Role role) { return Roles{1} << static_cast<unsigned>(role); }

// What an owner may do; a gateway's methods are not among it.
inline constexpr Roles kOwnerRoles =
    RoleBit(v1::VIEWER) | RoleBit(v1::EDITOR) | RoleBit(v1::USER_ADMIN) | RoleBit(v1::OWNER);
// Of a name that is let in by --allow-san and of --insecure-loopback.
inline constexpr Roles kAllowedRoles =
    RoleBit(v1::VIEWER) | RoleBit(v1::EDITOR) | RoleBit(v1::USER_ADMIN) | RoleBit(v1::GATEWAY);

// What a binding of `role` gives; 0 for one that is never given.
Roles RolesOf(v1::Role role);
// In order of their numbers, and as text: "VIEWER, EDITOR", "no role".
std::vector<v1::Role> ListRoles(Roles roles);
std::string RolesText(Roles roles);

struct Method {
  absl::string_view name;  // "/gatehouse.v1.EventService/Watch"
  v1::Role role = v1::ROLE_UNSPECIFIED;
  bool client_streaming = false;
  bool server_streaming = false;
  bool writes = false;  // see access.proto
};

// Every method of every service that a control plane serves, in order of name.
absl::Span<const Method> Methods();
// Null: not ours.
const Method* FindMethod(absl::string_view name);
std::optional<v1::Role> RoleOf(absl::string_view method);

}  // namespace gatehouse::api
