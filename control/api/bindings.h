// What the writer sees to about bindings: their fields, that somebody stays owner, and who may touch them; and users, which
// not everybody who edits may touch.
//
// Threading:  pure functions.
// Errors:     PERMISSION_DENIED naming the resource and the role.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/api/changes.h"
#include "control/api/roles.h"

namespace gatehouse::api {

std::vector<v1::Binding> BindingsOf(const store::State& state);

// Whether it makes an owner of somebody who can come when there is no Unix socket.
bool MakesOwner(const v1::Binding& binding);

// Everything wrong with the bindings of `next`. With `owned_elsewhere` somebody is owner without a binding (who owns the
// Unix socket, a name given at the start); without, the last binding that makes an owner over TCP must stay.
std::vector<v1::Violation> CheckBindings(const store::State& before, const store::State& next, bool owned_elsewhere);

// Whether a caller with `roles` may make of the draft's base what the draft is: bindings take OWNER, users USER_ADMIN.
absl::Status CheckRights(const Draft& draft, Roles roles);

}  // namespace gatehouse::api
