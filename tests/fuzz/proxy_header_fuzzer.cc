// The PROXY protocol's header: whatever comes, a verdict that does not depend on how the bytes are cut, within bounds.
#include <cstdint>
#include <cstdlib>

#include "gateway/loop/proxy_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gatehouse::loop::ProxyHeader;
  using gatehouse::loop::ReadProxyHeader;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ProxyHeader whole = ReadProxyHeader(bytes);
  if (whole.kind == ProxyHeader::Kind::kIncomplete && size >= gatehouse::loop::kMaxProxyHeader) abort();
  if (whole.kind == ProxyHeader::Kind::kComplete) {
    if (whole.length > size || whole.length > gatehouse::loop::kMaxProxyHeader) abort();
    if (ReadProxyHeader(bytes.substr(0, whole.length)).kind != ProxyHeader::Kind::kComplete) abort();
    if (ReadProxyHeader(bytes.substr(0, whole.length - 1)).kind != ProxyHeader::Kind::kIncomplete) abort();
    if (whole.client.has_value() && whole.client->host().empty()) abort();
  }
  return 0;
}
