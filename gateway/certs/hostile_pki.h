// What somebody would present who wants the judge to work: an ordinary presentation and the hostile ones that are measured
// against it, by count (work_test.cc) and by time (tests/bench/judge_main.cc). For tests only.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/certs/names.h"
#include "gateway/certs/test_pki.h"

namespace gatehouse::certs {

struct Presentation {
  std::string name;
  std::vector<CertificateRef> presented;
  SchemeOptions options;
  Reason expected = Reason::kNone;
};

class HostilePki {
 public:
  HostilePki() { options_.trust_store = Store({root_.certificate}); }

  // Leaf, intermediate, anchor.
  Presentation Ordinary() const {
    return {"ordinary", {Leaf(sub_, "CN=alice"), sub_.certificate}, options_, Reason::kNone};
  }

  std::vector<Presentation> All() const {
    return {NameExplosion(), Forgeries(),    SelfIssuedLadder(),   ConstraintsTimesNames(),
            DirectoryNames(), PolicyMappings(), TooManySubtrees(), TooManyNames(),
            GiantExtension(), BigKey(),      HugeNames(),          TooManyCertificates()};
  }

  // Every authority can be every other's issuer, by name; only signatures could tell.
  Presentation NameExplosion() const {
    std::vector<CertificateRef> list = {Forged("CN=X", "CN=alice", 20, Profile::kLeaf)};
    list.push_back(Make(Request(Profile::kIntermediate, "CN=X"), KeyAt(10), root_.signer()));
    for (size_t i = 1; i < 15; ++i) list.push_back(Forged("CN=X", "CN=X", 10 + i));
    return {"same-name explosion", std::move(list), options_, Reason::kConstraintViolation};
  }

  // Authorities that claim to be the anchor's, each of whose signatures must be looked at.
  Presentation Forgeries() const {
    std::vector<CertificateRef> list = {Forged("CN=X", "CN=alice", 20, Profile::kLeaf)};
    for (size_t i = 0; i < 15; ++i) list.push_back(Forged("CN=Root", "CN=X", 10 + i));
    return {"forged intermediates", std::move(list), options_, Reason::kBadSignature};
  }

  // Longer than any path.
  Presentation SelfIssuedLadder() const {
    std::vector<CertificateRef> list;
    Authority top = root_;
    for (size_t i = 0; i < 15; ++i) {
      top = Sub(top, "CN=X", 10 + i);
      list.push_back(top.certificate);
    }
    list.insert(list.begin(), Leaf(top, "CN=alice"));
    return {"deep self-issued chain", std::move(list), options_, Reason::kConstraintViolation};
  }

  Presentation ConstraintsTimesNames() const {
    std::string subtrees;
    for (size_t i = 0; i < kMaxSubtrees; ++i) subtrees += Der("\x30", Der("\x82", absl::StrCat("p", i, ".test")));
    const Authority ca = With({"nameConstraints", true, Der("\x30", Der("\xa1", subtrees))});
    MintRequest request = Request(Profile::kLeaf, "CN=alice");
    for (size_t i = 0; i < kMaxAlternativeNames; ++i) {
      request.sans.push_back({SanKind::kDns, absl::StrCat("n", i, ".example")});
    }
    return {"512 constraints x 256 names", {Make(request, KeyAt(9), ca.signer()), ca.certificate}, options_,
            Reason::kConstraintViolation};
  }

  Presentation DirectoryNames() const {
    std::string subtrees;
    for (size_t i = 0; i < kMaxSubtrees; ++i) {
      subtrees += Der("\x30", Der("\xa4", DerOf(**ParseName(absl::StrCat("O=", i)))));
    }
    const Authority ca = With({"nameConstraints", true, Der("\x30", Der("\xa0", subtrees))});
    return {"512 directory constraints", {Leaf(ca, "CN=alice"), ca.certificate}, options_, Reason::kConstraintViolation};
  }

  // Each authority maps every policy to every other: a tree would have 64 to the power of its depth of nodes.
  Presentation PolicyMappings() const {
    Presentation out{"policy mappings", {}, options_, Reason::kConstraintViolation};
    out.options.policy = {{*ParsePolicy("1.3.99")}, true, false, false};
    std::string policies, mappings;
    for (size_t i = 0; i < kMaxPolicies; ++i) {
      policies += Der("\x30", Der("\x06", *ParsePolicy(absl::StrCat("1.3.", i))));
      mappings += Der("\x30", Der("\x06", *ParsePolicy(absl::StrCat("1.3.", i % 8))) +
                                  Der("\x06", *ParsePolicy(absl::StrCat("1.3.", i / 8))));
    }
    Authority top = root_;
    for (size_t i = 0; i < 8; ++i) {
      MintRequest request = Request(Profile::kIntermediate, absl::StrCat("CN=P", i));
      request.extensions = {{"certificatePolicies", false, Der("\x30", policies)},
                            {"policyMappings", true, Der("\x30", mappings)}};
      top = {Make(request, KeyAt(10 + i), top.signer()), KeyAt(10 + i)};
      out.presented.push_back(top.certificate);
    }
    MintRequest leaf = Request(Profile::kLeaf, "CN=alice");
    leaf.extensions = {{"certificatePolicies", false, Der("\x30", policies)}};
    out.presented.insert(out.presented.begin(), Make(leaf, KeyAt(9), top.signer()));
    return out;
  }

