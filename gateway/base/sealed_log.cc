#include "gateway/base/sealed_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/fields.h"

namespace gatehouse {
namespace {

constexpr size_t kLengthBytes = 8;

absl::Status FileError(absl::string_view doing, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(doing, " ", path, ": ", std::strerror(errno)));
}

bool SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool ok = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  return ok;
}

}  // namespace

SealedLog::SealedLog(SealedLog&& other) noexcept
    : path_(std::move(other.path_)),
      place_(std::move(other.place_)),
      box_(std::move(other.box_)),
      fd_(std::exchange(other.fd_, -1)),
      records_(other.records_),
      bytes_(other.bytes_) {}

SealedLog::~SealedLog() {
  if (fd_ >= 0) close(fd_);
}

std::string SealedLog::PlaceOf(uint64_t number) const {
  std::string place;
  AppendField(&place, place_);
  AppendField(&place, number);
  return place;
}

absl::StatusOr<std::vector<std::string>> SealedLog::Load() const {
  std::vector<std::string> records;
  std::ifstream file(path_, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return records;
    return FileError("cannot read", path_);
  }
  std::ostringstream content;
  content << file.rdbuf();
  const std::string all = content.str();
  for (size_t at = 0; all.size() - at >= kLengthBytes;) {
    uint64_t size = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) size = size << 8 | static_cast<unsigned char>(all[at + i]);
    at += kLengthBytes;
    if (size > all.size() - at) break;
    absl::StatusOr<std::string> plain = box_.Open(absl::string_view(all).substr(at, size), PlaceOf(records.size()));
    if (!plain.ok()) {
      return absl::DataLossError(absl::StrCat(path_, ": record ", records.size(), ": ", plain.status().message()));
    }
    records.push_back(*std::move(plain));
    at += size;
  }
  return records;
}

absl::Status SealedLog::Append(absl::string_view plain) {
  if (fd_ < 0) {
    fd_ = open(path_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (fd_ < 0 || !SyncFolderOf(path_)) return FileError("cannot create", path_);
  }
  const std::string sealed = box_.Seal(plain, PlaceOf(records_));
  std::string record(kLengthBytes, '\0');
  for (size_t i = 0; i < kLengthBytes; ++i) record[i] = static_cast<char>(sealed.size() >> (56 - 8 * i));
  record += sealed;
  for (size_t at = 0; at < record.size();) {
    const ssize_t n = write(fd_, record.data() + at, record.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return FileError("cannot write", path_);
    at += static_cast<size_t>(n);
  }
  if (fdatasync(fd_) != 0) return FileError("cannot write", path_);
  ++records_;
  bytes_ += record.size();
  return absl::OkStatus();
}

void SealedLog::Drop() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  records_ = bytes_ = 0;
  unlink(path_.c_str());
}

}  // namespace gatehouse
