#include "control/api/user_edits.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/api/resource_fields.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/config/build_user_stores.h"

namespace gatehouse::api {
namespace {

using store::ResourceKey;
using validate::PathOf;

void Add(std::string path, std::string message, std::vector<v1::Violation>* violations) {
  v1::Violation& violation = violations->emplace_back();
  violation.set_path(std::move(path));
  violation.set_message(std::move(message));
}

std::string PathOfUser(const std::string& store, const std::string& user) {
  return absl::StrCat(PathOf(v1::USER_STORE, store), ".users[\"", EscapeText(user), "\"]");
}

absl::Status NoUser(const std::string& store, const std::string& user) {
  return absl::NotFoundError(absl::StrCat("there is no ", PathOfUser(store, user)));
}

absl::Status CheckEtag(const Draft& draft, const std::string& given, const std::string& store, const v1::User& user) {
  if (given.empty() || given == draft.etags().Of(user)) return absl::OkStatus();
  return absl::AbortedError(
      absl::StrCat(PathOfUser(store, user.name()), " was changed meanwhile (etag): read it again"));
}

// A copy of the store to be changed; the caller puts it back.
absl::StatusOr<v1::Resource> CopyStore(const Draft& draft, const std::string& name) {
  const v1::Resource* current = draft.Find({v1::USER_STORE, name});
  if (current == nullptr) return absl::NotFoundError(absl::StrCat("there is no ", PathOf(v1::USER_STORE, name)));
  return *current;
}

v1::User* FindUser(v1::UserStore& store, const std::string& name) {
  return const_cast<v1::User*>(api::FindUser(store, name));
}

bool Masked(const v1::SetUserRequest& request, absl::string_view field) {
  const auto& paths = request.update_mask().paths();
  return std::find(paths.begin(), paths.end(), field) != paths.end();
}

// The user as the request wants it, hashes apart.
v1::User Merge(const v1::User* current, const v1::SetUserRequest& request) {
  if (current == nullptr || (request.update_mask().paths().empty() && !request.retire_old_password())) {
    return request.user();
  }
  v1::User next = *current;
  const v1::User& given = request.user();
  if (Masked(request, "disabled")) next.set_disabled(given.disabled());
  if (Masked(request, "claims")) *next.mutable_claims() = given.claims();
  if (Masked(request, "password_hashes")) *next.mutable_password_hashes() = given.password_hashes();
  if (Masked(request, "expire_time")) {
    next.clear_expire_time();
    if (given.has_expire_time()) *next.mutable_expire_time() = given.expire_time();
  }
  return next;
}

bool Expired(const v1::User& user, absl::Time now) {
  if (!user.has_expire_time()) return false;
  const auto& time = user.expire_time();
  return now >= absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

// What the format cannot say is no user's name there: a comment, or blanks that readers may trim.
bool CanBeWritten(const std::string& name) {
  return name[0] != '#' && name == absl::StripAsciiWhitespace(name);
}

}  // namespace

absl::StatusOr<const v1::UserStore*> FindUserStore(const store::State& state, const std::string& name) {
  auto it = state.resources.find({v1::USER_STORE, name});
  if (it == state.resources.end()) {
    return absl::NotFoundError(absl::StrCat("there is no ", PathOf(v1::USER_STORE, name)));
  }
  return &it->second->user_store();
}

const v1::User* FindUser(const v1::UserStore& store, const std::string& name) {
  auto it = std::find_if(store.users().begin(), store.users().end(),
                         [&](const v1::User& user) { return user.name() == name; });
  return it == store.users().end() ? nullptr : &*it;
}

v1::StoredUser Shown(const v1::User& user, const credentials::PasswordHashing& hashing, const Etags& etags) {
  v1::StoredUser shown;
  *shown.mutable_user() = user;
  ClearSecrets(shown.mutable_user());
  shown.set_etag(etags.Of(user));
  for (const std::string& hash : user.password_hashes()) {
    const absl::StatusOr<credentials::HashCost> cost = credentials::ParseHash(hash);
    if (!cost.ok()) continue;
    v1::StoredPassword& password = *shown.add_passwords();
    password.set_algorithm(std::string(credentials::HashKindName(cost->kind)));
    password.set_cost(credentials::CostText(*cost));
    password.set_weaker(hashing.IsWeaker(*cost));
  }
  return shown;
}

void FillUsers(const v1::UserStore& store, const std::string& after, int size, size_t max_bytes, const Etags& etags,
               v1::ListUsersResponse* response) {
  std::vector<const v1::User*> rest;
  for (const v1::User& user : store.users()) {
    if (user.name() > after) rest.push_back(&user);
  }
  const auto by_name = [](const v1::User* a, const v1::User* b) { return a->name() < b->name(); };
  const auto end = rest.begin() + std::min<ptrdiff_t>(size, static_cast<ptrdiff_t>(rest.size()));
  std::partial_sort(rest.begin(), end, rest.end(), by_name);
  const credentials::PasswordHashing hashing = config::HashingOf(store.hashing());
  size_t bytes = 0;
  for (auto it = rest.begin(); it != end; ++it) {
    v1::StoredUser shown = Shown(**it, hashing, etags);
    bytes += shown.ByteSizeLong();
    if (it != rest.begin() && bytes > max_bytes) break;
    *response->add_users() = std::move(shown);
  }
  if (static_cast<size_t>(response->users_size()) < rest.size()) {
    response->set_next_page_token(response->users().rbegin()->user().name());
  }
}

absl::Status CheckSetUser(const v1::SetUserRequest& request) {
  std::vector<v1::Violation> violations;
  validate::FindUnknownFields(request, "request", &violations);
  const bool hashes = !request.user().password_hashes().empty();
  if (request.user().name().empty()) Add("user.name", "required", &violations);
  if (!request.password().empty() && hashes) {
    Add("password", "give a password or password_hashes, not both", &violations);
  }
  if (request.keep_old_password() && request.password().empty()) {
    Add("keep_old_password", "needs a password", &violations);
  }
  for (const std::string& path : request.update_mask().paths()) {
    if (path != "disabled" && path != "expire_time" && path != "claims" && path != "password_hashes" &&
        path != "password") {
      Add("update_mask", absl::StrCat("\"", EscapeText(path), "\" is not one of disabled, expire_time, claims, "
                                      "password_hashes and password"), &violations);
    }
  }
  if (!request.update_mask().paths().empty()) {
    if (request.create_only()) Add("create_only", "a user that is new takes no update_mask", &violations);
    if (Masked(request, "password") == request.password().empty()) {
      Add("password", "to be given and named in update_mask, or neither", &violations);
    }
    if (Masked(request, "password_hashes") != hashes) {
      Add("user.password_hashes", "to be given and named in update_mask, or neither", &violations);
    }
  }
  v1::User bare;
  bare.set_name(request.user().name());
  if (request.retire_old_password() &&
      (!request.password().empty() || request.create_only() || !request.update_mask().paths().empty() ||
       request.user().SerializeAsString() != bare.SerializeAsString())) {
    Add("retire_old_password", "stands alone with user.name", &violations);
  }
  return violations.empty() ? absl::OkStatus() : validate::Refusal(violations);
}

absl::StatusOr<std::string> HashNewPassword(const v1::UserStore& store, const std::string& user,
                                            const std::string& password) {
  std::vector<v1::Violation> violations;
  for (std::string& problem : credentials::PasswordProblems(password, user, store.name(),
                                                            config::RulesOf(store.password_rules()))) {
    Add("password", std::move(problem), &violations);
  }
  if (!violations.empty()) return validate::Refusal(violations);
  const credentials::PasswordHashing hashing = config::HashingOf(store.hashing());
  auto hash = credentials::HashPassword(hashing.kind, password, hashing.options);
  if (absl::IsInvalidArgument(hash.status())) {
    Add("", std::string(hash.status().message()), &violations);
    return validate::Refusal(violations);
  }
  return hash;
}

absl::Status EditSetUser(const v1::SetUserRequest& request, const std::string& hash, Draft& draft) {
  const std::string& store = request.user_store();
  const std::string& name = request.user().name();
  GH_ASSIGN_OR_RETURN(v1::Resource next, CopyStore(draft, store));
  v1::User* current = FindUser(*next.mutable_user_store(), name);
  if (current != nullptr && request.create_only()) {
    return absl::AlreadyExistsError(absl::StrCat(PathOfUser(store, name), " exists"));
  }
  const bool change = !request.update_mask().paths().empty() || request.retire_old_password();
  if (current == nullptr && (change || !request.etag().empty())) return NoUser(store, name);
  if (current != nullptr) GH_RETURN_IF_ERROR(CheckEtag(draft, request.etag(), store, *current));
  if (current == nullptr && hash.empty() && request.user().password_hashes().empty()) {
    std::vector<v1::Violation> violations;
    Add("password", "a new user needs a password or a password hash", &violations);
    return validate::Refusal(violations);
  }
  v1::User user = Merge(current, request);
  if (!hash.empty()) {
    user.clear_password_hashes();
    user.add_password_hashes(hash);
    if (current != nullptr && request.keep_old_password()) user.add_password_hashes(current->password_hashes(0));
  } else if (request.retire_old_password()) {
    if (user.password_hashes_size() < 2) {
      return absl::FailedPreconditionError(absl::StrCat(PathOfUser(store, name), " has but one valid password"));
    }
    user.mutable_password_hashes()->DeleteSubrange(1, user.password_hashes_size() - 1);
  } else if (current != nullptr && user.password_hashes().empty()) {
    *user.mutable_password_hashes() = current->password_hashes();
  }
  KeepRenewed(current, &user);
  *(current != nullptr ? current : next.mutable_user_store()->add_users()) = std::move(user);
  draft.PutAsIs(std::move(next));
  return absl::OkStatus();
}

absl::Status EditDeleteUser(const v1::DeleteUserRequest& request, Draft& draft) {
  GH_ASSIGN_OR_RETURN(v1::Resource next, CopyStore(draft, request.user_store()));
  auto* users = next.mutable_user_store()->mutable_users();
  auto it = std::find_if(users->begin(), users->end(),
                         [&](const v1::User& user) { return user.name() == request.user(); });
  if (it == users->end()) return NoUser(request.user_store(), request.user());
  GH_RETURN_IF_ERROR(CheckEtag(draft, request.etag(), request.user_store(), *it));
  users->erase(it);
  draft.PutAsIs(std::move(next));
  return absl::OkStatus();
}

absl::Status EditImport(const v1::ImportOptions& options, const std::vector<credentials::HtpasswdEntry>& entries,
                        ImportCounts* counts, Draft& draft) {
  *counts = ImportCounts();
  GH_ASSIGN_OR_RETURN(v1::Resource next, CopyStore(draft, options.user_store()));
  v1::UserStore& store = *next.mutable_user_store();
  absl::flat_hash_map<absl::string_view, const credentials::HtpasswdEntry*> given;
  for (const credentials::HtpasswdEntry& entry : entries) {
    given.emplace(entry.user, &entry);
    if (entry.weak) store.set_allow_weak_hashes(true);
  }
  absl::flat_hash_set<std::string> known;
  for (v1::User& user : *store.mutable_users()) {
    auto it = given.find(user.name());
    if (it == given.end()) continue;
    known.insert(user.name());
    const std::string& hash = it->second->hash;
    if (user.password_hashes_size() == 1 && user.password_hashes(0) == hash) {
      ++counts->unchanged;
      continue;
    }
    ++counts->changed;
    user.clear_password_hashes();
    user.add_password_hashes(hash);
    const v1::User before = user;
    KeepRenewed(&before, &user);
  }
  if (options.replace()) {
    auto* users = store.mutable_users();
    const auto gone = std::remove_if(users->begin(), users->end(),
                                     [&](const v1::User& user) { return !given.contains(user.name()); });
    counts->removed = static_cast<uint32_t>(users->end() - gone);
    users->erase(gone, users->end());
  }
  for (const credentials::HtpasswdEntry& entry : entries) {
    if (known.contains(entry.user)) continue;
    ++counts->added;
    v1::User& user = *store.add_users();
    user.set_name(entry.user);
    user.add_password_hashes(entry.hash);
  }
  draft.PutAsIs(std::move(next));
  return absl::OkStatus();
}

absl::Status EditRenewHashes(const std::vector<HashChange>& changes, std::vector<std::string>* renewed, Draft& draft) {
  renewed->clear();
  std::map<std::string, absl::flat_hash_map<absl::string_view, const HashChange*>> stores;
  for (const HashChange& change : changes) stores[change.user_store].emplace(change.user, &change);
  for (const auto& [name, users] : stores) {
    absl::StatusOr<v1::Resource> next = CopyStore(draft, name);
    if (!next.ok() || !next->user_store().hashing().renew_on_login()) continue;  // no more
    bool changed = false;
    for (v1::User& user : *next->mutable_user_store()->mutable_users()) {
      auto found = users.find(user.name());
      if (found == users.end()) continue;
      const HashChange& change = *found->second;
      auto* hashes = user.mutable_password_hashes();
      auto hash = std::find(hashes->begin(), hashes->end(), change.old_hash);
      if (hash == hashes->end()) continue;  // changed meanwhile
      std::string original(AsView(Sha256(change.old_hash)));
      for (const v1::RenewedHash& before : user.renewed()) {
        if (before.hash_sha256() == original) original = std::string(before.original_sha256());
      }
      *hash = change.new_hash;
      v1::RenewedHash& added = *user.add_renewed();
      added.set_hash_sha256(std::string(AsView(Sha256(change.new_hash))));
      added.set_original_sha256(std::move(original));
      const v1::User before = user;
      KeepRenewed(&before, &user);
      renewed->push_back(user.name());
      changed = true;
    }
    if (changed) draft.PutAsIs(*std::move(next));
  }
  return absl::OkStatus();
}

Secret ExportFile(const v1::UserStore& store, bool include_disabled, absl::Time now, v1::ExportSummary* summary) {
  std::vector<const v1::User*> users;
  size_t bytes = 0;
  for (const v1::User& user : store.users()) {
    if (user.password_hashes().empty() || !CanBeWritten(user.name()) ||
        (!include_disabled && (user.disabled() || Expired(user, now)))) {
      summary->set_left_out(summary->left_out() + 1);
      continue;
    }
    users.push_back(&user);
    bytes += user.name().size() + user.password_hashes(0).size() + 2;
  }
  std::sort(users.begin(), users.end(), [](const v1::User* a, const v1::User* b) { return a->name() < b->name(); });
  std::string file;
  file.reserve(bytes);  // no copy of it is left behind by growing
  for (const v1::User* user : users) {
    const std::string& hash = user->password_hashes(0);
    credentials::AppendHtpasswd(user->name(), hash, &file);
    const absl::StatusOr<credentials::HashCost> cost = credentials::ParseHash(hash);
    if (cost.ok() && cost->kind == credentials::HashKind::kArgon2id) summary->set_argon2id(summary->argon2id() + 1);
    if (user->password_hashes_size() > 1) summary->set_second_passwords(summary->second_passwords() + 1);
  }
  summary->set_users(static_cast<uint32_t>(users.size()));
  return Secret(std::move(file));
}

}  // namespace gatehouse::api
