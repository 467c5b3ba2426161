// Listeners: addresses, server names, and what each name asks of clients.
#include <openssl/x509.h>

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "gateway/base/address_range.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

constexpr int kMaxNames = 1000;
constexpr int kMaxProxies = 1000;
// A CertificateRequest grows by these, and clients do not read endless ones.
constexpr size_t kMaxHints = 200;
constexpr size_t kMaxHintBytes = 16 * 1024;

using V1Mode = v1::Listener::ClientCertificate;

bool IsUnspecified(const Endpoint& e) { return absl::c_all_of(e.ip, [](char c) { return c == 0; }); }

// Both cannot be bound at once.
bool Overlap(const Endpoint& a, const Endpoint& b) {
  if (a.port != b.port || a.port == 0) return false;
  if (a.ip == b.ip) return true;
  if (a.ip.size() == b.ip.size()) return IsUnspecified(a) || IsUnspecified(b);
  // `::` takes IPv4 too.
  return IsUnspecified(a.ip.size() == 16 ? a : b);
}

Limits ReadLimits(Draft& draft, const std::string& path, const v1::Limits& v) {
  Limits limits;
  const auto timeout = [&](bool present, const google::protobuf::Duration& value, absl::string_view field,
                           absl::Duration fallback) {
    return ReadDuration(draft, present, value, absl::StrCat(path, ".", field),
                        {fallback, absl::Milliseconds(100), absl::Hours(24)});
  };
  limits.handshake_timeout =
      timeout(v.has_handshake_timeout(), v.handshake_timeout(), "handshake_timeout", limits.handshake_timeout);
  limits.header_timeout = timeout(v.has_header_timeout(), v.header_timeout(), "header_timeout", limits.header_timeout);
  limits.body_timeout = timeout(v.has_body_timeout(), v.body_timeout(), "body_timeout", limits.body_timeout);
  limits.idle_timeout = timeout(v.has_idle_timeout(), v.idle_timeout(), "idle_timeout", limits.idle_timeout);
  const auto number = [&](uint64_t value, absl::string_view field, uint64_t fallback, uint64_t least, uint64_t most) {
    return ReadNumber(draft, value, absl::StrCat(path, ".", field), fallback, least, most);
  };
  limits.max_header_bytes = static_cast<uint32_t>(
      number(v.max_header_bytes(), "max_header_bytes", limits.max_header_bytes, 1024, 1 << 20));
  limits.max_header_count =
      static_cast<uint32_t>(number(v.max_header_count(), "max_header_count", limits.max_header_count, 8, 1000));
  limits.max_target_bytes = static_cast<uint32_t>(
      number(v.max_target_bytes(), "max_target_bytes", limits.max_target_bytes, 64, 64 * 1024));
  limits.max_body_bytes = number(v.max_body_bytes(), "max_body_bytes", limits.max_body_bytes, 1, UINT64_MAX);
  limits.max_concurrent_streams = static_cast<uint32_t>(
      number(v.max_concurrent_streams(), "max_concurrent_streams", limits.max_concurrent_streams, 1, 1000));
  limits.max_connections = static_cast<uint32_t>(
      number(v.max_connections(), "max_connections", limits.max_connections, 1, 10'000'000));
  limits.max_connections_per_address =
      static_cast<uint32_t>(number(v.max_connections_per_address(), "max_connections_per_address", 0, 0, 10'000'000));
  limits.request_timeout = timeout(v.has_request_timeout(), v.request_timeout(), "request_timeout", absl::ZeroDuration());
  return limits;
}

// `*.example.com` covers exactly one label.
bool Covers(absl::string_view pattern, absl::string_view name) {
  if (pattern == name) return true;
  if (!absl::StartsWith(pattern, "*.") || absl::StartsWith(name, "*.")) return false;
  const size_t dot = name.find('.');
  return dot != absl::string_view::npos && dot != 0 && name.substr(dot) == pattern.substr(1);
}

// Certificates for one server name: exact ones before wildcards, one a key family; the first of the listener when no
// certificate covers the name.
std::vector<certs::ServerCredentialRef> CredentialsFor(const std::vector<certs::ServerCredentialRef>& all,
                                                       absl::string_view name) {
  std::vector<certs::ServerCredentialRef> out;
  const auto add = [&](const certs::ServerCredentialRef& credential) {
    if (absl::c_none_of(out, [&](const auto& o) { return o->leaf().key_family() == credential->leaf().key_family(); })) {
      out.push_back(credential);
    }
  };
  for (const auto& c : all) {
    if (absl::c_linear_search(c->dns_names(), name)) add(c);
  }
  for (const auto& c : all) {
    if (absl::c_any_of(c->dns_names(), [&](const std::string& pattern) { return Covers(pattern, name); })) add(c);
  }
  if (out.empty() && !all.empty()) out.push_back(all.front());
  return out;
}

