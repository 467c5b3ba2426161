// Every call that writes is told of once, whatever becomes of it.
#include "control/api/ledger.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "control/api/deed.h"
#include "control/store/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A store whose history cannot be written when the test says so.
class FullStore final : public store::MemoryStore {
 public:
  using Store::Append;
  absl::StatusOr<uint64_t> Append(absl::Span<const store::Entry> entries) override {
    if (full) return absl::ResourceExhaustedError("the disk is full");
    return MemoryStore::Append(entries);
  }
  bool full = false;
};

class LedgerTest : public ::testing::Test {
 protected:
  Caller Alice() {
    Caller who("san:alice");
    who.peer = "192.0.2.1:4";
    who.admitted = true;
    who.deed = std::make_shared<Deed>([this] { return alive_; },
                                      [this, who](const absl::Status& why) { ledger_.Refused(who, "/gatehouse.v1.X/Y", why); });
    return who;
  }
  std::vector<std::string> Told() {
    std::vector<std::string> lines;
    for (const v1::Event& event : told_) {
      lines.push_back(absl::StrCat(v1::Event::Outcome_Name(event.outcome()), " ", event.actor(), " ", event.peer(), " ",
                                   event.audit().method(), " ", event.detail()));
    }
    return lines;
  }

  FullStore store_;
  FakeClock clock_;
  std::vector<v1::Event> told_;
  Ledger ledger_{store_, clock_, [this](v1::Event event) { told_.push_back(std::move(event)); }};
  absl::Status alive_;
};

TEST_F(LedgerTest, AnActIsAnEntryAndAnEvent) {
  const Caller alice = Alice();
  ASSERT_TRUE(Begin(alice).ok());
  ASSERT_TRUE(ledger_.Append(alice, {"X/Y", {"one", "two"}}).ok());
  alice.deed->End(absl::OkStatus());
  EXPECT_THAT(Told(), ElementsAre("NOTICE san:alice 192.0.2.1:4 X/Y X/Y: one; two"));
  EXPECT_THAT(told_[0].audit().changes(), ElementsAre("one", "two"));
  const auto history = *store_.History({.limit = 9, .show = v1::HistoryRequest::WRITES});
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0].actor(), "san:alice");
  EXPECT_EQ(history[0].peer(), "192.0.2.1:4");
  EXPECT_EQ(history[0].method(), "X/Y");
}

