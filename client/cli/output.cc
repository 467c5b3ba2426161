#include "client/cli/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace gatehouse::cli {

absl::Status WriteFile(const std::string& path, absl::string_view content, bool secret, bool force) {
  auto failed = [&path](const char* what, int error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", what, ": ", std::strerror(error)));
  };
  const std::string partial = absl::StrCat(path, ".part-", getpid());
  int fd = open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, secret ? 0600 : 0644);
  if (fd < 0) return failed("cannot be written", errno);
  int error = 0;
  while (!content.empty() && error == 0) {
    ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno != EINTR) error = errno;
    if (n > 0) content.remove_prefix(static_cast<size_t>(n));
  }
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0) {
    // link refuses an existing name, rename replaces it.
    bool moved = force ? rename(partial.c_str(), path.c_str()) == 0 : link(partial.c_str(), path.c_str()) == 0;
    if (!moved) error = errno;
  }
  if (!force || error != 0) unlink(partial.c_str());
  if (error == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat(path, " exists already; --force replaces it"));
  }
  return error == 0 ? absl::OkStatus() : failed("cannot be written", error);
}

}  // namespace gatehouse::cli
