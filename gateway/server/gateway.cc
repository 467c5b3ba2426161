#include "gateway/server/gateway.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gateway/base/digest.h"
#include "gateway/base/mutex.h"
#include "gateway/base/status.h"
#include "gateway/base/steady.h"
#include "gateway/events/collector.h"
#include "gateway/fetch/curl_fetcher.h"
#include "gateway/server/access_logs.h"
#include "gateway/server/answers.h"
#include "gateway/server/bound_addresses.h"
#include "gateway/server/expiry_warner.h"
#include "gateway/server/revocation_metrics.h"
#include "gateway/server/upstreams.h"
#include "gateway/server/validator_metrics.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {
namespace {

constexpr size_t kSessionCapacity = 100'000;
constexpr size_t kSessionOctets = size_t{1} << 30;  // of certificates that sessions hold; more than so many ordinary ones take
constexpr absl::Duration kExpiryPeriod = absl::Minutes(1);
constexpr absl::Duration kAgePeriod = absl::Milliseconds(200);

int OrCores(int wanted, int most) {
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return wanted > 0 ? wanted : std::min(cores, most);
}

// A latch over all workers.
class Countdown {
 public:
  explicit Countdown(size_t n) : left_(n) {}
  void Arrive() {
    MutexLock lock(&mutex_);
    if (--left_ == 0) zero_.SignalAll();
  }
  void Wait() {
    MutexLock lock(&mutex_);
    while (left_ != 0) zero_.Wait(&mutex_);
  }

 private:
  Mutex mutex_;
  CondVar zero_;
  size_t left_ ABSL_GUARDED_BY(mutex_);
};

// Where the desk's callbacks go: nowhere until there are workers to hear them.
class DeskLine {
 public:
  using OnNews = std::function<void(const RevocationNews&)>;
  using OnNotice = std::function<void(const std::string&, bool)>;
  void Connect(OnNews on_news, OnNotice on_notice) {
    MutexLock lock(&mutex_);
    on_news_ = std::move(on_news);
    on_notice_ = std::move(on_notice);
  }
  void News(const RevocationNews& news) {
    MutexLock lock(&mutex_);
    if (on_news_) on_news_(news);
  }
  void Notice(const std::string& text, bool failed) {
    MutexLock lock(&mutex_);
    if (on_notice_) on_notice_(text, failed);
  }

