// The desk with a fetcher that answers what a test says, when it says so, and a clock that stands still.
#include "gateway/server/revocation_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ecdsa.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gateway/base/fields.h"
#include "gateway/certs/crl_mint.h"
#include "gateway/certs/der.h"
#include "gateway/certs/names.h"
#include "gateway/certs/ocsp_mint.h"
#include "gateway/certs/test_pki.h"
#include "gateway/certs/test_revocation.h"
#include "gateway/certs/validator.h"

namespace gatehouse::server {
namespace {

using certs::Inquiry;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Outcome = RevocationDesk::Outcome;

constexpr char kResponder[] = "http://ocsp.test/";
constexpr char kPoint[] = "http://crl.test/ca.crl";

class FakeFetcher final : public fetch::Fetcher {
 public:
  void Fetch(fetch::FetchRequest request, absl::AnyInvocable<void(fetch::FetchResult)> done) override {
    asked.push_back(request.url);
    pending_.emplace_back(std::move(request), std::move(done));
  }
  // Answers the oldest fetch of `url`.
  void Answer(const std::string& url, std::string body) {
    fetch::FetchResult result;
    result.body = std::move(body);
    Finish(url, std::move(result));
  }
  void Fail(const std::string& url, fetch::FetchError error) {
    fetch::FetchResult result;
    result.error = error;
    result.detail = "as the test says";
    Finish(url, std::move(result));
  }
  const fetch::FetchRequest& request(size_t i) const { return pending_.at(i).first; }
  size_t pending() const { return pending_.size(); }

  std::vector<std::string> asked;

