#include "gateway/base/message_json.h"

#include <array>
#include <cstdint>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "gateway/base/json_text.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/json_util.h"

namespace gatehouse {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int64_t kFirstSecond = -62'135'596'800;  // of the year 1
constexpr int64_t kLastSecond = 253'402'300'799;   // of the year 9999
constexpr int64_t kMostSeconds = 315'576'000'000;  // of a Duration, either way
constexpr int32_t kNanos = 1'000'000'000;

enum class Outcome : uint8_t {
  kWritten,
  kNoForm,       // there is no JSON for it
  kForProtobuf,  // protobuf's own printer is to write it
};

// What follows the backslash; 'u' for what has no letter of its own, 0 for what stands as it is, 1 for what is beyond ASCII.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> escapes{};
  for (size_t c = 0; c < 0x20; ++c) escapes[c] = 'u';
  for (size_t c = 0x7F; c < 0x100; ++c) escapes[c] = 1;
  escapes['\b'] = 'b';
  escapes['\f'] = 'f';
  escapes['\n'] = 'n';
  escapes['\r'] = 'r';
  escapes['\t'] = 't';
  escapes['"'] = '"';
  escapes['\\'] = '\\';
  escapes['<'] = escapes['>'] = 'u';  // what is put in a page stays text there
  return escapes;
}();

void AppendText(absl::string_view text, std::string* out) {
  out->push_back('"');
  const size_t start = out->size();
  bool beyond_ascii = false;
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto octet = static_cast<uint8_t>(text[i]);
    const char escape = kEscapes[octet];
    if (escape == 0) continue;
    if (escape == 1) {
      beyond_ascii = true;
      continue;
    }
    out->append(text.data() + done, i - done);
    done = i + 1;
    out->push_back('\\');
    out->push_back(escape);
    if (escape == 'u') absl::StrAppend(out, absl::Hex(octet, absl::kZeroPad4));
  }
  out->append(text.data() + done, text.size() - done);
  if (beyond_ascii) {
    const std::string safe = SafeJson(absl::string_view(*out).substr(start));
    out->replace(start, std::string::npos, safe);
  }
  out->push_back('"');
}

// ".5" as ".500": none, three, six or nine digits.
void AppendFraction(int32_t nanos, std::string* out) {
  if (nanos == 0) return;
  if (nanos % 1'000'000 == 0) {
    absl::StrAppend(out, ".", absl::Dec(nanos / 1'000'000, absl::kZeroPad3));
  } else if (nanos % 1000 == 0) {
    absl::StrAppend(out, ".", absl::Dec(nanos / 1000, absl::kZeroPad6));
  } else {
    absl::StrAppend(out, ".", absl::Dec(nanos, absl::kZeroPad9));
  }
}

Outcome AppendTimestamp(int64_t seconds, int32_t nanos, std::string* out) {
  if (seconds < kFirstSecond || seconds > kLastSecond || nanos < 0 || nanos >= kNanos) return Outcome::kNoForm;
  const absl::CivilSecond at = absl::ToCivilSecond(absl::FromUnixSeconds(seconds), absl::UTCTimeZone());
  absl::StrAppend(out, "\"", absl::Dec(at.year(), absl::kZeroPad4), "-", absl::Dec(at.month(), absl::kZeroPad2), "-",
                  absl::Dec(at.day(), absl::kZeroPad2));
  absl::StrAppend(out, "T", absl::Dec(at.hour(), absl::kZeroPad2), ":", absl::Dec(at.minute(), absl::kZeroPad2), ":",
                  absl::Dec(at.second(), absl::kZeroPad2));
  AppendFraction(nanos, out);
  out->append("Z\"");
  return Outcome::kWritten;
}

Outcome AppendDuration(int64_t seconds, int32_t nanos, std::string* out) {
  if (seconds < -kMostSeconds || seconds > kMostSeconds || nanos <= -kNanos || nanos >= kNanos) return Outcome::kNoForm;
  if ((seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0)) return Outcome::kNoForm;
  const bool negative = seconds < 0 || nanos < 0;
  absl::StrAppend(out, negative ? "\"-" : "\"", negative ? -seconds : seconds);
  AppendFraction(negative ? -nanos : nanos, out);
  out->append("s\"");
  return Outcome::kWritten;
}

Outcome Append(const Message& message, std::string* out);