  Presentation TooManySubtrees() const {
    std::string subtrees;
    for (size_t i = 0; i < 6000; ++i) subtrees += Der("\x30", Der("\x82", "a"));
    const Authority ca = With({"nameConstraints", true, Der("\x30", Der("\xa1", subtrees))});
    return {"6000 constraints", {Leaf(ca, "CN=alice"), ca.certificate}, options_, Reason::kMalformedCertificate};
  }

  Presentation TooManyNames() const {
    std::string names;
    for (size_t i = 0; i < 6000; ++i) names += Der("\x82", "a");
    MintRequest request = Request(Profile::kLeaf, "CN=alice");
    request.extensions = {{"subjectAltName", false, Der("\x30", names)}};
    return {"6000 names", {Make(request, KeyAt(9), sub_.signer()), sub_.certificate}, options_,
            Reason::kMalformedCertificate};
  }

  Presentation GiantExtension() const {
    MintRequest request = Request(Profile::kLeaf, "CN=alice");
    request.extensions = {{"1.2.3.4", false, Der("\x04", std::string(60'000, 'x'))}};
    return {"extension of 60 kB", {Make(request, KeyAt(9), sub_.signer()), sub_.certificate}, options_, Reason::kNone};
  }

  // A modulus that nobody has the primes of will do: it is refused before it is used.
  Presentation BigKey() const {
    const std::string modulus = std::string("\x00", 1) + std::string(2048, '\xff');
    std::string key = Der("\x30", Der("\x02", modulus) + Der("\x02", std::string("\x01\x00\x01", 3)));
    key = Der("\x30", Der("\x30", std::string("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 13)) +
                          Der("\x03", std::string("\x00", 1) + key));
    const auto* p = reinterpret_cast<const unsigned char*>(key.data());
    const UniqueKey big(d2i_PUBKEY(nullptr, &p, static_cast<long>(key.size())));
    const Authority ca{Make(Request(Profile::kIntermediate, "CN=Big"), big.get(), root_.signer()), KeyAt(11)};
    return {"RSA of 16384 bits", {Leaf(ca, "CN=alice"), ca.certificate}, options_, Reason::kWeakKeyOrSignature};
  }

  Presentation HugeNames() const {
    std::string subject = "CN=alice";
    for (int i = 0; i < 60; ++i) absl::StrAppend(&subject, ",DC=", std::string(115, 'a'));
    return {"name of 8 kB", {Leaf(sub_, subject), sub_.certificate}, options_, Reason::kNone};
  }

  Presentation TooManyCertificates() const {
    std::vector<CertificateRef> list(300, sub_.certificate);
    list[0] = Leaf(sub_, "CN=alice");
    return {"300 certificates", std::move(list), options_, Reason::kLimitExceeded};
  }

 private:
  static std::string Der(absl::string_view tag, absl::string_view content) {
    std::string out(tag);
    const size_t n = content.size();
    if (n < 128) {
      out += static_cast<char>(n);
    } else if (n < 256) {
      out += {'\x81', static_cast<char>(n)};
    } else {
      out += {'\x82', static_cast<char>(n >> 8), static_cast<char>(n)};
    }
    return out.append(content.data(), n);
  }
  static std::string DerOf(const X509_NAME& name) {
    const unsigned char* der = nullptr;
    size_t size = 0;
    X509_NAME_get0_der(&name, &der, &size);
    return std::string(reinterpret_cast<const char*>(der), size);
  }
  // Names somebody as its issuer who never saw it, and says nothing about keys.
  static CertificateRef Forged(std::string issuer, std::string subject, size_t key,
                               Profile profile = Profile::kIntermediate) {
    const Authority impostor = Root(std::move(issuer), 30);
    MintRequest request = Request(profile, std::move(subject));
    request.extensions = {{"authorityKeyIdentifier", false, ""}};
    return Make(request, KeyAt(key), impostor.signer());
  }
  Authority With(MintExtension extension) const {
    MintRequest request = Request(Profile::kIntermediate, "CN=Odd");
    request.extensions = {std::move(extension)};
    return {Make(request, KeyAt(4), root_.signer()), KeyAt(4)};
  }

  Authority root_ = Root("CN=Root", 0);
  Authority sub_ = Sub(root_, "CN=Sub", 1);
  SchemeOptions options_;
};

}  // namespace gatehouse::certs
