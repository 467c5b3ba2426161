// What a worker remembers of its peers: until news, or a clock that is set back, make it doubtful.
#include "gateway/server/peer.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gateway/certs/test_pki.h"
#include "gateway/certs/test_revocation.h"
#include "gateway/metrics/registry.h"

namespace gatehouse::server {
namespace {

class NoFetcher final : public fetch::Fetcher {
 public:
  void Fetch(fetch::FetchRequest, absl::AnyInvocable<void(fetch::FetchResult)>) override {}
};

class JudgeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    RevocationDesk::Options options;
    options.clock = &clock_;
    options.fetcher = std::make_unique<NoFetcher>();
    options.threads = 0;
    options.period = absl::ZeroDuration();
    options.on_news = [this](const RevocationNews& news) {
      if (judge_ != nullptr) judge_->Hear(std::make_shared<const RevocationNews>(news));
    };
    auto desk = RevocationDesk::Open(std::move(options));
    ASSERT_TRUE(desk.ok()) << desk.status();
    desk_ = *std::move(desk);
    judge_ = std::make_unique<Judge>(16, clock_, &registry_.worker(0), desk_.get());

    auto scheme = std::make_shared<certs::SchemeOptions>();
    scheme->trust_store = certs::Store({ca_.certificate});
    scheme->revocation.mode = certs::RevocationMode::kOffline;
    scheme->revocation.on_unknown = certs::OnUnknown::kAllow;
    scheme_.name = "Certificate";
    scheme_.epoch = 7;
    scheme_.kind = config::CertificateSchemeRef(std::move(scheme));
    alice_peer_ = Recognise({alice_});
  }
  void TearDown() override {
    desk_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  PeerRef Recognise(const std::vector<certs::CertificateRef>& list) {
    std::vector<X509*> presented;
    for (const certs::CertificateRef& c : list) presented.push_back(c->x509());
    return judge_->Recognise(absl::MakeConstSpan(presented));
  }
  // A list that names alice appears on the disk.
  void Revoke() {
    char pattern[] = "/tmp/gatehouse-judge-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    const std::string file = directory_ + "/ca.crl";
    std::ofstream(file, std::ios::binary) << certs::Der(certs::List({certs::Revoked(alice_)}), ca_);
    desk_->Watch({file}, {ca_.certificate});
  }

  FakeClock clock_{certs::kTestNow};
  metrics::Registry registry_{metrics::RegistryOptions()};
  const certs::Authority ca_ = certs::Root("CN=Root", 0);
  const certs::CertificateRef alice_ = certs::Leaf(ca_, "CN=alice");
  config::Scheme scheme_;
  std::unique_ptr<RevocationDesk> desk_;
  std::unique_ptr<Judge> judge_;
  PeerRef alice_peer_;
  std::string directory_;
};

TEST_F(JudgeTest, WhoIsRevokedIsNotKnownAsValidAnyMore) {
  EXPECT_FALSE(judge_->KnowsValid(*alice_peer_, scheme_));
  EXPECT_EQ(judge_->Of(*alice_peer_, scheme_)->outcome, certs::Outcome::kValid);
  EXPECT_TRUE(judge_->KnowsValid(*alice_peer_, scheme_));
  Revoke();
  // Its session is not to be resumed, nor its connection kept, for as long as the old verdict would have been fresh.
  EXPECT_FALSE(judge_->KnowsValid(*alice_peer_, scheme_));
  EXPECT_EQ(judge_->Of(*alice_peer_, scheme_)->reason, Reason::kRevoked);
  EXPECT_FALSE(judge_->KnowsValid(*alice_peer_, scheme_)) << "nor after it was judged anew";
}

TEST_F(JudgeTest, AClockThatIsSetBackDoesNotProlongAVerdict) {
  PeerVerdicts memory;
  const JudgementRef first = judge_->Of(*alice_peer_, scheme_, &memory);
  clock_.Advance(-absl::Seconds(2));
  EXPECT_EQ(judge_->Of(*alice_peer_, scheme_, &memory), first) << "clocks are corrected all the time";
  clock_.Advance(-absl::Hours(1));
  EXPECT_FALSE(judge_->KnowsValid(*alice_peer_, scheme_));
  const JudgementRef second = judge_->Of(*alice_peer_, scheme_, &memory);
  EXPECT_NE(second, first);
  EXPECT_LT(second->fresh_until, first->fresh_until);
}

// A certificate that nobody accepts is made in a moment, of any size.
TEST_F(JudgeTest, AStrangerTakesNoRoomAndPushesOutNobody) {
  judge_->Of(*alice_peer_, scheme_);
  std::weak_ptr<const certs::Certificate> first;
  for (int i = 0; i < 40; ++i) {
    const certs::CertificateRef stranger = certs::SelfSigned(absl::StrCat("CN=stranger ", i), 3);
    const PeerRef peer = Recognise({stranger});
    EXPECT_EQ(Recognise({stranger}), peer) << "a handshake asks twice";
    EXPECT_EQ(judge_->Of(*peer, scheme_)->outcome, certs::Outcome::kInvalid);
    if (i == 0) first = peer->presented.front();
  }
  EXPECT_TRUE(first.expired());
  EXPECT_EQ(Recognise({alice_}), alice_peer_);
}

TEST_F(JudgeTest, LargeCertificatesCountForMore) {
  const certs::MintExtension large{"1.3.6.1.4.1.99999.7", false, std::string(28 * 1024, '\0')};
  std::weak_ptr<const certs::Certificate> first;
  for (int i = 0; i < 6; ++i) {
    const JudgementRef judgement = judge_->Of(*Recognise({certs::LeafWith(ca_, {large}, absl::StrCat("CN=bob ", i))}), scheme_);
    EXPECT_EQ(judgement->outcome, certs::Outcome::kValid);
    if (i == 0) first = judgement->leaf;
  }
  EXPECT_TRUE(first.expired());
}

// 32 KiB that anybody may present take half a megabyte when they are read, and his connection lasts.
TEST_F(JudgeTest, OfOneWhoBringsMuchTheOctetsAloneAreKept) {
  std::vector<certs::CertificateRef> list = {alice_};
  std::string subject = "CN=junk";
  for (int i = 0; i < 60; ++i) absl::StrAppend(&subject, ",L=x");
  size_t octets = alice_->der().size();
  for (size_t i = 0; i < 12; ++i) {
    list.push_back(certs::SelfSigned(absl::StrCat(subject, ",CN=", i), 3));
    octets += list.back()->der().size();
  }
  const PeerRef large = Recognise(list);
  EXPECT_EQ(large->footprint, octets);
  EXPECT_EQ(large->presented.size(), 0u);
  EXPECT_EQ(large->summary->subject, "CN=alice");
  EXPECT_GT(alice_peer_->presented.size(), 0u);
  for (int i = 0; i < 2; ++i) {
    scheme_.epoch += 1;
    const JudgementRef judgement = judge_->Of(*large, scheme_);
    EXPECT_EQ(judgement->outcome, certs::Outcome::kValid);
    EXPECT_EQ(judgement->leaf->sha256(), alice_->sha256());
    list.back() = certs::SelfSigned(absl::StrCat(subject, ",CN=other ", i), 3);
    EXPECT_EQ(judge_->Of(*Recognise(list), scheme_)->outcome, certs::Outcome::kValid) << "another large one between";
  }
  list.erase(list.begin());
  const PeerRef stranger = Recognise(list);
  EXPECT_EQ(judge_->Of(*stranger, scheme_)->outcome, certs::Outcome::kInvalid);
}

TEST_F(JudgeTest, AcceptedPeersShareTheirIssuer) {
  const certs::Authority sub = certs::Sub(ca_, "CN=Sub", 1);
  const PeerRef bob = Recognise({certs::Leaf(sub, "CN=bob"), sub.certificate});
  ASSERT_EQ(judge_->Of(*bob, scheme_)->outcome, certs::Outcome::kValid);
  const PeerRef carol = Recognise({certs::Leaf(sub, "CN=carol"), sub.certificate});
  EXPECT_EQ(carol->presented.at(1), bob->presented.at(1));
}

}  // namespace
}  // namespace gatehouse::server
