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

struct Descriptor {
  explicit Descriptor(int fd_) : fd(fd_) {}
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int fd;
};

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
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
  const std::string before = absl::StrCat(path_, ".old");
  unlink(temporary.c_str());
  unlink(before.c_str());
  // Opened first: once the file is renamed, little is left that can fail.
  const std::string folder = FolderOf(path_);
  const Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd < 0) return FileError("cannot open", folder);
  absl::Status status = Write(temporary, sealed);
  const bool kept = status.ok() && link(path_.c_str(), before.c_str()) == 0;
  const bool first = status.ok() && !kept && errno == ENOENT;
  if (status.ok() && rename(temporary.c_str(), path_.c_str()) != 0) status = FileError("cannot rename to", path_);
  if (!status.ok()) {
    unlink(temporary.c_str());
    unlink(before.c_str());
    return status;
  }
  if (sync_(directory.fd) == 0) {
    unlink(before.c_str());
    return absl::OkStatus();
  }
  // Who reads the file next must not find what we say was not saved.
  status = FileError("cannot sync", folder);
  const bool restored = kept ? rename(before.c_str(), path_.c_str()) == 0 : first && unlink(path_.c_str()) == 0;
  if (restored && sync_(directory.fd) == 0) return status;
  return absl::UnavailableError(absl::StrCat(status.message(), "; what was to be saved may be there after a restart"));
}

absl::Status SealedFile::Write(const std::string& path, absl::string_view octets) const {
  const Descriptor file(open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (file.fd < 0) return FileError("cannot create", path);
  while (!octets.empty()) {
    const ssize_t n = write(file.fd, octets.data(), octets.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return FileError("cannot write", path);
    octets.remove_prefix(static_cast<size_t>(n));
  }
  return sync_(file.fd) == 0 ? absl::OkStatus() : FileError("cannot write", path);
}

void SealedFile::Drop() const { unlink(path_.c_str()); }

std::string SealedFile::PutAside() const {
  std::string aside = absl::StrCat(path_, ".damaged");
  rename(path_.c_str(), aside.c_str());
  return aside;
}

}  // namespace gatehouse
