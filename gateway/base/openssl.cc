#include "gateway/base/openssl.h"

#include <openssl/err.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace gatehouse {

std::string TakeOpenSslError() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no error";
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : absl::StrCat("OpenSSL error ", code);
}

absl::Status OpenSslError(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", TakeOpenSslError()));
}

UniqueBio MemoryBio(absl::string_view bytes) {
  return UniqueBio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

}  // namespace gatehouse
