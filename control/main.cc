// gatehouse: the control plane, with a gateway embedded in the same process unless told otherwise.
//
// On stdout, one line each, so that scripts can wait: where the control API and the metrics are, every listener with the
// address that it really has, and at last "gatehouse: ready". The log goes to stderr.
// Exit status: 0 after a drain that was asked for, 1 when it could not start or was forced, 2 for a wrong command line.
#include <grpc/grpc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "control/control_plane.h"
#include "control/embedded.h"
#include "control/options.h"
#include "gateway/certs/quick_spki.h"
#include "gateway/monitor/monitor.h"
#include "gateway/server/watched_files.h"

namespace gatehouse {
namespace {

constexpr absl::Duration kFirstRevision = absl::Seconds(30);
constexpr absl::Duration kFilePoll = absl::Milliseconds(500);
constexpr absl::Duration kApiGrace = absl::Milliseconds(500);  // watchers never end by themselves

// Blocks the signals that end us in every thread to come: one thread waits for them.
sigset_t BlockSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

void SetUpLog(const std::string& level) {
  auto logger = spdlog::stderr_color_mt("gatehouse");
  spdlog::set_default_logger(logger);
  spdlog::set_level(spdlog::level::from_str(level == "warning" ? "warn" : level == "error" ? "err" : level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
}

void Say(const std::string& line) {
  std::printf("gatehouse: %s\n", line.c_str());
  std::fflush(stdout);
}

void TellReady(int fd) {
  Say("ready");
  if (fd < 0) return;
  if (write(fd, "ready\n", 6) != 6) spdlog::warn("--ready-fd: descriptor {} does not take it", fd);
  close(fd);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "gatehouse: error: %s\n", std::string(status.message()).c_str());
  return 1;
}

int Run(const Options& options) {
  const sigset_t signals = BlockSignals();
  SetUpLog(options.log_level);
  // Held to the end: gRPC 1.51 may wait ten seconds for its poller when its last user goes.
  // Before anybody else uses OpenSSL.
  if (absl::Status quick = options.quick_spki_decoder ? certs::UseQuickSpkiDecoder() : absl::OkStatus(); !quick.ok()) {
    return Fail(quick);
  }
  grpc_init();
  static const SystemClock clock;

  absl::StatusOr<std::unique_ptr<ControlPlane>> plane = ControlPlane::Open(options, clock);
  if (!plane.ok()) return Fail(plane.status());
  std::unique_ptr<EmbeddedGateway> gateway;
  if (options.gateway) {
    absl::StatusOr<std::unique_ptr<EmbeddedGateway>> started = EmbeddedGateway::Start(options, **plane, clock);
    if (!started.ok()) return Fail(started.status());
    gateway = *std::move(started);
  }
  // What a load balancer is told; the gateway adds its own reasons.
  std::atomic<const char*> not_ready{"starting"};
  std::unique_ptr<monitor::Monitor> monitor;
  if (!options.metrics_address.empty()) {
    monitor::MonitorOptions watched;
    watched.address = options.metrics_address;
    watched.metrics = [&plane, g = gateway.get()] {
      return (g != nullptr ? g->MetricsText() : std::string()) + (*plane)->MetricsText();
    };
    watched.not_ready = [&not_ready, g = gateway.get()] {
      std::string why = not_ready.load();
      return why.empty() && g != nullptr ? g->NotReady() : why;
    };
    absl::StatusOr<std::unique_ptr<monitor::Monitor>> started = monitor::Monitor::Start(std::move(watched));
    if (!started.ok()) {
      return Fail(absl::Status(started.status().code(), "--metrics-address: " + std::string(started.status().message())));
    }
    monitor = *std::move(started);
  }
  if (gateway != nullptr) {
    for (const std::string& reason : gateway->AwaitFirstRevision(kFirstRevision)) {
      spdlog::error("revision {} is not in force: {}", (*plane)->distributor().revision(), reason);
    }
  }
  absl::Status serving = (*plane)->Serve();
  if (!serving.ok()) return Fail(serving);

  std::unique_ptr<server::WatchedFiles> watched_files;
  if (!options.listen.empty()) {
    watched_files = std::make_unique<server::WatchedFiles>(kFilePoll);
    watched_files->Watch("control API", {options.tls_cert, options.tls_key, options.client_ca},
                         [&plane] { (*plane)->ReloadTls(); });
  }

  for (const std::string& address : (*plane)->addresses()) Say("control " + address);
  if (monitor != nullptr) Say("metrics http://" + monitor->address() + "/metrics");
  if (gateway != nullptr) {
    for (const server::BoundListener& listener : gateway->listeners()) {
      Say("listener " + listener.listener + " " + listener.address);
    }
  }
  not_ready = "";
  TellReady(options.ready_fd);

  int signal = 0;
  sigwait(&signals, &signal);
  not_ready = "draining";
  spdlog::info("draining; a second signal ends at once");
  std::thread([signals] {
    int second = 0;
    sigwait(&signals, &second);
    std::fprintf(stderr, "gatehouse: ended at once by a second signal\n");
    _exit(1);
  }).detach();
  if (gateway != nullptr && !gateway->Drain(options.drain)) {
    spdlog::warn("some requests did not end within {} and were cut", absl::FormatDuration(options.drain));
  }
  watched_files = nullptr;
  (*plane)->Shutdown(kApiGrace);
  monitor = nullptr;  // its answers come from what goes next
  gateway = nullptr;
  plane->reset();
  spdlog::info("stopped");
  return 0;
}

}  // namespace
}  // namespace gatehouse

int main(int argc, char** argv) {
  absl::StatusOr<gatehouse::Options> options = gatehouse::ParseOptions(
      std::vector<std::string>(argv + 1, argv + argc), gatehouse::Environment::OfProcess());
  if (!options.ok()) {
    std::fprintf(stderr, "gatehouse: error: %s\nTry gatehouse --help.\n",
                 std::string(options.status().message()).c_str());
    return 2;
  }
  if (!options->text.empty()) {
    std::fputs(options->text.c_str(), stdout);
    return 0;
  }
  return gatehouse::Run(*options);
}
