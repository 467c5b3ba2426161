#include "client/cli/context_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/input.h"
#include "client/cli/kind_flag.h"
#include "client/cli/output.h"
#include "client/yaml/kinds.h"
#include "client/yaml/reader.h"
#include "client/yaml/tree.h"
#include "gateway/base/escape.h"
#include "gateway/base/names.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

using client::TreeNode;

constexpr size_t kMaxBytes = 1u << 20;

absl::Status Wrong(const std::string& path, int line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(EscapeText(path), ":", line, ": ", what));
}

// Whoever may write the file chooses whom we speak to, and with which key.
absl::Status CheckOwner(const std::string& path, const struct stat& info) {
  if (info.st_uid != geteuid() && info.st_uid != 0) {
    return absl::FailedPreconditionError(absl::StrCat(EscapeText(path), " is not ours: it is not used"));
  }
  if ((info.st_mode & 022) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(EscapeText(path), " may be written by others: it is not used. chmod 600 ", EscapeText(path)));
  }
  return absl::OkStatus();
}

absl::Status ReadOne(const std::string& path, const TreeNode& node, ConnectionFlags* out) {
  if (node.kind != TreeNode::Kind::kMap) return Wrong(path, node.line, "a context holds server, ca, cert, key, …");
  const std::map<std::string, std::string*> texts = {{"server", &out->server},
                                                     {"ca", &out->tls.ca},
                                                     {"cert", &out->tls.certificate},
                                                     {"key", &out->tls.key},
                                                     {"tls_server_name", &out->tls.server_name}};
  for (size_t i = 0; i < node.keys.size(); ++i) {
    const std::string& key = node.keys[i]->text;
    const TreeNode& value = *node.items[i];
    if (value.kind != TreeNode::Kind::kScalar) return Wrong(path, value.line, absl::StrCat(EscapeText(key), ": a text is expected"));
    if (key == "insecure_loopback") {
      if (value.text != "true" && value.text != "false") return Wrong(path, value.line, "insecure_loopback: true or false");
      out->insecure_loopback = value.text == "true";
    } else if (auto it = texts.find(key); it != texts.end()) {
      *it->second = value.text;
    } else {
      return Wrong(path, node.keys[i]->line, absl::StrCat("no field \"", EscapeText(key), "\" in a context"));
    }
  }
  if (out->server.empty()) return Wrong(path, node.line, "server: required");
  return absl::OkStatus();
}

