// The revocation step of Judge: lists of the trust store and of a source, OCSP answers, and what is left to be asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "gateway/certs/crl_check.h"
#include "gateway/certs/test_revocation.h"
#include "gateway/certs/validator.h"
#include "gateway/certs/verdict_cache.h"

namespace gatehouse::certs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RevocationTest : public ::testing::Test {
 protected:
  RevocationTest() {
    options_.revocation.mode = RevocationMode::kOffline;
    options_.verdict_ttl = absl::Hours(1);
    Trust({root_.certificate});
  }

  void Trust(const std::vector<CertificateRef>& anchors,
             const std::vector<CertificateRef>& intermediates = {}) {
    input_.anchors_pem.clear();
    input_.intermediates_pem.clear();
    for (const CertificateRef& c : anchors) input_.anchors_pem.push_back(c->ToPem());
    for (const CertificateRef& c : intermediates) input_.intermediates_pem.push_back(c->ToPem());
    Build();
  }
  // Adds a list to the trust store.
  void Push(const MintCrlRequest& list, const Authority& signer) {
    input_.crls_pem.push_back(CrlToPem(Der(list, signer)));
    Build();
  }
  void Build() {
    std::vector<FieldError> errors;
    options_.trust_store = TrustStore::Create(input_, &errors);
    for (const FieldError& e : errors) ADD_FAILURE() << e.field << ": " << e.message;
  }
  // What an authority published hour by hour, the newest last.
  void PushHistory(int lists, const Authority& signer) {
    for (int i = 0; i < lists; ++i) {
      MintCrlRequest list = List({}, static_cast<uint64_t>(100 + i));
      list.this_update = kTestNow - absl::Hours(lists - i);
      list.next_update = kTestNow + absl::Hours(24);
      input_.crls_pem.push_back(CrlToPem(Der(list, signer)));
    }
    Build();
  }
  void PushNothing() {
    input_.crls_pem.clear();
    Build();
  }
  void Answer(const MintOcspRequest& request, const Authority& responder) {
    const MintOcspSingle& single = request.answers[0];
    OcspCheck check;
    check.now = now_;
    check.nonce = request.nonce;
    absl::StatusOr<OcspAnswerRef> answer =
        ReadOcspAnswer(*MintOcspAnswer(request, responder.signer()), *single.subject,
                       *request.issuer, check);
    ASSERT_TRUE(answer.ok()) << answer.status();
    source_.Hold(single.subject, *answer);
  }

  Verdict Ask(const std::vector<CertificateRef>& presented) {
    return Judge(presented, options_, now_, &source_);
  }
  // VALID, a Reason, or "ask" and what.
  std::string Say(const std::vector<CertificateRef>& presented) {
    const Verdict v = Ask(presented);
    if (v.outcome == Outcome::kValid) return "VALID";
    if (v.outcome == Outcome::kInvalid) {
      EXPECT_THAT(v.inquiries, IsEmpty());
      return std::string(ReasonName(v.reason));
    }
    std::vector<std::string> urls;
    for (const Inquiry& i : v.inquiries) {
      urls.push_back((i.kind == Inquiry::Kind::kOcsp ? "ocsp " : "crl ") + i.url);
    }
    return "ask " + absl::StrJoin(urls, ", ");
  }
  std::string Detail(const std::vector<CertificateRef>& presented) {
    Trace trace;
    Judge(presented, options_, now_, &source_, &trace);
    std::vector<std::string> details;
    for (const TraceStep& s : trace.steps) {
      if (s.step == "revocation") details.push_back(s.detail);
    }
    return absl::StrJoin(details, "; ");
  }

  Authority root_ = Root("CN=Root,O=Example", 0);
  Authority sub_ = Sub(root_, "CN=Sub,O=Example", 1);
  CertificateRef alice_ = Leaf(root_, "CN=alice");
  TrustStoreInput input_;
  SchemeOptions options_;
  FakeSource source_;
  absl::Time now_ = kTestNow;
};

TEST_F(RevocationTest, AcceptsWhomACurrentListDoesNotNameAndRefusesWhomItNames) {
  Push(List({Revoked(Leaf(root_, "CN=bob"))}), root_);
  EXPECT_EQ(Say({alice_}), "VALID");
  EXPECT_THAT(Detail({alice_}), HasSubstr("good: CRL of CN=Root,O=Example from the trust store"));
  PushNothing();
  Push(List({Revoked(alice_, RevocationReason::kKeyCompromise)}), root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
  EXPECT_THAT(Detail({alice_}), HasSubstr("revoked 2 d ago (keyCompromise)"));
}

TEST_F(RevocationTest, RefusesWhatNobodyKnowsUnlessToldToAllow) {
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("no CRL and no OCSP answer"));
  options_.revocation.on_unknown = OnUnknown::kAllow;
  const Verdict v = Ask({alice_});
  EXPECT_EQ(v.outcome, Outcome::kValid);
  EXPECT_EQ(v.fresh_until, now_ + absl::Seconds(30));
  EXPECT_THAT(Detail({alice_}), HasSubstr("on_unknown is ALLOW"));
  Push(List({Revoked(alice_)}), root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
}

TEST_F(RevocationTest, WorksWithoutASource) {
  EXPECT_EQ(Judge(std::vector{alice_}, options_, now_).reason, Reason::kRevocationUnknown);
  options_.revocation.mode = RevocationMode::kOnline;
  EXPECT_EQ(Judge(std::vector{alice_}, options_, now_).outcome, Outcome::kInvalid);
  Push(List(), root_);
  EXPECT_EQ(Judge(std::vector{alice_}, options_, now_).outcome, Outcome::kValid);
}

TEST_F(RevocationTest, ChecksNothingWhenToldSoOrPinned) {
  options_.revocation.mode = RevocationMode::kNoCheck;
  Push(List({Revoked(alice_)}), root_);
  EXPECT_EQ(Say({alice_}), "VALID");
  options_.revocation.mode = RevocationMode::kOffline;
  EXPECT_EQ(Say({alice_}), "REVOKED");
  input_.pins = {{Pin::Kind::kCertificate, alice_->sha256()}};
  Build();
  EXPECT_EQ(Say({alice_}), "VALID");
}

TEST_F(RevocationTest, BelievesAConfiguredListUntilItsNextUpdate) {
  Push(List(), root_);
  options_.revocation.max_age = absl::Minutes(5);  // says how soon to fetch again: here nothing is fetched
  EXPECT_EQ(Ask({alice_}).fresh_until, kTestNow + absl::Minutes(55));  // nextUpdate and skew
  now_ = kTestNow + absl::Minutes(55);
  EXPECT_EQ(Say({alice_}), "VALID");
  now_ += absl::Seconds(1);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("too old"));
}