 private:
  void Finish(const std::string& url, fetch::FetchResult result) {
    auto it = std::find_if(pending_.begin(), pending_.end(), [&](const auto& p) { return p.first.url == url; });
    ASSERT_NE(it, pending_.end()) << "nobody asked " << url;
    auto done = std::move(it->second);
    pending_.erase(it);
    done(std::move(result));
  }
  std::vector<std::pair<fetch::FetchRequest, absl::AnyInvocable<void(fetch::FetchResult)>>> pending_;
};

class RevocationDeskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.revocation.mode = certs::RevocationMode::kOnline;
    options_.revocation.ocsp_nonce = false;
    Open();
  }
  void TearDown() override {
    desk_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  RevocationDesk::Options DeskOptions() {
    RevocationDesk::Options options;
    options.clock = &clock_;
    auto fetcher = std::make_unique<FakeFetcher>();
    fetcher_ = fetcher.get();
    options.fetcher = std::move(fetcher);
    options.threads = 0;
    options.period = absl::ZeroDuration();
    options.directory = directory_;
    options.on_news = [this](const RevocationNews& news) { news_.push_back(news); };
    options.on_notice = [this](const std::string& text, bool) { notices_.push_back(text); };
    return options;
  }
  void Open() { Open(DeskOptions()); }
  void Open(RevocationDesk::Options options) {
    desk_.reset();
    absl::StatusOr<std::unique_ptr<RevocationDesk>> desk = RevocationDesk::Open(std::move(options));
    ASSERT_TRUE(desk.ok()) << desk.status();
    desk_ = *std::move(desk);
  }
  void UseDisk() {
    char pattern[] = "/tmp/gatehouse-desk-XXXXXX";
    directory_ = std::string(::mkdtemp(pattern)) + "/cache";
    Open();
  }

  Inquiry Ocsp(const certs::CertificateRef& leaf) const {
    return {Inquiry::Kind::kOcsp, kResponder, leaf, ca_.certificate, false};
  }
  Inquiry Crl(const certs::CertificateRef& leaf, const std::string& url = kPoint) const {
    return {Inquiry::Kind::kCrl, url, leaf, ca_.certificate, false};
  }
  std::string OcspAnswer(const certs::CertificateRef& leaf, certs::OcspStatus status,
                         absl::Duration validity = absl::Hours(4)) const {
    return OcspAnswerBy(leaf, status, ca_, validity);
  }
  std::string OcspAnswerBy(const certs::CertificateRef& leaf, certs::OcspStatus status, const certs::Authority& signer,
                           absl::Duration validity = absl::Hours(4)) const {
    certs::MintOcspRequest request;
    request.issuer = ca_.certificate;
    certs::MintOcspSingle single;
    single.subject = leaf;
    single.status = status;
    single.this_update = clock_.Now();
    single.next_update = clock_.Now() + validity;
    single.revoked = clock_.Now() - absl::Hours(1);
    single.reason = revoked_for_;
    request.answers.push_back(single);
    request.produced_at = clock_.Now();
    return *MintOcspAnswer(request, signer.signer());
  }
  std::string List(uint64_t number, std::vector<certs::CertificateRef> revoked = {},
                   absl::Duration validity = absl::Hours(4)) const {
    return ListBy(ca_, number, std::move(revoked), validity);
  }
  std::string ListBy(const certs::Authority& signer, uint64_t number, std::vector<certs::CertificateRef> revoked = {},
                     absl::Duration validity = absl::Hours(4)) const {
    certs::MintCrlRequest request;
    request.issuer = ca_.certificate->subject();
    request.this_update = clock_.Now();
    request.next_update = clock_.Now() + validity;
    request.number = number;
    for (const certs::CertificateRef& c : revoked) {
      request.entries.push_back({certs::SerialOf(*c), clock_.Now() - absl::Hours(1), std::nullopt, "", {}});
    }
    return *MintCrl(request, signer.signer());
  }

  // Ask, counting how often it is called back.
  RevocationDesk::Ticket Ask(std::vector<Inquiry> inquiries, int* called, bool all = false) {
    return desk_->Ask(inquiries, options_, all, [](absl::AnyInvocable<void()> f) { f(); }, [called] { ++*called; });
  }
  // Ask and answer at once.
  void Learn(const Inquiry& inquiry, std::string body) {
    int called = 0;
    RevocationDesk::Ticket ticket = Ask({inquiry}, &called);
    ASSERT_NE(ticket, nullptr);
    fetcher_->Answer(inquiry.url, std::move(body));
    EXPECT_EQ(called, 1);
  }
  RevocationDesk::Source Source(bool ask = true, bool use = true) { return {desk_.get(), options_, ask, use}; }
  certs::OcspAnswerRef Held(const certs::CertificateRef& leaf, bool use = true) {
    return Source(true, use).OcspOf(*leaf, *ca_.certificate);
  }
  std::vector<certs::HeldCrl> HeldLists() {
    return Source().CrlsOf(certs::NameHash(X509_get_subject_name(ca_.certificate->x509())));
  }
  int64_t Count(Inquiry::Kind kind, Outcome outcome) const { return desk_->fetches(kind, outcome); }

  FakeClock clock_{certs::kTestNow};
  const certs::Authority ca_ = certs::Root("CN=Root", 0);
  const certs::Authority other_ = certs::Root("CN=Other", 1);
  const certs::CertificateRef alice_ = certs::Leaf(ca_, "CN=alice", 9);
  const certs::CertificateRef bob_ = certs::Leaf(ca_, "CN=bob", 8);
  certs::SchemeOptions options_;
  certs::RevocationReason revoked_for_ = certs::RevocationReason::kUnspecified;
  std::string directory_;
  FakeFetcher* fetcher_ = nullptr;
  std::unique_ptr<RevocationDesk> desk_;
  std::vector<RevocationNews> news_;
  std::vector<std::string> notices_;
};

TEST_F(RevocationDeskTest, AnAnswerIsFetchedVerifiedAndHeld) {
  EXPECT_EQ(Held(alice_), nullptr);
  EXPECT_TRUE(Source().MayAsk(Ocsp(alice_)));
  int called = 0;
  RevocationDesk::Ticket ticket = Ask({Ocsp(alice_)}, &called);
  ASSERT_NE(ticket, nullptr);
  ASSERT_EQ(fetcher_->pending(), 1u);
  EXPECT_EQ(fetcher_->request(0).content_type, "application/ocsp-request");
  EXPECT_FALSE(fetcher_->request(0).body.empty());
  EXPECT_EQ(called, 0);

  fetcher_->Answer(kResponder, OcspAnswer(alice_, certs::OcspStatus::kGood));
  EXPECT_EQ(called, 1);
  ASSERT_NE(Held(alice_), nullptr);
  EXPECT_EQ(Held(alice_)->status, certs::OcspStatus::kGood);
  EXPECT_EQ(Held(alice_)->url, kResponder);
  EXPECT_EQ(Held(bob_), nullptr);
  EXPECT_FALSE(Source().MayAsk(Ocsp(alice_))) << "what is held need not be asked for";
  EXPECT_EQ(Count(Inquiry::Kind::kOcsp, Outcome::kOk), 1);
  EXPECT_THAT(news_, IsEmpty()) << "good news changes no verdict";
}

TEST_F(RevocationDeskTest, HoweverManyWaitThereIsOneFetch) {
  int called = 0;
  std::vector<RevocationDesk::Ticket> tickets;
  for (int i = 0; i < 100; ++i) tickets.push_back(Ask({Ocsp(alice_)}, &called));
  EXPECT_EQ(fetcher_->asked.size(), 1u);
  tickets.resize(60);  // some do not want to know any more
  fetcher_->Answer(kResponder, OcspAnswer(alice_, certs::OcspStatus::kGood));
  EXPECT_EQ(called, 60);
}

TEST_F(RevocationDeskTest, WhoGaveUpTakesNoRoom) {
  int called = 0, posted = 0;
  const RevocationDesk::Ticket waits = Ask({Ocsp(alice_)}, &called);
  for (int i = 0; i < 1000; ++i) {  // a stream that is reset at once, again and again
    desk_->Ask({{Ocsp(alice_)}}, options_, false, [&](absl::AnyInvocable<void()>) { ++posted; }, [] {});
  }
  fetcher_->Answer(kResponder, OcspAnswer(alice_, certs::OcspStatus::kGood));
  EXPECT_EQ(called, 1);
  EXPECT_LT(posted, 100);
}

TEST_F(RevocationDeskTest, OcspIsAskedBeforeListsAndAllWhenTimeIsShort) {
  int called = 0;
  RevocationDesk::Ticket first = Ask({Crl(alice_), Ocsp(alice_)}, &called);
  EXPECT_THAT(fetcher_->asked, ElementsAre(kResponder));
  RevocationDesk::Ticket second = Ask({Crl(alice_), Ocsp(alice_)}, &called, true);
  EXPECT_THAT(fetcher_->asked, ElementsAre(kResponder, kPoint));
  fetcher_->Fail(kResponder, fetch::FetchError::kTimedOut);
  EXPECT_EQ(called, 2);
  EXPECT_FALSE(Source().MayAsk(Ocsp(alice_)));
  EXPECT_TRUE(Source().MayAsk(Crl(alice_)));
  EXPECT_NE(Ask({Crl(alice_), Ocsp(alice_)}, &called), nullptr) << "joins the list's fetch";
  EXPECT_EQ(fetcher_->asked.size(), 2u);
}

TEST_F(RevocationDeskTest, WhatFailedIsLeftAloneForLongerEachTime) {
  absl::Duration last;
  for (int i = 0; i < 8; ++i) {
    int called = 0;
    RevocationDesk::Ticket ticket = Ask({Ocsp(alice_)}, &called);
    ASSERT_NE(ticket, nullptr) << i;
    fetcher_->Fail(kResponder, fetch::FetchError::kBadAnswer);
    EXPECT_EQ(called, 1);
    EXPECT_FALSE(Source().MayAsk(Ocsp(alice_)));
    EXPECT_EQ(Ask({Ocsp(alice_)}, &called), nullptr);
    absl::Duration waited;
    while (!Source().MayAsk(Ocsp(alice_))) {
      clock_.Advance(absl::Milliseconds(100));
      waited += absl::Milliseconds(100);
      ASSERT_LE(waited, absl::Minutes(5));
    }
    EXPECT_GE(waited * 2.1, last) << "between half and the whole, which doubles";
    EXPECT_GE(waited, absl::Seconds(1) * (1 << std::min(i, 4)));
    last = waited;
  }
  EXPECT_TRUE(Source().MayAsk(Ocsp(bob_))) << "of what the responder says of alice, bob knows nothing";
}

TEST_F(RevocationDeskTest, AHostThatIsDownIsLeftAloneAltogether) {
  for (int i = 0; i < 3; ++i) {
    const certs::CertificateRef leaf = certs::Leaf(ca_, "CN=x", 9);
    int called = 0;
    RevocationDesk::Ticket ticket = Ask({Ocsp(leaf)}, &called);
    fetcher_->Fail(kResponder, fetch::FetchError::kUnreachable);
  }
  EXPECT_FALSE(Source().MayAsk(Ocsp(alice_)));
  EXPECT_TRUE(Source().MayAsk(Crl(alice_)));
  clock_.Advance(absl::Seconds(9));
  EXPECT_TRUE(Source().MayAsk(Ocsp(alice_)));
  // Twenty that fail together are not twenty outages.
  std::vector<RevocationDesk::Ticket> tickets;
  int called = 0;
  for (int i = 0; i < 20; ++i) tickets.push_back(Ask({Ocsp(certs::Leaf(ca_, "CN=x", 9))}, &called));
  for (int i = 0; i < 20; ++i) fetcher_->Fail(kResponder, fetch::FetchError::kTimedOut);
  clock_.Advance(absl::Seconds(33));
  EXPECT_TRUE(Source().MayAsk(Ocsp(alice_)));
}

TEST_F(RevocationDeskTest, ALateFetchIsNotWaitedForByThoseWhoComeLater) {
  int called = 0;
  RevocationDesk::Ticket ticket = Ask({Crl(alice_)}, &called);
  clock_.Advance(options_.revocation.timeout);
  EXPECT_FALSE(Source().MayAsk(Crl(alice_)));
  EXPECT_EQ(Ask({Crl(alice_)}, &called), nullptr);
  fetcher_->Answer(kPoint, List(1));
  EXPECT_EQ(HeldLists().size(), 1u) << "it is of use all the same";
}

TEST_F(RevocationDeskTest, NobodyIsAskedOfflineOrWhereTheUrlIsNone) {
  Inquiry ldap = Crl(alice_, "ldap://directory.test/cn=ca");
  Inquiry user = Crl(alice_, "http://user:word@crl.test/");
  EXPECT_FALSE(Source().MayAsk(ldap));
  EXPECT_FALSE(Source().MayAsk(user));
  EXPECT_FALSE(Source(false).MayAsk(Ocsp(alice_)));
  options_.revocation.mode = certs::RevocationMode::kOffline;
  EXPECT_FALSE(Source().MayAsk(Ocsp(alice_)));
}

TEST_F(RevocationDeskTest, ALyingResponderIsNotBelieved) {
  const std::vector<std::string> lies = {
      OcspAnswerBy(alice_, certs::OcspStatus::kGood, other_),  // signed by somebody else
      OcspAnswer(bob_, certs::OcspStatus::kGood),              // about somebody else
      "garbage",
      "",
      OcspAnswer(alice_, certs::OcspStatus::kGood, absl::Hours(-2)),  // over already
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    Learn(Ocsp(alice_), lies[i]);
    EXPECT_EQ(Held(alice_), nullptr) << i;
    EXPECT_FALSE(Source().MayAsk(Ocsp(alice_))) << i;
    clock_.Advance(absl::Minutes(6));
  }
  EXPECT_EQ(Count(Inquiry::Kind::kOcsp, Outcome::kRefused), static_cast<int64_t>(lies.size()));
  Learn(Ocsp(alice_), certs::MintOcspError(3));
  EXPECT_EQ(Count(Inquiry::Kind::kOcsp, Outcome::kTryLater), 1);
}

TEST_F(RevocationDeskTest, WhatPromisesNoSuccessorIsAskedForAgainWhileItIsBelieved) {
  certs::MintOcspRequest request;
  request.issuer = ca_.certificate;
  request.answers.push_back({alice_, certs::OcspStatus::kGood, clock_.Now(), std::nullopt, {}, {}});
  request.produced_at = clock_.Now();
  const std::string answer = *MintOcspAnswer(request, ca_.signer());
  Learn(Ocsp(alice_), answer);
  EXPECT_FALSE(Source().MayAsk(Ocsp(alice_)));
  clock_.Advance(absl::Minutes(5));
  EXPECT_TRUE(Source().MayAsk(Ocsp(alice_)));
  for (int i = 0; i < 4; ++i) {  // the same again and again
    Learn(Ocsp(alice_), answer);
    EXPECT_FALSE(Source().MayAsk(Ocsp(alice_)));
    clock_.Advance(absl::Seconds(2 << i));
    EXPECT_TRUE(Source().MayAsk(Ocsp(alice_))) << i;
  }
}

TEST_F(RevocationDeskTest, ANonceIsSentOnceAndAnotherOneRefused) {
  Inquiry inquiry = Ocsp(alice_);
  inquiry.nonce = true;
  int called = 0;
  RevocationDesk::Ticket ticket = Ask({inquiry}, &called);
  const std::string first = fetcher_->request(0).body;
  certs::MintOcspRequest wrong;
  wrong.issuer = ca_.certificate;
  wrong.answers.push_back({alice_, certs::OcspStatus::kGood, clock_.Now(), clock_.Now() + absl::Hours(1), {}, {}});
  wrong.produced_at = clock_.Now();
  wrong.nonce = "somebody else's.";
  fetcher_->Answer(kResponder, *MintOcspAnswer(wrong, ca_.signer()));
  EXPECT_EQ(Held(alice_), nullptr);
  clock_.Advance(absl::Minutes(6));
  ticket = Ask({inquiry}, &called);
  EXPECT_NE(fetcher_->request(0).body, first);
  fetcher_->Answer(kResponder, OcspAnswer(alice_, certs::OcspStatus::kGood));
  EXPECT_NE(Held(alice_), nullptr) << "a responder that ignores it is tolerated";
}

TEST_F(RevocationDeskTest, AReplayedAnswerDoesNotTakeTheNewersPlace) {
  const std::string old = OcspAnswer(alice_, certs::OcspStatus::kGood, absl::Hours(24));
  clock_.Advance(absl::Minutes(10));
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked, absl::Minutes(1)));
  EXPECT_THAT(news_.at(0).revoked, ElementsAre(certs::StatusIdOf(*alice_, *ca_.certificate)));
  clock_.Advance(absl::Minutes(2));
  Learn(Ocsp(alice_), old);
  EXPECT_EQ(Held(alice_)->status, certs::OcspStatus::kRevoked);
  EXPECT_EQ(Count(Inquiry::Kind::kOcsp, Outcome::kOlder), 1);
}

