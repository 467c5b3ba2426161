#include "gateway/base/openssl.h"

#include <openssl/err.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace gatehouse {

std::string TakeOpenSslError() {
  const char* data = nullptr;
  int flags = 0;
  const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags);
  // That a name has no address is told by nothing but this.
  const std::string told = ERR_GET_REASON(code) == ERR_R_SYS_LIB && (flags & ERR_TXT_STRING) != 0 ? data : "";
  ERR_clear_error();
  if (code == 0) return "no error";
  if (!told.empty()) return told;
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
