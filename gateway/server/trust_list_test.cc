#include "gateway/server/trust_list.h"

#include "gateway/certs/test_pki.h"
#include "gateway/config/build.h"
#include "gmock/gmock.h"

namespace gatehouse::server {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(TrustListTest, TellsOfEveryEntryWithItsUses) {
  const certs::Authority root = certs::Root("CN=Root", 0);
  const certs::Authority sub = certs::Sub(root, "CN=Sub", 1);
  const certs::CertificateRef device = certs::SelfSigned("CN=device");
  v1::ConfigSet set;
  auto* store = set.add_trust_stores();
  store->set_name("partners");
  store->add_anchors()->set_pem(root.certificate->ToPem());
  store->add_intermediates()->set_pem(sub.certificate->ToPem());
  store->add_pins()->set_pem(device->ToPem());
  store->add_pins()->set_spki_sha256(HexLower(AsView(root.certificate->spki_sha256())));
  config::BuildResult built = config::Build(set, {.revision = 7});
  ASSERT_TRUE(built.ok());
  TrustUses uses(1, certs::kTestNow);
  uses.worker(0).Find("partners", root.certificate->sha256())->Add(certs::kTestNow + absl::Seconds(5));
  v1::ListTrustRequest request;
  request.set_trust_store("partners");
  const auto listed = ListTrust(*built.snapshot, request, uses);
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_THAT(listed->entries(), SizeIs(4));
  const v1::TrustEntry& anchor = listed->entries(0);
  EXPECT_EQ(anchor.role(), v1::TrustEntry::ANCHOR);
  EXPECT_EQ(anchor.certificate().subject(), "CN=Root");
  EXPECT_EQ(anchor.certificate().not_after().seconds(), absl::ToUnixSeconds(root.certificate->not_after()));
  EXPECT_EQ(anchor.sha256(), HexLower(AsView(root.certificate->sha256())));
  EXPECT_EQ(anchor.uses(), 1u);
  EXPECT_EQ(anchor.last_use().seconds(), absl::ToUnixSeconds(certs::kTestNow) + 5);
  EXPECT_EQ(listed->entries(1).role(), v1::TrustEntry::INTERMEDIATE);
  EXPECT_EQ(listed->entries(1).uses(), 0u);
  EXPECT_FALSE(listed->entries(1).has_last_use());
  EXPECT_EQ(listed->entries(2).role(), v1::TrustEntry::PIN);
  EXPECT_EQ(listed->entries(2).certificate().subject(), "CN=device");
  EXPECT_EQ(listed->entries(3).role(), v1::TrustEntry::PINNED_KEY);
  EXPECT_FALSE(listed->entries(3).has_certificate()) << "of a digest nothing more is known";
  EXPECT_EQ(listed->revision(), 7u);
  EXPECT_EQ(listed->gateways(0).since().seconds(), absl::ToUnixSeconds(certs::kTestNow));
  request.set_trust_store("partner");
  EXPECT_THAT(ListTrust(*built.snapshot, request, uses).status().message(), HasSubstr("did you mean \"partners\"?"));
}

}  // namespace
}  // namespace gatehouse::server
