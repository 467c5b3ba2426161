// Upstreams: where they are, how endpoints are chosen, and what happens when they fail.
#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "gateway/base/escape.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

constexpr int kMaxEndpoints = 256;
constexpr size_t kMaxPath = 1024;
constexpr size_t kMaxHost = 260;
constexpr int kMaxStatuses = 100;
constexpr size_t kMaxService = 256;

void ReadEndpoints(Draft& draft, const std::string& path, const v1::Upstream& upstream, Upstream* out) {
  if (upstream.endpoints().empty() || upstream.endpoints_size() > kMaxEndpoints) {
    draft.Violate(path + ".endpoints", "must be 1 to ", kMaxEndpoints, " of ip:port, [v6]:port or name:port");
  }
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < std::min(upstream.endpoints_size(), kMaxEndpoints); ++i) {
    const std::string& endpoint = upstream.endpoints(i);
    const std::string here = absl::StrCat(path, ".endpoints[", i, "]");
    const std::string shown = EscapeText(absl::string_view(endpoint).substr(0, 300));
    const absl::StatusOr<Endpoint> literal = ParseEndpoint(endpoint, false);
    if (!literal.ok() && !IsHostAndPort(endpoint)) {
      draft.Violate(here, "\"", shown, "\" must be ip:port, [v6]:port or name:port, the port 1 to 65535");
    } else if (literal.ok() && std::all_of(literal->ip.begin(), literal->ip.end(), [](char c) { return c == 0; })) {
      draft.Violate(here, "\"", shown, "\" is the unspecified address, which is nobody's");
    } else if (!seen.insert(absl::AsciiStrToLower(endpoint)).second) {
      draft.Violate(here, "\"", shown, "\" is there twice");
    }
    out->endpoints.push_back(endpoint);
  }
}

bool IsAbsolutePath(absl::string_view text) {
  return !text.empty() && text.front() == '/' && text.size() <= kMaxPath &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isgraph(c) && c != '#'; });
}

bool IsHostField(absl::string_view text) {
  return text.size() <= kMaxHost && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
         });
}

HealthCheck ReadHealthCheck(Draft& draft, const std::string& path, const v1::Upstream& upstream) {
  const v1::HealthCheck& check = upstream.health_check();
  HealthCheck out;
  out.interval = ReadDuration(draft, check.has_interval(), check.interval(), path + ".interval",
                              {out.interval, absl::Milliseconds(100), absl::Hours(24)});
  out.timeout = ReadDuration(draft, check.has_timeout(), check.timeout(), path + ".timeout",
                             {out.timeout, absl::Milliseconds(1), absl::Minutes(10)});
  out.healthy_after = static_cast<uint32_t>(
      ReadNumber(draft, check.healthy_after(), path + ".healthy_after", out.healthy_after, 1, 1000));
  out.unhealthy_after = static_cast<uint32_t>(
      ReadNumber(draft, check.unhealthy_after(), path + ".unhealthy_after", out.unhealthy_after, 1, 1000));
  out.host = check.host();
  if (!IsHostField(out.host)) {
    draft.Violate(path + ".host", "must be a host name or address, with or without a port, of at most ", kMaxHost, " bytes");
  }
  if (check.has_grpc_service()) {
    out.grpc_service = check.grpc_service();
    if (upstream.protocol() != v1::Upstream::HTTP_2) {
      draft.Violate(path + ".grpc_service", "needs protocol HTTP_2: gRPC is spoken over nothing else");
    }
    if (!check.path().empty()) draft.Violate(path + ".path", "excludes grpc_service: give one of them");
    if (!check.statuses().empty()) draft.Violate(path + ".statuses", "excludes grpc_service, which has its own answers");
    if (out.grpc_service->size() > kMaxService ||
        !std::all_of(out.grpc_service->begin(), out.grpc_service->end(),
                     [](unsigned char c) { return absl::ascii_isgraph(c); })) {
      draft.Violate(path + ".grpc_service", "must be at most ", kMaxService, " visible ASCII characters");
    }
    return out;
  }
  if (!check.path().empty()) out.path = check.path();
  if (!IsAbsolutePath(out.path)) {
    draft.Violate(path + ".path", "must begin with '/' and hold only visible ASCII characters, at most ", kMaxPath,
                  ", without '#'");
  }
  if (check.statuses_size() > kMaxStatuses) draft.Violate(path + ".statuses", "at most ", kMaxStatuses);
  for (int i = 0; i < std::min(check.statuses_size(), kMaxStatuses); ++i) {
    if (check.statuses(i) < 200 || check.statuses(i) > 599) {
      draft.Violate(absl::StrCat(path, ".statuses[", i, "]"), check.statuses(i), " is out of range: 200 to 599");
    } else {
      out.statuses.push_back(static_cast<uint16_t>(check.statuses(i)));
    }
  }
  return out;
}

