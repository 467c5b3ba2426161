#include "client/cli/man.h"

#include <CLI/CLI.hpp>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/api_docs.h"
#include "client/yaml/kinds.h"

namespace gatehouse::cli {
namespace {

namespace pb = google::protobuf;

const auto kAll = [](const CLI::App*) { return true; };

std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  std::vector<const CLI::App*> commands;
  for (const CLI::App* command : app.get_subcommands(kAll)) {
    if (!command->get_group().empty()) commands.push_back(command);
  }
  return commands;
}

std::string Header(absl::string_view name, int section, absl::string_view date, absl::string_view version) {
  return absl::StrCat(".TH ", absl::AsciiStrToUpper(name), " ", section, " \"", date, "\" \"Gatehouse ", version, "\" \"Gatehouse manual\"\n");
}

std::string NameSection(absl::string_view name, absl::string_view what) {
  return absl::StrCat(".SH NAME\n", ManText(name), " \\- ", ManText(what), "\n");
}

// `\fB--label\fR \fIKEY=VALUE\fR`
std::string OptionTitle(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back(absl::StrCat("\\fB", ManText("-" + name), "\\fR"));
  for (const std::string& name : option.get_lnames()) names.push_back(absl::StrCat("\\fB", ManText("--" + name), "\\fR"));
  if (option.get_positional()) names.assign(1, absl::StrCat("\\fI", ManText(option.get_name(true)), "\\fR"));
  std::string title = absl::StrJoin(names, ", ");
  if (!option.get_positional() && option.get_items_expected_max() > 0) {
    const std::string type = option.get_type_name();
    const size_t open = type.find('{');
    const std::string value = open == std::string::npos ? "VALUE" : absl::StrReplaceAll(type.substr(open + 1, type.find('}') - open - 1), {{",", "|"}});
    absl::StrAppend(&title, " \\fI", ManText(value), "\\fR");
  }
  return title;
}

std::string Options(const CLI::App& command, bool positionals) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional() != positionals || option->get_group().empty()) continue;
    absl::StrAppend(&text, ".TP\n", OptionTitle(*option), "\n", ManText(option->get_description()),
                    option->get_required() ? " Required." : "", "\n");
  }
  return text;
}

std::string Synopsis(const CLI::App& command, const std::string& path) {
  std::string line = absl::StrCat("\\fB", ManText(path), "\\fR");
  if (!CommandsOf(command).empty()) return absl::StrCat(line, " \\fICOMMAND\\fR");
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name = absl::StrCat("\\fI", ManText(option->get_name(true)), "\\fR");
    const char* more = option->get_items_expected_max() > 1 ? " ..." : "";
    absl::StrAppend(&line, " ", option->get_required() ? "" : "[", name, more, option->get_required() ? "" : "]");
  }
  return absl::StrCat(line, " [\\fIflags\\fR]");
}

void AppendCommand(const CLI::App& command, const std::string& path, std::string* page) {
  absl::StrAppend(page, ".SS ", ManText(path), "\n", ManText(command.get_description()), ".\n.PP\n", Synopsis(command, path), "\n",
                  Options(command, true), Options(command, false));
  for (const CLI::App* below : CommandsOf(command)) AppendCommand(*below, absl::StrCat(path, " ", below->get_name()), page);
}

std::string CommandPage(const CLI::App& command, absl::string_view date, absl::string_view version) {
  const std::string name = absl::StrCat("gatehousectl-", command.get_name());
  const std::string path = absl::StrCat("gatehousectl ", command.get_name());
  std::string page = absl::StrCat(Header(name, 1, date, version), NameSection(name, command.get_description()), ".SH SYNOPSIS\n",
                                  Synopsis(command, path), "\n");
  const std::string options = absl::StrCat(Options(command, true), Options(command, false));
  if (!options.empty()) absl::StrAppend(&page, ".SH OPTIONS\n", options);
  const std::vector<const CLI::App*> below = CommandsOf(command);
  if (!below.empty()) absl::StrAppend(&page, ".SH COMMANDS\n");
  for (const CLI::App* one : below) AppendCommand(*one, absl::StrCat(path, " ", one->get_name()), &page);
  absl::StrAppend(&page, ".SH SEE ALSO\n.BR gatehousectl (1)\n");
  return page;
}

std::string MainPage(const CLI::App& app, absl::string_view date, absl::string_view version) {
  std::string page = absl::StrCat(Header("gatehousectl", 1, date, version),
                                  NameSection("gatehousectl", "command line client of the Gatehouse authentication gateway"),
                                  ".SH SYNOPSIS\n\\fBgatehousectl\\fR [\\fIflags\\fR] \\fICOMMAND\\fR\n.SH COMMANDS\n");
  for (const CLI::App* command : CommandsOf(app)) {
    absl::StrAppend(&page, ".TP\n.BR gatehousectl\\-", ManText(command->get_name()), " (1)\n", ManText(command->get_description()), "\n");
  }
  absl::StrAppend(&page, ".SH OPTIONS\n", Options(app, false), ".SH EXIT STATUS\n", ManText(app.get_footer()), "\n.SH SEE ALSO\n");
  std::vector<std::string> others;
  for (const client::KindName& kind : client::Kinds()) others.push_back(absl::StrCat(".BR gatehouse\\-", ManText(kind.word), " (5)"));
  absl::StrAppend(&page, absl::StrJoin(others, ",\n"), "\n");
  return page;
}

