#include "gateway/credentials/checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace gatehouse::credentials {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Real syntax, so that the store takes them; the fake verifier decides what they mean.
constexpr char kCheap[] = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";
constexpr char kDear[] = "$2b$10$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";

// CountingVerifier knows one password for each hash and counts what it is asked. Closed, it holds
// its callers.
class CountingVerifier final : public PasswordVerifier {
 public:
  bool Verify(absl::string_view mcf, absl::string_view password) const override {
    MutexLock lock(&mutex_);
    asked_.push_back(std::string(mcf));
    changed_.SignalAll();
    while (closed_) changed_.Wait(&mutex_);
    return password == (mcf == kCheap ? "secret" : "geheim");
  }
  std::vector<std::string> asked() const {
    MutexLock lock(&mutex_);
    return asked_;
  }
  void Close() {
    MutexLock lock(&mutex_);
    closed_ = true;
  }
  void Open() {
    MutexLock lock(&mutex_);
    closed_ = false;
    changed_.SignalAll();
  }
  void AwaitCalls(size_t n) {
    MutexLock lock(&mutex_);
    while (asked_.size() < n) changed_.Wait(&mutex_);
  }

 private:
  mutable Mutex mutex_;
  mutable CondVar changed_;
  mutable std::vector<std::string> asked_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

// FakeLoop keeps what was posted until the test runs it.
class FakeLoop {
 public:
  void Post(absl::AnyInvocable<void()> work) {
    MutexLock lock(&mutex_);
    posted_.push_back(std::move(work));
    ready_.SignalAll();
  }
  void RunOne() {
    absl::AnyInvocable<void()> work;
    {
      MutexLock lock(&mutex_);
      while (posted_.empty()) ready_.Wait(&mutex_);
      work = std::move(posted_.front());
      posted_.pop_front();
    }
    work();
  }

 private:
  Mutex mutex_;
  CondVar ready_;
  std::deque<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
};

std::string Header(absl::string_view user, absl::string_view password) {
  return absl::StrCat("Basic ", absl::Base64Escape(absl::StrCat(user, ":", password)));
}

class CheckerTest : public ::testing::Test {
 protected:
  CheckerTest() {
    users_ = {
        {.name = "ann", .password_hashes = {kCheap}},
        {.name = "off", .password_hashes = {kCheap}, .disabled = true},
        {.name = "old", .password_hashes = {kCheap}, .expires = clock_.Now()},
        {.name = "brief", .password_hashes = {kCheap}, .expires = clock_.Now() + absl::Minutes(1)}};
    Configure();
    checker_ = std::make_unique<Checker>(Options());
  }
  ~CheckerTest() override { verifier_.Open(); }

  CheckerOptions Options() {
    CheckerOptions options;
    options.executor = &executor_;
    options.cache = &cache_;
    options.throttle = &throttle_;
    options.flights = &flights_;
    options.verifier = &verifier_;
    options.clock = &clock_;
    options.post = [this](absl::AnyInvocable<void()> work) { loop_.Post(std::move(work)); };
    return options;
  }
  void Configure() {
    std::vector<UserStoreError> errors;
    BasicScheme scheme;
    scheme.name = "Basic";
    scheme.users = UserStore::Create({"people", users_}, &errors);
    ASSERT_THAT(errors, IsEmpty());
    scheme.throttle = throttle_options_;
    scheme.epoch = ComputeEpoch(scheme);
    scheme_ = std::make_shared<const BasicScheme>(std::move(scheme));
  }

  // Guesses are not what a test is about.
  void ForgetGuesses() {
    throttle_.Clear({}, [this](const std::string&) { return throttle_options_; });
  }

  Checker::Answer Ask(absl::string_view header, CheckMemo* memo = nullptr) {
    return AskFrom("192.0.2.1", header, memo);
  }
  Checker::Answer AskFrom(absl::string_view address, absl::string_view header, CheckMemo* memo = nullptr) {
    return checker_->Check(scheme_, header, address, memo,
                           [this](const CheckResult& r) { results_.push_back(r); });
  }
  // Asks and, if that takes a hash, runs the loop until the answer is there.
  CheckResult Decide(absl::string_view header, CheckMemo* memo = nullptr) {
    Checker::Answer answer = Ask(header, memo);
    if (auto* result = std::get_if<CheckResult>(&answer)) return *result;
    results_.clear();
    loop_.RunOne();
    EXPECT_EQ(results_.size(), 1u);
    return results_.empty() ? CheckResult{} : results_.front();
  }

