// explain: what kinds and fields mean, from the protos' own comments.
#include <algorithm>
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/api_docs.h"
#include "client/cli/commands.h"
#include "client/cli/style.h"
#include "client/yaml/kinds.h"

namespace gatehouse::cli {
namespace {

namespace pb = google::protobuf;

constexpr size_t kColumns = 100;
constexpr int kDeepest = 12;  // of --recursive: a condition holds conditions

// Breaks text between words; paragraphs stay apart.
void PrintWrapped(absl::string_view text, size_t indent, std::ostream& out) {
  const std::string margin(indent, ' ');
  bool first = true;
  for (absl::string_view paragraph : absl::StrSplit(text, "\n\n")) {
    if (!first) out << "\n";
    first = false;
    std::string line;
    for (absl::string_view word : absl::StrSplit(paragraph, ' ', absl::SkipEmpty())) {
      if (!line.empty() && indent + Width(line) + 1 + Width(word) > kColumns) {
        out << margin << line << "\n";
        line.clear();
      }
      absl::StrAppend(&line, line.empty() ? "" : " ", word);
    }
    if (!line.empty()) out << margin << line << "\n";
  }
}

std::string FirstSentence(absl::string_view text) {
  text = text.substr(0, text.find("\n\n"));
  const size_t end = text.find(". ");
  return std::string(end == absl::string_view::npos ? text : text.substr(0, end + 1));
}

// The message that a field holds and that has fields for people to look at; null otherwise.
const pb::Descriptor* Inside(const pb::FieldDescriptor& field) {
  const pb::FieldDescriptor* value = field.is_map() ? field.message_type()->map_value() : &field;
  if (value->type() != pb::FieldDescriptor::TYPE_MESSAGE) return nullptr;
  return value->message_type()->file()->package() == "gatehouse.v1" ? value->message_type() : nullptr;
}

std::string TextOf(const pb::FieldDescriptor& field) {
  const std::string file = client::FileNameOf(field);
  return absl::StrCat(CommentOf(field), file.empty() ? "" : absl::StrCat("\n\nConfiguration files may have `", file, ": PATH` instead."));
}

void PrintFields(const pb::Descriptor& message, const Style& style, std::ostream& out) {
  for (int i = 0; i < message.field_count(); ++i) {
    const pb::FieldDescriptor& field = *message.field(i);
    const pb::OneofDescriptor* choice = field.real_containing_oneof();
    out << "  " << style.Bold(field.name()) << "  " << style.Dim(absl::StrCat("<", TypeText(field), ">"))
        << (choice == nullptr ? "" : absl::StrCat("  (one of ", choice->name(), ")")) << "\n";
    PrintWrapped(TextOf(field), 4, out);
    out << "\n";
  }
}

void PrintTree(const pb::Descriptor& message, size_t depth, std::vector<const pb::Descriptor*>* above, const Style& style, std::ostream& out) {
  above->push_back(&message);
  for (int i = 0; i < message.field_count(); ++i) {
    const pb::FieldDescriptor& field = *message.field(i);
    out << std::string(2 * depth, ' ') << field.name() << "  " << style.Dim(absl::StrCat("<", TypeText(field), ">")) << "\n";
    const pb::Descriptor* inside = Inside(field);
    const bool again = inside != nullptr && std::find(above->begin(), above->end(), inside) != above->end();
    if (inside != nullptr && !again && depth < kDeepest) PrintTree(*inside, depth + 1, above, style, out);
  }
  above->pop_back();
}

int Unknown(Context& context, absl::string_view what, absl::string_view word, const std::vector<std::string>& known) {
  const std::string meant = client::Closest(word, known);
  return Fail(context, absl::InvalidArgumentError(absl::StrCat(
                           "no ", what, " named \"", word, "\"; ",
                           meant.empty() ? absl::StrCat("there are: ", absl::StrJoin(known, ", "))
                                         : absl::StrCat("did you mean \"", meant, "\"?"))));
}

}  // namespace

int ExplainFields(Context& context, const ExplainFieldsFlags& flags) {
  const ApiDocs& docs = ApiDocs::Get();
  const Style style(context.color);
  std::ostream& out = context.out();
  if (flags.markdown) {
    out << ApiReference(docs);
    return kOk;
  }
  std::vector<std::string> words;
  for (const client::KindName& kind : client::Kinds()) words.push_back(kind.word);
  if (flags.path.empty()) {
    std::vector<std::vector<std::string>> rows;
    for (const client::KindName& kind : client::Kinds()) {
      rows.push_back({kind.singular, kind.word, FirstSentence(CommentOf(*docs.Message(kind.singular)))});
    }
    PrintTable({"KIND", "WORD", "WHAT IT IS"}, rows, style, out);
    return kOk;
  }
  const std::vector<std::string> steps = absl::StrSplit(flags.path, '.');
  const std::optional<v1::Kind> kind = client::ParseKind(steps[0]);
  if (!kind.has_value()) return Unknown(context, "kind", steps[0], words);
  const pb::Descriptor* message = docs.Message(client::NameOf(*kind).singular);
  const pb::FieldDescriptor* field = nullptr;
  for (size_t i = 1; i < steps.size(); ++i) {
    if (message == nullptr) {
      return Fail(context, absl::InvalidArgumentError(absl::StrCat(field->name(), " holds no fields: it is <", TypeText(*field), ">")));
    }
    const pb::FieldDescriptor* next = message->FindFieldByName(steps[i]);
    if (next == nullptr) next = message->FindFieldByCamelcaseName(steps[i]);
    if (next == nullptr) {
      std::vector<std::string> known;
      for (int f = 0; f < message->field_count(); ++f) known.push_back(message->field(f)->name());
      return Unknown(context, absl::StrCat("field of ", message->name()), steps[i], known);
    }
    field = next;
    message = Inside(*field);
  }
  out << "KIND:   " << client::NameOf(*kind).singular << "\n";
  if (field != nullptr) out << "FIELD:  " << style.Bold(field->name()) << "  <" << TypeText(*field) << ">\n";
  out << "\n";
  if (field != nullptr) {
    PrintWrapped(TextOf(*field), 0, out);
    if (field->type() == pb::FieldDescriptor::TYPE_ENUM) {
      out << "\nVALUES:\n";
      for (int i = 1; i < field->enum_type()->value_count(); ++i) {
        out << "  " << style.Bold(field->enum_type()->value(i)->name()) << "\n";
        PrintWrapped(CommentOf(*field->enum_type()->value(i)), 4, out);
      }
    }
  }
  if (message == nullptr) return kOk;
  if (field != nullptr) out << "\n";
  PrintWrapped(CommentOf(*message), 0, out);
  out << "\nFIELDS:\n";
  if (flags.recursive) {
    std::vector<const pb::Descriptor*> above;
    PrintTree(*message, 1, &above, style, out);
  } else {
    PrintFields(*message, style, out);
  }
  return kOk;
}

}  // namespace gatehouse::cli
