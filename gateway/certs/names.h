// Distinguished names: printed, parsed and checked.
//
// Threading:  pure.
// Errors:     kInvalidArgument with the cause.
#pragma once

#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/base/openssl.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::certs {

using UniqueName = std::unique_ptr<X509_NAME, OpenSslDeleter<X509_NAME_free>>;

// `CN=alice,O=Example`: most specific first, escaped as RFC 4514 says; an attribute type without a short name is
// printed as `1.2.3.4=#hex`.
std::string NameRfc4514(const X509_NAME* name);
// `CN=alice, O=Example`: .NET's order, attribute names and quoting.
std::string NameDotNet(const X509_NAME* name);
// Attributes whose value is text, in the order of the encoding.
std::vector<NameAttribute> TextAttributes(const X509_NAME* name);
// Why a name could be misread (control characters, text that is not text, an attribute twice in one RDN); empty when it
// cannot. Several RDNs may well have a common name each: CN=Alice,CN=Users,DC=example.
std::string NameDefect(const X509_NAME* name);
// One text for each RDN, in the order of the encoding; equal for RDNs that are equal by section 7.1 of RFC 5280 as
// X509_NAME_cmp has it: strings in any encoding, ASCII case and runs of spaces folded.
std::vector<std::string> CanonicalRdns(const X509_NAME* name);
// Equal for names that RFC 5280 calls equal; not injective.
uint64_t NameHash(const X509_NAME* name);
// The DER that the name was read from.
absl::string_view NameDer(const X509_NAME* name);
// Null when it is not the DER of a name.
UniqueName NameFromDer(absl::string_view der);

// ParseName reads RFC 4514 text.
absl::StatusOr<UniqueName> ParseName(absl::string_view text);

// "1.2.840.113549.1.9.1"
std::string DottedOid(const ASN1_OBJECT* object);

}  // namespace gatehouse::certs