 private:
  Mutex mutex_;
  OnNews on_news_ ABSL_GUARDED_BY(mutex_);
  OnNotice on_notice_ ABSL_GUARDED_BY(mutex_);
};

class RunningGateway final : public Gateway {
 public:
  // The desk calls back once there are workers.
  RunningGateway(GatewayOptions options, std::unique_ptr<DeskLine> line, std::unique_ptr<RevocationDesk> desk,
                 std::unique_ptr<Passwords> passwords)
      : options_(std::move(options)),
        clock_(options_.clock != nullptr ? *options_.clock : system_clock_),
        run_(HexLower(RandomBytes(6))),
        registry_(RegistryOptions()),
        memory_{.presented = PresentedChains(), .uses = {static_cast<size_t>(OrCores(options_.workers, 256)), clock_.Now()}},
        expiry_([this](events::Event event) { collector_->Add(std::move(event)); }),
        age_(clock_, options_.max_snapshot_age),
        sessions_(std::make_shared<tls::SessionCache>(kSessionCapacity, kSessionOctets)),
        line_(std::move(line)),
        desk_(std::move(desk)),
        passwords_(std::move(passwords)),
        validators_(std::make_unique<delegate::Desk>(DelegatedOptions())),
        access_logs_(AccessLogOptions()) {
    upstreams_ = std::make_unique<Upstreams>(Upstreams::Options{
        .workers = static_cast<size_t>(OrCores(options_.workers, 256)),
        .clock = &clock_,
        .resolver = std::move(options_.resolver),
        .registry = &registry_,
        .report = [this](events::Event event) { Report(std::move(event)); },
        .refresh = [this](const std::string& upstream) {
          for (auto& worker : workers_) {
            worker->Post([w = worker.get(), upstream] { w->RefreshUpstream(upstream); });
          }
        }});
    WorkerShared shared;
    shared.upstreams = &upstreams_->directory();
    shared.desk = desk_.get();
    shared.validators = validators_.get();
    shared.clock = &clock_;
    shared.passwords = passwords_.get();
    shared.registry = &registry_;
    shared.memory = &memory_;
    shared.expiry = &expiry_;
    shared.age = &age_;
    shared.next_connection = &next_connection_;
    shared.run = run_;
    shared.access_logs = &access_logs_;
    shared.event_ring = options_.event_ring;
    shared.events_kept = options_.events_kept;
    std::vector<events::Recorder*> recorders;
    for (int i = 0; i < OrCores(options_.workers, 256); ++i) {
      workers_.push_back(std::make_unique<Worker>(static_cast<uint16_t>(i), shared));
      recorders.push_back(&workers_.back()->recorder());
    }
    events::Collector::Sink sink = std::move(options_.events);
    if (!sink) sink = [](events::Batch) {};
    collector_ = std::make_unique<events::Collector>(recorders, clock_, std::move(sink));
    collector_->Start();
    passwords_->Start([this](events::Event event) { Report(std::move(event)); });
    access_logs_.Start();
    for (auto& worker : workers_) worker->Start();
    AddRevocationMetrics(*desk_, &registry_);
    passwords_->AddMetrics(&registry_);
    registry_.AddSource(metrics::SourceType::kGauge, "gatehouse_snapshot_age_seconds",
                        "Time since the configuration in force was known to be the newest.", {},
                        [this] { return absl::ToDoubleSeconds(age_.age()); });
    AddValidatorMetrics(*validators_, &registry_);
    access_logs_.AddMetrics(&registry_);
    line_->Connect([this](const RevocationNews& news) { Spread(news); },
                   [this](const std::string& text, bool failed) {
                     Notice(text, failed ? Reason::kRevocationUnknown : Reason::kNone);
                   });
    Notice("started");
    installer_ = std::thread([this] { InstallLoop(); });
  }

  ~RunningGateway() override {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
      ready_.SignalAll();
    }
    installer_.join();
    upstreams_->Stop();
    for (auto& worker : workers_) worker->Stop();
    desk_.reset();  // posts to workers until it is gone, as does the next
    validators_.reset();
    passwords_->Stop();
    access_logs_.Stop();
    Notice("stopped");
    collector_->Stop();
  }

  void Install(std::shared_ptr<const config::Snapshot> snapshot,
               absl::AnyInvocable<void(absl::Status)> done) override {
    Enqueue({std::move(snapshot), nullptr, std::move(done)});
  }
  void Replace(std::shared_ptr<const config::Snapshot> expected, std::shared_ptr<const config::Snapshot> snapshot,
               absl::AnyInvocable<void(absl::Status)> done) override {
    Enqueue({std::move(snapshot), std::move(expected), std::move(done)});
  }

  void SetTicketKeys(const std::vector<tls::TicketKey>& keys) override { ticket_keys_->Set(keys); }

  std::shared_ptr<const config::Snapshot> current() const override {
    MutexLock lock(&mutex_);
    return generation_ == nullptr ? nullptr : generation_->snapshot;
  }

  std::vector<BoundListener> listeners() const override {
    MutexLock lock(&mutex_);
    std::vector<BoundListener> out;
    for (const auto& [name, bound] : bound_.by_listener()) out.push_back({name, bound.actual.ToString()});
    return out;
  }

  std::string NotReady() const override {
    MutexLock lock(&mutex_);
    if (draining_) return "draining";
    if (generation_ == nullptr) return "no configuration is in force";
    return age_.too_old() ? "the configuration is older than --max-snapshot-age" : "";
  }

  void ConfirmNewest(absl::Time when) override {
    age_.Confirm(when);
    CheckAge();
  }
  absl::Duration snapshot_age() const override { return age_.age(); }

