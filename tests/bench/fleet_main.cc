// bench_fleet measures what many routes and many gateways cost, in one process with a real control plane: its API on a Unix socket,
// its store on disk.
//
//   apply     a set of --routes routes, until it is stored and in force on the gateway in the process
//   change    one trust store among them, from the call until it is in force: on the gateway in the process, and on one
//             that follows through gRPC and saves it on disk; and how large the change is on the wire
//   fleet     the same until --gateways subscribers have answered; they hold nothing, so that the memory is the control plane's
//   match     one route found among them, as a worker does
#include <grpcpp/create_channel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/lib/client.h"
#include "control/control_plane.h"
#include "control/embedded.h"
#include "gateway/config/build.h"
#include "gateway/remote/subscriber.h"
#include "gatehouse/v1/snapshot_service.grpc.pb.h"
#include "tests/bench/gateway_process.h"

namespace gatehouse::bench {
namespace {

struct Sizes {
  int routes = 100'000;
  int gateways = 100;
  int changes = 200;
};

double ResidentMiB() {
  std::ifstream statm("/proc/self/statm");
  double total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096 / (1 << 20);
}

void Say(const std::string& what, std::vector<double> milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double part) { return milliseconds[static_cast<size_t>(part * static_cast<double>(milliseconds.size() - 1))]; };
  std::printf("%-28s p50 %8.2f ms   p99 %8.2f ms   max %8.2f ms\n", what.c_str(), at(0.5), at(0.99), milliseconds.back());
  std::fflush(stdout);
}

// Eight trust stores, of which one changes; routes that look like those of many tenants.
class Configuration {
 public:
  explicit Configuration(int routes) : routes_(routes) {
    for (int i = 0; i < 10; ++i) authorities_.push_back(NewAuthority(absl::StrCat("CN=Authority ", i)));
    UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
    certs::MintRequest request = Request(certs::Profile::kSelfSigned, "CN=localhost");
    request.server_use = true;
    request.sans = {{certs::SanKind::kDns, "localhost"}};
    v1::ServerCertificate& certificate = *set_.add_server_certificates();
    certificate.set_name("server");
    certificate.set_certificate_chain_pem(MintOrDie(request, key.get())->ToPem());
    certificate.set_private_key_pem(std::string(certs::KeyToPem(key.get())->Reveal()));
    v1::Listener& listener = *set_.add_listeners();
    listener.set_name("edge");
    listener.set_address("127.0.0.1:0");
    listener.add_server_certificates("server");
    for (size_t i = 0; i < 8; ++i) {
      v1::TrustStore& store = *set_.add_trust_stores();
      store.set_name(absl::StrCat("t", i));
      store.add_anchors()->set_pem(authorities_[i].certificate->ToPem());
      v1::Scheme& scheme = *set_.add_schemes();
      scheme.set_name(absl::StrCat("Certificate", i));
      scheme.mutable_client_certificate()->set_trust_store(store.name());
    }
    for (int i = 0; i < routes; ++i) {
      v1::Route& route = *set_.add_routes();
      route.set_name(absl::StrCat("route-", i));
      route.mutable_match()->add_hosts(Host(i));
      route.mutable_match()->set_path(Path(i));
      route.mutable_require()->add_any_of(absl::StrCat("Certificate", i % 8));
      route.mutable_fixed_response()->set_body("ok");
    }
  }
  static std::string Host(int i) { return absl::StrCat("tenant-", i / 10, ".example"); }
  static std::string Path(int i) { return absl::StrCat("/service/", i % 10, "/resource"); }

  const v1::ConfigSet& set() const { return set_; }
  int routes() const { return routes_; }
  // The trust store that changes, as it is in turn `n`.
  v1::Resource Changed(int n) const {
    v1::Resource resource;
    *resource.mutable_trust_store() = set_.trust_stores(5);
    resource.mutable_trust_store()->add_anchors()->set_pem(authorities_[static_cast<size_t>(8 + n % 2)].certificate->ToPem());
    return resource;
  }

 private:
  const int routes_;
  std::vector<Authority> authorities_;
  v1::ConfigSet set_;
};

// One that follows and says yes to everything.
class Follower {
 public:
  Follower(const std::string& address, std::string name)
      : stub_(v1::SnapshotService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        name_(std::move(name)),
        thread_([this] { Run(); }) {}
  ~Follower() {
    context_.TryCancel();
    thread_.join();
  }
  bool follows() const { return follows_; }
  size_t delta_bytes() const { return delta_bytes_; }

 private:
  void Run() {
    context_.set_wait_for_ready(true);
    auto stream = stub_->Subscribe(&context_);
    v1::SubscribeRequest request;
    request.mutable_hello()->set_gateway(name_);
    stream->Write(request);
    v1::SubscribeResponse response;
    while (stream->Read(&response)) {
      if (response.has_delta()) {
        delta_bytes_ = response.ByteSizeLong();
        request.mutable_ack()->set_revision(response.delta().to_revision());
      } else if (response.has_chunk() && response.chunk().last()) {
        request.mutable_ack()->set_revision(response.chunk().revision());
      } else {
        continue;
      }
      stream->Write(request);
      follows_ = true;
    }
    stream->Finish();
  }

  const std::unique_ptr<v1::SnapshotService::Stub> stub_;
  const std::string name_;
  grpc::ClientContext context_;
  std::atomic<bool> follows_{false};
  std::atomic<size_t> delta_bytes_{0};
  std::thread thread_;
};

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status().message());
  return *std::move(value);
}