// ECDSA's (r, s) and (r, n - s) are both signatures of the same: anybody makes another certificate of the same serial number out
// of his own, without any key.
certs::CertificateRef WithTheOtherSignature(const certs::CertificateRef& c) {
  certs::DerReader outer(c->der());
  certs::DerReader parts(*outer.Next(certs::der::kSequence));
  const certs::DerElement tbs = *parts.Next(), algorithm = *parts.Next();
  const absl::string_view bits = *certs::WholeOctets(*parts.Next(certs::der::kBitString));
  const auto* p = reinterpret_cast<const unsigned char*>(bits.data());
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &p, static_cast<long>(bits.size()));
  BIGNUM* order = nullptr;
  BN_hex2bn(&order, "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
  const BIGNUM *r = nullptr, *s = nullptr;
  ECDSA_SIG_get0(signature, &r, &s);
  BIGNUM* other = BN_new();
  BN_sub(other, order, s);
  ECDSA_SIG_set0(signature, BN_dup(r), other);
  unsigned char* der = nullptr;
  const int n = i2d_ECDSA_SIG(signature, &der);
  std::string content(tbs.whole);
  content.append(algorithm.whole.data(), algorithm.whole.size());
  content += {3, static_cast<char>(n + 1), 0};
  content.append(reinterpret_cast<char*>(der), static_cast<size_t>(n));
  const std::string head = {0x30, static_cast<char>(0x82), static_cast<char>(content.size() >> 8), static_cast<char>(content.size() & 0xff)};
  absl::StatusOr<certs::CertificateRef> out = certs::Certificate::FromDer(head + content);
  EXPECT_TRUE(out.ok()) << out.status();
  OPENSSL_free(der);
  ECDSA_SIG_free(signature);
  BN_free(order);
  return out.ok() ? *out : nullptr;
}

TEST_F(RevocationDeskTest, WhoIsRevokedIsSoWithAnotherSignatureOfTheSameCertificate) {
  const certs::CertificateRef again = WithTheOtherSignature(alice_);
  ASSERT_NE(again->sha256(), alice_->sha256());
  ASSERT_TRUE(again->IsSignedBy(*ca_.certificate));
  options_.trust_store = certs::Store({ca_.certificate});
  options_.revocation.on_unknown = certs::OnUnknown::kAllow;
  options_.revocation.mode = certs::RevocationMode::kOffline;
  const auto say = [&](const certs::CertificateRef& leaf) {
    const RevocationDesk::Source source = Source();
    return certs::Judge({leaf}, options_, clock_.Now(), &source);
  };
  const certs::Verdict before = say(again);
  EXPECT_EQ(before.outcome, certs::Outcome::kValid);
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked));
  EXPECT_EQ(say(alice_).reason, Reason::kRevoked);
  EXPECT_EQ(say(again).reason, Reason::kRevoked);
  EXPECT_TRUE(news_.at(0).Concerns(before)) << "what was said before is thought over";
}

