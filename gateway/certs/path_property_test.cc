// Properties of judgements on random small hierarchies, with fixed seeds: roll-overs, cross-certificates, impostors and
// certificates with every kind of fault. A model that knows how each certificate was made, and tries every path, must
// come to the same verdict; and so must, for whatever is accepted, OpenSSL.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <map>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/certs/path.h"
#include "gateway/certs/test_pki.h"
#include "gateway/certs/verdict_cache.h"

namespace gatehouse::certs {
namespace {

using Random = std::mt19937;

// How a certificate was made.
struct Made {
  CertificateRef certificate;
  std::string subject, issuer;
  size_t key = 0, signed_by = 0;
  bool ca = true, expired = false, for_servers = false, malformed = false;
  std::optional<int> path_length;
  std::string permitted;  // the only dNSName allowed below; empty: any
};

struct Pki {
  std::vector<Made> anchors, intermediates, leaves;
};

MintExtension PermittedDns(const std::string& name) {
  const auto wrap = [](char tag, const std::string& content) {
    return std::string({tag, static_cast<char>(content.size())}) + content;
  };
  return {"nameConstraints", true, wrap('\x30', wrap('\xa0', wrap('\x30', wrap('\x82', name))))};
}

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  Pki Run() {
    Pki pki;
    const size_t names = 3 + Pick(3);
    const auto name = [](size_t n) { return absl::StrCat("CN=A", n); };
    const auto key = [this](size_t n) { return n * 2 + (Pick(4) == 0 ? 1 : 0); };  // a name has two keys
    for (size_t i = 0; i < 1 + Pick(2); ++i) pki.anchors.push_back(Anchor(name(i), i * 2));
    const size_t count = 4 + Pick(8);
    for (size_t i = 0; i < count; ++i) {
      const size_t subject = Pick(names);
      // Mostly from below the one before, so that paths get long; sometimes from anywhere: loops, roll-overs.
      const size_t issuer = subject > 0 && Pick(3) > 0 ? subject - 1 : Pick(names);
      pki.intermediates.push_back(Intermediate(name(subject), key(subject), name(issuer), key(issuer)));
    }
    for (size_t i = 0; i < 2; ++i) {
      const size_t issuer = Pick(names);
      pki.leaves.push_back(LeafOf(absl::StrCat("CN=leaf", i), name(issuer), key(issuer)));
    }
    return pki;
  }

  size_t Pick(size_t n) { return random_() % n; }
  bool Seldom() { return Pick(7) == 0; }
  Random& random() { return random_; }

 private:
  // A certificate that names `issuer` and is signed by key `by`.
  Made Sign(MintRequest request, Made made) {
    if (made.expired) request.not_after = kTestNow - absl::Hours(1);
    if (made.malformed) request.serial = std::string(1, '\0');
    CertificateRef& named = named_[{made.issuer, made.signed_by}];
    if (named == nullptr) named = Make(Request(Profile::kCa, made.issuer), KeyAt(made.signed_by));
    made.certificate = Make(request, KeyAt(made.key), Signer{named.get(), KeyAt(made.signed_by)});
    return made;
  }

  static Made Anchor(const std::string& subject, size_t key) {
    Made made{Root(subject, key).certificate, subject, subject, key, key};
    return made;
  }

  Made Intermediate(const std::string& subject, size_t key, const std::string& issuer, size_t by) {
    Made made{nullptr, subject, issuer, key, by};
    MintRequest request = Request(Profile::kIntermediate, subject);
    made.expired = Seldom();
    made.malformed = Seldom();
    if (Seldom()) {
      made.ca = false;
      request.extensions.push_back({"basicConstraints", true, std::string("\x30\x00", 2)});
    } else if (Pick(4) == 0) {
      made.path_length = static_cast<int>(Pick(3));
      request.path_length = made.path_length;
    }
    if (Seldom()) {
      made.for_servers = true;
      request.extensions.push_back(
          {"extendedKeyUsage", false, "\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"});
    }
    if (made.ca && Seldom()) {
      made.permitted = Pick(2) == 0 ? "a.test" : "b.test";
      request.extensions.push_back(PermittedDns(made.permitted));
    }
    return Sign(std::move(request), std::move(made));
  }

  Made LeafOf(const std::string& subject, const std::string& issuer, size_t by) {
    MintRequest request = Request(Profile::kLeaf, subject);
    request.sans = {{SanKind::kDns, "x.a.test"}};
    return Sign(std::move(request), Made{nullptr, subject, issuer, 20, by});
  }

