#include "gateway/certs/revocation.h"

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"

namespace gatehouse::certs {

std::string Inquiry::Key() const {
  if (kind == Kind::kCrl) return absl::StrCat("crl ", url);
  return absl::StrCat("ocsp ", HexLower(AsView(issuer->spki_sha256())), " ",
                      HexLower(AsView(subject->sha256())), " ", url);
}

}  // namespace gatehouse::certs