TEST_F(RevocationTest, BelievesAFetchedListNoLongerThanMaxAgeSinceItCame) {
  options_.revocation.mode = RevocationMode::kOffline;
  options_.revocation.max_age = absl::Minutes(20);
  MintCrlRequest weekly = List();
  weekly.this_update = kTestNow - absl::Hours(100);  // before anybody fetched it
  weekly.next_update = kTestNow + absl::Hours(68);
  source_.Hold(MakeCrl(weekly, root_), "http://crl.test/a.crl", kTestNow - absl::Minutes(5));
  EXPECT_EQ(Ask({alice_}).fresh_until, kTestNow + absl::Minutes(15));
  now_ = kTestNow + absl::Minutes(15) + absl::Seconds(1);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
}

TEST_F(RevocationTest, AFetchedListThatIsOlderThanMaxAgeStillRevokes) {
  MintCrlRequest list = List({Revoked(alice_)});
  source_.Hold(MakeCrl(list, root_), "http://crl.test/a.crl", kTestNow - absl::Hours(10));
  EXPECT_EQ(Say({alice_}), "REVOKED");
}

TEST_F(RevocationTest, BelievesAListThatPromisesNoSuccessorForFiveMinutes) {
  MintCrlRequest list = List();
  list.next_update.reset();
  list.this_update = kTestNow;
  Push(list, root_);
  EXPECT_EQ(Ask({alice_}).fresh_until, kTestNow + absl::Minutes(5));
  now_ += absl::Minutes(5) + absl::Seconds(1);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
}

TEST_F(RevocationTest, RefusesAListFromTheFutureAsEvidenceForAnybody) {
  Push(List(), root_);
  now_ = kTestNow - absl::Minutes(15);
  EXPECT_EQ(Say({alice_}), "VALID");
  now_ -= absl::Seconds(1);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("future"));
}

TEST_F(RevocationTest, AnExpiredListStillRevokesWhomItNames) {
  Push(List({Revoked(alice_)}), root_);
  options_.revocation.on_unknown = OnUnknown::kAllow;
  now_ += absl::Hours(24 * 20);
  EXPECT_EQ(Say({alice_}), "REVOKED");
  EXPECT_EQ(Say({Leaf(root_, "CN=bob")}), "VALID");
  options_.revocation.on_unknown = OnUnknown::kRefuse;
  EXPECT_EQ(Say({Leaf(root_, "CN=bob")}), "REVOCATION_UNKNOWN");
}

TEST_F(RevocationTest, TheNewestListCountsWhereverItCameFrom) {
  MintCrlRequest older = List({Revoked(alice_)}, 9), newer = List({}, 10);
  older.this_update -= absl::Minutes(1);
  Push(older, root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
  source_.Hold(MakeCrl(newer, root_));
  EXPECT_EQ(Say({alice_}), "VALID");
  EXPECT_THAT(Detail({alice_}), HasSubstr("from http://crl.test/a.crl"));

  FakeSource other;
  other.Hold(MakeCrl(older, root_));
  PushNothing();
  Push(newer, root_);
  source_ = other;
  EXPECT_EQ(Say({alice_}), "VALID");
}

TEST_F(RevocationTest, AForgedNewerListHidesNothing) {
  Push(List({Revoked(alice_)}, 9), root_);
  MintCrlRequest forged = List({}, 99);
  forged.this_update = kTestNow;
  source_.Hold(MakeCrl(forged, Root("CN=Root,O=Example", 3)));
  EXPECT_EQ(Say({alice_}), "REVOKED");
  PushNothing();
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("CRL of CN=Root,O=Example"));
}

TEST_F(RevocationTest, AListOfAnotherAuthoritySaysNothing) {
  Push(List({Revoked(alice_)}), Root("CN=Other", 3));
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
}

TEST_F(RevocationTest, RefusesASignerWhoseKeyUsageDoesNotAllowLists) {
  MintRequest request = Request(Profile::kCa, "CN=Mute");
  request.extensions = {ExtensionOf("keyUsage", "critical,keyCertSign")};
  const Authority mute{Make(request, KeyAt(4)), KeyAt(4)};
  Trust({mute.certificate});
  Push(List(), mute);
  EXPECT_EQ(Say({Leaf(mute, "CN=alice")}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({Leaf(mute, "CN=alice")}), HasSubstr("cRLSign"));
}

TEST_F(RevocationTest, RefusesWeaklySignedLists) {
  MintCrlRequest list = List();
  list.digest = "SHA1";
  Push(list, root_);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("not accepted"));
}