TEST_F(RevocationDeskTest, OfEquallyNewAnswersTheOneThatRevokesStays) {
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked, absl::Minutes(1)));
  const std::string good = OcspAnswer(alice_, certs::OcspStatus::kGood);
  clock_.Advance(absl::Minutes(2));
  Learn(Ocsp(alice_), good);
  EXPECT_EQ(Held(alice_)->status, certs::OcspStatus::kRevoked);
  EXPECT_EQ(Count(Inquiry::Kind::kOcsp, Outcome::kOlder), 1);
}

TEST_F(RevocationDeskTest, ANewerGoodAnswerEndsAHoldAndNoOtherRevocation) {
  revoked_for_ = certs::RevocationReason::kCertificateHold;
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked, absl::Minutes(1)));
  clock_.Advance(absl::Minutes(10));
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kGood));
  EXPECT_EQ(Held(alice_)->status, certs::OcspStatus::kGood);
  revoked_for_ = certs::RevocationReason::kUnspecified;
  Learn(Ocsp(bob_), OcspAnswer(bob_, certs::OcspStatus::kRevoked, absl::Minutes(1)));
  clock_.Advance(absl::Minutes(10));
  Learn(Ocsp(bob_), OcspAnswer(bob_, certs::OcspStatus::kGood));
  EXPECT_EQ(Held(bob_)->status, certs::OcspStatus::kRevoked);
  EXPECT_EQ(Count(Inquiry::Kind::kOcsp, Outcome::kRefused), 1);
  EXPECT_THAT(notices_.back(), HasSubstr("only a hold can be taken back"));
}

TEST_F(RevocationDeskTest, ARevocationThatIsTooWeakForAStricterSchemeDoesNotKeepItFromTheTruth) {
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked, absl::Minutes(1)));
  clock_.Advance(absl::Minutes(10));
  options_.strength.min_ec_bits = 255;  // another standard, which the answer was not held against
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kGood));
  EXPECT_EQ(Held(alice_)->status, certs::OcspStatus::kGood);
}

TEST_F(RevocationDeskTest, GoodAnswersDoNotPushOutTheOneThatRevokes) {
  RevocationDesk::Options options = DeskOptions();
  options.max_answers = 2;
  Open(std::move(options));
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked));
  for (int i = 0; i < 5; ++i) {
    const certs::CertificateRef leaf = certs::Leaf(ca_, "CN=x", 9);
    Learn(Ocsp(leaf), OcspAnswer(leaf, certs::OcspStatus::kGood));
  }
  ASSERT_NE(Held(alice_), nullptr);
  EXPECT_EQ(Held(alice_)->status, certs::OcspStatus::kRevoked);
}

TEST_F(RevocationDeskTest, WhatOneSchemeFindsStrongEnoughAnotherNeedNot) {
  // The authority's key has 256 bits; the strict scheme wants more.
  certs::SchemeOptions strict = options_;
  strict.strength.min_ec_bits = 384;
  certs::MintOcspRequest request;
  request.issuer = ca_.certificate;
  certs::MintOcspSingle single;
  single.subject = alice_;
  single.this_update = clock_.Now();
  single.next_update = clock_.Now() + absl::Hours(1);
  request.answers.push_back(single);
  request.produced_at = clock_.Now();
  const certs::Authority delegate = certs::Responder(ca_);
  request.certificates = {delegate.certificate};
  Learn(Ocsp(alice_), *MintOcspAnswer(request, delegate.signer()));
  ASSERT_NE(Held(alice_), nullptr);
  RevocationDesk::Source other(desk_.get(), strict, true, true);
  EXPECT_EQ(other.OcspOf(*alice_, *ca_.certificate), nullptr);
  EXPECT_TRUE(other.MayAsk(Ocsp(alice_))) << "it may ask for one of its own";
  EXPECT_NE(Held(alice_), nullptr);

  // Only what differs is verified again, and a stronger demand that is met is remembered.
  certs::SchemeOptions same = options_;
  same.strength.min_rsa_bits = 4096;
  RevocationDesk::Source third(desk_.get(), same, true, true);
  EXPECT_TRUE(third.MayAsk(Ocsp(alice_)));
  EXPECT_NE(third.OcspOf(*alice_, *ca_.certificate), nullptr);
  EXPECT_FALSE(third.MayAsk(Ocsp(alice_)));
}

TEST_F(RevocationDeskTest, AClockThatIsSetBackNeitherProlongsBeliefNorSilence) {
  clock_.Advance(absl::Hours(24));
  const std::string ahead = List(1, {alice_}, absl::Hours(240));
  Learn(Crl(alice_), ahead);
  Learn(Ocsp(bob_), OcspAnswer(bob_, certs::OcspStatus::kGood, absl::Hours(240)));
  int called = 0;
  RevocationDesk::Ticket ticket = Ask({Ocsp(alice_)}, &called);
  fetcher_->Fail(kResponder, fetch::FetchError::kBadAnswer);
  clock_.Advance(-absl::Hours(24));
  EXPECT_EQ(Held(bob_), nullptr) << "how old it is cannot be told";
  EXPECT_TRUE(Source().MayAsk(Ocsp(bob_)));
  EXPECT_TRUE(Source().MayAsk(Ocsp(alice_))) << "nobody is left alone for a day";
  ASSERT_EQ(HeldLists().size(), 1u);
  EXPECT_EQ(HeldLists()[0].received, absl::InfinitePast()) << "it revokes, and vouches for nobody";
  EXPECT_TRUE(Source().MayAsk(Crl(alice_)));
}

TEST_F(RevocationDeskTest, MaxAgeEndsBeliefButNotARevocation) {
  options_.revocation.max_age = absl::Minutes(10);
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kGood));
  Learn(Ocsp(bob_), OcspAnswer(bob_, certs::OcspStatus::kRevoked));
  clock_.Advance(absl::Minutes(10));
  EXPECT_EQ(Held(alice_), nullptr);
  EXPECT_TRUE(Source().MayAsk(Ocsp(alice_)));
  ASSERT_NE(Held(bob_), nullptr);
  EXPECT_TRUE(Source().MayAsk(Ocsp(bob_)));
}

TEST_F(RevocationDeskTest, AResponderThatDoesNotKnowIsAskedAgainSoon) {
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kUnknown));
  EXPECT_FALSE(Source().MayAsk(Ocsp(alice_)));
  clock_.Advance(absl::Minutes(1));
  EXPECT_TRUE(Source().MayAsk(Ocsp(alice_)));
}

