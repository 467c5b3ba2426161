#include "gateway/certs/server_credential.h"

#include <openssl/err.h>

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
  const auto* p = reinterpret_cast<const unsigned char*>(pfx.data());
  UniquePkcs12 bag(d2i_PKCS12(nullptr, &p, static_cast<long>(pfx.size())));
  if (bag == nullptr) {
    ERR_clear_error();
    return Wrong(name, "is not PKCS#12");
  }
  if (absl::Status cost = CheckPfxCost(*bag); !cost.ok()) return Wrong(name, cost.message());
  const std::string word(password.Reveal());
  EVP_PKEY* raw_key = nullptr;
  X509* raw_leaf = nullptr;
  STACK_OF(X509)* raw_rest = nullptr;
  const int parsed = PKCS12_parse(bag.get(), word.c_str(), &raw_key, &raw_leaf, &raw_rest);
  UniqueKey key(raw_key);
  UniqueX509 leaf(raw_leaf);
  UniqueX509Stack rest(raw_rest);
  if (parsed != 1) {
    ERR_clear_error();
    return Wrong(name, "PKCS#12 cannot be opened: the password is wrong or the file is damaged");
  }
  if (key == nullptr || leaf == nullptr)
    return Wrong(name, "PKCS#12 holds no key with its certificate");
  std::vector<CertificateRef> chain;
  absl::StatusOr<CertificateRef> first = Certificate::FromX509(leaf.get());
  if (!first.ok()) return Wrong(name, first.status().message());
  chain.push_back(*std::move(first));
  for (int i = 0; i < sk_X509_num(rest.get()); ++i) {
    absl::StatusOr<CertificateRef> next = Certificate::FromX509(sk_X509_value(rest.get(), i));
    if (!next.ok()) return Wrong(name, next.status().message());
    chain.push_back(*std::move(next));
  }
  // Programs write the others in any order.
  return Make(name, LeafFirst(std::move(chain)), std::move(key));
}

}  // namespace gatehouse::certs
