#include "client/yaml/writer.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <yaml-cpp/emitter.h>

#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/yaml/kinds.h"
#include "gateway/base/escape.h"
#include "gateway/base/json_text.h"

namespace gatehouse::client {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::ordered_json;

Json ToTree(const Message& message);

absl::string_view View(const std::string& text) { return text; }

Json Submessage(const Message& message) {
  const Descriptor* type = message.GetDescriptor();
  if (type == google::protobuf::Duration::descriptor()) {
    google::protobuf::Duration value;
    value.CopyFrom(message);
    return absl::FormatDuration(absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos()));
  }
  if (type == google::protobuf::Timestamp::descriptor()) {
    google::protobuf::Timestamp value;
    value.CopyFrom(message);
    absl::Time time = absl::FromUnixSeconds(value.seconds()) + absl::Nanoseconds(value.nanos());
    return absl::FormatTime("%E4Y-%m-%dT%H:%M:%E*SZ", time, absl::UTCTimeZone());
  }
  if (type == v1::Conditions::descriptor()) {
    v1::Conditions value;
    value.CopyFrom(message);
    Json list = Json::array();
    for (const v1::Condition& condition : value.conditions()) list.push_back(ToTree(condition));
    return list;
  }
  return ToTree(message);
}

// `index` is -1 for a field that is not repeated.
Json Value(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* r = message.GetReflection();
  bool one = index < 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return one ? r->GetString(message, field) : r->GetRepeatedString(message, field, index);
    case FieldDescriptor::CPPTYPE_BOOL:
      return one ? r->GetBool(message, field) : r->GetRepeatedBool(message, field, index);
    case FieldDescriptor::CPPTYPE_UINT32:
      return one ? r->GetUInt32(message, field) : r->GetRepeatedUInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_UINT64:
      return one ? r->GetUInt64(message, field) : r->GetRepeatedUInt64(message, field, index);
    case FieldDescriptor::CPPTYPE_ENUM:
      return std::string((one ? r->GetEnum(message, field) : r->GetRepeatedEnum(message, field, index))->name());
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return Submessage(one ? r->GetMessage(message, field) : r->GetRepeatedMessage(message, field, index));
    default:
      return nullptr;
  }
}

Json MapField(const Message& message, const FieldDescriptor* field) {
  const Reflection* r = message.GetReflection();
  std::map<std::string, std::string> sorted;
  for (int i = 0; i < r->FieldSize(message, field); ++i) {
    const Message& entry = r->GetRepeatedMessage(message, field, i);
    const Descriptor* type = entry.GetDescriptor();
    sorted[entry.GetReflection()->GetString(entry, type->map_key())] =
        entry.GetReflection()->GetString(entry, type->map_value());
  }
  Json map = Json::object();
  for (const auto& [key, value] : sorted) map[key] = value;
  return map;
}

Json ToTree(const Message& message) {
  const Descriptor* type = message.GetDescriptor();
  const Reflection* r = message.GetReflection();
  Json tree = Json::object();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (View(field->name()) == "etag") continue;
    if (field->is_repeated()) {
      int size = r->FieldSize(message, field);
      if (size == 0) continue;
      if (field->is_map()) {
        tree[std::string(field->name())] = MapField(message, field);
        continue;
      }
      Json list = Json::array();
      for (int j = 0; j < size; ++j) list.push_back(Value(message, field, j));
      tree[std::string(field->name())] = std::move(list);
    } else if (r->HasField(message, field)) {
      tree[std::string(field->name())] = Value(message, field, -1);
    }
  }
  return tree;
}

Json ResourceTree(const v1::Resource& resource) {
  Json tree = Json::object();
  tree["kind"] = NameOf(KindOf(resource)).singular;
  const auto* field = resource.GetReflection()->GetOneofFieldDescriptor(
      resource, v1::Resource::descriptor()->oneof_decl(0));
  if (field == nullptr) return tree;
  Json fields = ToTree(resource.GetReflection()->GetMessage(resource, field));
  for (auto& [key, value] : fields.items()) tree[key] = std::move(value);
  return tree;
}

// Calls f with each code point's octets.
template <typename F>
void ForEachCodePoint(absl::string_view text, F f) {
  for (size_t at = 0; at < text.size();) {
    size_t length = 1;
    while (at + length < text.size() && (static_cast<unsigned char>(text[at + length]) & 0xC0) == 0x80) ++length;
    f(text.substr(at, length));
    at += length;
  }
}

