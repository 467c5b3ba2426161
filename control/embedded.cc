#include "control/embedded.h"

#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/events/slots.h"
#include "gateway/base/steady.h"
#include "gateway/server/load_meter.h"
#include "gateway/server/questions.h"
#include "gateway/server/ticket_keys.h"

namespace gatehouse {
namespace {

constexpr absl::Duration kLoadPeriod = absl::Seconds(5);

v1::Violation ToProto(const config::Violation& v) {
  v1::Violation violation;
  violation.set_path(v.path);
  violation.set_message(v.message);
  return violation;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedGateway>> EmbeddedGateway::Start(const Options& options, ControlPlane& plane,
                                                                        const Clock& clock) {
  server::GatewayOptions gateway_options;
  gateway_options.name = options.gateway_name;
  gateway_options.version = GATEHOUSE_VERSION;
  gateway_options.workers = options.workers;
  gateway_options.revocation_cache = options.revocation_cache;
  gateway_options.lockout_file = options.state_dir + "/lockouts.sealed";
  gateway_options.lockout_key_file = options.state_dir + "/lockouts.key";
  gateway_options.clock = &clock;
  auto validators = std::make_unique<delegate::GrpcClients>();
  gateway_options.validators = validators->factory();
  // The other end of the gateway's event lane: from its slots straight into the hub's ring, in wire form.
  gateway_options.events = [name = options.gateway_name, &hub = plane.hub()](events::Batch batch) {
    hub::PublishSlots(batch, name, &hub);
  };
  gateway_options.events_kept = [&hub = plane.hub()] { return hub.KeepsEvents(); };
  gateway_options.renewal = [actor = absl::StrCat("gateway:", options.gateway_name),
                             &renewals = plane.renewals()](credentials::RenewalOffer offer) {
    return renewals
        .Offer(actor, std::move(offer.user_store), std::move(offer.user), std::move(offer.password))
        .ok();
  };
  absl::StatusOr<std::unique_ptr<server::Gateway>> gateway = server::Gateway::Start(std::move(gateway_options));
  if (!gateway.ok()) return gateway.status();
  std::unique_ptr<EmbeddedGateway> embedded(new EmbeddedGateway(plane, std::move(validators), *std::move(gateway), clock));
  EmbeddedGateway* self = embedded.get();
  absl::StatusOr<std::unique_ptr<publish::LocalGateway>> line = publish::LocalGateway::Connect(
      plane.distributor(), plane.desk(), options.gateway_name, GATEHOUSE_VERSION,
      [self](const std::shared_ptr<const publish::Published>& published, publish::LocalGateway::Taken done) {
        self->Take(published, std::make_shared<publish::LocalGateway::Taken>(std::move(done)), /*again=*/false);
      },
      [self, &clock](const v1::Question& question) {
        return server::Answer(*self->gateway_, question, clock.Now());
      },
      [self, &clock] { self->gateway_->ConfirmNewest(clock.Now()); });
  if (!line.ok()) return line.status();
  embedded->line_ = *std::move(line);
  embedded->key_line_ = plane.ticket_keys().Add([self](const v1::TicketKeys& message) {
    absl::StatusOr<std::vector<tls::TicketKey>> keys = server::TicketKeysOf(message);
    if (keys.ok()) self->gateway_->SetTicketKeys(*keys);
  });
  embedded->loads_ = std::thread([self] { self->ReportLoad(); });
  return embedded;
}

EmbeddedGateway::~EmbeddedGateway() {
  {
    MutexLock lock(&loads_mutex_);
    stopping_ = true;
    loads_changed_.SignalAll();
  }
  if (loads_.joinable()) loads_.join();
  key_line_ = nullptr;  // first: what they call uses the gateway
  line_ = nullptr;
}

void EmbeddedGateway::ReportLoad() {
  server::LoadMeter meter(*gateway_);
  for (;;) {
    {
      const SteadyTime until = SteadyAfter(kLoadPeriod);
      MutexLock lock(&loads_mutex_);
      while (!stopping_ && SteadyNow() < until) loads_changed_.WaitFor(&loads_mutex_, Until(until));
      if (stopping_) return;
    }
    line_->Report(meter.Measure());
  }
}

void EmbeddedGateway::Take(const std::shared_ptr<const publish::Published>& published, const Taken& done, bool again) {
  MutexLock lock(&mutex_);
  if (published->revision < newest_) return;
  newest_ = published->revision;
  config::BuildResult built = plane_.compiler().Find(published->revision, published->resources);
  // What the control plane compiled does for the gateway, unless it names files of the gateway's machine.
  if (built.ok() && !built.snapshot->complete) {
    built = renewal_.Build(published->resources, published->revision, published->incarnation);
  }
  std::vector<v1::Violation> violations;
  for (const config::Violation& v : renewal_.Install(built, published->resources)) violations.push_back(ToProto(v));
  const bool refused = !violations.empty();
  if (!refused || !again) (*done)(std::move(violations));
  if (refused) renewal_.Await(published->resources, [this, published, done] { Take(published, done, /*again=*/true); });
}

std::vector<std::string> EmbeddedGateway::AwaitFirstRevision(absl::Duration timeout) {
  auto promise = std::make_shared<std::promise<v1::ForceStatus>>();
  std::future<v1::ForceStatus> future = promise->get_future();
  plane_.distributor().WaitInForce(plane_.distributor().revision(), timeout,
                                   [promise](v1::ForceStatus status) { promise->set_value(std::move(status)); });
  const v1::ForceStatus status = future.get();
  return {status.lagging().begin(), status.lagging().end()};
}

}  // namespace gatehouse
