#include <algorithm>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

// `14m32s`, never less than a second.
std::string For(absl::Duration duration) {
  return absl::FormatDuration(std::max(absl::Ceil(duration, absl::Seconds(1)), absl::Seconds(1)));
}

}  // namespace

std::string LockoutsText(const v1::ListLockoutsResponse& listed, absl::Time now, const Style& style) {
  if (listed.lockouts().empty()) return "nobody is refused\n";
  std::vector<std::vector<std::string>> rows;
  for (const v1::Lockout& lockout : listed.lockouts()) {
    std::string state = "counted";
    if (lockout.has_refused_until()) {
      const absl::Duration left = TimeOf(lockout.refused_until()) - now;
      state = lockout.locked_out() ? style.Red(absl::StrCat("locked out ", For(left)))
                                   : style.Yellow(absl::StrCat("delayed ", For(left)));
    }
    const bool users = lockout.kind() == v1::Lockout::ADDRESS;
    rows.push_back({lockout.user().empty() ? "(anybody)" : EscapeText(lockout.user()),
                    lockout.address().empty() ? "(anywhere)" : EscapeText(lockout.address()),
                    EscapeText(lockout.scheme()), EscapeText(lockout.gateway()),
                    users ? absl::StrCat(lockout.failures(), lockout.failures() == 1 ? " user" : " users")
                          : absl::StrCat(lockout.failures()),
                    lockout.has_last_failure() ? For(now - TimeOf(lockout.last_failure())) + " ago" : "-", state});
  }
  std::ostringstream out;
  PrintTable({"USER", "ADDRESS", "SCHEME", "GATEWAY", "FAILURES", "LAST", "STATE"}, rows, style, out);
  if (listed.left_out() > 0) out << "… and " << listed.left_out() << " more\n";
  return out.str();
}

}  // namespace gatehouse::cli
