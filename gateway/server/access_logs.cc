#include "gateway/server/access_logs.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/base/steady.h"

namespace gatehouse::server {
namespace {

// A slot keeps the memory of its line for the next, but not that of an unusually long one.
constexpr size_t kKeptLine = 2048;
// What is given to standard output in one call: a pipe that takes anything takes this without blocking (POSIX).
constexpr size_t kPiece = PIPE_BUF;
// A file without lines for so many turns is closed.
constexpr int kIdleTurns = 3000;
// At the end, for a reader of standard output.
constexpr absl::Duration kLastChance = absl::Seconds(1);

absl::Status Because(absl::string_view what) { return absl::FailedPreconditionError(absl::StrCat(what, ": ", std::strerror(errno))); }

absl::StatusOr<loop::Fd> Open(const std::string& path, struct stat* info) {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  loop::Fd fd(::open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0640));
  if (fd.valid()) {
    ::fchmod(fd.get(), 0640);  // whatever the umask is
  } else if (errno == EEXIST) {
    fd = loop::Fd(::open(path.c_str(), kFlags));
  }
  if (!fd.valid()) return Because("cannot be opened");
  if (::fstat(fd.get(), info) != 0) return Because("cannot be looked at");
  if (!S_ISREG(info->st_mode)) return absl::FailedPreconditionError("is no regular file");
  if (info->st_nlink > 1) return absl::FailedPreconditionError("has other names (hard links): it may be another program's");
  return fd;
}

}  // namespace

AccessLogs::AccessLogs(Options options) : options_(std::move(options)) {
  for (size_t i = 0; i < options_.workers; ++i) rings_.push_back(std::make_unique<SpscRing<Slot>>(options_.capacity));
}

AccessLogs::~AccessLogs() { Stop(); }

void AccessLogs::Start() {
  thread_ = std::thread([this] { Run(); });
}

void AccessLogs::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void AccessLogs::Run() {
  for (;;) {
    bool last;
    {
      MutexLock lock(&mutex_);
      if (!stopping_) wake_.WaitFor(&mutex_, options_.period);
      last = stopping_;
    }
    WriteOnce();
    if (!last) continue;
    auto output = targets_.find("");
    for (const SteadyTime until = SteadyAfter(kLastChance);
         output != targets_.end() && !output->second.pending.empty() && SteadyNow() < until;) {
      pollfd ready{options_.standard_output, POLLOUT, 0};
      ::poll(&ready, 1, 100);
      WriteStandardOutput(&output->second);
    }
    return;
  }
}

