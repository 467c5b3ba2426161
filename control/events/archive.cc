#include "control/events/archive.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/steady.h"
#include "gateway/base/status.h"

namespace gatehouse::hub {
namespace {

constexpr uint64_t kWriteAtOnce = 4 * 1024 * 1024;  // octets in one transaction
constexpr uint64_t kWriteEarly = 1024 * 1024;       // so much does not wait for the period's end
constexpr absl::Duration kLook = absl::Milliseconds(5);  // of a reader's turn

constexpr absl::string_view kOlder = " and a new one begun: older events are in that file only";
constexpr absl::string_view kMeanwhile = "; what comes is kept in memory for a while, then lost and counted";

uint64_t SizeOf(const Stretch& stretch) { return stretch.batch == nullptr ? 0 : stretch.batch->wire.size(); }

}  // namespace

std::unique_ptr<Archive> Archive::Open(ArchiveOptions options, const Clock& clock) {
  std::unique_ptr<Archive> archive(new Archive(std::move(options), clock));
  absl::Status status = archive->OpenFile(1);
  // From 2 on: what was before is gone, and a reader is to know that.
  if (absl::IsDataLoss(status)) status = archive->Replace(status, 2);
  MutexLock lock(&archive->mutex_);
  if (!status.ok()) {
    archive->file_ = nullptr;
    archive->incarnation_ = HexLower(RandomBytes(8));
    archive->next_ = archive->written_ = archive->bounds_.first = archive->bounds_.audit_first = 2;
    archive->failing_ = true;
    archive->error_ = std::string(status.message());
    archive->early_notices_.push_back(absl::StrCat(status.message(), "; it is tried again", kMeanwhile));
    return archive;
  }
  archive->incarnation_ = archive->file_->incarnation();
  archive->next_ = archive->file_->next();
  archive->began_ = true;
  archive->Settle();
  return archive;
}

Archive::~Archive() { Stop(); }

absl::Status Archive::OpenFile(uint64_t next) {
  ArchiveFile::Options file;
  file.path = options_.path;
  file.vfs = options_.vfs;
  file.max_bytes = std::max(options_.max_bytes, ArchiveOptions::kLeastBytes);
  file.max_age = options_.max_age;
  file.incarnation = incarnation_;  // empty: what the file has
  file.next = next;
  GH_ASSIGN_OR_RETURN(file_, ArchiveFile::Open(std::move(file), clock_.Now()));
  GH_ASSIGN_OR_RETURN(runs_, file_->Runs());
  return absl::OkStatus();
}

absl::Status Archive::Replace(const absl::Status& damage, uint64_t next) {
  file_ = nullptr;
  damage_ = damage;
  const absl::Time now = clock_.Now();
  GH_RETURN_IF_ERROR(ArchiveFile::SetAside(options_.path, "damaged", now));
  damage_ = absl::OkStatus();
  std::string text =
      absl::StrCat(damage.message(), "; it was set aside as ", ArchiveFile::AsideName(options_.path, "damaged", now), kOlder);
  if (thread_.joinable()) {
    Notice(std::move(text));
  } else {
    early_notices_.push_back(std::move(text));
  }
  return OpenFile(next);
}

void Archive::Remove() {
  file_ = nullptr;
  for (const char* companion : {"", "-wal", "-shm"}) std::remove(absl::StrCat(options_.path, companion).c_str());
}

absl::Status Archive::Begin() {
  file_ = nullptr;
  const absl::Status status = OpenFile(written_);
  if (absl::IsDataLoss(status)) return Replace(status, written_);
  if (!status.ok()) return status;
  if (file_->incarnation() != incarnation_) {
    file_->Close().IgnoreError();
    file_ = nullptr;
    const absl::Time now = clock_.Now();
    GH_RETURN_IF_ERROR(ArchiveFile::SetAside(options_.path, "before", now));
    Notice(absl::StrCat("the one that could not be opened at the start was set aside as ",
                        ArchiveFile::AsideName(options_.path, "before", now), kOlder));
    return OpenFile(written_);
  }
  if (file_->next() == written_) return absl::OkStatus();
  Remove();  // ours, of an attempt that failed half-way
  return OpenFile(written_);
}

void Archive::Start() {
  for (std::string& text : early_notices_) Notice(std::move(text));
  early_notices_.clear();
  thread_ = std::thread([this] { Run(); });
}

void Archive::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    asked_.clear();
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Archive::Notice(std::string text) {
  if (options_.notice) options_.notice(absl::StrCat("archive of events: ", text));
}

void Archive::Add(BatchRef batch) {
  const uint64_t bytes = batch->wire.size();
  const bool audit = (batch->types & TypeBit(v1::Event::AUDIT)) != 0;
  MutexLock lock(&mutex_);
  if (stopping_) {
    lost_ += batch->ends.size();
    return;
  }
  if (waiting_bytes_ + bytes > options_.max_waiting_bytes * (audit ? 2 : 1)) {
    lost_ += batch->ends.size();
    if (waiting_.empty() || waiting_.back().batch != nullptr) waiting_.push_back(Stretch{nullptr, batch->first, batch->first, true});
    waiting_.back().next = batch->next();
    return;
  }
  waiting_bytes_ += bytes;
  NoteRoom();
  const bool wake = waiting_.empty() || (waiting_bytes_ >= kWriteEarly && waiting_bytes_ - bytes < kWriteEarly);
  waiting_.push_back(Stretch{std::move(batch)});
  if (wake) wake_.SignalOne();
}

void Archive::Ask(Wanted wanted, Answer answer) {
  MutexLock lock(&mutex_);
  if (stopping_) return;
  asked_.emplace_back(std::move(wanted), std::move(answer));
  wake_.SignalAll();
}

ArchiveBounds Archive::bounds() const {
  MutexLock lock(&mutex_);
  return bounds_;
}

v1::ArchiveStatus Archive::status() const {
  MutexLock lock(&mutex_);
  v1::ArchiveStatus status;
  status.set_events(bounds_.events);
  status.set_bytes(bounds_.bytes);
  if (bounds_.oldest_micros != 0) SetTime(absl::FromUnixMicros(bounds_.oldest_micros), status.mutable_oldest());
  status.set_lost(lost_);
  status.set_error(error_);
  return status;
}

uint64_t Archive::waiting() const {
  MutexLock lock(&mutex_);
  return waiting_.empty() ? 0 : waiting_.back().end() - waiting_.front().begin();
}

void Archive::Settle() {
  if (file_ == nullptr) return;
  written_ = file_->next();
  while (!waiting_.empty() && waiting_.front().end() <= written_) {
    waiting_bytes_ -= SizeOf(waiting_.front());
    waiting_.pop_front();
  }
  // A hole may have grown while it was written.
  if (!waiting_.empty() && waiting_.front().begin() < written_) waiting_.front().first = written_;
  bounds_ = file_->bounds();
  NoteRoom();
}

absl::Duration Archive::Pause() const {
  if (!failing_) return options_.period;
  return file_ == nullptr ? pause_ : options_.retry;
}

void Archive::Run() {
  SteadyTime next_write = SteadyAfter(Pause());
  for (;;) {
    std::pair<Wanted, Answer> asked;
    bool write = false;
    bool stop = false;
    {
      MutexLock lock(&mutex_);
      const auto due = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return SteadyNow() >= next_write || (!failing_ && waiting_bytes_ >= kWriteEarly);
      };
      while (!stopping_ && asked_.empty() && !due()) {
        // With nothing to write only limits of age pass.
        next_write = waiting_.empty() && !failing_ ? std::max(next_write, SteadyAfter(options_.idle))
                                                   : std::min(next_write, SteadyAfter(Pause()));
        wake_.WaitFor(&mutex_, Until(next_write));
      }
      if (!asked_.empty()) {
        asked = std::move(asked_.front());
        asked_.pop_front();
      }
      stop = stopping_;
      write = stop || due();
    }
    if (write) {
      Write();
      next_write = SteadyAfter(Pause());
    }
    if (asked.second && asked.first.filter.use_count() > 1) Reply(asked.first, asked.second);
    if (!stop) continue;
    {
      MutexLock lock(&mutex_);
      if (!waiting_.empty() && !failing_) continue;
    }
    if (file_ != nullptr && !failing_) file_->Close().IgnoreError();
    return;
  }
}

