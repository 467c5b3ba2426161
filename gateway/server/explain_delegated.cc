#include "gateway/server/explain_delegated.h"

#include "gatehouse/v1/scheme.pb.h"

namespace gatehouse::server {
namespace {

void Set(absl::Duration duration, google::protobuf::Duration* out) {
  absl::Duration rest;
  out->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

}  // namespace

void DescribeDelegated(const config::Scheme& scheme, const delegate::Desk* desk, v1::DelegatedScheme* out) {
  const delegate::Service& service = *scheme.validator;
  out->set_scheme(scheme.name);
  std::vector<delegate::Desk::EndpointState> known;
  if (desk != nullptr) known = desk->Endpoints(service);
  for (size_t i = 0; i < service.endpoints.size(); ++i) {
    v1::DelegatedScheme::Endpoint* to = out->add_endpoints();
    to->set_endpoint(service.endpoints[i]);
    to->set_asked(i < known.size() && known[i].asked);
    to->set_state(i < known.size() ? known[i].text : "not in use");
  }
  out->set_transport(service.plaintext                       ? "none: loopback or Unix socket only"
                     : service.certificate_chain_pem.empty() ? "TLS"
                                                             : "mutual TLS");
  Set(service.deadline, out->mutable_deadline());
  Set(service.max_lifetime, out->mutable_max_lifetime());
  for (int fact = v1::ValidatorService::Fact_MIN; fact <= v1::ValidatorService::CERTIFICATE; ++fact) {
    if (fact != v1::ValidatorService::FACT_UNSPECIFIED && service.sent.Has(static_cast<delegate::Fact>(fact))) {
      out->add_sent(v1::ValidatorService::Fact_Name(static_cast<v1::ValidatorService::Fact>(fact)));
    }
  }
}

}  // namespace gatehouse::server
