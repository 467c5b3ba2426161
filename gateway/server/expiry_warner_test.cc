#include "gateway/server/expiry_warner.h"

#include "absl/strings/str_cat.h"
#include "gateway/certs/test_pki.h"
#include "gateway/config/build.h"
#include "gmock/gmock.h"

namespace gatehouse::server {
namespace {

using certs::kTestNow;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ExpiryWarnerTest : public ::testing::Test {
 protected:
  static certs::CertificateRef Until(const std::string& subject, absl::Time end,
                                     certs::Profile profile = certs::Profile::kSelfSigned) {
    certs::MintRequest request = certs::Request(profile, subject);
    request.not_before = kTestNow - absl::Hours(24 * 400);
    request.not_after = end;
    request.sans.push_back({certs::SanKind::kDns, "localhost"});
    return certs::Make(request, certs::KeyAt(9));
  }
  std::vector<std::string> Told() {
    std::vector<std::string> out;
    for (const events::Event& event : events_) {
      EXPECT_EQ(event.kind, events::EventKind::kExpiry);
      out.push_back(absl::StrCat(event.facts->peer->certificate->subject, " ", event.facts->detail));
    }
    events_.clear();
    return out;
  }
  static absl::Time Days(double days) { return kTestNow + absl::Hours(24) * days; }

  std::vector<events::Event> events_;
  ExpiryWarner warner_{[this](events::Event event) { events_.push_back(std::move(event)); }};
};

TEST_F(ExpiryWarnerTest, TellsOfAClientOnceForEachThreshold) {
  const certs::CertificateRef leaf = Until("CN=alice", Days(40));
  const auto at = [&](double days) {
    warner_.Client(*leaf, "Certificate", Days(days));
    return Told();
  };
  EXPECT_THAT(at(0), IsEmpty());
  EXPECT_THAT(at(10), ElementsAre("CN=alice client certificate, accepted by schemes/Certificate: expires in 30 d"));
  EXPECT_THAT(at(11), IsEmpty());
  EXPECT_THAT(at(32.9), IsEmpty());
  EXPECT_THAT(at(33), ElementsAre("CN=alice client certificate, accepted by schemes/Certificate: expires in 7 d"));
  EXPECT_THAT(at(34), IsEmpty());
  EXPECT_THAT(at(39.5), ElementsAre("CN=alice client certificate, accepted by schemes/Certificate: expires within a day"));
  EXPECT_THAT(at(39.9), IsEmpty());
}

TEST_F(ExpiryWarnerTest, WhatIsFirstSeenLateIsToldOfOnce) {
  const certs::CertificateRef leaf = Until("CN=alice", Days(0.5));
  warner_.Client(*leaf, "Certificate", kTestNow);
  warner_.Client(*leaf, "Certificate", kTestNow);
  EXPECT_EQ(Told().size(), 1u);
}

TEST_F(ExpiryWarnerTest, LooksAtEverythingThatTheConfigurationHolds) {
  v1::ConfigSet set;
  auto* server = set.add_server_certificates();
  server->set_name("web");
  server->set_certificate_chain_pem(Until("CN=web", Days(6))->ToPem());
  server->set_private_key_pem(std::string(certs::KeyToPem(certs::KeyAt(9))->Reveal()));
  auto* store = set.add_trust_stores();
  store->set_name("partners");
  store->add_anchors()->set_pem(Until("CN=Root", Days(29), certs::Profile::kCa)->ToPem());
  store->add_anchors()->set_pem(Until("CN=Fresh", Days(31), certs::Profile::kCa)->ToPem());
  store->add_intermediates()->set_pem(Until("CN=Sub", Days(-2), certs::Profile::kCa)->ToPem());
  store->add_pins()->set_pem(Until("CN=device", Days(0.2))->ToPem());
  config::BuildResult built = config::Build(set, {.revision = 7});
  ASSERT_TRUE(built.ok());
  warner_.Check(*built.snapshot, kTestNow);
  EXPECT_EQ(events_.at(0).facts->revision, 7u);
  EXPECT_THAT(Told(), UnorderedElementsAre("CN=Root anchor of trustStores/partners: expires in 29 d",
                                           "CN=Sub intermediate of trustStores/partners: expired 2 d ago",
                                           "CN=device pin of trustStores/partners: expires within a day",
                                           "CN=web serverCertificates/web: expires in 6 d"));
  warner_.Check(*built.snapshot, kTestNow + absl::Minutes(1));
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ExpiryWarnerTest, ItsMemoryIsBounded) {
  const certs::CertificateRef first = Until("CN=first", Days(5));
  warner_.Client(*first, "0", kTestNow);
  for (size_t i = 1; i <= ExpiryWarner::kMaxRemembered; ++i) warner_.Client(*first, absl::StrCat(i), kTestNow);
  events_.clear();
  warner_.Client(*first, absl::StrCat(ExpiryWarner::kMaxRemembered), kTestNow);
  EXPECT_THAT(Told(), IsEmpty());
  warner_.Client(*first, "0", kTestNow);
  EXPECT_EQ(Told().size(), 1u) << "forgotten, so told again";
}

}  // namespace
}  // namespace gatehouse::server
