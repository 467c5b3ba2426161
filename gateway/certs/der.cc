#include "gateway/certs/der.h"

namespace gatehouse::certs {
namespace {

uint8_t Octet(absl::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// Two digits as a number; -1 when they are not digits.
int TwoDigits(absl::string_view text, size_t at) {
  const int tens = text[at] - '0', ones = text[at + 1] - '0';
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1 : tens * 10 + ones;
}

int DaysOf(int year, int month) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// Days from 1970-01-01 to a day of the Gregorian calendar; the year is counted from March.
int64_t DaysFromEpoch(int64_t year, int month, int day) {
  if (month <= 2) --year;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t of_era = year - era * 400;
  const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

}  // namespace

std::optional<DerElement> DerReader::Next() {
  if (rest_.size() < 2 || (Octet(rest_, 0) & 0x1f) == 0x1f) return std::nullopt;
  size_t length = Octet(rest_, 1), header = 2;
  if (length >= 0x80) {
    const size_t octets = length & 0x7f;
    if (octets == 0 || octets > 4 || rest_.size() < 2 + octets) return std::nullopt;
    length = 0;
    for (size_t i = 0; i < octets; ++i) length = length << 8 | Octet(rest_, 2 + i);
    // X.690 section 10.1: the fewest octets.
    if (length < 0x80 || (octets > 1 && length >> (8 * (octets - 1)) == 0)) return std::nullopt;
    header += octets;
  }
  if (length > rest_.size() - header) return std::nullopt;
  const DerElement element{Octet(rest_, 0), rest_.substr(header, length),
                           rest_.substr(0, header + length)};
  rest_.remove_prefix(header + length);
  return element;
}

std::optional<absl::string_view> DerReader::Next(uint8_t tag) {
  if (!NextIs(tag)) return std::nullopt;
  const std::optional<DerElement> element = Next();
  if (!element) return std::nullopt;
  return element->content;
}

std::optional<DerExtension> DerReader::NextExtension() {
  const absl::string_view before = rest_;
  const auto read = [&]() -> std::optional<DerExtension> {
    const std::optional<absl::string_view> whole = Next(der::kSequence);
    if (!whole) return std::nullopt;
    DerReader in(*whole);
    DerExtension extension;
    const std::optional<absl::string_view> oid = in.Next(der::kOid);
    if (!oid || oid->empty()) return std::nullopt;
    extension.oid = *oid;
    if (in.NextIs(der::kBoolean)) {
      const std::optional<absl::string_view> critical = in.Next(der::kBoolean);
      // An explicit FALSE is not DER, but common and clear.
      if (!critical || critical->size() != 1) return std::nullopt;
      const uint8_t value = Octet(*critical, 0);
      if (value != 0 && value != 0xff) return std::nullopt;
      extension.critical = value != 0;
    }
    const std::optional<absl::string_view> value = in.Next(der::kOctetString);
    if (!value || !in.done()) return std::nullopt;
    extension.value = *value;
    return extension;
  };
  std::optional<DerExtension> extension = read();
  if (!extension) rest_ = before;
  return extension;
}

std::optional<int64_t> DerReader::NextTime() {
  const absl::string_view before = rest_;
  const std::optional<DerElement> element = Next();
  if (!element) return std::nullopt;
  std::optional<int64_t> time = ReadDerTime(element->tag, element->content);
  if (!time) rest_ = before;
  return time;
}

std::optional<int64_t> ReadDerTime(uint8_t tag, absl::string_view content) {
  const bool utc = tag == der::kUtcTime;
  if (!utc && tag != der::kGeneralizedTime) return std::nullopt;
  if (content.size() != (utc ? 13u : 15u) || content.back() != 'Z') return std::nullopt;
  int year = TwoDigits(content, 0);
  if (year < 0) return std::nullopt;
  if (utc) {
    year += year >= 50 ? 1900 : 2000;
  } else {
    const int low = TwoDigits(content, 2);
    if (low < 0) return std::nullopt;
    year = year * 100 + low;
  }
  const size_t at = utc ? 2 : 4;
  const int month = TwoDigits(content, at), day = TwoDigits(content, at + 2);
  const int hour = TwoDigits(content, at + 4), minute = TwoDigits(content, at + 6);
  const int second = TwoDigits(content, at + 8);
  if (month < 1 || month > 12 || day < 1 || day > DaysOf(year, month) || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 59) {
    return std::nullopt;
  }
  return ((DaysFromEpoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}

bool IsDerInteger(absl::string_view content) {
  if (content.empty()) return false;
  if (content.size() == 1) return true;
  const uint8_t first = Octet(content, 0), second = Octet(content, 1);
  return !(first == 0 && second < 0x80) && !(first == 0xff && second >= 0x80);
}

bool IsDerOid(absl::string_view content) {
  bool begins = true;  // an arc, with this octet
  for (size_t i = 0; i < content.size(); ++i) {
    if (begins && Octet(content, i) == 0x80) return false;
    begins = Octet(content, i) < 0x80;
  }
  return !content.empty() && begins;
}

std::optional<absl::string_view> WholeOctets(absl::string_view bit_string) {
  if (bit_string.empty() || bit_string[0] != 0) return std::nullopt;
  return bit_string.substr(1);
}

}  // namespace gatehouse::certs
