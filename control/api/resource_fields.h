// What the API does to single resources: secrets, and the lines that tell a person what changed.
//
// Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "control/api/etags.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::api {

void SetEtag(const std::string& etag, v1::Resource* resource);
const std::string& GetEtag(const v1::Resource& resource);

// Private keys, and all that is kept of passwords.
void ClearSecrets(v1::Resource* resource);
void ClearSecrets(v1::User* user);
// Gives `resource` the secrets of `old` where it has none itself, and its users what the server alone may say of them.
// `old` may be null.
void KeepSecrets(const v1::Resource* old, v1::Resource* resource);
// Gives `user` what `old` says of the hashes that it still has; `old` may be null.
void KeepRenewed(const v1::User* old, v1::User* user);

// The resource as an answer shows it: with etag, without secrets.
v1::Resource Shown(const v1::Resource& resource, const Etags& etags);

// Its message within the oneof, by which field masks and differences go; null when there is none.
const google::protobuf::Message* BodyOf(const v1::Resource& resource);
google::protobuf::Message* MutableBodyOf(v1::Resource* resource);

// One line a changed field, secrets masked, certificates named: `anchors: +1 (CN=Partners Root, expires in 1,820 d) -0`.
// `before` may be null (added). At most kMaxDetails lines, the last of which then says how many more.
inline constexpr size_t kMaxDetails = 30;
std::vector<std::string> Details(const v1::Resource* before, const v1::Resource& after, absl::Time now);

}  // namespace gatehouse::api
