// context list, use, set, delete, show.
#include <filesystem>
#include <ostream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/context_file.h"
#include "client/cli/kind_flag.h"
#include "client/cli/style.h"
#include "gateway/base/escape.h"
#include "gateway/base/names.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

// Files are found from wherever the command is run later.
std::string Absolute(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

// Loads the file, has it changed, and writes it back.
template <typename Change>
int Edit(Context& context, Change change) {
  absl::StatusOr<ContextFile> file = ContextFile::Load(ContextFile::DefaultPath());
  if (!file.ok()) return Fail(context, file.status());
  absl::StatusOr<std::string> told = change(*file);
  if (!told.ok()) return Fail(context, told.status());
  if (absl::Status saved = file->Save(); !saved.ok()) return Fail(context, saved);
  context.out() << *told << "\n";
  return kOk;
}

}  // namespace

int ListContexts(Context& context, const ContextFlags&) {
  absl::StatusOr<ContextFile> file = ContextFile::Load(ContextFile::DefaultPath());
  if (!file.ok()) return Fail(context, file.status());
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, one] : file->contexts) {
    rows.push_back({name == file->current ? "*" : "", name, EscapeText(one.server), EscapeText(one.tls.certificate)});
  }
  if (rows.empty()) {
    context.err() << "there are none; `gatehousectl context set NAME --server …` makes one\n";
    return kOk;
  }
  PrintTable({" ", "NAME", "SERVER", "CERTIFICATE"}, rows, Style(context.color), context.out());
  return kOk;
}

int UseContext(Context& context, const ContextFlags& flags) {
  return Edit(context, [&](ContextFile& file) -> absl::StatusOr<std::string> {
    GH_ASSIGN_OR_RETURN(const ConnectionFlags found, file.Find(flags.name));
    file.current = flags.name;
    return absl::StrCat("context ", flags.name, " is used from now on: ", EscapeText(found.server));
  });
}

int SetContext(Context& context, const ContextFlags& flags) {
  if (!IsResourceId(flags.name)) {
    Fail(context, absl::InvalidArgumentError(absl::StrCat(
                      "\"", flags.name, "\" is no name of a context: a letter, then letters, digits, '.', '_' and '-', at most 63")));
    return kUsage;
  }
  return Edit(context, [&](ContextFile& file) -> absl::StatusOr<std::string> {
    ConnectionFlags one = flags.connection;
    for (std::string* path : {&one.tls.ca, &one.tls.certificate, &one.tls.key}) *path = Absolute(*path);
    if (absl::StartsWith(one.server, "unix:")) one.server = absl::StrCat("unix:", Absolute(one.server.substr(5)));
    for (const std::string* text : {&one.server, &one.tls.ca, &one.tls.certificate, &one.tls.key, &one.tls.server_name}) {
      if (EscapeText(*text) != *text) return absl::InvalidArgumentError(absl::StrCat("\"", *text, "\": no control characters and no backslashes"));
    }
    // What could not be connected to is told now, and not when it is used.
    GH_RETURN_IF_ERROR(client::ParseTarget(one.server, one.tls, one.insecure_loopback).status());
    const bool known = file.contexts.count(flags.name) != 0;
    file.contexts[flags.name] = std::move(one);
    if (flags.use || file.contexts.size() == 1) file.current = flags.name;
    return absl::StrCat("context ", flags.name, known ? " changed" : " made", file.current == flags.name ? ", and used" : "");
  });
}

int DeleteContext(Context& context, const ContextFlags& flags) {
  return Edit(context, [&](ContextFile& file) -> absl::StatusOr<std::string> {
    GH_RETURN_IF_ERROR(file.Find(flags.name).status());
    file.contexts.erase(flags.name);
    const bool used = file.current == flags.name;
    if (used) file.current.clear();
    return absl::StrCat("context ", flags.name, " deleted", used ? "; none is used now" : "");
  });
}

int ShowContext(Context& context, const ContextFlags& flags) {
  ConnectionFlags asked = context.connection;
  if (!flags.name.empty()) asked.context = flags.name;
  absl::StatusOr<ConnectionFlags> found = Resolve(asked);
  if (!found.ok()) return Fail(context, found.status());
  std::ostream& out = context.out();
  if (!found->context.empty()) out << "context          " << EscapeText(found->context) << "\n";
  out << "server           " << EscapeText(found->server) << "\n";
  if (!found->tls.ca.empty()) out << "ca               " << EscapeText(found->tls.ca) << "\n";
  if (!found->tls.certificate.empty()) out << "cert             " << EscapeText(found->tls.certificate) << "\n";
  if (!found->tls.key.empty()) out << "key              " << EscapeText(found->tls.key) << "\n";
  if (!found->tls.server_name.empty()) out << "tls-server-name  " << EscapeText(found->tls.server_name) << "\n";
  return kOk;
}

}  // namespace gatehouse::cli
