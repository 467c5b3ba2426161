#include "gateway/base/secret_box.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/base/digest.h"
#include "gateway/base/openssl.h"

namespace gatehouse {
namespace {

constexpr int kNonceBytes = 12;
constexpr int kTagBytes = 16;

using UniqueCipher = std::unique_ptr<EVP_CIPHER_CTX, OpenSslDeleter<EVP_CIPHER_CTX_free>>;

const uint8_t* Bytes(absl::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }
uint8_t* Bytes(std::string* text, size_t at) { return reinterpret_cast<uint8_t*>(text->data()) + at; }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status FileError(absl::string_view doing, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(doing, " ", path, ": ", std::strerror(errno)));
}

absl::StatusOr<Secret> ReadKey(int fd, const std::string& path) {
  struct stat info;
  if (fstat(fd, &info) != 0) return FileError("cannot look at", path);
  if (!S_ISREG(info.st_mode) || (info.st_mode & 077) != 0 || (info.st_uid != geteuid() && info.st_uid != 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " must be a file of mode 0600 that is yours; its mode is ", absl::StrFormat("%04o", info.st_mode & 07777),
                     " and it belongs to uid ", info.st_uid));
  }
  std::string key(SecretBox::kKeyBytes + 1, '\0');
  ssize_t n = read(fd, key.data(), key.size());
  if (n < 0) return FileError("cannot read", path);
  if (static_cast<size_t>(n) != SecretBox::kKeyBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " must hold ", SecretBox::kKeyBytes, " octets, it holds ", info.st_size));
  }
  key.resize(SecretBox::kKeyBytes);
  return Secret(std::move(key));
}

absl::Status SyncFolder(const std::string& path) {
  const size_t slash = path.rfind('/');
  Descriptor folder(open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(),
                         O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || fsync(folder.get()) != 0) return FileError("cannot sync the directory of", path);
  return absl::OkStatus();
}

// The whole file appears at once, or not at all.
absl::Status CreateKey(const std::string& path) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  unlink(temporary.c_str());
  Descriptor file(open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (file.get() < 0) return FileError("cannot create", temporary);
  const Secret key(RandomBytes(SecretBox::kKeyBytes));
  if (write(file.get(), key.Reveal().data(), key.size()) != static_cast<ssize_t>(key.size()) ||
      fsync(file.get()) != 0) {
    return FileError("cannot write", temporary);
  }
  // link(2) does not replace a key that another process made meanwhile.
  const bool linked = link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST;
  absl::Status result = linked ? absl::OkStatus() : FileError("cannot create", path);
  unlink(temporary.c_str());
  if (!linked) return result;
  return SyncFolder(path);
}

}  // namespace

std::string SecretBox::Seal(absl::string_view plain, absl::string_view place) const {
  std::string sealed = RandomBytes(kNonceBytes);
  sealed.resize(kNonceBytes + plain.size() + kTagBytes);
  UniqueCipher cipher(EVP_CIPHER_CTX_new());
  int n = 0;
  const bool ok =
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key_.Reveal()), Bytes(sealed)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &n, Bytes(place), static_cast<int>(place.size())) == 1 &&
      EVP_EncryptUpdate(cipher.get(), Bytes(&sealed, kNonceBytes), &n, Bytes(plain),
                        static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), Bytes(&sealed, kNonceBytes + plain.size()), &n) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes,
                          Bytes(&sealed, kNonceBytes + plain.size())) == 1;
  // Never a plain text in place of a sealed one.
  if (!ok) std::abort();
  return sealed;
}

absl::StatusOr<std::string> SecretBox::Open(absl::string_view sealed, absl::string_view place) const {
  if (sealed.size() < kNonceBytes + kTagBytes) return absl::DataLossError("a sealed value is cut short");
  const size_t size = sealed.size() - kNonceBytes - kTagBytes;
  std::string plain(size + 1, '\0');
  std::string tag(sealed.substr(kNonceBytes + size));
  UniqueCipher cipher(EVP_CIPHER_CTX_new());
  int n = 0;
  const bool ok =
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key_.Reveal()), Bytes(sealed)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &n, Bytes(place), static_cast<int>(place.size())) == 1 &&
      EVP_DecryptUpdate(cipher.get(), Bytes(&plain, 0), &n, Bytes(sealed) + kNonceBytes, static_cast<int>(size)) ==
          1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), Bytes(&plain, size), &n) == 1;
  if (!ok) {
    TakeOpenSslError();
    return absl::DataLossError("a sealed value does not open: it was damaged, moved, or sealed with another key");
  }
  plain.resize(size);
  return plain;
}

std::string SecretBox::Fingerprint() const {
  return HexLower(AsView(HmacSha256(key_.Reveal(), "gatehouse store key check")));
}

std::string SecretBox::KeyId() const { return HexLower(AsView(Sha256(key_.Reveal()))).substr(0, 16); }

absl::StatusOr<Secret> LoadKey(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() >= 0) return ReadKey(file.get(), path);
  if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("there is no key file ", path));
  return FileError("cannot open", path);
}

absl::Status ReplaceKey(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return FileError("cannot put the new key file in the place of", to);
  return SyncFolder(to);
}

absl::StatusOr<Secret> LoadOrCreateKey(const std::string& path) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    absl::StatusOr<Secret> key = LoadKey(path);
    if (key.ok() || !absl::IsNotFound(key.status())) return key;
    absl::Status created = CreateKey(path);
    if (!created.ok()) return created;
  }
  return absl::UnavailableError(absl::StrCat(path, " disappears as soon as it is made"));
}

}  // namespace gatehouse