TEST_F(RevocationDeskTest, WhatIsInUseIsAskedForAgainBeforeItRunsOut) {
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kGood, absl::Minutes(40)));
  Learn(Ocsp(bob_), OcspAnswer(bob_, certs::OcspStatus::kGood, absl::Minutes(40)));
  fetcher_->asked.clear();
  clock_.Advance(absl::Minutes(20));
  EXPECT_NE(Held(alice_), nullptr);
  EXPECT_NE(Held(bob_, /*use=*/false), nullptr) << "who has not proven possession keeps nothing in use";
  desk_->Tick();
  EXPECT_THAT(fetcher_->asked, IsEmpty());
  clock_.Advance(absl::Minutes(11));
  desk_->Tick();
  desk_->Tick();
  EXPECT_THAT(fetcher_->asked, ElementsAre(kResponder));
  fetcher_->Answer(kResponder, OcspAnswer(alice_, certs::OcspStatus::kGood, absl::Hours(10)));
  clock_.Advance(absl::Minutes(10));
  EXPECT_NE(Held(alice_), nullptr);
  clock_.Advance(absl::Hours(2));
  fetcher_->asked.clear();
  desk_->Tick();
  EXPECT_THAT(fetcher_->asked, ElementsAre(kResponder)) << "used since";
  fetcher_->Fail(kResponder, fetch::FetchError::kTimedOut);
  desk_->Tick();
  EXPECT_EQ(fetcher_->asked.size(), 1u) << "what fails backs off here too";
}

TEST_F(RevocationDeskTest, AResponderThatIsDownKeepsNoOthersAnswersFromBeingRenewed) {
  constexpr char kDead[] = "http://dead.test/";
  const auto learn = [&](const certs::CertificateRef& leaf, const std::string& url) {
    Inquiry inquiry = Ocsp(leaf);
    inquiry.url = url;
    Learn(inquiry, OcspAnswer(leaf, certs::OcspStatus::kGood, absl::Minutes(40)));
    EXPECT_NE(Held(leaf), nullptr);
  };
  learn(alice_, kResponder);
  for (int i = 0; i < 100; ++i) learn(certs::Leaf(ca_, "CN=x"), kDead);  // used after hers
  fetcher_->asked.clear();
  clock_.Advance(absl::Minutes(31));
  for (int tick = 0; tick < 2; ++tick) {
    desk_->Tick();
    while (fetcher_->pending() > 0 && fetcher_->request(0).url == kDead) fetcher_->Fail(kDead, fetch::FetchError::kTimedOut);
  }
  EXPECT_EQ(std::count(fetcher_->asked.begin(), fetcher_->asked.end(), kResponder), 1);
}

TEST_F(RevocationDeskTest, ARevocationThatIsNoHoldCountsThoughANewerAnswerWasHeld) {
  revoked_for_ = certs::RevocationReason::kKeyCompromise;
  const std::string revoked = OcspAnswer(alice_, certs::OcspStatus::kRevoked);
  revoked_for_ = certs::RevocationReason::kCertificateHold;
  const std::string held = OcspAnswer(alice_, certs::OcspStatus::kRevoked);
  clock_.Advance(absl::Minutes(10));
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kGood));
  clock_.Advance(absl::Hours(2));
  Learn(Ocsp(alice_), held);
  EXPECT_EQ(Held(alice_), nullptr) << "the hold had ended, and that it had is too old now";
  clock_.Advance(absl::Minutes(2));
  Learn(Ocsp(alice_), revoked);
  ASSERT_NE(Held(alice_), nullptr);
  EXPECT_EQ(Held(alice_)->status, certs::OcspStatus::kRevoked);
  EXPECT_EQ(news_.size(), 1u);
}

TEST_F(RevocationDeskTest, AListIsHeldAndWhoIsOnItIsNews) {
  Learn(Crl(alice_), List(1, {bob_}));
  ASSERT_EQ(HeldLists().size(), 1u);
  EXPECT_EQ(HeldLists()[0].from, kPoint);
  EXPECT_FALSE(Source().MayAsk(Crl(alice_)));
  certs::Verdict alice, bob;
  alice.outcome = bob.outcome = certs::Outcome::kValid;
  alice.path = {alice_, ca_.certificate};
  bob.path = {bob_, ca_.certificate};
  ASSERT_EQ(news_.size(), 1u);
  EXPECT_FALSE(news_[0].Concerns(alice)) << "whoever still passes is left alone";
  EXPECT_TRUE(news_[0].Concerns(bob));
}

TEST_F(RevocationDeskTest, AnOlderListNeverTakesTheNewersPlace) {
  const std::string first = List(1);
  clock_.Advance(absl::Minutes(10));
  Learn(Crl(alice_), List(2, {alice_}));
  clock_.Advance(absl::Hours(2));
  Learn(Crl(alice_), first);
  ASSERT_EQ(HeldLists().size(), 1u);
  EXPECT_EQ(HeldLists()[0].list->size(), 1u);
  EXPECT_EQ(Count(Inquiry::Kind::kCrl, Outcome::kOlder), 1);
}

TEST_F(RevocationDeskTest, AForgedNewestListDoesNotStay) {
  // The same name, another key.
  const certs::Authority forger = certs::Root("CN=Root", 3);
  Learn(Crl(alice_), ListBy(forger, 1000));
  EXPECT_EQ(Count(Inquiry::Kind::kCrl, Outcome::kRefused), 1);
  clock_.Advance(absl::Minutes(6));
  Learn(Crl(alice_), List(1, {alice_}));
  ASSERT_FALSE(news_.empty());
  ASSERT_NE(news_.back().lists.at(0).lock(), nullptr);
  EXPECT_EQ(news_.back().lists[0].lock()->size(), 1u);
  clock_.Advance(absl::Hours(2));
  Learn(Crl(alice_), ListBy(forger, 2000));
  bool listed = false;
  for (const certs::HeldCrl& held : HeldLists()) {
    listed = listed || (held.list->size() == 1 && held.list->VerifySignature(ca_.certificate->key(), {}).ok());
  }
  EXPECT_TRUE(listed) << "the true list is still there";
}

