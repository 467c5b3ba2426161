// FillVerdict tells what a policy comes to, clause by clause, as explanations and `policy test` show it.
//
// Threading:  pure.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/identity/policy.h"
#include "gatehouse/v1/policy_service.pb.h"

namespace gatehouse::config {

void FillVerdict(const identity::Policy& policy, const identity::Facts& facts, v1::PolicyVerdict* out);

}  // namespace gatehouse::config