void Archive::Write() {
  std::vector<Stretch> stretches;
  bool began = true;
  {
    MutexLock lock(&mutex_);
    began = began_;
    uint64_t bytes = 0;
    for (const Stretch& stretch : waiting_) {
      if (bytes > 0 && bytes + SizeOf(stretch) > kWriteAtOnce) break;
      bytes += SizeOf(stretch);
      stretches.push_back(stretch);
    }
  }
  absl::Status status = absl::OkStatus();
  if (!damage_.ok()) {
    status = Replace(absl::Status(damage_), written_);
  } else if (!began) {
    status = Begin();
    if (!status.ok()) file_ = nullptr;
  } else if (file_ == nullptr) {
    Remove();
    status = OpenFile(written_);
  }
  pause_ = file_ != nullptr ? options_.retry : std::min(2 * pause_, options_.most_retry);
  if (status.ok()) status = file_->Append(stretches, clock_.Now());
  if (absl::IsDataLoss(status)) status = Replace(status, file_ == nullptr ? written_ : file_->next());
  if (!status.ok()) Failed(status);
  bool well = false;
  {
    MutexLock lock(&mutex_);
    began_ = began_ || file_ != nullptr;
    Settle();
    if (status.ok()) {
      error_.clear();
      well = std::exchange(failing_, false);
    }
  }
  if (well) Notice("it takes events again");
}

