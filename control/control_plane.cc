#include "control/control_plane.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"
#include "control/api/access_service.h"
#include "control/api/bindings.h"
#include "control/api/call_executor.h"
#include "control/api/certificate_service.h"
#include "control/api/changes.h"
#include "control/api/config_service.h"
#include "control/api/event_service.h"
#include "control/api/gateway_service.h"
#include "control/api/ledger.h"
#include "control/api/lockout_service.h"
#include "control/api/policy_service.h"
#include "control/api/server.h"
#include "control/api/snapshot_service.h"
#include "control/api/status_service.h"
#include "control/api/upstream_service.h"
#include "control/api/user_service.h"
#include "control/events/archive.h"
#include "control/metrics.h"
#include "control/publish/alarms.h"
#include "control/store/sqlite_store.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/certificate.h"
#include "gateway/events/json_log.h"

namespace gatehouse {
namespace {

constexpr int kWriters = 4;
constexpr absl::Duration kLongestCall = absl::Minutes(10);  // of calls that are no streams from us
constexpr absl::Duration kSweep = absl::Seconds(5);
constexpr size_t kMaxQueuedCalls = 256;

void Log(const v1::Event& event) {
  const std::string text = EscapeText(event.detail());
  if (event.outcome() == v1::Event::REFUSED) {
    spdlog::warn("{}{}{}: {}", event.gateway(), event.actor(), event.actor().empty() ? "" : " refused", text);
  } else {
    spdlog::info("{}{}: {}", event.gateway(), event.actor(), text);
  }
}

absl::StatusOr<api::ControlServerOptions> ServerOptions(const Options& options) {
  api::ControlServerOptions server;
  server.socket = options.socket;
  server.listen = options.listen;
  server.tls = {options.tls_cert, options.tls_key, options.client_ca};
  server.insecure_loopback = options.insecure_loopback;
  server.socket_group = options.socket_group;
  server.limits.octets_at_once = options.max_caller_memory;
  server.limits.octets_per_minute = options.max_caller_minute;
  server.max_request_octets = options.max_request_memory;
  for (const std::string& san : options.allow_san) {
    GH_ASSIGN_OR_RETURN(api::AllowedName name, api::ParseAllowedName(san));
    server.allowed_names.push_back(std::move(name));
  }
  for (const std::string& san : options.owner_san) {
    GH_ASSIGN_OR_RETURN(api::AllowedName name, api::ParseAllowedName(san, api::kOwnerRoles));
    server.allowed_names.push_back(std::move(name));
  }
  return server;
}

}  // namespace

// In order of dependence: what is below uses what is above, and is destroyed before it.
struct ControlPlane::Parts {
  Parts(const Options& options, api::ControlServerOptions server_options_, api::ControlServer::Access access_,
        std::unique_ptr<store::Store> store_, std::shared_ptr<api::GatewayRegistry> registry_,
        std::unique_ptr<events::JsonLog> event_log_, const Clock& clock)
      : server_options(std::move(server_options_)),
        access(std::move(access_)),
        store(std::move(store_)),
        registry(std::move(registry_)),
        event_log(std::move(event_log_)),
        ledger(*store, clock, [this](v1::Event event) { Tell(std::move(event)); }),
        hub(clock, {}, Sinks(options, clock)),
        distributor(store->incarnation(), clock, alarms, [this](v1::Event event) { Tell(std::move(event)); }),
        desk(alarms),
        ticket_keys(options.session_ticket_period, clock, alarms),
        compiler(distributor, store->incarnation(), clock),
        changes(*store, [this](const config::ResourceMap& resources, uint64_t revision) { return compiler.Check(resources, revision); },
                compiler, clock),
        renewals(changes, ledger),
        executor(kWriters, kMaxQueuedCalls),
        config(changes, executor, access.guard, ledger),
        users(changes, renewals, executor, access.guard, ledger, clock),
        snapshots(distributor, desk, ticket_keys, access.guard),
        gateways(*registry, distributor, executor, clock, access.guard, ledger,
                 {[this] { return Anchor(); }, [this] { WithoutGateway(); }}),
        events(hub, executor, access.guard),
        certificates(desk, hub, executor, access.guard),
        policies(changes, executor, clock, access.guard),
        lockouts(desk, executor, access.guard, ledger),
        upstreams(desk, options.gateway_name, access.guard),
        status({GATEHOUSE_VERSION, store->incarnation(), clock.Now()}, distributor, hub, alarms, access.guard),
        rights(*store, executor, access.guard, ledger) {
    access.callers->SetRefused([this](const api::Caller& who, absl::string_view method, const absl::Status& why) {
      ledger.Refused(who, method, why);
    });
    api::BindingRules rules;
    rules.owned_elsewhere =
        !server_options.socket.empty() ||
        std::any_of(server_options.allowed_names.begin(), server_options.allowed_names.end(),
                    [](const api::AllowedName& name) { return (name.roles & api::RoleBit(v1::OWNER)) != 0; });
    rules.changed = [callers = access.callers](std::vector<v1::Binding> bindings) {
      callers->SetBindings(std::move(bindings));
    };
    changes.SetBindingRules(std::move(rules));
    SweepCalls();
  }
  // A call may end for its caller while a gateway's answer to it is passed on by an alarm, and that, or its work, still uses
  // services: nothing of it runs any more when the first of them is destroyed. Alarms first, for they give work to the executor.
  ~Parts() {
    server.reset();
    alarms.Stop();
    executor.Stop();
    // The callers may have somebody refused yet, by a late handshake.
    access.callers->SetRefused(nullptr);
  }

