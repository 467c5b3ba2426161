#include "gateway/events/json_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/message_json.h"
#include "gatehouse/v1/event_service.pb.h"

namespace gatehouse::events {
namespace {

constexpr std::chrono::milliseconds kLook{250};
constexpr absl::Duration kGrace = absl::Seconds(2);
constexpr size_t kWriteBytes = 64 * 1024;  // lines are put together until there is so much
constexpr size_t kPipeBytes = 4096;  // PIPE_BUF: after POLLOUT a pipe takes as many without waiting

void AppendLine(const v1::Event& event, std::string* out) {
  if (!AppendMessageJson(event, out)) out->append(R"({"detail":"an event could not be printed"})");
  out->push_back('\n');
}

}  // namespace

absl::StatusOr<std::unique_ptr<JsonLog>> JsonLog::Open(JsonLogOptions options, const Clock& clock) {
  std::unique_ptr<JsonLog> log(new JsonLog(std::move(options), clock));
  if (absl::Status opened = log->OpenFile(); !opened.ok()) return opened;
  log->thread_ = std::thread([l = log.get()] { l->Run(); });
  return log;
}

JsonLog::~JsonLog() {
  Stop();
  if (fd_ > STDOUT_FILENO) close(fd_);
}

void JsonLog::Add(std::shared_ptr<const std::string> wire, size_t events) {
  MutexLock lock(&mutex_);
  if (stopping_ || waiting_bytes_ + wire->size() > options_.max_waiting_bytes) {
    lost_ += events;
    untold_ += events;
    return;
  }
  waiting_bytes_ += wire->size();
  queue_.push_back({std::move(wire), events});
  if (queue_.size() == 1) wake_.SignalOne();
}

void JsonLog::Stop() {
  {
    MutexLock lock(&mutex_);
    if (!stopping_) stop_by_ = SteadyAfter(kGrace);
    stopping_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

uint64_t JsonLog::lost() const {
  MutexLock lock(&mutex_);
  return lost_;
}

std::string JsonLog::MetricsText() const {
  constexpr char kName[] = "gatehouse_event_log_lost_lines_total";
  return absl::StrCat("# HELP ", kName, " Lines that the log of events could not take.\n# TYPE ", kName, " counter\n", kName, " ", lost(), "\n");
}

bool JsonLog::Stopped(SteadyTime* until) const {
  MutexLock lock(&mutex_);
  *until = stop_by_;
  return stopping_;
}

void JsonLog::Lost(uint64_t lines) {
  MutexLock lock(&mutex_);
  lost_ += lines;
  untold_ += lines;
}

void JsonLog::Run() {
  for (;;) {
    Waiting waiting;
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && queue_.empty()) wake_.Wait(&mutex_);
      if (queue_.empty()) return;
      waiting = queue_.front();
    }
    WriteBatch(waiting);
    MutexLock lock(&mutex_);
    waiting_bytes_ -= waiting.wire->size();
    queue_.pop_front();
  }
}

void JsonLog::WriteBatch(const Waiting& waiting) {
  absl::Status status = OpenFile();
  uint64_t untold = 0;
  {
    MutexLock lock(&mutex_);
    untold = std::exchange(untold_, 0);
  }
  v1::WatchResponse batch;
  if (!batch.ParseFromString(*waiting.wire)) batch.Clear();
  if (status.ok() && untold != 0) {
    v1::Event gap;
    gap.set_type(v1::Event::GAP);
    gap.set_outcome(v1::Event::NOTICE);
    gap.set_missed(untold);
    gap.set_detail("lines of this log were lost: it could not be written, or not fast enough");
    const absl::Time now = clock_.Now();
    gap.mutable_time()->set_seconds(absl::ToUnixSeconds(now));
    gap.mutable_time()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(now - absl::FromUnixSeconds(absl::ToUnixSeconds(now)))));
    const v1::Event* const events[] = {&gap};
    WriteLines(events, &status);
  }
  if (!status.ok()) {
    MutexLock lock(&mutex_);
    untold_ += untold;
  }
  const std::vector<const v1::Event*> events(batch.events().pointer_begin(), batch.events().pointer_end());
  const size_t written = status.ok() ? WriteLines(events, &status) : 0;
  const size_t left = waiting.events - std::min(waiting.events, written);
  if (left > 0) Lost(left);
  if (status.ok() == failing_) {
    failing_ = !status.ok();
    if (options_.trouble) options_.trouble(std::string(status.message()));
  }
}

absl::Status JsonLog::OpenFile() {
  if (options_.path == "-") {
    fd_ = STDOUT_FILENO;
    return absl::OkStatus();
  }
  const SteadyTime now = SteadyNow();
  if (fd_ >= 0 && now - looked_ < kLook) return absl::OkStatus();
  looked_ = now;
  struct stat named;
  struct stat ours;
  if (fd_ >= 0 && stat(options_.path.c_str(), &named) == 0 && fstat(fd_, &ours) == 0 && named.st_ino == ours.st_ino &&
      named.st_dev == ours.st_dev) {
    return absl::OkStatus();
  }
  if (fd_ >= 0) close(fd_);
  // Not to wait for somebody who reads a FIFO.
  fd_ = open(options_.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
  if (fd_ < 0) {
    return absl::FailedPreconditionError(absl::StrCat(options_.path, ": cannot be opened: ", std::strerror(errno)));
  }
  regular_ = fstat(fd_, &ours) == 0 && S_ISREG(ours.st_mode);
  torn_ = false;
  return absl::OkStatus();
}

size_t JsonLog::WriteLines(absl::Span<const v1::Event* const> events, absl::Status* status) {
  size_t written = 0;
  for (size_t next = 0; status->ok() && next < events.size();) {
    // What is left of a line that was cut stays on a line of its own.
    text_.clear();
    if (torn_) text_.push_back('\n');
    ends_.clear();
    while (next < events.size() && text_.size() < kWriteBytes) {
      AppendLine(*events[next++], &text_);
      ends_.push_back(text_.size());
    }
    size_t octets = 0;
    *status = WriteAll(text_, &octets);
    if (octets > 0) torn_ = text_[octets - 1] != '\n';
    written += static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), octets) - ends_.begin());
  }
  return written;
}

absl::Status JsonLog::WriteAll(absl::string_view text, size_t* octets) {
  while (!text.empty()) {
    if (!regular_) {
      pollfd poll_for{fd_, POLLOUT, 0};
      SteadyTime until;
      const int ready = poll(&poll_for, 1, 100);
      if (ready == 0 || (ready < 0 && errno == EINTR)) {
        if (Stopped(&until) && SteadyNow() >= until) return absl::DeadlineExceededError(absl::StrCat(options_.path, ": nobody reads it"));
        continue;
      }
    }
    const ssize_t n = write(fd_, text.data(), regular_ ? text.size() : std::min(text.size(), kPipeBytes));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return absl::UnavailableError(absl::StrCat(options_.path, ": cannot be written: ", std::strerror(errno)));
    text.remove_prefix(static_cast<size_t>(n));
    *octets += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

}  // namespace gatehouse::events
