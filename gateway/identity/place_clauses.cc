// Address and time.
#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/identity/clause.h"

namespace gatehouse::identity {
namespace {

constexpr size_t kShown = 3;
constexpr int kDay = 24 * 60 * 60;
constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};  // ::ffff:0:0/96

absl::Span<const uint8_t> WithoutMapping(absl::Span<const uint8_t> address) {
  const bool mapped = address.size() == 16 && std::memcmp(address.data(), kMapped, sizeof(kMapped)) == 0;
  return mapped ? address.subspan(sizeof(kMapped)) : address;
}

std::string AddressText(absl::Span<const uint8_t> address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(address.size() == 4 ? AF_INET : AF_INET6, address.data(), text, sizeof(text));
  return text;
}

std::string TimeOfDay(int seconds) {
  std::string text = absl::StrFormat("%02d:%02d", seconds / 3600, seconds / 60 % 60);
  if (seconds % 60 != 0) absl::StrAppendFormat(&text, ":%02d", seconds % 60);
  return text;
}

absl::string_view DayName(absl::Weekday day) {
  switch (day) {
    case absl::Weekday::monday: return "Mon";
    case absl::Weekday::tuesday: return "Tue";
    case absl::Weekday::wednesday: return "Wed";
    case absl::Weekday::thursday: return "Thu";
    case absl::Weekday::friday: return "Fri";
    case absl::Weekday::saturday: return "Sat";
    case absl::Weekday::sunday: return "Sun";
  }
  return "";
}

std::string Moment(absl::Time time) { return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()); }

}  // namespace

absl::StatusOr<AddressRange> ParseClientRange(absl::string_view text) {
  absl::StatusOr<AddressRange> range = ParseAddressRange(text);
  if (!range.ok()) return range;
  if (range->size == 16 && range->prefix >= 96 && std::memcmp(range->address.data(), kMapped, sizeof(kMapped)) == 0) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(text), "\" is IPv4 in IPv6 form; write it as IPv4"));
  }
  return range;
}

absl::StatusOr<std::vector<uint8_t>> ParseAddress(absl::string_view text) {
  absl::StatusOr<AddressRange> range = ParseAddressRange(text);
  if (!range.ok() || absl::StrContains(text, '/')) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(text.substr(0, 80)), "\" is not an IP address"));
  }
  return std::vector<uint8_t>(range->address.begin(), range->address.begin() + range->size);
}

Outcome Check(const AddressClause& clause, const Facts& facts) {
  const absl::Span<const uint8_t> address = WithoutMapping(facts.address);
  if (address.size() != 4 && address.size() != 16) return Outcome::kUnknown;
  return Known(absl::c_any_of(clause.ranges, [&](const AddressRange& range) {
    return Contains(range, address.data(), address.size());
  }));
}

std::string Words(const AddressClause& clause) {
  std::vector<std::string> some;
  for (const AddressRange& range : clause.ranges) {
    if (some.size() == kShown) break;
    const std::string address = AddressText({range.address.data(), range.size});
    some.push_back(range.prefix == range.size * 8 ? address : absl::StrCat(address, "/", int{range.prefix}));
  }
  if (clause.ranges.size() > kShown) some.push_back(absl::StrCat(clause.ranges.size() - kShown, " more"));
  return absl::StrCat("address in ", absl::StrJoin(some, ", "));
}

std::string Evidence(const AddressClause&, const Facts& facts) {
  const absl::Span<const uint8_t> address = WithoutMapping(facts.address);
  return address.size() != 4 && address.size() != 16 ? "the address is not known" : AddressText(address);
}

void AppendContent(const AddressClause& clause, std::string* content) {
  AppendField(content, clause.ranges.size());
  for (const AddressRange& range : clause.ranges) {
    AppendField(content, absl::string_view(reinterpret_cast<const char*>(range.address.data()), range.size));
    AppendField(content, uint64_t{range.prefix});
  }
}

