#include "client/yaml/document_reader.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <limits>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "client/yaml/kinds.h"
#include "client/yaml/pem_kind.h"
#include "gateway/base/escape.h"

namespace gatehouse::client {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Reflection;

std::string Quoted(absl::string_view text) {
  if (text.size() > 64) return absl::StrCat("\"", EscapeText(text.substr(0, 64)), "…\"");
  return absl::StrCat("\"", EscapeText(text), "\"");
}

std::string DidYouMean(absl::string_view word, const std::vector<std::string>& candidates) {
  std::string closest = Closest(word, candidates);
  return closest.empty() ? "" : absl::StrCat("; did you mean \"", closest, "\"?");
}

const FieldDescriptor* FindField(const Descriptor* type, const std::string& key) {
  if (const FieldDescriptor* field = type->FindFieldByName(key)) return field;
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->json_name() == key) return type->field(i);
  }
  return nullptr;
}

const FieldDescriptor* FindFileField(const Descriptor* type, const std::string& key) {
  for (int i = 0; i < type->field_count(); ++i) {
    if (FileNameOf(*type->field(i)) == key) return type->field(i);
  }
  return nullptr;
}

// The field that a key is for, however it is written.
const FieldDescriptor* FindTarget(const Descriptor* type, const std::string& key) {
  if (const FieldDescriptor* field = FindField(type, key)) return field;
  if (type == v1::User::descriptor() && key == "password_hash") return type->FindFieldByName("password_hashes");
  return FindFileField(type, key);
}

std::string Child(const std::string& path, absl::string_view field) {
  return path.empty() ? std::string(field) : absl::StrCat(path, ".", field);
}

const char* What(const TreeNode& node) {
  switch (node.kind) {
    case TreeNode::Kind::kNull:
      return "nothing";
    case TreeNode::Kind::kScalar:
      return "a single value";
    case TreeNode::Kind::kList:
      return "a list";
    case TreeNode::Kind::kMap:
      return "a map of fields";
  }
  return "something else";
}

const TreeNode* Entry(const TreeNode& map, absl::string_view key, int* index) {
  for (size_t i = 0; i < map.keys.size(); ++i) {
    if (map.keys[i]->text == key) {
      if (index != nullptr) *index = static_cast<int>(i);
      return map.items[i].get();
    }
  }
  return nullptr;
}

}  // namespace

void DocumentReader::Complain(const TreeNode& at, const std::string& path, std::string message) {
  if (reader_.problems_.size() > reader_.limits_.max_problems) return;
  Place place{source_, at.line, at.column};
  if (reader_.problems_.size() == reader_.limits_.max_problems) {
    reader_.problems_.push_back({place, "", "too many problems; the rest is not shown"});
    return;
  }
  reader_.problems_.push_back({place, path, std::move(message)});
}

void DocumentReader::ReadDocument(const TreeNode& node) {
  if (node.kind == TreeNode::Kind::kNull) return;  // `---` at the end of a file
  if (node.kind == TreeNode::Kind::kList) {
    for (const TreeRef& item : node.items) {
      if (item->kind == TreeNode::Kind::kMap) {
        ReadDocument(*item);
      } else {
        Complain(*item, "", absl::StrCat("expected a resource, found ", What(*item)));
      }
    }
    return;
  }
  if (node.kind != TreeNode::Kind::kMap) {
    Complain(node, "", absl::StrCat("expected a resource (kind: …, name: …), found ", What(node)));
    return;
  }
  int kind_key = -1;
  const TreeNode* kind_node = Entry(node, "kind", &kind_key);
  if (kind_node == nullptr) {
    ReadSet(node);
    return;
  }
  std::vector<std::string> names;
  for (const KindName& kind : Kinds()) {
    if (kind_node->kind == TreeNode::Kind::kScalar && kind_node->text == kind.singular) {
      ReadResource(node, kind.kind, kind_key, "");
      return;
    }
    names.push_back(kind.singular);
  }
  Complain(*kind_node, "kind",
           absl::StrCat("no kind named ", Quoted(kind_node->text), DidYouMean(kind_node->text, names)));
}

void DocumentReader::ReadSet(const TreeNode& node) {
  if (node.keys.empty()) return;
  std::set<std::string> seen;
  for (size_t i = 0; i < node.keys.size(); ++i) {
    const TreeNode& key = *node.keys[i];
    const TreeNode& value = *node.items[i];
    const FieldDescriptor* field = FindField(v1::ConfigSet::descriptor(), key.text);
    if (field == nullptr) {
      Complain(key, "", absl::StrCat("`kind` is missing, and ", Quoted(key.text), " is no list of resources"));
      continue;
    }
    if (!seen.insert(std::string(field->name())).second) {
      Complain(key, field->json_name(), "given twice");
      continue;
    }
    if (value.kind != TreeNode::Kind::kList) {
      Complain(value, field->json_name(), absl::StrCat("must be a list, found ", What(value)));
      continue;
    }
    for (size_t j = 0; j < value.items.size(); ++j) {
      std::string path = absl::StrCat(field->json_name(), "[", j, "]");
      for (const KindName& kind : Kinds()) {
        if (field->name() == kind.field) ReadResource(*value.items[j], kind.kind, -1, path);
      }
    }
  }
}