  // A server that nobody can tell anything is a mistake of its flags.
  absl::Status CheckSomebodyMayCall() {
    if (!server_options.socket.empty() || !server_options.insecure_loopback.empty() || !server_options.allowed_names.empty()) {
      return absl::OkStatus();
    }
    for (const v1::Binding& binding : api::BindingsOf(*changes.Current())) {
      if (api::MakesOwner(binding)) return absl::OkStatus();
    }
    return absl::FailedPreconditionError(
        "--listen: nobody may call: name the first owner with --owner-san; once a Binding makes an owner, the flag can go");
  }

  // A gateway, or its certificates, may not come any more. Its stream ends first: it must not be given the new keys.
  void WithoutGateway() {
    access.callers->Rejudge();
    ticket_keys.Replace();
  }

  // Ends calls that stay too long, and streams whose certificate has expired.
  void SweepCalls() {
    access.callers->Sweep(std::chrono::steady_clock::now(), kLongestCall);
    alarms.After(kSweep, [this] { SweepCalls(); });
  }

  // By what a gateway that joins knows this control plane.
  absl::StatusOr<Sha256Digest> Anchor() const {
    if (server_options.listen.empty()) {
      return absl::FailedPreconditionError("gateways join over TLS: the control plane needs --listen");
    }
    std::ifstream file(server_options.tls.certificate, std::ios::binary);
    std::ostringstream pem;
    pem << file.rdbuf();
    GH_ASSIGN_OR_RETURN(auto chain, certs::Certificate::ListFromPem(pem.str()));
    return chain.back()->sha256();
  }

  void Tell(v1::Event event) {
    Log(event);
    hub.PublishOne(std::move(event));
  }

  // The store has the directory locked: nobody else opens the archive.
  hub::HubSinks Sinks(const Options& options, const Clock& clock) {
    hub::HubSinks sinks;
    if (options.event_archive_size != 0) {
      hub::ArchiveOptions archive;
      archive.path = absl::StrCat(options.state_dir, "/events.db");
      archive.max_bytes = options.event_archive_size;
      archive.max_age = options.event_archive_age;
      archive.notice = [this](std::string text) {
        v1::Event event;
        event.set_type(v1::Event::GATEWAY);
        event.set_outcome(v1::Event::NOTICE);
        event.set_detail(std::move(text));
        Tell(std::move(event));
      };
      sinks.archive = hub::Archive::Open(std::move(archive), clock);
    }
    if (event_log != nullptr) {
      sinks.tap = [log = event_log.get()](const hub::BatchRef& batch) {
        log->Add(std::shared_ptr<const std::string>(batch, &batch->wire), batch->ends.size());
      };
    }
    return sinks;
  }