void Archive::Failed(const absl::Status& status) {
  bool first = false;
  {
    MutexLock lock(&mutex_);
    error_ = std::string(status.message());
    first = !std::exchange(failing_, true);
  }
  if (first) Notice(absl::StrCat(status.message(), kMeanwhile));
}

// The first stretch that waits and ends behind the place.
Found Archive::LookInQueue(const Wanted& wanted) {
  Found found;
  found.next = wanted.from;
  MutexLock lock(&mutex_);
  const auto at = std::upper_bound(waiting_.begin(), waiting_.end(), wanted.from,
                                   [](uint64_t from, const Stretch& stretch) { return from < stretch.end(); });
  if (at == waiting_.end()) return found;
  found.next = at->end();
  if (at->batch != nullptr && wanted.from >= at->begin()) {
    found.batch = at->batch;
    return found;
  }
  if (at->batch != nullptr) found.next = at->begin();
  found.gap = true;
  found.missed = found.next - wanted.from;
  return found;
}

void Archive::Reply(const Wanted& wanted, const Answer& answer) {
  Found found;
  found.next = wanted.from;
  if (file_ != nullptr && wanted.from < file_->next()) {
    absl::StatusOr<Found> read = file_->Read(wanted, kLook);
    if (read.ok()) {
      found = *std::move(read);
    } else if (absl::IsDataLoss(read.status())) {
      const absl::Status status = Replace(read.status(), written_);
      if (!status.ok()) Failed(status);
      MutexLock lock(&mutex_);
      Settle();
    } else {
      Failed(read.status());
      // Not to be read: a gap up to what waits.
      found = Found{file_->next(), nullptr, true, file_->next() - wanted.from};
    }
  }
  if (found.next == wanted.from) found = LookInQueue(wanted);
  answer(std::move(found));
}

}  // namespace gatehouse::hub
