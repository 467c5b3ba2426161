// export: the configuration as files that apply takes back.
#include <algorithm>
#include <filesystem>
#include <ostream>
#include <set>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/kind_flag.h"
#include "client/cli/output.h"
#include "client/yaml/kinds.h"
#include "client/yaml/reader.h"
#include "client/yaml/writer.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/names.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<v1::ExportRequest> RequestOf(const ExportFlags& flags) {
  v1::ExportRequest request;
  for (const std::string& word : flags.kinds) {
    GH_ASSIGN_OR_RETURN(v1::Kind kind, KindFlag(word));
    request.add_kinds(kind);
  }
  GH_ASSIGN_OR_RETURN(const client::Labels labels, LabelFlags(flags.labels));
  request.mutable_labels()->insert(labels.begin(), labels.end());
  request.set_revision(flags.revision);
  return request;
}

// A file for each resource: DIRECTORY/routes/orders.yaml. What is the same already is left alone.
class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}

  absl::Status Write(const v1::Resource& resource) {
    const std::string name = client::NameOf(resource);
    // What would be a path elsewhere is nothing that a server of ours sends.
    if (!IsResourceId(name)) return absl::DataLossError(absl::StrCat("the server sent a resource named \"", name, "\": nothing more is written"));
    const std::string folder = absl::StrCat(path_, "/", client::NameOf(client::KindOf(resource)).plural);
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return absl::InvalidArgumentError(absl::StrCat(EscapeText(folder), ": ", error.message()));
    const std::string file = absl::StrCat(folder, "/", name, ".yaml");
    const std::string text = client::ToYaml(resource);
    kept_.insert(file);
    ++written_;
    absl::StatusOr<std::string> before = fs::is_regular_file(fs::symlink_status(file, error)) ? Read(file) : std::string();
    if (before.ok() && *before == text) return absl::OkStatus();
    ++changed_;
    return WriteFile(file, text, false, true);
  }
  // Deletes files of these kinds that are of no resource any more.
  absl::Status Prune(const std::vector<v1::Kind>& kinds) {
    for (const v1::Kind kind : kinds) {
      std::error_code error;
      for (fs::directory_iterator it(absl::StrCat(path_, "/", client::NameOf(kind).plural), error), end; !error && it != end; it.increment(error)) {
        const std::string file = it->path().string();
        if (it->path().extension() != ".yaml" || kept_.count(file) != 0) continue;
        std::error_code failed;
        if (!fs::remove(it->path(), failed)) return absl::InvalidArgumentError(absl::StrCat(EscapeText(file), ": ", failed.message()));
        ++removed_;
      }
    }
    return absl::OkStatus();
  }
  std::string Told() const {
    return absl::StrCat(written_, written_ == 1 ? " resource" : " resources", ", ", changed_, " changed, ", removed_, " removed");
  }

 private:
  static absl::StatusOr<std::string> Read(const std::string& file) { return client::LoadFile(file, 256u << 20); }

  const std::string path_;
  std::set<std::string> kept_;
  size_t written_ = 0, changed_ = 0, removed_ = 0;
};

}  // namespace

int Export(Context& context, const ExportFlags& flags) {
  const absl::StatusOr<v1::ExportRequest> request = RequestOf(flags);
  absl::Status wrong = request.status();
  if (wrong.ok() && flags.prune && flags.folder.empty()) wrong = absl::InvalidArgumentError("--prune is of use with --directory only");
  if (wrong.ok() && flags.prune && !flags.labels.empty()) {
    wrong = absl::InvalidArgumentError("--prune and --label exclude each other: files of resources without the label would go");
  }
  if (!wrong.ok()) {
    Fail(context, wrong);
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return Fail(context, client.status());
  Folder folder(flags.folder);
  bool first = true;
  const auto exported = (*client)->Export(*request, [&](v1::ConfigSet part) -> absl::Status {
    for (const v1::Resource& resource : client::Split(part)) {
      if (!flags.folder.empty()) {
        GH_RETURN_IF_ERROR(folder.Write(resource));
      } else {
        context.out() << (first ? "" : "---\n") << client::ToYaml(resource);
        first = false;
      }
    }
    return context.out() ? absl::OkStatus() : OutputLost();
  });
  if (!exported.ok()) return Fail(context, exported.status());
  const std::string digest = HexLower(exported->digest);
  if (flags.folder.empty()) {
    context.out() << "# revision " << exported->revision << ", SHA-256 " << digest << "\n";
    return kOk;
  }
  if (flags.prune) {
    std::vector<v1::Kind> kinds;
    for (const client::KindName& kind : client::Kinds()) {
      const bool asked = request->kinds().empty()
                             ? kind.kind != v1::BINDING
                             : std::find(request->kinds().begin(), request->kinds().end(), kind.kind) != request->kinds().end();
      if (asked) kinds.push_back(kind.kind);
    }
    if (absl::Status pruned = folder.Prune(kinds); !pruned.ok()) return Fail(context, pruned);
  }
  context.out() << "revision " << exported->revision << ": " << folder.Told() << ", SHA-256 " << digest << "\n";
  return kOk;
}

}  // namespace gatehouse::cli
