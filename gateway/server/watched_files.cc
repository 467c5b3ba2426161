#include "gateway/server/watched_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"

namespace gatehouse::server {
namespace {

constexpr size_t kMaxEntries = 10'000;  // of one directory

absl::Status Failed(const std::string& path, int error) {
  const std::string text = absl::StrCat(EscapeText(path), ": ", std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(text);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(text);
  return absl::InvalidArgumentError(text);
}

// Names of the files that a directory stands for, sorted.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& path) {
  struct Close {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  std::unique_ptr<DIR, Close> folder(opendir(path.c_str()));
  if (folder == nullptr) return Failed(path, errno);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(folder.get());
    if (entry == nullptr && errno != 0) return Failed(path, errno);
    if (entry == nullptr) break;
    if (entry->d_name[0] == '.') continue;
    if (names.size() == kMaxEntries) {
      return absl::InvalidArgumentError(absl::StrCat(EscapeText(path), ": over ", kMaxEntries, " files"));
    }
    names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void AppendStamp(const std::string& path, bool descend, std::string* out) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    absl::StrAppend(out, path, " ", errno, "\n");
    return;
  }
  absl::StrAppend(out, path, " ", info.st_dev, " ", info.st_ino, " ", info.st_size, " ", info.st_mtim.tv_sec, ".",
                  info.st_mtim.tv_nsec, " ", info.st_ctim.tv_sec, ".", info.st_ctim.tv_nsec);
  absl::StrAppend(out, " ", info.st_mode, "\n");
  if (!descend || !S_ISDIR(info.st_mode)) return;
  absl::StatusOr<std::vector<std::string>> names = NamesIn(path);
  if (!names.ok()) {
    absl::StrAppend(out, names.status().message(), "\n");
    return;
  }
  for (const std::string& name : *names) AppendStamp(absl::StrCat(path, "/", name), false, out);
}

}  // namespace

WatchedFiles::WatchedFiles(absl::Duration period) : period_(period), thread_([this] { Run(); }) {}

WatchedFiles::~WatchedFiles() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  thread_.join();
}

void WatchedFiles::Watch(const std::string& id, std::vector<std::string> paths, Changed changed, absl::Duration anyway) {
  MutexLock lock(&mutex_);
  if (paths.empty() && anyway == absl::InfiniteDuration()) {
    groups_.erase(id);
    return;
  }
  Group& group = groups_[id];
  if (group.paths != paths) {
    group.seen.reset();
    group.told.reset();
  }
  group.paths = std::move(paths);
  group.changed = std::move(changed);
  group.due = anyway == absl::InfiniteDuration() ? std::nullopt : std::optional(SteadyAfter(anyway));
}

void WatchedFiles::Run() {
  for (;;) {
    std::map<std::string, std::vector<std::string>> look;
    {
      MutexLock lock(&mutex_);
      if (!stopping_) wake_.WaitFor(&mutex_, period_);
      if (stopping_) return;
      for (const auto& [id, group] : groups_) look[id] = group.paths;
    }
    for (const auto& [id, paths] : look) {
      std::string stamp;
      for (const std::string& path : paths) AppendStamp(path, true, &stamp);
      Changed changed;
      {
        MutexLock lock(&mutex_);
        if (stopping_) return;
        auto it = groups_.find(id);
        if (it == groups_.end() || it->second.paths != paths) continue;
        Group& group = it->second;
        const bool due = group.due && Until(*group.due) <= absl::ZeroDuration();
        const bool news = !paths.empty() && group.seen == stamp && group.told != stamp;
        if (news) group.told = stamp;
        if (due) group.due.reset();
        if (news || due) changed = group.changed;
        group.seen = std::move(stamp);
      }
      if (changed) changed();
    }
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  // A pipe or a device must not block us or pass for a file.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return Failed(path, errno);
  struct stat info;
  int error = ::fstat(fd, &info) != 0 ? errno : 0;
  std::string content;
  absl::Status refused;
  if (error == 0 && !S_ISREG(info.st_mode)) {
    refused = absl::InvalidArgumentError(absl::StrCat(EscapeText(path), ": is no regular file"));
  }
  if (error == 0 && refused.ok() && info.st_size > 0) {
    content.reserve(std::min(static_cast<size_t>(info.st_size), limit));  // doubling would take up to three times as much
  }
  char buffer[16 * 1024];
  while (error == 0 && refused.ok()) {
    const ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n == 0) break;
    if (n < 0) {
      if (errno != EINTR) error = errno;
      continue;
    }
    content.append(buffer, static_cast<size_t>(n));
    if (content.size() > limit) {
      refused = absl::InvalidArgumentError(absl::StrCat(EscapeText(path), ": over ", limit, " octets"));
    }
  }
  ::close(fd);
  GH_RETURN_IF_ERROR(refused);
  if (error != 0) return Failed(path, error);
  return content;
}

absl::StatusOr<std::vector<FileContent>> ReadFiles(const std::string& path, size_t limit, size_t folder_limit) {
  std::vector<FileContent> out;
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return Failed(path, errno);
  if (!S_ISDIR(info.st_mode)) {
    GH_ASSIGN_OR_RETURN(std::string content, ReadFile(path, limit));
    out.push_back({path, std::move(content)});
    return out;
  }
  GH_ASSIGN_OR_RETURN(std::vector<std::string> names, NamesIn(path));
  size_t total = 0;
  for (const std::string& name : names) {
    const std::string file = absl::StrCat(path, "/", name);
    if (::stat(file.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) continue;
    absl::StatusOr<std::string> content = ReadFile(file, limit);
    if (content.ok()) total += content->size();
    if (total > folder_limit) {
      return absl::InvalidArgumentError(absl::StrCat(EscapeText(path), ": over ", folder_limit, " octets together"));
    }
    out.push_back({file, std::move(content)});
  }
  return out;
}

}  // namespace gatehouse::server
