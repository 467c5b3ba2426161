// One suite, every store.
#include "control/store/store.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "control/store/memory_store.h"
#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::store {
namespace {

struct Memory {
  std::unique_ptr<Store> Open() { return std::make_unique<MemoryStore>(); }
};
struct Sqlite {
  TemporaryFolder folder;
  std::unique_ptr<Store> Open() {
    SqliteOptions options;
    options.path = folder / "state.db";
    auto store = SqliteStore::Open(std::move(options));
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
};

template <typename Kind>
class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = kind_.Open();
    ASSERT_NE(store_, nullptr);
  }
  uint64_t Commit(const Transaction& transaction) {
    auto revision = store_->Commit(transaction);
    EXPECT_TRUE(revision.ok()) << revision.status();
    return revision.value_or(0);
  }

  Kind kind_;
  std::unique_ptr<Store> store_;
};
using Kinds = ::testing::Types<Memory, Sqlite>;
TYPED_TEST_SUITE(StoreTest, Kinds);

TYPED_TEST(StoreTest, KeepsAKeyForEachOfThoseWhoSealElsewhere) {
  const auto one = this->store_->KeyFor("one"), other = this->store_->KeyFor("other");
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(one->Reveal().size(), 32u);
  EXPECT_NE(one->Reveal(), other->Reveal());
  EXPECT_EQ(this->store_->KeyFor("one")->Reveal(), one->Reveal());
}

TYPED_TEST(StoreTest, StartsEmptyAtRevisionZero) {
  EXPECT_EQ(*this->store_->Head(), 0u);
  EXPECT_EQ(PrintHead(*this->store_), "0:");
  EXPECT_TRUE(this->store_->History({.limit = 10})->empty());
  EXPECT_EQ(this->store_->incarnation().size(), 32u);
}

TYPED_TEST(StoreTest, EveryStoreHasItsOwnIncarnation) {
  TypeParam other;
  EXPECT_NE(other.Open()->incarnation(), this->store_->incarnation());
}

TYPED_TEST(StoreTest, ACommitMakesTheNextRevision) {
  EXPECT_EQ(this->Commit(Write(0, {Policy("a", "1"), Certificate("c", "KEY")})), 1u);
  EXPECT_EQ(this->Commit(Write(1, {Policy("a", "2"), Policy("b")})), 2u);
  EXPECT_EQ(this->Commit(Write(2, {}, {{v1::POLICY, "a"}})), 3u);

  const State state = **this->store_->Load(0);
  EXPECT_EQ(state.revision, 3u);
  ASSERT_EQ(state.resources.size(), 2u);
  EXPECT_EQ(state.resources.at({v1::SERVER_CERTIFICATE, "c"})->server_certificate().private_key_pem(), "KEY");
  EXPECT_EQ(state.resources.count({v1::POLICY, "b"}), 1u);
}

TYPED_TEST(StoreTest, OldRevisionsStayAsTheyWere) {
  this->Commit(Write(0, {Policy("a", "1"), Certificate("c", "OLD")}));
  const std::string before = PrintHead(*this->store_);
  this->Commit(Write(1, {Policy("a", "2"), Certificate("c", "NEW")}));
  this->Commit(Write(2, {}, {{v1::POLICY, "a"}}));

  EXPECT_EQ(Print(**this->store_->Load(1)), before);
  EXPECT_EQ((*this->store_->Load(2))->resources.at({v1::POLICY, "a"})->policy().public_message(), "2");
  EXPECT_EQ(this->store_->Load(4).status().code(), absl::StatusCode::kNotFound);
}

TYPED_TEST(StoreTest, ADeletedNameMayComeBack) {
  this->Commit(Write(0, {Policy("a", "1")}));
  this->Commit(Write(1, {}, {{v1::POLICY, "a"}}));
  this->Commit(Write(2, {Policy("a", "3")}));
  EXPECT_EQ((*this->store_->Load(0))->resources.at({v1::POLICY, "a"})->policy().public_message(), "3");
  EXPECT_TRUE((*this->store_->Load(2))->resources.empty());
}

TYPED_TEST(StoreTest, ACommitFromAnOldRevisionIsAborted) {
  this->Commit(Write(0, {Policy("a", "1")}));
  const std::string before = PrintHead(*this->store_);
  for (uint64_t expected : {uint64_t{0}, uint64_t{2}}) {
    EXPECT_EQ(this->store_->Commit(Write(expected, {Policy("b")})).status().code(), absl::StatusCode::kAborted);
  }
  EXPECT_EQ(PrintHead(*this->store_), before);
  EXPECT_EQ(this->Commit(Write(1, {Policy("b")})), 2u);
}

