// ParseHtpasswd on arbitrary bytes: every line is an entry, an error or nothing; what was read reads the same when it is written
// again; weak hashes come only when they are allowed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>

#include "gateway/credentials/htpasswd.h"
#include "gateway/credentials/password_hash.h"
#include "gateway/credentials/password_rules.h"
#include "gateway/credentials/user_store.h"

namespace {

namespace credentials = gatehouse::credentials;

void Require(bool condition) {
  if (!condition) std::abort();
}

credentials::HtpasswdFile Check(absl::string_view text, bool allow_weak) {
  credentials::HtpasswdFile file = credentials::ParseHtpasswd(text, allow_weak);
  std::set<std::string> users;
  std::string again;
  for (const credentials::HtpasswdEntry& entry : file.entries) {
    Require(credentials::UserNameProblem(entry.user).empty());
    Require(users.insert(entry.user).second);
    const auto cost = credentials::ParseHash(entry.hash);
    Require(cost.ok() && entry.weak == credentials::IsWeak(cost->kind));
    Require(allow_weak || !entry.weak);
    credentials::AppendHtpasswd(entry.user, entry.hash, &again);
  }
  size_t line = 0;
  for (const credentials::HtpasswdError& error : file.errors) {
    Require(error.line > line && !error.message.empty());
    line = error.line;
  }
  const credentials::HtpasswdFile second = credentials::ParseHtpasswd(again, allow_weak);
  Require(second.errors.empty() && second.entries.size() == file.entries.size());
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  Require(Check(text, false).entries.size() <= Check(text, true).entries.size());
  // New passwords, of whatever a caller sends.
  credentials::PasswordProblems(text, text.substr(0, size / 2), text.substr(size / 2), {.denied = {std::string(text)}});
  return 0;
}
