// Details of resource_fields.h: differences of two resources as lines for people.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/api/resource_fields.h"
#include "gateway/base/escape.h"
#include "gateway/certs/certificate.h"
#include "google/protobuf/message.h"

namespace gatehouse::api {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxValueBytes = 60;
constexpr size_t kMaxNamed = 3;

std::string WithCommas(int64_t n) {
  std::string digits = absl::StrCat(n < 0 ? -n : n);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(static_cast<size_t>(i), 1, ',');
  return absl::StrCat(n < 0 ? "-" : "", digits);
}

std::string Short(absl::string_view text) {
  std::string escaped = EscapeText(text);
  if (escaped.size() > kMaxValueBytes) escaped = absl::StrCat(Beginning(escaped, kMaxValueBytes - 3), "...");
  return escaped;
}

// "CN=Partners Root 2027, expires in 1,820 d", or how many there are when it is a bundle.
std::string NameOfPem(const std::string& pem, absl::Time now) {
  auto list = certs::Certificate::ListFromPem(pem);
  if (!list.ok()) return "unreadable";
  const certs::Certificate& first = *list->front();
  const int64_t days = absl::ToInt64Hours(first.not_after() - now) / 24;
  std::string text = absl::StrCat(Short(first.subject()), first.not_after() < now
                                                              ? std::string(", expired")
                                                              : absl::StrCat(", expires in ", WithCommas(days), " d"));
  if (list->size() > 1) absl::StrAppend(&text, " and ", list->size() - 1, " more");
  return text;
}

bool IsSecret(const FieldDescriptor& field) {
  return field.name() == "private_key_pem" || field.name() == "password_hashes";
}

bool IsTime(const Message& message) { return message.GetDescriptor()->file()->package() == "google.protobuf"; }

std::string TimeText(const Message& message) {
  const Reflection& reflection = *message.GetReflection();
  const int64_t seconds = reflection.GetInt64(message, message.GetDescriptor()->FindFieldByNumber(1));
  const int32_t nanos = reflection.GetInt32(message, message.GetDescriptor()->FindFieldByNumber(2));
  if (message.GetDescriptor()->name() == "Timestamp") {
    return absl::FormatTime(absl::FromUnixSeconds(seconds), absl::UTCTimeZone());
  }
  return absl::FormatDuration(absl::Seconds(seconds) + absl::Nanoseconds(nanos));
}

// `claim group`, `policy office-hours`, `time`
std::string ConditionText(const v1::Condition& condition) {
  const FieldDescriptor* kind =
      v1::Condition::GetReflection()->GetOneofFieldDescriptor(condition, v1::Condition::descriptor()->oneof_decl(0));
  if (kind == nullptr) return "nothing";
  if (condition.has_claim()) return absl::StrCat("claim ", Short(condition.claim().type()));
  if (condition.kind_case() == v1::Condition::kPolicy) return absl::StrCat("policy ", Short(condition.policy()));
  return std::string(kind->name());
}

// One element of a list, or one scalar, as it is named in a line.
std::string Element(const Message& parent, const FieldDescriptor& field, int index, absl::Time now) {
  const Reflection& reflection = *parent.GetReflection();
  const bool list = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text =
          list ? reflection.GetRepeatedString(parent, &field, index) : reflection.GetString(parent, &field);
      if (text.compare(0, 11, "-----BEGIN ") == 0) return NameOfPem(text, now);
      return list ? Short(text) : absl::StrCat("\"", Short(text), "\"");
    }
    case FieldDescriptor::CPPTYPE_ENUM:
      return list ? reflection.GetRepeatedEnum(parent, &field, index)->name()
                  : reflection.GetEnum(parent, &field)->name();
    case FieldDescriptor::CPPTYPE_BOOL:
      return (list ? reflection.GetRepeatedBool(parent, &field, index) : reflection.GetBool(parent, &field)) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(list ? reflection.GetRepeatedUInt32(parent, &field, index) : reflection.GetUInt32(parent, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(list ? reflection.GetRepeatedUInt64(parent, &field, index) : reflection.GetUInt64(parent, &field));
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(list ? reflection.GetRepeatedInt32(parent, &field, index) : reflection.GetInt32(parent, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(list ? reflection.GetRepeatedInt64(parent, &field, index) : reflection.GetInt64(parent, &field));
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
    default: return "?";
  }
  const Message& message =
      list ? reflection.GetRepeatedMessage(parent, &field, index) : reflection.GetMessage(parent, &field);
  if (IsTime(message)) return TimeText(message);
  if (message.GetDescriptor() == v1::Pem::descriptor()) {
    return NameOfPem(static_cast<const v1::Pem&>(message).pem(), now);
  }
  if (message.GetDescriptor() == v1::Pin::descriptor()) {
    const auto& pin = static_cast<const v1::Pin&>(message);
    if (!pin.pem().empty()) return NameOfPem(pin.pem(), now);
    return Short(pin.certificate_sha256().empty() ? pin.spki_sha256() : pin.certificate_sha256()).substr(0, 19);
  }
  if (message.GetDescriptor() == v1::Condition::descriptor()) {
    return ConditionText(static_cast<const v1::Condition&>(message));
  }
  for (const char* key : {"name", "type", "attribute", "key"}) {
    const FieldDescriptor* named = message.GetDescriptor()->FindFieldByName(key);
    if (named != nullptr) return Short(message.GetReflection()->GetString(message, named));
  }
  return field.name();
}

// "+2 (a, b)"
std::string Count(char sign, const std::vector<std::string>& names) {
  std::string text = absl::StrCat(std::string(1, sign), WithCommas(static_cast<int64_t>(names.size())));
  if (names.empty()) return text;
  std::vector<std::string> some(names.begin(),
                                names.begin() + static_cast<ptrdiff_t>(std::min(names.size(), kMaxNamed)));
  if (names.size() > kMaxNamed) some.push_back("...");
  return absl::StrCat(text, " (", absl::StrJoin(some, ", "), ")");
}

class Comparison {
 public:
  explicit Comparison(absl::Time now) : now_(now) {}

  void Compare(const Message& before, const Message& after, const std::string& prefix) {
    const google::protobuf::Descriptor& type = *after.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const std::string path = absl::StrCat(prefix, prefix.empty() ? "" : ".", field.name());
      if (prefix.empty() && (field.name() == "name" || field.name() == "etag")) continue;
      if (&type == v1::Conditions::descriptor()) {
        CompareLists(before, after, field, prefix);  // people write it as a list
      } else if (field.is_repeated()) {
        CompareLists(before, after, field, path);
      } else {
        CompareOne(before, after, field, path);
      }
    }
  }
  std::vector<std::string> Take() {
    if (lines_.size() > kMaxDetails) {
      const size_t more = lines_.size() - kMaxDetails + 1;
      lines_.resize(kMaxDetails - 1);
      lines_.push_back(absl::StrCat("and ", more, " more"));
    }
    return std::move(lines_);
  }

 private:
  static bool Has(const Message& message, const FieldDescriptor& field) {
    if (field.has_presence()) return message.GetReflection()->HasField(message, &field);
    return true;
  }

  void CompareOne(const Message& before, const Message& after, const FieldDescriptor& field,
                  const std::string& path) {
    const bool had = Has(before, field), has = Has(after, field);
    if (!had && !has) return;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const Message& a = before.GetReflection()->GetMessage(before, &field);
      const Message& b = after.GetReflection()->GetMessage(after, &field);
      if (!IsTime(b)) {
        const size_t lines = lines_.size();
        Compare(a, b, path);
        if (had != has && lines == lines_.size()) lines_.push_back(absl::StrCat(path, has ? ": set" : ": removed"));
        return;
      }
    }
    const std::string a = had ? Value(before, field) : "unset", b = has ? Value(after, field) : "unset";
    const bool same = had == has && Bytes(before, field) == Bytes(after, field);
    if (same) return;
    if (IsSecret(field)) {
      lines_.push_back(absl::StrCat(path, ": changed (secret)"));
    } else {
      lines_.push_back(absl::StrCat(path, ": ", a, " -> ", b));
    }
  }

  // Whole values are compared; what is shown may be cut.
  static std::string Bytes(const Message& message, const FieldDescriptor& field) {
    const Reflection& reflection = *message.GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) return reflection.GetString(message, &field);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return reflection.GetMessage(message, &field).SerializeAsString();
    }
    return Element(message, field, 0, absl::InfinitePast());
  }
  std::string Value(const Message& message, const FieldDescriptor& field) const {
    return IsSecret(field) ? std::string() : Element(message, field, 0, now_);
  }

  // Elements are matched by what they are named (users, server names) or by their octets.
  void CompareLists(const Message& before, const Message& after, const FieldDescriptor& field,
                    const std::string& path) {
    const auto old_elements = Elements(before, field), new_elements = Elements(after, field);
    if (IsSecret(field)) {
      if (old_elements != new_elements) lines_.push_back(absl::StrCat(path, ": changed (secret)"));
      return;
    }
    std::vector<std::string> added, removed, changed;
    for (const auto& [key, element] : new_elements) {
      auto it = old_elements.find(key);
      if (it == old_elements.end()) {
        added.push_back(Element(after, field, element.index, now_));
      } else if (it->second.bytes != element.bytes) {
        changed.push_back(Element(after, field, element.index, now_));
      }
    }
    for (const auto& [key, element] : old_elements) {
      if (new_elements.count(key) == 0) removed.push_back(Element(before, field, element.index, now_));
    }
    if (added.empty() && removed.empty() && changed.empty()) {
      if (!SameOrder(before, after, field)) lines_.push_back(absl::StrCat(path, ": reordered"));
      return;
    }
    std::string line = absl::StrCat(path, ": ", Count('+', added), " ", Count('-', removed));
    if (!changed.empty()) absl::StrAppend(&line, " ", Count('~', changed));
    lines_.push_back(std::move(line));
  }

  struct Item {
    int index = 0;
    std::string bytes;
    friend bool operator==(const Item& a, const Item& b) { return a.bytes == b.bytes; }
  };
  static std::string BytesAt(const Message& message, const FieldDescriptor& field, int i) {
    const Reflection& reflection = *message.GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return reflection.GetRepeatedMessage(message, &field, i).SerializeAsString();
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) return reflection.GetRepeatedString(message, &field, i);
    return Element(message, field, i, absl::InfinitePast());
  }
  static std::map<std::string, Item> Elements(const Message& message, const FieldDescriptor& field) {
    std::map<std::string, Item> items;
    const Reflection& reflection = *message.GetReflection();
    const FieldDescriptor* name = nullptr;
    if (field.message_type() != nullptr) {
      name = field.message_type()->FindFieldByName(field.is_map() ? "key" : "name");
    }
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      std::string bytes = BytesAt(message, field, i);
      std::string key = bytes;
      if (name != nullptr) {
        const Message& element = reflection.GetRepeatedMessage(message, &field, i);
        key = element.GetReflection()->GetString(element, name);
      }
      Item item{i, std::move(bytes)};
      items.try_emplace(std::move(key), std::move(item));
    }
    return items;
  }
  static bool SameOrder(const Message& before, const Message& after, const FieldDescriptor& field) {
    if (field.is_map()) return true;
    const int size = after.GetReflection()->FieldSize(after, &field);
    if (size != before.GetReflection()->FieldSize(before, &field)) return false;
    for (int i = 0; i < size; ++i) {
      if (BytesAt(before, field, i) != BytesAt(after, field, i)) return false;
    }
    return true;
  }

  const absl::Time now_;
  std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> Details(const v1::Resource* before, const v1::Resource& after, absl::Time now) {
  const Message* body = BodyOf(after);
  if (body == nullptr) return {};
  Comparison comparison(now);
  if (before != nullptr) {
    comparison.Compare(*BodyOf(*before), *body, "");
  } else {
    std::unique_ptr<Message> empty(body->New());
    comparison.Compare(*empty, *body, "");
  }
  return comparison.Take();
}

}  // namespace gatehouse::api
