#include "gateway/certs/revocation.h"

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"

namespace gatehouse::certs {

Sha256Digest StatusIdOf(const Certificate& subject, const Certificate& issuer) {
  const unsigned char* name = nullptr;
  size_t name_size = 0;
  std::string id(AsView(issuer.spki_sha256()));
  if (X509_NAME_get0_der(X509_get_issuer_name(subject.x509()), &name, &name_size) == 1) {
    absl::StrAppend(&id, AsView(Sha256(absl::string_view(reinterpret_cast<const char*>(name), name_size))));
  }
  return Sha256(absl::StrCat(id, subject.serial_hex_integer()));
}

std::string Inquiry::Key() const {
  if (kind == Kind::kCrl) return absl::StrCat("crl ", HexLower(AsView(issuer->spki_sha256())), " ", url);
  return absl::StrCat("ocsp ", HexLower(AsView(StatusIdOf(*subject, *issuer))), " ", url);
}

}  // namespace gatehouse::certs
