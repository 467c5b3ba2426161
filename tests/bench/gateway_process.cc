#include "tests/bench/gateway_process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/config/build.h"
#include "gateway/server/gateway.h"

namespace gatehouse::bench {
namespace {

using loop::Instant;

// The new process: obeys the orders that come on `in`, says times on `out`.
class Child {
 public:
  Child(int workers, GatewayProcess::Change change) : change_(std::move(change)) {
    server::GatewayOptions gateway;
    gateway.workers = workers;
    gateway_ = *server::Gateway::Start(std::move(gateway));
    UniqueKey key = *certs::MintKey(certs::KeyType::kP256);
    certs::MintRequest server = Request(certs::Profile::kSelfSigned, "CN=localhost");
    server.server_use = true;
    server.sans = {{certs::SanKind::kDns, "localhost"}};
    v1::ServerCertificate& certificate = *set_.add_server_certificates();
    certificate.set_name("server");
    certificate.set_certificate_chain_pem(MintOrDie(server, key.get())->ToPem());
    certificate.set_private_key_pem(std::string(certs::KeyToPem(key.get())->Reveal()));
    v1::Listener& listener = *set_.add_listeners();
    listener.set_name("edge");
    listener.set_address("127.0.0.1:0");
    listener.add_server_certificates("server");
    v1::Route& route = *set_.add_routes();
    route.set_name("secure");
    route.mutable_match()->set_path("/secure");
    route.mutable_fixed_response()->set_body("ok");
  }

  GatewayProcess::Times Obey(int order) {
    change_(order, &set_);
    GatewayProcess::Times times{};
    times.begun = Instant::Now();
    std::shared_ptr<const config::Snapshot> previous = gateway_->current();
    config::BuildOptions build;
    build.revision = ++revision_;
    build.incarnation = "bench";
    build.previous = previous.get();
    config::BuildResult built = config::Build(set_, build);
    if (!built.ok()) Die(absl::StrCat(built.violations[0].path, ": ", built.violations[0].message));
    times.built = Instant::Now();
    std::promise<absl::Status> done;
    gateway_->Install(built.snapshot, [&done](absl::Status status) { done.set_value(std::move(status)); });
    absl::Status status = done.get_future().get();
    times.in_force = Instant::Now();
    if (!status.ok()) Die(status.message());
    const std::string address = gateway_->listeners().at(0).address;
    if (!absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &times.port)) Die(address);
    return times;
  }

 private:
  const GatewayProcess::Change change_;
  v1::ConfigSet set_;
  uint64_t revision_ = 0;
  std::unique_ptr<server::Gateway> gateway_;
};

}  // namespace

void Die(absl::string_view what) {
  std::fprintf(stderr, "%s\n", std::string(what).c_str());
  std::exit(1);
}

certs::MintRequest Request(certs::Profile profile, std::string subject) {
  certs::MintRequest request;
  request.profile = profile;
  request.subject = std::move(subject);
  request.not_before = absl::Now() - absl::Hours(1);
  request.not_after = absl::Now() + absl::Hours(24);
  return request;
}

certs::CertificateRef MintOrDie(const certs::MintRequest& request, EVP_PKEY* key, std::optional<certs::Signer> signer) {
  absl::StatusOr<certs::CertificateRef> certificate = certs::Mint(request, key, signer);
  if (!certificate.ok()) Die(certificate.status().message());
  return *std::move(certificate);
}

Authority NewAuthority(const std::string& subject) {
  Authority authority;
  authority.key = *certs::MintKey(certs::KeyType::kP256);
  authority.certificate = MintOrDie(Request(certs::Profile::kCa, subject), authority.key.get());
  return authority;
}

certs::CertificateRef LeafOf(const Authority& authority, const std::string& name, EVP_PKEY* key) {
  return MintOrDie(Request(certs::Profile::kLeaf, absl::StrCat("CN=", name)), key,
                   certs::Signer{authority.certificate.get(), authority.key.get()});
}

GatewayProcess::GatewayProcess(int workers, Change change) {
  int to[2], from[2];
  if (::pipe(to) != 0 || ::pipe(from) != 0) Die("pipe");
  pid_ = ::fork();
  if (pid_ < 0) Die("fork");
  if (pid_ == 0) {
    ::close(to[1]);
    ::close(from[0]);
    std::unique_ptr<Child> child;
    for (int order = 0; ::read(to[0], &order, sizeof order) == sizeof order;) {
      if (child == nullptr) child = std::make_unique<Child>(workers, change);
      const Times times = child->Obey(order);
      if (::write(from[1], &times, sizeof times) != sizeof times) break;
    }
    child.reset();
    std::_Exit(0);
  }
  ::close(to[0]);
  ::close(from[1]);
  to_ = to[1];
  from_ = from[0];
}

GatewayProcess::~GatewayProcess() {
  ::close(to_);
  ::close(from_);
  ::waitpid(pid_, nullptr, 0);
}

GatewayProcess::Times GatewayProcess::Order(int order) {
  Times times{};
  if (::write(to_, &order, sizeof order) != sizeof order || ::read(from_, &times, sizeof times) != sizeof times) {
    Die("the gateway is gone");
  }
  return times;
}

}  // namespace gatehouse::bench