absl::StatusOr<int> ParseTimeOfDay(absl::string_view text, bool end) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  int seconds = 0;
  bool good = parts.size() == 2 || parts.size() == 3;
  for (size_t i = 0; good && i < parts.size(); ++i) {
    int value = 0;
    good = parts[i].size() == 2 && absl::ascii_isdigit(static_cast<unsigned char>(parts[i][0])) &&
           absl::SimpleAtoi(parts[i], &value) && value >= 0 && value <= (i == 0 ? 24 : 59);
    seconds += value * (i == 0 ? 3600 : i == 1 ? 60 : 1);
  }
  if (!good || seconds > kDay || (seconds == kDay && !end)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(text.substr(0, 40)),
                                                   "\" is no time of day such as 08:00 or 17:30:00"));
  }
  return seconds;
}

absl::StatusOr<absl::TimeZone> ParseTimeZone(absl::string_view name) {
  // absl would also read files by path, and take `localtime` for whatever the machine has.
  const bool named = !name.empty() && name.size() <= 64 && absl::c_all_of(name, [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '+' || c == '-' || c == '/';
  }) && absl::ascii_isupper(static_cast<unsigned char>(name[0])) && !absl::StartsWith(name, "Fixed/") &&
                     name != "Factory";
  absl::TimeZone zone;
  if (!named || !absl::LoadTimeZone(std::string(name), &zone)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", EscapeText(name.substr(0, 80)),
        "\" is no time zone that this machine knows; IANA names such as Europe/Berlin need the package tzdata"));
  }
  return zone;
}

Outcome Check(const TimeClause& clause, const Facts& facts) {
  if (facts.now == absl::InfinitePast()) return Outcome::kUnknown;
  if (clause.not_before && facts.now < *clause.not_before) return Outcome::kNotMet;
  if (clause.not_after && facts.now > *clause.not_after) return Outcome::kNotMet;
  if (clause.days.empty() && !clause.from) return Outcome::kMet;
  const absl::CivilSecond local = clause.zone.At(facts.now).cs;
  const int second = local.hour() * 3600 + local.minute() * 60 + local.second();
  const absl::CivilDay today(local);
  const auto opens = [&](absl::CivilDay day) {
    return clause.days.empty() || absl::c_linear_search(clause.days, absl::GetWeekday(day));
  };
  if (!clause.from) return Known(opens(today));
  if (*clause.from < *clause.to) return Known(second >= *clause.from && second < *clause.to && opens(today));
  return Known((second >= *clause.from && opens(today)) || (second < *clause.to && opens(today - 1)));
}

std::string Words(const TimeClause& clause) {
  std::string text = "time";
  if (!clause.days.empty()) {
    absl::StrAppend(&text, " ", absl::StrJoin(clause.days, ",", [](std::string* out, absl::Weekday day) {
      absl::StrAppend(out, DayName(day));
    }));
  }
  if (clause.from) absl::StrAppend(&text, " ", TimeOfDay(*clause.from), "-", TimeOfDay(*clause.to));
  if (!clause.days.empty() || clause.from) absl::StrAppend(&text, " ", clause.zone_name);
  if (clause.not_before) absl::StrAppend(&text, " from ", Moment(*clause.not_before));
  if (clause.not_after) absl::StrAppend(&text, " to ", Moment(*clause.not_after));
  return text;
}

std::string Evidence(const TimeClause& clause, const Facts& facts) {
  if (facts.now == absl::InfinitePast()) return "the time is not known";
  return absl::StrCat(absl::FormatTime("%a %Y-%m-%d %H:%M:%S", facts.now, clause.zone), " ", clause.zone_name);
}

void AppendContent(const TimeClause& clause, std::string* content) {
  AppendField(content, clause.days.size());
  for (absl::Weekday day : clause.days) AppendField(content, static_cast<uint64_t>(day));
  AppendField(content, clause.from ? TimeOfDay(*clause.from) : std::string());
  AppendField(content, clause.to ? TimeOfDay(*clause.to) : std::string());
  AppendField(content, clause.zone_name);
  AppendField(content, clause.not_before ? absl::FormatTime(absl::RFC3339_full, *clause.not_before, absl::UTCTimeZone()) : std::string());
  AppendField(content, clause.not_after ? absl::FormatTime(absl::RFC3339_full, *clause.not_after, absl::UTCTimeZone()) : std::string());
}

}  // namespace gatehouse::identity
