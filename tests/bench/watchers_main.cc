// bench_watchers SOCKET WATCHERS: follows the stream of events with many watchers, each on a connection of its own, and looks whether
// anything is missing. tests/bench/watchers.py starts it.
//
// Prints a line when all of them are subscribed. Reads from standard input the sequence of an event, waits until every watcher has got
// so far, prints one JSON object, and ends:
//   first, last    sequence after which all watchers began, and where all of them are (otherwise exit code 1)
//   rate           events a second, of the watcher that took longest
//   watchers       of each: events without GAPs, how many of them are decisions, how many GAPs told it that it missed, how many were lost
//                  before the hub as its events tell, and how often one did not follow the one before and no GAP told why
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gatehouse/v1/event_service.grpc.pb.h"

namespace gatehouse::bench {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(60);

class Watch final : public grpc::ClientReadReactor<v1::WatchResponse> {
 public:
  explicit Watch(const std::string& socket) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // or all would share one connection
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = v1::EventService::NewStub(grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
    stub_->async()->Watch(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  void OnReadInitialMetadataDone(bool ok) override { subscribed_ = ok; }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    for (const v1::Event& event : response_.events()) Take(event);
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    std::fprintf(stderr, "bench_watchers: a stream ended: %s\n", status.error_message().c_str());
    std::exit(1);
  }

  bool subscribed() const { return subscribed_; }
  // The rest is read when the stream is quiet.
  uint64_t last() const { return last_; }
  uint64_t first() const { return first_; }
  std::string counts() const {
    return absl::StrFormat("{\"events\": %d, \"decisions\": %d, \"missed\": %d, \"lost\": %d, \"holes\": %d}", events_, decisions_, missed_,
                           lost_, holes_);
  }
  double rate() const { return events_ < 2 ? 0 : static_cast<double>(events_) / absl::ToDoubleSeconds(newest_ - oldest_); }

 private:
  void Take(const v1::Event& event) {
    const bool gap = event.type() == v1::Event::GAP;
    const uint64_t sequence = event.cursor().sequence();
    const uint64_t stands_for = gap ? event.missed() : 1;
    if (first_ == kNone) {
      first_ = sequence - stands_for;
      last_ = first_;
      oldest_ = absl::Now();
    }
    if (sequence != last_ + stands_for) ++holes_;
    newest_ = absl::Now();
    if (gap) {
      missed_ += stands_for;
    } else {
      ++events_;
      decisions_ += event.type() == v1::Event::DECISION;
      lost_ += event.missed();
    }
    last_ = sequence;  // last: who sees it sees the rest
  }

  static constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
  std::unique_ptr<v1::EventService::Stub> stub_;
  grpc::ClientContext context_;
  v1::WatchRequest request_;
  v1::WatchResponse response_;
  std::atomic<bool> subscribed_{false};
  std::atomic<uint64_t> last_{0};
  uint64_t first_ = kNone, events_ = 0, decisions_ = 0, missed_ = 0, lost_ = 0, holes_ = 0;
  absl::Time oldest_, newest_;
};

template <typename Condition>
bool WaitFor(Condition condition) {
  for (const absl::Time end = absl::Now() + kLimit; !condition(); absl::SleepFor(absl::Milliseconds(5))) {
    if (absl::Now() > end) return false;
  }
  return true;
}

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "bench_watchers: error: %s\n", what.c_str());
  std::_Exit(1);
}

[[noreturn]] void Run(const std::string& socket, int count) {
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < count; ++i) watches.push_back(std::make_unique<Watch>(socket));
  const auto all = [&watches](auto condition) { return std::all_of(watches.begin(), watches.end(), condition); };
  if (!WaitFor([&] { return all([](const auto& w) { return w->subscribed(); }); })) Fail("not subscribed");
  std::printf("subscribed\n");
  std::fflush(stdout);

  uint64_t head = 0;
  if (!(std::cin >> head)) Fail("standard input: the sequence of an event");
  if (!WaitFor([&] { return all([head](const auto& w) { return w->last() >= head; }); })) {
    for (const auto& w : watches) {
      if (w->last() < head) Fail(absl::StrCat("a watcher is at ", w->last(), ", and not at ", head));
    }
  }
  std::vector<std::string> counts;
  double rate = watches[0]->rate();
  for (const auto& w : watches) {
    if (w->first() != watches[0]->first() || w->last() != watches[0]->last()) Fail("the watchers began or ended apart");
    counts.push_back(w->counts());
    rate = std::min(rate, w->rate());
  }
  absl::PrintF("{\"first\": %d, \"last\": %d, \"rate\": %.0f, \"watchers\": [%s]}\n", watches[0]->first(), watches[0]->last(), rate,
               absl::StrJoin(counts, ", "));
  std::fflush(stdout);
  std::_Exit(0);  // the streams have no end
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) {
  const int count = argc == 3 ? std::atoi(argv[2]) : 0;
  if (count < 1 || count > 1000) {
    std::fprintf(stderr, "usage: bench_watchers SOCKET WATCHERS, 1 to 1000 of them\n");
    return 2;
  }
  gatehouse::bench::Run(argv[1], count);
}
