#include "control/api/bindings.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/api/callers.h"
#include "control/validate/validate.h"
#include "gateway/base/escape.h"
#include "gateway/base/names.h"

namespace gatehouse::api {
namespace {

constexpr int kMaxCallers = 1000;
constexpr size_t kMaxCallerBytes = 512;
constexpr int kMaxLabels = 64;
constexpr size_t kMaxLabelBytes = 128;

using store::ResourceKey;
// What is wrong with one caller; empty: nothing.
std::string WrongCaller(absl::string_view caller) {
  if (caller.size() > kMaxCallerBytes) return absl::StrCat("longer than ", kMaxCallerBytes, " octets");
  if (UidOf(caller).has_value()) return "";
  absl::string_view name = caller;
  if (absl::ConsumePrefix(&name, "san:") && ParseAllowedName(name).ok()) return "";
  return absl::StrCat("\"", EscapeText(caller),
                      "\" names nobody: uid:1000, san:spiffe://ops/alice, san:ops@example.com or san:ops.example.com, exact and "
                      "without wildcards");
}

void CheckBinding(const v1::Binding& binding, std::vector<v1::Violation>* violations) {
  const std::string path = validate::PathOf(v1::BINDING, EscapeText(binding.name()));
  auto violate = [&](const std::string& field, std::string message) {
    v1::Violation& violation = violations->emplace_back();
    violation.set_path(absl::StrCat(path, ".", field));
    violation.set_message(std::move(message));
  };
  if (!IsResourceId(binding.name())) violate("name", "an id is expected: [A-Za-z][A-Za-z0-9._-]{0,62}");
  if (RolesOf(binding.role()) == 0) violate("role", "required: VIEWER, EDITOR, USER_ADMIN, OWNER or GATEWAY");
  if (binding.callers_size() == 0) violate("callers", "required: at least one");
  if (binding.callers_size() > kMaxCallers) violate("callers", absl::StrCat(binding.callers_size(), ", at most ", kMaxCallers));
  std::set<absl::string_view> seen;
  for (int i = 0; i < binding.callers_size(); ++i) {
    std::string wrong = WrongCaller(binding.callers(i));
    if (wrong.empty() && !seen.insert(binding.callers(i)).second) wrong = "named twice";
    if (!wrong.empty()) violate(absl::StrCat("callers[", i, "]"), std::move(wrong));
  }
  if (binding.labels_size() > kMaxLabels) violate("labels", absl::StrCat(binding.labels_size(), ", at most ", kMaxLabels));
  for (const auto& [key, value] : binding.labels()) {
    if (key.empty() || key.size() > kMaxLabelBytes || value.size() > kMaxLabelBytes) {
      violate("labels", absl::StrCat("keys are 1 to ", kMaxLabelBytes, " octets, values at most as many"));
      break;
    }
  }
}

bool SameUsers(const v1::Resource* before, const v1::Resource* after) {
  static const v1::UserStore none;
  const v1::UserStore& a = before == nullptr ? none : before->user_store();
  const v1::UserStore& b = after == nullptr ? none : after->user_store();
  if (a.users_size() != b.users_size()) return false;
  for (int i = 0; i < a.users_size(); ++i) {
    // A map in a user makes serializations differ that mean the same: then the role is asked for all the same.
    if (a.users(i).SerializeAsString() != b.users(i).SerializeAsString()) return false;
  }
  return true;
}

}  // namespace

bool MakesOwner(const v1::Binding& binding) {
  return binding.role() == v1::OWNER && std::any_of(binding.callers().begin(), binding.callers().end(),
                                                    [](absl::string_view c) { return absl::ConsumePrefix(&c, "san:"); });
}

std::vector<v1::Binding> BindingsOf(const store::State& state) {
  std::vector<v1::Binding> bindings;
  for (auto it = state.resources.lower_bound({v1::BINDING, ""});
       it != state.resources.end() && it->first.first == v1::BINDING; ++it) {
    bindings.push_back(it->second->binding());
  }
  return bindings;
}

std::vector<v1::Violation> CheckBindings(const store::State& before, const store::State& next, bool owned_elsewhere) {
  std::vector<v1::Violation> violations;
  const std::vector<v1::Binding> bindings = BindingsOf(next);
  for (const v1::Binding& binding : bindings) CheckBinding(binding, &violations);
  if (owned_elsewhere || std::any_of(bindings.begin(), bindings.end(), MakesOwner)) return violations;
  for (const v1::Binding& binding : BindingsOf(before)) {
    if (!MakesOwner(binding)) continue;
    v1::Violation& violation = violations.emplace_back();
    violation.set_path(validate::PathOf(v1::BINDING, binding.name()));
    violation.set_message(
        "is the last that makes an owner: nobody could change bindings any more; make somebody else owner first (the server "
        "has no Unix socket and no --owner-san)");
  }
  return violations;
}

absl::Status CheckRights(const Draft& draft, Roles roles) {
  absl::Status denied;
  auto ask = [&](const ResourceKey& key, absl::string_view what, v1::Role role) {
    if (!denied.ok() || (roles & RoleBit(role)) != 0) return;
    denied = absl::PermissionDeniedError(absl::StrCat(validate::PathOf(static_cast<v1::Kind>(key.first), key.second), what,
                                                      ": the role ", v1::Role_Name(role), " is needed, ", RolesText(roles),
                                                      " given; nothing was changed"));
  };
  config::ResourceMap::Compare(
      draft.base().resources, draft.resources(),
      [&](const ResourceKey& key, const config::ResourceRef* before, const config::ResourceRef* after) {
        const v1::Resource* a = before == nullptr ? nullptr : before->get();
        const v1::Resource* b = after == nullptr ? nullptr : after->get();
        if (key.first == v1::BINDING) ask(key, " is a binding", v1::OWNER);
        if (key.first == v1::USER_STORE && !SameUsers(a, b)) ask(key, " would have other users", v1::USER_ADMIN);
      });
  return denied;
}

}  // namespace gatehouse::api