class Fleet {
 public:
  explicit Fleet(Sizes sizes) : sizes_(sizes), configuration_(sizes.routes) {
    char name[] = "/tmp/gatehouse-fleet-XXXXXX";
    folder_ = mkdtemp(name);
    options_.state_dir = folder_;
    options_.socket = folder_ / "run/control.sock";
    options_.workers = 1;
  }
  ~Fleet() {
    client_ = nullptr;
    plane_->Shutdown(absl::Seconds(1));
    plane_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  void Run() {
    plane_ = OrDie(ControlPlane::Open(options_, clock_));
    if (absl::Status status = plane_->Serve(); !status.ok()) Die(status.message());
    client::Target target = OrDie(client::ParseTarget(absl::StrCat("unix:", options_.socket), {}, false));
    client::ClientOptions client_options;
    client_options.call_timeout = absl::Minutes(2);
    client_ = OrDie(client::Client::Connect(target, client_options));
    {
      std::unique_ptr<EmbeddedGateway> embedded = OrDie(EmbeddedGateway::Start(options_, *plane_, clock_));
      Apply();
      Change("change, embedded", 1);
    }
    {
      remote::SnapshotFile file = OrDie(remote::SnapshotFile::Open(folder_ / "gateway"));
      server::GatewayOptions gateway_options;
      gateway_options.workers = 1;
      std::unique_ptr<server::Gateway> gateway = OrDie(server::Gateway::Start(std::move(gateway_options)));
      remote::Subscriber::Options follow;
      follow.gateway = "remote";
      follow.targets = {target};
      follow.clock = &clock_;
      remote::Subscriber subscriber(follow, gateway.get(), &file);
      subscriber.Start();
      if (!subscriber.WaitInStep(absl::Minutes(1))) Die("the remote gateway does not follow");
      Change("change, remote", 1);
      subscriber.Stop();
    }
    const double before = ResidentMiB();
    std::vector<std::unique_ptr<Follower>> followers;
    for (int i = 0; i < sizes_.gateways; ++i) {
      followers.push_back(std::make_unique<Follower>(absl::StrCat("unix:", options_.socket), absl::StrCat("g", i)));
    }
    for (const auto& follower : followers) {
      while (!follower->follows()) absl::SleepFor(absl::Milliseconds(1));
    }
    Change(absl::StrCat("change, ", sizes_.gateways, " gateways"), sizes_.gateways);
    std::printf("%-28s %zu octets on the wire\n", "change", followers.front()->delta_bytes());
    std::printf("%-28s %.0f MiB, of which %.1f for %d gateways\n", "memory", ResidentMiB(), ResidentMiB() - before,
                sizes_.gateways);
    followers.clear();
    Match();
  }

 private:
  void Apply() {
    client::ApplyOptions options;
    options.change.wait_timeout = absl::Minutes(1);
    const absl::Time begun = absl::Now();
    const v1::ApplyResponse applied = OrDie(client_->Apply(configuration_.set(), {}, options));
    if (applied.force().in_force() != 1) Die("the gateway did not take it");
    std::printf("%-28s %.2f s, %.0f MiB resident\n", absl::StrCat("apply of ", configuration_.routes(), " routes").c_str(),
                absl::ToDoubleSeconds(absl::Now() - begun), ResidentMiB());
    std::fflush(stdout);
  }

  void Change(const std::string& what, int gateways) {
    std::vector<double> times;
    for (int i = 0; i < sizes_.changes; ++i) {
      const v1::Resource resource = configuration_.Changed(turn_++);
      const absl::Time begun = absl::Now();
      const v1::ChangeResponse response = OrDie(client_->Update(resource, {}));
      if (response.force().in_force() != static_cast<uint32_t>(gateways)) Die(what + ": not in force everywhere");
      times.push_back(absl::ToDoubleMilliseconds(absl::Now() - begun));
    }
    Say(what, std::move(times));
  }

  void Match() {
    const config::BuildResult built = config::Build(config::ResourceMap(configuration_.set()));
    if (!built.ok()) Die(built.violations[0].message);
    std::mt19937 random(1);
    struct Asked {
      std::string host, path;
    };
    std::vector<Asked> asked;
    for (int i = 0; i < 4096; ++i) {
      const int route = static_cast<int>(random() % static_cast<unsigned>(configuration_.routes()));
      asked.push_back({Configuration::Host(route), Configuration::Path(route)});
    }
    constexpr int kRounds = 100;
    size_t found = 0;
    const absl::Time begun = absl::Now();
    for (int round = 0; round < kRounds; ++round) {
      for (const Asked& a : asked) {
        found += built.snapshot->routes.Match(built.snapshot->listeners[0].index, a.host, a.path, "GET").route != nullptr;
      }
    }
    const double each = absl::ToDoubleNanoseconds(absl::Now() - begun) / (kRounds * 4096.0);
    if (found != asked.size() * kRounds) Die("a route was not found");
    std::printf("%-28s %.0f ns\n", "match", each);
  }

  const Sizes sizes_;
  const Configuration configuration_;
  const SystemClock clock_;
  std::filesystem::path folder_;
  Options options_;
  std::unique_ptr<ControlPlane> plane_;
  std::unique_ptr<client::Client> client_;
  int turn_ = 0;
};

}  // namespace
}  // namespace gatehouse::bench

int main(int argc, char** argv) {
  gatehouse::bench::Sizes sizes;
  CLI::App app("What many routes and many gateways cost the control plane.", "bench_fleet");
  app.add_option("--routes", sizes.routes, "Routes")->capture_default_str()->check(CLI::Range(10, 1'000'000));
  app.add_option("--gateways", sizes.gateways, "Subscribers")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--changes", sizes.changes, "Changes each time")->capture_default_str()->check(CLI::Range(2, 100'000));
  CLI11_PARSE(app, argc, argv);
  gatehouse::bench::Fleet(sizes).Run();
  return 0;
}