void DocumentReader::ReadResource(const TreeNode& node, v1::Kind kind, int kind_key,
                                  const std::string& fallback_path) {
  std::string path = fallback_path.empty() ? NameOf(kind).plural : fallback_path;
  if (node.kind != TreeNode::Kind::kMap) {
    Complain(node, path, absl::StrCat("must be a map of fields, found ", What(node)));
    return;
  }
  const TreeNode* name = Entry(node, "name", nullptr);
  if (name == nullptr || (name->kind == TreeNode::Kind::kScalar && name->text.empty())) {
    Complain(name == nullptr ? node : *name, path, "`name` is required");
  } else if (name->kind == TreeNode::Kind::kScalar) {
    path = PathRoot(kind, name->text);
    Place place{source_, node.line, node.column};
    auto [it, added] = reader_.places_.emplace(path, place);
    if (!added) Complain(*name, path, absl::StrCat("defined twice; the first is at ", it->second.ToString()));
  }
  v1::Resource resource;
  for (const KindName& known : Kinds()) {
    if (known.kind != kind) continue;
    const FieldDescriptor* list = v1::ConfigSet::descriptor()->FindFieldByName(known.field);
    const FieldDescriptor* field = v1::Resource::descriptor()->FindFieldByNumber(list->number());
    ReadMessage(node, *resource.GetReflection()->MutableMessage(&resource, field), path, kind_key);
  }
  Append(std::move(resource), reader_.set_);
}

void DocumentReader::ReadMessage(const TreeNode& node, Message& message, const std::string& path, int skip_key) {
  // By the field that a key is for: both spellings of a field, and its `file`, are one field.
  std::map<std::string, std::string> seen;
  for (size_t i = 0; i < node.keys.size(); ++i) {
    if (static_cast<int>(i) == skip_key) continue;
    const TreeNode& key = *node.keys[i];
    const FieldDescriptor* field = FindTarget(message.GetDescriptor(), key.text);
    auto [it, added] = seen.emplace(field == nullptr ? key.text : std::string(field->name()), key.text);
    if (!added) {
      Complain(key, Child(path, EscapeText(key.text)),
               it->second == key.text ? "given twice"
                                      : absl::StrCat("excludes ", it->second, ": give one of them"));
      continue;
    }
    ReadEntry(key, *node.items[i], message, path);
  }
}

void DocumentReader::ReadEntry(const TreeNode& key, const TreeNode& value, Message& message,
                               const std::string& path) {
  const Descriptor* type = message.GetDescriptor();
  const FieldDescriptor* field = FindField(type, key.text);
  const FieldDescriptor* target = FindTarget(type, key.text);
  if (target == nullptr) {
    Unknown(key, message, path);
    return;
  }
  const std::string child = Child(path, field != nullptr ? absl::string_view(field->name()) : key.text);
  const Reflection* reflection = message.GetReflection();
  if (value.kind == TreeNode::Kind::kNull) {
    // A template that rendered nothing must not be taken for a default.
    bool is_message = target->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !target->is_repeated();
    Complain(value.line > 0 ? value : key, child,
             is_message ? "has no value: leave the field out, or write {} for its defaults"
                        : "has no value: leave the field out, or give it one");
    return;
  }
  if (const auto* oneof = target->real_containing_oneof(); oneof != nullptr) {
    const FieldDescriptor* other = reflection->GetOneofFieldDescriptor(message, oneof);
    if (other != nullptr) {
      Complain(key, child, absl::StrCat("excludes ", other->name(), ": give one of them"));
      return;
    }
  }
  if (field != nullptr) {
    ReadField(value, message, field, child);
  } else if (target->is_repeated()) {
    ReadValue(value, message, target, child);
  } else {
    ReadFile(value, message, target, child);
  }
}

