// Routes: what they ask for, what answers them, and the table that finds them.
#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "gateway/authn/challenge.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

constexpr int kMaxHosts = 100;
constexpr int kMaxMethods = 32;
constexpr size_t kMaxBody = 64 * 1024;
constexpr size_t kMaxMessage = 4096;
// So many warnings of one kind are printed one by one.
constexpr size_t kMaxWarnings = 20;

bool IsText(absl::string_view text) {
  return IsValidUtf8(text) && absl::c_none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void ReadMatch(Draft& draft, const std::string& path, const v1::Route& v, Route* route) {
  if (!v.has_match()) {
    draft.Violate(path + ".match", "is required");
    return;
  }
  const v1::RouteMatch& match = v.match();
  if (match.hosts_size() > kMaxHosts) draft.Violate(path + ".match.hosts", "are over ", kMaxHosts);
  for (int i = 0; i < match.hosts_size(); ++i) {
    const std::string here = absl::StrCat(path, ".match.hosts[", i, "]");
    absl::StatusOr<HostPattern> host = HostPattern::Parse(match.hosts(i));
    if (!host.ok()) {
      draft.Violate(here, host.status().message());
    } else if (absl::c_linear_search(route->hosts, *host)) {
      draft.Violate(here, "\"", match.hosts(i), "\" is there twice");
    } else {
      route->hosts.push_back(*std::move(host));
    }
  }
  absl::StatusOr<PathPattern> pattern = PathPattern::Parse(match.path());
  if (pattern.ok()) {
    route->path = *std::move(pattern);
    if (absl::StrContains(match.path(), '*')) {
      draft.Warn(path + ".match.path", "\"", match.path(),
                 "\": * stands for itself only; a last segment {rest...} stands for all that follows");
    }
  } else {
    draft.Violate(path + ".match.path", pattern.status().message());
  }
  if (match.methods_size() > kMaxMethods) draft.Violate(path + ".match.methods", "are over ", kMaxMethods);
  for (int i = 0; i < match.methods_size(); ++i) {
    const std::string& method = match.methods(i);
    const std::string here = absl::StrCat(path, ".match.methods[", i, "]");
    if (method.empty() || method.size() > 32 ||
        !absl::c_all_of(method, [](unsigned char c) { return absl::ascii_isupper(c) || c == '-' || c == '_'; })) {
      draft.Violate(here, "\"", EscapeText(method), "\" is no upper-case method");
    } else if (method == "CONNECT" || method == "TRACE") {
      draft.Violate(here, method, " is never served");
    } else if (absl::c_linear_search(route->methods, method)) {
      draft.Violate(here, "\"", method, "\" is there twice");
    } else {
      route->methods.push_back(method);
    }
  }
}

void ReadListeners(Draft& draft, const std::string& path, const v1::Route& v, Route* route) {
  if (v.listeners().empty()) {
    for (uint32_t i = 0; i < draft.listeners.size(); ++i) {
      if (!draft.listeners[i]->has_redirect_only()) route->listeners.push_back(i);
    }
    return;
  }
  for (int i = 0; i < v.listeners_size(); ++i) {
    const std::string here = absl::StrCat(path, ".listeners[", i, "]");
    const uint32_t* index = draft.listener_names.Find(v.listeners(i));
    if (index == nullptr) {
      draft.Violate(here, draft.listener_names.Missing("listener", v.listeners(i)));
    } else if (absl::c_linear_search(route->listeners, *index)) {
      draft.Violate(here, "\"", v.listeners(i), "\" is there twice");
    } else if (draft.listeners[*index]->has_redirect_only()) {
      draft.Violate(here, "\"", v.listeners(i), "\" only redirects: no route is reachable through it");
    } else {
      route->listeners.push_back(*index);
    }
  }
  absl::c_sort(route->listeners);
}

void ReadSchemeList(Draft& draft, const std::string& path, const google::protobuf::RepeatedPtrField<std::string>& names,
                    std::vector<uint32_t>* out) {
  for (int i = 0; i < names.size(); ++i) {
    const std::string here = absl::StrCat(path, "[", i, "]");
    const uint32_t* index = draft.scheme_names.Find(names[i]);
    if (index == nullptr) {
      draft.Violate(here, draft.scheme_names.Missing("scheme", names[i]));
    } else if (absl::c_linear_search(*out, *index)) {
      draft.Violate(here, "\"", names[i], "\" is there twice");
    } else {
      out->push_back(*index);
    }
  }
}

// A clause must not be met by a claim that another scheme of the route issued than the one its author had in mind.
void CheckClauses(Draft& draft, const std::string& path, const identity::Policy& policy, const Route& route,
                  absl::flat_hash_set<const identity::Policy*>* checked) {
  if (!checked->insert(&policy).second) return;
  const std::vector<Scheme>& schemes = draft.snapshot->schemes;
  const auto uses = [&](const std::string& scheme) {
    return absl::c_any_of(route.requirement.schemes, [&](uint32_t i) { return schemes[i].name == scheme; });
  };
  for (const identity::ClaimTest& claim : policy.claims()) {
    const identity::ClaimClause& clause = claim.clause();
    if (!clause.scheme.empty()) {
      if (!uses(clause.scheme)) {
        draft.Warn(path, "policy \"", policy.name(), "\" asks for a claim of scheme \"", clause.scheme,
                   "\", which this route does not use: no caller has one");
      }
      continue;
    }
    if (!clause.issuer.empty()) continue;
    std::vector<std::string> issuers;
    for (uint32_t index : route.requirement.schemes) {
      const identity::PartKind kind =
          schemes[index].is_certificate() ? identity::PartKind::kCertificate : identity::PartKind::kBasic;
      if (identity::CanIssue(kind, clause.type)) issuers.push_back(schemes[index].name);
    }
    if (issuers.size() < 2) continue;
    draft.Violate(path, "several schemes of this route (", absl::StrJoin(issuers, ", "), ") can issue the claim \"",
                  EscapeText(clause.type), "\" that policy \"", policy.name(),
                  "\" asks for; name the scheme or issuer in the policy's clause");
  }
  for (const identity::CertificateClause& clause : policy.certificates()) {
    const bool accepts = clause.scheme.empty() ? absl::c_any_of(route.requirement.schemes,
                                                                [&](uint32_t i) { return schemes[i].is_certificate(); })
                                               : uses(clause.scheme);
    if (!accepts) {
      draft.Warn(path, "policy \"", policy.name(), "\" asks for a certificate, and no scheme of this route accepts one",
                 clause.scheme.empty() ? "" : absl::StrCat(" as \"", clause.scheme, "\" does"));
    }
  }
  for (const identity::PolicyRef& reference : policy.references()) CheckClauses(draft, path, *reference, route, checked);
}

void ReadRequirement(Draft& draft, const std::string& path, const v1::Route& v, Route* route) {
  if (v.anonymous()) {
    if (v.has_require()) draft.Violate(path, "has both `anonymous: true` and `require`; exactly one is given");
    route->requirement.mode = authn::Mode::kAnonymous;
    return;
  }
  if (!v.has_require()) {
    draft.Violate(path, "has neither `require` nor `anonymous: true`: say who may come in");
    return;
  }
  const v1::Requirement& require = v.require();
  const std::string here = path + ".require";
  const int given = (require.any_of().empty() ? 0 : 1) + (require.all_of().empty() ? 0 : 1) + (require.any_scheme() ? 1 : 0);
  if (given == 0) {
    draft.Violate(here, "is empty; exactly one of any_of, all_of and any_scheme is given, with at least one scheme");
  } else if (given > 1) {
    draft.Violate(here, "exactly one of any_of, all_of and any_scheme is given");
  }
  std::vector<uint32_t>& schemes = route->requirement.schemes;
  if (!require.any_of().empty()) {
    route->requirement.mode = authn::Mode::kAnyOf;
    ReadSchemeList(draft, here + ".any_of", require.any_of(), &schemes);
  }
  if (!require.all_of().empty()) {
    route->requirement.mode = authn::Mode::kAllOf;
    ReadSchemeList(draft, here + ".all_of", require.all_of(), &schemes);
  }
  if (require.any_scheme()) {
    route->requirement.mode = authn::Mode::kAnyScheme;
    for (const Scheme& scheme : draft.snapshot->schemes) {
      if (scheme.in_any_scheme) schemes.push_back(scheme.index);
    }
    if (schemes.empty()) draft.Violate(here + ".any_scheme", "there is no scheme with in_any_scheme: nobody could come in");
  }
  for (uint32_t index : schemes) {
    const Scheme& scheme = draft.snapshot->schemes[index];
    route->challenges.push_back(
        scheme.is_certificate()
            ? authn::Challenge(identity::PartKind::kCertificate, scheme.name)
            : authn::Challenge(identity::PartKind::kBasic, scheme.basic() == nullptr ? "" : scheme.basic()->realm));
  }
  absl::flat_hash_set<absl::string_view> seen;
  for (int i = 0; i < require.policies_size(); ++i) {
    const std::string where = absl::StrCat(here, ".policies[", i, "]");
    const std::string& name = require.policies(i);
    if (draft.policy_names.Find(name) == nullptr) {
      draft.Violate(where, draft.policy_names.Missing("policy", name));
    } else if (!seen.insert(name).second) {
      draft.Violate(where, "\"", name, "\" is there twice");
    } else if (auto it = draft.parts->policies.find(name); it != draft.parts->policies.end()) {
      absl::flat_hash_set<const identity::Policy*> checked;
      CheckClauses(draft, where, *it->second, *route, &checked);
      route->requirement.policies.push_back(it->second);
    }
  }
}

void ReadFixedResponse(Draft& draft, const std::string& path, const v1::FixedResponse& v, Route* route) {
  auto response = std::make_shared<FixedResponse>();
  response->status = static_cast<int>(ReadNumber(draft, v.status(), path + ".status", 200, 200, 599));
  response->content_type = v.content_type().empty() ? "text/plain; charset=utf-8" : v.content_type();
  response->body = v.body();
  if (!absl::c_all_of(response->content_type, [](unsigned char c) { return c >= 0x20 && c < 0x7f; }) ||
      response->content_type.size() > 256) {
    draft.Violate(path + ".content_type", "must be visible ASCII, at most 256 bytes");
  }
  if (response->body.size() > kMaxBody) draft.Violate(path + ".body", "is over ", kMaxBody, " bytes");
  if (!response->body.empty() && (response->status == 204 || response->status == 205 || response->status == 304)) {
    draft.Violate(path + ".body", "a response with status ", response->status, " has no body");
  }
  route->action = Action::kFixedResponse;
  route->fixed_response = std::move(response);
}

void ReadInjector(Draft& draft, const std::string& path, const v1::IdentityHeaders& v, Route* route) {
  identity::InjectorOptions options;
  options.xfcc = v.xfcc();
  options.client_cert = v.rfc9440();
  options.client_cert_chain = v.rfc9440_chain();
  options.xfcc_fields.cert = v.xfcc_cert();
  options.xfcc_fields.chain = v.xfcc_chain();
  if (!v.xfcc()) {
    if (v.xfcc_cert()) draft.Violate(path + ".xfcc_cert", "adds to X-Forwarded-Client-Cert: only with `xfcc`");
    if (v.xfcc_chain()) draft.Violate(path + ".xfcc_chain", "adds to X-Forwarded-Client-Cert: only with `xfcc`");
  }
  switch (v.claim_encoding()) {
    case v1::IdentityHeaders::ENCODING_UNSPECIFIED: break;
    case v1::IdentityHeaders::PERCENT: options.claim_encoding = identity::ClaimEncoding::kPercent; break;
    case v1::IdentityHeaders::BASE64: options.claim_encoding = identity::ClaimEncoding::kBase64; break;
    default: draft.Violate(path + ".claim_encoding", "unknown value ", static_cast<int>(v.claim_encoding()));
  }
  if (v.claim_encoding() != v1::IdentityHeaders::ENCODING_UNSPECIFIED && v.claims().empty()) {
    draft.Violate(path + ".claim_encoding", "is for `claims`, and there are none");
  }
  if (v.max_value_bytes() != 0) options.max_value_bytes = v.max_value_bytes();
  for (const auto& [header, type] : v.claims()) {
    if (type.empty()) draft.Violate(absl::StrCat(path, ".", PathOf("claims", header)), "needs a claim type");
    options.claims.push_back({header, type, ""});
  }
  absl::c_sort(options.claims, [](const auto& a, const auto& b) { return a.header < b.header; });
  std::vector<identity::HeaderError> errors;
  route->injector = identity::Injector::Create(std::move(options), &errors);
  for (const identity::HeaderError& error : errors) {
    draft.Violate(absl::StrCat(path, error.path.empty() ? "" : ".", error.path), error.message);
  }
}

void ReadAction(Draft& draft, const std::string& path, const v1::Route& v, Route* route) {
  switch (v.action_case()) {
    case v1::Route::kFixedResponse:
      ReadFixedResponse(draft, path + ".fixed_response", v.fixed_response(), route);
      break;
    case v1::Route::kIdentityResponse:
      route->action = Action::kIdentityResponse;
      route->identity_message = v.identity_response().message();
      if (!IsText(route->identity_message) || route->identity_message.size() > kMaxMessage) {
        draft.Violate(path + ".identity_response.message", "must be UTF-8 without control characters, at most ",
                      kMaxMessage, " bytes");
      }
      break;
    case v1::Route::kUpstream:
      route->action = Action::kUpstream;
      if (const uint32_t* index = draft.upstream_names.Find(v.upstream()); index != nullptr) {
        route->upstream = *index;
      } else {
        draft.Violate(path + ".upstream", draft.upstream_names.Missing("upstream", v.upstream()));
      }
      break;
    case v1::Route::kRedirect:
      ReadRedirect(draft, path + ".redirect", v.redirect(), route);
      break;
    case v1::Route::ACTION_NOT_SET:
      draft.Violate(path, "needs one of fixed_response, identity_response, upstream and redirect");
      break;
  }
  route->keep_authorization = v.keep_authorization();
  route->websocket = v.websocket();
  if (v.websocket() && route->action != Action::kUpstream) draft.Violate(path + ".websocket", "is only for routes with an upstream");
  if (v.has_timeout()) {
    if (route->action != Action::kUpstream) draft.Violate(path + ".timeout", "is only for routes with an upstream");
    route->timeout = ReadDuration(draft, true, v.timeout(), path + ".timeout",
                                  {absl::InfiniteDuration(), absl::Milliseconds(1), absl::Hours(24)});
  }
  if (v.has_identity_headers()) {
    if (route->action != Action::kUpstream && v.action_case() != v1::Route::ACTION_NOT_SET) {
      draft.Violate(path + ".identity_headers", "is only for routes with an upstream");
    } else {
      ReadInjector(draft, path + ".identity_headers", v.identity_headers(), route);
    }
  }
}

bool HostsMeet(const HostPattern& a, const HostPattern& b) {
  if (!a.wildcard) return b.Matches(a.text);
  if (!b.wildcard) return a.Matches(b.text);
  return absl::EndsWith(a.text, b.text) || absl::EndsWith(b.text, a.text);
}

bool Meet(const Route& a, const Route& b) {
  const bool listeners = absl::c_any_of(a.listeners, [&](uint32_t l) { return absl::c_binary_search(b.listeners, l); });
  const bool hosts = a.hosts.empty() || b.hosts.empty() || absl::c_any_of(a.hosts, [&](const HostPattern& x) {
    return absl::c_any_of(b.hosts, [&](const HostPattern& y) { return HostsMeet(x, y); });
  });
  return listeners && hosts;
}

// An anonymous prefix around a protected route is easily an oversight: whatever the protected route's pattern misses is
// open.
void WarnOfAnonymous(Draft& draft, const std::vector<Route>& routes) {
  absl::flat_hash_map<std::string, std::vector<const Route*>> open;  // by the segments before {rest...}
  for (const Route& route : routes) {
    if (!route.anonymous() || route.path.kind != PathKind::kPrefix) continue;
    open[absl::StrJoin(route.path.segments, "/")].push_back(&route);
  }
  if (open.empty()) return;
  size_t found = 0;
  for (const Route& route : routes) {
    if (route.anonymous()) continue;
    const Route* around = nullptr;
    for (size_t n = 0; n <= route.path.segments.size() && around == nullptr; ++n) {
      auto it = open.find(absl::StrJoin(route.path.segments.begin(),
                                        route.path.segments.begin() + static_cast<std::ptrdiff_t>(n), "/"));
      if (it == open.end()) continue;
      auto met = absl::c_find_if(it->second, [&](const Route* o) { return Meet(*o, route); });
      if (met != it->second.end()) around = *met;
    }
    if (around == nullptr || ++found > kMaxWarnings) continue;
    draft.Warn(PathOf("routes", around->name), "anonymous, and encloses \"", route.path.text, "\" of routes/",
               route.name, ", which is protected");
  }
  if (found > kMaxWarnings) draft.Warn("routes", found - kMaxWarnings, " more protected routes within anonymous ones");
}

// What besides routes and policies goes into the table.
std::string FactsOf(const Draft& draft) {
  std::string facts;
  for (const v1::Listener* listener : draft.listeners) {
    AppendField(&facts, listener->name());
    AppendField(&facts, uint64_t{listener->has_redirect_only()});
  }
  AppendField(&facts, "/");
  for (const Scheme& scheme : draft.snapshot->schemes) {
    AppendField(&facts, scheme.name);
    AppendField(&facts, uint64_t{scheme.in_any_scheme} * 2 + uint64_t{scheme.is_certificate()});
    AppendField(&facts, scheme.is_certificate() ? absl::string_view()
                                                : absl::string_view(scheme.basic() == nullptr ? "" : scheme.basic()->realm));
  }
  AppendField(&facts, "/");
  for (const Upstream& upstream : draft.snapshot->upstreams) {
    AppendField(&facts, upstream.name);
    AppendField(&facts, uint64_t{upstream.http2});
  }
  return facts;
}

// Routes and policies are those of the previous snapshot, and so is all that they were resolved against.
bool SameAsBefore(const Draft& draft) {
  if (draft.previous == nullptr || draft.previous->parts->route_facts != draft.parts->route_facts) return false;
  for (const auto& [name, policy] : draft.parts->policies) {
    auto it = draft.previous->parts->policies.find(name);
    if (it == draft.previous->parts->policies.end() || it->second != policy) return false;
  }
  if (draft.parts->policies.size() != draft.policies.size()) return false;
  return ResourceMap::SameKind(draft.resources, draft.previous->parts->resources, v1::ROUTE);
}

void WarnOfAnyScheme(Draft& draft, const std::vector<Route>& routes) {
  if (draft.previous == nullptr) return;
  const auto count = absl::c_count_if(
      routes, [](const Route& route) { return route.requirement.mode == authn::Mode::kAnyScheme; });
  if (count == 0) return;
  for (const Scheme& scheme : draft.snapshot->schemes) {
    const Scheme* before = draft.previous->FindScheme(scheme.name);
    if (!scheme.in_any_scheme || (before != nullptr && before->in_any_scheme)) continue;
    draft.Warn(PathOf("schemes", scheme.name), "opens ", count, " any_scheme route", count == 1 ? "" : "s",
               "; in_any_scheme: false keeps it out of them");
  }
}

std::vector<CertificateReach> ReachOf(const std::vector<Route>& routes, const std::vector<Scheme>& schemes,
                                      size_t listeners) {
  std::vector<CertificateReach> reach(listeners);
  for (const Route& route : routes) {
    std::vector<std::string> hosts;
    for (const HostPattern& host : route.hosts) hosts.push_back(host.ToString());
    if (hosts.empty()) hosts.emplace_back();
    for (uint32_t listener : route.listeners) {
      for (const std::string& host : hosts) {
        std::vector<uint32_t>& list = reach[listener][host];
        for (uint32_t scheme : route.requirement.schemes) {
          if (schemes[scheme].is_certificate() && !absl::c_linear_search(list, scheme)) list.push_back(scheme);
        }
      }
    }
  }
  return reach;
}

}  // namespace