uint32_t Decode(absl::string_view code_point) {
  const auto lead = static_cast<unsigned char>(code_point[0]);
  uint32_t value = code_point.size() == 1 ? lead : lead & (0xFFu >> (code_point.size() + 1));
  for (char c : code_point.substr(1)) value = value << 6 | (static_cast<unsigned char>(c) & 0x3Fu);
  return value;
}

// Valid like any other character, but yaml-cpp's emitter writes U+FFFD in their place.
bool HasNoncharacter(absl::string_view text) {
  bool has = false;
  ForEachCodePoint(text, [&](absl::string_view one) {
    const uint32_t value = Decode(one);
    has = has || (value & 0xFFFE) == 0xFFFE || (value >= 0xFDD0 && value <= 0xFDEF);
  });
  return has;
}

std::string Escaped(absl::string_view text) {
  std::string quoted = "\"";
  ForEachCodePoint(text, [&](absl::string_view one) {
    const bool plain = one.size() == 1 && absl::ascii_isprint(static_cast<unsigned char>(one[0])) && one != "\"" && one != "\\";
    absl::StrAppend(&quoted, plain ? std::string(one) : absl::StrFormat("\\U%08X", Decode(one)));
  });
  return quoted + "\"";
}

// Not what a terminal acts upon: controls, and what turns the direction of text.
bool Harmless(absl::string_view code_point) { return code_point == "\\" || EscapeText(code_point) == code_point; }

bool Printable(const std::string& text) {
  bool printable = true;
  ForEachCodePoint(text, [&](absl::string_view one) { printable = printable && (one == "\n" || Harmless(one)); });
  return printable;
}

void EmitText(const std::string& text, YAML::Emitter& out) {
  if (HasNoncharacter(text)) {
    out.WriteIntegralType(Escaped(text));  // as it stands
    return;
  }
  if (text.find('\n') != std::string::npos && text.back() == '\n' && text[0] != ' ' && text[0] != '\n' &&
      Printable(text) && text.find("\n\n") == std::string::npos && text.find(" \n") == std::string::npos) {
    out << YAML::Literal << text;
    return;
  }
  // Numbers, booleans and words for null are quoted, so that other YAML tools read text as text too.
  bool looks_typed = text.empty() || text == "~" || Json::accept(text) || text == "yes" || text == "no" ||
                     text == "on" || text == "off" || text == "Null" || text == "NULL";
  if (!Printable(text)) {
    out << YAML::EscapeNonAscii << YAML::DoubleQuoted << text;
  } else if (looks_typed || text.find('\n') != std::string::npos) {
    out << YAML::DoubleQuoted << text;
  } else {
    out << YAML::Auto << text;
  }
}

void Emit(const Json& tree, YAML::Emitter& out) {
  if (tree.is_object()) {
    if (tree.empty()) out << YAML::Flow;
    out << YAML::BeginMap;
    for (const auto& [key, value] : tree.items()) {
      out << YAML::Key;
      EmitText(key, out);
      out << YAML::Value;
      Emit(value, out);
    }
    out << YAML::EndMap;
  } else if (tree.is_array()) {
    out << YAML::BeginSeq;
    for (const Json& item : tree) Emit(item, out);
    out << YAML::EndSeq;
  } else if (tree.is_string()) {
    EmitText(tree.get_ref<const std::string&>(), out);
  } else if (tree.is_boolean()) {
    out << (tree.get<bool>() ? "true" : "false");
  } else {
    out << tree.dump();
  }
}

std::string Document(const Json& tree) {
  YAML::Emitter out;
  out.SetOutputCharset(YAML::EmitNonAscii);
  Emit(tree, out);
  return std::string(out.c_str(), out.size()) + "\n";
}

}  // namespace

std::string ToYaml(const v1::Resource& resource) { return Document(ResourceTree(resource)); }

std::string MessageYaml(const Message& message) { return Document(ToTree(message)); }

std::string ToYaml(const v1::ConfigSet& set) {
  std::string text;
  for (const v1::Resource& resource : Split(set)) {
    if (!text.empty()) text += "---\n";
    text += ToYaml(resource);
  }
  return text;
}

std::string ToJson(const v1::Resource& resource, bool indent) {
  return SafeJson(ResourceTree(resource).dump(indent ? 2 : -1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace gatehouse::client
