#include "gateway/loop/loop.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "gateway/loop/deadline.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/turn_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gatehouse::loop {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LoopTest, PostedFunctionsRunInOrderOnTheLoopAndBeforeStop) {
  Loop loop;
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 3; ++i) loop.Post([&seen, i] { seen.push_back(i); });
    loop.Stop();
  });
  loop.Run();
  other.join();
  EXPECT_THAT(seen, ElementsAre(0, 1, 2));
}

TEST(LoopTest, StoppedBeforeItRunsItStillRunsWhatWasPosted) {
  Loop loop;
  bool ran = false;
  loop.Post([&] { ran = true; });
  loop.Stop();
  loop.Run();
  EXPECT_TRUE(ran);
}

TEST(LoopTest, PostNeverRunsInsideTheCall) {
  Loop loop;
  bool ran = false;
  loop.Post([&] {
    loop.Post([&] { ran = true; });
    EXPECT_FALSE(ran);
    loop.Post([&] { loop.Stop(); });
  });
  loop.Run();
  EXPECT_TRUE(ran);
}

TEST(LoopTest, AFunctionThatNeverRanIsDestroyed) {
  auto token = std::make_shared<int>(1);
  {
    Loop loop;
    loop.Post([token] { ADD_FAILURE(); });
  }
  EXPECT_EQ(token.use_count(), 1);
}

struct Out final : Flushable {
  explicit Out(Loop* l) : loop(l) {}
  ~Out() override { loop->Unmark(this); }
  void Flush() override {
    ++flushed;
    if (again-- > 0) loop->MarkDirty(this);
  }
  Loop* loop;
  int flushed = 0;
  int again = 0;
};

TEST(LoopTest, FlushesOncePerTurnHoweverOftenMarked) {
  Loop loop;
  Out out(&loop);
  loop.MarkDirty(&out);
  loop.MarkDirty(&out);
  loop.RunOnce(false);
  EXPECT_EQ(out.flushed, 1);
  loop.RunOnce(false);
  EXPECT_EQ(out.flushed, 1);
}

TEST(LoopTest, AFlushThatMarksItselfGoesOnWithoutBlockingThePoll) {
  Loop loop;
  Out out(&loop);
  out.again = 50;
  loop.MarkDirty(&out);
  for (int i = 0; i < 6; ++i) loop.RunOnce(true);  // eight flushes each, and poll must not block in between
  loop.RunOnce(false);
  EXPECT_EQ(out.flushed, 51);
}

TEST(LoopTest, UnmarkedObjectsAreNotFlushed) {
  Loop loop;
  auto out = std::make_unique<Out>(&loop);
  loop.MarkDirty(out.get());
  out.reset();
  loop.RunOnce(false);
}

TEST(LoopTest, DeferredObjectsDieAtTheEndOfTheTurn) {
  Loop loop;
  auto token = std::make_shared<int>(1);
  loop.Post([&] {
    loop.DeferDelete(std::make_unique<std::shared_ptr<int>>(token));
    EXPECT_EQ(token.use_count(), 2);
  });
  loop.RunOnce(true);
  loop.RunOnce(false);
  EXPECT_EQ(token.use_count(), 1);
}

TEST(LoopTest, WhatACallbackDefersIsGoneBeforeTheNextOneEvenItsOwnWatch) {
  struct Reader {
    std::unique_ptr<Watch> watch;
    std::shared_ptr<int> token;
  };
  Loop loop;
  auto token = std::make_shared<int>(1);
  std::vector<long> held;  // how many readers were there as each callback ran
  std::vector<Fd> fds;
  for (int i = 0; i < 3; ++i) {
    int pair[2];
    ASSERT_EQ(pipe2(pair, O_NONBLOCK | O_CLOEXEC), 0);
    fds.emplace_back(pair[0]);
    fds.emplace_back(pair[1]);
    ASSERT_EQ(write(pair[1], "x", 1), 1);
    auto* reader = new Reader{nullptr, token};
    reader->watch = std::make_unique<Watch>(&loop, pair[0], [&, reader](bool, bool) {
      held.push_back(token.use_count() - 1);
      loop.DeferDelete(std::unique_ptr<Reader>(reader));
      EXPECT_EQ(token.use_count() - 1, held.back()) << "not inside the callback";
    });
    reader->watch->Set(true, false);
  }
  loop.RunOnce(true);
  EXPECT_THAT(held, ElementsAre(3, 2, 1));
  EXPECT_EQ(token.use_count(), 1);
}

TEST(LoopTest, WatchTellsWhenAPipeIsReadable) {
  Loop loop;
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  Fd in(fds[0]), out(fds[1]);
  int calls = 0;
  Watch watch(&loop, in.get(), [&](bool readable, bool writable) {
    EXPECT_TRUE(readable);
    EXPECT_FALSE(writable);
    ++calls;
  });
  watch.Set(true, false);
  loop.RunOnce(false);
  EXPECT_EQ(calls, 0);
  ASSERT_EQ(write(out.get(), "x", 1), 1);
  loop.RunOnce(true);
  EXPECT_EQ(calls, 1);
  watch.Set(false, false);
  loop.RunOnce(false);
  EXPECT_EQ(calls, 1);
}

