#include "gateway/certs/validator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "gateway/certs/test_pki.h"
#include "gateway/certs/verdict_cache.h"

namespace gatehouse::certs {
namespace {

constexpr char kClientAuthDer[] = "\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";
constexpr char kAnyEkuDer[] = "\x30\x06\x06\x04\x55\x1d\x25\x00";
constexpr char kServerAuthDer[] = "\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";

class ValidatorTest : public ::testing::Test {
 protected:
  ValidatorTest() { options_.trust_store = Store({root_.certificate}); }

  Verdict Ask(const std::vector<CertificateRef>& presented) {
    return Judge(presented, options_, now_);
  }
  Reason Why(const std::vector<CertificateRef>& presented) {
    const Verdict v = Ask(presented);
    EXPECT_EQ(v.outcome == Outcome::kValid, v.reason == Reason::kNone);
    return v.reason;
  }
  CertificateRef LeafWith(MintExtension extension) {
    MintRequest request = Request(Profile::kLeaf, "CN=alice");
    request.extensions = {std::move(extension)};
    return Make(request, KeyAt(9), root_.signer());
  }

  Authority root_ = Root("CN=Root,O=Example", 0);
  Authority sub_ = Sub(root_, "CN=Sub,O=Example", 1);
  SchemeOptions options_;
  absl::Time now_ = kTestNow;
};

TEST_F(ValidatorTest, AcceptsALeafOfAnAnchor) {
  const CertificateRef leaf = Leaf(root_, "CN=alice");
  const Verdict v = Ask({leaf});
  EXPECT_EQ(v.outcome, Outcome::kValid);
  EXPECT_EQ(v.reason, Reason::kNone);
  EXPECT_THAT(v.path, ::testing::SizeIs(2));
  EXPECT_EQ(v.fresh_until, now_ + absl::Minutes(5));
}

TEST_F(ValidatorTest, AcceptsThroughAnIntermediateAndRefusesWithoutIt) {
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  EXPECT_EQ(Why({leaf, sub_.certificate}), Reason::kNone);
  EXPECT_EQ(Why({leaf}), Reason::kUnknownIssuer);
}

TEST_F(ValidatorTest, UsesTheStoresIntermediates) {
  TrustStoreInput input;
  input.anchors_pem = {root_.certificate->ToPem()};
  input.intermediates_pem = {sub_.certificate->ToPem()};
  std::vector<FieldError> errors;
  options_.trust_store = TrustStore::Create(input, &errors);
  EXPECT_EQ(Why({Leaf(sub_, "CN=alice")}), Reason::kNone);
}

TEST_F(ValidatorTest, AcceptsAnIntermediateAsAnchor) {
  options_.trust_store = Store({sub_.certificate});
  EXPECT_EQ(Why({Leaf(sub_, "CN=alice")}), Reason::kNone);
  EXPECT_EQ(Why({Leaf(root_, "CN=alice")}), Reason::kUnknownIssuer);
}

TEST_F(ValidatorTest, RefusesAnAnchorPresentedAsLeafUnlessPinned) {
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  options_.trust_store = Store({leaf});
  EXPECT_EQ(Why({leaf}), Reason::kNotPinned);
  const CertificateRef self = SelfSigned("CN=self");
  options_.trust_store = Store({self});
  EXPECT_EQ(Why({self}), Reason::kNotPinned);
  options_.trust_store = Store({self}, {self});
  const Verdict v = Ask({self});
  EXPECT_EQ(v.outcome, Outcome::kValid);
  EXPECT_TRUE(v.pinned);
  EXPECT_THAT(v.path, ::testing::IsEmpty());
}

TEST_F(ValidatorTest, TellsWhoIsKnownByAKeyAlone) {
  const CertificateRef device = SelfSigned("CN=device 7", 5);
  const CertificateRef another = SelfSigned("CN=alice", 5);
  const auto store = [](std::vector<Pin> pins) {
    TrustStoreInput input;
    input.pins = std::move(pins);
    std::vector<FieldError> errors;
    return TrustStore::Create(input, &errors);
  };
  const Pin key{Pin::Kind::kSpki, device->spki_sha256()}, itself{Pin::Kind::kCertificate, device->sha256()};
  options_.trust_store = store({key});
  EXPECT_TRUE(Ask({device}).by_key);
  EXPECT_TRUE(Ask({another}).by_key);
  options_.trust_store = store({key, itself});
  EXPECT_FALSE(Ask({device}).by_key);
  EXPECT_TRUE(Ask({another}).by_key);
  options_.trust_store = store({itself});
  EXPECT_FALSE(Ask({device}).by_key);
}

TEST_F(ValidatorTest, NeverLetsAPinIssue) {
  const Authority pinned = Root("CN=Pinned", 3);
  options_.trust_store = Store({root_.certificate}, {pinned.certificate});
  EXPECT_EQ(Why({Leaf(pinned, "CN=mallory")}), Reason::kUnknownIssuer);
  EXPECT_EQ(Why({Leaf(pinned, "CN=mallory"), pinned.certificate}), Reason::kUnknownIssuer);
}

TEST_F(ValidatorTest, RefusesAnUnpinnedSelfSignedCertificateUnlessAnyIsTrusted) {
  const CertificateRef self = SelfSigned("CN=self");
  EXPECT_EQ(Why({self}), Reason::kNotPinned);
  options_.self_signed_trust = SelfSignedTrust::kAny;
  const Verdict v = Ask({self});
  EXPECT_EQ(v.outcome, Outcome::kValid);
  EXPECT_TRUE(v.any_self_signed);
}

TEST_F(ValidatorTest, TrustsNobodyWithoutAStore) {
  options_.trust_store = nullptr;
  EXPECT_EQ(Why({Leaf(root_, "CN=alice")}), Reason::kUnknownIssuer);
  EXPECT_EQ(Why({SelfSigned("CN=self")}), Reason::kNotPinned);
}

TEST_F(ValidatorTest, TellsSelfSignedFromChainedBySignatureAndNotByName) {
  // Same names, but another key's signature: a key roll-over, which is chained.
  const Authority next = Sub(root_, "CN=Root,O=Example", 5);
  EXPECT_TRUE(next.certificate->self_issued());
  EXPECT_FALSE(next.certificate->self_signed());
  const CertificateRef roll_over = Leaf(root_, "CN=Root,O=Example");
  options_.allowed_certificate_types = CertificateTypes::kSelfSigned;
  EXPECT_EQ(Why({roll_over}), Reason::kTypeNotAllowed);
  options_.allowed_certificate_types = CertificateTypes::kChained;
  EXPECT_EQ(Why({roll_over}), Reason::kNone);
  EXPECT_EQ(Why({SelfSigned("CN=self")}), Reason::kTypeNotAllowed);
}

TEST_F(ValidatorTest, AppliesTypeToPinnedCertificates) {
  const CertificateRef self = SelfSigned("CN=self");
  options_.trust_store = Store({}, {self});
  options_.allowed_certificate_types = CertificateTypes::kChained;
  EXPECT_EQ(Why({self}), Reason::kTypeNotAllowed);
}

TEST_F(ValidatorTest, ChecksBothBoundsOfTheValidityPeriodInclusively) {
  const CertificateRef leaf = Leaf(root_, "CN=alice");
  now_ = leaf->not_before();
  EXPECT_EQ(Why({leaf}), Reason::kNone);
  now_ = leaf->not_before() - absl::Seconds(1);
  EXPECT_EQ(Why({leaf}), Reason::kNotYetValid);
  now_ = leaf->not_after();
  EXPECT_EQ(Why({leaf}), Reason::kNone);
  now_ = leaf->not_after() + absl::Seconds(1);
  EXPECT_EQ(Why({leaf}), Reason::kExpired);
  options_.clock_skew = absl::Seconds(1);
  EXPECT_EQ(Why({leaf}), Reason::kNone);
  options_.clock_skew = absl::ZeroDuration();
  options_.validate_validity_period = false;
  EXPECT_EQ(Why({leaf}), Reason::kNone);
}

TEST_F(ValidatorTest, IsFreshNoLongerThanTheCertificate) {
  const CertificateRef leaf = Leaf(root_, "CN=alice");
  now_ = leaf->not_after() - absl::Seconds(10);
  EXPECT_EQ(Ask({leaf}).fresh_until, leaf->not_after());
}

TEST_F(ValidatorTest, WantsClientAuthInTheLeaf) {
  MintRequest request = Request(Profile::kLeaf, "CN=alice");
  request.client_use = false;
  const CertificateRef none = Make(request, KeyAt(9), root_.signer());
  EXPECT_EQ(Why({none}), Reason::kWrongUse);
  options_.allow_absent_extended_key_usage = true;
  EXPECT_EQ(Why({none}), Reason::kNone);
  EXPECT_EQ(Why({LeafWith({"extendedKeyUsage", false, std::string(kServerAuthDer, 12)})}),
            Reason::kWrongUse);
  EXPECT_EQ(Why({LeafWith({"extendedKeyUsage", false, std::string(kAnyEkuDer, 8)})}),
            Reason::kWrongUse);
  EXPECT_EQ(Why({LeafWith({"extendedKeyUsage", false, std::string(kClientAuthDer, 12)})}),
            Reason::kNone);
  options_.validate_certificate_use = false;
  EXPECT_EQ(Why({LeafWith({"extendedKeyUsage", false, std::string(kServerAuthDer, 12)})}),
            Reason::kNone);
}

TEST_F(ValidatorTest, WantsDigitalSignatureWhenKeyUsageIsPresent) {
  EXPECT_EQ(Why({LeafWith({"keyUsage", true, std::string("\x03\x02\x05\x20", 4)})}),
            Reason::kWrongUse);
  EXPECT_EQ(Why({LeafWith({"keyUsage", true, ""})}), Reason::kNone);
}

TEST_F(ValidatorTest, WantsTheAuthoritysExtendedKeyUsageToAllowClients) {
  MintRequest request = Request(Profile::kIntermediate, "CN=Server CA");
  request.extensions = {{"extendedKeyUsage", false, std::string(kServerAuthDer, 12)}};
  const Authority servers{Make(request, KeyAt(4), root_.signer()), KeyAt(4)};
  EXPECT_EQ(Why({Leaf(servers, "CN=alice"), servers.certificate}), Reason::kWrongUse);
}

TEST_F(ValidatorTest, RefusesALeafThatIssues) {
  const Authority leaf{Leaf(root_, "CN=alice"), KeyAt(9)};
  EXPECT_EQ(Why({Leaf(leaf, "CN=mallory", 8), leaf.certificate}), Reason::kConstraintViolation);
}

TEST_F(ValidatorTest, RefusesAForgedSignature) {
  const Authority impostor = Root("CN=Root,O=Example", 7);
  MintRequest request = Request(Profile::kLeaf, "CN=alice");
  request.extensions = {{"authorityKeyIdentifier", false, ""}};
  EXPECT_EQ(Why({Make(request, KeyAt(9), impostor.signer())}), Reason::kBadSignature);
}

TEST_F(ValidatorTest, RefusesWeakKeysAndOverlargeOnes) {
  UniqueKey small(EVP_RSA_gen(1024));
  const CertificateRef leaf =
      Make(Request(Profile::kLeaf, "CN=alice"), small.get(), root_.signer());
  EXPECT_EQ(Why({leaf}), Reason::kWeakKeyOrSignature);
  options_.strength.min_rsa_bits = 1024;
  EXPECT_EQ(Why({leaf}), Reason::kNone);
  options_.strength.max_rsa_bits = 1000;
  EXPECT_EQ(Why({leaf}), Reason::kWeakKeyOrSignature);
}

TEST_F(ValidatorTest, RefusesMalformedLeaves) {
  EXPECT_EQ(Why({Leaf(root_, "CN=alice+CN=bob")}), Reason::kMalformedCertificate);
  EXPECT_EQ(Why({Leaf(root_, "CN=alice\\C2\\85root")}), Reason::kMalformedCertificate);
  EXPECT_EQ(Why({Leaf(root_, "CN=alice\\00.evil")}), Reason::kMalformedCertificate);
  EXPECT_EQ(Why({Leaf(root_, "CN=alice\\0D\\0AX-User: root")}), Reason::kMalformedCertificate);
  MintRequest request = Request(Profile::kLeaf, "CN=alice");
  request.serial = std::string(1, '\0');
  EXPECT_EQ(Why({Make(request, KeyAt(9), root_.signer())}), Reason::kMalformedCertificate);
  request.serial = "\xff";
  EXPECT_EQ(Why({Make(request, KeyAt(9), root_.signer())}), Reason::kMalformedCertificate);
  request.serial.clear();
  request.sans = {{SanKind::kDns, std::string("a.test\0.evil", 12)}};
  EXPECT_EQ(Why({Make(request, KeyAt(9), root_.signer())}), Reason::kMalformedCertificate);
  request.sans = {{SanKind::kEmail, "not an address"}};
  EXPECT_EQ(Why({Make(request, KeyAt(9), root_.signer())}), Reason::kMalformedCertificate);
}

TEST_F(ValidatorTest, AcceptsSeveralCommonNamesAndNamesTheCallerByTheMostSpecific) {
  const CertificateRef leaf = Leaf(root_, "CN=Alice,CN=Users,DC=example,DC=test");
  const Verdict v = Ask({leaf});
  EXPECT_EQ(v.outcome, Outcome::kValid);
  EXPECT_EQ(v.leaf->subject(), "CN=Alice,CN=Users,DC=example,DC=test");
  const auto wanted = [&](const char* type, const char* value) {
    options_.require.subject = {{*ParseAttribute(type), *TextMatcher::Create(TextMatcher::Kind::kExact, value)}};
    return Why({leaf});
  };
  EXPECT_EQ(wanted("CN", "Alice"), Reason::kNone);
  EXPECT_EQ(wanted("CN", "Users"), Reason::kRequirementNotMet);  // a container is no caller
  EXPECT_EQ(wanted("DC", "test"), Reason::kNone);
  EXPECT_EQ(wanted("DC", "example"), Reason::kNone);
}

TEST_F(ValidatorTest, ChecksRequirements) {
  MintRequest request = Request(Profile::kLeaf, "CN=alice,OU=ops,O=Example");
  request.sans = {{SanKind::kDns, "Host.Example.org"},
                  {SanKind::kEmail, "Alice@Example.org"},
                  {SanKind::kUri, "spiffe://example.org/ns/a"},
                  {SanKind::kIp, "10.1.2.3"},
                  {SanKind::kUpn, "alice@corp"}};
  const CertificateRef leaf = Make(request, KeyAt(9), root_.signer());
  ASSERT_EQ(leaf->sans().size(), 5u) << leaf->defect();
  const auto with = [&](auto change) {
    options_.require = {};
    change(options_.require);
    return Why({leaf});
  };
  const Reason no = Reason::kRequirementNotMet;
  EXPECT_EQ(with([](auto& r) { r.san_dns = {"host.example.ORG"}; }), Reason::kNone);
  EXPECT_EQ(with([](auto& r) { r.san_dns = {".example.org"}; }), Reason::kNone);
  EXPECT_EQ(with([](auto& r) { r.san_dns = {"ample.org"}; }), no);
  EXPECT_EQ(with([](auto& r) { r.san_email = {"Alice@example.ORG"}; }), Reason::kNone);
  EXPECT_EQ(with([](auto& r) { r.san_email = {"alice@example.org"}; }), no);
  EXPECT_EQ(with([](auto& r) { r.san_uri = {"spiffe://example.org/ns/"}; }), Reason::kNone);
  EXPECT_EQ(with([](auto& r) { r.san_uri = {"spiffe://example.org/n"}; }), no);
  EXPECT_EQ(with([](auto& r) { r.san_ip = {*ParseAddressRange("10.1.0.0/16")}; }), Reason::kNone);
  EXPECT_EQ(with([](auto& r) { r.san_ip = {*ParseAddressRange("10.2.0.0/16")}; }), no);
  EXPECT_EQ(with([](auto& r) { r.san_upn = {"alice@corp"}; }), Reason::kNone);
  EXPECT_EQ(with([](auto& r) { r.min_key_bits = 384; }), no);
  EXPECT_EQ(with([](auto& r) {
              r.forbidden_signature_nids = {*ParseSignatureAlgorithm("ecdsa-with-SHA256")};
            }),
            no);
  const auto text = [](TextMatcher::Kind kind, const char* t) {
    return *TextMatcher::Create(kind, t);
  };
  EXPECT_EQ(with([&](auto& r) {
              r.subject = {{*ParseAttribute("OU"), text(TextMatcher::Kind::kExact, "ops")}};
            }),
            Reason::kNone);
  EXPECT_EQ(with([&](auto& r) {
              r.subject = {{*ParseAttribute("OU"), text(TextMatcher::Kind::kRegex, "op")}};
            }),
            no);
  EXPECT_EQ(
      with([&](auto& r) { r.issuer = {text(TextMatcher::Kind::kExact, "CN=Root,O=Example")}; }),
      Reason::kNone);
}

TEST_F(ValidatorTest, FindsASecondPathBehindAnExpiredCrossCertificate) {
  MintRequest request = Request(Profile::kIntermediate, "CN=Sub,O=Example");
  request.not_after = kTestNow - absl::Hours(1);
  const CertificateRef expired = Make(request, KeyAt(1), root_.signer());
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  EXPECT_EQ(Why({leaf, expired, sub_.certificate}), Reason::kNone);
  EXPECT_EQ(Why({leaf, expired}), Reason::kExpired);
}

TEST_F(ValidatorTest, BoundsThePresentedList) {
  std::vector<CertificateRef> many(17, Leaf(root_, "CN=alice"));
  EXPECT_EQ(Why(many), Reason::kLimitExceeded);
  EXPECT_EQ(Why({}), Reason::kNoCertificate);
}

TEST_F(ValidatorTest, TellsEveryStep) {
  Trace trace;
  const std::vector<CertificateRef> presented = {Leaf(root_, "CN=alice")};
  Judge(presented, options_, now_, nullptr, &trace);
  std::vector<std::string> steps;
  for (const TraceStep& s : trace.steps) steps.push_back(s.step);
  EXPECT_THAT(steps, ::testing::ElementsAre("form", "type", "path", "validity", "use", "require"));
}

// Properties over random lists: the order does not matter, and no cache entry of one list changes
// another's verdict.
TEST_F(ValidatorTest, GivesTheSameVerdictInAnyOrderAndWithACacheThatOthersFilled) {
  const Authority deep = Sub(sub_, "CN=Deep", 2);
  const Authority stranger = Root("CN=Stranger", 3);
  const Authority twin = Sub(stranger, "CN=Sub,O=Example", 6);
  const std::vector<CertificateRef> leaves = {Leaf(root_, "CN=a"), Leaf(sub_, "CN=b"),
                                              Leaf(deep, "CN=c"),  Leaf(twin, "CN=d"),
                                              SelfSigned("CN=e"),  Leaf(stranger, "CN=f")};
  const std::vector<CertificateRef> others = {sub_.certificate, deep.certificate, twin.certificate,
                                              stranger.certificate, root_.certificate};
  FakeClock clock(now_);
  VerdictCache cache(64, clock);
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<CertificateRef> list = {leaves[random() % leaves.size()]};
    for (const CertificateRef& c : others) {
      if (random() % 2 == 0) list.push_back(c);
    }
    const Verdict first = Ask(list);
    std::shuffle(list.begin() + 1, list.end(), random);
    const Verdict second = Ask(list);
    ASSERT_EQ(first.outcome, second.outcome);
    ASSERT_EQ(first.reason, second.reason);

    std::vector<absl::string_view> ders;
    for (const CertificateRef& c : list) ders.push_back(c->der());
    const Sha256Digest key = PresentedKey(ders);
    if (VerdictRef hit = cache.FindRefused(key, 1)) {
      ASSERT_EQ(hit->reason, second.reason);
    }
    // A leaf once proven valid stays so by itself; a refusal never hides it.
    const bool known_valid = cache.FindValid(list[0]->sha256(), 1) != nullptr;
    cache.Store(key, 1, std::make_shared<const Verdict>(second));
    if (known_valid || second.outcome == Outcome::kValid) {
      ASSERT_NE(cache.FindValid(list[0]->sha256(), 1), nullptr);
    }
  }
}

TEST(VerdictCacheTest, ForgetsWhatIsNoLongerFreshOrOfAnotherEpoch) {
  FakeClock clock;
  VerdictCache cache(4, clock);
  auto verdict = std::make_shared<Verdict>();
  verdict->outcome = Outcome::kValid;
  verdict->leaf = SelfSigned("CN=self");
  verdict->fresh_until = clock.Now() + absl::Minutes(1);
  const Sha256Digest leaf = verdict->leaf->sha256();
  cache.Store({}, 1, verdict);
  EXPECT_NE(cache.FindValid(leaf, 1), nullptr);
  EXPECT_EQ(cache.FindValid(leaf, 2), nullptr);
  EXPECT_EQ(cache.FindRefused({}, 1), nullptr);
  clock.Advance(absl::Minutes(1));
  EXPECT_EQ(cache.FindValid(leaf, 1), nullptr);
}

TEST(VerdictCacheTest, NeverStoresAnIndeterminateVerdict) {
  FakeClock clock;
  VerdictCache cache(4, clock);
  auto verdict = std::make_shared<Verdict>();
  verdict->outcome = Outcome::kIndeterminate;
  verdict->leaf = SelfSigned("CN=self");
  verdict->fresh_until = absl::InfiniteFuture();
  cache.Store({}, 1, verdict);
  EXPECT_EQ(cache.size(), 0u);
}

}  // namespace
}  // namespace gatehouse::certs
