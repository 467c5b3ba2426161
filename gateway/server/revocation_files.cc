#include "gateway/server/revocation_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/base/digest.h"
#include "gateway/base/fields.h"
#include "gateway/certs/crl.h"

namespace gatehouse::server {
namespace {

constexpr absl::string_view kMagic = "gatehouse-revocation-2\n";
constexpr absl::string_view kSuffix = ".answer";
constexpr absl::string_view kUnfinished = ".new";
constexpr size_t kMaxFiles = 10'000;
constexpr size_t kMaxFile = certs::kMaxCrlSize + 256 * 1024;

absl::Status FileError(absl::string_view doing, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(doing, " ", path, ": ", std::strerror(errno)));
}

std::string NameOf(const certs::Inquiry& inquiry, absl::string_view series) {
  std::string both;
  AppendField(&both, absl::string_view(inquiry.Key()));
  AppendField(&both, series);
  return absl::StrCat(HexLower(AsView(Sha256(both))), kSuffix);
}

std::string Encode(const StoredAnswer& answer) {
  std::string out(kMagic);
  AppendField(&out, static_cast<uint64_t>(answer.inquiry.kind));
  AppendField(&out, absl::string_view(answer.inquiry.url));
  AppendField(&out, absl::string_view(answer.series));
  AppendField(&out, absl::string_view(answer.inquiry.subject->der()));
  AppendField(&out, absl::string_view(answer.inquiry.issuer->der()));
  AppendField(&out, absl::string_view(answer.der));
  return out;
}

// Reads what AppendField wrote.
class Fields {
 public:
  explicit Fields(absl::string_view bytes) : rest_(bytes) {}
  uint64_t Number() {
    if (rest_.size() < 8) {
      ok_ = false;
      return 0;
    }
    uint64_t n = 0;
    for (size_t i = 0; i < 8; ++i) n |= uint64_t{static_cast<unsigned char>(rest_[i])} << (8 * i);
    rest_.remove_prefix(8);
    return n;
  }
  absl::string_view Text() {
    const uint64_t n = Number();
    if (!ok_ || n > rest_.size()) {
      ok_ = false;
      return {};
    }
    absl::string_view text = rest_.substr(0, static_cast<size_t>(n));
    rest_.remove_prefix(static_cast<size_t>(n));
    return text;
  }
  bool complete() const { return ok_ && rest_.empty(); }

 private:
  absl::string_view rest_;
  bool ok_ = true;
};

std::optional<StoredAnswer> Decode(absl::string_view bytes) {
  if (!absl::StartsWith(bytes, kMagic)) return std::nullopt;
  Fields fields(bytes.substr(kMagic.size()));
  const uint64_t kind = fields.Number();
  StoredAnswer out;
  out.inquiry.url = std::string(fields.Text());
  out.series = std::string(fields.Text());
  const absl::string_view subject = fields.Text(), issuer = fields.Text();
  out.der = std::string(fields.Text());
  if (!fields.complete() || kind > static_cast<uint64_t>(certs::Inquiry::Kind::kCrl)) return std::nullopt;
  out.inquiry.kind = static_cast<certs::Inquiry::Kind>(kind);
  absl::StatusOr<certs::CertificateRef> s = certs::Certificate::FromDer(subject);
  absl::StatusOr<certs::CertificateRef> i = certs::Certificate::FromDer(issuer);
  if (!s.ok() || !i.ok() || (*i)->key() == nullptr) return std::nullopt;
  out.inquiry.subject = *std::move(s);
  out.inquiry.issuer = *std::move(i);
  return out;
}

// The whole file, if it is a regular one of ours and not too big.
std::optional<std::string> ReadWhole(const std::string& path, struct stat* info) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  std::string bytes;
  bool ok = ::fstat(fd, info) == 0 && S_ISREG(info->st_mode) && info->st_uid == ::geteuid() &&
            static_cast<size_t>(info->st_size) <= kMaxFile;
  if (ok) bytes.resize(static_cast<size_t>(info->st_size));
  for (size_t at = 0; ok && at < bytes.size();) {
    ssize_t n = ::read(fd, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    ok = n > 0;
    at += ok ? static_cast<size_t>(n) : 0;
  }
  ::close(fd);
  if (!ok) return std::nullopt;
  return bytes;
}

// Only such names are ever removed: somebody may have named a directory that holds more than our answers.
bool IsOurs(absl::string_view name) {
  name = absl::StripSuffix(name, kUnfinished);
  return name.size() == 64 + kSuffix.size() && absl::EndsWith(name, kSuffix) &&
         std::all_of(name.begin(), name.begin() + 64, [](unsigned char c) { return absl::ascii_isxdigit(c); });
}

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> out;
  DIR* dir = ::opendir(directory.c_str());
  if (dir == nullptr) return out;
  while (dirent* entry = ::readdir(dir)) out.emplace_back(entry->d_name);
  ::closedir(dir);
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RevocationFiles>> RevocationFiles::Open(const std::string& directory,
                                                                       size_t max_bytes) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return FileError("cannot make", directory);
  struct stat info;
  if (::lstat(directory.c_str(), &info) != 0) return FileError("cannot look at", directory);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 022) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory, " must be a directory of ours that nobody else may write to"));
  }
  return std::unique_ptr<RevocationFiles>(new RevocationFiles(directory, max_bytes));
}

