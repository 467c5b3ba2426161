// Verbs for tests of revocation: lists and answers minted in the test, and a source that holds them. For tests only.
#pragma once

#include <gtest/gtest.h>
#include <openssl/conf.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gateway/certs/crl_mint.h"
#include "gateway/certs/ocsp_mint.h"
#include "gateway/certs/revocation.h"
#include "gateway/certs/test_pki.h"

namespace gatehouse::certs {

// An extension by OpenSSL's configuration text; `sections` may hold further sections that `value` refers to.
inline MintExtension ExtensionOf(const std::string& name, const std::string& value,
                                 const std::string& sections = "") {
  UniqueBio bio = MemoryBio(sections);
  CONF* conf = NCONF_new(nullptr);
  long line = 0;
  NCONF_load_bio(conf, bio.get(), &line);
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, nullptr, nullptr, nullptr, nullptr, 0);
  X509V3_set_nconf(&ctx, conf);
  X509_EXTENSION* extension = X509V3_EXT_nconf(conf, &ctx, name.c_str(), value.c_str());
  NCONF_free(conf);
  EXPECT_NE(extension, nullptr) << name << " = " << value << ": " << TakeOpenSslError();
  if (extension == nullptr) return {};
  const ASN1_OCTET_STRING* data = X509_EXTENSION_get_data(extension);
  MintExtension out{name, X509_EXTENSION_get_critical(extension) == 1,
                    std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(data)),
                                static_cast<size_t>(ASN1_STRING_length(data)))};
  X509_EXTENSION_free(extension);
  return out;
}

inline CertificateRef LeafWith(const Authority& parent, std::vector<MintExtension> extensions,
                               std::string subject = "CN=alice", size_t key = 9) {
  MintRequest request = Request(Profile::kLeaf, std::move(subject));
  request.extensions = std::move(extensions);
  return Make(request, KeyAt(key), parent.signer());
}

inline MintCrlEntry Revoked(const CertificateRef& certificate,
                            std::optional<RevocationReason> reason = std::nullopt) {
  return {SerialOf(*certificate), kTestNow - absl::Hours(48), reason, "", {}};
}

// Issued ten minutes ago, the next one in fifty.
inline MintCrlRequest List(std::vector<MintCrlEntry> entries = {}, uint64_t number = 10) {
  MintCrlRequest request;
  request.this_update = kTestNow - absl::Minutes(10);
  request.next_update = kTestNow + absl::Minutes(50);
  request.number = number;
  request.entries = std::move(entries);
  return request;
}
inline MintCrlRequest Delta(uint64_t base, uint64_t number, std::vector<MintCrlEntry> entries) {
  MintCrlRequest request = List(std::move(entries), number);
  request.this_update = kTestNow - absl::Minutes(5);
  request.delta_base = base;
  return request;
}

inline std::string Der(const MintCrlRequest& request, const Authority& signer) {
  absl::StatusOr<std::string> der = MintCrl(request, signer.signer());
  EXPECT_TRUE(der.ok()) << der.status();
  return der.ok() ? *der : "";
}
inline CrlRef MakeCrl(const MintCrlRequest& request, const Authority& signer) {
  absl::StatusOr<CrlRef> crl = Crl::FromDer(Der(request, signer));
  EXPECT_TRUE(crl.ok()) << crl.status();
  return crl.ok() ? *crl : nullptr;
}

inline MintOcspRequest AnswerOf(const CertificateRef& subject, const CertificateRef& issuer,
                                OcspStatus status = OcspStatus::kGood) {
  MintOcspRequest request;
  request.issuer = issuer;
  request.produced_at = kTestNow - absl::Minutes(3);
  MintOcspSingle single;
  single.subject = subject;
  single.status = status;
  single.this_update = request.produced_at;
  single.next_update = kTestNow + absl::Minutes(57);
  single.revoked = kTestNow - absl::Hours(48);
  request.answers = {single};
  return request;
}

// A certificate of `parent` for signing OCSP answers, with id-pkix-ocsp-nocheck or without.
inline Authority Responder(const Authority& parent, bool nocheck = true, size_t key = 7) {
  MintRequest request = Request(Profile::kLeaf, "CN=Responder,O=Example");
  request.extensions = {ExtensionOf("extendedKeyUsage", "OCSPSigning")};
  if (nocheck) request.extensions.push_back({"noCheck", false, std::string("\x05\x00", 2)});
  return {Make(request, KeyAt(key), parent.signer()), KeyAt(key)};
}

class FakeSource final : public RevocationSource {
 public:
  void Hold(CrlRef list, std::string from = "http://crl.test/a.crl",
            std::optional<absl::Time> received = std::nullopt) {
    lists_.push_back({std::move(list), std::move(from), received});
  }
  void Hold(const CertificateRef& subject, OcspAnswerRef answer) {
    answers_[subject->sha256()] = std::move(answer);
  }
  // From now on nothing at this URL may be asked; "" stands for every URL.
  void Close(const std::string& url) { closed_.insert(url); }

  std::vector<HeldCrl> CrlsOf(uint64_t issuer_hash) const override {
    std::vector<HeldCrl> out;
    for (const HeldCrl& held : lists_) {
      if (held.list->issuer_hash() == issuer_hash) out.push_back(held);
    }
    return out;
  }
  OcspAnswerRef OcspOf(const Certificate& subject, const Certificate&) const override {
    const auto it = answers_.find(subject.sha256());
    return it == answers_.end() ? nullptr : it->second;
  }
  bool MayAsk(const Inquiry& inquiry) const override {
    return closed_.count("") == 0 && closed_.count(inquiry.url) == 0;
  }

 private:
  std::vector<HeldCrl> lists_;
  std::map<Sha256Digest, OcspAnswerRef> answers_;
  std::set<std::string> closed_;
};

}  // namespace gatehouse::certs