void DocumentReader::Unknown(const TreeNode& key, const Message& message, const std::string& path) {
  const Descriptor* type = message.GetDescriptor();
  if (type == v1::User::descriptor() && key.text == "password") {
    Complain(key, Child(path, "password"),
             "passwords do not belong in files: give password_hash, or leave it out and run "
             "`gatehousectl user set-password`");
    return;
  }
  std::vector<std::string> names;
  for (int i = 0; i < type->field_count(); ++i) names.push_back(std::string(type->field(i)->name()));
  if (FindFileField(type, "file") != nullptr) names.push_back("file");
  std::string message_text = absl::StrCat("unknown field ", Quoted(key.text));
  std::string hint = DidYouMean(key.text, names);
  if (hint.empty()) {
    for (size_t i = 0; i < names.size(); ++i) absl::StrAppend(&hint, i == 0 ? "; there are " : ", ", names[i]);
  }
  Complain(key, path, message_text + hint);
}

void DocumentReader::ReadField(const TreeNode& value, Message& message, const Field* field, const std::string& path) {
  if (field->is_map()) {
    ReadMap(value, message, field, path);
  } else if (field->is_repeated()) {
    ReadList(value, message, field, path);
  } else {
    ReadValue(value, message, field, path);
  }
}

void DocumentReader::ReadList(const TreeNode& value, Message& message, const Field* field, const std::string& path) {
  if (value.kind != TreeNode::Kind::kList) {
    Complain(value, path, absl::StrCat("must be a list, found ", What(value)));
    return;
  }
  if (value.items.empty() && field->full_name() == "gatehouse.v1.UserStore.users") {
    // Without a word about users a store keeps them: an empty list must not be taken for that.
    Complain(value, path, "an empty list would remove nobody: leave the field out to keep the users that are stored, or "
                          "remove them with `gatehousectl user delete`");
    return;
  }
  for (size_t i = 0; i < value.items.size(); ++i) {
    std::string child = absl::StrCat(path, "[", i, "]");
    if (value.items[i]->kind == TreeNode::Kind::kNull) {
      Complain(*value.items[i], child, "has no value");
    } else {
      ReadValue(*value.items[i], message, field, child);
    }
  }
}

void DocumentReader::ReadMap(const TreeNode& value, Message& message, const Field* field, const std::string& path) {
  if (value.kind != TreeNode::Kind::kMap) {
    Complain(value, path, absl::StrCat("must be a map, found ", What(value)));
    return;
  }
  std::set<std::string> seen;
  const Descriptor* entry_type = field->message_type();
  for (size_t i = 0; i < value.keys.size(); ++i) {
    const TreeNode& key = *value.keys[i];
    const TreeNode& item = *value.items[i];
    std::string child = absl::StrCat(path, "[", Quoted(key.text), "]");
    if (!seen.insert(key.text).second) {
      Complain(key, child, "given twice");
      continue;
    }
    if (item.kind == TreeNode::Kind::kNull) {
      Complain(key, child, "has no value");
      continue;
    }
    Message* entry = message.GetReflection()->AddMessage(&message, field);
    entry->GetReflection()->SetString(entry, entry_type->map_key(), key.text);
    ReadValue(item, *entry, entry_type->map_value(), child);
  }
}

void DocumentReader::ReadValue(const TreeNode& value, Message& message, const Field* field, const std::string& path) {
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    ReadSubmessage(value, message, field, path);
  } else if (value.kind != TreeNode::Kind::kScalar) {
    const std::string file = FileNameOf(*field);
    Complain(value, path, absl::StrCat("must be a single value, found ", What(value),
                                       file.empty() ? "" : absl::StrCat("; to read it from a file, write ", file, ": PATH")));
  } else {
    ReadScalar(value, message, field, path);
  }
}

void DocumentReader::ReadSubmessage(const TreeNode& value, Message& message, const Field* field,
                                    const std::string& path) {
  const Reflection* reflection = message.GetReflection();
  Message* child = field->is_repeated() ? reflection->AddMessage(&message, field)
                                        : reflection->MutableMessage(&message, field);
  if (ReadWellKnown(value, *child, path)) return;
  // A oneof cannot hold a list, so the proto wraps it; people need not.
  if (value.kind == TreeNode::Kind::kList && child->GetDescriptor() == v1::Conditions::descriptor()) {
    ReadList(value, *child, v1::Conditions::descriptor()->FindFieldByName("conditions"), path);
    return;
  }
  if (value.kind != TreeNode::Kind::kMap) {
    Complain(value, path, absl::StrCat("must be a map of fields, found ", What(value)));
    return;
  }
  std::string outer = std::exchange(parent_field_, std::string(field->name()));
  ReadMessage(value, *child, path, -1);
  parent_field_ = std::move(outer);
}

