#include "client/cli/api_docs.h"

#include <algorithm>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.pb.h"

// The descriptors of every proto, with their comments (proto/CMakeLists.txt).
asm(".section .rodata\n"
    ".balign 16\n"
    "gatehouse_api_begin:\n"
    ".incbin \"" GATEHOUSE_API_DESCRIPTORS "\"\n"
    "gatehouse_api_end:\n"
    ".previous\n");
extern "C" const char gatehouse_api_begin[] __attribute__((visibility("hidden")));
extern "C" const char gatehouse_api_end[] __attribute__((visibility("hidden")));

namespace gatehouse::cli {
namespace {

namespace pb = google::protobuf;

constexpr absl::string_view kPackage = "gatehouse.v1";

std::string JoinLines(absl::string_view comment) {
  std::string text;
  bool paragraph = true;
  for (absl::string_view line : absl::StrSplit(comment, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) {
      paragraph = true;
      continue;
    }
    absl::StrAppend(&text, text.empty() ? "" : paragraph ? "\n\n" : " ", line);
    paragraph = false;
  }
  return text;
}

std::string OneType(const pb::FieldDescriptor& field) {
  switch (field.type()) {
    case pb::FieldDescriptor::TYPE_MESSAGE: {
      const std::string& name = field.message_type()->full_name();
      if (name == "google.protobuf.Timestamp") return "time, such as 2027-01-31T12:00:00Z";
      if (name == "google.protobuf.Duration") return "duration, such as 30s or 12h";
      if (name == "google.protobuf.FieldMask") return "field mask";
      return field.message_type()->name();
    }
    case pb::FieldDescriptor::TYPE_ENUM: {
      std::vector<std::string> values;
      for (int i = 1; i < field.enum_type()->value_count(); ++i) values.push_back(field.enum_type()->value(i)->name());
      return values.size() > 12 ? field.enum_type()->name() : absl::StrCat("one of ", absl::StrJoin(values, ", "));
    }
    case pb::FieldDescriptor::TYPE_STRING:
      return "text";
    case pb::FieldDescriptor::TYPE_BYTES:
      return "bytes, base64 in files";
    case pb::FieldDescriptor::TYPE_BOOL:
      return "true or false";
    case pb::FieldDescriptor::TYPE_DOUBLE:
    case pb::FieldDescriptor::TYPE_FLOAT:
      return "number";
    default:
      return "integer";
  }
}

// Pipes and line ends would break a table.
std::string Cell(absl::string_view text) {
  std::string cell;
  for (char c : text) {
    if (c == '|') cell += '\\';
    cell += c == '\n' ? ' ' : c;
  }
  return cell;
}

void AppendMessage(const pb::Descriptor& message, int level, std::string* out);

void AppendEnum(const pb::EnumDescriptor& e, int level, std::string* out) {
  absl::StrAppend(out, std::string(static_cast<size_t>(level), '#'), " ", e.name(), "\n\n", CommentOf(e), "\n\n| value | meaning |\n|---|---|\n");
  for (int i = 0; i < e.value_count(); ++i) {
    absl::StrAppend(out, "| `", e.value(i)->name(), "` | ", Cell(CommentOf(*e.value(i))), " |\n");
  }
  absl::StrAppend(out, "\n");
}

void AppendMessage(const pb::Descriptor& message, int level, std::string* out) {
  if (message.options().map_entry()) return;
  absl::StrAppend(out, std::string(static_cast<size_t>(level), '#'), " ", message.name(), "\n\n");
  if (std::string comment = CommentOf(message); !comment.empty()) absl::StrAppend(out, comment, "\n\n");
  if (message.field_count() > 0) {
    absl::StrAppend(out, "| field | type | |\n|---|---|---|\n");
    for (int i = 0; i < message.field_count(); ++i) {
      const pb::FieldDescriptor& field = *message.field(i);
      const pb::OneofDescriptor* choice = field.real_containing_oneof();
      absl::StrAppend(out, "| `", field.name(), "` | ", Cell(TypeText(field)),
                      choice == nullptr ? "" : absl::StrCat("; one of `", choice->name(), "`"), " | ", Cell(CommentOf(field)), " |\n");
    }
    absl::StrAppend(out, "\n");
  }
  for (int i = 0; i < message.enum_type_count(); ++i) AppendEnum(*message.enum_type(i), level + 1, out);
  for (int i = 0; i < message.nested_type_count(); ++i) AppendMessage(*message.nested_type(i), level + 1, out);
}

void AppendService(const pb::ServiceDescriptor& service, std::string* out) {
  absl::StrAppend(out, "### ", service.name(), "\n\n", CommentOf(service), "\n\n| method | |\n|---|---|\n");
  for (int i = 0; i < service.method_count(); ++i) {
    const pb::MethodDescriptor& method = *service.method(i);
    absl::StrAppend(out, "| `", method.name(), "(", method.client_streaming() ? "stream " : "", method.input_type()->name(), ")` returns `",
                    method.server_streaming() ? "stream " : "", method.output_type()->name(), "` | ", Cell(CommentOf(method)), " |\n");
  }
  absl::StrAppend(out, "\n");
}

}  // namespace

ApiDocs::ApiDocs() {
  pb::FileDescriptorSet set;
  ABSL_RAW_CHECK(set.ParseFromArray(gatehouse_api_begin, static_cast<int>(gatehouse_api_end - gatehouse_api_begin)),
                 "the API's descriptors are damaged");
  for (const pb::FileDescriptorProto& file : set.file()) {
    ABSL_RAW_CHECK(pool_.BuildFile(file) != nullptr, "the API's descriptors are incomplete");
    if (file.package() == kPackage) files_.push_back(file.name());
  }
  std::sort(files_.begin(), files_.end());
}

const ApiDocs& ApiDocs::Get() {
  static const ApiDocs* const docs = new ApiDocs;
  return *docs;
}

const pb::Descriptor* ApiDocs::Message(absl::string_view name) const {
  const std::string full = absl::StartsWith(name, kPackage) ? std::string(name) : absl::StrCat(kPackage, ".", name);
  return pool_.FindMessageTypeByName(full);
}

std::vector<const pb::FileDescriptor*> ApiDocs::Files() const {
  std::vector<const pb::FileDescriptor*> files;
  for (const std::string& name : files_) files.push_back(pool_.FindFileByName(name));
  return files;
}

template <typename Element>
std::string CommentOf(const Element& element) {
  pb::SourceLocation location;
  if (!element.GetSourceLocation(&location)) return "";
  return JoinLines(location.leading_comments.empty() ? location.trailing_comments : location.leading_comments);
}
template std::string CommentOf(const pb::Descriptor&);
template std::string CommentOf(const pb::FieldDescriptor&);
template std::string CommentOf(const pb::EnumValueDescriptor&);

std::string TypeText(const pb::FieldDescriptor& field) {
  if (field.is_map()) {
    return absl::StrCat("map of ", OneType(*field.message_type()->map_key()), " to ", OneType(*field.message_type()->map_value()));
  }
  return absl::StrCat(field.is_repeated() ? "list of " : "", OneType(field));
}

std::string ApiReference(const ApiDocs& docs) {
  std::string out =
      "# API reference\n\nMade from the protos by `gatehousectl explain --markdown`; what to change is their comments. Fields in files have "
      "the names they have here.\n\n";
  const std::vector<const pb::FileDescriptor*> files = docs.Files();
  absl::StrAppend(&out, "## Services\n\n");
  for (const pb::FileDescriptor* file : files) {
    for (int i = 0; i < file->service_count(); ++i) AppendService(*file->service(i), &out);
  }
  absl::StrAppend(&out, "## Messages\n\n");
  for (const pb::FileDescriptor* file : files) {
    for (int i = 0; i < file->message_type_count(); ++i) AppendMessage(*file->message_type(i), 3, &out);
    for (int i = 0; i < file->enum_type_count(); ++i) AppendEnum(*file->enum_type(i), 3, &out);
  }
  while (absl::EndsWith(out, "\n\n")) out.pop_back();
  return out;
}

}  // namespace gatehouse::cli
