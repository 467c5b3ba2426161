#include "gateway/server/explain.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/authn/decision.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/validator.h"
#include "gateway/config/suggest.h"
#include "gateway/identity/claims.h"
#include "gateway/server/explain_access.h"
#include "gateway/server/explain_asks.h"
#include "gateway/server/explain_delegated.h"
#include "gateway/server/live_judge.h"
#include "gateway/server/trust_list.h"
#include "gateway/tls/server_context.h"

namespace gatehouse::server {
namespace {

constexpr int kMaxOpens = 100;
constexpr int kMaxAsks = 100;

// A proto string must be UTF-8; what a certificate holds need not be.
std::string Utf8(absl::string_view text) { return IsValidUtf8(text) ? std::string(text) : EscapeText(text); }

v1::Reason ToProto(Reason reason) { return static_cast<v1::Reason>(reason); }

void ExplainScheme(const config::Scheme& scheme, const std::vector<certs::CertificateRef>& chain, absl::Time at,
                   RevocationDesk* revocation, bool offline, v1::SchemeVerdict* out) {
  certs::Trace trace;
  const certs::Verdict verdict = JudgeLive(chain, *scheme.certificate(), at, revocation, offline, &trace);
  out->set_scheme(scheme.name);
  out->set_accepted(verdict.outcome == certs::Outcome::kValid);
  out->set_reason(ToProto(verdict.reason));
  out->set_pinned(verdict.pinned);
  out->set_any_self_signed(verdict.any_self_signed);
  if (scheme.certificate()->trust_store != nullptr) out->set_trust_store(scheme.certificate()->trust_store->name());
  for (const certs::TracePath& path : trace.paths) {
    v1::CandidatePath* to = out->add_candidates();
    to->set_candidate(path.candidate);
    for (const certs::CertificateRef& certificate : path.certificates) to->add_subjects(Utf8(certificate->subject()));
  }
  for (const certs::TraceStep& step : trace.steps) {
    v1::ExplainStep* to = out->add_steps();
    to->set_candidate(step.candidate);
    to->set_step(step.step);
    to->set_ok(step.ok);
    to->set_reason(ToProto(step.reason));
    to->set_certificate(Utf8(step.certificate));
    to->set_detail(Utf8(step.detail));
  }
  if (!out->accepted()) return;
  for (const identity::Claim& claim : identity::CertificateClaims(*verdict.leaf, scheme.claims, verdict.by_key)) {
    v1::ExplainedClaim* to = out->add_claims();
    to->set_type(claim.type);
    to->set_value(Utf8(claim.value));
    to->set_issuer(Utf8(claim.issuer));
  }
  for (const certs::CertificateRef& certificate : verdict.path) out->add_path(Utf8(certificate->subject()));
}

// NOT_FOUND, with the nearest of what there is.
template <typename Named>
absl::Status NoSuch(absl::string_view field, const std::string& name, const std::vector<Named>& all) {
  std::vector<absl::string_view> names;
  names.reserve(all.size());
  for (const Named& one : all) names.push_back(one.name);
  return absl::NotFoundError(
      absl::StrCat(field, ": there is no \"", EscapeText(name), "\"", config::DidYouMean(name, names)));
}

// Which certificate schemes to ask, by what the request names; other schemes of a route are only mentioned.
absl::StatusOr<std::vector<uint32_t>> Asked(const config::Snapshot& snapshot, const v1::ExplainRequest& request,
                                            const ExplainSources& sources, v1::ExplainResponse* response) {
  std::vector<uint32_t> asked;
  switch (request.by_case()) {
    case v1::ExplainRequest::kScheme: {
      const config::Scheme* scheme = snapshot.FindScheme(request.scheme());
      if (scheme == nullptr) return NoSuch("scheme", request.scheme(), snapshot.schemes);
      if (scheme->validator != nullptr) {
        DescribeDelegated(*scheme, sources.validators, response->add_delegated());
        return asked;
      }
      if (!scheme->is_certificate()) {
        return absl::InvalidArgumentError(absl::StrCat("scheme: \"", scheme->name, "\" is no certificate scheme"));
      }
      asked.push_back(scheme->index);
      return asked;
    }
    case v1::ExplainRequest::kRoute: {
      const config::Route* route = snapshot.FindRoute(request.route());
      if (route == nullptr) return NoSuch("route", request.route(), snapshot.route_list());
      for (uint32_t index : route->requirement.schemes) {
        const config::Scheme& scheme = snapshot.scheme(index);
        if (scheme.is_certificate()) {
          asked.push_back(index);
        } else {
          response->add_other_schemes(scheme.name);
          if (scheme.validator != nullptr) DescribeDelegated(scheme, sources.validators, response->add_delegated());
        }
      }
      return asked;
    }
    case v1::ExplainRequest::kListener: {
      const config::Listener* listener = snapshot.FindListener(request.listener());
      if (listener == nullptr) return NoSuch("listener", request.listener(), snapshot.listeners);
      for (const config::Name& name : listener->names) {
        asked.insert(asked.end(), name.certificate_schemes.begin(), name.certificate_schemes.end());
      }
      std::sort(asked.begin(), asked.end());
      asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
      return asked;
    }
    case v1::ExplainRequest::BY_NOT_SET:
      break;
  }
  for (const config::Scheme& scheme : snapshot.schemes) {
    if (scheme.is_certificate()) asked.push_back(scheme.index);
  }
  return asked;
}

// What is judged: what the request brings, or what a client presented lately. Empty: nothing.
absl::StatusOr<std::vector<certs::CertificateRef>> ChainOf(const v1::ExplainRequest& request,
                                                           const ExplainSources& sources) {
  if (!request.leaf_sha256().empty()) {
    absl::StatusOr<certs::Pin> leaf = certs::ParsePinDigest(certs::Pin::Kind::kCertificate, request.leaf_sha256());
    if (!leaf.ok()) return absl::InvalidArgumentError(absl::StrCat("leaf_sha256: ", leaf.status().message()));
    std::vector<certs::CertificateRef> chain;
    if (sources.presented != nullptr) chain = sources.presented->Find(leaf->digest);
    if (!chain.empty()) return chain;
    return absl::NotFoundError(absl::StrCat("the chain of the certificate with SHA-256 ", HexLower(AsView(leaf->digest)),
                                            " is not known to this gateway (any more): it keeps what was presented to it lately. "
                                            "Ask with the chain itself"));
  }
  if (request.chain_pem().empty()) return std::vector<certs::CertificateRef>();
  absl::StatusOr<std::vector<certs::CertificateRef>> chain = certs::Certificate::ListFromPem(request.chain_pem());
  if (!chain.ok()) return absl::InvalidArgumentError(absl::StrCat("chain_pem: ", chain.status().message()));
  size_t octets = 4;  // RFC 8446 section 4.4.2: of the list, and of each entry, with its extensions
  for (const certs::CertificateRef& certificate : *chain) octets += certificate->der().size() + 5;
  if (octets > size_t{tls::kMaxPresentedBytes}) {
    return absl::InvalidArgumentError(absl::StrCat("chain_pem: whoever presents these ", octets,
                                                   " octets is refused in the handshake: ", tls::kMaxPresentedBytes, " are read"));
  }
  return chain;
}

void FillAsks(const config::Snapshot& snapshot, const v1::ExplainRequest& request,
              const std::vector<certs::CertificateRef>& chain, v1::ExplainResponse* response) {
  if (request.by_case() == v1::ExplainRequest::kListener) {
    AppendAsks(snapshot, *snapshot.FindListener(request.listener()), {}, chain, kMaxAsks, response->mutable_asks());
  } else if (request.by_case() == v1::ExplainRequest::kRoute) {
    const config::Route& route = *snapshot.FindRoute(request.route());
    for (uint32_t index : route.listeners) {
      AppendAsks(snapshot, snapshot.listeners[index], route.hosts, chain, kMaxAsks, response->mutable_asks());
    }
  }
}

// A user is asked about together with its store and a route.
absl::Status CheckUser(const config::Snapshot& snapshot, const v1::ExplainRequest& request) {
  if (request.user().empty() && request.user_store().empty()) return absl::OkStatus();
  if (request.user().empty()) return absl::InvalidArgumentError("user: is required with user_store");
  if (request.user_store().empty()) return absl::InvalidArgumentError("user_store: is required with user");
  if (request.by_case() != v1::ExplainRequest::kRoute) return absl::InvalidArgumentError("route: is required with user");
  std::vector<absl::string_view> stores;
  for (const config::Scheme& scheme : snapshot.schemes) {
    if (scheme.validator != nullptr) continue;
    if (scheme.user_store_name == request.user_store()) return absl::OkStatus();
    if (!scheme.user_store_name.empty()) stores.push_back(scheme.user_store_name);
  }
  return absl::NotFoundError(absl::StrCat("user_store: no scheme in force uses \"", EscapeText(request.user_store()), "\"",
                                          config::DidYouMean(request.user_store(), stores)));
}

}  // namespace

absl::StatusOr<v1::ExplainResponse> Explain(const config::Snapshot& snapshot, const v1::ExplainRequest& request,
                                            absl::Time now, const ExplainSources& sources) {
  GH_ASSIGN_OR_RETURN(const std::vector<certs::CertificateRef> chain, ChainOf(request, sources));
  const bool asks = request.by_case() == v1::ExplainRequest::kRoute || request.by_case() == v1::ExplainRequest::kListener;
  const config::Scheme* named = snapshot.FindScheme(request.scheme());
  if (chain.empty() && !asks && (named == nullptr || named->validator == nullptr)) {
    return absl::InvalidArgumentError("chain_pem: is required, unless a route or a listener is asked about");
  }
  GH_RETURN_IF_ERROR(CheckUser(snapshot, request));
  std::vector<uint8_t> address;
  if (!request.address().empty()) {
    absl::StatusOr<std::vector<uint8_t>> parsed = identity::ParseAddress(request.address());
    if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat("address: ", parsed.status().message()));
    address = *std::move(parsed);
  }
  const absl::Time at = request.has_at() ? absl::FromUnixSeconds(request.at().seconds()) : now;