std::vector<StoredAnswer> RevocationFiles::Load() {
  MutexLock lock(&mutex_);
  std::vector<StoredAnswer> found;
  for (const std::string& name : NamesIn(directory_)) {
    if (!IsOurs(name)) continue;
    const std::string path = absl::StrCat(directory_, "/", name);
    struct stat info;
    std::optional<StoredAnswer> answer;
    if (absl::EndsWith(name, kSuffix)) {
      if (std::optional<std::string> bytes = ReadWhole(path, &info)) answer = Decode(*bytes);
    }
    if (!answer || NameOf(answer->inquiry, answer->series) != name || files_.size() >= kMaxFiles ||
        bytes_ + static_cast<size_t>(info.st_size) > max_bytes_) {
      ::unlink(path.c_str());
      continue;
    }
    answer->received = absl::TimeFromTimespec(info.st_mtim);
    files_[name] = {static_cast<size_t>(info.st_size), answer->received};
    bytes_ += static_cast<size_t>(info.st_size);
    found.push_back(*std::move(answer));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.received > b.received; });
  return found;
}

absl::Status RevocationFiles::Save(const StoredAnswer& answer) {
  const std::string bytes = Encode(answer);
  const std::string name = NameOf(answer.inquiry, answer.series);
  const std::string path = absl::StrCat(directory_, "/", name);
  const std::string temporary = absl::StrCat(path, kUnfinished);
  MutexLock lock(&mutex_);
  if (bytes.size() > max_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat(answer.inquiry.url, ": larger than the cache on disk"));
  }
  ::unlink(temporary.c_str());
  int fd = ::open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("cannot create", temporary);
  bool ok = true;
  for (size_t at = 0; ok && at < bytes.size();) {
    ssize_t n = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    ok = n > 0;
    at += ok ? static_cast<size_t>(n) : 0;
  }
  // When it came is the file's time.
  const timespec times[2] = {absl::ToTimespec(answer.received), absl::ToTimespec(answer.received)};
  ok = ok && ::futimens(fd, times) == 0;
  absl::Status status = ok ? absl::OkStatus() : FileError("cannot write", temporary);
  ::close(fd);
  // Not synced: what a crash garbles is found out when it is read, and fetched again.
  if (ok && ::rename(temporary.c_str(), path.c_str()) != 0) status = FileError("cannot rename to", path);
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  if (auto old = files_.find(name); old != files_.end()) bytes_ -= old->second.size;
  files_[name] = {bytes.size(), absl::InfiniteFuture()};  // not to be the one that makes room
  bytes_ += bytes.size();
  MakeRoomLocked();
  files_[name].received = answer.received;
  return absl::OkStatus();
}

void RevocationFiles::Renew(const certs::Inquiry& inquiry, absl::string_view series, absl::Time received) {
  const std::string name = NameOf(inquiry, series);
  MutexLock lock(&mutex_);
  auto it = files_.find(name);
  if (it == files_.end()) return;
  it->second.received = received;
  const timespec times[2] = {absl::ToTimespec(received), absl::ToTimespec(received)};
  ::utimensat(AT_FDCWD, absl::StrCat(directory_, "/", name).c_str(), times, AT_SYMLINK_NOFOLLOW);
}

void RevocationFiles::MakeRoomLocked() {
  while (!files_.empty() && (bytes_ > max_bytes_ || files_.size() > kMaxFiles)) {
    auto oldest = std::min_element(files_.begin(), files_.end(), [](const auto& a, const auto& b) {
      return a.second.received < b.second.received;
    });
    RemoveLocked(oldest->first);
  }
}

void RevocationFiles::Remove(const StoredAnswer& answer) {
  MutexLock lock(&mutex_);
  RemoveLocked(NameOf(answer.inquiry, answer.series));
}

void RevocationFiles::RemoveLocked(const std::string& name) {
  ::unlink(absl::StrCat(directory_, "/", name).c_str());
  auto it = files_.find(name);
  if (it == files_.end()) return;
  bytes_ -= it->second.size;
  files_.erase(it);
}

size_t RevocationFiles::bytes() const {
  MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace gatehouse::server
