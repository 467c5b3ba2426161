#include "gateway/credentials/htpasswd.h"

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/credentials/password_hash.h"
#include "gateway/credentials/user_store.h"

namespace gatehouse::credentials {
namespace {

// What is wrong with a line; "" and `entry` filled in when nothing is.
std::string ParseLine(absl::string_view line, bool allow_weak, HtpasswdEntry* entry) {
  if (absl::StartsWith(line, "\xEF\xBB\xBF")) return "begins with a byte order mark";
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return "has no colon: user:hash is expected";
  const absl::string_view user = line.substr(0, colon);
  // Apache and nginx end the hash at the next colon, too.
  const absl::string_view hash = line.substr(colon + 1, line.find(':', colon + 1) - colon - 1);
  if (std::string problem = UserNameProblem(user); !problem.empty()) return absl::StrCat("user name ", problem);
  // As Apache does not trim, the blank may be part of a name, but then nobody sees it.
  if (user != absl::StripAsciiWhitespace(user)) return "user name begins or ends with a blank";
  if (hash.empty()) return "has no hash: everybody would be let in elsewhere, nobody here";
  const absl::StatusOr<HashCost> cost = ParseHash(hash);
  if (!cost.ok()) return std::string(cost.status().message());
  entry->weak = IsWeak(cost->kind);
  if (entry->weak && !allow_weak) {
    return absl::StrCat(HashKindName(cost->kind), " hash: is weak; allow_weak_hashes takes it");
  }
  entry->user = std::string(user);
  entry->hash = std::string(hash);
  return "";
}

}  // namespace

HtpasswdFile ParseHtpasswd(absl::string_view text, bool allow_weak) {
  HtpasswdFile file;
  absl::flat_hash_map<std::string, size_t> lines;  // by user
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    absl::string_view line = text.substr(0, end);
    text.remove_prefix(end == absl::string_view::npos ? text.size() : end + 1);
    absl::ConsumeSuffix(&line, "\r");
    if (absl::StripAsciiWhitespace(line).empty() || line[0] == '#') continue;
    HtpasswdEntry entry;
    std::string problem = ParseLine(line, allow_weak, &entry);
    if (problem.empty()) {
      auto [it, added] = lines.try_emplace(entry.user, number);
      if (!added) problem = absl::StrCat("names the user of line ", it->second, " again");
    }
    if (problem.empty()) {
      file.entries.push_back(std::move(entry));
    } else {
      file.errors.push_back({number, std::move(problem)});
    }
  }
  return file;
}

void AppendHtpasswd(absl::string_view user, absl::string_view hash, std::string* out) {
  absl::StrAppend(out, user, ":", hash, "\n");
}

}  // namespace gatehouse::credentials
