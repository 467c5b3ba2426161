// Services that decide credentials for Basic schemes.
#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "gateway/base/escape.h"
#include "gateway/certs/server_credential.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

constexpr int kMaxEndpoints = 8;
constexpr size_t kMaxPem = 1 << 20;
constexpr size_t kMaxSocketPath = 107;  // sockaddr_un

struct Place {
  bool local = false;   // what is sent there does not leave the machine
  bool socket = false;
  std::string problem;  // empty: none
};

Place PlaceOf(absl::string_view endpoint) {
  Place place;
  if (absl::StartsWith(endpoint, "unix:")) {
    const absl::string_view path = endpoint.substr(5);
    place.local = place.socket = true;
    if (path.size() < 2 || path.size() > kMaxSocketPath || path.front() != '/' || path.back() == '/' ||
        !std::all_of(path.begin(), path.end(), [](unsigned char c) { return absl::ascii_isgraph(c) && c != '%'; })) {
      place.problem = absl::StrCat("must be unix: and an absolute path of at most ", kMaxSocketPath, " plain characters");
    }
    return place;
  }
  absl::StatusOr<Endpoint> literal = ParseEndpoint(endpoint, false);
  if (literal.ok()) {
    const std::string& ip = literal->ip;
    place.local = ip.size() == 4 ? ip[0] == 127 : ip == std::string(15, '\0') + '\1';
    return place;
  }
  if (!IsHostAndPort(endpoint)) {
    place.problem = "must be host:port, [v6]:port or unix:/path";
  }
  return place;
}

void ReadEndpoints(Draft& draft, const std::string& path, const v1::ValidatorService& v, delegate::Service* out) {
  if (v.endpoints().empty() || v.endpoints_size() > kMaxEndpoints) {
    draft.Violate(path + ".endpoints", "must be 1 to ", kMaxEndpoints);
  }
  absl::flat_hash_set<absl::string_view> seen;
  for (int i = 0; i < std::min(v.endpoints_size(), kMaxEndpoints); ++i) {
    const std::string here = absl::StrCat(path, ".endpoints[", i, "]");
    const std::string shown = EscapeText(absl::string_view(v.endpoints(i)).substr(0, 120));
    const Place place = PlaceOf(v.endpoints(i));
    if (!place.problem.empty()) {
      draft.Violate(here, "\"", shown, "\" ", place.problem);
    } else if (!seen.insert(v.endpoints(i)).second) {
      draft.Violate(here, "\"", shown, "\" is there twice");
    } else if (v.allow_plaintext() && !place.local) {
      draft.Violate(here, "\"", shown,
                    "\" is no Unix socket and no loopback address (127.0.0.0/8, [::1]): passwords would cross a network "
                    "in plaintext; give tls instead of allow_plaintext");
    } else if (v.allow_plaintext() && !place.socket) {
      draft.Warn(here, "\"", shown, "\" is asked in plaintext: any local process that takes the port gets the passwords");
    }
    out->endpoints.push_back(v.endpoints(i));
  }
}

