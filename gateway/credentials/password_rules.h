// What a new password must be, where its plain text is known (the control plane): long enough, typed the
// same on every keyboard, and not among the first that an attacker tries. After NIST SP 800-63B: length
// and a list of what is refused; no demand for digits, signs or regular changes.
//
// Threading:  pure.
// Units:      length in Unicode code points; sizes in octets.
// Errors:     causes for people, all at once; none quotes the password.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace gatehouse::credentials {

struct PasswordRules {
  size_t min_length = 8;
  std::vector<std::string> denied;  // besides the built-in list
};

inline constexpr size_t kMinPasswordLength = 8, kMaxPasswordLength = 64;  // what min_length may be
inline constexpr size_t kMaxDeniedPasswords = 1000, kMaxDeniedPasswordBytes = 64;

// PasswordProblems says what is wrong with `password` as a new one of `user` in `store`; empty: it is taken.
std::vector<std::string> PasswordProblems(absl::string_view password, absl::string_view user,
                                          absl::string_view store, const PasswordRules& rules);

}  // namespace gatehouse::credentials
