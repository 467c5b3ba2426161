#include "gateway/server/presented_chains.h"

#include "gateway/certs/test_pki.h"
#include "gmock/gmock.h"

namespace gatehouse::server {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

using As = PresentedChains::As;

TEST(PresentedChainsTest, GivesBackWhatWasPresentedByItsLeaf) {
  PresentedChains chains;
  const certs::Authority root = certs::Root("CN=Root", 0);
  const certs::Authority sub = certs::Sub(root, "CN=Sub", 1);
  const certs::CertificateRef leaf = certs::Leaf(sub, "CN=alice");
  chains.Remember(leaf->sha256(), {leaf, sub.certificate}, As::kRefused);
  const auto found = chains.Find(leaf->sha256());
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0]->der(), leaf->der());
  EXPECT_EQ(found[1]->der(), sub.certificate->der());
  EXPECT_THAT(chains.Find(root.certificate->sha256()), IsEmpty());
}

TEST(PresentedChainsTest, SharesTheOctetsAndKeepsNothingElseOfACertificate) {
  PresentedChains chains;
  const certs::Authority root = certs::Root("CN=Root", 0);
  certs::CertificateRef leaf = certs::Leaf(root, "CN=alice");
  const Sha256Digest digest = leaf->sha256();
  const std::string der = leaf->der();
  const std::weak_ptr<const std::string> octets = leaf->shared_der();
  const std::weak_ptr<const certs::Certificate> certificate = leaf;
  chains.Remember(digest, {leaf, root.certificate}, As::kAccepted);
  EXPECT_EQ(octets.use_count(), 2);
  leaf.reset();
  EXPECT_TRUE(certificate.expired());
  ASSERT_THAT(chains.Find(digest), SizeIs(2));
  EXPECT_EQ(chains.Find(digest)[0]->der(), der);
}

TEST(PresentedChainsTest, WhoProvedNothingDisplacesNoChainOfWhoDid) {
  PresentedChains chains;
  const certs::Authority root = certs::Root("CN=Root", 0);
  const certs::CertificateRef leaf = certs::Leaf(root, "CN=alice");
  chains.Remember(leaf->sha256(), {leaf, root.certificate}, As::kRefused);
  chains.Remember(leaf->sha256(), {leaf}, As::kUnproven);
  EXPECT_THAT(chains.Find(leaf->sha256()), SizeIs(2));
  chains.Remember(leaf->sha256(), {leaf}, As::kRefused);
  EXPECT_THAT(chains.Find(leaf->sha256()), SizeIs(1)) << "the newest of the same right counts";
}

TEST(PresentedChainsTest, TheLastChainCountsWhetherItWasAcceptedOrRefused) {
  PresentedChains chains;
  const certs::Authority root = certs::Root("CN=Root", 0);
  const certs::CertificateRef leaf = certs::Leaf(root, "CN=alice");
  chains.Remember(leaf->sha256(), {leaf, root.certificate}, As::kAccepted);
  chains.Remember(leaf->sha256(), {leaf}, As::kUnproven);
  EXPECT_THAT(chains.Find(leaf->sha256()), SizeIs(2)) << "who proved nothing says nothing";
  chains.Remember(leaf->sha256(), {leaf}, As::kRefused);
  EXPECT_THAT(chains.Find(leaf->sha256()), SizeIs(1));
  chains.Remember(leaf->sha256(), {leaf, root.certificate}, As::kAccepted);
  EXPECT_THAT(chains.Find(leaf->sha256()), SizeIs(2));
}

TEST(PresentedChainsTest, GoodClientsPushOutNoRefusal) {
  const certs::Authority root = certs::Root("CN=Root", 0);
  const certs::CertificateRef refused = certs::Leaf(root, "CN=mallory");
  PresentedChains chains(5 * refused->der().size());
  chains.Remember(refused->sha256(), {refused}, As::kRefused);
  for (int i = 0; i < 20; ++i) {
    const certs::CertificateRef leaf = certs::Leaf(root, absl::StrCat("CN=", i));
    chains.Remember(leaf->sha256(), {leaf}, As::kAccepted);
  }
  EXPECT_THAT(chains.Find(refused->sha256()), SizeIs(1));
}

TEST(PresentedChainsTest, IsBoundedInOctetsAndForgetsTheOldestFirst) {
  const certs::Authority root = certs::Root("CN=Root", 0);
  std::vector<certs::CertificateRef> leaves;
  for (int i = 0; i < 10; ++i) leaves.push_back(certs::Leaf(root, absl::StrCat("CN=", i)));
  const size_t one = leaves[0]->der().size();
  PresentedChains chains(5 * one + one / 2);
  for (const auto& leaf : leaves) chains.Remember(leaf->sha256(), {leaf}, As::kRefused);
  EXPECT_THAT(chains.Find(leaves[0]->sha256()), IsEmpty());
  EXPECT_THAT(chains.Find(leaves[9]->sha256()), SizeIs(1));
  chains.Remember(root.certificate->sha256(), {leaves[0], leaves[1], leaves[2]}, As::kRefused);
  EXPECT_THAT(chains.Find(root.certificate->sha256()), IsEmpty()) << "one that would displace too much is not kept";
  EXPECT_THAT(chains.Find(leaves[9]->sha256()), SizeIs(1));
}

}  // namespace
}  // namespace gatehouse::server
