// gatehouse-gateway: the data plane alone, following a control plane.
//
// On stdout, one line each, so that scripts can wait: where the metrics are, every listener with the address that it really has, and at last
// "gatehouse-gateway: ready". The log goes to stderr.
// Exit status: 0 after a drain that was asked for, 1 when it could not start or was forced, 2 for a wrong command line.
#include <grpc/grpc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "gateway/certs/quick_spki.h"
#include "gateway/delegate/grpc_client.h"
#include "gateway/events/json_log.h"
#include "gateway/events/wire.h"
#include "gateway/monitor/monitor.h"
#include "gateway/remote/certificate_keeper.h"
#include "gateway/remote/enrolment.h"
#include "gateway/remote/renewal_line.h"
#include "gateway/remote/subscriber.h"
#include "gateway/remote/uplink.h"

namespace gatehouse::remote {
namespace {

struct Options {
  std::vector<std::string> control;
  std::string name;
  std::string state_dir = "/var/lib/gatehouse-gateway";
  std::string key_file;
  std::string revocation_cache;
  std::string join;
  client::TlsFiles tls;
  bool insecure_loopback = false;
  int workers = 0;
  bool quick_spki_decoder = false;
  double startup_wait = 5;
  double drain = 30;
  double max_snapshot_age = 0;
  std::string metrics_address;
  std::string event_log;
  std::string log_level = "info";
};

// The gateway's events as JSON lines, beside the uplink.
absl::StatusOr<std::unique_ptr<events::JsonLog>> OpenEventLog(const std::string& path, const Clock& clock) {
  events::JsonLogOptions log;
  log.path = path;
  log.trouble = [](std::string text) {
    if (text.empty()) {
      spdlog::info("--event-log: it takes events again");
    } else {
      spdlog::error("--event-log: {}; lines are lost and counted", text);
    }
  };
  return events::JsonLog::Open(std::move(log), clock);
}

int Fail(absl::string_view message, int code = 1) {
  std::fprintf(stderr, "gatehouse-gateway: error: %s\n", std::string(message).c_str());
  return code;
}

void Say(const std::string& line) {
  std::printf("gatehouse-gateway: %s\n", line.c_str());
  std::fflush(stdout);
}

bool IsSocket(const std::string& target) { return target.rfind("unix:", 0) == 0 || target.rfind('/', 0) == 0; }

// The token, or the first line of the file that "@FILE" names.
absl::StatusOr<JoinToken> ReadToken(const std::string& text) {
  if (text.rfind('@', 0) != 0) return JoinToken::Parse(text);
  std::ifstream file(text.substr(1));
  std::string line;
  if (!file || !std::getline(file, line)) return absl::NotFoundError(absl::StrCat(text.substr(1), " cannot be read"));
  return JoinToken::Parse(line);
}

// What is enrolled already stays: a token in a unit file is of use once.
absl::StatusOr<Enrolment> Enrol(const Options& options) {
  absl::StatusOr<Enrolment> enrolment = Enrolment::Open(options.state_dir, options.name);
  if (!enrolment.ok() || enrolment->enrolled() || options.join.empty()) return enrolment;
  absl::StatusOr<JoinToken> token = ReadToken(options.join);
  if (!token.ok()) return absl::InvalidArgumentError(absl::StrCat("--join: ", token.status().message()));
  absl::Status joined = absl::InvalidArgumentError("--join needs a --control HOST:PORT");
  for (const std::string& target : options.control) {
    if (IsSocket(target)) continue;
    joined = enrolment->Join(target, options.tls.server_name, *token);
    if (joined.ok()) break;
  }
  if (!joined.ok()) return absl::Status(joined.code(), absl::StrCat("--join: ", joined.message()));
  Say(absl::StrCat("joined as ", options.name));
  return enrolment;
}

// The signals that end us: the first asks for it, the second ends the process at once. Before any other thread is started.
class EndSignals {
 public:
  EndSignals() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    std::thread([state = state_, signals = signals_] {
      int received = 0;
      sigwait(&signals, &received);
      state->Ask();
      sigwait(&signals, &received);
      std::fprintf(stderr, "gatehouse-gateway: ended at once by a second signal\n");
      _exit(1);
    }).detach();
  }
  bool asked() const {
    MutexLock lock(&state_->mutex);
    return state_->asked;
  }
  void Wait() {
    MutexLock lock(&state_->mutex);
    while (!state_->asked) state_->changed.Wait(&state_->mutex);
  }
  // Has `hear` called by the first signal, or now when it came already; null: nobody any more.
  void Tell(std::function<void()> hear) {
    MutexLock lock(&state_->mutex);
    state_->hear = std::move(hear);
    if (state_->asked && state_->hear) state_->hear();
  }

