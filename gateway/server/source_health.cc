#include "gateway/server/source_health.h"

#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

constexpr absl::Duration kPause = absl::Minutes(1);
constexpr int kMostAMinute = 60;

}  // namespace

bool SourceHealth::MayTell(absl::Time now) {
  if (now >= minute_ + absl::Minutes(1)) {
    minute_ = now;
    told_this_minute_ = 0;
  }
  return told_this_minute_++ < kMostAMinute;
}

std::optional<std::string> SourceHealth::Failed(const std::string& source, absl::string_view cause, absl::Time now) {
  Source* known = sources_.Find(source);
  if (known == nullptr) known = &sources_.Put(source, {});
  if (!known->failing) known->failing_since = now;
  known->failing = true;
  if (known->failure_told || now < known->told + kPause || !MayTell(now)) return std::nullopt;
  known->failure_told = true;
  known->told = now;
  return absl::StrCat("revocation source ", source, " fails: ", cause);
}

std::optional<std::string> SourceHealth::Succeeded(const std::string& source, absl::Time now) {
  Source* known = sources_.Find(source);
  if (known == nullptr || !known->failing) return std::nullopt;
  known->failing = false;
  // A recovery is told when the failure was: nobody is left with the last word "fails".
  if (!known->failure_told) return std::nullopt;
  known->failure_told = false;
  return absl::StrCat("revocation source ", source, " answers again after ",
                      absl::FormatDuration(absl::Trunc(now - known->failing_since, absl::Seconds(1))));
}

}  // namespace gatehouse::server