TEST(LoopTest, ATurnsClockStandsStillWithinIt) {
  FakeClock clock;
  Loop loop;
  const TurnClock of_turn(loop, clock);
  const absl::Time start = clock.Now();
  std::vector<absl::Duration> seen;
  const auto look = [&] { seen.push_back(of_turn.Now() - start); };
  for (int turn = 0; turn < 3; ++turn) {
    loop.Post([&] {
      look();
      clock.Advance(absl::Seconds(1));
      look();
    });
    loop.RunOnce(/*wait=*/true);
  }
  EXPECT_THAT(seen, ElementsAre(absl::Seconds(0), absl::Seconds(0), absl::Seconds(1), absl::Seconds(1), absl::Seconds(2), absl::Seconds(2)));
  loop.Post([&] {
    clock.Advance(absl::Seconds(1));
    of_turn.Renew();
    look();
  });
  loop.RunOnce(/*wait=*/true);
  EXPECT_EQ(seen.back(), absl::Seconds(4)) << "but for whoever asks";
}

TEST(LoopTest, TimerFiresOnceAndCanBeStopped) {
  Loop loop;
  int fired = 0;
  Timer timer(&loop, [&] { ++fired; });
  Timer stopped(&loop, [&] { fired += 100; });
  stopped.Start(absl::ZeroDuration());
  stopped.Stop();
  timer.Start(absl::Milliseconds(1));
  while (fired == 0) loop.RunOnce(true);
  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer.active());
}

struct Recorder final : DeadlineHandler {
  void OnDeadline(Deadline* d) override {
    passed.push_back(d);
    if (then) then(d);
  }
  std::vector<Deadline*> passed;
  std::function<void(Deadline*)> then;
};

