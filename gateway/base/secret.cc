#include "gateway/base/secret.h"

#include <openssl/crypto.h>

namespace gatehouse {

Secret::Secret(std::string&& bytes) : bytes_(bytes.data(), bytes.size()) {
  // Copied, not moved: a short string is copied by a move too, and the source must not keep it.
  if (!bytes.empty()) OPENSSL_cleanse(bytes.data(), bytes.size());
  bytes.clear();
}
// NOLINTNEXTLINE(performance-move-constructor-init,cert-oop11-cpp): as above
Secret::Secret(Secret&& other) noexcept : bytes_(other.bytes_) { other.Wipe(); }
Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe();
    bytes_ = other.bytes_;
    other.Wipe();
  }
  return *this;
}
Secret::~Secret() { Wipe(); }
void Secret::Wipe() {
  if (!bytes_.empty()) OPENSSL_cleanse(bytes_.data(), bytes_.size());
  bytes_.clear();
}

bool ConstantTimeEquals(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace gatehouse
