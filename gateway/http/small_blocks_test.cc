#include "gateway/http/small_blocks.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

namespace gatehouse::http {
namespace {

TEST(SmallBlocksTest, EveryBlockHasRoomForWhatWasAskedWhateverItWasBefore) {
  SmallBlocks blocks;
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> taken;
    for (size_t n = 1; n <= 400; ++n) {
      void* p = blocks.Malloc(n);
      ASSERT_NE(p, nullptr);
      ASSERT_GE(malloc_usable_size(p), n);
      std::memset(p, static_cast<int>(n), n);
      taken.push_back(p);
    }
    EXPECT_EQ(std::set<void*>(taken.begin(), taken.end()).size(), taken.size()) << "nothing is given twice";
    for (size_t n = 1; n <= 400; ++n) {
      const auto* octets = static_cast<const unsigned char*>(taken[n - 1]);
      ASSERT_EQ(octets[0], n & 255);
      ASSERT_EQ(octets[n - 1], n & 255);
    }
    for (void* p : taken) blocks.Free(p);
  }
}

TEST(SmallBlocksTest, ABlockIsUsedAgainAndMallocsOwnAreTaken) {
  if (kAddressSanitizer) return;  // nothing is kept, so that it sees the use of what is gone
  SmallBlocks blocks;
  void* p = std::malloc(104);  // which no malloc rounds
  blocks.Free(p);
  ASSERT_EQ(blocks.Malloc(104), p);
  std::free(p);
  blocks.Free(nullptr);
}

TEST(SmallBlocksTest, KeepsNoMoreThanItsBound) {
  SmallBlocks blocks;
  std::vector<void*> taken;
  for (size_t octets = 0; octets < 2 * SmallBlocks::kMost + 64; octets += 64) taken.push_back(blocks.Malloc(64));
  for (void* p : taken) blocks.Free(p);
  EXPECT_LE(blocks.kept(), SmallBlocks::kMost);
  EXPECT_GE(blocks.kept() + 264, SmallBlocks::kMost);
}

}  // namespace
}  // namespace gatehouse::http
