#include "gateway/certs/revocation.h"

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"

namespace gatehouse::certs {

std::string Inquiry::Key() const {
  const std::string key = HexLower(AsView(issuer->spki_sha256()));
  if (kind == Kind::kCrl) return absl::StrCat("crl ", key, " ", url);
  return absl::StrCat("ocsp ", key, " ", HexLower(AsView(subject->sha256())), " ", url);
}

}  // namespace gatehouse::certs
