// UpstreamTls: how the endpoints of an upstream prove who they are. What could prove nothing is refused.
#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gateway/base/escape.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

constexpr int kMaxPins = 100;
constexpr int kMaxNames = 100;
constexpr size_t kMaxName = 253;
constexpr size_t kMaxLabel = 63;

bool IsIp(const std::string& text) {
  char octets[16];
  return inet_pton(AF_INET, text.c_str(), octets) == 1 || inet_pton(AF_INET6, text.c_str(), octets) == 1;
}

// Letters, digits and hyphens in labels: no wildcard, no dot at either end.
bool IsDnsName(absl::string_view text) {
  if (text.empty() || text.size() > kMaxName) return false;
  for (absl::string_view label : absl::StrSplit(text, '.')) {
    if (label.empty() || label.size() > kMaxLabel || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; })) {
      return false;
    }
  }
  return true;
}

certs::TrustStoreRef AuthoritiesOf(Draft& draft, const std::string& path, const std::string& upstream,
                                   const v1::UpstreamTls& tls) {
  certs::TrustStoreRef named;
  if (!tls.trust_store().empty()) {
    if (draft.trust_store_names.Find(tls.trust_store()) == nullptr) {
      draft.Violate(path + ".trust_store", draft.trust_store_names.Missing("trust store", tls.trust_store()));
      return nullptr;
    }
    auto it = draft.parts->trust_stores.find(tls.trust_store());
    if (it == draft.parts->trust_stores.end()) return nullptr;  // its own violations say why
    named = it->second;
    if (named->anchors().empty()) {
      draft.Violate(path + ".trust_store", "\"", EscapeText(tls.trust_store()),
                    "\" has no anchors, and pins of a trust store prove no endpoint; use spki_sha256");
      return nullptr;
    }
  }
  if (!tls.system_roots()) return named;
  return WithSystemRoots(draft, path + ".system_roots", named, absl::StrCat("upstream ", upstream));
}

void ReadNames(Draft& draft, const std::string& path, const v1::UpstreamTls& tls, UpstreamTls* out) {
  out->server_name = absl::AsciiStrToLower(tls.server_name());
  if (!out->server_name.empty() && (!IsDnsName(out->server_name) || IsIp(out->server_name))) {
    draft.Violate(path + ".server_name", "\"", EscapeText(out->server_name), "\" is no DNS name");
  }
  if (tls.verify_names_size() > kMaxNames) {
    draft.Violate(path + ".verify_names", tls.verify_names_size(), " names, at most ", kMaxNames);
  }
  for (int i = 0; i < std::min(tls.verify_names_size(), kMaxNames); ++i) {
    std::string name = absl::AsciiStrToLower(tls.verify_names(i));
    if (!IsDnsName(name) && !IsIp(name)) {
      draft.Violate(absl::StrCat(path, ".verify_names[", i, "]"), "\"", EscapeText(name),
                    "\" is neither a DNS name without wildcard nor an IP address");
    }
    out->verify_names.push_back(std::move(name));
  }
}

void ReadPins(Draft& draft, const std::string& path, const v1::UpstreamTls& tls, UpstreamTls* out) {
  if (tls.spki_sha256_size() > kMaxPins) {
    draft.Violate(path + ".spki_sha256", tls.spki_sha256_size(), " pins, at most ", kMaxPins);
  }
  for (int i = 0; i < std::min(tls.spki_sha256_size(), kMaxPins); ++i) {
    absl::StatusOr<certs::Pin> pin = certs::ParsePinDigest(certs::Pin::Kind::kSpki, tls.spki_sha256(i));
    if (!pin.ok()) {
      draft.Violate(absl::StrCat(path, ".spki_sha256[", i, "]"), pin.status().message());
    } else {
      out->spki_pins.push_back(pin->digest);
    }
  }
}

certs::ServerCredentialRef IdentityOf(Draft& draft, const std::string& path, const std::string& name) {
  if (name.empty()) return nullptr;
  if (draft.server_certificate_names.Find(name) == nullptr) {
    draft.Violate(path + ".client_certificate", draft.server_certificate_names.Missing("server certificate", name));
    return nullptr;
  }
  auto it = draft.parts->credentials.find(name);
  // Not there: its own violations say why, or its files are not of this machine.
  return it == draft.parts->credentials.end() ? nullptr : it->second;
}

}  // namespace

UpstreamTlsRef BuildUpstreamTls(Draft& draft, const v1::Upstream& upstream) {
  if (!upstream.has_tls()) return nullptr;
  const v1::UpstreamTls& tls = upstream.tls();
  const std::string path = PathOf("upstreams", upstream.name()) + ".tls";
  auto out = std::make_shared<UpstreamTls>();
  if (tls.trust_store().empty() && !tls.system_roots() && tls.spki_sha256().empty()) {
    draft.Violate(path, "needs one of trust_store, system_roots and spki_sha256: without them no endpoint could prove "
                        "who it is");
  }
  out->authorities = AuthoritiesOf(draft, path, upstream.name(), tls);
  ReadNames(draft, path, tls, out.get());
  ReadPins(draft, path, tls, out.get());
  out->identity = IdentityOf(draft, path, tls.client_certificate());
  if (draft.previous != nullptr) {
    const Upstream* before = draft.previous->FindUpstream(upstream.name());
    if (before != nullptr && before->tls != nullptr && *before->tls == *out) return before->tls;
  }
  return out;
}

}  // namespace gatehouse::config