  Random random_;
  std::map<std::pair<std::string, size_t>, CertificateRef> named_;  // signers, by name and key
};

// The naive one: every sequence of distinct certificates, each judged as a whole.
class Model {
 public:
  explicit Model(const Pki& pki, const std::vector<const Made*>& present) : pki_(pki), present_(present) {}

  bool Accepts(const Made& leaf) { return !leaf.expired && Extend({&leaf}); }

 private:
  bool Extend(const std::vector<const Made*>& path) {
    for (const Made& anchor : pki_.anchors) {
      std::vector<const Made*> whole = path;
      whole.push_back(&anchor);
      if (Holds(whole)) return true;
    }
    if (path.size() > 8) return false;
    for (const Made* next : present_) {
      if (std::find(path.begin(), path.end(), next) != path.end()) continue;
      if (next->subject != path.back()->issuer) continue;
      std::vector<const Made*> longer = path;
      longer.push_back(next);
      if (Extend(longer)) return true;
    }
    return false;
  }

  static bool Holds(const std::vector<const Made*>& path) {
    int authorities = 0;
    for (size_t i = 0; i < path.size(); ++i) {
      const Made& c = *path[i];
      if (i > 0) {
        const Made& below = *path[i - 1];
        if (c.subject != below.issuer || c.key != below.signed_by) return false;
        if (!c.ca || c.expired || c.for_servers || c.malformed) return false;
        if (c.path_length && authorities > *c.path_length) return false;
        if (!c.permitted.empty() && !absl::EndsWith("x.a.test", "." + c.permitted)) return false;
        if (c.subject != c.issuer) ++authorities;
      }
    }
    return true;
  }

  const Pki& pki_;
  const std::vector<const Made*>& present_;
};

bool OpenSslAccepts(const Path& path) {
  X509_STORE* store = X509_STORE_new();
  STACK_OF(X509)* middle = sk_X509_new_null();
  for (size_t i = 1; i + 1 < path.size(); ++i) sk_X509_push(middle, path[i]->x509());
  X509_STORE_add_cert(store, path.back()->x509());
  UniqueStoreCtx ctx(X509_STORE_CTX_new());
  X509_STORE_CTX_init(ctx.get(), store, path[0]->x509(), middle);
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(ctx.get());
  X509_VERIFY_PARAM_set_time(param, absl::ToTimeT(kTestNow));
  X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT);
  const bool ok = X509_verify_cert(ctx.get()) == 1;
  ERR_clear_error();
  sk_X509_free(middle);
  X509_STORE_free(store);
  return ok;
}

class PathPropertyTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  PathPropertyTest() : generator_(GetParam()), pki_(generator_.Run()) {
    std::vector<CertificateRef> anchors;
    for (const Made& a : pki_.anchors) anchors.push_back(a.certificate);
    options_.trust_store = Store(anchors);
  }

  // A leaf and a random part of the intermediates.
  std::vector<const Made*> SomeOf(const std::vector<Made>& all) {
    std::vector<const Made*> out;
    for (const Made& m : all) {
      if (generator_.Pick(4) > 0) out.push_back(&m);
    }
    return out;
  }
  static std::vector<CertificateRef> List(const Made& leaf, const std::vector<const Made*>& rest) {
    std::vector<CertificateRef> out = {leaf.certificate};
    for (const Made* m : rest) out.push_back(m->certificate);
    return out;
  }
  Verdict Ask(const std::vector<CertificateRef>& list) const { return Judge(list, options_, kTestNow); }

  Generator generator_;
  Pki pki_;
  SchemeOptions options_;
};

TEST_P(PathPropertyTest, AgreesWithAModelThatTriesEveryPath) {
  for (int round = 0; round < 6; ++round) {
    const Made& leaf = pki_.leaves[generator_.Pick(2)];
    const std::vector<const Made*> rest = SomeOf(pki_.intermediates);
    const Verdict verdict = Ask(List(leaf, rest));
    ASSERT_EQ(verdict.outcome == Outcome::kValid, Model(pki_, rest).Accepts(leaf)) << ReasonName(verdict.reason);
    if (verdict.outcome == Outcome::kValid) {
      EXPECT_TRUE(OpenSslAccepts(verdict.path));
    }
  }
}