std::string Paragraphs(absl::string_view comment) {
  std::vector<std::string> paragraphs;
  for (absl::string_view one : absl::StrSplit(comment, "\n\n")) paragraphs.push_back(ManText(one));
  return absl::StrJoin(paragraphs, "\n.PP\n");
}

// The message that a field holds and that is ours; null otherwise.
const pb::Descriptor* Inside(const pb::FieldDescriptor& field) {
  const pb::FieldDescriptor* value = field.is_map() ? field.message_type()->map_value() : &field;
  if (value->type() != pb::FieldDescriptor::TYPE_MESSAGE || value->message_type()->file()->package() != "gatehouse.v1") return nullptr;
  return value->message_type();
}

// Fields of a message, and once each of what they hold.
void AppendFields(const pb::Descriptor& message, std::vector<const pb::Descriptor*>* told, std::string* page) {
  for (int i = 0; i < message.field_count(); ++i) {
    const pb::FieldDescriptor& field = *message.field(i);
    const pb::OneofDescriptor* choice = field.real_containing_oneof();
    absl::StrAppend(page, ".TP\n\\fB", ManText(field.name()), "\\fR <", ManText(TypeText(field)), ">",
                    choice == nullptr ? "" : absl::StrCat(" (one of ", ManText(choice->name()), ")"), "\n", Paragraphs(CommentOf(field)), "\n");
    const pb::Descriptor* inside = Inside(field);
    if (inside != nullptr && std::find(told->begin(), told->end(), inside) == told->end()) told->push_back(inside);
    if (field.type() != pb::FieldDescriptor::TYPE_ENUM) continue;
    for (int v = 1; v < field.enum_type()->value_count(); ++v) {
      const pb::EnumValueDescriptor& value = *field.enum_type()->value(v);
      absl::StrAppend(page, ".RS\n.TP\n", ManText(value.name()), "\n", Paragraphs(CommentOf(value)), "\n.RE\n");
    }
  }
}

std::string KindPage(const client::KindName& kind, absl::string_view date, absl::string_view version) {
  const ApiDocs& docs = ApiDocs::Get();
  const pb::Descriptor& message = *docs.Message(kind.singular);
  const std::string name = absl::StrCat("gatehouse-", kind.word);
  std::string page = absl::StrCat(Header(name, 5, date, version), NameSection(name, absl::StrCat("fields of a ", kind.singular, " in a Gatehouse configuration")),
                                  ".SH DESCRIPTION\n", Paragraphs(CommentOf(message)), "\n.SH FIELDS\n");
  std::vector<const pb::Descriptor*> told = {&message};
  AppendFields(message, &told, &page);
  for (size_t i = 1; i < told.size(); ++i) {
    const pb::Descriptor& below = *told[i];
    absl::StrAppend(&page, ".SH ", ManText(absl::AsciiStrToUpper(below.name())), "\n");
    if (const std::string comment = CommentOf(below); !comment.empty()) absl::StrAppend(&page, Paragraphs(comment), "\n");
    AppendFields(below, &told, &page);
  }
  absl::StrAppend(&page, ".SH SEE ALSO\n.BR gatehousectl (1)\n");
  return page;
}

}  // namespace

std::string ManText(absl::string_view text) {
  std::string out;
  bool line_begins = true;
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c < 0x80) {
      out += static_cast<char>(c);
    } else {
      unsigned code = c & (c >= 0xF0 ? 0x07u : c >= 0xE0 ? 0x0Fu : 0x1Fu);
      size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
      for (size_t j = 1; j < length && i + j < text.size(); ++j) code = code << 6 | (static_cast<unsigned char>(text[i + j]) & 0x3Fu);
      absl::StrAppendFormat(&out, "\\[u%04X]", code);
      i += length;
      continue;
    }
    ++i;
  }
  return out;
}

std::map<std::string, std::string> ManPages(const CLI::App& app, absl::string_view date, absl::string_view version) {
  std::map<std::string, std::string> pages;
  pages["gatehousectl.1"] = MainPage(app, date, version);
  for (const CLI::App* command : CommandsOf(app)) {
    pages[absl::StrCat("gatehousectl-", command->get_name(), ".1")] = CommandPage(*command, date, version);
  }
  for (const client::KindName& kind : client::Kinds()) {
    pages[absl::StrCat("gatehouse-", kind.word, ".5")] = KindPage(kind, date, version);
  }
  return pages;
}

}  // namespace gatehouse::cli