TYPED_TEST(StoreTest, ARepeatedRequestIsDoneOnce) {
  Transaction transaction = Write(0, {Policy("a", "1")});
  transaction.request_id = "r-1";
  EXPECT_EQ(this->Commit(transaction), 1u);
  EXPECT_EQ(this->Commit(Write(1, {Policy("b")})), 2u);
  EXPECT_EQ(this->Commit(transaction), 1u);
  EXPECT_EQ(*this->store_->Head(), 2u);
}

TYPED_TEST(StoreTest, HistoryTellsWhoWhenAndWhatNewestFirst) {
  Transaction transaction = Write(0, {Policy("a")});
  v1::Change& change = transaction.changes.emplace_back();
  change.mutable_id()->set_name("a");
  change.set_action(v1::Change::ADDED);
  change.add_details("public_message: set");
  this->Commit(transaction);
  for (uint64_t r = 1; r < 5; ++r) this->Commit(Write(r, {Policy("a", std::to_string(r))}));

  auto page = *this->store_->History({.limit = 3});
  ASSERT_EQ(page.size(), 3u);
  EXPECT_EQ(page[0].revision(), 5u);
  EXPECT_EQ(page[2].revision(), 3u);
  page = *this->store_->History({.limit = 10, .before = HistoryQuery::Place{3, 0}});
  ASSERT_EQ(page.size(), 2u);
  const v1::Revision& first = page[1];
  EXPECT_EQ(first.revision(), 1u);
  EXPECT_EQ(first.parent(), 0u);
  EXPECT_EQ(first.actor(), "uid:7");
  EXPECT_EQ(first.message(), "why");
  EXPECT_EQ(first.time().seconds(), 1'800'000'000);
  EXPECT_EQ(first.time().nanos(), 123'456'789);
  ASSERT_EQ(first.changes_size(), 1);
  EXPECT_EQ(first.changes(0).details(0), "public_message: set");
}

Entry Act(const std::string& method, const std::string& effect, const std::string& actor = "uid:7") {
  Entry entry;
  entry.time = absl::FromUnixNanos(1'800'000'000'123'456'789);
  entry.actor = actor;
  entry.peer = "192.0.2.1:5";
  entry.method = method;
  entry.effects = {effect};
  return entry;
}

TYPED_TEST(StoreTest, AnEntryStandsAboveTheRevisionInForceAndMakesNone) {
  const std::string empty = PrintHead(*this->store_);
  EXPECT_EQ(*this->store_->Append(Act("A", "zero")), 0u);
  EXPECT_EQ(PrintHead(*this->store_), empty);
  this->Commit(Write(0, {Policy("a")}));
  EXPECT_EQ(*this->store_->Append(Act("A", "one")), 1u);
  EXPECT_EQ(*this->store_->Append(Act("B", "two")), 1u);
  EXPECT_EQ(this->Commit(Write(1, {Policy("b")})), 2u) << "it is no revision that a writer must know of";

  const auto all = *this->store_->History({.limit = 10, .show = v1::HistoryRequest::WRITES});
  std::vector<std::string> lines;
  for (const v1::Revision& one : all) lines.push_back(absl::StrCat(one.revision(), one.effects_size() == 0 ? "" : one.effects(0)));
  EXPECT_EQ(lines, (std::vector<std::string>{"2", "1two", "1one", "1", "0zero"}));
  EXPECT_EQ(all[1].actor(), "uid:7");
  EXPECT_EQ(all[1].peer(), "192.0.2.1:5");
  EXPECT_EQ(all[1].method(), "B");
  EXPECT_EQ(all[1].parent(), 1u);
  EXPECT_EQ(all[1].time().nanos(), 123'456'789);
  EXPECT_GT(all[1].entry(), all[2].entry());
  EXPECT_EQ(this->store_->History({.limit = 10})->size(), 2u) << "revisions alone";

  const HistoryQuery::Place place{all[2].revision(), all[2].entry()};
  EXPECT_EQ(this->store_->History({.limit = 10, .show = v1::HistoryRequest::WRITES, .before = place})->size(), 2u);
  EXPECT_EQ(this->store_->History({.limit = 10, .show = v1::HistoryRequest::WRITES, .before = HistoryQuery::Place{1, 0}})->size(), 1u);
}

TYPED_TEST(StoreTest, APageOfSoManyOctetsEndsWithTheRecordThatPassesThem) {
  const std::string kib(1024, 'k');
  for (uint64_t revision = 0; revision < 4; ++revision) {
    Transaction transaction = Write(revision, {Policy("a", absl::StrCat(revision))});
    transaction.message = revision == 2 ? std::string(9000, 'm') : kib;
    this->Commit(transaction);
    if (revision != 1) {
      ASSERT_TRUE(this->store_->Append(Act("A", kib)).ok());
    }
  }
  HistoryQuery query{.limit = 100, .max_octets = 2500, .show = v1::HistoryRequest::EVERYTHING};
  const auto all = *this->store_->History({.limit = 100, .show = query.show});
  ASSERT_EQ(all.size(), 7u);
  std::vector<size_t> sizes;
  std::vector<std::string> lines;
  for (auto page = *this->store_->History(query); !page.empty(); page = *this->store_->History(query)) {
    sizes.push_back(page.size());
    for (const v1::Revision& one : page) lines.push_back(one.SerializeAsString());
    query.before = HistoryQuery::Place{page.back().revision(), page.back().entry()};
  }
  // Newest first: entry, 4, entry; 3, which is large, and 2; entry, 1.
  EXPECT_EQ(sizes, (std::vector<size_t>{3, 2, 2}));
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(lines[i], all[i].SerializeAsString());
}

TYPED_TEST(StoreTest, AClockThatIsSetBackChangesNoOrder) {
  this->Commit(Write(0, {Policy("a")}));
  Transaction earlier = Write(1, {Policy("b")});
  earlier.time -= absl::Hours(48);
  EXPECT_EQ(this->Commit(earlier), 2u);
  Entry entry = Act("A", "earlier still");
  entry.time -= absl::Hours(96);
  EXPECT_EQ(*this->store_->Append(entry), 2u);
  this->Commit(Write(2, {Policy("c")}));

  const auto all = *this->store_->History({.limit = 10, .show = v1::HistoryRequest::WRITES});
  std::vector<uint64_t> revisions;
  for (const v1::Revision& one : all) revisions.push_back(one.revision());
  EXPECT_EQ(revisions, (std::vector<uint64_t>{3, 2, 2, 1}));
  EXPECT_EQ(all[1].effects(0), "earlier still");
  EXPECT_LT(all[2].time().seconds(), all[3].time().seconds());
  EXPECT_FALSE(this->store_->Commit(Write(2, {Policy("d")})).ok()) << "an old revision stays old whatever the time";
}

TYPED_TEST(StoreTest, OfWhatAGatewayWritesByItselfTheLatestIsKeptAndCounted) {
  Entry renewal = Act("Renew", "1", "edge-1");
  renewal.kind = Entry::Kind::kRoutine;
  ASSERT_TRUE(this->store_->Append(renewal).ok());
  renewal.actor = "edge-2";
  ASSERT_TRUE(this->store_->Append(renewal).ok());
  renewal.actor = "edge-1";
  renewal.time += absl::Hours(1);
  for (const char* effect : {"2", "3"}) {
    renewal.effects = {effect};
    ASSERT_TRUE(this->store_->Append(renewal).ok());
  }
  EXPECT_TRUE(this->store_->History({.limit = 10, .show = v1::HistoryRequest::WRITES})->empty());
  const auto all = *this->store_->History({.limit = 10, .show = v1::HistoryRequest::EVERYTHING});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].actor(), "edge-1");
  EXPECT_EQ(all[0].effects(0), "3");
  EXPECT_EQ(all[0].times(), 3u);
  EXPECT_EQ(all[0].first_time().seconds(), 1'800'000'000);
  EXPECT_EQ(all[0].time().seconds(), 1'800'003'600);
  EXPECT_EQ(all[1].times(), 1u);
}

TYPED_TEST(StoreTest, AMethodThatIsCalledALotPushesOutNoOthers) {
  ASSERT_TRUE(this->store_->Append(Act("Rare", "kept")).ok());
  for (size_t i = 0; i < Store::kMostEntries + 3; ++i) ASSERT_TRUE(this->store_->Append(Act("Often", absl::StrCat(i))).ok());
  const auto all = *this->store_->History({.limit = 5000, .show = v1::HistoryRequest::WRITES});
  ASSERT_EQ(all.size(), Store::kMostEntries + 1);
  EXPECT_EQ(all.front().effects(0), absl::StrCat(Store::kMostEntries + 2));
  EXPECT_EQ(all[Store::kMostEntries - 1].effects(0), "3");
  EXPECT_EQ(all.back().effects(0), "kept");
}

Entry Refusal(const std::string& account, const std::string& why, bool stranger = false) {
  Entry entry = Act("A", "", account);
  entry.effects.clear();
  entry.kind = stranger ? Entry::Kind::kStrangersRefusal : Entry::Kind::kRefusal;
  entry.account = account;
  entry.refusal = why;
  return entry;
}

TYPED_TEST(StoreTest, ACallThatIsRefusedTheSameAgainIsCounted) {
  this->Commit(Write(0, {Policy("a")}));
  Entry refusal = Refusal("uid:7", "no");
  refusal.left_out = 3;
  ASSERT_TRUE(this->store_->Append({refusal, Refusal("uid:8", "no")}).ok());
  refusal.time += absl::Hours(1);
  ASSERT_TRUE(this->store_->Append(refusal).ok());
  ASSERT_TRUE(this->store_->Append({Refusal("uid:7", "another reason"), Refusal("uid:7", "no"), Refusal("uid:7", "no", true)}).ok());
  std::vector<std::string> lines;
  const auto page = *this->store_->History({.limit = 10, .show = v1::HistoryRequest::REFUSALS});
  for (const v1::Revision& one : page) {
    lines.push_back(absl::StrCat(one.revision(), " ", one.actor(), " ", one.refusal(), " ", one.times(), " ", one.left_out(), " ",
                                 one.time().seconds() - one.first_time().seconds()));
  }
  EXPECT_EQ(lines, (std::vector<std::string>{"1 uid:7 no 1 0 0", "1 uid:7 no 1 0 0", "1 uid:7 another reason 1 0 0", "1 uid:7 no 2 6 3600",
                                             "1 uid:8 no 1 0 0"}));
  EXPECT_EQ(this->store_->History({.limit = 10, .show = v1::HistoryRequest::WRITES})->size(), 1u);
  EXPECT_EQ(this->store_->History({.limit = 10, .show = v1::HistoryRequest::EVERYTHING})->size(), 6u);
  EXPECT_EQ(this->store_->History({.limit = 2, .show = v1::HistoryRequest::REFUSALS})->size(), 2u);
}

TYPED_TEST(StoreTest, RefusalsPushOutNeitherWritesNorThoseOfOthers) {
  ASSERT_TRUE(this->store_->Append(Act("A", "kept")).ok());
  ASSERT_TRUE(this->store_->Append(Refusal("uid:8", "kept")).ok());
  std::vector<Entry> many;
  for (size_t i = 0; i < Store::kMostEntries + 5; ++i) {
    many.push_back(Refusal("uid:7", absl::StrCat(i)));
    many.push_back(Refusal(absl::StrCat("192.0.2.", i), absl::StrCat(i), true));
  }
  ASSERT_TRUE(this->store_->Append(many).ok());
  const auto all = *this->store_->History({.limit = 10000, .show = v1::HistoryRequest::EVERYTHING});
  size_t of_seven = 0, of_strangers = 0, kept = 0;
  for (const v1::Revision& one : all) {
    of_seven += one.actor() == "uid:7" && !one.refusal().empty() ? 1 : 0;
    of_strangers += one.actor().rfind("192.", 0) == 0 ? 1 : 0;
    kept += one.refusal() == "kept" || (one.effects_size() == 1 && one.effects(0) == "kept") ? 1 : 0;
  }
  EXPECT_EQ(of_seven, Store::kMostRefusals);
  EXPECT_EQ(of_strangers, Store::kMostEntries);
  EXPECT_EQ(kept, 2u);
  EXPECT_EQ(all.size(), of_seven + of_strangers + kept);
}

TYPED_TEST(StoreTest, OfConcurrentWritersOneWinsEachRevision) {
  constexpr int kThreads = 4, kEach = 10;
  std::atomic<int> done{0};
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&, t] {
      for (int i = 0; i < kEach;) {
        auto committed = this->store_->Commit(
            Write(*this->store_->Head(), {Policy("p" + std::to_string(t) + "-" + std::to_string(i))}));
        if (!committed.ok()) {
          ASSERT_EQ(committed.status().code(), absl::StatusCode::kAborted) << committed.status();
          continue;
        }
        ++i;
        ++done;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(done.load(), kThreads * kEach);
  EXPECT_EQ(*this->store_->Head(), static_cast<uint64_t>(kThreads * kEach));
  EXPECT_EQ((*this->store_->Load(0))->resources.size(), static_cast<size_t>(kThreads * kEach));
}

TYPED_TEST(StoreTest, EmptyAndBinaryContentSurvives) {
  this->Commit(Write(0, {Policy("a", std::string("\0\x7f'\";", 5)), Certificate("c", "")}));
  EXPECT_EQ((*this->store_->Load(0))->resources.at({v1::POLICY, "a"})->policy().public_message(),
            std::string("\0\x7f'\";", 5));
}

}  // namespace
}  // namespace gatehouse::store