// So that agreement means something: both verdicts, and refusals for every kind of fault, are among what is drawn.
TEST(PathPropertyCoverageTest, DrawsHierarchiesOfEveryKind) {
  std::map<Reason, int> reasons;
  for (uint32_t seed = 1; seed < 81; ++seed) {
    const Pki pki = Generator(seed).Run();
    std::vector<CertificateRef> anchors;
    for (const Made& a : pki.anchors) anchors.push_back(a.certificate);
    SchemeOptions options;
    options.trust_store = Store(anchors);
    for (const Made& leaf : pki.leaves) {
      std::vector<CertificateRef> list = {leaf.certificate};
      for (const Made& m : pki.intermediates) list.push_back(m.certificate);
      const Verdict verdict = Judge(list, options, kTestNow);
      ++reasons[verdict.reason];
    }
  }
  for (Reason r : {Reason::kNone, Reason::kUnknownIssuer, Reason::kExpired, Reason::kWrongUse,
                   Reason::kConstraintViolation}) {
    EXPECT_GT(reasons[r], 0) << ReasonName(r);
  }
  EXPECT_GT(reasons[Reason::kNone], 10);
}

TEST_P(PathPropertyTest, DoesNotDependOnTheOrderOrOnWhoBringsAnIntermediate) {
  for (int round = 0; round < 4; ++round) {
    const Made& leaf = pki_.leaves[generator_.Pick(2)];
    const std::vector<const Made*> rest = SomeOf(pki_.intermediates);
    std::vector<CertificateRef> list = List(leaf, rest);
    const Verdict first = Ask(list);
    std::shuffle(list.begin() + 1, list.end(), generator_.random());
    const Verdict second = Ask(list);
    ASSERT_EQ(first.outcome, second.outcome);
    ASSERT_EQ(first.reason, second.reason);
    ASSERT_EQ(first.path, second.path);

    TrustStoreInput input;
    for (const Made& a : pki_.anchors) input.anchors_pem.push_back(a.certificate->ToPem());
    for (size_t i = 1; i < list.size(); ++i) input.intermediates_pem.push_back(list[i]->ToPem());
    std::vector<FieldError> errors;
    SchemeOptions stored = options_;
    stored.trust_store = TrustStore::Create(input, &errors);
    if (stored.trust_store == nullptr) continue;  // two equal intermediates were drawn
    const Verdict third = Judge({&leaf.certificate, 1}, stored, kTestNow);
    ASSERT_EQ(first.outcome, third.outcome);
    ASSERT_EQ(first.reason, third.reason);
  }
}

TEST_P(PathPropertyTest, IsNotUnsettledByUnrelatedCertificates) {
  const std::vector<CertificateRef> strangers = {Root("CN=Stranger", 30).certificate,
                                                 Sub(Root("CN=Stranger", 30), "CN=Other", 31).certificate,
                                                 SelfSigned("CN=leaf0", 32), Root("CN=A0", 33).certificate};
  for (const Made& leaf : pki_.leaves) {
    std::vector<CertificateRef> list = List(leaf, SomeOf(pki_.intermediates));
    const bool valid = Ask(list).outcome == Outcome::kValid;
    list.insert(list.end(), strangers.begin(), strangers.end());
    EXPECT_EQ(Ask(list).outcome == Outcome::kValid, valid);
  }
}

TEST_P(PathPropertyTest, SaysTheSameWithACacheThatOthersFilledAndPoisoned) {
  FakeClock clock(kTestNow);
  VerdictCache cache(64, clock);
  const auto cached = [&](const std::vector<CertificateRef>& list) {
    std::vector<absl::string_view> ders;
    for (const CertificateRef& c : list) ders.push_back(c->der());
    const Sha256Digest key = PresentedKey(ders);
    if (VerdictRef hit = cache.FindValid(list[0]->sha256(), 1)) return hit->reason;
    if (VerdictRef hit = cache.FindRefused(key, 1)) return hit->reason;
    const Verdict fresh = Ask(list);
    cache.Store(key, 1, std::make_shared<const Verdict>(fresh));
    return fresh.reason;
  };
  std::map<const Made*, bool> proven;  // a leaf that was once accepted stays so by itself
  for (int round = 0; round < 12; ++round) {
    const Made& leaf = pki_.leaves[generator_.Pick(2)];
    // The poisoner has the public leaf and leaves out what he likes, all of it included.
    const std::vector<CertificateRef> list =
        round % 3 == 0 ? List(leaf, {}) : List(leaf, SomeOf(pki_.intermediates));
    const Reason plain = Ask(list).reason;
    const Reason answer = cached(list);
    ASSERT_EQ(answer, proven[&leaf] ? Reason::kNone : plain);
    proven[&leaf] = proven[&leaf] || plain == Reason::kNone;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PathPropertyTest, ::testing::Range(1u, 41u));

}  // namespace
}  // namespace gatehouse::certs
