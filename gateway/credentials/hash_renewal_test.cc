#include "gateway/credentials/hash_renewal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace gatehouse::credentials {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kCheap[] = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";
constexpr char kDear[] = "$2b$12$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";

class RenewalOffersTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const UserStore> Store(bool renew) {
    UserStoreInput input{"people", {{.name = "ann", .password_hashes = {kCheap, kDear}}}};
    input.hashing = {.kind = HashKind::kBcrypt, .renew_on_login = renew};
    return UserStore::Create(std::move(input), nullptr);
  }
  void Consider(const UserStore& store, absl::string_view hash) {
    offers_.Consider(store, *store.Find("ann"), hash, "secret");
  }

  FakeClock clock_;
  bool takes_ = true;
  std::vector<std::string> taken_;
  RenewalOffers offers_{[this](RenewalOffer offer) {
                          taken_.push_back(
                              absl::StrCat(offer.user_store, "/", offer.user, "/", offer.password.Reveal()));
                          return takes_;
                        },
                        clock_};
};

TEST_F(RenewalOffersTest, OffersAWeakerHashesPasswordOnceInAWhile) {
  const auto store = Store(true);
  Consider(*store, kCheap);
  Consider(*store, kCheap);
  EXPECT_THAT(taken_, ElementsAre("people/ann/secret"));
  clock_.Advance(RenewalOffers::kAgain);
  Consider(*store, kCheap);
  EXPECT_EQ(taken_.size(), 2u);
}

TEST_F(RenewalOffersTest, OffersNothingThatIsGoodEnoughOrNotAskedFor) {
  Consider(*Store(true), kDear);
  Consider(*Store(false), kCheap);
  EXPECT_THAT(taken_, IsEmpty());
}

TEST_F(RenewalOffersTest, OffersAgainWhatWasNotTaken) {
  const auto store = Store(true);
  takes_ = false;
  Consider(*store, kCheap);
  Consider(*store, kCheap);
  EXPECT_EQ(taken_.size(), 2u);
}

}  // namespace
}  // namespace gatehouse::credentials