TEST_F(RevocationTest, AcceptsASeparateSignerWithAPathToTheSameAnchorOnly) {
  MintRequest request = Request(Profile::kLeaf, "CN=Sub,O=Example");
  request.extensions = {ExtensionOf("keyUsage", "critical,cRLSign"), {"extendedKeyUsage", false, ""}};
  const Authority signer{Make(request, KeyAt(5), root_.signer()), KeyAt(5)};
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  options_.revocation.scope = RevocationScope::kEndCertificateOnly;
  Trust({root_.certificate}, {sub_.certificate});
  Push(List(), signer);
  EXPECT_EQ(Say({leaf}), "REVOCATION_UNKNOWN");
  Trust({root_.certificate}, {sub_.certificate, signer.certificate});
  EXPECT_EQ(Say({leaf}), "VALID");
  // The same, but issued by another anchor.
  const Authority other = Root("CN=Other", 6);
  const CertificateRef foreign = Make(request, KeyAt(5), other.signer());
  Trust({root_.certificate, other.certificate}, {sub_.certificate, foreign});
  EXPECT_EQ(Say({leaf}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({leaf}), HasSubstr("no path to the same anchor"));
  // Expired, or revoked itself.
  request.not_after = kTestNow - absl::Hours(1);
  Trust({root_.certificate}, {sub_.certificate, Make(request, KeyAt(5), root_.signer())});
  EXPECT_EQ(Say({leaf}), "REVOCATION_UNKNOWN");
  Trust({root_.certificate}, {sub_.certificate, signer.certificate});
  Push(List({Revoked(signer.certificate)}), root_);
  EXPECT_EQ(Say({leaf}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({leaf}), HasSubstr("is revoked"));
}

TEST_F(RevocationTest, AListUnderAnAuthoritysOldKeyStillRevokes) {
  const Authority renewed{Make(Request(Profile::kCa, "CN=Root,O=Example"), KeyAt(3)), KeyAt(3)};
  Trust({root_.certificate, renewed.certificate});
  Push(List({Revoked(alice_)}, 9), root_);
  MintCrlRequest newer = List({}, 10);
  newer.this_update = kTestNow;
  Push(newer, renewed);
  EXPECT_EQ(Say({alice_}), "REVOKED");
}

TEST_F(RevocationTest, ManyOldListsDoNotHideThatTheirIssuerIsRevoked) {
  options_.revocation.on_unknown = OnUnknown::kAllow;
  Push(List({Revoked(sub_.certificate, RevocationReason::kCaCompromise)}), root_);
  PushHistory(2 * kMaxListSignatures, sub_);
  EXPECT_EQ(Say({Leaf(sub_, "CN=bob"), sub_.certificate}), "REVOKED");
}

TEST_F(RevocationTest, ManyOldListsShutNobodyOut) {
  Push(List(), root_);
  PushHistory(2 * kMaxListSignatures, sub_);
  EXPECT_EQ(Say({Leaf(sub_, "CN=bob"), sub_.certificate}), "VALID");
}

// A certificate that was on hold for long is named by all of them: whether the new one is of the same key must be known.
TEST_F(RevocationTest, OldListsBeyondTheBoundOfOneCertificateLeaveOthersTheirs) {
  const CertificateRef bob = Leaf(sub_, "CN=bob");
  for (int i = 0; i < 2 * kMaxListSignatures; ++i) {
    MintCrlRequest list = List({Revoked(bob, RevocationReason::kCertificateHold)}, static_cast<uint64_t>(100 + i));
    list.this_update = kTestNow - absl::Hours(2 * kMaxListSignatures - i);
    list.next_update = kTestNow + absl::Hours(24);
    input_.crls_pem.push_back(CrlToPem(Der(list, sub_)));
  }
  Push(List({}, 500), sub_);
  Push(List(), root_);
  EXPECT_EQ(Say({bob, sub_.certificate}), "VALID");
}

TEST_F(RevocationTest, AppliesItsScope) {
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  const std::vector<CertificateRef> presented = {leaf, sub_.certificate};
  Push(List({Revoked(sub_.certificate)}), root_);
  Push(List(), sub_);
  options_.revocation.scope = RevocationScope::kEndCertificateOnly;
  EXPECT_EQ(Say(presented), "VALID");
  options_.revocation.scope = RevocationScope::kExcludeRoot;
  EXPECT_EQ(Say(presented), "REVOKED");
}

TEST_F(RevocationTest, AsksAboutAnAnchorOnlyWhereItNamesASource) {
  options_.revocation.scope = RevocationScope::kEntireChain;
  Push(List({Revoked(root_.certificate)}), root_);
  EXPECT_EQ(Say({alice_}), "VALID");
  MintRequest request = Request(Profile::kCa, "CN=Named");
  request.extensions = {ExtensionOf("crlDistributionPoints", "URI:http://crl.test/named")};
  const Authority named{Make(request, KeyAt(4)), KeyAt(4)};
  Trust({named.certificate});
  Push(List({Revoked(named.certificate)}), named);
  EXPECT_EQ(Say({Leaf(named, "CN=alice")}), "REVOKED");
  options_.revocation.scope = RevocationScope::kExcludeRoot;
  EXPECT_EQ(Say({Leaf(named, "CN=alice")}), "VALID");
}

TEST_F(RevocationTest, HonoursTheKindsThatAListIsLimitedTo) {
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  const std::vector<CertificateRef> presented = {leaf, sub_.certificate};
  Push(List(), sub_);
  MintCrlRequest list = List({Revoked(sub_.certificate)});
  list.scope = MintCrlScope{};
  list.scope->user_certificates_only = true;
  Push(list, root_);
  EXPECT_EQ(Say(presented), "REVOCATION_UNKNOWN");
  EXPECT_EQ(Say({alice_}), "VALID");
  list.scope->user_certificates_only = false;
  list.scope->authorities_only = true;
  Push(list, root_);
  EXPECT_EQ(Say(presented), "REVOKED");
  PushNothing();
  Push(list, root_);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  list.scope->authorities_only = false;
  list.scope->attribute_certificates_only = true;
  PushNothing();
  Push(list, root_);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
}

TEST_F(RevocationTest, MatchesDistributionPointsByName) {
  const CertificateRef leaf =
      LeafWith(root_, {ExtensionOf("crlDistributionPoints", "URI:http://crl.test/1")});
  MintCrlRequest part = List();
  part.scope = MintCrlScope{};
  part.scope->urls = {"http://crl.test/2"};
  Push(part, root_);
  EXPECT_EQ(Say({leaf}), "REVOCATION_UNKNOWN");
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  part.scope->urls.push_back("http://crl.test/1");
  Push(part, root_);
  EXPECT_EQ(Say({leaf}), "VALID");
  part.entries = {Revoked(leaf)};
  part.this_update = kTestNow;
  Push(part, root_);
  EXPECT_EQ(Say({leaf}), "REVOKED");
}

TEST_F(RevocationTest, WantsEveryReasonCovered) {
  using R = RevocationReason;
  MintCrlRequest compromise = List({}, 10), rest = List({}, 11);
  compromise.scope = MintCrlScope{};
  compromise.scope->reasons = {R::kKeyCompromise, R::kCaCompromise};
  rest.scope = MintCrlScope{};
  rest.scope->reasons = {R::kAffiliationChanged, R::kSuperseded, R::kCessationOfOperation,
                         R::kCertificateHold, R::kPrivilegeWithdrawn, R::kAaCompromise};
  Push(compromise, root_);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("does not cover every reason"));
  Push(rest, root_);
  EXPECT_EQ(Say({alice_}), "VALID");
  PushNothing();
  Push(compromise, root_);
  rest.entries = {Revoked(alice_, R::kCertificateHold)};
  Push(rest, root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
}

TEST_F(RevocationTest, TakesReasonsOfTheDistributionPointInto) {
  const CertificateRef leaf = LeafWith(
      root_, {ExtensionOf("crlDistributionPoints", "one,two",
                          "[one]\nfullname=URI:http://crl.test/1\nreasons=keyCompromise,CACompromise\n"
                          "[two]\nfullname=URI:http://crl.test/2\n")});
  MintCrlRequest one = List();
  one.scope = MintCrlScope{};
  one.scope->urls = {"http://crl.test/1"};
  Push(one, root_);
  EXPECT_EQ(Say({leaf}), "REVOCATION_UNKNOWN");
  one.scope->urls = {"http://crl.test/2"};
  Push(one, root_);
  EXPECT_EQ(Say({leaf}), "VALID");
}

TEST_F(RevocationTest, AnIndirectListCountsOnlyWhereTheCertificateNamesItsIssuer) {
  const Authority lister = Sub(root_, "CN=Lister", 5);
  const auto leaf_with = [&](const std::string& name) {
    return LeafWith(root_, {ExtensionOf("crlDistributionPoints", "one",
                                        "[one]\nCRLissuer=dirName:who\n[who]\nCN=" + name + "\n")});
  };
  const CertificateRef named = leaf_with("Lister"), other = leaf_with("Somebody");
  Trust({root_.certificate}, {lister.certificate});
  MintCrlRequest list = List({Revoked(alice_)});
  list.entries[0].certificate_issuer = "CN=Root,O=Example";
  list.scope = MintCrlScope{};
  list.scope->indirect = true;
  Push(list, lister);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_EQ(Say({other}), "REVOCATION_UNKNOWN");
  EXPECT_EQ(Say({named}), "VALID");
  list.entries.push_back(Revoked(named));  // its issuer is carried forward
  list.this_update = kTestNow;
  Push(list, lister);
  EXPECT_EQ(Say({named}), "REVOKED");
  // A list that is not indirect does not do, whoever the certificate names.
  PushNothing();
  Push(List(), lister);
  EXPECT_EQ(Say({named}), "REVOCATION_UNKNOWN");
}

TEST_F(RevocationTest, ADeltaRevokesAndRemovesFromHold) {
  using R = RevocationReason;
  const CertificateRef bob = Leaf(root_, "CN=bob");
  Push(List({Revoked(bob, R::kCertificateHold)}, 10), root_);
  EXPECT_EQ(Say({alice_}), "VALID");
  EXPECT_EQ(Say({bob}), "REVOKED");
  Push(Delta(10, 11, {Revoked(alice_, R::kKeyCompromise), Revoked(bob, R::kRemoveFromCrl)}), root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
  EXPECT_EQ(Say({bob}), "VALID");
  EXPECT_THAT(Detail({bob}), HasSubstr("delta CRL"));
  // Once the delta is too old, the hold stands again, and its revocation still does.
  now_ += absl::Hours(2);
  EXPECT_EQ(Say({bob}), "REVOKED");
  EXPECT_EQ(Say({alice_}), "REVOKED");
}

TEST_F(RevocationTest, ADeltaAppliesToItsBaseOnly) {
  using R = RevocationReason;
  Push(List({Revoked(alice_, R::kCertificateHold)}, 10), root_);
  const auto with = [&](const MintCrlRequest& delta, const Authority& signer) {
    const std::vector<std::string> before = input_.crls_pem;
    Push(delta, signer);
    std::string said = Say({alice_});
    input_.crls_pem = before;
    Build();
    return said;
  };
  const std::vector<MintCrlEntry> remove = {Revoked(alice_, R::kRemoveFromCrl)};
  EXPECT_EQ(with(Delta(10, 11, remove), root_), "VALID");
  EXPECT_EQ(with(Delta(8, 11, remove), root_), "VALID");
  EXPECT_EQ(with(Delta(11, 12, remove), root_), "REVOKED");  // its base is newer than ours
  EXPECT_EQ(with(Delta(8, 10, remove), root_), "REVOKED");   // older than our base
  EXPECT_EQ(with(Delta(10, 11, remove), Root("CN=Root,O=Example", 3)), "REVOKED");
  MintCrlRequest scoped = Delta(10, 11, remove);
  scoped.scope = MintCrlScope{};
  scoped.scope->user_certificates_only = true;
  EXPECT_EQ(with(scoped, root_), "REVOKED");
}

TEST_F(RevocationTest, ADeltaWithoutItsBaseOnlyRevokes) {
  const CertificateRef bob = Leaf(root_, "CN=bob");
  Push(Delta(10, 11, {Revoked(alice_)}), root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
  EXPECT_EQ(Say({bob}), "REVOCATION_UNKNOWN");
}

TEST_F(RevocationTest, ACurrentDeltaBringsAnExpiredBaseUpToDate) {
  MintCrlRequest base = List({}, 10);
  base.this_update = kTestNow - absl::Hours(24);
  base.next_update = kTestNow - absl::Hours(12);
  Push(base, root_);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  Push(Delta(10, 11, {}), root_);
  EXPECT_EQ(Say({alice_}), "VALID");
}

TEST_F(RevocationTest, BelievesAnOcspAnswer) {
  Answer(AnswerOf(alice_, root_.certificate), root_);
  const Verdict v = Ask({alice_});
  EXPECT_EQ(v.outcome, Outcome::kValid);
  EXPECT_EQ(v.fresh_until, kTestNow + absl::Hours(1));  // max_age since it came, not since it was produced
  Answer(AnswerOf(alice_, root_.certificate, OcspStatus::kRevoked), root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
  now_ += absl::Hours(2);
  EXPECT_EQ(Say({alice_}), "REVOKED");
}

// Who sits on the way to a responder or a distribution point keeps what was said before alice was revoked.
TEST_F(RevocationTest, AReplayThatPromisesNoSuccessorIsOfWhenItWasMade) {
  MintOcspRequest answer = AnswerOf(alice_, root_.certificate);
  answer.produced_at = kTestNow - absl::Hours(24 * 365);
  answer.answers[0].this_update = answer.produced_at;
  answer.answers[0].next_update.reset();
  Answer(answer, root_);
  MintCrlRequest list = List();
  list.this_update = answer.produced_at;
  list.next_update.reset();
  source_.Hold(MakeCrl(list, root_), "http://crl.test/a.crl", kTestNow);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("too old"));
}

TEST_F(RevocationTest, AnAnswerThatPromisesNoSuccessorIsBelievedForFiveMinutes) {
  const auto minutes = [&](absl::Duration age, const std::string& nonce = "") {
    MintOcspRequest answer = AnswerOf(alice_, root_.certificate);
    answer.produced_at = kTestNow;
    answer.nonce = nonce;
    answer.answers[0].this_update = kTestNow - age;
    answer.answers[0].next_update.reset();
    Answer(answer, root_);
    const Verdict v = Ask({alice_});
    return v.outcome == Outcome::kValid ? absl::ToInt64Minutes(v.fresh_until - kTestNow) : -1;
  };
  EXPECT_EQ(minutes(absl::ZeroDuration()), 5) << "made on the spot";
  EXPECT_EQ(minutes(absl::Minutes(-5)), 5) << "its clock is ahead";
  EXPECT_EQ(minutes(absl::Minutes(5)), 5) << "its clock may be behind";
  EXPECT_EQ(minutes(absl::Minutes(8)), 2);
  EXPECT_EQ(minutes(absl::Minutes(11)), -1);
  EXPECT_EQ(minutes(absl::Minutes(11), "ours"), 5) << "made for us";
}

TEST_F(RevocationTest, TheNewestOfListAndAnswerCounts) {
  Push(List({Revoked(alice_, RevocationReason::kCertificateHold)}), root_);
  MintOcspRequest good = AnswerOf(alice_, root_.certificate);
  Answer(good, root_);
  EXPECT_EQ(Say({alice_}), "VALID");
  good.answers[0].this_update = kTestNow - absl::Minutes(11);
  Answer(good, root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
  good.answers[0].this_update = kTestNow - absl::Minutes(10);  // as new as the list
  Answer(good, root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
}

TEST_F(RevocationTest, ARevocationThatIsNoHoldIsTakenBackByNobody) {
  using R = RevocationReason;
  for (const std::optional<R> reason : {std::optional<R>(), std::optional(R::kUnspecified), std::optional(R::kSuperseded)}) {
    PushNothing();
    Push(List({Revoked(alice_, reason)}), root_);
    Answer(AnswerOf(alice_, root_.certificate), root_);
    EXPECT_EQ(Say({alice_}), "REVOKED") << "a list revokes, a newer answer says good";
    Push(Delta(10, 11, {Revoked(alice_, R::kRemoveFromCrl)}), root_);
    EXPECT_EQ(Say({alice_}), "REVOKED") << "what a delta removes was on hold";
  }
  PushNothing();
  MintOcspRequest revoked = AnswerOf(alice_, root_.certificate, OcspStatus::kRevoked);
  revoked.answers[0].this_update = kTestNow - absl::Hours(2);
  Answer(revoked, root_);
  Push(List(), root_);
  EXPECT_EQ(Say({alice_}), "REVOKED") << "a responder revokes, a newer list does not name it";
  revoked.answers[0].reason = R::kCertificateHold;
  Answer(revoked, root_);
  EXPECT_EQ(Say({alice_}), "VALID") << "a hold ends";
  Push(List({Revoked(alice_, R::kKeyCompromise)}, 11), root_);
  revoked.answers[0].this_update = kTestNow;
  Answer(revoked, root_);
  EXPECT_THAT(Detail({alice_}), HasSubstr("keyCompromise")) << "of two revocations the one for good is told";
}

TEST_F(RevocationTest, AsksForTheDeltaBeforeItBelievesACompleteList) {
  using R = RevocationReason;
  const CertificateRef named = LeafWith(root_, {ExtensionOf("freshestCRL", "URI:http://crl.test/delta.crl")}, "CN=named");
  const CertificateRef held = LeafWith(root_, {ExtensionOf("freshestCRL", "URI:http://crl.test/delta.crl")}, "CN=held");
  MintCrlRequest base = List({Revoked(held, R::kCertificateHold)}, 10);
  Push(base, root_);
  EXPECT_EQ(Say({named}), "VALID") << "offline nothing is fetched";
  options_.revocation.mode = RevocationMode::kOnline;
  EXPECT_EQ(Say({alice_}), "VALID") << "nobody names a delta of it";
  EXPECT_EQ(Say({named}), "ask crl http://crl.test/delta.crl");
  EXPECT_EQ(Say({held}), "ask crl http://crl.test/delta.crl");

  const CrlRef delta = MakeCrl(Delta(10, 11, {Revoked(held, R::kRemoveFromCrl)}), root_);
  source_.Hold(delta, "http://crl.test/delta.crl", now_);
  EXPECT_EQ(Say({named}), "VALID") << "a delta that is current is not asked for again";
  EXPECT_EQ(Say({held}), "VALID");
  EXPECT_THAT(Detail({named}), HasSubstr("good: delta CRL of CN=Root,O=Example from http://crl.test/delta.crl"));
  source_.Hold(MakeCrl(Delta(10, 12, {Revoked(named)}), root_), "http://crl.test/delta.crl", now_);
  EXPECT_EQ(Say({named}), "REVOKED");
}

TEST_F(RevocationTest, AsksForTheDeltaThatTheListItselfNames) {
  MintCrlRequest base = List({}, 10);
  base.extensions = {ExtensionOf("freshestCRL", "URI:http://crl.test/of-list.crl,URI:ldap://crl.test/x")};
  Push(base, root_);
  EXPECT_EQ(Say({alice_}), "VALID");
  options_.revocation.mode = RevocationMode::kOnline;
  EXPECT_EQ(Say({alice_}), "ask crl http://crl.test/of-list.crl");
  // An answer that is newer than the list needs no delta.
  Answer(AnswerOf(alice_, root_.certificate), root_);
  EXPECT_EQ(Say({alice_}), "VALID");
  // Whom the list revokes for good no delta gives back.
  PushNothing();
  base.entries = {Revoked(alice_)};
  Push(base, root_);
  EXPECT_EQ(Say({alice_}), "REVOKED");
}

TEST_F(RevocationTest, ADeltaThatCannotBeHadIsAskedForAgainInMinutes) {
  const CertificateRef named = LeafWith(
      root_, {ExtensionOf("freshestCRL", "URI:http://crl.test/delta.crl"),
              ExtensionOf("crlDistributionPoints", "URI:http://crl.test/ca.crl")}, "CN=named");
  options_.revocation.mode = RevocationMode::kOnline;
  EXPECT_EQ(Say({named}), "ask crl http://crl.test/ca.crl") << "a delta alone vouches for nobody";
  Push(List(), root_);
  source_.Close("http://crl.test/delta.crl");
  const Verdict v = Ask({named});
  EXPECT_EQ(v.outcome, Outcome::kValid);
  EXPECT_EQ(v.fresh_until, now_ + absl::Minutes(5));
  // One of another base is no help either.
  source_.Hold(MakeCrl(Delta(11, 12, {}), root_), "http://crl.test/delta.crl", now_);
  EXPECT_EQ(Ask({named}).fresh_until, now_ + absl::Minutes(5));
}

TEST_F(RevocationTest, AResponderThatDoesNotKnowTheCertificateRefusesUnlessAListKnows) {
  options_.revocation.on_unknown = OnUnknown::kAllow;
  EXPECT_EQ(Say({alice_}), "VALID");
  Answer(AnswerOf(alice_, root_.certificate, OcspStatus::kUnknown), root_);
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("does not know"));
  Push(List(), root_);
  EXPECT_EQ(Say({alice_}), "VALID");
}

TEST_F(RevocationTest, BelievesADelegateWithoutNocheckForMinutesUnlessAListKnowsIt) {
  const auto answer_of = [&](const Authority& responder, absl::Duration age) {
    MintOcspRequest request = AnswerOf(alice_, root_.certificate);
    request.produced_at = kTestNow - age;
    request.certificates = {responder.certificate};
    Answer(request, responder);
  };
  answer_of(Responder(root_, true), absl::Minutes(20));
  EXPECT_EQ(Say({alice_}), "VALID");
  const Authority responder = Responder(root_, false);
  answer_of(responder, absl::Minutes(4));
  EXPECT_EQ(Ask({alice_}).fresh_until, kTestNow + absl::Minutes(1));
  answer_of(responder, absl::Minutes(6));
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  MintCrlRequest list = List();
  list.scope = MintCrlScope{};
  list.scope->reasons = {RevocationReason::kSuperseded};  // does not decide about alice
  list.entries = {Revoked(responder.certificate)};
  Push(list, root_);
  answer_of(responder, absl::Minutes(1));
  EXPECT_EQ(Say({alice_}), "REVOCATION_UNKNOWN");
  EXPECT_THAT(Detail({alice_}), HasSubstr("responder's certificate is revoked"));
}

TEST_F(RevocationTest, AsksRespondersFirstAndThenForLists) {
  const CertificateRef leaf = LeafWith(
      root_, {ExtensionOf("authorityInfoAccess",
                          "OCSP;URI:http://ocsp.test/,OCSP;URI:ldap://ocsp.test/,"
                          "caIssuers;URI:http://ca.test/"),
              ExtensionOf("crlDistributionPoints",
                          "URI:http://crl.test/1,URI:ldap://crl.test/2,URI:https://crl.test/3")});
  EXPECT_EQ(Say({leaf}), "REVOCATION_UNKNOWN");  // offline
  options_.revocation.mode = RevocationMode::kOnline;
  EXPECT_EQ(Say({leaf}), "ask ocsp http://ocsp.test/");
  const Verdict v = Ask({leaf});
  EXPECT_EQ(v.reason, Reason::kRevocationUnknown);
  EXPECT_EQ(v.inquiries[0].subject, leaf);
  EXPECT_EQ(v.inquiries[0].issuer->sha256(), root_.certificate->sha256());
  EXPECT_TRUE(v.inquiries[0].nonce);
  EXPECT_LE(v.fresh_until, now_);
  source_.Close("http://ocsp.test/");
  EXPECT_EQ(Say({leaf}), "ask crl http://crl.test/1, crl https://crl.test/3");
  source_.Close("http://crl.test/1");
  EXPECT_EQ(Say({leaf}), "ask crl https://crl.test/3");
  source_.Close("https://crl.test/3");
  EXPECT_EQ(Say({leaf}), "REVOCATION_UNKNOWN");
  options_.revocation.on_unknown = OnUnknown::kAllow;
  EXPECT_EQ(Say({leaf}), "VALID");
}

TEST_F(RevocationTest, AsksForListsWhereTheResponderDoesNotKnow) {
  options_.revocation.mode = RevocationMode::kOnline;
  const CertificateRef leaf =
      LeafWith(root_, {ExtensionOf("authorityInfoAccess", "OCSP;URI:http://ocsp.test/"),
                       ExtensionOf("crlDistributionPoints", "URI:http://crl.test/1")});
  Answer(AnswerOf(leaf, root_.certificate, OcspStatus::kUnknown), root_);
  EXPECT_EQ(Say({leaf}), "ask crl http://crl.test/1");
}

TEST_F(RevocationTest, AsksTheResponderOfTheOptionsInstead) {
  options_.revocation.mode = RevocationMode::kOnline;
  options_.revocation.ocsp_url = "https://ocsp.own/";
  options_.revocation.ocsp_nonce = false;
  EXPECT_EQ(Say({alice_}), "ask ocsp https://ocsp.own/");
  EXPECT_FALSE(Ask({alice_}).inquiries[0].nonce);
  EXPECT_EQ(
      Say({LeafWith(root_, {ExtensionOf("authorityInfoAccess", "OCSP;URI:http://ocsp.test/")})}),
      "ask ocsp https://ocsp.own/");
}

TEST_F(RevocationTest, AsksNothingOnceAnythingOfThePathIsRevoked) {
  options_.revocation.mode = RevocationMode::kOnline;
  const CertificateRef leaf =
      LeafWith(sub_, {ExtensionOf("authorityInfoAccess", "OCSP;URI:http://ocsp.test/")});
  Push(List({Revoked(sub_.certificate)}), root_);
  EXPECT_EQ(Say({leaf, sub_.certificate}), "REVOKED");
}

TEST_F(RevocationTest, AsksNothingForAPathThatFailsOtherwise) {
  options_.revocation.mode = RevocationMode::kOnline;
  options_.revocation.ocsp_url = "http://ocsp.own/";
  EXPECT_EQ(Say({Leaf(Root("CN=Root,O=Example", 3), "CN=mallory")}), "UNKNOWN_ISSUER");
  options_.require.min_key_bits = 384;
  EXPECT_EQ(Say({alice_}), "REQUIREMENT_NOT_MET");
}

TEST_F(RevocationTest, NeverAsksWhereAnUrlIsNotOne) {
  options_.revocation.mode = RevocationMode::kOnline;
  const std::string url = "http://ocsp.test/a b";
  const std::string der = std::string("\x30\x22\x30\x20\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86\x14", 16) + url;
  ASSERT_EQ(url.size(), 0x14u);
  EXPECT_EQ(Say({LeafWith(root_, {{"authorityInfoAccess", false, der}})}), "REVOCATION_UNKNOWN");
}

TEST_F(RevocationTest, ARevokedCrossCertificateDoesNotHideAGoodSecondPath) {
  const Authority other = Root("CN=Other Root", 2);
  const CertificateRef cross =
      Make(Request(Profile::kIntermediate, "CN=Sub,O=Example"), KeyAt(1), other.signer());
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  Trust({root_.certificate, other.certificate});
  Push(List(), sub_);
  Push(List(), root_);
  Push(List({Revoked(cross)}), other);
  EXPECT_EQ(Say({leaf, cross}), "REVOKED");
  EXPECT_EQ(Say({leaf, cross, sub_.certificate}), "VALID");
  EXPECT_EQ(Say({leaf, sub_.certificate, cross}), "VALID");
}

TEST_F(RevocationTest, APathThatIsKnownToBeGoodNeedsNoAnswerAboutAnother) {
  const Authority other = Root("CN=Other Root", 2);
  const CertificateRef cross =
      Make(Request(Profile::kIntermediate, "CN=Sub,O=Example"), KeyAt(1), other.signer());
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  options_.revocation.mode = RevocationMode::kOnline;
  options_.revocation.ocsp_url = "http://ocsp.own/";
  Trust({root_.certificate, other.certificate});
  Push(List(), sub_);
  EXPECT_EQ(Say({leaf, cross, sub_.certificate}), "ask ocsp http://ocsp.own/, ocsp http://ocsp.own/");
  Push(List(), root_);
  EXPECT_EQ(Say({leaf, cross, sub_.certificate}), "VALID");
}

TEST_F(RevocationTest, OnlyAFinalVerdictIsCached) {
  options_.revocation.mode = RevocationMode::kOnline;
  options_.revocation.ocsp_url = "http://ocsp.own/";
  FakeClock clock(now_);
  VerdictCache cache(4, clock);
  cache.Store({}, 1, std::make_shared<const Verdict>(Ask({alice_})));
  EXPECT_EQ(cache.size(), 0u);
}

TEST_F(RevocationTest, TellsWhatItKnowsOfEveryCertificate) {
  const CertificateRef leaf = Leaf(sub_, "CN=alice");
  Push(List(), sub_);
  Push(List(), root_);
  Trace trace;
  Judge(std::vector{leaf, sub_.certificate}, options_, now_, nullptr, &trace);
  std::vector<std::string> subjects;
  for (const TraceStep& s : trace.steps) {
    if (s.step == "revocation") subjects.push_back(s.certificate);
  }
  EXPECT_THAT(subjects, ElementsAre("CN=alice", "CN=Sub,O=Example"));
}

TEST_F(RevocationTest, InquiriesWithEqualKeysHaveOneAnswer) {
  const CertificateRef bob = Leaf(root_, "CN=bob");
  const auto key = [&](Inquiry::Kind kind, const char* url, const CertificateRef& subject) {
    return Inquiry{kind, url, subject, root_.certificate}.Key();
  };
  const auto ocsp = Inquiry::Kind::kOcsp, crl = Inquiry::Kind::kCrl;
  EXPECT_EQ(key(ocsp, "http://a/", alice_), key(ocsp, "http://a/", alice_));
  EXPECT_NE(key(ocsp, "http://a/", alice_), key(ocsp, "http://a/", bob));
  EXPECT_NE(key(ocsp, "http://a/", alice_), key(ocsp, "http://b/", alice_));
  EXPECT_EQ(key(crl, "http://a/", alice_), key(crl, "http://a/", bob));
  EXPECT_NE(key(crl, "http://a/", alice_), key(ocsp, "http://a/", alice_));
}

TEST_F(RevocationTest, SharesUnchangedListsBetweenStores) {
  Push(List({}, 1), root_);
  const TrustStoreRef before = options_.trust_store;
  input_.previous = before;
  Push(List({}, 2), Root("CN=Other", 3));
  ASSERT_THAT(options_.trust_store->crls(), SizeIs(2));
  EXPECT_EQ(options_.trust_store->crls()[0], before->crls()[0]);
  EXPECT_NE(options_.trust_store->version(), before->version());
}

TEST_F(RevocationTest, NamesTheListThatCannotBeRead) {
  MintCrlRequest list = List();
  list.extensions = {{"1.2.3.4", true, "x"}};
  input_.crls_pem = {CrlToPem(Der(List(), root_)), CrlToPem(Der(list, root_))};
  std::vector<FieldError> errors;
  EXPECT_EQ(TrustStore::Create(input_, &errors), nullptr);
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_EQ(errors[0].field, "crls[1]");
  EXPECT_THAT(errors[0].message, HasSubstr("critical extension"));
}

TEST_F(RevocationTest, EveryOptionChangesTheEpoch) {
  std::set<uint64_t> epochs = {ContentEpoch(options_)};
  const auto with = [&](auto change) {
    SchemeOptions changed = options_;
    change(changed.revocation);
    EXPECT_TRUE(epochs.insert(ContentEpoch(changed)).second);
  };
  with([](auto& r) { r.mode = RevocationMode::kOnline; });
  with([](auto& r) { r.scope = RevocationScope::kEntireChain; });
  with([](auto& r) { r.on_unknown = OnUnknown::kAllow; });
  with([](auto& r) { r.max_age = absl::Hours(2); });
  with([](auto& r) { r.skew = absl::Minutes(1); });
  with([](auto& r) { r.timeout = absl::Seconds(1); });
  with([](auto& r) { r.ocsp_url = "http://ocsp.own/"; });
  with([](auto& r) { r.ocsp_nonce = false; });
}

}  // namespace
}  // namespace gatehouse::certs