  const api::ControlServerOptions server_options;
  const api::ControlServer::Access access;
  const std::unique_ptr<store::Store> store;
  const std::shared_ptr<api::GatewayRegistry> registry;  // shared with the callers, whom a late handshake may still ask
  publish::Alarms alarms;
  const std::unique_ptr<events::JsonLog> event_log;  // may be null
  api::Ledger ledger;
  hub::Hub hub;
  publish::Distributor distributor;
  publish::QuestionDesk desk;
  publish::TicketKeyRing ticket_keys;
  Compiler compiler;
  api::Changes changes;
  api::HashRenewals renewals;
  api::CallExecutor executor;
  api::ConfigService config;
  api::UserService users;
  api::SnapshotService snapshots;
  api::GatewayService gateways;
  api::EventService events;
  api::CertificateService certificates;
  api::PolicyService policies;
  api::LockoutService lockouts;
  api::UpstreamService upstreams;
  api::StatusService status;
  api::AccessService rights;
  std::unique_ptr<api::ControlServer> server;
};

ControlPlane::ControlPlane() = default;
ControlPlane::~ControlPlane() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<ControlPlane>> ControlPlane::Open(const Options& options, const Clock& clock) {
  GH_ASSIGN_OR_RETURN(api::ControlServerOptions server, ServerOptions(options));
  GH_RETURN_IF_ERROR(api::ControlServer::Prepare(server).status());  // before anything is made
  store::SqliteOptions sqlite;
  sqlite.path = absl::StrCat(options.state_dir, "/gatehouse.db");
  sqlite.key_file = options.secret_key_file;
  sqlite.key = Secret(options.secret_key.Reveal());
  sqlite.new_key = Secret(options.new_secret_key.Reveal());
  GH_ASSIGN_OR_RETURN(std::unique_ptr<store::Store> store, store::SqliteStore::Open(std::move(sqlite)));
  GH_ASSIGN_OR_RETURN(Secret gateways_key, store->KeyFor("gateways"));
  GH_ASSIGN_OR_RETURN(std::shared_ptr<api::GatewayRegistry> registry,
                      api::GatewayRegistry::Open(options.state_dir, std::move(gateways_key), clock));
  if (!server.listen.empty()) server.gateway_authority = registry->authority();
  GH_ASSIGN_OR_RETURN(api::ControlServer::Access access, api::ControlServer::Prepare(server));
  access.callers->SetGatewayCheck([gateways = registry](const std::string& name, const std::string& chain) {
    return gateways->Check(name, chain);
  });
  std::unique_ptr<events::JsonLog> event_log;
  if (!options.event_log.empty()) {
    events::JsonLogOptions log;
    log.path = options.event_log;
    log.trouble = [](std::string text) {
      if (text.empty()) {
        spdlog::info("--event-log: it takes events again");
      } else {
        spdlog::error("--event-log: {}; lines are lost and counted", text);
      }
    };
    auto opened = events::JsonLog::Open(std::move(log), clock);
    if (!opened.ok()) return absl::Status(opened.status().code(), absl::StrCat("--event-log: ", opened.status().message()));
    event_log = *std::move(opened);
  }
  std::unique_ptr<ControlPlane> plane(new ControlPlane());
  plane->parts_ = std::make_unique<Parts>(options, std::move(server), std::move(access), std::move(store), std::move(registry),
                                          std::move(event_log), clock);
  GH_RETURN_IF_ERROR(plane->parts_->changes.Start());
  GH_RETURN_IF_ERROR(plane->parts_->CheckSomebodyMayCall());
  return plane;
}

absl::Status ControlPlane::Serve() {
  Parts& p = *parts_;
  GH_ASSIGN_OR_RETURN(p.server,
                      api::ControlServer::Start(p.server_options, p.access,
                                                {&p.config, &p.users, &p.snapshots, &p.gateways, &p.events, &p.certificates,
                                                 &p.policies, &p.lockouts, &p.upstreams, &p.status, &p.rights}));
  return absl::OkStatus();
}

void ControlPlane::ReloadTls() {
  absl::StatusOr<std::string> taken = parts_->server->ReloadTls();
  if (!taken.ok()) {
    spdlog::error("control API: its TLS files changed and are not taken, what was read before stays: {}",
                  std::string(taken.status().message()));
  } else if (!taken->empty()) {
    spdlog::info("control API: new connections are served with {}", *taken);
  }
}

void ControlPlane::Shutdown(absl::Duration grace) {
  if (parts_ != nullptr && parts_->server != nullptr) parts_->server->Shutdown(grace);
}

std::string ControlPlane::MetricsText() const { return ControlMetrics(GATEHOUSE_VERSION, parts_->distributor, parts_->hub, parts_->event_log.get()); }

std::vector<std::string> ControlPlane::addresses() const {
  return parts_->server == nullptr ? std::vector<std::string>() : parts_->server->addresses();
}
publish::Distributor& ControlPlane::distributor() { return parts_->distributor; }
publish::QuestionDesk& ControlPlane::desk() { return parts_->desk; }
publish::TicketKeyRing& ControlPlane::ticket_keys() { return parts_->ticket_keys; }
hub::Hub& ControlPlane::hub() { return parts_->hub; }
Compiler& ControlPlane::compiler() { return parts_->compiler; }
api::HashRenewals& ControlPlane::renewals() { return parts_->renewals; }

}  // namespace gatehouse
