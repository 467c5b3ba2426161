#include "control/events/archive.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <future>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/events/find_event.h"
#include "control/events/hub.h"
#include "control/store/fault_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Event Decision(const std::string& route) {
  v1::Event event;
  event.set_type(v1::Event::DECISION);
  event.set_outcome(v1::Event::ALLOWED);
  event.mutable_request()->set_route(route);
  return event;
}

v1::Event Audit(const std::string& detail) {
  v1::Event event;
  event.set_type(v1::Event::AUDIT);
  event.set_detail(detail);
  return event;
}

// One reader that waits for what the archive answers.
class Reader {
 public:
  Reader(Hub& hub, const v1::WatchRequest& request) {
    auto watcher = hub.Watch(request, [this] { Wake(); });
    status = watcher.status();
    if (watcher.ok()) watcher_ = *std::move(watcher);
  }
  ~Reader() { watcher_ = nullptr; }

  // Everything up to the newest event.
  std::vector<v1::Event> All() {
    std::vector<v1::Event> all;
    for (;;) {
      std::vector<Watcher::Piece> pieces;
      const Watcher::Taken taken = watcher_->Next(100, 1 << 20, &pieces);
      std::string wire;
      for (const Watcher::Piece& piece : pieces) absl::StrAppend(&wire, piece.bytes);
      v1::WatchResponse response;
      EXPECT_TRUE(response.ParseFromString(wire));
      all.insert(all.end(), response.events().begin(), response.events().end());
      if (taken.more) continue;
      if (!taken.asked) return all;
      std::unique_lock lock(mutex_);
      EXPECT_TRUE(woken_.wait_for(lock, std::chrono::seconds(20), [this] { return wakes_ > 0; })) << "no answer";
      if (wakes_ == 0) return all;
      wakes_ = 0;
    }
  }

  absl::Status status;

 private:
  void Wake() {
    std::unique_lock lock(mutex_);
    ++wakes_;
    woken_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable woken_;
  int wakes_ = 0;
  std::unique_ptr<Watcher> watcher_;
};

// Events' routes or details; a gap's count.
std::vector<std::string> Told(const std::vector<v1::Event>& events) {
  std::vector<std::string> told;
  for (const v1::Event& e : events) {
    told.push_back(e.type() == v1::Event::GAP ? absl::StrCat("GAP ", e.missed())
                   : e.has_request()          ? e.request().route()
                                              : e.detail());
  }
  return told;
}

class ArchiveTest : public ::testing::Test {
 protected:
  ArchiveTest() {
    folder_ = absl::StrCat(::testing::TempDir(), "/archive-", getpid(), "-", ++folders_);
    std::filesystem::create_directories(folder_);
    std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
    options_.path = folder_ + "/events.db";
    options_.period = absl::Milliseconds(1);
    options_.retry = absl::Milliseconds(5);
    options_.notice = [this](std::string text) {
      MutexLock lock(&notices_mutex_);
      notices_.push_back(std::move(text));
    };
  }
  ~ArchiveTest() override {
    hub_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  // Three events in memory: the rest is the archive's.
  void Open(HubOptions options = {.max_events = 3}) {
    hub_ = nullptr;
    HubSinks sinks{Archive::Open(options_, clock_)};
    archive_ = sinks.archive.get();
    hub_ = std::make_unique<Hub>(clock_, options, std::move(sinks));
  }
  void Publish(const std::string& route) { hub_->PublishOne(Decision(route)); }
  void PublishMany(int count, int bytes = 100) {
    std::vector<v1::Event> events(static_cast<size_t>(count), Decision(std::string(static_cast<size_t>(bytes), 'r')));
    hub_->Publish(absl::MakeSpan(events));
  }
  // The end of a process: what is not committed is lost, and nobody says goodbye.
  void Crash() {
    const std::string copy = folder_ + "/copy";
    AwaitWritten();
    std::filesystem::create_directories(copy);
    for (const char* companion : {"", "-wal"}) {
      std::filesystem::copy_file(options_.path + companion, copy + "/events.db" + companion, std::filesystem::copy_options::overwrite_existing);
    }
    hub_ = nullptr;
    for (const char* companion : {"", "-wal"}) {
      std::filesystem::copy_file(copy + "/events.db" + companion, options_.path + companion, std::filesystem::copy_options::overwrite_existing);
    }
  }
  void AwaitWritten() {
    const absl::Time until = absl::Now() + absl::Seconds(20);
    while (absl::Now() < until && archive_->waiting() > 0) absl::SleepFor(absl::Milliseconds(1));
  }
  void AwaitWell() {
    const absl::Time until = absl::Now() + absl::Seconds(20);
    const auto well = [&] { return !notices().empty() && absl::StrContains(notices().back(), "takes events again"); };
    while (absl::Now() < until && !well()) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_EQ(hub_->archive()->error(), "");
  }
  v1::WatchRequest After(uint64_t sequence, const std::string& incarnation = "") {
    v1::WatchRequest request;
    request.mutable_after()->set_incarnation(incarnation.empty() ? hub_->incarnation() : incarnation);
    request.mutable_after()->set_sequence(sequence);
    return request;
  }
  v1::WatchRequest Since(absl::Time time) {
    v1::WatchRequest request;
    SetTime(time, request.mutable_since());
    return request;
  }
  static v1::WatchRequest FromOldest(v1::WatchRequest request = {}) {
    request.set_from_oldest(true);
    return request;
  }
  std::vector<std::string> Read(const v1::WatchRequest& request) {
    Reader reader(*hub_, request);
    EXPECT_TRUE(reader.status.ok()) << reader.status;
    return reader.status.ok() ? Told(reader.All()) : std::vector<std::string>();
  }
  absl::StatusCode Refusal(const v1::WatchRequest& request) { return Reader(*hub_, request).status.code(); }
  std::vector<std::string> notices() {
    MutexLock lock(&notices_mutex_);
    return notices_;
  }
  void Damage(const std::string& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0);
    file << std::string(8192, '\x5a');
  }

