// What a UserStore's messages say, for the builder and for the control plane, which hashes new passwords.
//
// Threading:  pure.
// Errors:     none here: values that BuildUserStores refuses give values that CheckHashOptions refuses.
#pragma once

#include "gatehouse/v1/user_store.pb.h"
#include "gateway/credentials/password_rules.h"
#include "gateway/credentials/user_store.h"

namespace gatehouse::config {

credentials::PasswordHashing HashingOf(const v1::PasswordHashing& message);
credentials::PasswordRules RulesOf(const v1::PasswordRules& message);

}  // namespace gatehouse::config
