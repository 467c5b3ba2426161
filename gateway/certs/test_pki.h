// A small PKI minted in the test, and the verbs that tests of certificates use. For tests only.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "gateway/certs/mint.h"
#include "gateway/certs/options.h"
#include "gateway/certs/trust_store.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {

inline const absl::Time kTestNow = absl::FromUnixSeconds(1'800'000'000);

// KeyAt returns the n-th key of a fixed set, so that a test does not pay for keys again and again.
inline EVP_PKEY* KeyAt(size_t n) {
  static std::vector<UniqueKey>* const keys = new std::vector<UniqueKey>();
  while (keys->size() <= n) keys->push_back(*MintKey(KeyType::kP256));
  return (*keys)[n].get();
}

inline MintRequest Request(Profile profile, std::string subject) {
  MintRequest request;
  request.profile = profile;
  request.subject = std::move(subject);
  request.not_before = kTestNow - absl::Hours(24);
  request.not_after = kTestNow + absl::Hours(24 * 30);
  return request;
}

struct Authority {
  CertificateRef certificate;
  EVP_PKEY* key = nullptr;
  Signer signer() const { return {certificate.get(), key}; }
};

inline CertificateRef Make(const MintRequest& request, EVP_PKEY* key,
                           std::optional<Signer> signer = std::nullopt) {
  absl::StatusOr<CertificateRef> c = Mint(request, key, signer);
  EXPECT_TRUE(c.ok()) << c.status();
  return c.ok() ? *c : nullptr;
}
inline Authority Root(std::string subject, size_t key) {
  return {Make(Request(Profile::kCa, std::move(subject)), KeyAt(key)), KeyAt(key)};
}
inline Authority Sub(const Authority& parent, std::string subject, size_t key) {
  return {Make(Request(Profile::kIntermediate, std::move(subject)), KeyAt(key), parent.signer()),
          KeyAt(key)};
}
inline CertificateRef Leaf(const Authority& parent, std::string subject, size_t key = 9) {
  return Make(Request(Profile::kLeaf, std::move(subject)), KeyAt(key), parent.signer());
}
inline CertificateRef SelfSigned(std::string subject, size_t key = 9) {
  return Make(Request(Profile::kSelfSigned, std::move(subject)), KeyAt(key));
}

inline TrustStoreRef Store(const std::vector<CertificateRef>& anchors,
                           const std::vector<CertificateRef>& pins = {}) {
  TrustStoreInput input;
  input.name = "test";
  for (const CertificateRef& c : anchors) input.anchors_pem.push_back(c->ToPem());
  for (const CertificateRef& c : pins) input.pins.push_back({Pin::Kind::kCertificate, c->sha256()});
  std::vector<FieldError> errors;
  TrustStoreRef store = TrustStore::Create(input, &errors);
  for (const FieldError& e : errors) ADD_FAILURE() << e.field << ": " << e.message;
  return store;
}

}  // namespace gatehouse::certs
