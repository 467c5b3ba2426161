#include "gateway/delegate/service.h"

#include "gateway/base/fields.h"

namespace gatehouse::delegate {

Sha256Digest VersionOf(const Service& service) {
  std::string content;
  const auto duration = [&content](absl::Duration d) {
    AppendField(&content, static_cast<uint64_t>(absl::ToInt64Nanoseconds(d)));
  };
  AppendField(&content, service.scheme);
  AppendField(&content, uint64_t{service.endpoints.size()});
  for (const std::string& endpoint : service.endpoints) AppendField(&content, endpoint);
  AppendField(&content, uint64_t{service.plaintext});
  AppendField(&content, service.ca_pem);
  AppendField(&content, service.certificate_chain_pem);
  AppendField(&content, AsView(Sha256(service.private_key_pem.Reveal())));
  AppendField(&content, service.server_name);
  duration(service.deadline);
  AppendField(&content, uint64_t{service.max_concurrent_calls});
  AppendField(&content, uint64_t{service.breaker_failures});
  duration(service.breaker_open_for);
  duration(service.max_lifetime);
  AppendField(&content, uint64_t{service.sent.bits()});
  return Sha256(content);
}

}  // namespace gatehouse::delegate