  Counts counts() const override {
    Counts counts;
    counts.workers = static_cast<uint32_t>(workers_.size());
    for (int i = 0; i < static_cast<int>(workers_.size()); ++i) {
      const metrics::WorkerMetrics& m = registry_.worker(i);
      counts.connections += static_cast<uint64_t>(m.connections_open.value());
      counts.active_requests += static_cast<uint64_t>(m.streams_open.value());
      for (const Counter& requests : m.requests_by_reason) counts.requests += static_cast<uint64_t>(requests.value());
    }
    counts.events_lost = static_cast<uint64_t>(collector_->dropped());
    if (options_.events_lost) counts.events_lost += options_.events_lost();
    MutexLock lock(&mutex_);
    counts.draining = draining_;
    return counts;
  }

  bool Drain(absl::Duration grace) override {
    Notice("draining");
    {
      MutexLock lock(&mutex_);
      draining_ = true;
    }
    const SteadyTime until = SteadyAfter(grace);
    OnWorkers([](Worker& w) { w.Drain(false); });
    // GOAWAY's first phase needs a round trip before new streams are refused.
    absl::SleepFor(std::min(grace, absl::Milliseconds(200)));
    OnWorkers([](Worker& w) { w.Drain(true); });
    for (;;) {
      std::atomic<size_t> left{0};
      OnWorkers([&](Worker& w) { left += w.connections(); });
      if (left == 0) return true;
      if (SteadyNow() >= until) break;
      absl::SleepFor(absl::Milliseconds(20));
    }
    OnWorkers([](Worker& w) { w.CutAll(); });
    return false;
  }

  void Report(events::Event event) override { collector_->Add(std::move(event)); }

  RevocationDesk& revocation() override { return *desk_; }
  LockoutDesk& lockouts() override { return passwords_->lockouts(); }
  const delegate::Desk& validators() const override { return *validators_; }
  const upstream::Directory& upstreams() const override { return upstreams_->directory(); }
  const Memory& memory() const override { return memory_; }

  std::string MetricsText() const override { return registry_.Scrape(); }

 private:
  struct Order {
    std::shared_ptr<const config::Snapshot> snapshot;
    std::shared_ptr<const config::Snapshot> expected;  // in force now; null: whatever is
    absl::AnyInvocable<void(absl::Status)> done;
  };

  void Enqueue(Order order) {
    MutexLock lock(&mutex_);
    queue_.push_back(std::move(order));
    ready_.SignalOne();
  }

  metrics::RegistryOptions RegistryOptions() const {
    metrics::RegistryOptions options;
    options.workers = OrCores(options_.workers, 256);
    options.version = options_.version;
    return options;
  }

  delegate::Desk::Options DelegatedOptions() {
    delegate::Desk::Options options;
    options.clock = &clock_;
    options.throttle = &passwords_->lockouts().throttle();
    options.clients = options_.validators;
    options.on_notice = [this](const std::string& text, bool failed) {
      Notice(text, failed ? Reason::kVerifierUnavailable : Reason::kNone);
    };
    return options;
  }

  AccessLogs::Options AccessLogOptions() {
    AccessLogs::Options options;
    options.workers = static_cast<size_t>(OrCores(options_.workers, 256));
    options.on_notice = [this](const std::string& text, bool) { Notice(text); };
    return options;
  }

  // Runs `f` on every worker's loop and waits.
  void OnWorkers(const std::function<void(Worker&)>& f) {
    Countdown countdown(workers_.size());
    for (auto& worker : workers_) {
      worker->Post([&, w = worker.get()] {
        f(*w);
        countdown.Arrive();
      });
    }
    countdown.Wait();
  }

  void Notice(const std::string& what, Reason reason = Reason::kNone) {
    events::Event event;
    event.reason = reason;
    event.kind = events::EventKind::kGateway;
    event.outcome = events::Outcome::kNotice;
    std::shared_ptr<const config::Snapshot> snapshot = current();
    events::Facts& facts = event.Own();
    facts.revision = snapshot == nullptr ? 0 : snapshot->revision;
    facts.detail = what;
    collector_->Add(std::move(event));
  }

