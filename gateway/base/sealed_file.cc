#include "gateway/base/sealed_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace gatehouse {
namespace {

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

absl::StatusOr<std::string> SealedFile::Load() const {
  std::ifstream file(path_, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("there is no ", path_));
    return FileError("cannot read", path_);
  }
  std::ostringstream sealed;
  sealed << file.rdbuf();
  absl::StatusOr<std::string> plain = box_.Open(sealed.str(), place_);
  if (!plain.ok()) return absl::DataLossError(absl::StrCat(path_, ": ", plain.status().message()));
  return plain;
}

absl::Status SealedFile::Save(absl::string_view plain) const {
  const std::string sealed = box_.Seal(plain, place_);
  const std::string temporary = absl::StrCat(path_, ".new");
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
  if (ok && rename(temporary.c_str(), path_.c_str()) != 0) status = FileError("cannot rename to", path_);
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  const size_t slash = path_.rfind('/');
  return SyncFolder(slash == std::string::npos ? "." : path_.substr(0, slash + 1));
}

void SealedFile::Drop() const { unlink(path_.c_str()); }

std::string SealedFile::PutAside() const {
  std::string aside = absl::StrCat(path_, ".damaged");
  rename(path_.c_str(), aside.c_str());
  return aside;
}

}  // namespace gatehouse