TEST_F(LedgerTest, WhatWasDoneAndCannotBeWrittenDownIsAnErrorAndIsToldAsDone) {
  store_.full = true;
  const Caller alice = Alice();
  const absl::Status status = ledger_.Append(alice, {"X/Y", {"one"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("it was done, and the history could not be written: the disk is full"));
  alice.deed->End(status);
  EXPECT_THAT(Told(), ElementsAre("NOTICE san:alice 192.0.2.1:4 X/Y X/Y: one; the history could not be written: the disk is full"));
}

TEST_F(LedgerTest, ACallThatEndsBadlyWithoutAWordIsToldOfAllTheSameAndOnce) {
  const Caller alice = Alice();
  alice.deed->End(absl::InvalidArgumentError("bad"));
  alice.deed->End(absl::InvalidArgumentError("bad"));
  const Caller other = Alice();
  ledger_.Refused(other, "X/Y", absl::NotFoundError("none"));
  other.deed->End(absl::PermissionDeniedError("told alike"));
  EXPECT_THAT(Told(), ElementsAre("REFUSED san:alice 192.0.2.1:4 X/Y X/Y: bad", "REFUSED san:alice 192.0.2.1:4 X/Y X/Y: none"));
}

TEST_F(LedgerTest, WhoIsLateOrGoneWritesNothing) {
  alive_ = absl::DeadlineExceededError("late");
  const Caller alice = Alice();
  EXPECT_EQ(Begin(alice), alive_);
  alive_ = absl::OkStatus();
  EXPECT_FALSE(Begin(alice).ok()) << "once and for all";
  alice.deed->End(absl::InvalidArgumentError("something else"));
  EXPECT_THAT(Told(), ElementsAre("REFUSED san:alice 192.0.2.1:4 X/Y X/Y: late"));
}

TEST_F(LedgerTest, AWriteThatHasBegunIsNotStoppedAndItsEndIsToldByWhoMadeIt) {
  const Caller alice = Alice();
  ASSERT_TRUE(Begin(alice).ok());
  EXPECT_FALSE(alice.deed->Stop(absl::DeadlineExceededError("long")));
  alice.deed->End(absl::CancelledError("the caller went away"));
  EXPECT_THAT(Told(), ElementsAre());
  ASSERT_TRUE(ledger_.Append(alice, {"X/Y", {"done"}}).ok());
  EXPECT_THAT(Told(), ElementsAre("NOTICE san:alice 192.0.2.1:4 X/Y X/Y: done"));

  const Caller other = Alice();
  EXPECT_TRUE(other.deed->Stop(absl::DeadlineExceededError("long")));
  EXPECT_EQ(Begin(other).message(), "long");
}

TEST_F(LedgerTest, ARefusalIsAnEntryOfTheHistoryToo) {
  ledger_.Refused(Alice(), "/gatehouse.v1.X/Y", absl::InvalidArgumentError("bad"));
  ledger_.Refused(Alice(), "X/Y", absl::InvalidArgumentError("bad"));
  WriteOptions write;
  write.method = "X/Z";
  ledger_.Wrote(Alice(), absl::AbortedError("another revision"), write);
  Caller stranger;
  stranger.peer = "[2001:db8::1]:4";
  ledger_.Refused(stranger, "/x\033[2J", absl::UnauthenticatedError(""));
  ledger_.Flush();
  std::vector<std::string> lines;
  const auto page = *store_.History({.limit = 9, .show = v1::HistoryRequest::REFUSALS});
  for (const v1::Revision& one : page) {
    lines.push_back(absl::StrCat(one.actor(), " ", one.peer(), " ", one.method(), " ", one.refusal(), " ", one.times()));
  }
  EXPECT_THAT(lines, ElementsAre("unknown [2001:db8::1]:4 /x\\x1B[2J UNAUTHENTICATED 1",
                                 "san:alice 192.0.2.1:4 X/Z another revision 1", "san:alice 192.0.2.1:4 X/Y bad 2"));
  EXPECT_EQ(told_.size(), 4u);
  EXPECT_TRUE(store_.History({.limit = 9, .show = v1::HistoryRequest::WRITES})->empty());
}

// Clients try before they write: who asks for what he may not is refused at the trial.
TEST_F(LedgerTest, ARefusedTrialIsAnEntryThatSaysSo) {
  WriteOptions trial;
  trial.method = "X/Z";
  trial.dry_run = true;
  ledger_.Wrote(Alice(), absl::InvalidArgumentError("bad"), trial);
  ledger_.Flush();
  EXPECT_THAT(Told(), ElementsAre("REFUSED san:alice 192.0.2.1:4 X/Z X/Z (dry run): bad"));
  const auto history = *store_.History({.limit = 9, .show = v1::HistoryRequest::EVERYTHING});
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0].refusal(), "(dry run) bad");
}

// Whom the guard refuses for want of one role, and who has another, is no stranger.
TEST_F(LedgerTest, WhoMayCallSomethingIsHiddenByNoStrangerWhenHeIsRefused) {
  for (int i = 0; i < 1000; ++i) {
    Caller stranger(absl::StrCat("san:", i));
    stranger.peer = absl::StrCat("192.0.2.", i % 250, ":1");
    ledger_.Refused(stranger, "X/Y", absl::PermissionDeniedError("no"));
  }
  EXPECT_EQ(told_.size(), 200u);
  Caller viewer("san:bob");
  viewer.peer = "192.0.2.1:4";
  viewer.roles = RoleBit(v1::VIEWER);
  ledger_.Refused(viewer, "X/Y", absl::PermissionDeniedError("EDITOR is needed"));
  EXPECT_EQ(told_.back().actor(), "san:bob");
  // Nor do they push it out of the history.
  for (int i = 0; i < 2500; ++i) {
    store::Entry entry;
    entry.kind = store::Entry::Kind::kStrangersRefusal;
    entry.account = entry.actor = absl::StrCat("san:", i);
    ASSERT_TRUE(store_.Append(entry).ok());
    if (i == 0) ledger_.Flush();
  }
  ledger_.Flush();
  const auto kept = *store_.History({.limit = 5000, .show = v1::HistoryRequest::REFUSALS});
  EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), [](const v1::Revision& one) { return one.actor() == "san:bob"; }));
}

TEST_F(LedgerTest, StrangersInALoopHideNothingOfThoseWhoWereLetIn) {
  for (int i = 0; i < 1000; ++i) {
    Caller stranger;
    stranger.peer = absl::StrCat("192.0.2.", i % 250, ":1");
    ledger_.Refused(stranger, "X/Y", absl::UnauthenticatedError("no"));
  }
  EXPECT_EQ(told_.size(), 200u);
  ledger_.Refused(Alice(), "X/Y", absl::InvalidArgumentError("bad"));
  EXPECT_EQ(told_.size(), 201u);
  for (int i = 0; i < 1000; ++i) ledger_.Refused(Alice(), "X/Y", absl::InvalidArgumentError("bad"));
  EXPECT_LT(told_.size(), 330u);
}

}  // namespace
}  // namespace gatehouse::api
