#include "control/api/history_queue.h"

#include "absl/strings/str_cat.h"
#include "control/store/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;

// A store whose disk hangs, or is full, when the test says so.
class SlowStore final : public store::MemoryStore {
 public:
  using Store::Append;
  absl::StatusOr<uint64_t> Append(absl::Span<const store::Entry> entries) override {
    MutexLock lock(&mutex_);
    sizes_.push_back(entries.size());
    changed_.SignalAll();
    while (hangs_) changed_.Wait(&mutex_);
    if (full_) return absl::ResourceExhaustedError("the disk is full");
    return MemoryStore::Append(entries);
  }

  void Hang(bool hangs) {
    MutexLock lock(&mutex_);
    hangs_ = hangs;
    changed_.SignalAll();
  }
  void Fill(bool full) {
    MutexLock lock(&mutex_);
    full_ = full;
  }
  void AwaitAppend(size_t n) {
    MutexLock lock(&mutex_);
    while (sizes_.size() < n) changed_.Wait(&mutex_);
  }
  std::vector<size_t> sizes() {
    MutexLock lock(&mutex_);
    return sizes_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool hangs_ ABSL_GUARDED_BY(mutex_) = false;
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<size_t> sizes_ ABSL_GUARDED_BY(mutex_);
};

class HistoryQueueTest : public ::testing::Test {
 protected:
  static store::Entry Refusal(const std::string& why) {
    store::Entry entry;
    entry.kind = store::Entry::Kind::kRefusal;
    entry.method = "X/Y";
    entry.refusal = why;
    return entry;
  }
  // Oldest first, with what was left out before it.
  std::vector<std::string> Written() {
    std::vector<std::string> lines;
    const auto page = *store_.History({.limit = 100, .show = v1::HistoryRequest::REFUSALS});
    for (const v1::Revision& one : page) {
      lines.insert(lines.begin(), absl::StrCat(one.refusal(), " ", one.left_out()));
    }
    return lines;
  }
  SlowStore store_;
};

TEST_F(HistoryQueueTest, WhatComesWhileTheDiskIsSlowIsWrittenTogetherAndInOrder) {
  HistoryQueue queue(store_);
  store_.Hang(true);
  queue.Put(Refusal("a"));
  store_.AwaitAppend(1);
  for (const char* why : {"b", "c", "d"}) queue.Put(Refusal(why));
  store_.Hang(false);
  queue.Flush();
  EXPECT_THAT(store_.sizes(), ElementsAre(1, 3));
  EXPECT_THAT(Written(), ElementsAre("a 0", "b 0", "c 0", "d 0"));
}

// Who is refused decides when, and not how often a disk is written to.
TEST_F(HistoryQueueTest, WhatComesSoonAfterAWriteIsWrittenTogether) {
  {
    HistoryQueue queue(store_, 2000, absl::Hours(1));
    queue.Put(Refusal("a"));
    store_.AwaitAppend(1);
    for (const char* why : {"b", "c"}) queue.Put(Refusal(why));
    queue.Flush();
    for (const char* why : {"d", "e"}) queue.Put(Refusal(why));
  }
  EXPECT_THAT(store_.sizes(), ElementsAre(1, 2, 2));
  EXPECT_THAT(Written(), ElementsAre("a 0", "b 0", "c 0", "d 0", "e 0"));
}

TEST_F(HistoryQueueTest, WhatDoesNotFitIsCounted) {
  HistoryQueue queue(store_, 2);
  store_.Hang(true);
  queue.Put(Refusal("a"));
  store_.AwaitAppend(1);
  for (const char* why : {"b", "c", "d", "e"}) queue.Put(Refusal(why));
  store_.Hang(false);
  queue.Flush();
  queue.Put(Refusal("f"));
  queue.Flush();
  EXPECT_THAT(Written(), ElementsAre("a 0", "b 0", "c 0", "f 2"));
}

TEST_F(HistoryQueueTest, WhatAFullDiskTakesNotIsCounted) {
  HistoryQueue queue(store_);
  store_.Fill(true);
  store::Entry first = Refusal("a");
  first.left_out = 5;
  queue.Put(first);
  queue.Flush();
  queue.Put(Refusal("b"));
  queue.Flush();
  store_.Fill(false);
  queue.Put(Refusal("c"));
  queue.Flush();
  EXPECT_THAT(Written(), ElementsAre("c 7"));
}

TEST_F(HistoryQueueTest, WhatWaitsAtTheEndIsWritten) {
  {
    HistoryQueue queue(store_);
    store_.Hang(true);
    queue.Put(Refusal("a"));
    store_.AwaitAppend(1);
    queue.Put(Refusal("b"));
    store_.Hang(false);
  }
  EXPECT_THAT(Written(), ElementsAre("a 0", "b 0"));
}

}  // namespace
}  // namespace gatehouse::api