 private:
  struct State {
    void Ask() {
      MutexLock lock(&mutex);
      asked = true;
      if (hear) hear();
      changed.SignalAll();
    }
    Mutex mutex;
    CondVar changed;
    bool asked ABSL_GUARDED_BY(mutex) = false;
    std::function<void()> hear ABSL_GUARDED_BY(mutex);
  };
  sigset_t signals_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

int Run(const Options& options) {
  signal(SIGPIPE, SIG_IGN);
  EndSignals end;
  spdlog::set_default_logger(spdlog::stderr_color_mt("gatehouse-gateway"));
  spdlog::set_level(spdlog::level::from_str(options.log_level == "warning" ? "warn" : options.log_level == "error" ? "err" : options.log_level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
  // Before anybody else uses OpenSSL.
  if (absl::Status quick = options.quick_spki_decoder ? certs::UseQuickSpkiDecoder() : absl::OkStatus(); !quick.ok()) {
    return Fail(quick.message());
  }
  grpc_init();
  static const SystemClock clock;

  Subscriber::Options subscriber_options;
  subscriber_options.gateway = options.name;
  subscriber_options.clock = &clock;
  absl::StatusOr<SnapshotFile> file = SnapshotFile::Open(options.state_dir, options.key_file);
  if (!file.ok()) return Fail(file.status().message());
  absl::StatusOr<Enrolment> enrolment = Enrol(options);
  if (!enrolment.ok()) return Fail(enrolment.status().message());
  const bool enrolled = enrolment->enrolled() && options.tls.certificate.empty();
  for (const std::string& text : options.control) {
    // A Unix socket knows its callers without, and --insecure-loopback nobody.
    const bool mutual = enrolled && !IsSocket(text) && !options.insecure_loopback;
    const client::TlsFiles tls = mutual ? enrolment->Files(options.tls) : options.tls;
    absl::StatusOr<client::Target> target = client::ParseTarget(text, tls, options.insecure_loopback);
    if (!target.ok()) {
      const bool stranger = !IsSocket(text) && options.tls.ca.empty();
      return Fail(absl::StrCat("--control ", text, ": ", target.status().message(),
                               stranger ? "; or --join with a token of `gatehousectl gateway token create`" : ""), 2);
    }
    subscriber_options.targets.push_back(*std::move(target));
  }

  // The events' way out is known only once there is a subscriber, which needs the gateway.
  Mutex mutex;
  Subscriber* source = nullptr;
  std::optional<Uplink> uplink;
  uplink.emplace(options.name, [&]() -> std::shared_ptr<grpc::Channel> {
    MutexLock lock(&mutex);
    return source == nullptr ? nullptr : source->channel();
  });
  std::unique_ptr<events::JsonLog> event_log;
  if (!options.event_log.empty()) {
    absl::StatusOr<std::unique_ptr<events::JsonLog>> opened = OpenEventLog(options.event_log, clock);
    if (!opened.ok()) return Fail(absl::StrCat("--event-log: ", opened.status().message()));
    event_log = *std::move(opened);
  }
  delegate::GrpcClients validators;
  server::GatewayOptions gateway_options;
  gateway_options.name = options.name;
  gateway_options.version = GATEHOUSE_VERSION;
  gateway_options.workers = options.workers;
  // The state directory is there: the saved configuration was looked for in it.
  gateway_options.revocation_cache =
      options.revocation_cache.empty() ? options.state_dir + "/revocation" : options.revocation_cache;
  gateway_options.lockout_file = options.state_dir + "/lockouts.sealed";
  gateway_options.lockout_key_file = options.key_file.empty() ? options.state_dir + "/snapshot.key" : options.key_file;
  gateway_options.clock = &clock;
  if (options.max_snapshot_age > 0) gateway_options.max_snapshot_age = absl::Seconds(options.max_snapshot_age);
  gateway_options.validators = validators.factory();
  gateway_options.events = [&uplink](events::Batch batch) { uplink->Add(batch); };
  gateway_options.events_kept = [&uplink] { return uplink->has_room(); };
  gateway_options.events_lost = [&uplink] { return uplink->lost(); };
  std::optional<RenewalLine> renewals;
  renewals.emplace([&]() -> std::shared_ptr<grpc::Channel> {
    MutexLock lock(&mutex);
    return source == nullptr ? nullptr : source->channel();
  });
  gateway_options.renewal = [&renewals](credentials::RenewalOffer offer) { return renewals->Send(std::move(offer)); };
  if (event_log != nullptr) {
    gateway_options.events = [report = std::move(gateway_options.events), name = options.name, log = event_log.get()](events::Batch batch) mutable {
      report(batch);
      auto wire = std::make_shared<std::string>();
      for (const events::Event* event : batch) events::AppendEntry(*event, name, wire.get());
      log->Add(std::move(wire), batch.size());
    };
  }
  absl::StatusOr<std::unique_ptr<server::Gateway>> gateway = server::Gateway::Start(std::move(gateway_options));
  if (!gateway.ok()) return Fail(gateway.status().message());

  std::unique_ptr<monitor::Monitor> monitor;
  if (!options.metrics_address.empty()) {
    monitor::MonitorOptions watched;
    watched.address = options.metrics_address;
    watched.metrics = [g = gateway->get(), log = event_log.get()] {
      return g->MetricsText() + (log == nullptr ? std::string() : log->MetricsText());
    };
    watched.not_ready = [g = gateway->get()] { return g->NotReady(); };
    absl::StatusOr<std::unique_ptr<monitor::Monitor>> started = monitor::Monitor::Start(std::move(watched));
    if (!started.ok()) return Fail(absl::StrCat("--metrics-address: ", started.status().message()));
    monitor = *std::move(started);
    Say("metrics http://" + monitor->address() + "/metrics");
  }

  auto subscriber = std::make_unique<Subscriber>(std::move(subscriber_options), gateway->get(), &*file);
  {
    MutexLock lock(&mutex);
    source = subscriber.get();
  }
  std::optional<CertificateKeeper> keeper;
  if (enrolled) {
    keeper.emplace(&*enrolment, clock, [s = subscriber.get()] { return s->channel(); }, [s = subscriber.get()] { s->Reconnect(); });
  }
  absl::Status loaded = subscriber->Load();
  if (!loaded.ok() && !absl::IsNotFound(loaded)) {
    spdlog::error("the saved configuration is not used: {}", std::string(loaded.message()));
  }
  subscriber->Start();
  // What was withdrawn while we were away must not come back: the disk counts only when no control plane answers.
  end.Tell([s = subscriber.get()] { s->EndWait(); });
  const bool in_step = subscriber->WaitInStep(absl::Seconds(options.startup_wait));
  end.Tell(nullptr);
  if (!in_step && !end.asked()) {
    absl::Status restored = subscriber->Restore();
    if (restored.ok()) {
      spdlog::warn("no control plane brought a configuration within {} s: revision {} from disk is in force", options.startup_wait,
                   (*gateway)->current()->revision);
    } else {
      spdlog::warn("nothing is served yet: no control plane brought a configuration within {} s, and {}", options.startup_wait,
                   std::string(restored.message()));
    }
  }
  if (!end.asked()) {
    for (const server::BoundListener& listener : (*gateway)->listeners()) {
      Say("listener " + listener.listener + " " + listener.address);
    }
    Say("ready");
  }
  end.Wait();
  spdlog::info("draining; a second signal ends at once");
  if (!(*gateway)->Drain(absl::Seconds(options.drain))) {
    spdlog::warn("some requests did not end within {} s and were cut", options.drain);
  }
  // The subscriber renews the gateway's files until it is gone. The uplink's stream holds its channel, for the gateway's last
  // events.
  keeper.reset();
  subscriber->Stop();
  {
    MutexLock lock(&mutex);
    source = nullptr;
  }
  subscriber.reset();
  monitor = nullptr;
  gateway->reset();
  renewals.reset();
  uplink->Stop(absl::Seconds(2));
  spdlog::info("stopped");
  return 0;
}

}  // namespace
}  // namespace gatehouse::remote

int main(int argc, char** argv) {
  gatehouse::remote::Options options;
  char host[256] = "gateway";
  gethostname(host, sizeof host - 1);
  options.name = host;
  CLI::App app("Gatehouse's data plane alone: follows a control plane, and starts from disk when none answers.", "gatehouse-gateway");
  app.set_version_flag("--version", GATEHOUSE_VERSION);
  app.add_option("--control", options.control, "Control plane: unix:/path or host:port; repeatable, asked in turn")->required();
  app.add_option("--name", options.name, "Unique name of this gateway")->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "Directory of the saved configuration and lock-outs")->capture_default_str();
  app.add_option("--snapshot-key-file", options.key_file, "32 octets that seal it and the lock-outs (default: STATE-DIR/snapshot.key)");
  app.add_option("--revocation-cache", options.revocation_cache,
                 "Directory of fetched CRLs and OCSP answers (default: STATE-DIR/revocation)");
  app.add_option("--ca", options.tls.ca, "Authorities of a host:port control plane, PEM");
  app.add_option("--join", options.join,
                 "Token of `gatehousectl gateway token create`, or @FILE: buys our certificate, once, if STATE-DIR has none");
  app.add_option("--cert", options.tls.certificate, "Our certificate for it, PEM");
  app.add_option("--key", options.tls.key, "Our key for it, PEM");
  app.add_option("--tls-server-name", options.tls.server_name, "Name in its certificate, if not the host");
  app.add_flag("--insecure-loopback", options.insecure_loopback, "No TLS; a control plane on this machine only");
  app.add_option("--workers", options.workers, "Worker threads; 0: one a core")->capture_default_str()->check(CLI::Range(0, 256));
  app.add_flag("--quick-spki-decoder", options.quick_spki_decoder,
               "Read RSA and EC public keys of certificates by OpenSSL's older, direct decoder: handshakes cost less");
  app.add_option("--startup-wait", options.startup_wait, "Seconds to wait for a control plane before saying ready")
      ->capture_default_str()->check(CLI::Range(0.0, 3600.0));
  app.add_option("--drain", options.drain, "Seconds that running requests get after SIGTERM")->capture_default_str()->check(CLI::Range(0.0, 3600.0));
  app.add_option("--max-snapshot-age", options.max_snapshot_age,
                 "Seconds after which routes that authenticate answer 503 when no control plane confirmed that the configuration is "
                 "the newest; 0: never")
      ->capture_default_str()->check(CLI::Range(0.0, 1e9));
  app.add_option("--metrics-address", options.metrics_address,
                 "Serves /metrics, /healthz and /readyz there, HOST:PORT; plain HTTP for everybody who reaches it");
  app.add_option("--event-log", options.event_log, "Every event as a line of JSON in this file; -: on standard output");
  app.add_option("--log-level", options.log_level, "trace, debug, info, warning, error")->capture_default_str()
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "gatehouse-gateway: error: %s\nTry gatehouse-gateway --help.\n", e.what());
    return 2;
  }
  return gatehouse::remote::Run(options);
}
