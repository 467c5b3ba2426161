// Files of Apache's htpasswd: one `user:hash` a line, what follows a second colon is a comment, empty lines and lines that
// begin with `#` are skipped.
//
// Ownership:  entries own copies.
// Threading:  pure.
// Units:      lines count from 1.
// Errors:     every bad line, each with its cause; none quotes a hash.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace gatehouse::credentials {

struct HtpasswdEntry {
  std::string user;
  std::string hash;
  bool weak = false;  // IsWeak
};

struct HtpasswdError {
  size_t line = 0;
  std::string message;
};

struct HtpasswdFile {
  std::vector<HtpasswdEntry> entries;  // of the good lines, users once each
  std::vector<HtpasswdError> errors;
};

// ParseHtpasswd reads a whole file. Weak hashes are errors unless `allow_weak`.
HtpasswdFile ParseHtpasswd(absl::string_view text, bool allow_weak);

// AppendHtpasswd adds a line. REQUIRES: UserNameProblem(user) is "", `hash` is one that ParseHash takes.
void AppendHtpasswd(absl::string_view user, absl::string_view hash, std::string* out);

}  // namespace gatehouse::credentials
