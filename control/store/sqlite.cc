#include "control/store/sqlite.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace gatehouse::store {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// 0600 before SQLite opens it: its log inherits that.
absl::Status PrepareDatabaseFile(const std::string& path) {
  const std::string folder = FolderOf(path);
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::FailedPreconditionError(absl::StrCat("cannot create ", folder, ": ", std::strerror(errno)));
  }
  struct stat info;
  if (stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(folder, " is not a directory"));
  }
  if ((info.st_mode & 022) != 0 || (info.st_uid != geteuid() && info.st_uid != 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder, " must be yours and not writable by others: chmod 0700 ", folder));
  }
  const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return absl::FailedPreconditionError(absl::StrCat("cannot open ", path, ": ", std::strerror(errno)));
  }
  const bool looked = fstat(fd, &info) == 0;
  close(fd);
  if (!looked || !S_ISREG(info.st_mode) || (info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, " must be a file of mode 0600: chmod 0600 ", path));
  }
  return absl::OkStatus();
}

}  // namespace gatehouse::store