TEST_F(RevocationDeskTest, AListOfAnotherScopeTakesNoOthersPlace) {
  UseDisk();
  const std::string old = List(1, {}, absl::Hours(24));
  clock_.Advance(absl::Minutes(10));
  const std::string revoking = List(2, {alice_}, absl::Hours(24));
  // All are the authority's own; who sits on the way has them in the wrong place.
  certs::MintCrlRequest delta;
  delta.this_update = clock_.Now();
  delta.next_update = clock_.Now() + absl::Hours(24);
  delta.number = 3;
  delta.delta_base = 2;
  std::vector<std::string> others = {*MintCrl(delta, ca_.signer())};
  delta.delta_base.reset();
  for (int i = 0; i < 5; ++i) {
    delta.scope = certs::MintCrlScope();
    delta.scope->urls = {"http://crl.test/" + std::to_string(i)};
    others.push_back(*MintCrl(delta, ca_.signer()));
  }
  const auto revokes = [&] {
    for (const certs::HeldCrl& held : HeldLists()) {
      if (held.list->size() == 1) return true;
    }
    return false;
  };
  Learn(Crl(alice_), revoking);
  for (const std::string& other : others) {
    clock_.Advance(absl::Hours(2));
    Learn(Crl(alice_), other);
    EXPECT_TRUE(revokes());
  }
  EXPECT_EQ(HeldLists().size(), 4u) << "bounded";
  clock_.Advance(absl::Hours(2));
  Learn(Crl(alice_), old);
  EXPECT_TRUE(revokes());
  EXPECT_EQ(Count(Inquiry::Kind::kCrl, Outcome::kOlder), 1);
  Open();
  EXPECT_TRUE(revokes()) << "nor on the disk";
  EXPECT_EQ(HeldLists().size(), 4u);

  // What is over makes room.
  clock_.Advance(absl::Hours(48));
  delta.scope = certs::MintCrlScope();
  delta.scope->urls = {"http://crl.test/later"};
  delta.this_update = clock_.Now();
  delta.next_update = clock_.Now() + absl::Hours(24);
  Learn(Crl(alice_), *MintCrl(delta, ca_.signer()));
  EXPECT_EQ(Count(Inquiry::Kind::kCrl, Outcome::kOk), 1) << "since it was opened";
}

TEST_F(RevocationDeskTest, AnotherAuthoritysCertificateCannotSpoilAPlace) {
  // Of the same name, and its certificates name our authority's distribution point.
  const certs::Authority rogue = certs::Root("CN=Root", 3);
  const certs::CertificateRef mallory = certs::Leaf(rogue, "CN=mallory", 9);
  const Inquiry theirs{Inquiry::Kind::kCrl, kPoint, mallory, rogue.certificate, false};
  Learn(theirs, List(1, {alice_}));
  EXPECT_EQ(Count(Inquiry::Kind::kCrl, Outcome::kRefused), 1);
  EXPECT_FALSE(Source().MayAsk(theirs));
  EXPECT_TRUE(Source().MayAsk(Crl(alice_)));
  Learn(Crl(alice_), List(1, {alice_}));
  clock_.Advance(absl::Hours(2));
  Learn(theirs, ListBy(rogue, 1000));
  bool listed = false;
  for (const certs::HeldCrl& held : HeldLists()) {
    listed = listed || held.list->VerifySignature(ca_.certificate->key(), {}).ok();
  }
  EXPECT_TRUE(listed);
  EXPECT_TRUE(Source().MayAsk(Crl(alice_))) << "of our list it is time for the next";
}

TEST_F(RevocationDeskTest, AListThatIsOverAsItComesIsNotAskedForWithoutEnd) {
  const std::string list = List(1, {}, absl::Minutes(1));
  clock_.Advance(absl::Minutes(3));  // over, and within the skew
  Learn(Crl(alice_), list);
  EXPECT_EQ(Count(Inquiry::Kind::kCrl, Outcome::kOk), 1);
  EXPECT_FALSE(Source().MayAsk(Crl(alice_)));
  clock_.Advance(absl::Seconds(3));
  EXPECT_TRUE(Source().MayAsk(Crl(alice_)));
}

TEST_F(RevocationDeskTest, AnExpiredListIsHeldForWhomItNamesAndAskedForAgain) {
  const std::string old = List(1, {bob_}, absl::Hours(1));
  clock_.Advance(absl::Hours(2));
  Learn(Crl(alice_), old);
  EXPECT_EQ(HeldLists().size(), 1u);
  EXPECT_EQ(Count(Inquiry::Kind::kCrl, Outcome::kStale), 1);
  EXPECT_FALSE(Source().MayAsk(Crl(alice_)));
  clock_.Advance(absl::Seconds(3));
  EXPECT_TRUE(Source().MayAsk(Crl(alice_)));
}

TEST_F(RevocationDeskTest, WhatIsNoListOfTheIssuerIsRefused) {
  certs::MintCrlRequest others;
  others.this_update = clock_.Now();
  others.next_update = clock_.Now() + absl::Hours(1);
  others.number = 1;
  const std::string other_list = *MintCrl(others, other_.signer());
  for (const std::string& body : {std::string("garbage"), std::string(), other_list,
                                  certs::CrlToPem(List(1)) + certs::CrlToPem(List(2))}) {
    Learn(Crl(alice_), body);
    EXPECT_THAT(HeldLists(), IsEmpty());
    clock_.Advance(absl::Minutes(6));
  }
  EXPECT_EQ(Count(Inquiry::Kind::kCrl, Outcome::kRefused), 4);
}

TEST_F(RevocationDeskTest, MemoryIsBounded) {
  RevocationDesk::Options options = DeskOptions();
  options.max_crl_bytes = 3 * List(1).size();
  options.max_answers = 2;
  options.max_flights = 5;
  Open(std::move(options));
  for (int i = 0; i < 10; ++i) {
    const std::string url = "http://crl.test/" + std::to_string(i);
    Learn(Crl(alice_, url), List(static_cast<uint64_t>(i + 1)));
    clock_.Advance(absl::Seconds(1));
    EXPECT_LE(desk_->sizes().list_bytes, 3 * List(1).size() + 8);
  }
  EXPECT_LE(desk_->sizes().lists, 3u);
  for (int i = 0; i < 5; ++i) {
    const certs::CertificateRef leaf = certs::Leaf(ca_, "CN=x", 9);
    Learn(Ocsp(leaf), OcspAnswer(leaf, certs::OcspStatus::kGood));
  }
  EXPECT_EQ(desk_->sizes().answers, 2u);
  std::vector<RevocationDesk::Ticket> tickets;
  int called = 0;
  for (int i = 0; i < 6; ++i) tickets.push_back(Ask({Crl(alice_, "http://slow.test/" + std::to_string(i))}, &called));
  EXPECT_NE(tickets[4], nullptr);
  EXPECT_EQ(tickets[5], nullptr) << "nobody waits for what is not asked";
}

TEST_F(RevocationDeskTest, ASourcesFailureAndRecoveryAreToldOnce) {
  for (int i = 0; i < 5; ++i) {
    int called = 0;
    RevocationDesk::Ticket ticket = Ask({Ocsp(alice_)}, &called);
    ASSERT_NE(ticket, nullptr);
    fetcher_->Fail(kResponder, fetch::FetchError::kBadAnswer);
    clock_.Advance(absl::Minutes(6));
  }
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_THAT(notices_[0], HasSubstr("http://ocsp.test/ fails: bad answer"));
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kGood));
  ASSERT_EQ(notices_.size(), 2u);
  EXPECT_THAT(notices_[1], HasSubstr("answers again after 30m"));
}

TEST_F(RevocationDeskTest, TermsOfOneSchemeDoNotCloseAnothersInquiry) {
  certs::SchemeOptions strict = options_;
  strict.revocation.denied_ranges.push_back(*ParseAddressRange("10.0.0.0/8"));
  int called = 0;
  RevocationDesk::Ticket ticket =
      desk_->Ask({{Ocsp(alice_)}}, strict, false, [](absl::AnyInvocable<void()> f) { f(); }, [&] { ++called; });
  fetcher_->Fail(kResponder, fetch::FetchError::kNotPermitted);
  EXPECT_EQ(called, 1);
  EXPECT_FALSE(RevocationDesk::Source(desk_.get(), strict, true, true).MayAsk(Ocsp(alice_)));
  EXPECT_TRUE(Source().MayAsk(Ocsp(alice_)));
}