void ReadTls(Draft& draft, const std::string& path, const v1::ValidatorService& v, delegate::Service* out) {
  out->plaintext = v.allow_plaintext();
  if (!v.has_tls()) {
    if (!v.allow_plaintext()) {
      draft.Violate(path + ".tls", "is required: passwords are sent there. A service on the same machine may do with "
                                   "allow_plaintext");
    }
    return;
  }
  if (v.allow_plaintext()) draft.Violate(path + ".allow_plaintext", "excludes tls");
  const v1::ValidatorService::Tls& tls = v.tls();
  const auto fits = [&](const std::string& pem, absl::string_view field) {
    if (pem.size() > kMaxPem) draft.Violate(absl::StrCat(path, ".tls.", field), "is more than ", kMaxPem >> 20, " MiB");
    return pem.size() <= kMaxPem;
  };
  if (tls.ca_pem().empty()) {
    draft.Violate(path + ".tls.ca_pem", "is required");
  } else if (fits(tls.ca_pem(), "ca_pem")) {
    auto authorities = certs::Certificate::ListFromPem(tls.ca_pem());
    if (!authorities.ok()) draft.Violate(path + ".tls.ca_pem", authorities.status().message());
  }
  const bool chain = !tls.certificate_chain_pem().empty(), key = !tls.private_key_pem().empty();
  if (chain != key) {
    draft.Violate(absl::StrCat(path, ".tls.", chain ? "private_key_pem" : "certificate_chain_pem"),
                  "is required: certificate and key go together");
  } else if (chain && fits(tls.certificate_chain_pem(), "certificate_chain_pem") &&
             fits(tls.private_key_pem(), "private_key_pem")) {
    auto credential = certs::ServerCredential::FromPem("", tls.certificate_chain_pem(), tls.private_key_pem());
    if (!credential.ok()) {
      absl::string_view cause = credential.status().message();
      absl::ConsumePrefix(&cause, "server certificate \"\": ");
      draft.Violate(path + ".tls", cause);
    }
  }
  if (!tls.server_name().empty() && !IsHostName(tls.server_name())) {
    draft.Violate(path + ".tls.server_name", "must be a host name");
  }
  out->ca_pem = tls.ca_pem();
  out->certificate_chain_pem = tls.certificate_chain_pem();
  out->private_key_pem = Secret(absl::string_view(tls.private_key_pem()));
  out->server_name = tls.server_name();
}

delegate::FactSet ReadFacts(Draft& draft, const std::string& path, const v1::ValidatorService& v) {
  using delegate::Fact;
  delegate::FactSet sent;
  if (v.send().empty()) {
    for (Fact fact : {Fact::kHost, Fact::kClientAddress, Fact::kListener, Fact::kRoute, Fact::kRequestId, Fact::kCertificate}) {
      sent.Add(fact);
    }
    return sent;
  }
  for (int i = 0; i < v.send_size(); ++i) {
    const auto fact = v.send(i);
    const std::string here = absl::StrCat(path, ".send[", i, "]");
    if (fact == v1::ValidatorService::NOTHING) {
      if (v.send_size() > 1) draft.Violate(here, "NOTHING stands alone");
    } else if (fact == v1::ValidatorService::FACT_UNSPECIFIED || !v1::ValidatorService::Fact_IsValid(fact)) {
      draft.Violate(here, "unknown value ", static_cast<int>(fact));
    } else if (sent.Has(static_cast<Fact>(fact))) {
      draft.Violate(here, v1::ValidatorService::Fact_Name(fact), " is there twice");
    } else {
      sent.Add(static_cast<Fact>(fact));
    }
  }
  return sent;
}

}  // namespace

delegate::ServiceRef BuildValidator(Draft& draft, const v1::Scheme& scheme) {
  const std::string path = absl::StrCat(PathOf("schemes", scheme.name()), ".basic.validator");
  const v1::ValidatorService& v = scheme.basic().validator();
  auto out = std::make_shared<delegate::Service>();
  out->scheme = scheme.name();
  ReadEndpoints(draft, path, v, out.get());
  ReadTls(draft, path, v, out.get());
  out->deadline = ReadDuration(draft, v.has_deadline(), v.deadline(), path + ".deadline",
                               {out->deadline, absl::Milliseconds(50), absl::Seconds(30)});
  out->max_concurrent_calls = static_cast<uint32_t>(
      ReadNumber(draft, v.max_concurrent_calls(), path + ".max_concurrent_calls", out->max_concurrent_calls, 1, 4096));
  out->breaker_failures = static_cast<uint32_t>(ReadNumber(
      draft, v.circuit_breaker().failures(), path + ".circuit_breaker.failures", out->breaker_failures, 1, 1000));
  out->breaker_open_for =
      ReadDuration(draft, v.circuit_breaker().has_open_for(), v.circuit_breaker().open_for(),
                   path + ".circuit_breaker.open_for",
                   {out->breaker_open_for, absl::Milliseconds(100), absl::Minutes(10)});
  out->max_lifetime = ReadDuration(draft, v.has_max_lifetime(), v.max_lifetime(), path + ".max_lifetime",
                                   {out->max_lifetime, absl::Seconds(1), absl::Hours(24)});
  out->sent = ReadFacts(draft, path, v);
  out->version = delegate::VersionOf(*out);
  return out;
}

}  // namespace gatehouse::config