std::string Quoted(absl::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::string ContextFile::DefaultPath() {
  const char* base = std::getenv("XDG_CONFIG_HOME");
  if (base != nullptr && *base != '\0') return absl::StrCat(base, "/gatehouse/config.yaml");
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? "" : absl::StrCat(home, "/.config/gatehouse/config.yaml");
}

absl::StatusOr<ContextFile> ContextFile::Load(const std::string& path) {
  ContextFile file;
  file.path_ = path;
  struct stat info = {};
  if (path.empty() || stat(path.c_str(), &info) != 0) {
    if (path.empty() || errno == ENOENT || errno == ENOTDIR) return file;
    return absl::FailedPreconditionError(absl::StrCat(EscapeText(path), ": ", std::strerror(errno)));
  }
  GH_RETURN_IF_ERROR(CheckOwner(path, info));
  GH_ASSIGN_OR_RETURN(const std::string text, client::LoadFile(path, kMaxBytes));
  const client::Tree tree = client::ParseTree(text, 100'000, 8);
  if (!tree.errors.empty()) return Wrong(path, tree.errors[0].line, tree.errors[0].message);
  if (tree.documents.empty() || tree.documents[0]->kind == TreeNode::Kind::kNull) return file;
  const TreeNode& root = *tree.documents[0];
  if (tree.documents.size() > 1 || root.kind != TreeNode::Kind::kMap) return Wrong(path, root.line, "one document with current and contexts is expected");
  for (size_t i = 0; i < root.keys.size(); ++i) {
    const std::string& key = root.keys[i]->text;
    const TreeNode& value = *root.items[i];
    if (key == "current" && value.kind == TreeNode::Kind::kScalar) {
      file.current = value.text;
    } else if (key == "contexts" && value.kind == TreeNode::Kind::kMap) {
      for (size_t j = 0; j < value.keys.size(); ++j) {
        const std::string& name = value.keys[j]->text;
        if (!IsResourceId(name)) return Wrong(path, value.keys[j]->line, absl::StrCat("\"", EscapeText(name), "\" is no name of a context"));
        GH_RETURN_IF_ERROR(ReadOne(path, *value.items[j], &file.contexts[name]));
      }
    } else {
      return Wrong(path, root.keys[i]->line, absl::StrCat("\"", EscapeText(key), "\": current (a name) and contexts are expected"));
    }
  }
  return file;
}

absl::Status ContextFile::Save() const {
  if (path_.empty()) return absl::FailedPreconditionError("there is no place for the file of contexts: set XDG_CONFIG_HOME or HOME");
  std::string text;
  if (!current.empty()) absl::StrAppend(&text, "current: ", Quoted(current), "\n");
  if (!contexts.empty()) absl::StrAppend(&text, "contexts:\n");
  for (const auto& [name, one] : contexts) {
    absl::StrAppend(&text, "  ", Quoted(name), ":\n    server: ", Quoted(one.server), "\n");
    const std::pair<const char*, const std::string*> fields[] = {
        {"ca", &one.tls.ca}, {"cert", &one.tls.certificate}, {"key", &one.tls.key}, {"tls_server_name", &one.tls.server_name}};
    for (const auto& [field, value] : fields) {
      if (!value->empty()) absl::StrAppend(&text, "    ", field, ": ", Quoted(*value), "\n");
    }
    if (one.insecure_loopback) absl::StrAppend(&text, "    insecure_loopback: true\n");
  }
  const std::string folder = FolderOf(path_);
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), error);
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::InvalidArgumentError(absl::StrCat(EscapeText(folder), ": ", std::strerror(errno)));
  }
  return WriteFile(path_, text, true, true);
}

absl::StatusOr<ConnectionFlags> ContextFile::Find(const std::string& name) const {
  auto it = contexts.find(name);
  if (it != contexts.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [known, one] : contexts) names.push_back(known);
  const std::string meant = client::Closest(name, names);
  return absl::NotFoundError(absl::StrCat("no context named \"", name, "\"",
                                          meant.empty() ? "; `gatehousectl context list` lists them" : absl::StrCat("; did you mean \"", meant, "\"?")));
}

absl::StatusOr<ConnectionFlags> Resolve(const ConnectionFlags& flags) {
  if (!flags.server.empty() && !flags.context.empty()) {
    return absl::InvalidArgumentError("--server and --context exclude each other");
  }
  if (!flags.server.empty()) return flags;
  const char* environment = std::getenv("GATEHOUSE_SERVER");
  const bool named_by_environment = environment != nullptr && *environment != '\0';
  ConnectionFlags resolved = flags;
  if (flags.context.empty() && named_by_environment) {
    resolved.server = environment;
    return resolved;
  }
  GH_ASSIGN_OR_RETURN(const ContextFile file, ContextFile::Load(ContextFile::DefaultPath()));
  resolved.context = flags.context.empty() ? file.current : flags.context;
  if (resolved.context.empty()) {
    resolved.server = client::DefaultTarget();
    return resolved;
  }
  GH_ASSIGN_OR_RETURN(const ConnectionFlags stored, file.Find(resolved.context));
  resolved.server = stored.server;
  resolved.insecure_loopback = flags.insecure_loopback || stored.insecure_loopback;
  for (auto field : {&client::TlsFiles::ca, &client::TlsFiles::certificate, &client::TlsFiles::key, &client::TlsFiles::server_name}) {
    if ((resolved.tls.*field).empty()) resolved.tls.*field = stored.tls.*field;
  }
  return resolved;
}

}  // namespace gatehouse::cli