TEST_F(RevocationDeskTest, TheDiskSurvivesARestart) {
  UseDisk();
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kGood));
  Learn(Crl(alice_), List(7, {bob_}));
  struct stat info;
  ASSERT_EQ(::stat(directory_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    ++files;
  }
  EXPECT_EQ(files, 2);

  clock_.Advance(absl::Minutes(5));
  Open();
  options_.revocation.mode = certs::RevocationMode::kOffline;
  ASSERT_NE(Held(alice_), nullptr);
  ASSERT_EQ(HeldLists().size(), 1u);
  EXPECT_EQ(HeldLists()[0].list->size(), 1u);
  clock_.Advance(absl::Minutes(56));
  EXPECT_EQ(Held(alice_), nullptr) << "its age is counted from when it came, not from the restart";
}

TEST_F(RevocationDeskTest, ARevocationOutlivesItsAnswersTimeAndARestart) {
  UseDisk();
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked, absl::Minutes(1)));
  Learn(Ocsp(bob_), OcspAnswer(bob_, certs::OcspStatus::kGood, absl::Minutes(1)));
  clock_.Advance(absl::Hours(24));
  Open();
  ASSERT_NE(Held(alice_), nullptr);
  EXPECT_EQ(Held(alice_)->status, certs::OcspStatus::kRevoked);
  EXPECT_EQ(Held(bob_), nullptr);
}

// A machine without a battery starts with a clock of yesterday, and is set right a minute later.
TEST_F(RevocationDeskTest, AClockThatIsBehindAtTheStartDeletesNothing) {
  UseDisk();
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked));
  Learn(Ocsp(bob_), OcspAnswer(bob_, certs::OcspStatus::kGood));
  Learn(Crl(alice_), List(7, {alice_}));
  options_.trust_store = certs::Store({ca_.certificate});
  options_.revocation.mode = certs::RevocationMode::kOffline;
  const auto say = [&](const certs::CertificateRef& leaf) {
    const RevocationDesk::Source source = Source();
    return certs::Judge({leaf}, options_, clock_.Now(), &source).reason;
  };
  clock_.Advance(-absl::Hours(24));
  Open();
  EXPECT_EQ(say(alice_), Reason::kRevoked);
  EXPECT_EQ(say(bob_), Reason::kRevocationUnknown) << "nobody is vouched for by what is of the future";
  clock_.Advance(absl::Hours(24) + absl::Minutes(1));
  EXPECT_EQ(say(bob_), Reason::kNone);
  Open();
  EXPECT_EQ(say(alice_), Reason::kRevoked);
  EXPECT_EQ(say(bob_), Reason::kNone);
  EXPECT_EQ(HeldLists().size(), 1u);
}

TEST_F(RevocationDeskTest, AListOfAKeyOfItsOwnForListsOutlivesRestarts) {
  UseDisk();
  const certs::Authority key_for_lists = certs::Root("CN=Root", 3);
  Learn(Crl(alice_), ListBy(key_for_lists, 1, {alice_}));
  for (int i = 0; i < 3; ++i) {
    Open();
    EXPECT_EQ(HeldLists().size(), 1u) << i;
  }
}

TEST_F(RevocationDeskTest, APoisonedDiskIsNotBelieved) {
  UseDisk();
  Learn(Ocsp(alice_), OcspAnswer(alice_, certs::OcspStatus::kRevoked));
  Learn(Crl(alice_), List(7, {bob_}));
  const std::string der = Held(alice_)->der;
  std::map<std::string, std::string> originals;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    std::ifstream in(entry.path(), std::ios::binary);
    originals[entry.path()] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_EQ(originals.size(), 2u);
  const auto write = [](const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  };
  // Every 41st truncation and flip: never a crash, never a belief that the original did not give.
  for (const auto& [path, bytes] : originals) {
    for (size_t i = 0; i < bytes.size(); i += 41) {
      write(path, bytes.substr(0, i));
      Open();
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ 0x40);
      write(path, flipped);
      Open();
      certs::OcspAnswerRef held = Held(alice_);
      EXPECT_TRUE(held == nullptr || held->status == certs::OcspStatus::kRevoked) << i;
      for (const certs::HeldCrl& list : HeldLists()) EXPECT_EQ(list.list->size(), 1u);
    }
    write(path, bytes);
  }
  // Another's signature, well-formed, in the place of the true answer; and a list of another key.
  for (const auto& [path, bytes] : originals) {
    const bool ocsp = absl::EndsWith(bytes, der);
    std::string forged = bytes.substr(0, bytes.size() - (ocsp ? der : List(7, {bob_})).size() - 8);
    AppendField(&forged, absl::string_view(ocsp ? OcspAnswerBy(alice_, certs::OcspStatus::kGood, other_) : "garbage"));
    write(path, forged);
  }
  Open();
  EXPECT_EQ(Held(alice_), nullptr);
  EXPECT_THAT(HeldLists(), IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(directory_)) << "what is not believed is removed";
}

TEST_F(RevocationDeskTest, FilesThatAreNotOursAreLetBe) {
  UseDisk();
  std::ofstream(directory_ + "/notes.txt") << "mine";
  Open();
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/notes.txt"));
}