  static inline int folders_ = 0;
  uint64_t batches_ = 0;
  std::string folder_;
  FakeClock clock_;
  ArchiveOptions options_;
  Mutex notices_mutex_;
  std::vector<std::string> notices_ ABSL_GUARDED_BY(notices_mutex_);
  std::unique_ptr<Hub> hub_;
  Archive* archive_ = nullptr;  // the hub's
};

TEST_F(ArchiveTest, ACursorIsFollowedFromTheArchiveIntoMemoryWithoutGapOrDuplicate) {
  Open();
  for (int i = 1; i <= 500; ++i) Publish(absl::StrCat(i));
  Reader reader(*hub_, After(3));
  ASSERT_TRUE(reader.status.ok()) << reader.status;
  for (int i = 501; i <= 600; ++i) Publish(absl::StrCat(i));
  uint64_t expected = 4;
  for (const v1::Event& event : reader.All()) {
    EXPECT_EQ(event.cursor().sequence(), expected);
    EXPECT_EQ(event.request().route(), absl::StrCat(expected));
    ++expected;
  }
  EXPECT_EQ(expected, 601u);
}

TEST_F(ArchiveTest, AReaderWhileOthersPublishGetsEachEventOnceAndInOrder) {
  Open({.max_events = 50});
  std::atomic<bool> stop = false;
  std::thread publisher([&] {
    for (int i = 0; i < 20'000 && !stop; ++i) Publish("r");
  });
  for (int round = 0; round < 20; ++round) {
    Reader reader(*hub_, FromOldest());
    uint64_t expected = 1;
    bool in_memory = false;
    for (const v1::Event& event : reader.All()) {
      // Once it has seen the newest event it may fall behind like others, and is told.
      in_memory = in_memory || event.type() == v1::Event::GAP;
      if (!in_memory) {
        EXPECT_EQ(event.cursor().sequence(), expected);
      }
      expected = event.cursor().sequence() + 1;
    }
  }
  stop = true;
  publisher.join();
}

TEST_F(ArchiveTest, IncarnationSequenceAndEventsSurviveARestart) {
  Open();
  for (const char* route : {"a", "b", "c", "d", "e"}) Publish(route);
  const std::string incarnation = hub_->incarnation();
  Open();
  EXPECT_EQ(hub_->incarnation(), incarnation);
  Publish("f");
  EXPECT_EQ(hub_->stats().events, 1u) << "since the start";
  EXPECT_THAT(Read(After(2)), ElementsAre("c", "d", "e", "f"));
  EXPECT_THAT(Read(FromOldest()), ElementsAre("a", "b", "c", "d", "e", "f"));
  EXPECT_EQ(hub_->archive()->events(), 5u + (hub_->archive()->events() > 5 ? 1 : 0));
  EXPECT_EQ(FindEvent(*hub_, absl::StrCat(incarnation, ":2"))->request().route(), "b");
}

TEST_F(ArchiveTest, AfterACrashNoNumberComesTwiceAndTheHoleIsSaid) {
  Open();
  for (const char* route : {"a", "b", "c", "d"}) Publish(route);
  Crash();
  Open();
  Publish("e");
  EXPECT_THAT(Read(After(3)), ElementsAre("d", "GAP 0", "e"));
  Reader reader(*hub_, After(1000));  // given out, perhaps, and never written
  EXPECT_THAT(Told(reader.All()), ElementsAre("GAP 0", "e"));
  EXPECT_THAT(Read(After(4)), ElementsAre("GAP 0", "e"));
}

TEST_F(ArchiveTest, SinceATimeBeginsThereAndNewEventsComeWhateverTheirTime) {
  Open();
  const absl::Time start = clock_.Now();
  for (int i = 0; i < 10; ++i) {
    Publish(absl::StrCat(i));
    clock_.Advance(absl::Minutes(1));
  }
  EXPECT_THAT(Read(Since(start + absl::Minutes(7))), ElementsAre("7", "8", "9"));
  EXPECT_THAT(Read(Since(start - absl::Hours(5))), ::testing::SizeIs(10)) << "nothing was let go of: all of then is here";
  EXPECT_THAT(Read(Since(clock_.Now())), IsEmpty());

  Reader reader(*hub_, Since(start + absl::Minutes(9)));
  v1::Event late = Decision("late");
  SetTime(start, late.mutable_time());
  hub_->PublishOne(late);
  EXPECT_THAT(Told(reader.All()), ElementsAre("9", "late"));

  v1::WatchRequest both = Since(start);
  *both.mutable_after() = After(1).after();
  EXPECT_EQ(Refusal(both), absl::StatusCode::kInvalidArgument);
  v1::WatchRequest strange = Since(start);
  strange.mutable_since()->set_nanos(-1);
  EXPECT_EQ(Refusal(strange), absl::StatusCode::kInvalidArgument);
}

TEST_F(ArchiveTest, FiltersHoldForArchivedEventsToo) {
  Open();
  for (int i = 0; i < 400; ++i) Publish(i % 100 == 7 ? "wanted" : "other");
  v1::WatchRequest request = FromOldest();
  request.mutable_filter()->add_routes("wanted");
  EXPECT_THAT(Read(request), ElementsAre("wanted", "wanted", "wanted", "wanted"));
  request.mutable_filter()->add_types(v1::Event::TRUST);
  EXPECT_THAT(Read(request), IsEmpty());
}

TEST_F(ArchiveTest, AFilteredReaderIsToldWhatAGatewayLost) {
  Open();
  v1::Event heard = Decision("a");
  heard.set_missed(5);
  hub_->PublishOne(heard);
  for (const char* route : {"b", "c", "d", "e"}) Publish(route);
  v1::WatchRequest request = FromOldest();
  request.mutable_filter()->add_routes("b");
  EXPECT_THAT(Read(request), ElementsAre("GAP 5", "b"));
  request.mutable_filter()->add_types(v1::Event::CONFIG);
  EXPECT_THAT(Read(request), ElementsAre("GAP 5"));
}

// Of AUDIT events everything is there, but for what was lost; and who lost it is to be told though what was around is gone.
TEST_F(ArchiveTest, AReaderOfAuditEventsHearsOfHolesAfterAFloodOfOthers) {
  ArchiveFile::Options file_options;
  file_options.path = options_.path;
  file_options.max_bytes = ArchiveOptions::kLeastBytes;
  auto file = ArchiveFile::Open(file_options, clock_.Now());
  ASSERT_TRUE(file.ok()) << file.status();
  const auto append = [&](std::vector<v1::Event> events) {
    auto batch = std::make_shared<Batch>();
    batch->first = (*file)->next();
    for (v1::Event& event : events) {
      event.mutable_cursor()->set_incarnation((*file)->incarnation());
      event.mutable_cursor()->set_sequence(batch->next());
      SetTime(clock_.Now(), event.mutable_time());
      const std::string entry = EntryOf(event);
      Facts facts;
      ASSERT_TRUE(ReadFacts(EventOf(entry), &facts));
      batch->Note(facts);
      batch->wire += entry;
      batch->ends.push_back(static_cast<uint32_t>(batch->wire.size()));
    }
    ASSERT_TRUE((*file)->Append({Stretch{batch}}, clock_.Now()).ok());
  };
  const auto lose = [&](uint64_t count) {
    const uint64_t first = (*file)->next();
    ASSERT_TRUE((*file)->Append({Stretch{nullptr, first, first + count, true}}, clock_.Now()).ok());
  };
  const auto told = [&] {
    v1::EventFilter audits;
    audits.add_types(v1::Event::AUDIT);
    Wanted wanted{1, std::make_shared<const Filter>(*Filter::Create(audits)), 0};
    std::string text;
    while (wanted.from < (*file)->next()) {
      const absl::StatusOr<Found> found = (*file)->Read(wanted, absl::Seconds(1));
      EXPECT_TRUE(found.ok() && found->next > wanted.from) << found.status();
      if (!found.ok() || found->next <= wanted.from) break;
      if (found->gap) absl::StrAppend(&text, "GAP ", found->missed, " ");
      if (found->batch != nullptr) absl::StrAppend(&text, "audit ");
      wanted.from = found->next;
    }
    return text;
  };
  const std::vector<v1::Event> flood(100, Decision(std::string(10'000, 'x')));
  append({Audit("a")});
  lose(100);
  append({Decision("between")});
  lose(50);
  append({Audit("b")});
  lose(7);
  EXPECT_EQ(told(), "audit GAP 100 GAP 50 audit GAP 7 ");
  for (int i = 0; i < 12; ++i) append(flood);
  EXPECT_GT((*file)->bounds().first, 161u);
  EXPECT_EQ((*file)->bounds().audit_first, 1u);
  EXPECT_EQ(told(), "audit GAP 150 audit GAP 7 ") << "two without an AUDIT event between have become one";
  lose(3);
  for (int i = 0; i < 12; ++i) append(flood);
  EXPECT_EQ(told(), "audit GAP 150 audit GAP 10 ");
}

TEST_F(ArchiveTest, TheSizeIsBoundedAndWhoComesTooLateIsTold) {
  options_.max_bytes = ArchiveOptions::kLeastBytes;
  Open();
  hub_->PublishOne(Audit("first of all"));
  for (int i = 0; i < 200; ++i) {
    PublishMany(100, 1000);
    if (i % 10 == 0) AwaitWritten();
  }
  AwaitWritten();
  const v1::ArchiveStatus status = *hub_->archive();
  EXPECT_EQ(status.lost(), 0u);
  EXPECT_LE(status.bytes(), ArchiveOptions::kLeastBytes);
  EXPECT_GT(status.events(), 2'000u);
  EXPECT_LT(status.events(), 15'000u);

  EXPECT_EQ(Refusal(After(5)), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Refusal(Since(clock_.Now() - absl::Hours(1))), absl::StatusCode::kOutOfRange);
  for (const v1::WatchRequest& request : {FromOldest(After(5)), FromOldest(Since(clock_.Now() - absl::Hours(1))), FromOldest()}) {
    Reader reader(*hub_, request);
    ASSERT_TRUE(reader.status.ok()) << reader.status;
    const std::vector<v1::Event> events = reader.All();
    ASSERT_EQ(events.front().type(), v1::Event::GAP);
    if (request.has_after()) {
      EXPECT_EQ(events.front().missed() + events.size() - 1 + 5, 20'001u);
    }
    EXPECT_EQ(events.back().cursor().sequence(), 20'001u);
  }

  // Audit events have room of their own: a flood of decisions does not push them out.
  v1::WatchRequest audit = FromOldest();
  audit.mutable_filter()->add_types(v1::Event::AUDIT);
  EXPECT_THAT(Read(audit), ElementsAre("first of all"));
}

TEST_F(ArchiveTest, AuditEventsHaveABoundToo) {
  options_.max_bytes = ArchiveOptions::kLeastBytes;
  Open();
  for (int i = 0; i < 120; ++i) {
    std::vector<v1::Event> events(100, Audit(std::string(1000, 'a')));
    hub_->Publish(absl::MakeSpan(events));
    if (i % 10 == 0) AwaitWritten();
  }
  AwaitWritten();
  EXPECT_LE(hub_->archive()->bytes(), ArchiveOptions::kLeastBytes);
  v1::WatchRequest audit = FromOldest();
  audit.mutable_filter()->add_types(v1::Event::AUDIT);
  Reader reader(*hub_, audit);
  const std::vector<v1::Event> events = reader.All();
  EXPECT_EQ(events.front().type(), v1::Event::GAP);
  EXPECT_EQ(events.front().missed() + events.size() - 1, 12'000u);
}

TEST_F(ArchiveTest, WhatIsTooOldGoes) {
  options_.max_age = absl::Hours(24);
  Open();
  hub_->PublishOne(Audit("old audit"));
  for (const char* route : {"a", "b", "c"}) Publish(route);
  AwaitWritten();
  clock_.Advance(absl::Hours(25));
  for (const char* route : {"d", "e", "f", "g"}) Publish(route);
  AwaitWritten();
  Publish("h");
  AwaitWritten();
  EXPECT_EQ(Refusal(After(1)), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(Read(FromOldest(After(1))), ElementsAre("GAP 3", "d", "e", "f", "g", "h"));
  v1::WatchRequest audit = FromOldest();
  audit.mutable_filter()->add_types(v1::Event::AUDIT);
  EXPECT_THAT(Read(audit), ElementsAre(HasSubstr("GAP"))) << "they are too old all the same";
}

TEST_F(ArchiveTest, WhatClaimsToBeOfTheFutureGoesLikeTheRest) {
  options_.max_age = absl::Hours(24);
  Open();
  for (int64_t seconds : {int64_t{253'402'300'799}, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    v1::Event event = Decision("future");
    event.mutable_time()->set_seconds(seconds);
    hub_->Report("g", "run", ++batches_, absl::MakeSpan(&event, 1));
  }
  AwaitWritten();
  v1::WatchRequest filtered = FromOldest();
  filtered.mutable_filter()->add_routes("future");
  EXPECT_THAT(Read(filtered), ElementsAre("future", "future", "future"));
  clock_.Advance(absl::Hours(25));
  for (const char* route : {"a", "b", "c", "d"}) Publish(route);
  AwaitWritten();
  Publish("e");
  AwaitWritten();
  EXPECT_THAT(Read(FromOldest(After(1))), ElementsAre("GAP 2", "a", "b", "c", "d", "e"));
}

TEST_F(ArchiveTest, ABatchThatWasTakenIsNotTakenTwiceAfterARestart) {
  const auto report = [&](const char* run, uint64_t batch, const char* route) {
    v1::Event event = Decision(route);
    return hub_->Report("g", run, batch, absl::MakeSpan(&event, 1));
  };
  Open();
  EXPECT_EQ(report("run1", 1, "a"), 1u);
  EXPECT_EQ(report("run1", 2, "b"), 2u);
  Open();
  EXPECT_EQ(report("run1", 2, "b again"), 2u);
  EXPECT_EQ(report("run2", 1, "c"), 1u) << "the gateway was restarted too";
  EXPECT_EQ(report("run1", 3, "d"), 3u);
  EXPECT_THAT(Read(FromOldest()), ElementsAre("a", "b", "c", "d"));
}

TEST_F(ArchiveTest, ADamagedFileIsSetAsideAtTheStartAndSaid) {
  Open();
  for (const char* route : {"a", "b", "c", "d"}) Publish(route);
  const std::string before = hub_->incarnation();
  hub_ = nullptr;
  Damage(options_.path);
  Open();
  EXPECT_NE(hub_->incarnation(), before) << "nothing of it can be trusted";
  ASSERT_THAT(notices(), ElementsAre(HasSubstr("set aside as " + options_.path + ".damaged-")));
  Publish("e");
  EXPECT_THAT(Read(FromOldest()), ElementsAre("GAP 1", "e"));
  EXPECT_EQ(Refusal(After(2, before)), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(Read(FromOldest(After(2, before))), ElementsAre("GAP 0", "e"));
  EXPECT_EQ(Refusal(Since(clock_.Now() - absl::Minutes(1))), absl::StatusCode::kOutOfRange);
  int aside = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) aside += entry.path().string().find(".damaged-") != std::string::npos;
  EXPECT_GE(aside, 1);
}

TEST_F(ArchiveTest, ADamagedFileThatCannotBeSetAsideIsKeptUntilItCan) {
  Open();
  for (int i = 0; i < 40; ++i) PublishMany(100, 1000);
  AwaitWritten();
  // Nothing can be renamed to what is a directory.
  const std::string aside = ArchiveFile::AsideName(options_.path, "damaged", clock_.Now());
  std::filesystem::create_directories(aside);
  std::filesystem::resize_file(options_.path, 3 * 4096);
  Read(FromOldest());
  const absl::Time until = absl::Now() + absl::Seconds(20);
  const auto failing = [&] { return !hub_->archive()->error().empty(); };
  while (!failing() && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_THAT(hub_->archive()->error(), HasSubstr("set aside"));
  Publish("kept meanwhile");
  absl::SleepFor(3 * options_.retry);
  EXPECT_TRUE(failing());
  EXPECT_TRUE(std::filesystem::remove(aside));
  while (failing() && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_FALSE(failing());
  EXPECT_TRUE(std::filesystem::is_regular_file(aside));
  AwaitWritten();
  EXPECT_EQ(hub_->archive()->lost(), 0u);
}

TEST_F(ArchiveTest, AnArchiveOfAnotherVersionOrProgramIsSetAsideToo) {
  std::ofstream(options_.path) << "not a database at all, but some text that is longer than a header would be ..............................";
  std::filesystem::permissions(options_.path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  Open();
  EXPECT_THAT(notices(), ElementsAre(HasSubstr("damaged")));
  Publish("a");
  AwaitWritten();
  EXPECT_EQ(hub_->archive()->events(), 1u);
  EXPECT_EQ(hub_->archive()->error(), "");
}

TEST_F(ArchiveTest, AnArchiveThatCannotBeOpenedLetsTheHubWorkAndSaysSo) {
  std::filesystem::create_directories(options_.path);  // a directory where the file should be
  Open({.max_events = 100});
  Publish("a");
  Publish("b");
  EXPECT_THAT(notices(), ElementsAre(HasSubstr("it is tried again; what comes is kept in memory for a while")));
  EXPECT_FALSE(hub_->KeepsEvents());
  EXPECT_THAT(hub_->archive()->error(), HasSubstr("events.db"));
  EXPECT_THAT(Read(After(2)), ElementsAre("b"));
  EXPECT_EQ(Refusal(Since(clock_.Now() - absl::Minutes(1))), absl::StatusCode::kOutOfRange);
}

TEST_F(ArchiveTest, AnArchiveThatCannotBeOpenedCostsNoProcessorAndAnswersStill) {
  std::filesystem::create_directories(options_.path);
  options_.idle = absl::Milliseconds(20);
  std::unique_ptr<Archive> archive = Archive::Open(options_, clock_);
  archive->Start();
  const std::clock_t before = std::clock();
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 100);
  std::promise<Found> answer;
  const auto filter = std::make_shared<const Filter>(*Filter::Create({}));
  archive->Ask(Wanted{1, filter, 0}, [&answer](Found found) { answer.set_value(std::move(found)); });
  EXPECT_EQ(answer.get_future().get().next, 1u);
}

TEST_F(ArchiveTest, AnArchiveThatCouldNotBeOpenedIsOpenedAfterAllAndKeepsWhatCameMeanwhile) {
  std::filesystem::create_directories(options_.path);
  Open({.max_events = 1});
  Publish("a");
  Publish("b");
  EXPECT_THAT(Read(FromOldest()), ElementsAre("GAP 1", "a", "b"));
  std::filesystem::remove(options_.path);
  AwaitWell();
  EXPECT_THAT(notices(), ElementsAre(HasSubstr("it is tried again"), HasSubstr("it takes events again")));
  EXPECT_TRUE(hub_->KeepsEvents());
  Publish("c");
  AwaitWritten();
  EXPECT_EQ(hub_->archive()->events(), 3u);
  EXPECT_EQ(hub_->archive()->lost(), 0u);
  const std::string incarnation = hub_->incarnation();
  Open({.max_events = 1});
  EXPECT_EQ(hub_->incarnation(), incarnation);
  EXPECT_THAT(Read(FromOldest()), ElementsAre("GAP 1", "a", "b", "c"));
}

TEST_F(ArchiveTest, WhatIsLostBeforeItIsOpenedAfterAllIsCountedAndAGap) {
  std::filesystem::create_directories(options_.path);
  options_.max_waiting_bytes = 2000;
  Open({.max_events = 1});
  for (int i = 0; i < 10; ++i) PublishMany(10);
  const uint64_t lost = hub_->archive()->lost();
  EXPECT_GT(lost, 50u);
  std::filesystem::remove(options_.path);
  AwaitWell();
  AwaitWritten();
  const std::vector<std::string> told = Read(FromOldest());
  EXPECT_EQ(told.size(), 1 + (100 - lost) + 1);
  EXPECT_EQ(told.back(), absl::StrCat("GAP ", lost));
}

TEST_F(ArchiveTest, TheOneThatCouldNotBeOpenedIsSetAsideWhenItCan) {
  Open();
  for (const char* route : {"a", "b", "c", "d"}) Publish(route);
  const std::string before = hub_->incarnation();
  hub_ = nullptr;
  using std::filesystem::perms;
  std::filesystem::permissions(options_.path, perms::owner_read | perms::owner_write | perms::others_read);
  Open();
  EXPECT_NE(hub_->incarnation(), before);
  Publish("e");
  std::filesystem::permissions(options_.path, perms::owner_read | perms::owner_write);
  AwaitWell();
  AwaitWritten();
  const std::string aside = ArchiveFile::AsideName(options_.path, "before", clock_.Now());
  EXPECT_THAT(notices(), ElementsAre(HasSubstr("chmod 0600"), HasSubstr("set aside as " + aside), HasSubstr("takes events again")));
  EXPECT_THAT(Read(FromOldest()), ElementsAre("GAP 1", "e"));
  hub_ = nullptr;

  std::filesystem::rename(aside, options_.path);
  Open();
  EXPECT_EQ(hub_->incarnation(), before) << "as docs/how-to/events.md says";
  EXPECT_THAT(Read(FromOldest()), ElementsAre("a", "b", "c", "d"));
}

TEST_F(ArchiveTest, ItSaysThatItCannotKeepMoreBeforeItLosesAny) {
  store::FaultDisk disk("archive-room");
  options_.vfs = disk.name();
  options_.max_waiting_bytes = 4'000;
  Open();
  Publish("a");
  AwaitWritten();
  EXPECT_TRUE(hub_->KeepsEvents());
  disk.Arm(store::FaultDisk::Fault::kDiskFull, 1);
  for (int i = 0; i < 1000 && hub_->KeepsEvents(); ++i) Publish("b");
  EXPECT_FALSE(hub_->KeepsEvents());
  EXPECT_EQ(hub_->archive()->lost(), 0u);
  disk.Disarm();
  AwaitWritten();
  const absl::Time until = absl::Now() + absl::Seconds(20);
  while (!hub_->KeepsEvents() && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_TRUE(hub_->KeepsEvents());
  hub_ = nullptr;
}

TEST_F(ArchiveTest, AFullDiskLosesWhatItMustAndSaysSo) {
  store::FaultDisk disk("archive-full");
  options_.vfs = disk.name();
  options_.max_waiting_bytes = 20'000;
  Open();
  Publish("a");
  AwaitWritten();
  disk.Arm(store::FaultDisk::Fault::kDiskFull, 1);
  Publish("b");
  const absl::Time until = absl::Now() + absl::Seconds(20);
  while (!disk.struck() && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
  ASSERT_TRUE(disk.struck());
  disk.Disarm();
  Publish("c");
  AwaitWritten();
  while (!hub_->archive()->error().empty() && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_THAT(notices(), ElementsAre(HasSubstr("disk is full"), HasSubstr("takes events again")));
  EXPECT_EQ(hub_->archive()->lost(), 0u) << "it was kept meanwhile";
  Open();
  Publish("d");
  EXPECT_THAT(Read(FromOldest()), ElementsAre("a", "b", "c", "d"));
  hub_ = nullptr;
}

TEST_F(ArchiveTest, WhatDoesNotFitIntoTheQueueIsAGapWithItsCountAndAuditEventsHaveMoreRoom) {
  options_.period = absl::Hours(1);
  options_.max_waiting_bytes = 2'000;
  Open();
  for (int i = 0; i < 50; ++i) Publish(std::string(90, 'x'));
  hub_->PublishOne(Audit("kept"));
  const uint64_t lost = hub_->archive()->lost();
  EXPECT_GT(lost, 20u);
  EXPECT_LT(lost, 50u);
  Open();
  Publish("last");
  const std::vector<std::string> told = Read(FromOldest());
  EXPECT_EQ(told.size(), 50 - lost + 3);
  EXPECT_THAT(std::vector<std::string>(told.end() - 3, told.end()), ElementsAre(absl::StrCat("GAP ", lost), "kept", "last"));
}

TEST_F(ArchiveTest, EveryFaultOfTheDiskLeavesAnArchiveThatGoesOn) {
  // An open, five writes and a close, with the power cut at each operation: afterwards the archive opens, every event that it
  // shows is right and in order, and new ones are taken.
  for (uint64_t at = 1; at < 2000; ++at) {
    store::FaultDisk disk("archive-faults");
    ArchiveFile::Options file;
    file.path = "events.db";
    file.vfs = disk.name();
    file.max_bytes = ArchiveOptions::kLeastBytes;
    const auto work = [&] {
      absl::StatusOr<std::unique_ptr<ArchiveFile>> opened = ArchiveFile::Open(file, clock_.Now());
      if (!opened.ok()) return;
      for (int i = 0; i < 5; ++i) {
        auto batch = std::make_shared<Batch>();
        batch->first = (*opened)->next();
        v1::Event event = i == 2 ? Audit("audit") : Decision("r");
        event.mutable_cursor()->set_incarnation((*opened)->incarnation());
        event.mutable_cursor()->set_sequence(batch->first);
        batch->wire = EntryOf(event);
        batch->ends = {static_cast<uint32_t>(batch->wire.size())};
        Facts facts;
        ASSERT_TRUE(ReadFacts(EventOf(batch->wire), &facts));
        batch->Note(facts);
        if (!(*opened)->Append({Stretch{batch}}, clock_.Now()).ok()) return;
      }
      (*opened)->Close().IgnoreError();
    };
    disk.Arm(store::FaultDisk::Fault::kCrash, at);
    work();
    const bool struck = disk.struck();
    disk.Disarm();
    disk.Reboot(at % 3 == 0   ? store::FaultDisk::Survival::kNothing
                : at % 3 == 1 ? store::FaultDisk::Survival::kEverything
                              : store::FaultDisk::Survival::kSome,
                at);
    absl::StatusOr<std::unique_ptr<ArchiveFile>> opened = ArchiveFile::Open(file, clock_.Now());
    ASSERT_TRUE(opened.ok()) << at << ": " << opened.status();
    Wanted wanted{1, std::make_shared<const Filter>(*Filter::Create({})), 0};
    while (wanted.from < (*opened)->next()) {
      absl::StatusOr<Found> found = (*opened)->Read(wanted, absl::Seconds(1));
      ASSERT_TRUE(found.ok()) << at << ": " << found.status();
      ASSERT_GT(found->next, wanted.from) << at;
      wanted.from = found->next;
    }
    if (!struck) {
      EXPECT_GT(at, 20u);
      return;
    }
  }
  FAIL() << "the work never came to its end";
}

}  // namespace
}  // namespace gatehouse::hub