TEST(DeadlineTest, NeverEarlyAndAtMostOneTickLate) {
  DeadlineWheel wheel(nullptr, Instant{1'000'000'000});
  Recorder r;
  Deadline d(&wheel, &r);
  d.Set(Instant{1'250'000'000});
  wheel.Advance(Instant{1'249'000'000});
  EXPECT_TRUE(r.passed.empty());
  wheel.Advance(Instant{1'300'000'000});
  EXPECT_THAT(r.passed, ElementsAre(&d));
  EXPECT_FALSE(d.armed());
  EXPECT_EQ(wheel.linked(), 0u);
}

TEST(DeadlineTest, SettingItLaterKeepsItQuietUntilThen) {
  DeadlineWheel wheel(nullptr, Instant{1'000'000'000});
  Recorder r;
  Deadline d(&wheel, &r);
  d.Set(Instant{2'000'000'000});
  d.Set(Instant{9'000'000'000});
  wheel.Advance(Instant{5'000'000'000});
  EXPECT_TRUE(r.passed.empty());
  wheel.Advance(Instant{9'000'000'000});
  EXPECT_EQ(r.passed.size(), 1u);
}

TEST(DeadlineTest, SettingItEarlierIsHonoured) {
  DeadlineWheel wheel(nullptr, Instant{1'000'000'000});
  Recorder r;
  Deadline d(&wheel, &r);
  d.Set(Instant{90'000'000'000});
  d.Set(Instant{1'100'000'000});
  wheel.Advance(Instant{1'100'000'000});
  EXPECT_EQ(r.passed.size(), 1u);
}

TEST(DeadlineTest, FarBeyondOneTurnOfTheWheel) {
  DeadlineWheel wheel(nullptr, Instant{1'000'000'000});
  Recorder r;
  Deadline d(&wheel, &r);
  d.Set(Instant{200'000'000'000});
  for (int64_t t = 1; t < 200; ++t) wheel.Advance(Instant{t * 1'000'000'000});
  EXPECT_TRUE(r.passed.empty());
  wheel.Advance(Instant{200'000'000'000});
  EXPECT_EQ(r.passed.size(), 1u);
}

TEST(DeadlineTest, ALongSilenceMissesNobody) {
  DeadlineWheel wheel(nullptr, Instant{1'000'000'000});
  Recorder r;
  std::vector<std::unique_ptr<Deadline>> all;
  for (int i = 0; i < 1000; ++i) {
    all.push_back(std::make_unique<Deadline>(&wheel, &r));
    all.back()->Set(Instant{1'000'000'000 + int64_t{i} * 77'000'000});
  }
  wheel.Advance(Instant{500'000'000'000});
  EXPECT_EQ(r.passed.size(), 1000u);
}

TEST(DeadlineTest, HandlersMayDestroyTheirNeighbours) {
  DeadlineWheel wheel(nullptr, Instant{1'000'000'000});
  Recorder r;
  auto a = std::make_unique<Deadline>(&wheel, &r);
  auto b = std::make_unique<Deadline>(&wheel, &r);
  r.then = [&](Deadline* d) { (d == a.get() ? b : a).reset(); };
  a->Set(Instant{1'100'000'000});
  b->Set(Instant{1'100'000'000});
  wheel.Advance(Instant{1'200'000'000});
  EXPECT_EQ(r.passed.size(), 1u);
}

TEST(DeadlineTest, AClearedOneStaysSilent) {
  DeadlineWheel wheel(nullptr, Instant{1'000'000'000});
  Recorder r;
  Deadline d(&wheel, &r);
  d.Set(Instant{1'100'000'000});
  d.Clear();
  wheel.Advance(Instant{2'000'000'000});
  EXPECT_TRUE(r.passed.empty());
}

TEST(DeadlineTest, TheLoopTicksByItself) {
  Loop loop;
  Recorder r;
  Deadline d(&loop.deadlines(), &r);
  d.Set(loop.now() + absl::Milliseconds(1));
  while (r.passed.empty()) loop.RunOnce(true);
}

TEST(AddressTest, ParsesAndPrints) {
  EXPECT_EQ(Address::Parse("127.0.0.1:8443")->ToString(), "127.0.0.1:8443");
  EXPECT_EQ(Address::Parse("[::1]:0")->ToString(), "[::1]:0");
  EXPECT_EQ(Address::Parse("*:443")->ToString(), "[::]:443");
  EXPECT_EQ(Address::Parse("[::ffff:10.0.0.1]:1")->host(), "10.0.0.1");
  for (const char* bad : {"", "1.2.3.4", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "1.2.3.4:-1", "::1:5", "[::1:5", "host:5"}) {
    EXPECT_FALSE(Address::Parse(bad).ok()) << bad;
  }
}

class ListenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ListenTest, WorkersShareAPortAndTheProbeSeesIt) {
  auto first = ListenSocket::Open(*Address::Parse(GetParam()), {});
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_NE(first->address().port(), 0);
  auto second = ListenSocket::Open(first->address(), {});
  EXPECT_TRUE(second.ok()) << second.status();
  absl::Status probe = ProbeBind(first->address());
  EXPECT_EQ(probe.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(probe.ToString(), HasSubstr(first->address().ToString()));
  EXPECT_THAT(probe.ToString(), HasSubstr("in use"));
}
INSTANTIATE_TEST_SUITE_P(Families, ListenTest, ::testing::Values("127.0.0.1:0", "[::1]:0"));

TEST(ListenTest, AClaimIsExclusiveAndEndsWithItsOwner) {
  std::string dir = ::testing::TempDir() + "/gh-claims-" + std::to_string(getpid());
  Address address = ListenSocket::Open(*Address::Parse("127.0.0.1:0"), {})->address();
  {
    auto claim = AddressClaim::Take(address, dir);
    ASSERT_TRUE(claim.ok()) << claim.status();
    auto again = AddressClaim::Take(address, dir);
    EXPECT_THAT(again.status().ToString(), HasSubstr("another Gatehouse process"));
  }
  EXPECT_TRUE(AddressClaim::Take(address, dir).ok());
}

TEST(ListenTest, OnlyListeningSocketsAreAdopted) {
  auto a = ListenSocket::Open(*Address::Parse("127.0.0.1:0"), {});
  Address address = a->address();
  auto b = ListenSocket::Adopt(a->Release());
  ASSERT_TRUE(b.ok());
  EXPECT_EQ(b->address(), address);
  EXPECT_FALSE(ListenSocket::Adopt(Fd(socket(AF_INET, SOCK_STREAM, 0))).ok());
}

Fd ConnectTo(const Address& address) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(fd.get(), address.addr(), address.length()), 0);
  return fd;
}

TEST(AcceptorTest, AcceptsRestsWhenOutOfDescriptorsAndGoesOn) {
  Loop loop;
  std::vector<Fd> got;
  ListenOptions options;
  options.defer_accept = absl::ZeroDuration();
  auto socket = ListenSocket::Open(*Address::Parse("127.0.0.1:0"), options);
  ASSERT_TRUE(socket.ok());
  Acceptor acceptor(&loop, *std::move(socket), [&](Fd fd, const Address& peer) {
    EXPECT_EQ(peer.host(), "127.0.0.1");
    got.push_back(std::move(fd));
  });
  Fd a = ConnectTo(acceptor.address());
  while (got.empty()) loop.RunOnce(true);

  Fd b = ConnectTo(acceptor.address());
  rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit none = old;
  none.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  while (acceptor.exhausted() == 0) loop.RunOnce(true);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
  while (got.size() < 2) loop.RunOnce(true);

  acceptor.Pause();
  Fd c = ConnectTo(acceptor.address());
  loop.RunOnce(false);
  EXPECT_EQ(got.size(), 2u);
  acceptor.Resume();
  while (got.size() < 3) loop.RunOnce(true);
}

}  // namespace
}  // namespace gatehouse::loop