Outcome AppendMessage(const Message& message, std::string* out) {
  const Descriptor* const type = message.GetDescriptor();
  if (type->file()->package() != "google.protobuf") return Append(message, out);
  if (type->well_known_type() == Descriptor::WELLKNOWNTYPE_TIMESTAMP) {
    const auto* time = google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(&message);
    return time == nullptr ? Outcome::kForProtobuf : AppendTimestamp(time->seconds(), time->nanos(), out);
  }
  if (type->well_known_type() == Descriptor::WELLKNOWNTYPE_DURATION) {
    const auto* duration = google::protobuf::DynamicCastToGenerated<google::protobuf::Duration>(&message);
    return duration == nullptr ? Outcome::kForProtobuf : AppendDuration(duration->seconds(), duration->nanos(), out);
  }
  return Outcome::kForProtobuf;
}

// The field's `i`-th value, or its only one.
Outcome AppendValue(const Message& message, const Reflection& reflection, const FieldDescriptor& field, int i, std::string* out) {
  const bool many = field.is_repeated();
  std::string scratch;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      absl::StrAppend(out, many ? reflection.GetRepeatedInt32(message, &field, i) : reflection.GetInt32(message, &field));
      return Outcome::kWritten;
    case FieldDescriptor::CPPTYPE_UINT32:
      absl::StrAppend(out, many ? reflection.GetRepeatedUInt32(message, &field, i) : reflection.GetUInt32(message, &field));
      return Outcome::kWritten;
    case FieldDescriptor::CPPTYPE_INT64:  // as text: JavaScript's numbers do not hold it
      absl::StrAppend(out, "\"", many ? reflection.GetRepeatedInt64(message, &field, i) : reflection.GetInt64(message, &field), "\"");
      return Outcome::kWritten;
    case FieldDescriptor::CPPTYPE_UINT64:
      absl::StrAppend(out, "\"", many ? reflection.GetRepeatedUInt64(message, &field, i) : reflection.GetUInt64(message, &field), "\"");
      return Outcome::kWritten;
    case FieldDescriptor::CPPTYPE_BOOL:
      out->append((many ? reflection.GetRepeatedBool(message, &field, i) : reflection.GetBool(message, &field)) ? "true" : "false");
      return Outcome::kWritten;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number = many ? reflection.GetRepeatedEnumValue(message, &field, i) : reflection.GetEnumValue(message, &field);
      const google::protobuf::EnumValueDescriptor* const value = field.enum_type()->FindValueByNumber(number);
      if (field.enum_type()->file()->package() == "google.protobuf") return Outcome::kForProtobuf;  // NullValue
      if (value == nullptr) {
        absl::StrAppend(out, number);
      } else {
        absl::StrAppend(out, "\"", value->name(), "\"");
      }
      return Outcome::kWritten;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string& text = many ? reflection.GetRepeatedStringReference(message, &field, i, &scratch)
                                     : reflection.GetStringReference(message, &field, &scratch);
      if (field.type() == FieldDescriptor::TYPE_BYTES) {
        absl::StrAppend(out, "\"", absl::Base64Escape(text), "\"");
      } else {
        AppendText(text, out);
      }
      return Outcome::kWritten;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return AppendMessage(many ? reflection.GetRepeatedMessage(message, &field, i) : reflection.GetMessage(message, &field), out);
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      break;
  }
  return Outcome::kForProtobuf;
}

Outcome Append(const Message& message, std::string* out) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  char before = '{';
  for (const FieldDescriptor* field : fields) {
    if (field->is_map() || field->is_extension()) return Outcome::kForProtobuf;
    out->push_back(before);
    before = ',';
    absl::StrAppend(out, "\"", field->name(), "\":");
    if (!field->is_repeated()) {
      if (const Outcome outcome = AppendValue(message, reflection, *field, 0, out); outcome != Outcome::kWritten) return outcome;
      continue;
    }
    char separator = '[';
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      out->push_back(separator);
      separator = ',';
      if (const Outcome outcome = AppendValue(message, reflection, *field, i, out); outcome != Outcome::kWritten) return outcome;
    }
    out->push_back(']');
  }
  if (before == '{') out->push_back('{');
  out->push_back('}');
  return Outcome::kWritten;
}

}  // namespace

bool AppendMessageJson(const Message& message, std::string* out) {
  const size_t start = out->size();
  const Outcome outcome = AppendMessage(message, out);
  if (outcome == Outcome::kWritten) return true;
  out->resize(start);
  if (outcome == Outcome::kNoForm) return false;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return false;
  *out += SafeJson(json);
  return true;
}

}  // namespace gatehouse
