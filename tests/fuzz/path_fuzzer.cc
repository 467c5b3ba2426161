// CanonicalPath: never crashes, is idempotent, and what it gives holds none of the forms that it promises to remove.
#include <cstdint>
#include <cstdlib>

#include "absl/strings/match.h"
#include "gateway/http/path.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gatehouse::http::CanonicalPath;
  absl::string_view raw(reinterpret_cast<const char*>(data), size);
  auto once = CanonicalPath(raw);
  gatehouse::http::ParseAuthority(raw).IgnoreError();
  if (!once.ok()) return 0;
  auto twice = CanonicalPath(*once);
  if (!twice.ok() || *twice != *once) abort();
  if ((*once)[0] != '/' || absl::StrContains(*once, "//") || absl::StrContains(*once, "/./") ||
      absl::StrContains(*once, "/../") || absl::EndsWith(*once, "/..") || absl::EndsWith(*once, "/.") ||
      absl::StrContains(*once, "%2F") || absl::StrContains(*once, "%00") || absl::StrContains(*once, "\\")) {
    abort();
  }
  if (gatehouse::http::IsPlainPath(raw) && *once != raw) abort();
  return 0;
}