  void Spread(const RevocationNews& news) {
    auto shared = std::make_shared<const RevocationNews>(news);
    for (auto& worker : workers_) {
      worker->Post([w = worker.get(), shared] { w->Hear(shared); });
    }
  }

  void InstallLoop() {
    for (;;) {
      Order order;
      {
        MutexLock lock(&mutex_);
        if (queue_.empty() && !stopping_) {
          ready_.WaitFor(&mutex_, age_.limit() == absl::InfiniteDuration() ? kExpiryPeriod : kAgePeriod);
        }
        if (queue_.empty() && stopping_) return;
        if (stopping_) {
          for (Order& o : queue_) o.done(absl::CancelledError("the gateway is stopping"));
          return;
        }
        if (!queue_.empty()) {
          order = std::move(queue_.front());
          queue_.pop_front();
        }
      }
      if (order.snapshot == nullptr) {
        CheckAge();
        const absl::Time now = clock_.Now();
        if (now >= expiry_checked_ && now < expiry_checked_ + kExpiryPeriod) continue;
        expiry_checked_ = now;
        if (std::shared_ptr<const config::Snapshot> snapshot = current()) expiry_.Check(*snapshot, now);
        continue;
      }
      if (order.expected != nullptr && order.expected != current()) {
        order.done(absl::AbortedError("another configuration came into force meanwhile"));
        continue;
      }
      uint64_t revision = order.snapshot->revision;
      absl::Status status = InstallNow(order.snapshot);
      const bool told = !status.ok() && installed_ == std::pair(revision, status);  // tried again, and refused as before
      installed_ = {revision, status};
      events::Event event;
      event.kind = events::EventKind::kConfig;
      event.outcome = status.ok() ? events::Outcome::kNotice : events::Outcome::kRefused;
      events::Facts& facts = event.Own();
      facts.revision = revision;
      if (!status.ok()) facts.detail = std::string(status.message());
      if (!told) collector_->Add(std::move(event));
      order.done(std::move(status));
      if (std::shared_ptr<const config::Snapshot> snapshot = current()) expiry_.Check(*snapshot, clock_.Now());
    }
  }

  void CheckAge() {
    const std::optional<bool> too_old = age_.Check();
    if (!too_old.has_value()) return;
    Notice(*too_old ? absl::StrCat("the configuration was not confirmed for ", absl::FormatDuration(age_.limit()),
                                   " (--max-snapshot-age): authenticated routes answer 503 until it is")
                    : "the configuration is confirmed again: authenticated routes are served",
           *too_old ? Reason::kVerifierUnavailable : Reason::kNone);
  }

