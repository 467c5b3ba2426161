// What UserService makes of a draft, and how it shows users. Pure: no gRPC, no store.
//
// Threading:  pure functions.
// Errors:     NOT_FOUND, ALREADY_EXISTS, ABORTED (etag), FAILED_PRECONDITION, INVALID_ARGUMENT with every violation.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/api/changes.h"
#include "gateway/base/secret.h"
#include "gateway/credentials/htpasswd.h"
#include "gateway/credentials/user_store.h"
#include "gatehouse/v1/user_service.pb.h"

namespace gatehouse::api {

absl::StatusOr<const v1::UserStore*> FindUserStore(const store::State& state, const std::string& name);
// Null when there is none.
const v1::User* FindUser(const v1::UserStore& store, const std::string& name);

v1::StoredUser Shown(const v1::User& user, const credentials::PasswordHashing& hashing, const Etags& etags);
// The next page, by name. A page stays below `max_bytes`.
void FillUsers(const v1::UserStore& store, const std::string& after, int size, size_t max_bytes, const Etags& etags,
               v1::ListUsersResponse* response);

// What is wrong with a SetUserRequest whatever is stored.
absl::Status CheckSetUser(const v1::SetUserRequest& request);
// The hash of a new password of `user`, if the store's rules take it. Takes as long as the hash costs.
absl::StatusOr<std::string> HashNewPassword(const v1::UserStore& store, const std::string& user,
                                            const std::string& password);
// `hash` is the password's; empty: none was given. REQUIRES: CheckSetUser.
absl::Status EditSetUser(const v1::SetUserRequest& request, const std::string& hash, Draft& draft);
absl::Status EditDeleteUser(const v1::DeleteUserRequest& request, Draft& draft);

struct ImportCounts {
  uint32_t added = 0, changed = 0, unchanged = 0, removed = 0;
};
absl::Status EditImport(const v1::ImportOptions& options, const std::vector<credentials::HtpasswdEntry>& entries,
                        ImportCounts* counts, Draft& draft);

// A hash that takes the place of another of the same password.
struct HashChange {
  std::string user_store;
  std::string user;
  std::string old_hash;
  std::string new_hash;
};
// Makes those changes whose old hash is still stored in a store that asks for renewal; `renewed` gets the users.
absl::Status EditRenewHashes(const std::vector<HashChange>& changes, std::vector<std::string>* renewed, Draft& draft);

// The file of ExportUsers, and the summary without its revision.
Secret ExportFile(const v1::UserStore& store, bool include_disabled, absl::Time now, v1::ExportSummary* summary);

}  // namespace gatehouse::api