  FakeClock clock_;
  CountingVerifier verifier_;
  FakeLoop loop_;
  VerifiedCache cache_{1000};
  ThrottleOptions throttle_options_;
  Throttle throttle_{1000, clock_};
  Flights flights_;
  FairExecutor executor_{1, 2};
  std::vector<User> users_;
  BasicSchemeRef scheme_;
  std::unique_ptr<Checker> checker_;
  std::vector<CheckResult> results_;
};

TEST_F(CheckerTest, VerifiesOnceAndThenAnswersFromMemory) {
  CheckResult first = Decide(Header("ann", "secret"));
  EXPECT_TRUE(first.verified);
  ASSERT_NE(first.user, nullptr);
  EXPECT_EQ(first.user->name, "ann");

  Checker::Answer second = Ask(Header("ann", "secret"));
  ASSERT_TRUE(std::holds_alternative<CheckResult>(second));
  EXPECT_TRUE(std::get<CheckResult>(second).verified);
  EXPECT_THAT(verifier_.asked(), ElementsAre(kCheap));
}

TEST_F(CheckerTest, PaysOneHashOfTheSameKindForUnknownDisabledExpiredAndWrong) {
  const std::vector<std::pair<std::string, Reason>> cases = {
      {Header("nobody", "secret"), Reason::kUnknownUser},
      {Header("off", "secret"), Reason::kUserDisabled},
      {Header("off", "wrong"), Reason::kUserDisabled},
      {Header("old", "secret"), Reason::kUserDisabled},
      {Header("ann", "wrong"), Reason::kWrongPassword},
      {Header("ann", ""), Reason::kWrongPassword}};
  for (size_t i = 0; i < cases.size(); ++i) {
    CheckResult result = Decide(cases[i].first);
    EXPECT_FALSE(result.verified);
    EXPECT_EQ(result.user, nullptr);
    EXPECT_EQ(result.reason, cases[i].second) << i;
    EXPECT_EQ(verifier_.asked().size(), i + 1);
    EXPECT_EQ(verifier_.asked().back(), kCheap);
  }
  EXPECT_EQ(cache_.size(), 0u) << "successes only";
}

TEST_F(CheckerTest, PaysForUnknownUsersWhatSomeKnownOnePaysWhereHashesDiffer) {
  users_ = {{.name = "cheap", .password_hashes = {kCheap}}, {.name = "dear", .password_hashes = {kDear}}};
  Configure();
  std::map<std::string, int> paid;
  for (int i = 0; i < 200; ++i) {
    const std::string user = absl::StrCat("nobody", i);
    EXPECT_EQ(Decide(Header(user, "x")).reason, Reason::kUnknownUser);
    const std::string first = verifier_.asked().back();
    throttle_.Clear({}, [this](const std::string&) { return throttle_options_; });
    Decide(Header(user, "y"));
    EXPECT_EQ(verifier_.asked().back(), first) << "the same for one name each time";
    throttle_.Clear({}, [this](const std::string&) { return throttle_options_; });
    ++paid[first];
  }
  EXPECT_EQ(verifier_.asked().size(), 400u) << "one each";
  EXPECT_EQ(paid.size(), 2u);
  EXPECT_NEAR(paid[kCheap], 100, 45) << "in the store's own mix";
}

TEST_F(CheckerTest, PaysBothHashesOfAStoreOfRotatingUsersForUnknownDisabledExpiredAndWrong) {
  users_.clear();
  for (const char* name : {"ann", "off", "old"}) users_.push_back({.name = name, .password_hashes = {kDear, kCheap}});
  users_[1].disabled = true;
  users_[2].expires = clock_.Now();
  Configure();
  size_t paid = 0;
  for (const char* user : {"nobody", "someone else", "off", "old", "ann"}) {
    // The second one is good for some of them: it must not be what ends the work.
    for (const char* password : {"wrong", "secret"}) {
      const bool right = absl::string_view(user) == "ann" && absl::string_view(password) == "secret";
      EXPECT_EQ(Decide(Header(user, password)).verified, right) << user;
      ForgetGuesses();
      paid += 2;
      ASSERT_EQ(verifier_.asked().size(), paid) << user << " " << password;
      EXPECT_EQ(verifier_.asked()[paid - 2], kDear) << user;
      EXPECT_EQ(verifier_.asked()[paid - 1], kCheap) << user;
    }
  }
}

TEST_F(CheckerTest, PaysForUnknownUsersFromTheMixOfItsStoreAndTheSameForOneName) {
  users_.clear();
  for (int i = 0; i < 10; ++i) {
    users_.push_back({.name = absl::StrCat("one", i), .password_hashes = {kCheap}});
    users_.push_back({.name = absl::StrCat("two", i), .password_hashes = {kCheap, kDear}});
  }
  Configure();
  size_t one = 0, two = 0;
  for (int i = 0; i < 40; ++i) {
    const std::string stranger = absl::StrCat("stranger", i);
    size_t before = verifier_.asked().size();
    Decide(Header(stranger, "x"));
    const size_t cost = verifier_.asked().size() - before;
    (cost == 1 ? one : two) += 1;
    before = verifier_.asked().size();
    ForgetGuesses();
    Decide(Header(stranger, "y"));
    ForgetGuesses();
    EXPECT_EQ(verifier_.asked().size() - before, cost) << "asking twice tells nothing";
  }
  EXPECT_EQ(one + two, 40u);
  EXPECT_GT(one, 4u);
  EXPECT_GT(two, 4u);
}

TEST_F(CheckerTest, OffersVerifiedPasswordsOfWeakerHashesAndNoOthers) {
  std::vector<std::string> offered;
  Mutex mutex;
  RenewalOffers offers(
      [&](RenewalOffer offer) {
        MutexLock lock(&mutex);
        offered.push_back(absl::StrCat(offer.user, "/", offer.password.Reveal()));
        return true;
      },
      clock_);
  CheckerOptions options = Options();
  options.renewals = &offers;
  checker_ = std::make_unique<Checker>(std::move(options));
  BasicScheme scheme = *scheme_;
  UserStoreInput input{"people", users_};
  input.hashing = {.kind = HashKind::kBcrypt, .options = {.bcrypt_cost = 10}, .renew_on_login = true};
  scheme.users = UserStore::Create(std::move(input), nullptr);
  scheme.epoch = ComputeEpoch(scheme);
  scheme_ = std::make_shared<const BasicScheme>(std::move(scheme));
  for (const char* user : {"ann", "nobody", "off", "old"}) Decide(Header(user, "wrong"));
  for (const char* user : {"nobody", "off", "old"}) Decide(Header(user, "secret"));
  ForgetGuesses();
  EXPECT_TRUE(Decide(Header("ann", "secret")).verified);
  EXPECT_THAT(offered, ElementsAre("ann/secret"));
}

TEST_F(CheckerTest, KeepsTheStreamsOfAUserWhoseHashWasRenewed) {
  const UserRef ann = scheme_->users->Find("ann");
  users_[0].password_hashes = {kDear};
  users_[0].renewed = {{Sha256(kDear), Sha256(kCheap)}};
  Configure();
  EXPECT_TRUE(StillAdmits(*scheme_, *ann, clock_.Now()));
  users_[0].renewed.clear();
  Configure();
  EXPECT_FALSE(StillAdmits(*scheme_, *ann, clock_.Now())) << "another password";
}

TEST_F(CheckerTest, NeverTakesAnEmptyPassword) {
  class YesVerifier final : public PasswordVerifier {
    bool Verify(absl::string_view, absl::string_view) const override { return true; }
  } yes;
  CheckerOptions options = Options();
  options.verifier = &yes;
  checker_ = std::make_unique<Checker>(std::move(options));
  EXPECT_FALSE(Decide(Header("ann", "")).verified);
  EXPECT_FALSE(Decide(Header("nobody", "x")).verified);
  EXPECT_FALSE(Decide(Header("off", "x")).verified);
  EXPECT_TRUE(Decide(Header("ann", "x")).verified);
}

TEST_F(CheckerTest, AcceptsEitherOfTwoHashesAndBurnsBothWhenNeitherFits) {
  users_[0].password_hashes = {kCheap, kDear};
  Configure();
  EXPECT_TRUE(Decide(Header("ann", "geheim")).verified);
  EXPECT_TRUE(std::holds_alternative<CheckResult>(Ask(Header("ann", "geheim")))) << "cached";
  EXPECT_TRUE(Decide(Header("ann", "secret")).verified);
  EXPECT_THAT(verifier_.asked(), ElementsAre(kCheap, kDear, kCheap));
  EXPECT_FALSE(Decide(Header("ann", "wrong")).verified);
  EXPECT_EQ(verifier_.asked().size(), 5u);
}

TEST_F(CheckerTest, AnswersAtOnceWhatNeedsNoHash) {
  const auto at_once = [&](absl::string_view header) {
    Checker::Answer answer = Ask(header);
    EXPECT_TRUE(std::holds_alternative<CheckResult>(answer)) << header;
    return std::get<CheckResult>(answer);
  };
  EXPECT_EQ(at_once("").reason, Reason::kNoCredentials);
  EXPECT_EQ(at_once("Bearer x").reason, Reason::kNoCredentials);
  EXPECT_EQ(at_once("Basic !").reason, Reason::kMalformedCredentials);
  EXPECT_FALSE(at_once("Basic !").too_large);
  EXPECT_TRUE(at_once("Basic " + std::string(9000, 'A')).too_large);
  EXPECT_THAT(verifier_.asked(), IsEmpty());
}

TEST_F(CheckerTest, ForgetsAVerifiedPasswordAfterItsTtl) {
  EXPECT_TRUE(Decide(Header("ann", "secret")).verified);
  clock_.Advance(scheme_->cache_ttl);
  EXPECT_TRUE(Decide(Header("ann", "secret")).verified);
  EXPECT_EQ(verifier_.asked().size(), 2u);
}

TEST_F(CheckerTest, RefusesACachedUserFromTheMomentItExpires) {
  CheckMemo memo;
  EXPECT_TRUE(Decide(Header("brief", "secret")).verified);
  CheckResult cached = Decide(Header("brief", "secret"), &memo);
  EXPECT_TRUE(cached.verified);
  EXPECT_EQ(cached.fresh_until, *cached.user->expires);
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(Decide(Header("brief", "secret"), &memo).reason, Reason::kUserDisabled);
}

TEST_F(CheckerTest, MissesByItselfWhenUserOrHashChanged) {
  CheckMemo memo;
  Decide(Header("ann", "secret"));
  EXPECT_TRUE(Decide(Header("ann", "secret"), &memo).verified);

  users_[0].disabled = true;
  Configure();
  EXPECT_EQ(Decide(Header("ann", "secret"), &memo).reason, Reason::kUserDisabled);
  users_[0].disabled = false;
  users_[0].password_hashes = {kDear};
  Configure();
  EXPECT_EQ(Decide(Header("ann", "secret"), &memo).reason, Reason::kWrongPassword);
  users_.erase(users_.begin());
  Configure();
  EXPECT_EQ(Decide(Header("ann", "secret"), &memo).reason, Reason::kUnknownUser);
}

TEST_F(CheckerTest, KeepsACachedUserWhenAnotherOneChanges) {
  Decide(Header("ann", "secret"));
  users_[1].disabled = false;
  Configure();
  EXPECT_TRUE(std::holds_alternative<CheckResult>(Ask(Header("ann", "secret"))));
}

TEST_F(CheckerTest, RemembersTheConnectionsHeaderOnlyForThatHeader) {
  CheckMemo memo;
  Decide(Header("ann", "secret"));
  EXPECT_TRUE(Decide(Header("ann", "secret"), &memo).verified);
  EXPECT_TRUE(Decide(Header("ann", "secret"), &memo).verified);
  EXPECT_FALSE(Decide(Header("ann", "wrong"), &memo).verified);
  EXPECT_FALSE(Decide(Header("nobody", "secret"), &memo).verified);
  EXPECT_EQ(Decide("", &memo).reason, Reason::kNoCredentials);
}

TEST_F(CheckerTest, VerifiesEqualCredentialsUnderWayOnce) {
  verifier_.Close();
  std::vector<Checker::Ticket> tickets;
  for (int i = 0; i < 3; ++i)
    tickets.push_back(std::get<Checker::Ticket>(Ask(Header("ann", "secret"))));
  EXPECT_EQ(flights_.size(), 1u);
  EXPECT_THAT(results_, IsEmpty()) << "never inside the call";
  verifier_.Open();
  loop_.RunOne();
  EXPECT_EQ(results_.size(), 3u);
  EXPECT_EQ(verifier_.asked().size(), 1u);
  EXPECT_EQ(flights_.size(), 0u);
}

TEST_F(CheckerTest, VerifiesEqualCredentialsOnceOverAllWorkers) {
  FakeLoop other_loop;
  CheckerOptions options = Options();
  options.post = [&](absl::AnyInvocable<void()> work) { other_loop.Post(std::move(work)); };
  Checker other(std::move(options));
  verifier_.Close();
  Checker::Ticket here = std::get<Checker::Ticket>(Ask(Header("ann", "secret")));
  int told = 0;
  Checker::Ticket there =
      std::get<Checker::Ticket>(other.Check(scheme_, Header("ann", "secret"), "192.0.2.1", nullptr,
                                            [&](const CheckResult& result) { told += result.verified; }));
  verifier_.Open();
  loop_.RunOne();
  EXPECT_EQ(results_.size(), 1u);
  EXPECT_EQ(told, 0) << "each on his own loop";
  other_loop.RunOne();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(verifier_.asked().size(), 1u);
}

TEST_F(CheckerTest, LooksAgainInTheCacheWhenItsTurnComes) {
  verifier_.Close();
  Checker::Ticket first = std::get<Checker::Ticket>(AskFrom("192.0.2.1", Header("ann", "secret")));
  Checker::Ticket second = std::get<Checker::Ticket>(AskFrom("192.0.2.2", Header("ann", "secret")));
  verifier_.Open();
  loop_.RunOne();
  loop_.RunOne();
  ASSERT_EQ(results_.size(), 2u);
  EXPECT_TRUE(results_[0].verified && results_[1].verified);
  EXPECT_EQ(verifier_.asked().size(), 1u) << "the second was verified meanwhile";
}

TEST_F(CheckerTest, RefusesParallelGuessesOfAnAddressOnceItIsLockedOut) {
  throttle_options_.address_free_users = 1;
  throttle_options_.address_lockout_users = 2;
  Configure();
  FairExecutor roomy(1, 100);
  CheckerOptions options = Options();
  options.executor = &roomy;
  checker_ = std::make_unique<Checker>(std::move(options));
  verifier_.Close();
  std::vector<Checker::Ticket> tickets;
  for (int i = 0; i < 20; ++i) {
    tickets.push_back(std::get<Checker::Ticket>(Ask(Header(absl::StrCat("user", i), "Summer2026!"))));
  }
  verifier_.Open();
  for (int i = 0; i < 20; ++i) loop_.RunOne();
  ASSERT_EQ(results_.size(), 20u);
  EXPECT_EQ(verifier_.asked().size(), 2u);
  EXPECT_EQ(results_[1].reason, Reason::kUnknownUser);
  EXPECT_EQ(results_[19].reason, Reason::kLockedOut);
  EXPECT_EQ(results_[19].retry_after, throttle_options_.lockout);
}

TEST_F(CheckerTest, TellsWhoLosesHisPlaceToAnAddressWithLessWaiting) {
  verifier_.Close();
  std::vector<Checker::Ticket> tickets;
  tickets.push_back(std::get<Checker::Ticket>(AskFrom("192.0.2.66", Header("u0", "x"))));
  verifier_.AwaitCalls(1);
  tickets.push_back(std::get<Checker::Ticket>(AskFrom("192.0.2.66", Header("u1", "x"))));
  tickets.push_back(std::get<Checker::Ticket>(AskFrom("192.0.2.66", Header("u2", "x"))));
  tickets.push_back(std::get<Checker::Ticket>(AskFrom("192.0.2.1", Header("ann", "secret"))));
  EXPECT_THAT(results_, IsEmpty()) << "never inside the call";
  loop_.RunOne();
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_EQ(results_[0].reason, Reason::kVerifierOverloaded);
  EXPECT_GE(results_[0].retry_after, absl::Seconds(1));
  verifier_.Open();
  for (int i = 0; i < 3; ++i) loop_.RunOne();
  EXPECT_TRUE(results_[3].verified || results_[2].verified || results_[1].verified) << "the other came in";
}

TEST_F(CheckerTest, RefusesAUserWhoExpiresWhileThePasswordIsHashed) {
  verifier_.Close();
  Checker::Ticket ticket = std::get<Checker::Ticket>(Ask(Header("brief", "secret")));
  verifier_.AwaitCalls(1);
  clock_.Advance(absl::Minutes(1));
  verifier_.Open();
  loop_.RunOne();
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_EQ(results_[0].reason, Reason::kUserDisabled);
  EXPECT_EQ(cache_.size(), 0u);
}

TEST_F(CheckerTest, NeverCallsBackWhoseTicketWasDropped) {
  verifier_.Close();
  Checker::Ticket kept = std::get<Checker::Ticket>(Ask(Header("ann", "secret")));
  { Checker::Ticket dropped = std::get<Checker::Ticket>(Ask(Header("ann", "secret"))); }
  verifier_.Open();
  loop_.RunOne();
  EXPECT_EQ(results_.size(), 1u);
  EXPECT_EQ(cache_.size(), 1u);
}

TEST_F(CheckerTest, CountsAWrongPasswordWhoseCallerWentAway) {
  for (int i = 0; i < 6; ++i) {
    { Checker::Ticket dropped = std::get<Checker::Ticket>(Ask(Header("ann", absl::StrCat(i)))); }
    while (flights_.size() != 0) std::this_thread::yield();
  }
  CheckResult result = Decide(Header("ann", "secret"));
  EXPECT_EQ(result.reason, Reason::kLockedOut);
  EXPECT_EQ(result.retry_after, absl::Seconds(1));
}

TEST_F(CheckerTest, LetsOneCallbackDropAnothersTicket) {
  verifier_.Close();
  Checker::Ticket second;
  bool second_called = false;
  Checker::Ticket first = std::get<Checker::Ticket>(
      checker_->Check(scheme_, Header("ann", "secret"), "192.0.2.1", nullptr,
                      [&](const CheckResult&) { second = Checker::Ticket(); }));
  second = std::get<Checker::Ticket>(
      checker_->Check(scheme_, Header("ann", "secret"), "192.0.2.1", nullptr,
                      [&](const CheckResult&) { second_called = true; }));
  verifier_.Open();
  loop_.RunOne();
  EXPECT_FALSE(second_called);
}

TEST_F(CheckerTest, SurvivesBeingDestroyedWithHashesUnderWay) {
  verifier_.Close();
  Checker::Ticket ticket = std::get<Checker::Ticket>(Ask(Header("ann", "secret")));
  checker_.reset();
  verifier_.Open();
  loop_.RunOne();
  EXPECT_THAT(results_, IsEmpty());
}

TEST_F(CheckerTest, RefusesAtOnceWhenTheExecutorIsFullAndCountsNothing) {
  verifier_.Close();
  std::vector<Checker::Ticket> tickets;
  tickets.push_back(std::get<Checker::Ticket>(Ask(Header("u0", "x"))));
  verifier_.AwaitCalls(1);  // the one thread is busy, two more fit in the queue
  tickets.push_back(std::get<Checker::Ticket>(Ask(Header("u1", "x"))));
  tickets.push_back(std::get<Checker::Ticket>(Ask(Header("u2", "x"))));
  for (int i = 0; i < 10; ++i) {
    CheckResult refused = std::get<CheckResult>(Ask(Header("ann", "secret")));
    EXPECT_EQ(refused.reason, Reason::kVerifierOverloaded);
    EXPECT_EQ(refused.retry_after, absl::Seconds(1));
  }
  EXPECT_EQ(flights_.size(), 3u);
  verifier_.Open();
  for (int i = 0; i < 3; ++i) loop_.RunOne();
  EXPECT_TRUE(Decide(Header("ann", "secret")).verified);
}

TEST_F(CheckerTest, LocksOutUnknownUsersAlikeButNotWhoIsAlreadyVerified) {
  Decide(Header("ann", "secret"));
  for (absl::string_view user : {"ann", "nobody"}) {
    for (int i = 0; i < 6; ++i) EXPECT_FALSE(Decide(Header(user, absl::StrCat(i))).verified);
    EXPECT_EQ(Decide(Header(user, "guess")).reason, Reason::kLockedOut) << user;
  }
  EXPECT_TRUE(Decide(Header("ann", "secret")).verified) << "from memory";
}

TEST_F(CheckerTest, RefusesEverybodyWithoutAUserStore) {
  BasicScheme scheme;
  scheme.name = "Basic";
  scheme_ = std::make_shared<const BasicScheme>(scheme);
  EXPECT_EQ(Decide(Header("ann", "secret")).reason, Reason::kUnknownUser);
}

TEST_F(CheckerTest, CutsOnlyStreamsOfUsersThatChanged) {
  const UserRef ann = scheme_->users->Find("ann");
  const UserRef brief = scheme_->users->Find("brief");
  EXPECT_TRUE(StillAdmits(*scheme_, *ann, clock_.Now()));
  users_[0].disabled = true;
  Configure();
  EXPECT_FALSE(StillAdmits(*scheme_, *ann, clock_.Now()));
  EXPECT_TRUE(StillAdmits(*scheme_, *brief, clock_.Now()));
  EXPECT_FALSE(StillAdmits(*scheme_, *brief, clock_.Now() + absl::Minutes(1)));
  users_.pop_back();
  Configure();
  EXPECT_FALSE(StillAdmits(*scheme_, *brief, clock_.Now()));
}

TEST(ComputeEpochTest, MovesWithEveryOption) {
  BasicScheme base;
  base.name = "Basic";
  std::vector<BasicScheme> changed(16, base);
  changed[0].name = "Other";
  changed[1].cache_ttl = absl::Seconds(1);
  changed[2].in_any_scheme = false;
  changed[3].users = UserStore::Create({"people", {}}, nullptr);
  changed[4].throttle.free_failures = 9;
  changed[5].throttle.first_delay = absl::Seconds(9);
  changed[6].throttle.max_delay = absl::Seconds(9);
  changed[7].throttle.lockout_failures = 9;
  changed[8].throttle.lockout = absl::Seconds(9);
  changed[9].throttle.forget = absl::Seconds(9);
  changed[10].throttle.user_free_failures = 9;
  changed[11].throttle.user_delay = absl::Seconds(9);
  changed[12].throttle.address_free_users = 9;
  changed[13].throttle.address_lockout_users = 9;
  changed[14].throttle.spray_users = 9;
  changed[15].throttle.spray_window = absl::Seconds(9);
  EXPECT_EQ(ComputeEpoch(base), ComputeEpoch(BasicScheme(base)));
  for (const BasicScheme& scheme : changed) EXPECT_NE(ComputeEpoch(scheme), ComputeEpoch(base));
}

TEST(VerifiedCacheTest, KeepsFieldsApartAndForgetsTheLeastRecentlyUsed) {
  VerifiedCache cache(16);
  EXPECT_NE(cache.KeyOf("a", "bc", "", "d"), cache.KeyOf("ab", "c", "", "d"));
  EXPECT_NE(cache.KeyOf("a", "b", "c", "d"), VerifiedCache(16).KeyOf("a", "b", "c", "d"))
      << "a key of its own";
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  for (int i = 0; i < 1000; ++i) cache.Put(cache.KeyOf("a", absl::StrCat(i), "", ""), now);
  EXPECT_LE(cache.size(), 32u);
}

}  // namespace
}  // namespace gatehouse::credentials
