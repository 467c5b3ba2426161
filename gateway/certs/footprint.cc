#include "gateway/certs/footprint.h"

#include <optional>

#include "gateway/certs/der.h"

namespace gatehouse::certs {
namespace {

constexpr size_t kParsedValue = 100;  // octets, beside those of its DER
constexpr int kDeepest = 20;

// How many values are encoded here; an OCTET STRING holds an extension's. What is no DER may be read by OpenSSL all the same.
size_t CountValues(absl::string_view octets, int depth) {
  size_t n = 0;
  DerReader reader(octets);
  while (!reader.done() && depth < kDeepest) {
    const std::optional<DerElement> value = reader.Next();
    if (!value) break;
    ++n;
    if ((value->tag & 0x20) != 0 || value->tag == der::kOctetString) n += CountValues(value->content, depth + 1);
  }
  return n + reader.rest().size() / 2;
}

}  // namespace

// The DER is held by us, by OpenSSL, and by what was parsed of it.
size_t Footprint(const Certificate& certificate) {
  const std::string& der = certificate.der();
  return sizeof(Certificate) + 3 * der.size() + kParsedValue * CountValues(der, 0);
}

}  // namespace gatehouse::certs
