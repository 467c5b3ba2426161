#include "gateway/server/revocation_news.h"

#include "absl/algorithm/container.h"
#include "gateway/certs/crl_mint.h"
#include "gateway/certs/names.h"
#include "gateway/certs/revocation.h"

namespace gatehouse::server {
namespace {

absl::string_view IssuerDer(const certs::Certificate& certificate) {
  const unsigned char* der = nullptr;
  size_t size = 0;
  if (X509_NAME_get0_der(X509_get_issuer_name(certificate.x509()), &der, &size) != 1) return {};
  return absl::string_view(reinterpret_cast<const char*>(der), size);
}

}  // namespace

bool RevocationNews::Concerns(const certs::Verdict& verdict) const {
  if (verdict.outcome != certs::Outcome::kValid) {
    return verdict.reason == Reason::kRevoked || verdict.reason == Reason::kRevocationUnknown;
  }
  for (size_t i = 0; i < verdict.path.size(); ++i) {
    const certs::CertificateRef& certificate = verdict.path[i];
    const uint64_t issuer = certs::NameHash(X509_get_issuer_name(certificate->x509()));
    if (absl::c_linear_search(withdrawn, issuer)) return true;
    if (!revoked.empty() && i + 1 < verdict.path.size() &&
        absl::c_linear_search(revoked, certs::StatusIdOf(*certificate, *verdict.path[i + 1]))) {
      return true;
    }
    for (const std::weak_ptr<const certs::Crl>& news : lists) {
      const certs::CrlRef list = news.lock();
      if (list == nullptr) continue;
      if (!list->indirect() && list->issuer_hash() != issuer) continue;
      if (list->Find(IssuerDer(*certificate), certs::SerialOf(*certificate)).has_value()) return true;
    }
  }
  return false;
}

}  // namespace gatehouse::server