  // On the installer's thread. Everything that can fail comes before anything that takes effect.
  absl::Status InstallNow(const std::shared_ptr<const config::Snapshot>& snapshot) {
    std::shared_ptr<const Generation> before;
    BoundAddresses bound;
    {
      MutexLock lock(&mutex_);
      before = generation_;
      bound = bound_;
    }
    if (before != nullptr && snapshot->revision < before->snapshot->revision &&
        snapshot->incarnation == before->snapshot->incarnation) {
      return absl::FailedPreconditionError(absl::StrCat("revision ", snapshot->revision, " is older than ",
                                                        before->snapshot->revision, ", which is in force"));
    }
    if (!snapshot->complete) {
      return absl::FailedPreconditionError("the snapshot was made without the files of this machine");
    }
    auto generation = std::make_shared<Generation>();
    generation->snapshot = snapshot;
    for (const config::Listener& listener : snapshot->listeners) {
      const Edge* previous = nullptr;
      if (before != nullptr) {
        for (const auto& edge : before->edges) {
          if (edge->listener->name == listener.name) previous = edge.get();
        }
      }
      absl::StatusOr<std::shared_ptr<Edge>> edge = Edge::Create(snapshot, listener, previous, sessions_, ticket_keys_, clock_);
      if (!edge.ok()) return edge.status();
      generation->edges.push_back(*std::move(edge));
    }
    std::vector<BoundAddresses::Sockets> sockets(workers_.size());
    GH_ASSIGN_OR_RETURN(BoundAddresses next, bound.For(snapshot->listeners, &sockets));
    GH_RETURN_IF_ERROR(AccessLogs::Use(*snapshot));
    GH_RETURN_IF_ERROR(MakeByRoute(*snapshot, before.get(), generation.get()));
    absl::StatusOr<UpstreamTlsContexts> upstream_tls =
        MakeUpstreamTls(*snapshot, before == nullptr ? nullptr : before->snapshot.get(),
                        before == nullptr ? nullptr : &before->upstream_tls, clock_);
    if (!upstream_tls.ok()) return upstream_tls.status();
    generation->upstream_tls = *std::move(upstream_tls);
    // Before anybody is judged by them: a list that is only on its way would make everybody unknown.
    const std::vector<std::string> watched = WatchedPaths(*snapshot);
    desk_->Watch(watched, WatchedAuthorities(*snapshot));
    for (const config::Scheme& scheme : snapshot->schemes) {
      generation->scheme_labels.push_back(registry_.schemes().Intern(scheme.name));
    }

    std::vector<delegate::ServiceRef> services;
    for (const config::Scheme& scheme : snapshot->schemes) {
      if (scheme.validator != nullptr) services.push_back(scheme.validator);
    }
    validators_->Use(services);
    upstreams_->Use(*snapshot, generation->upstream_tls);

    Countdown countdown(workers_.size());
    for (size_t i = 0; i < workers_.size(); ++i) {
      workers_[i]->Post([&countdown, generation, w = workers_[i].get(), s = std::move(sockets[i])]() mutable {
        w->Adopt(std::move(generation), std::move(s));
        countdown.Arrive();
      });
    }
    countdown.Wait();
    desk_->KeepWatching(watched);
    validators_->KeepOnly(services);
    MutexLock lock(&mutex_);
    generation_ = std::move(generation);
    bound_ = std::move(next);
    return absl::OkStatus();
  }

  // Of the trust stores of schemes that check revocation.
  static std::vector<std::string> WatchedPaths(const config::Snapshot& snapshot) {
    std::set<std::string> paths;
    for (const config::Scheme& scheme : snapshot.schemes) {
      if (!scheme.is_certificate()) continue;
      const certs::SchemeOptions& options = *scheme.certificate();
      if (options.revocation.mode == certs::RevocationMode::kNoCheck || options.trust_store == nullptr) continue;
      paths.insert(options.trust_store->crl_paths().begin(), options.trust_store->crl_paths().end());
    }
    return {paths.begin(), paths.end()};
  }

  // Who may have signed what is watched.
  static std::vector<certs::CertificateRef> WatchedAuthorities(const config::Snapshot& snapshot) {
    std::vector<certs::CertificateRef> authorities;
    std::set<const certs::TrustStore*> seen;
    for (const config::Scheme& scheme : snapshot.schemes) {
      if (!scheme.is_certificate()) continue;
      const certs::TrustStore* store = scheme.certificate()->trust_store.get();
      if (store == nullptr || store->crl_paths().empty() || !seen.insert(store).second) continue;
      authorities.insert(authorities.end(), store->anchors().begin(), store->anchors().end());
      authorities.insert(authorities.end(), store->intermediates().begin(), store->intermediates().end());
    }
    return authorities;
  }