  v1::ExplainResponse response;
  response.set_revision(snapshot.revision);
  GH_ASSIGN_OR_RETURN(std::vector<uint32_t> asked, Asked(snapshot, request, sources, &response));
  FillAsks(snapshot, request, chain, &response);
  const Credentials credentials{chain, request.user_store(), request.user()};
  if (chain.empty() && request.user().empty()) return response;

  if (!chain.empty()) Describe(*chain.front(), response.mutable_certificate());
  for (const certs::CertificateRef& certificate : chain) Describe(*certificate, response.add_presented());
  for (uint32_t index : asked) {
    if (chain.empty()) break;
    ExplainScheme(snapshot.scheme(index), chain, at, sources.revocation, request.offline(), response.add_verdicts());
  }
  const authn::RequestFacts facts{address, at};
  if (request.by_case() == v1::ExplainRequest::kRoute) {
    FillAccess(snapshot, *snapshot.FindRoute(request.route()), credentials, facts, sources.revocation,
               response.mutable_access());
  }
  // What had to be asked was asked above.
  Presented presented(snapshot, credentials, at, sources.revocation);
  for (const config::Route& route : snapshot.route_list()) {
    if (response.opens_size() >= kMaxOpens) break;
    if (route.anonymous()) continue;
    if (authn::Decide(route.requirement, presented, facts).kind == authn::Decision::Kind::kAllow) {
      response.add_opens(route.name);
    }
  }
  return response;
}

}  // namespace gatehouse::server
