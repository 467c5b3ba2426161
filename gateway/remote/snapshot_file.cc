#include "gateway/remote/snapshot_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"
#include "gateway/config/build_set.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::remote {
namespace {

constexpr char kFile[] = "/snapshot.sealed";
constexpr char kPlace[] = "gatehouse-gateway snapshot 1";  // bound to the seal: no other sealed value passes for one

absl::Status FileError(absl::string_view doing, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(doing, " ", path, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<SnapshotFile> SnapshotFile::Open(const std::string& folder, const std::string& key_file) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return FileError("cannot make", folder);
  struct stat info;
  if (lstat(folder.c_str(), &info) != 0) return FileError("cannot look at", folder);
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 022) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder, " must be a directory of ours that nobody else may write to"));
  }
  GH_ASSIGN_OR_RETURN(Secret key, LoadOrCreateKey(key_file.empty() ? absl::StrCat(folder, "/snapshot.key") : key_file));
  return SnapshotFile(SealedFile(absl::StrCat(folder, kFile), kPlace, SecretBox(std::move(key))));
}

absl::StatusOr<SavedSnapshot> SnapshotFile::Load() const {
  GH_ASSIGN_OR_RETURN(const std::string plain, file_.Load());
  v1::SnapshotChunk chunk;
  SavedSnapshot saved;
  if (!chunk.ParseFromString(plain) || !saved.set.ParseFromString(chunk.data())) {
    return absl::DataLossError(absl::StrCat(file_.path(), ": is not a snapshot of this version"));
  }
  if (chunk.digest() != AsView(config::IndexOf(saved.set).digest)) {
    return absl::DataLossError(absl::StrCat(file_.path(), ": the content does not have the digest that it says"));
  }
  saved.revision = chunk.revision();
  saved.incarnation = chunk.incarnation();
  return saved;
}

absl::Status SnapshotFile::Save(const SavedSnapshot& snapshot) const {
  v1::SnapshotChunk chunk;
  chunk.set_revision(snapshot.revision);
  chunk.set_incarnation(snapshot.incarnation);
  chunk.set_digest(std::string(AsView(config::IndexOf(snapshot.set).digest)));
  chunk.set_data(snapshot.set.SerializeAsString());
  chunk.set_last(true);
  return file_.Save(chunk.SerializeAsString());
}

void SnapshotFile::Drop() const { file_.Drop(); }

}  // namespace gatehouse::remote
