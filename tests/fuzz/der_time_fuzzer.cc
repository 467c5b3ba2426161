// Any octets as a time: what is read is what OpenSSL reads, and written again gives the same octets.
#include <openssl/asn1.h>
#include <openssl/err.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>

#include "gateway/certs/der.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse::certs;
  if (size == 0) return 0;
  const uint8_t tag = data[0] % 2 == 0 ? der::kUtcTime : der::kGeneralizedTime;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::optional<int64_t> seconds = ReadDerTime(tag, text);
  if (!seconds) return 0;
  ASN1_TIME* theirs = ASN1_STRING_type_new(tag == der::kUtcTime ? V_ASN1_UTCTIME : V_ASN1_GENERALIZEDTIME);
  ASN1_STRING_set(theirs, text.data(), static_cast<int>(text.size()));
  std::tm tm{};
  if (ASN1_TIME_to_tm(theirs, &tm) != 1 || timegm(&tm) != *seconds) std::abort();
  ASN1_STRING_free(theirs);
  char again[32];
  std::strftime(again, sizeof(again), tag == der::kUtcTime ? "%y%m%d%H%M%SZ" : "%Y%m%d%H%M%SZ", &tm);
  std::string padded = again;
  if (tag == der::kGeneralizedTime) padded.insert(0, 15 - padded.size(), '0');
  if (padded != text) std::abort();
  return 0;
}