void BuildRoutes(Draft& draft) {
  draft.parts->route_facts = FactsOf(draft);
  if (SameAsBefore(draft)) {
    draft.snapshot->routes = draft.previous->routes;
    draft.snapshot->strip = draft.previous->strip;
    draft.parts->reach = draft.previous->parts->reach;
    draft.parts->route_warnings = draft.previous->parts->route_warnings;
    draft.warnings.insert(draft.warnings.end(), draft.parts->route_warnings.begin(),
                          draft.parts->route_warnings.end());
    return;
  }
  IndexRoutes(draft);
  const size_t warnings_before = draft.warnings.size();
  std::vector<Route> routes;  // those without violations: conflicts are found among them even so
  std::vector<std::string> injected;
  for (const v1::Route* v : draft.routes) {
    const std::string path = PathOf("routes", v->name());
    const size_t violations_before = draft.violations.size();
    Route route;
    route.name = v->name();
    route.index = static_cast<uint32_t>(routes.size());
    ReadMatch(draft, path, *v, &route);
    ReadListeners(draft, path, *v, &route);
    ReadRequirement(draft, path, *v, &route);
    ReadAction(draft, path, *v, &route);
    ReadRouteExtras(draft, path, *v, &route);
    if (draft.violations.size() != violations_before) continue;
    if (route.injector != nullptr) {
      injected.insert(injected.end(), route.injector->header_names().begin(), route.injector->header_names().end());
    }
    routes.push_back(std::move(route));
  }
  std::vector<RouteConflict> conflicts;
  draft.snapshot->routes =
      RouteTable::Build(std::move(routes), static_cast<uint32_t>(draft.listeners.size()), &conflicts);
  const std::vector<Route>& list = draft.snapshot->route_list();
  absl::flat_hash_set<std::pair<uint32_t, uint32_t>> said;
  for (const RouteConflict& conflict : conflicts) {
    if (!said.insert({conflict.first, conflict.second}).second) continue;
    draft.Violate(PathOf("routes", list[conflict.second].name) + ".match", "same host (",
                  conflict.host.empty() ? "any" : conflict.host, "), path (", list[conflict.second].path.text,
                  ") and method (", conflict.method.empty() ? "any" : conflict.method, ") as routes/",
                  list[conflict.first].name);
  }
  WarnOfAnonymous(draft, list);
  draft.parts->route_warnings.assign(draft.warnings.begin() + static_cast<std::ptrdiff_t>(warnings_before),
                                     draft.warnings.end());
  WarnOfAnyScheme(draft, list);
  draft.parts->reach = std::make_shared<const std::vector<CertificateReach>>(
      ReachOf(list, draft.snapshot->schemes, draft.listeners.size()));
  draft.snapshot->strip = identity::StripList(injected);
}

}  // namespace gatehouse::config
