// Distinguished names: any text through the parser of RFC 4514 and back, any octets through the printers. What was printed
// must be read as what it was printed from, or not at all: a name that reads as another one is somebody else.
#include <openssl/err.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "gateway/certs/names.h"

namespace {

using namespace gatehouse::certs;  // NOLINT: a fuzzer's own file

void Check(bool holds) {
  if (!holds) std::abort();
}

// NumericString is no DirectoryString: X509_NAME_cmp tells it from the same digits in another type.
bool HasNumericString(const X509_NAME* name) {
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    if (ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i))) == V_ASN1_NUMERICSTRING) return true;
  }
  return false;
}

void CheckPrinted(const X509_NAME* name) {
  const std::string text = NameRfc4514(name);
  NameDotNet(name);
  NameHash(name);
  const auto canonical = CanonicalRdns(name);
  if (!NameDefect(name).empty() || text.empty()) return;
  absl::StatusOr<UniqueName> again = ParseName(text);
  if (!again.ok()) return;  // values without a text form (#hex), types without a name, lengths that OpenSSL bounds
  Check(NameRfc4514(again->get()) == text);
  // Other string types may come back as UTF8String: the same name, if not the same octets.
  Check(CanonicalRdns(again->get()) == canonical || HasNumericString(name));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > 4096) return 0;
  const absl::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    absl::StatusOr<UniqueName> name = ParseName(input);
    if (name.ok()) CheckPrinted(name->get());
  } else if (UniqueName name = NameFromDer(input)) {
    CheckPrinted(name.get());
  }
  return 0;
}
