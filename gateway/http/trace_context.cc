#include "gateway/http/trace_context.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gateway/base/digest.h"
#include "gateway/base/hex_pairs.h"

namespace gatehouse::http {
namespace {

constexpr size_t kSize = 55;  // 00-(32)-(16)-(2)
constexpr size_t kTraceAt = 3, kTraceDigits = 32, kSpanAt = 36, kFlagsAt = 53;
constexpr size_t kMostMembers = 32;
constexpr size_t kMostState = 512;

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsZero(absl::string_view text) { return text.find_first_not_of('0') == absl::string_view::npos; }

// key=value (section 3.3.1.3), as far as it must be known to tell members apart and to carry them.
bool IsMember(absl::string_view member) {
  const size_t equals = member.find('=');
  if (equals == absl::string_view::npos || equals == 0 || equals > 256 || member.size() - equals - 1 > 256) return false;
  const absl::string_view key = member.substr(0, equals), value = member.substr(equals + 1);
  return std::all_of(key.begin(), key.end(),
                     [](unsigned char c) {
                       return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-' || c == '*' ||
                              c == '/' || c == '@';
                     }) &&
         !value.empty() &&
         std::all_of(value.begin(), value.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7F && c != '='; });
}

// Empty: there is none, or one of its members is malformed (section 3.3: then all of it goes).
std::string StateOf(const FieldList& fields) {
  std::string state;
  size_t members = 0;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name != "tracestate") continue;
    for (absl::string_view member : absl::StrSplit(fields[i].value, ',')) {
      member = absl::StripAsciiWhitespace(member);
      if (member.empty()) continue;
      if (!IsMember(member)) return {};
      if (++members > kMostMembers || state.size() + 1 + member.size() > kMostState) return state;
      absl::StrAppend(&state, state.empty() ? "" : ",", member);
    }
  }
  return state;
}

}  // namespace

RandomIds::RandomIds() {
  const std::string seed = RandomBytes(sizeof state_);
  std::memcpy(state_.data(), seed.data(), sizeof state_);
}

uint64_t RandomIds::Next() {
  const auto rotated = [](uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
  const uint64_t result = rotated(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotated(state_[3], 45);
  return result;
}

void RandomIds::Print(char* out) {
  uint64_t bits = Next();
  if (bits == 0) bits = 1;
  PrintHex(bits, 8, out);
}

std::optional<TraceContext> ReadTrace(const FieldList& fields) {
  if (fields.Count("traceparent") != 1) return std::nullopt;
  const absl::string_view parent = *fields.Find("traceparent");
  // Section 3.2: version "-" trace-id "-" parent-id "-" flags.
  if (parent.size() < kSize || parent[2] != '-' || parent[35] != '-' || parent[52] != '-') return std::nullopt;
  const absl::string_view version = parent.substr(0, 2), trace = parent.substr(kTraceAt, kTraceDigits), span = parent.substr(kSpanAt, 16),
                          flags = parent.substr(kFlagsAt, 2);
  if (!IsHex(version) || !IsHex(trace) || !IsHex(span) || !IsHex(flags)) return std::nullopt;
  if (version == "ff" || IsZero(trace) || IsZero(span)) return std::nullopt;
  // A later version may say more behind a dash (section 3.2.4).
  if (parent.size() > kSize && (version == "00" || parent[kSize] != '-')) return std::nullopt;
  return TraceContext{trace, flags};
}

void AddTrace(const FieldList& fields, RandomIds* ids, FieldList* out, std::string* trace_id) {
  char parent[kSize + 1] = "00-................................-................-00";
  char* const trace = parent + kTraceAt;
  const std::optional<TraceContext> theirs = ReadTrace(fields);
  if (theirs.has_value()) {
    theirs->trace_id.copy(trace, kTraceDigits);
    theirs->flags.copy(parent + kFlagsAt, 2);
  } else {
    ids->Print(trace);
    ids->Print(trace + 16);
  }
  ids->Print(parent + kSpanAt);
  out->Add("traceparent", absl::string_view(parent, kSize));
  if (theirs.has_value()) {
    if (const std::string state = StateOf(fields); !state.empty()) out->Add("tracestate", state);
  }
  trace_id->assign(trace, kTraceDigits);
}

}  // namespace gatehouse::http