bool DocumentReader::ReadWellKnown(const TreeNode& value, Message& message, const std::string& path) {
  const Descriptor* type = message.GetDescriptor();
  bool scalar = value.kind == TreeNode::Kind::kScalar;
  if (type == google::protobuf::Duration::descriptor()) {
    absl::Duration duration;
    if (!scalar || !absl::ParseDuration(value.text, &duration) || duration == absl::InfiniteDuration() ||
        duration == -absl::InfiniteDuration()) {
      Complain(value, path, absl::StrCat("must be a duration such as 5s, 10m or 1h30m, not ",
                                         scalar ? Quoted(value.text) : What(value)));
      return true;
    }
    absl::Duration rest;
    google::protobuf::Duration parsed;
    parsed.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
    parsed.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
    message.CopyFrom(parsed);
    return true;
  }
  if (type == google::protobuf::Timestamp::descriptor()) {
    absl::Time time;
    std::string error;
    if (!scalar || !absl::ParseTime(absl::RFC3339_full, value.text, &time, &error) ||
        time == absl::InfiniteFuture() || time == absl::InfinitePast()) {
      Complain(value, path, absl::StrCat("must be a time such as 2027-01-31T12:00:00Z, not ",
                                         scalar ? Quoted(value.text) : What(value)));
      return true;
    }
    google::protobuf::Timestamp parsed;
    parsed.set_seconds(absl::ToUnixSeconds(time));
    parsed.set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(parsed.seconds()))));
    message.CopyFrom(parsed);
    return true;
  }
  return false;
}

void DocumentReader::ReadScalar(const TreeNode& value, Message& message, const Field* field,
                                const std::string& path) {
  const Reflection* reflection = message.GetReflection();
  const bool add = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      add ? reflection->AddString(&message, field, value.text) : reflection->SetString(&message, field, value.text);
      return;
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!value.plain || (value.text != "true" && value.text != "false")) {
        Complain(value, path, absl::StrCat("must be true or false, not ", Quoted(value.text)));
        return;
      }
      add ? reflection->AddBool(&message, field, value.text == "true")
          : reflection->SetBool(&message, field, value.text == "true");
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number = 0;
      bool narrow = field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32;
      if (!absl::SimpleAtoi(value.text, &number) || (narrow && number > std::numeric_limits<uint32_t>::max())) {
        Complain(value, path, absl::StrCat("must be a whole number of at most ", narrow ? 32 : 64, " bits, not ",
                                           Quoted(value.text)));
        return;
      }
      if (narrow) {
        const auto low = static_cast<uint32_t>(number);
        add ? reflection->AddUInt32(&message, field, low) : reflection->SetUInt32(&message, field, low);
      } else {
        add ? reflection->AddUInt64(&message, field, number) : reflection->SetUInt64(&message, field, number);
      }
      return;
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumDescriptor* type = field->enum_type();
      const EnumValueDescriptor* named = type->FindValueByName(value.text);
      if (named == nullptr || named->number() == 0) {
        std::vector<std::string> names;
        std::string all;
        for (int i = 0; i < type->value_count(); ++i) {
          if (type->value(i)->number() == 0) continue;
          names.push_back(std::string(type->value(i)->name()));
          absl::StrAppend(&all, all.empty() ? "" : ", ", names.back());
        }
        std::string hint = DidYouMean(value.text, names);
        Complain(value, path, absl::StrCat("no value named ", Quoted(value.text),
                                           hint.empty() ? absl::StrCat("; there are ", all) : hint));
        return;
      }
      add ? reflection->AddEnum(&message, field, named) : reflection->SetEnum(&message, field, named);
      return;
    }
    default:
      Complain(value, path, "cannot be written in a file");
  }
}

void DocumentReader::ReadFile(const TreeNode& value, Message& message, const Field* field, const std::string& path) {
  if (value.kind != TreeNode::Kind::kScalar || value.text.empty()) {
    Complain(value, path, "must be the name of a file");
    return;
  }
  std::string name = value.text;
  if (name[0] != '/' && !folder_.empty()) name = absl::StrCat(folder_, "/", name);
  absl::StatusOr<std::string> content = reader_.loader_(name, reader_.limits_.max_file_bytes);
  if (!content.ok()) {
    Complain(value, path, std::string(content.status().message()));
    return;
  }
  reader_.file_bytes_ += content->size();
  if (reader_.file_bytes_ > reader_.limits_.max_total_file_bytes) {
    Complain(value, path, absl::StrCat("files of this configuration have more than ",
                                       reader_.limits_.max_total_file_bytes >> 20, " MiB together"));
    return;
  }
  PemKind want = PemKind::kCertificate;
  if (field->name() == "private_key_pem") want = PemKind::kPrivateKey;
  if (parent_field_ == "crls") want = PemKind::kCrl;
  if (std::string wrong = WrongPem(*content, want); !wrong.empty()) {
    Complain(value, path, absl::StrCat(EscapeText(value.text), " ", wrong));
    return;
  }
  message.GetReflection()->SetString(&message, field, *std::move(content));
}

}  // namespace gatehouse::client
