#include "gateway/remote/snapshot_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
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

absl::Status SyncFolder(const std::string& folder) {
  int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && fsync(fd) == 0;
  absl::Status status = ok ? absl::OkStatus() : FileError("cannot sync", folder);
  if (fd >= 0) close(fd);
  return status;
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
  return SnapshotFile(folder, SecretBox(std::move(key)));
}

absl::StatusOr<SavedSnapshot> SnapshotFile::Load() const {
  const std::string path = absl::StrCat(folder_, kFile);
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("there is no ", path));
    return FileError("cannot read", path);
  }
  std::ostringstream sealed;
  sealed << file.rdbuf();
  absl::StatusOr<std::string> plain = box_.Open(sealed.str(), kPlace);
  if (!plain.ok()) return absl::DataLossError(absl::StrCat(path, ": ", plain.status().message()));
  v1::SnapshotChunk chunk;
  SavedSnapshot saved;
  if (!chunk.ParseFromString(*plain) || !saved.set.ParseFromString(chunk.data())) {
    return absl::DataLossError(absl::StrCat(path, ": is not a snapshot of this version"));
  }
  if (chunk.digest() != AsView(config::IndexOf(saved.set).digest)) {
    return absl::DataLossError(absl::StrCat(path, ": the content does not have the digest that it says"));
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
  const std::string sealed = box_.Seal(chunk.SerializeAsString(), kPlace);
  const std::string path = absl::StrCat(folder_, kFile);
  const std::string temporary = absl::StrCat(path, ".new");
  unlink(temporary.c_str());
  int fd = open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("cannot create", temporary);
  bool ok = true;
  for (size_t at = 0; ok && at < sealed.size();) {
    ssize_t n = write(fd, sealed.data() + at, sealed.size() - at);
    if (n < 0 && errno == EINTR) continue;
    ok = n > 0;
    at += ok ? static_cast<size_t>(n) : 0;
  }
  ok = ok && fsync(fd) == 0;
  absl::Status status = ok ? absl::OkStatus() : FileError("cannot write", temporary);
  close(fd);
  if (ok && rename(temporary.c_str(), path.c_str()) != 0) status = FileError("cannot rename to", path);
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(folder_);
}

void SnapshotFile::Drop() const { unlink(absl::StrCat(folder_, kFile).c_str()); }

}  // namespace gatehouse::remote
