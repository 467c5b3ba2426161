#include "gateway/server/grpc_timeout.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

constexpr size_t kMaxDigits = 8;

}  // namespace

std::optional<absl::Duration> ParseGrpcTimeout(absl::string_view text) {
  if (text.size() < 2 || text.size() > kMaxDigits + 1) return std::nullopt;
  const absl::string_view digits = text.substr(0, text.size() - 1);
  int64_t n = 0;
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }) || !absl::SimpleAtoi(digits, &n)) {
    return std::nullopt;
  }
  switch (text.back()) {
    case 'H': return absl::Hours(n);
    case 'M': return absl::Minutes(n);
    case 'S': return absl::Seconds(n);
    case 'm': return absl::Milliseconds(n);
    case 'u': return absl::Microseconds(n);
    case 'n': return absl::Nanoseconds(n);
    default: return std::nullopt;
  }
}

std::string FormatGrpcTimeout(absl::Duration timeout) {
  const auto ceil_to = [timeout](absl::Duration unit) { return absl::Ceil(timeout, unit) / unit; };
  const int64_t millis = ceil_to(absl::Milliseconds(1));
  return millis < 100'000'000 ? absl::StrCat(millis, "m") : absl::StrCat(ceil_to(absl::Seconds(1)), "S");
}

}  // namespace gatehouse::server
