#include "gateway/server/explain_asks.h"

#include <algorithm>
#include <memory>

#include "absl/algorithm/container.h"
#include "gateway/base/escape.h"
#include "gateway/base/openssl.h"
#include "gateway/certs/names.h"

namespace gatehouse::server {
namespace {

std::string Utf8(absl::string_view text) { return IsValidUtf8(text) ? std::string(text) : EscapeText(text); }

std::string TextOfName(const std::string& der) {
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  certs::UniqueName name(d2i_X509_NAME(nullptr, &p, static_cast<long>(der.size())));
  if (name == nullptr) {
    TakeOpenSslError();
    return "";
  }
  return certs::NameRfc4514(name.get());
}

std::string DerOf(const X509_NAME* name) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_NAME(name, &der);
  if (size <= 0) return "";
  std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

v1::Listener::ClientCertificate ModeOf(config::ClientCertificate mode) {
  switch (mode) {
    case config::ClientCertificate::kNone: return v1::Listener::NONE;
    case config::ClientCertificate::kAllow: return v1::Listener::ALLOW;
    case config::ClientCertificate::kRequire: return v1::Listener::REQUIRE;
  }
  return v1::Listener::CLIENT_CERTIFICATE_UNSPECIFIED;
}

// A client that follows the hints sends a chain if one of its certificates was issued by one of the names (RFC 8446
// section 4.2.4).
bool Hinted(const std::vector<std::string>& hints, absl::Span<const certs::CertificateRef> chain) {
  return hints.empty() || absl::c_any_of(chain, [&](const certs::CertificateRef& c) {
           return absl::c_linear_search(hints, DerOf(X509_get_issuer_name(c->x509())));
         });
}

}  // namespace

void AppendAsks(const config::Snapshot& snapshot, const config::Listener& listener,
                absl::Span<const config::HostPattern> hosts, absl::Span<const certs::CertificateRef> chain, int most,
                google::protobuf::RepeatedPtrField<v1::AskedName>* out) {
  for (uint32_t i = 0; i < listener.names.size() && out->size() < most; ++i) {
    const config::Name& name = listener.names[i];
    const bool reached = hosts.empty() || absl::c_any_of(hosts, [&](const config::HostPattern& host) {
                           return listener.MayReach(i, host.ToString());
                         });
    if (!reached) continue;
    v1::AskedName* asked = out->Add();
    asked->set_listener(listener.name);
    asked->set_address(listener.address);
    if (!name.names.empty()) asked->set_server_name(name.names.front());
    asked->set_client_certificate(ModeOf(name.client_certificate));
    for (const std::string& hint : name.ca_hints) asked->add_ca_hints(Utf8(TextOfName(hint)));
    if (listener.verify_with != config::kNoScheme) asked->set_verify_with(snapshot.scheme(listener.verify_with).name);
    for (uint32_t scheme : name.certificate_schemes) asked->add_schemes(snapshot.scheme(scheme).name);
    asked->set_hinted(!chain.empty() && name.client_certificate != config::ClientCertificate::kNone &&
                      Hinted(name.ca_hints, chain));
  }
}

}  // namespace gatehouse::server
