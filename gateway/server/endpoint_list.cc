#include "gateway/server/endpoint_list.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/config/suggest.h"

namespace gatehouse::server {
namespace {

constexpr size_t kMaxListed = 10'000;

v1::EndpointStatus::State StateOf(upstream::EndpointState state) {
  switch (state) {
    case upstream::EndpointState::kHealthy: return v1::EndpointStatus::HEALTHY;
    case upstream::EndpointState::kUnhealthy: return v1::EndpointStatus::UNHEALTHY;
    case upstream::EndpointState::kEjected: return v1::EndpointStatus::EJECTED;
    case upstream::EndpointState::kDraining: return v1::EndpointStatus::DRAINING;
  }
  return v1::EndpointStatus::STATE_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<v1::ListEndpointsResponse> ListEndpoints(const config::Snapshot& snapshot,
                                                        const v1::ListEndpointsRequest& request,
                                                        const upstream::Directory& directory) {
  if (!request.upstream().empty() && snapshot.FindUpstream(request.upstream()) == nullptr) {
    std::vector<absl::string_view> names;
    for (const config::Upstream& upstream : snapshot.upstreams) names.push_back(upstream.name);
    return absl::NotFoundError(absl::StrCat("upstream: there is no \"", EscapeText(request.upstream()), "\"",
                                            config::DidYouMean(request.upstream(), names)));
  }
  v1::ListEndpointsResponse response;
  for (const upstream::Directory::Listed& listed : directory.List(request.upstream())) {
    if (static_cast<size_t>(response.endpoints_size()) == kMaxListed) {
      response.set_truncated(true);
      break;
    }
    v1::EndpointStatus& out = *response.add_endpoints();
    out.set_upstream(listed.upstream);
    out.set_endpoint(listed.endpoint.configured);
    out.set_address(listed.endpoint.address);
    out.set_state(StateOf(listed.endpoint.state));
    out.set_detail(listed.endpoint.detail);
    const int64_t nanos = absl::ToUnixNanos(listed.endpoint.since);
    out.mutable_since()->set_seconds(nanos / 1'000'000'000);
    out.mutable_since()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
    out.set_active_requests(listed.endpoint.active);
    out.set_requests(listed.endpoint.requests);
    out.set_failures(listed.endpoint.failures);
    out.set_connections(listed.endpoint.connections);
  }
  return response;
}

}  // namespace gatehouse::server
