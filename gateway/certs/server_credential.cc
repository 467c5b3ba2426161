#include "gateway/certs/server_credential.h"

#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/bundle.h"
#include "gateway/certs/mint.h"
#include "gateway/certs/pkcs12.h"

namespace gatehouse::certs {
namespace {

absl::Status Wrong(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("server certificate \"", EscapeText(name), "\": ", what));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ServerCredential>> ServerCredential::Make(
    absl::string_view name, std::vector<CertificateRef> chain, UniqueKey key) {
  const Certificate& leaf = *chain.front();
  if (leaf.key() == nullptr || EVP_PKEY_eq(leaf.key(), key.get()) != 1) {
    ERR_clear_error();
    return Wrong(name, "private key does not match the certificate");
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    const int answer = X509_check_issued(chain[i]->x509(), chain[i - 1]->x509());
    ERR_clear_error();
    if (answer != X509_V_OK) {
      return Wrong(
          name, absl::StrCat("certificate ", i + 1, " of the chain (",
                             EscapeText(chain[i]->subject()), ") did not issue the one before it"));
    }
  }
  std::shared_ptr<ServerCredential> credential(new ServerCredential());
  credential->name_ = std::string(name);
  for (const San& san : leaf.sans()) {
    if (san.kind == SanKind::kDns)
      credential->dns_names_.push_back(absl::AsciiStrToLower(san.text));
  }
  std::vector<absl::string_view> ders;
  for (const CertificateRef& c : chain) ders.push_back(c->der());
  credential->version_ = Epoch(PresentedKey(ders));
  credential->chain_ = std::move(chain);
  credential->key_ = std::move(key);
  return std::shared_ptr<const ServerCredential>(std::move(credential));
}

absl::StatusOr<std::shared_ptr<const ServerCredential>> ServerCredential::FromPem(
    absl::string_view name, absl::string_view chain_pem, absl::string_view key_pem) {
  absl::StatusOr<std::vector<CertificateRef>> chain = Certificate::ListFromPem(chain_pem);
  if (!chain.ok()) return Wrong(name, absl::StrCat("certificate chain ", chain.status().message()));
  absl::StatusOr<UniqueKey> key = KeyFromPem(key_pem);
  if (!key.ok()) return Wrong(name, absl::StrCat("private key: ", key.status().message()));
  return Make(name, *std::move(chain), *std::move(key));
}

absl::StatusOr<std::shared_ptr<const ServerCredential>> ServerCredential::FromPfx(
    absl::string_view name, absl::string_view pfx, const Secret& password) {
  const UniquePkcs12 parsed = ParsePfx(pfx);
  if (parsed == nullptr) return Wrong(name, "is not PKCS#12");
  absl::StatusOr<PfxContent> content = OpenPfx(*parsed, password, PfxKeys::kRead);
  if (!content.ok()) return Wrong(name, content.status().message());
  const auto leaf = std::find_if(content->certificates.begin(), content->certificates.end(), [&](const UniqueX509& c) {
    const EVP_PKEY* wanted = X509_get0_pubkey(c.get());
    const auto its = std::find_if(content->keys.begin(), content->keys.end(), [wanted](const UniqueKey& key) {
      return wanted != nullptr && EVP_PKEY_eq(wanted, key.get()) == 1;
    });
    if (its != content->keys.end()) std::iter_swap(content->keys.begin(), its);
    return its != content->keys.end();
  });
  ERR_clear_error();
  if (leaf == content->certificates.end()) return Wrong(name, "PKCS#12 holds no key with its certificate");
  std::iter_swap(content->certificates.begin(), leaf);
  std::vector<CertificateRef> chain;
  for (const UniqueX509& certificate : content->certificates) {
    absl::StatusOr<CertificateRef> read = Certificate::FromX509(certificate.get());
    if (!read.ok()) return Wrong(name, read.status().message());
    chain.push_back(*std::move(read));
  }
  // Programs write the others in any order.
  return Make(name, LeafFirst(std::move(chain)), std::move(content->keys.front()));
}

}  // namespace gatehouse::certs
