// bench_events [EVENTS]: what events cost the worker that records them, and the process that tells them.
//
// A worker's thread records decisions at a steady pace into its ring; collector, hub, archive and gRPC run as in `gatehouse`, all on core 0.
// Watchers are another process on core 1, over a Unix socket. Each row: nanoseconds of the worker's own processor time an event (less
// those of the pace), microseconds of the whole process an event, events lost on the way to hub, archive and log, and events a second that
// reached watchers, all of them together, while events were made: what their process can take.
// Exit code 1 when a row lost events, or when an event that nobody watches costs the worker 200 ns or more.
#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "control/api/call_executor.h"
#include "control/api/event_service.h"
#include "control/events/hub.h"
#include "control/events/slots.h"
#include "gateway/events/collector.h"
#include "gateway/events/json_log.h"
#include "tests/bench/process_cpu.h"

namespace gatehouse::bench {
namespace {

constexpr size_t kBurst = 20;                              // events at once, as one turn of a loop has them
constexpr absl::Duration kPace = absl::Milliseconds(1);    // between bursts: 20,000 events a second

// Shared with the watchers' process.
struct Seen {
  std::atomic<uint64_t> events;
  std::atomic<int> subscribed;
};

void Pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(core), &set);
  sched_setaffinity(0, sizeof set, &set);  // one core is as good as any where there is only one
}

double ThreadNanos() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

