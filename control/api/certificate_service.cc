#include "control/api/certificate_service.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/api/ask.h"
#include "control/events/find_event.h"
#include "gateway/base/mutex.h"
#include "gateway/base/status.h"

namespace gatehouse::api {
namespace {

// Completes `request` by what `event` says; what the caller said himself counts.
absl::Status Complete(const v1::Event& event, v1::ExplainRequest* request) {
  if (request->gateway().empty()) request->set_gateway(event.gateway());
  if (request->by_case() == v1::ExplainRequest::BY_NOT_SET) {
    if (!event.request().route().empty()) {
      request->set_route(event.request().route());
    } else if (!event.listener().empty()) {
      request->set_listener(event.listener());
    }
  }
  if (!request->chain_pem().empty()) return absl::OkStatus();
  request->set_leaf_sha256(event.certificate().sha256());
  if (request->leaf_sha256().empty() && request->by_case() == v1::ExplainRequest::BY_NOT_SET) {
    return absl::InvalidArgumentError("event: it carried no certificate, and names no route and no listener");
  }
  return absl::OkStatus();
}

// Trusted is the answers of several gateways about one trust store, put together.
class Trusted {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<v1::ListTrustResponse>)>;
  Trusted(size_t gateways, Done done) : left_(gateways), done_(std::move(done)) {}

  void Add(const std::string& gateway, absl::StatusOr<v1::Answer> answer) {
    Done done;
    absl::StatusOr<v1::ListTrustResponse> result = absl::UnknownError("");
    {
      MutexLock lock(&mutex_);
      if (answer.ok()) {
        Merge(gateway, *answer->mutable_list_trust());
      } else {
        v1::GatewayUse* failed = sum_.add_gateways();
        failed->set_gateway(gateway);
        failed->set_error(std::string(answer.status().message()));
        failure_ = answer.status();
      }
      if (--left_ != 0) return;
      result = answered_ ? absl::StatusOr<v1::ListTrustResponse>(std::move(sum_)) : failure_;
      done = std::move(done_);
    }
    done(std::move(result));
  }

 private:
  void Merge(const std::string& gateway, v1::ListTrustResponse& one) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    answered_ = true;
    v1::GatewayUse* use = sum_.add_gateways();
    if (one.gateways_size() == 1) use->Swap(one.mutable_gateways(0));
    use->set_gateway(gateway);
    use->set_revision(one.revision());
    sum_.set_revision(std::max(sum_.revision(), one.revision()));
    sum_.set_left_out(std::max(sum_.left_out(), one.left_out()));
    for (v1::TrustEntry& entry : *one.mutable_entries()) {
      const auto [known, added] = index_.try_emplace({entry.role(), entry.sha256()}, sum_.entries_size());
      if (added) {
        sum_.add_entries()->Swap(&entry);
        continue;
      }
      v1::TrustEntry& to = *sum_.mutable_entries(known->second);
      to.set_uses(to.uses() + entry.uses());
      if (entry.last_use().seconds() > to.last_use().seconds()) *to.mutable_last_use() = entry.last_use();
    }
  }

  Mutex mutex_;
  size_t left_ ABSL_GUARDED_BY(mutex_);
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  v1::ListTrustResponse sum_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<int, std::string>, int> index_ ABSL_GUARDED_BY(mutex_);
  Done done_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

grpc::ServerUnaryReactor* CertificateService::Explain(grpc::CallbackServerContext* context,
                                                      const v1::ExplainRequest* request,
                                                      v1::ExplainResponse* response) {
  using Reactor = AskReactor<v1::ExplainResponse>;
  auto* reactor = new Reactor(response);
  const std::shared_ptr<Reactor::Slot> slot = reactor->slot();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.CertificateService/Explain", request);
  if (!caller.ok()) {
    Reactor::End(*slot, caller.status());
    return reactor;
  }
  if (request->chain_pem().size() > kMaxChainBytes) {
    Reactor::End(*slot, absl::InvalidArgumentError("chain_pem: over 1 MiB"));
    return reactor;
  }
  const auto ask = [this, slot, left = TimeLeft(*context)](const v1::ExplainRequest& complete, v1::Event event) {
    v1::Question question;
    *question.mutable_explain() = complete;
    desk_.Ask(complete.gateway(), std::move(question), left,
              [slot, event = std::move(event)](const std::string& gateway, absl::StatusOr<v1::Answer> answer) mutable {
                if (!answer.ok()) return Reactor::End(*slot, answer.status());
                answer->mutable_explain()->set_gateway(gateway);
                if (event.has_cursor()) *answer->mutable_explain()->mutable_event() = std::move(event);
                Reactor::End(*slot, std::move(*answer->mutable_explain()));
              });
  };
  v1::ExplainRequest complete = *request;
  complete.clear_leaf_sha256();  // ours to set
  if (request->event().empty()) {
    ask(complete, v1::Event());
    return reactor;
  }
  executor_.Submit(*caller, [this, slot, ask, complete = std::move(complete)](const absl::StatusOr<Caller>& now) mutable {
    if (!now.ok()) return Reactor::End(*slot, now.status());
    absl::StatusOr<v1::Event> event = hub::FindEvent(hub_, complete.event());
    absl::Status status = event.ok() ? Complete(*event, &complete) : event.status();
    if (!status.ok()) return Reactor::End(*slot, status);
    ask(complete, *std::move(event));
  });
  return reactor;
}

grpc::ServerUnaryReactor* CertificateService::ListTrust(grpc::CallbackServerContext* context,
                                                        const v1::ListTrustRequest* request,
                                                        v1::ListTrustResponse* response) {
  using Reactor = AskReactor<v1::ListTrustResponse>;
  auto* reactor = new Reactor(response);
  const std::shared_ptr<Reactor::Slot> slot = reactor->slot();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.CertificateService/ListTrust", request);
  if (!caller.ok()) {
    Reactor::End(*slot, caller.status());
    return reactor;
  }
  std::set<std::string> gateways = desk_.Gateways();
  if (!request->gateway().empty()) gateways = {request->gateway()};
  if (gateways.empty()) {
    Reactor::End(*slot, absl::UnavailableError("no gateway is connected"));
    return reactor;
  }
  auto trusted = std::make_shared<Trusted>(gateways.size(), [slot](absl::StatusOr<v1::ListTrustResponse> sum) {
    Reactor::End(*slot, std::move(sum));
  });
  for (const std::string& gateway : gateways) {
    v1::Question question;
    *question.mutable_list_trust() = *request;
    desk_.Ask(gateway, std::move(question), TimeLeft(*context),
              [trusted, gateway](const std::string&, absl::StatusOr<v1::Answer> answer) {
                trusted->Add(gateway, std::move(answer));
              });
  }
  return reactor;
}

}  // namespace gatehouse::api
