#include "gateway/server/trust_uses.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::server {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

TEST(TrustUsesTest, SumsOverWorkersAndKeepsStoresApart) {
  TrustUses uses(2, kStart);
  const Sha256Digest ca = Sha256("ca");
  uses.worker(0).Find("partners", ca)->Add(kStart + absl::Seconds(1));
  uses.worker(1).Find("partners", ca)->Add(kStart + absl::Seconds(5));
  uses.worker(1).Find("partners", ca)->Add(kStart + absl::Seconds(9));
  uses.worker(0).Find("others", ca)->Add(kStart);
  const auto found = uses.Of("partners");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].what, ca);
  EXPECT_EQ(found[0].count, 3u);
  EXPECT_EQ(found[0].last, kStart + absl::Seconds(9)) << "the latest of the workers' last ones";
  EXPECT_EQ(uses.Of("others")[0].count, 1u);
  EXPECT_THAT(uses.Of("none"), IsEmpty());
}

TEST(TrustUsesTest, ACellThatWasNotUsedIsNoUse) {
  TrustUses uses(1, kStart);
  uses.worker(0).Find("partners", Sha256("ca"));
  EXPECT_THAT(uses.Of("partners"), IsEmpty());
}

TEST(TrustUsesTest, IsBoundedAndWhatIsKnownGoesOnCounting) {
  TrustUses uses(1, kStart);
  TrustUses::Cell* first = uses.worker(0).Find("partners", Sha256("0"));
  for (size_t i = 1; i < TrustUses::kMaxCells; ++i) {
    ASSERT_NE(uses.worker(0).Find("partners", Sha256(std::to_string(i))), nullptr);
  }
  EXPECT_EQ(uses.worker(0).Find("partners", Sha256("one more")), nullptr);
  EXPECT_EQ(uses.worker(0).Find("partners", Sha256("0")), first);
}

}  // namespace
}  // namespace gatehouse::server