  // What is made once a route: shared with the generation before when the routes are.
  absl::Status MakeByRoute(const config::Snapshot& snapshot, const Generation* before, Generation* generation) {
    if (before != nullptr && before->snapshot->routes.SharesWith(snapshot.routes)) {
      generation->fixed = before->fixed;
      generation->route_labels = before->route_labels;
      return absl::OkStatus();
    }
    auto labels = std::make_shared<std::vector<uint16_t>>();
    labels->reserve(snapshot.route_list().size());
    for (const config::Route& route : snapshot.route_list()) labels->push_back(registry_.routes().Intern(route.name));
    generation->route_labels = std::move(labels);
    auto fixed = std::make_shared<std::vector<std::shared_ptr<const http::FixedResponse>>>();
    for (const config::Route& route : snapshot.route_list()) {
      fixed->emplace_back();
      if (route.action != config::Action::kFixedResponse) continue;
      absl::StatusOr<std::shared_ptr<const http::FixedResponse>> response = WireForm(*route.fixed_response, route.response_headers.get());
      if (!response.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("routes[\"", route.name, "\"].fixed_response: ", response.status().message()));
      }
      fixed->back() = *std::move(response);
    }
    generation->fixed = std::move(fixed);
    return absl::OkStatus();
  }

  GatewayOptions options_;
  const SystemClock system_clock_;
  const Clock& clock_;
  const std::string run_;
  metrics::Registry registry_;
  Memory memory_;
  ExpiryWarner expiry_;
  SnapshotAge age_;
  const std::shared_ptr<tls::SessionCache> sessions_;
  const std::shared_ptr<tls::TicketKeys> ticket_keys_ = std::make_shared<tls::TicketKeys>();
  const std::unique_ptr<DeskLine> line_;
  std::unique_ptr<RevocationDesk> desk_;
  const std::unique_ptr<Passwords> passwords_;
  std::unique_ptr<delegate::Desk> validators_;
  AccessLogs access_logs_;
  std::atomic<uint64_t> next_connection_{0};
  std::unique_ptr<Upstreams> upstreams_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<events::Collector> collector_;

  mutable Mutex mutex_;
  CondVar ready_;
  std::deque<Order> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const Generation> generation_ ABSL_GUARDED_BY(mutex_);
  BoundAddresses bound_ ABSL_GUARDED_BY(mutex_);
  // The installer's.
  std::pair<uint64_t, absl::Status> installed_;  // the last revision, and what came of it
  absl::Time expiry_checked_ = absl::InfinitePast();
  std::thread installer_;
};

}  // namespace

config::Violation ViolationOf(const absl::Status& status) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(status.message(), absl::MaxSplits(": ", 1));
  if (absl::StrContains(parts.first, "[\"") && !parts.second.empty()) {
    return {std::string(parts.first), std::string(parts.second)};
  }
  return {"gateway", status.message().empty() ? absl::StatusCodeToString(status.code())
                                              : std::string(status.message())};
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(GatewayOptions options) {
  if (options.workers < 0 || options.workers > 256) {
    return absl::InvalidArgumentError(absl::StrCat("workers: ", options.workers, " is not in 0..256"));
  }
  RevocationDesk::Options desk_options;
  static const SystemClock system_clock;
  const Clock* desk_clock = options.clock != nullptr ? options.clock : &system_clock;
  desk_options.clock = desk_clock;
  desk_options.directory = options.revocation_cache;
  desk_options.fetcher = options.fetcher != nullptr ? std::move(options.fetcher) : std::make_unique<fetch::CurlFetcher>();
  auto line = std::make_unique<DeskLine>();
  desk_options.on_news = [line = line.get()](const RevocationNews& news) { line->News(news); };
  desk_options.on_notice = [line = line.get()](const std::string& text, bool failed) { line->Notice(text, failed); };
  GH_ASSIGN_OR_RETURN(std::unique_ptr<RevocationDesk> desk, RevocationDesk::Open(std::move(desk_options)));
  Passwords::Options password_options;
  password_options.threads = OrCores(options.hash_threads, 4);
  password_options.lockouts.clock = desk_clock;
  password_options.lockouts.file = options.lockout_file;
  password_options.lockouts.key_file = options.lockout_key_file;
  password_options.renewal = std::move(options.renewal);
  GH_ASSIGN_OR_RETURN(std::unique_ptr<Passwords> passwords, Passwords::Open(password_options));
  return std::make_unique<RunningGateway>(std::move(options), std::move(line), std::move(desk), std::move(passwords));
}

}  // namespace gatehouse::server