class Listener final : public grpc::ClientReadReactor<v1::WatchResponse> {
 public:
  Listener(v1::EventService::Stub& stub, Seen* seen) : seen_(seen) {
    stub.async()->Watch(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  void OnReadInitialMetadataDone(bool ok) override { seen_->subscribed += ok; }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    for (const v1::Event& event : response_.events()) seen_->events += event.type() == v1::Event::DECISION;
    StartRead(&response_);
  }
  void OnDone(const grpc::Status&) override {}

 private:
  Seen* const seen_;
  grpc::ClientContext context_;
  v1::WatchRequest request_;
  v1::WatchResponse response_;
};

// The watchers' process, until it is killed.
pid_t Watchers(const std::string& socket, int count, Seen* seen) {
  const pid_t child = fork();
  if (child != 0) return child;
  Pin(1);
  while (access(socket.c_str(), F_OK) != 0) usleep(1000);
  auto stub = v1::EventService::NewStub(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  std::vector<std::unique_ptr<Listener>> listeners;
  for (int i = 0; i < count; ++i) listeners.push_back(std::make_unique<Listener>(*stub, seen));
  for (;;) pause();
}

struct Row {
  const char* name;
  int watchers = 0;
  bool archive = false;
  bool log = false;
};

// What all events of one caller on one route say.
std::shared_ptr<const events::Facts> CommonFacts() {
  auto peer = std::make_shared<events::PeerFacts>();
  peer->certificate = std::make_shared<const events::CertificateSummary>(
      events::CertificateSummary{{}, "CN=client-17,O=Example", "CN=Partners Issuing,O=Example", "7A11", absl::FromUnixSeconds(1'900'000'000)});
  peer->listener = std::make_shared<const std::string>("edge");
  auto facts = std::make_shared<events::Facts>();
  facts->peer = std::move(peer);
  facts->principal = "CN=client-17,O=Example";
  facts->schemes = {"Certificate"};
  facts->route = "orders";
  return facts;
}

void Fill(const std::shared_ptr<const events::Facts>& facts, events::Event* e) {
  e->outcome = events::Outcome::kAllowed;
  e->facts = facts;
  e->SetRequest({.method = "GET", .host = "orders.example.com", .path = "/orders/17/items", .request_id = "e41e99e69fb0000000000001"});
  e->status = 200;
  e->http_version = 2;
}

// One row in a process of its own, since gRPC does not live through a fork.
int Measure(const Row& row, uint64_t events, const std::string& folder) {
  Seen* seen = static_cast<Seen*>(mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const std::string socket = absl::StrCat(folder, "/", row.name, ".sock");
  const pid_t watchers = row.watchers > 0 ? Watchers(socket, row.watchers, seen) : 0;
  Pin(0);
  grpc_init();
  static const SystemClock clock;
  std::unique_ptr<events::JsonLog> log;
  hub::HubSinks sinks;
  if (row.archive) {
    hub::ArchiveOptions archive;
    archive.path = absl::StrCat(folder, "/", row.name, ".db");
    sinks.archive = hub::Archive::Open(archive, clock);
  }
  if (row.log) {
    log = *events::JsonLog::Open({.path = absl::StrCat(folder, "/", row.name, ".jsonl"), .max_waiting_bytes = size_t{1} << 30}, clock);
    sinks.tap = [&log](const hub::BatchRef& batch) { log->Add(std::shared_ptr<const std::string>(batch, &batch->wire), batch->ends.size()); };
  }
  hub::Hub hub(clock, {}, std::move(sinks));
  api::CallExecutor executor(2, 16);
  api::EventService service(hub, executor, [](const grpc::CallbackServerContext&, absl::string_view) -> absl::StatusOr<api::Caller> { return api::Caller(); });
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  while (seen->subscribed < row.watchers) absl::SleepFor(absl::Milliseconds(1));

  events::Recorder recorder(0, 4096, clock);
  events::Collector collector({&recorder}, clock, [&hub](events::Batch batch) {
    hub::PublishSlots(batch, "edge-1", &hub);
  });
  collector.Start();
  const double process = OwnMicros();
  const absl::Time began = absl::Now();
  double nanos = 0;
  std::thread worker([&] {
    const std::shared_ptr<const events::Facts> facts = CommonFacts();
    for (uint64_t done = 0; done < events; done += kBurst) {
      const double before = ThreadNanos();
      for (size_t i = 0; i < kBurst; ++i) {
        events::Event* e = recorder.Begin(events::EventKind::kDecision);
        if (e == nullptr) continue;
        Fill(facts, e);
        recorder.Commit();
      }
      nanos += ThreadNanos() - before;
      absl::SleepFor(began + kPace * (static_cast<double>(done) / kBurst + 1) - absl::Now());
    }
  });
  worker.join();
  collector.Stop();
  const uint64_t delivered = seen->events;
  const double seconds = absl::ToDoubleSeconds(absl::Now() - began);
  if (log != nullptr) log->Stop();
  hub.StopArchive();
  const double micros = (OwnMicros() - process) / static_cast<double>(events);
  const uint64_t archived_lost = row.archive ? hub.archive()->lost() : 0;
  const uint64_t lost = static_cast<uint64_t>(recorder.dropped()) + archived_lost + (log == nullptr ? 0 : log->lost());
  const double each = nanos / static_cast<double>(events);
  std::printf("%-14s %8.0f %12.2f %8llu %14.0f\n", row.name, each, micros, static_cast<unsigned long long>(lost), static_cast<double>(delivered) / seconds);
  if (watchers != 0) {
    kill(watchers, SIGKILL);
    waitpid(watchers, nullptr, 0);
  }
  std::fflush(stdout);
  _exit(lost != 0 || (row.watchers == 0 && each >= 200) ? 1 : 0);
}

int Main(uint64_t events) {
  char folder[] = "/tmp/bench-events-XXXXXX";
  if (mkdtemp(folder) == nullptr) return 1;
  const Row rows[] = {{"nobody"},          {"archive", 0, true},  {"log", 0, false, true}, {"1-watcher", 1, true},
                      {"10-watchers", 10, true}, {"100-watchers", 100, true}};
  std::printf("%-14s %8s %12s %8s %14s\n", "", "worker ns", "process us", "lost", "delivered/s");
  std::fflush(stdout);
  int failed = 0;
  for (const Row& row : rows) {
    const pid_t child = fork();
    if (child == 0) Measure(row, events, folder);
    int status = 0;
    waitpid(child, &status, 0);
    failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  }
  std::filesystem::remove_all(folder);
  return failed;
}

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) {
  const long events = argc > 1 ? std::atol(argv[1]) : 100'000;
  if (events < 1000) {
    std::fprintf(stderr, "bench_events [EVENTS], at least 1000\n");
    return 2;
  }
  return gatehouse::bench::Main(static_cast<uint64_t>(events));
}