// Names of the anchors that issue for these schemes; none when that would keep a client from sending what one of them
// accepts, or when there are too many.
std::vector<std::string> HintsOf(const std::vector<Scheme>& schemes, const std::vector<uint32_t>& used) {
  std::vector<std::string> hints;
  size_t bytes = 0;
  for (uint32_t index : used) {
    const certs::SchemeOptions& options = *schemes[index].certificate();
    if (options.trust_store == nullptr || !options.trust_store->pins().empty() ||
        options.self_signed_trust == certs::SelfSignedTrust::kAny) {
      return {};
    }
    for (const certs::CertificateRef& anchor : options.trust_store->anchors()) {
      unsigned char* der = nullptr;
      const int size = i2d_X509_NAME(X509_get_subject_name(anchor->x509()), &der);
      if (size <= 0) return {};
      hints.emplace_back(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
      OPENSSL_free(der);
      bytes += hints.back().size();
      if (hints.size() > kMaxHints || bytes > kMaxHintBytes) return {};
    }
  }
  absl::c_sort(hints);
  hints.erase(std::unique(hints.begin(), hints.end()), hints.end());
  return hints;
}

void DigestName(const Draft& draft, const Listener& listener, Name* name) {
  std::string content;
  AppendField(&content, static_cast<uint64_t>(name->client_certificate));
  const bool judged = listener.verify_with != kNoScheme;
  AppendField(&content, judged ? draft.snapshot->schemes[listener.verify_with].name : "");
  std::string context = content;
  for (const std::string& hint : name->ca_hints) AppendField(&content, hint);
  name->configuration = Sha256(content);

  std::string trust = context;
  if (judged) AppendField(&trust, draft.snapshot->schemes[listener.verify_with].epoch);
  for (uint32_t index : name->certificate_schemes) AppendField(&trust, draft.snapshot->schemes[index].epoch);
  name->trust_epoch = Epoch(Sha256(trust));

  AppendField(&context, listener.name);
  for (const std::string& n : name->names) AppendField(&context, n);
  name->session_context = Sha256(context);
}

ClientCertificate Resolve(V1Mode mode, bool any_scheme) {
  switch (mode) {
    case v1::Listener::NONE: return ClientCertificate::kNone;
    case v1::Listener::REQUIRE: return ClientCertificate::kRequire;
    case v1::Listener::ALLOW: return ClientCertificate::kAllow;
    default: return any_scheme ? ClientCertificate::kAllow : ClientCertificate::kNone;
  }
}

// Nobody without a certificate can satisfy it.
bool NeedsCertificate(const Route& route, const std::vector<Scheme>& schemes) {
  const std::vector<uint32_t>& used = route.requirement.schemes;
  const auto certificate = [&](uint32_t i) { return schemes[i].is_certificate(); };
  if (route.requirement.mode == authn::Mode::kAnonymous || used.empty()) return false;
  return route.requirement.mode == authn::Mode::kAllOf ? absl::c_any_of(used, certificate)
                                                       : absl::c_all_of(used, certificate);
}

// The listener as it was before, if it has the names that it had and the routes are shared with before: then what is reachable
// through which name is the same. Null otherwise.
const Listener* SameReach(const Draft& draft, const Listener& listener) {
  if (draft.previous == nullptr || !draft.snapshot->routes.SharesWith(draft.previous->routes)) return nullptr;
  const Listener* before = draft.previous->FindListener(listener.name);
  const bool same = before != nullptr && before->index == listener.index &&
                    std::equal(before->names.begin(), before->names.end(), listener.names.begin(), listener.names.end(),
                               [](const Name& a, const Name& b) { return a.names == b.names; });
  return same ? before : nullptr;
}

// A route that needs a certificate must not be reachable through a name that never asks for one.
void CheckNone(Draft& draft, const Listener& listener) {
  const Listener* before = SameReach(draft, listener);
  if (before != nullptr &&
      std::equal(before->names.begin(), before->names.end(), listener.names.begin(),
                 [](const Name& a, const Name& b) { return a.client_certificate == b.client_certificate; })) {
    return;
  }
  if (absl::c_none_of(listener.names, [](const Name& n) { return n.client_certificate == ClientCertificate::kNone; })) {
    return;
  }
  for (const Route& route : draft.snapshot->route_list()) {
    if (!absl::c_binary_search(route.listeners, listener.index) || !NeedsCertificate(route, draft.snapshot->schemes)) {
      continue;
    }
    for (uint32_t i = 0; i < listener.names.size(); ++i) {
      const Name& name = listener.names[i];
      const bool reached =
          route.hosts.empty() || absl::c_any_of(route.hosts, [&](const HostPattern& h) { return listener.MayReach(i, h.ToString()); });
      if (name.client_certificate != ClientCertificate::kNone || !reached) continue;
      draft.Violate(PathOf("routes", route.name) + ".require", "needs a client certificate, but listeners/",
                    listener.name, " never asks for one",
                    name.names.empty() ? "" : absl::StrCat(" under the name ", EscapeText(name.names.front())),
                    " (client_certificate: NONE); name other `listeners` or let it ALLOW them");
      break;
    }
  }
}

// Which certificate schemes are reachable through each name.
void NoteSchemes(const Draft& draft, Listener* listener) {
  if (const Listener* before = SameReach(draft, *listener)) {
    for (size_t i = 0; i < before->names.size(); ++i) {
      listener->names[i].certificate_schemes = before->names[i].certificate_schemes;
    }
    return;
  }
  for (const auto& [host, schemes] : (*draft.parts->reach)[listener->index]) {
    if (schemes.empty()) continue;
    for (uint32_t i = 0; i < listener->names.size(); ++i) {
      if (!listener->MayReach(i, host)) continue;
      for (uint32_t scheme : schemes) {
        std::vector<uint32_t>& used = listener->names[i].certificate_schemes;
        if (!absl::c_linear_search(used, scheme)) used.push_back(scheme);
      }
    }
  }
  for (Name& name : listener->names) absl::c_sort(name.certificate_schemes);
}

void ReadNames(Draft& draft, const std::string& path, const v1::Listener& v,
               const std::vector<certs::ServerCredentialRef>& all, Listener* listener) {
  absl::flat_hash_map<std::string, V1Mode> overrides;
  for (int i = 0; i < v.server_names_size(); ++i) {
    const v1::Listener::ServerName& n = v.server_names(i);
    const std::string here = absl::StrCat(path, ".server_names[", i, "]");
    absl::StatusOr<HostPattern> parsed = HostPattern::Parse(n.name());
    if (!parsed.ok() || absl::StartsWith(n.name(), "[")) {
      draft.Violate(here + ".name", "\"", EscapeText(n.name()), "\" is no lower-case DNS name or `*.suffix`");
      continue;
    }
    if (!v1::Listener::ClientCertificate_IsValid(n.client_certificate())) {
      draft.Violate(here + ".client_certificate", "unknown value ", static_cast<int>(n.client_certificate()));
      continue;
    }
    if (!overrides.emplace(n.name(), n.client_certificate()).second) {
      draft.Violate(here + ".name", "\"", n.name(), "\" is there twice");
      continue;
    }
    const bool covered = absl::c_any_of(all, [&](const auto& c) {
      return absl::c_any_of(c->dns_names(), [&](const std::string& p) { return Covers(p, n.name()); });
    });
    if (!covered && draft.snapshot->complete) draft.Warn(here + ".name", "no server certificate of this listener covers \"", n.name(), "\"");
  }
  std::vector<std::string> patterns;
  for (const auto& c : all) patterns.insert(patterns.end(), c->dns_names().begin(), c->dns_names().end());
  for (const auto& [name, mode] : overrides) patterns.push_back(name);
  absl::c_sort(patterns);
  patterns.erase(std::unique(patterns.begin(), patterns.end()), patterns.end());

  std::vector<V1Mode> modes = {v.client_certificate()};
  Name& fallback = listener->names.emplace_back();
  if (!all.empty()) fallback.credentials.push_back(all.front());
  for (const auto& c : all) {
    // The same names with other kinds of keys.
    if (c->dns_names() == all.front()->dns_names() &&
        absl::c_none_of(fallback.credentials,
                        [&](const auto& o) { return o->leaf().key_family() == c->leaf().key_family(); })) {
      fallback.credentials.push_back(c);
    }
  }
  for (const std::string& pattern : patterns) {
    V1Mode mode = v.client_certificate();
    auto it = overrides.find(pattern);
    if (it == overrides.end() && !absl::StartsWith(pattern, "*.")) {
      it = overrides.find(absl::StrCat("*", absl::string_view(pattern).substr(std::min(pattern.find('.'), pattern.size()))));
    }
    if (it != overrides.end() && it->second != v1::Listener::CLIENT_CERTIFICATE_UNSPECIFIED) mode = it->second;
    const auto index = static_cast<uint32_t>(listener->names.size());
    Name& name = listener->names.emplace_back();
    name.names.push_back(pattern);
    name.credentials = CredentialsFor(all, pattern);
    modes.push_back(mode);
    if (absl::StartsWith(pattern, "*.")) {
      listener->wildcard_names.emplace(pattern.substr(1), index);
    } else {
      listener->exact_names.emplace(pattern, index);
    }
  }

  NoteSchemes(draft, listener);
  for (uint32_t i = 0; i < listener->names.size(); ++i) {
    Name& name = listener->names[i];
    name.client_certificate = Resolve(modes[i], !name.certificate_schemes.empty());
    if (name.client_certificate != ClientCertificate::kNone) {
      name.ca_hints = HintsOf(draft.snapshot->schemes, name.certificate_schemes);
    }
    DigestName(draft, *listener, &name);
    if (name.client_certificate != ClientCertificate::kNone && name.certificate_schemes.empty()) {
      draft.Warn(path + ".client_certificate", "asks for certificates",
                 name.names.empty() ? "" : absl::StrCat(" under the name ", EscapeText(name.names.front())),
                 " that no route there looks at");
    }
  }
}

// Whose connections are introduced by a PROXY header.
std::vector<AddressRange> ReadProxies(Draft& draft, const std::string& path,
                                      const google::protobuf::RepeatedPtrField<std::string>& networks) {
  std::vector<AddressRange> ranges;
  if (networks.size() > kMaxProxies) draft.Violate(path, "are over ", kMaxProxies);
  for (int i = 0; i < networks.size(); ++i) {
    absl::StatusOr<AddressRange> range = ParseAddressRange(networks[i]);
    if (range.ok()) {
      ranges.push_back(*range);
    } else {
      draft.Violate(absl::StrCat(path, "[", i, "]"), range.status().message());
    }
  }
  return ranges;
}

// A listener that only redirects: whatever is about TLS, proof or routes has no meaning there.
void ReadRedirectOnly(Draft& draft, const std::string& path, const v1::Listener& v, Listener* listener) {
  RedirectOnly redirect;
  const uint32_t status = v.redirect_only().status() == 0 ? 308 : v.redirect_only().status();
  if (status != 301 && status != 302 && status != 307 && status != 308) {
    draft.Violate(path + ".redirect_only.status", "must be 301, 302, 307 or 308");
  }
  redirect.status = static_cast<int>(status);
  redirect.port = static_cast<uint16_t>(ReadNumber(draft, v.redirect_only().port(), path + ".redirect_only.port", 443, 1, 65535));
  listener->redirect_only = redirect;
  const std::pair<bool, absl::string_view> given[] = {
      {!v.server_certificates().empty(), "server_certificates"},
      {v.client_certificate() != v1::Listener::CLIENT_CERTIFICATE_UNSPECIFIED, "client_certificate"},
      {!v.server_names().empty(), "server_names"},
      {v.min_tls_version() != v1::Listener::TLS_VERSION_UNSPECIFIED, "min_tls_version"},
      {!v.verify_with().empty(), "verify_with"},
      {v.session_tickets(), "session_tickets"},
      {!v.trusted_proxies().empty(), "trusted_proxies"},
      {v.has_access_log(), "access_log"},
  };
  for (const auto& [set, field] : given) {
    if (set) draft.Violate(absl::StrCat(path, ".", field), "has no meaning with redirect_only");
  }
  listener->names.emplace_back();
}

void ReadListener(Draft& draft, const v1::Listener& v, Listener* listener) {
  const std::string path = PathOf("listeners", v.name());
  listener->limits = ReadLimits(draft, path + ".limits", v.limits());
  listener->proxy_protocol_from = ReadProxies(draft, path + ".proxy_protocol_from", v.proxy_protocol_from());
  if (v.has_redirect_only()) return ReadRedirectOnly(draft, path, v, listener);
  if (!v1::Listener::TlsVersion_IsValid(v.min_tls_version())) {
    draft.Violate(path + ".min_tls_version", "unknown value ", static_cast<int>(v.min_tls_version()));
  }
  if (!v1::Listener::ClientCertificate_IsValid(v.client_certificate())) {
    draft.Violate(path + ".client_certificate", "unknown value ", static_cast<int>(v.client_certificate()));
  }
  listener->min_tls_1_3 = v.min_tls_version() == v1::Listener::TLS_1_3;
  listener->session_tickets = v.session_tickets();
  if (v.has_access_log()) listener->access_log = ReadAccessLog(draft, path + ".access_log", v.access_log(), false);
  listener->trusted_proxies = ReadProxies(draft, path + ".trusted_proxies", v.trusted_proxies());
  if (!v.verify_with().empty()) {
    const uint32_t* scheme = draft.scheme_names.Find(v.verify_with());
    if (scheme == nullptr) {
      draft.Violate(path + ".verify_with", draft.scheme_names.Missing("scheme", v.verify_with()));
    } else if (!draft.snapshot->schemes[*scheme].is_certificate()) {
      draft.Violate(path + ".verify_with", "\"", v.verify_with(), "\" is no client certificate scheme");
    } else if (v.client_certificate() == v1::Listener::NONE) {
      draft.Violate(path + ".verify_with", "judges nothing on a listener with client_certificate NONE");
    } else {
      listener->verify_with = *scheme;
    }
  }
  if (v.server_certificates().empty() || v.server_certificates_size() > kMaxNames) {
    draft.Violate(path + ".server_certificates", "must be 1 to ", kMaxNames, " names of server certificates");
  }
  if (v.server_names_size() > kMaxNames) draft.Violate(path + ".server_names", "are over ", kMaxNames);
  std::vector<certs::ServerCredentialRef> all;
  bool complete = v.server_certificates_size() > 0;
  for (int i = 0; i < v.server_certificates_size(); ++i) {
    const std::string& name = v.server_certificates(i);
    const std::string here = absl::StrCat(path, ".server_certificates[", i, "]");
    auto it = draft.parts->credentials.find(name);
    if (draft.server_certificate_names.Find(name) == nullptr) {
      draft.Violate(here, draft.server_certificate_names.Missing("server certificate", name));
      complete = false;
    } else if (draft.unseen_certificates.contains(name)) {
      // In files of the gateway's machine: its names are not known here.
    } else if (it == draft.parts->credentials.end()) {
      complete = false;  // its own violations say why
    } else if (absl::c_linear_search(all, it->second)) {
      draft.Violate(here, "\"", name, "\" is there twice");
    } else {
      all.push_back(it->second);
    }
  }
  if (!complete) return;
  ReadNames(draft, path, v, all, listener);
  CheckNone(draft, *listener);
  const bool asks = absl::c_any_of(listener->names,
                                   [](const Name& name) { return name.client_certificate != ClientCertificate::kNone; });
  if (asks && !listener->min_tls_1_3) {
    draft.Warn(path + ".min_tls_version",
               "accepts TLS 1.2, in which a client's certificate can be read by whoever is on the way; TLS_1_3 hides it");
  }
}

}  // namespace

void BuildListeners(Draft& draft) {
  std::vector<std::pair<const v1::Listener*, Endpoint>> endpoints;
  for (const v1::Listener* v : draft.listeners) {
    Listener& listener = draft.snapshot->listeners.emplace_back();
    listener.name = v->name();
    listener.index = static_cast<uint32_t>(draft.snapshot->listeners.size() - 1);
    listener.address = v->address();
    absl::StatusOr<Endpoint> endpoint = ParseEndpoint(v->address(), true);
    const std::string path = PathOf("listeners", v->name());
    if (!endpoint.ok()) {
      draft.Violate(path + ".address", v->address().empty() ? "is required" : endpoint.status().message());
    } else {
      for (const auto& [other, taken] : endpoints) {
        if (!Overlap(taken, *endpoint)) continue;
        draft.Violate(path + ".address", "\"", v->address(), "\" cannot be bound beside \"", other->address(),
                      "\" of listeners/", other->name());
      }
      endpoints.emplace_back(v, *std::move(endpoint));
    }
    ReadListener(draft, *v, &listener);
  }
}

}  // namespace gatehouse::config