absl::Status AccessLogs::Use(const config::Snapshot& snapshot) {
  std::set<std::string> tried;
  const auto check = [&](const config::AccessLogRef& log, absl::string_view list, absl::string_view name) -> absl::Status {
    if (log == nullptr || log->file.empty() || !tried.insert(log->file).second) return absl::OkStatus();
    struct stat info;
    absl::StatusOr<loop::Fd> fd = Open(log->file, &info);
    if (fd.ok()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(list, "[\"", name, "\"].access_log.file: ", EscapeText(log->file), " ", fd.status().message()));
  };
  for (const config::Listener& listener : snapshot.listeners) {
    if (absl::Status status = check(listener.access_log, "listeners", listener.name); !status.ok()) return status;
  }
  for (const config::Route& route : snapshot.route_list()) {
    if (absl::Status status = check(route.access_log, "routes", route.name); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string* AccessLogs::Begin(size_t worker, const config::AccessLogRef& log) {
  Slot* slot = rings_[worker]->Slot();
  if (slot == nullptr) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  slot->log = log;
  slot->text.clear();
  return &slot->text;
}

void AccessLogs::Commit(size_t worker) { rings_[worker]->Publish(); }

void AccessLogs::Append(Slot* slot) {
  Target& target = targets_[slot->log->file];
  target.idle = 0;
  if (slot->log->file.empty() && target.pending.size() + slot->text.size() > options_.max_pending) {
    lost_.fetch_add(1, std::memory_order_relaxed);
  } else {
    target.pending += slot->text;
    ++target.lines;
  }
  slot->log.reset();
  if (slot->text.capacity() > kKeptLine) slot->text = std::string();
}

void AccessLogs::WriteOnce() {
  for (auto& ring : rings_) {
    const size_t n = ring->Filled();
    for (size_t i = 0; i < n; ++i) Append(&ring->Front(i));
    ring->Release(n);
  }
  for (auto it = targets_.begin(); it != targets_.end();) {
    Target& target = it->second;
    if (target.pending.empty()) {
      it = ++target.idle > kIdleTurns ? targets_.erase(it) : std::next(it);
      continue;
    }
    if (it->first.empty()) {
      WriteStandardOutput(&target);
    } else {
      WriteFile(it->first, &target);
    }
    ++it;
  }
}

void AccessLogs::Lose(Target* target, const std::string& path, const std::string& why) {
  lost_.fetch_add(std::exchange(target->lines, 0), std::memory_order_relaxed);
  target->pending.clear();
  if (!std::exchange(target->failed, true) && options_.on_notice) {
    options_.on_notice(absl::StrCat("access log ", path.empty() ? "on standard output" : EscapeText(path), " ", why), true);
  }
}

void AccessLogs::WriteFile(const std::string& path, Target* target) {
  struct stat now;
  const bool there = ::lstat(path.c_str(), &now) == 0 && now.st_dev == target->device && now.st_ino == target->inode;
  if (!target->fd.valid() || !there) {
    absl::StatusOr<loop::Fd> fd = Open(path, &now);
    if (!fd.ok()) {
      target->fd = loop::Fd();
      return Lose(target, path, std::string(fd.status().message()));
    }
    target->fd = *std::move(fd);
    target->device = now.st_dev;
    target->inode = now.st_ino;
    target->broken_line = false;
  }
  if (std::exchange(target->broken_line, false)) target->pending.insert(target->pending.begin(), '\n');
  absl::string_view rest = target->pending;
  while (!rest.empty()) {
    const ssize_t n = ::write(target->fd.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const std::string why = absl::StrCat("cannot be written: ", std::strerror(errno));
      target->broken_line = rest.size() != target->pending.size() && target->pending[target->pending.size() - rest.size() - 1] != '\n';
      const auto kept = static_cast<uint64_t>(
          std::count(target->pending.begin(), target->pending.end() - static_cast<std::ptrdiff_t>(rest.size()), '\n'));
      written_.fetch_add(std::min(kept, target->lines), std::memory_order_relaxed);
      target->lines -= std::min(kept, target->lines);
      return Lose(target, path, why);
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
  written_.fetch_add(std::exchange(target->lines, 0), std::memory_order_relaxed);
  target->pending.clear();
  if (std::exchange(target->failed, false) && options_.on_notice) {
    options_.on_notice(absl::StrCat("access log ", EscapeText(path), " is written again"), false);
  }
}

void AccessLogs::WriteStandardOutput(Target* target) {
  absl::string_view rest = target->pending;
  uint64_t lines = 0;
  while (!rest.empty()) {
    pollfd ready{options_.standard_output, POLLOUT, 0};
    if (::poll(&ready, 1, 0) <= 0) break;
    const ssize_t n = ::write(options_.standard_output, rest.data(), std::min(rest.size(), kPiece));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return Lose(target, "", absl::StrCat("cannot be written: ", std::strerror(errno)));
    lines += static_cast<uint64_t>(std::count(rest.begin(), rest.begin() + n, '\n'));
    rest.remove_prefix(static_cast<size_t>(n));
  }
  written_.fetch_add(lines, std::memory_order_relaxed);
  target->lines -= std::min(target->lines, lines);
  target->pending.erase(0, target->pending.size() - rest.size());
}

void AccessLogs::AddMetrics(metrics::Registry* registry) const {
  registry->AddSource(metrics::SourceType::kCounter, "gatehouse_access_log_lines_total", "Lines written to access logs.", {},
                      [this] { return static_cast<double>(written()); });
  registry->AddSource(metrics::SourceType::kCounter, "gatehouse_access_log_lost_total",
                      "Lines lost because the writer was behind or the log could not be written.", {},
                      [this] { return static_cast<double>(lost()); });
}

}  // namespace gatehouse::server
