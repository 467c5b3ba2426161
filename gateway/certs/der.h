// DerReader walks DER (X.690) strictly: what is not the one encoding of its value is not read.
//
// Only what certificates, revocation lists and OCSP answers need: one-octet tags, definite lengths in the fewest octets.
//
// Ownership:  views; the octets must outlive what was read from them.
// Threading:  thread-compatible.
// Errors:     nullopt for anything malformed; the reader then stands where it stood.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace gatehouse::certs {

namespace der {
inline constexpr uint8_t kBoolean = 0x01;
inline constexpr uint8_t kInteger = 0x02;
inline constexpr uint8_t kBitString = 0x03;
inline constexpr uint8_t kOctetString = 0x04;
inline constexpr uint8_t kNull = 0x05;
inline constexpr uint8_t kOid = 0x06;
inline constexpr uint8_t kEnumerated = 0x0a;
inline constexpr uint8_t kUtf8String = 0x0c;
inline constexpr uint8_t kUtcTime = 0x17;
inline constexpr uint8_t kGeneralizedTime = 0x18;
inline constexpr uint8_t kUniversalString = 0x1c;
inline constexpr uint8_t kBmpString = 0x1e;
inline constexpr uint8_t kSequence = 0x30;
inline constexpr uint8_t kSet = 0x31;
// [n] IMPLICIT of a primitive type; [n] EXPLICIT, or IMPLICIT of a constructed one.
constexpr uint8_t Context(uint8_t n) { return 0x80 | n; }
constexpr uint8_t Constructed(uint8_t n) { return 0xa0 | n; }
}  // namespace der

struct DerElement {
  uint8_t tag = 0;
  absl::string_view content;
  absl::string_view whole;  // with tag and length
};

struct DerExtension {
  absl::string_view oid;  // content octets
  bool critical = false;
  absl::string_view value;
};

class DerReader {
 public:
  explicit DerReader(absl::string_view octets) : rest_(octets) {}

  bool done() const { return rest_.empty(); }
  absl::string_view rest() const { return rest_; }
  bool NextIs(uint8_t tag) const { return !rest_.empty() && static_cast<uint8_t>(rest_[0]) == tag; }

  std::optional<DerElement> Next();
  // The content of the next element if it has this tag.
  std::optional<absl::string_view> Next(uint8_t tag);
  // One Extension of RFC 5280 section 4.1.
  std::optional<DerExtension> NextExtension();
  // UTCTime or GeneralizedTime.
  std::optional<int64_t> NextTime();

 private:
  absl::string_view rest_;
};

// Seconds since 1970. RFC 5280 section 4.1.2.5: Zulu, with seconds, without fractions; UTCTime is of 1950 to 2049.
std::optional<int64_t> ReadDerTime(uint8_t tag, absl::string_view content);
// Whether these are the content octets of an INTEGER or ENUMERATED: at least one, and none too many.
bool IsDerInteger(absl::string_view content);
// Whether these are the content octets of an OBJECT IDENTIFIER: whole arcs, each in the fewest octets.
bool IsDerOid(absl::string_view content);
// The content of a BIT STRING without unused bits.
std::optional<absl::string_view> WholeOctets(absl::string_view bit_string);

}  // namespace gatehouse::certs
