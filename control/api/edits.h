// What each writing method of ConfigService makes of a draft. Pure: no gRPC, no store.
//
// Threading:  pure functions.
// Errors:     NOT_FOUND, ALREADY_EXISTS, ABORTED (etag), INVALID_ARGUMENT with every violation.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/api/changes.h"
#include "gatehouse/v1/config_service.pb.h"

namespace gatehouse::api {

// INVALID_ARGUMENT unless kind and name are given.
absl::Status CheckId(const v1::ResourceId& id);

absl::Status EditCreate(const v1::CreateRequest& request, Draft& draft);
absl::Status EditUpdate(const v1::UpdateRequest& request, Draft& draft);
absl::Status EditDelete(const v1::DeleteRequest& request, Draft& draft);

// All messages of one Apply together.
struct ApplySet {
  v1::ApplyOptions options;
  std::vector<v1::Resource> upserts;
  std::vector<v1::ResourceId> deletions;
};
absl::Status EditApply(const ApplySet& set, Draft& draft);

}  // namespace gatehouse::api
