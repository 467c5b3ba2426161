// Invariant 6: a commit is atomic. Every I/O of a commit fails, or the power goes there, and what comes back is the
// old revision or the new one, never anything else.
#include <functional>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/store/fault_disk.h"
#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"
#include "gtest/gtest.h"

namespace gatehouse::store {
namespace {

using Fault = FaultDisk::Fault;
using Survival = FaultDisk::Survival;

class SqliteFaultsTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<SqliteStore>> TryOpen(char key = 'k', char new_key = 0) {
    SqliteOptions options;
    options.path = "/store.db";
    options.vfs = disk_.name();
    options.key = Secret(std::string(32, key));
    if (new_key != 0) options.new_key = Secret(std::string(32, new_key));
    return SqliteStore::Open(std::move(options));
  }
  std::unique_ptr<SqliteStore> Open() {
    auto store = TryOpen();
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Runs `change` from `image` with every `stride`-th of its I/Os failing. Returns how many failed.
  uint64_t TryAll(const FaultDisk::Image& image, const Transaction& change, Fault fault, Survival survival,
                  uint64_t stride = 1) {
    disk_.Restore(image);
    std::string before, after;
    {
      auto store = Open();
      before = PrintHead(*store);
      EXPECT_TRUE(store->Commit(change).ok());
      after = PrintHead(*store);
    }
    EXPECT_NE(before, after);
    uint64_t points = 0;
    for (uint64_t n = 1;; n += stride) {
      disk_.Restore(image);
      auto store = Open();
      if (store == nullptr) return points;
      disk_.Arm(fault, n);
      const auto committed = store->Commit(change);
      const bool struck = disk_.struck();
      disk_.Disarm();
      if (fault != Fault::kCrash) {
        // The same process goes on, and knows which of the two it has.
        EXPECT_EQ(PrintHead(*store), committed.ok() ? after : before) << "at I/O " << n;
        if (!committed.ok() && fault == Fault::kDiskFull) {
          EXPECT_EQ(committed.status().code(), absl::StatusCode::kResourceExhausted) << committed.status();
        }
        if (!committed.ok() && fault == Fault::kReadOnly) {
          EXPECT_EQ(committed.status().code(), absl::StatusCode::kFailedPrecondition) << committed.status();
        }
        // And can write again.
        Transaction again = Write(change.expected_revision + (committed.ok() ? 1 : 0), {Policy("again")});
        const auto second = store->Commit(again);
        EXPECT_TRUE(second.ok()) << "at I/O " << n << ": " << second.status();
        const std::string last = PrintHead(*store);
        store.reset();
        EXPECT_EQ(PrintHead(*Open()), last) << "at I/O " << n;
      } else {
        store.reset();
        disk_.Reboot(survival, n);
        store = Open();
        if (store == nullptr) return points;
        const std::string found = PrintHead(*store);
        EXPECT_TRUE(found == after || (found == before && !committed.ok())) << "at I/O " << n << ": " << found;
        EXPECT_EQ(store->History({.limit = 100})->size(), *store->Head());
        EXPECT_TRUE(store->Commit(Write(*store->Head(), {Policy("again")})).ok());
      }
      if (HasFailure() || !struck) break;
      ++points;
    }
    return points;
  }

  FaultDisk::Image Prepared() {
    {
      auto store = Open();
      EXPECT_TRUE(store->Commit(Write(0, {Policy("a", "1"), Policy("b"), Certificate("c", "KEY")})).ok());
    }
    return disk_.Save();
  }

  FaultDisk disk_{"fault-disk"};
};

Transaction SmallChange() {
  return Write(1, {Policy("a", "2"), Certificate("c", "KEY-2"), Policy("d", std::string(10'000, 'd'))},
               {{v1::POLICY, "b"}});
}

TEST_F(SqliteFaultsTest, EveryIoOfACommitFailsAndTheOldOrTheNewRevisionIsThere) {
  const FaultDisk::Image image = Prepared();
  const Transaction change = SmallChange();
  uint64_t errors = TryAll(image, change, Fault::kIoError, Survival::kEverything);
  uint64_t full = TryAll(image, change, Fault::kDiskFull, Survival::kEverything);
  uint64_t crashes = 0;
  for (Survival survival : {Survival::kNothing, Survival::kEverything, Survival::kSome}) {
    crashes += TryAll(image, change, Fault::kCrash, survival);
  }
  std::cout << "fault points of a commit: " << errors << " I/O errors, " << full << " full disks, " << crashes
            << " crashes\n";
  EXPECT_GT(errors, 5u);
  EXPECT_GT(full, 5u);
  EXPECT_GT(crashes, 15u);
}

TEST_F(SqliteFaultsTest, ACommitLargeEnoughForACheckpointIsAtomicToo) {
  const FaultDisk::Image image = Prepared();
  Transaction change = SmallChange();
  for (int i = 0; i < 50; ++i) change.upserts.push_back(Policy("big" + std::to_string(i), std::string(100'000, 'x')));
  uint64_t points = TryAll(image, change, Fault::kIoError, Survival::kEverything, 97);
  for (Survival survival : {Survival::kNothing, Survival::kEverything, Survival::kSome}) {
    points += TryAll(image, change, Fault::kCrash, survival, 97);
  }
  std::cout << "fault points of a commit with a checkpoint: " << points << " (every 97th)\n";
  EXPECT_GT(points, 40u);
}

// Kinds that are stored in the open and sealed, added, changed and removed; each is a commit of its own shape.
TEST_F(SqliteFaultsTest, EveryKindOfCommitIsAtomic) {
  const FaultDisk::Image image = Prepared();
  auto scheme = std::make_shared<v1::Resource>();
  scheme->mutable_scheme()->set_name("s");
  scheme->mutable_scheme()->mutable_basic()->mutable_validator()->mutable_tls()->set_private_key_pem("KEY");
  auto binding = std::make_shared<v1::Resource>();
  binding->mutable_binding()->set_name("b");
  auto users = std::make_shared<v1::Resource>();
  users->mutable_user_store()->set_name("u");
  users->mutable_user_store()->add_users()->add_password_hashes("HASH");
  Transaction told = Write(1, {});  // a revision for the history alone
  told.request_id = "once";
  const Transaction changes[] = {Write(1, {Policy("new")}),  Write(1, {Certificate("c", "OTHER")}), Write(1, {scheme}),
                                 Write(1, {binding}),        Write(1, {users}),                     Write(1, {}, {{v1::SERVER_CERTIFICATE, "c"}}),
                                 told};
  uint64_t points = 0;
  for (const Transaction& change : changes) {
    for (Fault fault : {Fault::kIoError, Fault::kDiskFull, Fault::kReadOnly}) points += TryAll(image, change, fault, Survival::kEverything);
    for (Survival survival : {Survival::kNothing, Survival::kSome}) points += TryAll(image, change, Fault::kCrash, survival);
  }
  EXPECT_GT(points, 100u);
}

// What changed no configuration is in the history whole or not at all, and no fault of its makes or loses a revision.
TEST_F(SqliteFaultsTest, EntriesAreThereTogetherOrNotOrNotAndRevisionsStayAsTheyAre) {
  const FaultDisk::Image image = Prepared();
  Entry entry;
  entry.time = absl::FromUnixSeconds(1'800'000'000);
  entry.actor = "uid:7";
  entry.method = "GatewayService/Join";
  entry.effects = {std::string(10'000, 'e')};
  std::vector<Entry> both = {entry, entry};
  both[1].kind = Entry::Kind::kRefusal;
  both[1].refusal = "no";
  const auto entries = [](Store& store) {
    const auto all = store.History({.limit = 100, .show = v1::HistoryRequest::EVERYTHING});
    EXPECT_TRUE(all.ok()) << all.status();
    size_t n = 0;
    for (const v1::Revision& one : *all) {
      if (one.effects_size() == 0) continue;
      ++n;
      EXPECT_EQ(one.effects(0), std::string(10'000, 'e'));
    }
    return n;
  };
  uint64_t points = 0;
  const auto try_all = [&](Fault fault, Survival survival) {
    for (uint64_t n = 1;; ++n) {
      disk_.Restore(image);
      auto store = Open();
      ASSERT_NE(store, nullptr);
      const std::string head = PrintHead(*store);
      disk_.Arm(fault, n);
      const bool appended = store->Append(both).ok();
      const bool struck = disk_.struck();
      disk_.Disarm();
      if (fault == Fault::kCrash) {
        store.reset();
        disk_.Reboot(survival, n);
        store = Open();
        ASSERT_NE(store, nullptr);
        EXPECT_TRUE(entries(*store) == 2 || (entries(*store) == 0 && !appended)) << "at I/O " << n;
      } else {
        EXPECT_EQ(entries(*store), appended ? 2u : 0u) << "at I/O " << n;
        const size_t had = entries(*store);
        EXPECT_TRUE(store->Append(entry).ok()) << "at I/O " << n;
        EXPECT_EQ(entries(*store), had + 1);
      }
      EXPECT_EQ(PrintHead(*store), head) << "at I/O " << n;
      if (HasFailure() || !struck) return;
      ++points;
    }
  };
  for (Fault fault : {Fault::kIoError, Fault::kDiskFull, Fault::kReadOnly}) try_all(fault, Survival::kEverything);
  for (Survival survival : {Survival::kNothing, Survival::kEverything, Survival::kSome}) try_all(Fault::kCrash, survival);
  EXPECT_GT(points, 15u);
}

TEST_F(SqliteFaultsTest, ARotationInterruptedAnywhereLeavesOneKeyThatOpensEverything) {
  std::string before;
  {
    auto store = Open();
    ASSERT_TRUE(store->Commit(Write(0, {Policy("a"), Certificate("c", "KEY"), Certificate("d", std::string(9000, 'K'))})).ok());
    ASSERT_TRUE(store->Commit(Write(1, {Certificate("c", "KEY-2")})).ok());
    before = PrintHead(*store) + Print(**store->Load(1)) + std::string(store->KeyFor("elsewhere")->Reveal());
  }
  const FaultDisk::Image image = disk_.Save();
  uint64_t points = 0, news = 0, olds = 0;
  for (Fault fault : {Fault::kIoError, Fault::kDiskFull, Fault::kCrash}) {
    for (Survival survival : {Survival::kNothing, Survival::kEverything, Survival::kSome}) {
      for (uint64_t n = 1;; ++n) {
        disk_.Restore(image);
        auto store = TryOpen('k', 'n');
        ASSERT_TRUE(store.ok());
        disk_.Arm(fault, n);
        const auto rotated = (*store)->RotateKey([](uint64_t, uint64_t) {});
        const bool struck = disk_.struck();
        disk_.Disarm();
        if (fault != Fault::kCrash) {
          // The same process goes on with whichever key it has.
          EXPECT_EQ(PrintHead(**store) + Print(**(*store)->Load(1)) + std::string((*store)->KeyFor("elsewhere")->Reveal()), before)
              << "at I/O " << n;
          EXPECT_TRUE((*store)->Commit(Write(2, {Certificate("c", "KEY-3")})).ok()) << "at I/O " << n;
        }
        store->reset();
        disk_.Reboot(survival, n);
        auto old_key = TryOpen('k');
        const bool old_opens = old_key.ok();
        old_key = absl::UnknownError("closed");
        auto new_key = TryOpen('n');
        const bool new_opens = new_key.ok();
        new_key = absl::UnknownError("closed");
        EXPECT_NE(old_opens, new_opens) << "at I/O " << n;
        EXPECT_TRUE(new_opens || !rotated.ok()) << "at I/O " << n;
        (new_opens ? news : olds) += 1;
        auto both = TryOpen('k', 'n');
        ASSERT_TRUE(both.ok()) << both.status() << " at I/O " << n;
        EXPECT_EQ(Print(**(*both)->Load(2)) + Print(**(*both)->Load(1)) + std::string((*both)->KeyFor("elsewhere")->Reveal()), before)
            << "at I/O " << n;
        if (HasFailure()) return;
        if (!struck) break;
        ++points;
      }
    }
  }
  std::cout << "fault points of a rotation: " << points << ", " << olds << " with the old key, " << news << " with the new\n";
  EXPECT_GT(points, 30u);
  EXPECT_GT(olds, 10u);
  EXPECT_GT(news, 3u);
}

// What a caller was told did not happen: also when the process ends before it has written anything else. Nothing but the disk that
// fails for good can bring it back, and then the caller is told so.
TEST_F(SqliteFaultsTest, WhatWasRefusedIsNotThereAfterARestartEither) {
  const FaultDisk::Image image = Prepared();
  Entry entry;
  entry.method = "GatewayService/Join";
  const auto print = [this] {
    auto store = TryOpen('k');
    if (!store.ok()) return std::string("of another key");
    return absl::StrCat(PrintHead(**store), (*store)->History({.limit = 100, .show = v1::HistoryRequest::EVERYTHING})->size());
  };
  const std::function<absl::Status(Store&)> deeds[] = {
      [](Store& store) { return store.Commit(SmallChange()).status(); },
      [&](Store& store) { return store.Append(entry).status(); },
      [](Store& store) { return store.RotateKey([](uint64_t, uint64_t) {}).status(); },
  };
  disk_.Restore(image);
  const std::string before = print();
  int told = 0;
  for (const auto& deed : deeds) {
    for (Fault fault : {Fault::kIoError, Fault::kDiskFull, Fault::kReadOnly, Fault::kCrash}) {
      for (uint64_t n = 1;; ++n) {
        disk_.Restore(image);
        auto store = TryOpen('k', 'n');
        ASSERT_TRUE(store.ok());
        disk_.Arm(fault, n);
        const absl::Status done = deed(**store);
        const bool struck = disk_.struck();
        disk_.Arm(Fault::kCrash, 1);
        *store = nullptr;
        disk_.Reboot(Survival::kEverything, n);
        if (!struck) break;
        if (done.ok()) continue;
        const bool may = absl::StrContains(done.message(), "a restart may bring it back");
        EXPECT_TRUE(!may || fault == Fault::kCrash) << "at I/O " << n << ": " << done;
        EXPECT_TRUE(may || print() == before) << "at I/O " << n << ": " << done;
        told += may ? 1 : 0;
      }
    }
  }
  EXPECT_GT(told, 3);
}

TEST_F(SqliteFaultsTest, AStoreWhoseCreationWasInterruptedOpensAfterwards) {
  uint64_t points = 0;
  for (Survival survival : {Survival::kNothing, Survival::kEverything, Survival::kSome}) {
    for (uint64_t n = 1;; ++n) {
      disk_.Restore({});
      disk_.Arm(Fault::kCrash, n);
      { auto ignored = TryOpen(); }
      const bool struck = disk_.struck();
      disk_.Reboot(survival, n);
      auto store = Open();
      ASSERT_NE(store, nullptr) << "at I/O " << n;
      EXPECT_EQ(PrintHead(*store), "0:");
      EXPECT_TRUE(store->Commit(Write(0, {Policy("a")})).ok());
      if (!struck) break;
      ++points;
    }
  }
  std::cout << "fault points of a creation: " << points << "\n";
  EXPECT_GT(points, 15u);
}

}  // namespace
}  // namespace gatehouse::store
