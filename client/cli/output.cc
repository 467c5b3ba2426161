#include "client/cli/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {

namespace {

absl::Status Failed(const std::string& path, int error) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be written: ", std::strerror(error)));
}

// One file on its way: beside its place until it is put there, and what was there beside it until the end.
class Written {
 public:
  explicit Written(const OutputFile& file)
      : file_(file), partial_(absl::StrCat(file.path, ".part-", getpid())), before_(absl::StrCat(file.path, ".old-", getpid())) {}
  // Undoes what was not to stay.
  ~Written() {
    if (partial_there_) unlink(partial_.c_str());
    if (placed_ && kept_) rename(before_.c_str(), file_.path.c_str());
    if (placed_ && !kept_) unlink(file_.path.c_str());
    if (!placed_ && kept_) unlink(before_.c_str());
  }

  absl::Status Write() {
    int fd = open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, file_.secret ? 0600 : 0644);
    if (fd < 0) return Failed(file_.path, errno);
    partial_there_ = true;
    int error = 0;
    absl::string_view content = file_.content;
    while (!content.empty() && error == 0) {
      ssize_t n = write(fd, content.data(), content.size());
      if (n < 0 && errno != EINTR) error = errno;
      if (n > 0) content.remove_prefix(static_cast<size_t>(n));
    }
    if (close(fd) != 0 && error == 0) error = errno;
    return error == 0 ? absl::OkStatus() : Failed(file_.path, error);
  }

  // `last`: nothing that could fail comes after it.
  absl::Status Place(bool force, bool last) {
    const bool keep = force && !last;
    kept_ = keep && link(file_.path.c_str(), before_.c_str()) == 0;
    if (keep && !kept_ && errno != ENOENT) return Failed(file_.path, errno);
    // link refuses an existing name, rename replaces it.
    placed_ = (force ? rename(partial_.c_str(), file_.path.c_str()) : link(partial_.c_str(), file_.path.c_str())) == 0;
    if (!placed_ && errno == EEXIST) {
      return absl::AlreadyExistsError(absl::StrCat(file_.path, " exists already; --force replaces it"));
    }
    if (!placed_) return Failed(file_.path, errno);
    partial_there_ = !force;
    return absl::OkStatus();
  }

  void Stay() { placed_ = false; }

 private:
  const OutputFile& file_;
  const std::string partial_;
  const std::string before_;
  bool partial_there_ = false;
  bool kept_ = false;    // what was there is before_
  bool placed_ = false;  // and may have to go again
};

}  // namespace

absl::Status WriteFiles(const std::vector<OutputFile>& files, bool force) {
  std::deque<Written> written;
  for (const OutputFile& file : files) GH_RETURN_IF_ERROR(written.emplace_back(file).Write());
  for (Written& one : written) GH_RETURN_IF_ERROR(one.Place(force, &one == &written.back()));
  for (Written& one : written) one.Stay();
  return absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, absl::string_view content, bool secret, bool force) {
  return WriteFiles({{path, content, secret}}, force);
}

}  // namespace gatehouse::cli