void ReadEjection(Draft& draft, const std::string& path, const v1::Ejection& ejection, Upstream* out) {
  out->eject_after = static_cast<uint32_t>(ReadNumber(draft, ejection.consecutive_failures(),
                                                      path + ".consecutive_failures", out->eject_after, 1, 100'000));
  out->eject_for = ReadDuration(draft, ejection.has_rest(), ejection.rest(), path + ".rest",
                                {out->eject_for, absl::Milliseconds(100), absl::Hours(24)});
  out->eject_percent = static_cast<uint32_t>(
      ReadNumber(draft, ejection.max_percent(), path + ".max_percent", out->eject_percent, 1, 100));
  if (!ejection.off()) return;
  out->eject_after = 0;
  if (ejection.consecutive_failures() != 0 || ejection.has_rest() || ejection.max_percent() != 0) {
    draft.Violate(path + ".off", "excludes the other fields: an endpoint that is never ejected needs none of them");
  }
}

void ReadRetries(Draft& draft, const std::string& path, const v1::Retries& retries, Upstream* out) {
  out->attempts = static_cast<uint32_t>(ReadNumber(draft, retries.attempts(), path + ".attempts", out->attempts, 1, 10));
  out->retry_idempotent = retries.idempotent();
  out->retry_budget_percent = static_cast<uint32_t>(
      ReadNumber(draft, retries.budget_percent(), path + ".budget_percent", out->retry_budget_percent, 1, 100));
}

bool ReadLeastRequest(Draft& draft, const std::string& path, v1::Upstream::Balance balance) {
  switch (balance) {
    case v1::Upstream::BALANCE_UNSPECIFIED:
    case v1::Upstream::ROUND_ROBIN: return false;
    case v1::Upstream::LEAST_REQUEST: return true;
    default: break;
  }
  draft.Violate(path, static_cast<int>(balance), " is no balance: ROUND_ROBIN or LEAST_REQUEST");
  return false;
}

Forwarded ReadForwarded(Draft& draft, const std::string& path, v1::Upstream::ForwardedFields fields) {
  switch (fields) {
    case v1::Upstream::FORWARDED_FIELDS_UNSPECIFIED:
    case v1::Upstream::X_FORWARDED: return Forwarded::kXForwarded;
    case v1::Upstream::FORWARDED: return Forwarded::kForwarded;
    case v1::Upstream::X_FORWARDED_AND_FORWARDED: return Forwarded::kBoth;
    case v1::Upstream::NO_FORWARDED: return Forwarded::kNone;
    default: draft.Violate(path, "unknown value ", static_cast<int>(fields));
  }
  return Forwarded::kXForwarded;
}

}  // namespace

void BuildUpstreams(Draft& draft) {
  for (const v1::Upstream* upstream : draft.upstreams) {
    const std::string path = PathOf("upstreams", upstream->name());
    Upstream& out = draft.snapshot->upstreams.emplace_back();
    out.name = upstream->name();
    out.index = static_cast<uint32_t>(draft.snapshot->upstreams.size() - 1);
    ReadEndpoints(draft, path, *upstream, &out);
    const auto timeout = [&](bool present, const google::protobuf::Duration& value, absl::string_view field,
                             absl::Duration fallback) {
      return ReadDuration(draft, present, value, absl::StrCat(path, ".", field),
                          {fallback, absl::Milliseconds(1), absl::Hours(24)});
    };
    out.connect_timeout = timeout(upstream->has_connect_timeout(), upstream->connect_timeout(), "connect_timeout",
                                  out.connect_timeout);
    out.response_timeout = timeout(upstream->has_response_timeout(), upstream->response_timeout(),
                                   "response_timeout", out.response_timeout);
    out.idle_timeout =
        timeout(upstream->has_idle_timeout(), upstream->idle_timeout(), "idle_timeout", out.idle_timeout);
    out.dns_refresh = ReadDuration(draft, upstream->has_dns_refresh(), upstream->dns_refresh(), path + ".dns_refresh",
                                   {out.dns_refresh, absl::Seconds(1), absl::Hours(24)});
    out.max_connections = static_cast<uint32_t>(
        ReadNumber(draft, upstream->max_connections(), path + ".max_connections", out.max_connections, 1, 65'536));
    out.max_pending = static_cast<uint32_t>(
        ReadNumber(draft, upstream->max_pending(), path + ".max_pending", out.max_pending, 1, 1'000'000));
    out.max_requests = upstream->max_requests();
    out.forwarded = ReadForwarded(draft, path + ".forwarded", upstream->forwarded());
    out.http2 = upstream->protocol() == v1::Upstream::HTTP_2;
    if (!v1::Upstream::Protocol_IsValid(upstream->protocol())) {
      draft.Violate(path + ".protocol", static_cast<int>(upstream->protocol()), " is no protocol");
    }
    out.tls = BuildUpstreamTls(draft, *upstream);
    out.least_request = ReadLeastRequest(draft, path + ".balance", upstream->balance());
    ReadEjection(draft, path + ".ejection", upstream->ejection(), &out);
    ReadRetries(draft, path + ".retries", upstream->retries(), &out);
    if (upstream->has_health_check()) {
      out.health_check = ReadHealthCheck(draft, path + ".health_check", *upstream);
    }
  }
}

}  // namespace gatehouse::config