TEST_F(RevocationDeskTest, ADirectoryThatOthersMayWriteToIsRefused) {
  UseDisk();
  desk_.reset();
  ASSERT_EQ(::chmod(directory_.c_str(), 0777), 0);
  RevocationDesk::Options options = DeskOptions();
  EXPECT_EQ(RevocationDesk::Open(std::move(options)).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RevocationDeskTest, AWatchedListIsHeldUntilItIsGone) {
  UseDisk();
  const std::string file = directory_ + "/../ca.crl";
  std::ofstream(file, std::ios::binary) << List(1, {alice_});
  desk_->Watch({file}, {ca_.certificate});
  ASSERT_EQ(HeldLists().size(), 1u);
  EXPECT_EQ(news_.at(0).lists.size(), 1u);
  desk_->KeepWatching({});
  EXPECT_THAT(HeldLists(), IsEmpty());
  certs::Verdict verdict;
  verdict.outcome = certs::Outcome::kValid;
  verdict.path = {bob_, ca_.certificate};
  EXPECT_TRUE(news_.at(1).Concerns(verdict)) << "whoever it vouched for is to be thought over";
}

TEST_F(RevocationDeskTest, AFileThatIsWatchedByTwoNamesIsHeldUntilNeitherIs) {
  UseDisk();
  const std::string folder = directory_ + "/../lists";
  std::filesystem::create_directory(folder);
  const std::string file = folder + "/ca.crl";
  std::ofstream(file, std::ios::binary) << List(1, {alice_});
  desk_->Watch({folder, file}, {ca_.certificate});
  ASSERT_EQ(HeldLists().size(), 1u);
  desk_->KeepWatching({folder});
  EXPECT_EQ(HeldLists().size(), 1u) << "its directory is still watched";
  desk_->KeepWatching({});
  EXPECT_THAT(HeldLists(), IsEmpty());
}

TEST_F(RevocationDeskTest, AListIsFreedByTheDeskWhoeverLetsGoOfItLast) {
  UseDisk();
  const std::string file = directory_ + "/../ca.crl";
  std::ofstream(file, std::ios::binary) << List(1, {alice_});
  desk_->Watch({file}, {ca_.certificate});
  int called = 0;
  const RevocationDesk::Ticket ticket = Ask({Crl(bob_)}, &called);
  fetcher_->Answer(kPoint, List(1));
  std::vector<certs::HeldCrl> judging = HeldLists();
  ASSERT_EQ(judging.size(), 2u);
  clock_.Advance(absl::Hours(2));
  desk_->KeepWatching({});
  const RevocationDesk::Ticket again = Ask({Crl(bob_)}, &called);
  fetcher_->Answer(kPoint, List(2));
  desk_->Tick();
  EXPECT_EQ(desk_->sizes().retired, 0u) << "both are still in use";
  judging.clear();
  EXPECT_EQ(desk_->sizes().retired, 2u) << "neither is freed where the judgement ends";
  desk_->Tick();
  EXPECT_EQ(desk_->sizes().retired, 0u);
}

TEST_F(RevocationDeskTest, TheSignatureOfAListIsVerifiedBeforeAnybodyIsJudgedByIt) {
  UseDisk();
  const std::string file = directory_ + "/../ca.crl";
  std::ofstream(file, std::ios::binary) << List(1);
  desk_->Watch({file}, {other_.certificate, ca_.certificate});
  const certs::CrlRef watched = HeldLists().at(0).list;
  EXPECT_EQ(watched->KnownSignedBy(*ca_.certificate), true);
  EXPECT_EQ(watched->KnownSignedBy(*other_.certificate), std::nullopt) << "of another name";
  desk_->KeepWatching({});

  int called = 0;
  const RevocationDesk::Ticket ticket = Ask({Crl(bob_)}, &called);
  fetcher_->Answer(kPoint, List(2));
  EXPECT_EQ(HeldLists().at(0).list->KnownSignedBy(*ca_.certificate), true) << "a fetched one likewise";
}

TEST_F(RevocationDeskTest, NewsOfAListAreNotLostWhenAnotherOfItsFileChanges) {
  UseDisk();
  const std::string file = directory_ + "/../bundle.crl";
  certs::MintCrlRequest others;
  others.this_update = clock_.Now();
  const std::string stays = certs::CrlToPem(*MintCrl(others, other_.signer()));
  std::ofstream(file) << certs::CrlToPem(List(1)) << stays;
  desk_->Watch({file}, {ca_.certificate});
  const RevocationNews first = news_.at(0);
  std::ofstream(file) << certs::CrlToPem(List(200)) << stays;
  const absl::Time patience = absl::Now() + absl::Seconds(20);
  while (HeldLists().at(0).list->number() == std::string(1, '\1') && absl::Now() < patience) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(first.lists.at(0).lock(), nullptr) << "another is in its place";
  EXPECT_NE(first.lists.at(1).lock(), nullptr) << "a worker may not have come to it yet";
}

TEST_F(RevocationDeskTest, AListOutlivesTheDeskWhereItIsInUse) {
  UseDisk();
  const std::string file = directory_ + "/../ca.crl";
  std::ofstream(file, std::ios::binary) << List(1, {alice_});
  desk_->Watch({file}, {ca_.certificate});
  const std::vector<certs::HeldCrl> judging = HeldLists();
  desk_.reset();
  EXPECT_TRUE(judging.at(0).list->Find(judging[0].list->issuer_der(), certs::SerialOf(*alice_)).has_value());
}

TEST_F(RevocationDeskTest, AWatchedFileThatCannotBeReadIsToldWithItsName) {
  UseDisk();
  const std::string file = directory_ + "/../broken.crl";
  std::ofstream(file) << "no list";
  desk_->Watch({file, directory_ + "/../absent.crl"}, {ca_.certificate});
  ASSERT_EQ(notices_.size(), 2u);
  EXPECT_THAT(notices_[0], HasSubstr("broken.crl"));
  EXPECT_THAT(notices_[1], HasSubstr("absent.crl"));
  EXPECT_THAT(HeldLists(), IsEmpty());
}

// The real threads of the desk, for the thread sanitizer: many workers ask, read and give up at once.
TEST(RevocationDeskThreadsTest, WorkersDoNotGetIntoEachOthersWay) {
  class QuickFetcher final : public fetch::Fetcher {
   public:
    void Fetch(fetch::FetchRequest, absl::AnyInvocable<void(fetch::FetchResult)> done) override {
      fetch::FetchResult result;
      result.error = fetch::FetchError::kBadAnswer;
      done(std::move(result));
    }
  };
  SystemClock clock;
  const certs::Authority ca = certs::Root("CN=Root", 0);
  RevocationDesk::Options options;
  options.clock = &clock;
  options.fetcher = std::make_unique<QuickFetcher>();
  options.period = absl::Milliseconds(1);
  options.on_news = [](const RevocationNews&) {};
  options.on_notice = [](const std::string&, bool) {};
  auto desk = RevocationDesk::Open(std::move(options));
  ASSERT_TRUE(desk.ok());
  certs::SchemeOptions scheme;
  scheme.revocation.mode = certs::RevocationMode::kOnline;
  // As a gateway's workers, they outlive the desk, which posts to them until it is gone.
  struct Loop {
    Mutex mutex;
    std::vector<absl::AnyInvocable<void()>> posted;
  };
  std::vector<Loop> loops(4);
  std::vector<std::thread> workers;
  for (size_t w = 0; w < loops.size(); ++w) {
    workers.emplace_back([&, w] {
      Loop& loop = loops[w];
      for (int i = 0; i < 50; ++i) {
        const certs::CertificateRef leaf = ca.certificate;
        Inquiry inquiry{Inquiry::Kind::kCrl, "http://" + std::to_string(w) + std::to_string(i) + ".test/", leaf, leaf,
                        false};
        RevocationDesk::Source source(desk->get(), scheme, true, true);
        source.OcspOf(*leaf, *leaf);
        if (!source.MayAsk(inquiry)) continue;
        auto post = [&loop](absl::AnyInvocable<void()> f) {
          MutexLock lock(&loop.mutex);
          loop.posted.push_back(std::move(f));
        };
        RevocationDesk::Ticket ticket = (*desk)->Ask({{inquiry}}, scheme, false, post, [] {});
        // Landed when it is no longer waited for.
        while (ticket != nullptr && (*desk)->sizes().flights > 0) std::this_thread::yield();
        MutexLock lock(&loop.mutex);
        for (auto& f : loop.posted) f();
        loop.posted.clear();
      }
    });
  }
  for (std::thread& t : workers) t.join();
  desk->reset();
}

}  // namespace
}  // namespace gatehouse::server
