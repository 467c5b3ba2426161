// Name constraints: whether the names of a certificate lie within what an issuer above it allows (RFC 5280 sections
// 4.2.1.10, 6.1.3 b and c, 6.1.4 g).
//
// Threading:  pure.
// Units:      every comparison of a name with a subtree counts in `work`.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/work.h"

namespace gatehouse::certs {

// Why the constraints of `issuer` forbid a name of `subject`; empty when they allow all. The caller leaves out
// self-issued certificates that are not the last of their path. `end`: `subject` is that last one.
std::string NameConstraintViolation(const Certificate& issuer, const Certificate& subject, bool end, Work* work);

// How one name lies to one subtree. `excluding` takes the wide reading where a name stands for several (`*.a.test`), or
// where a constraint has two readings: what may be forbidden is.
bool DnsWithin(absl::string_view name, absl::string_view constraint, bool excluding);
bool EmailWithin(absl::string_view address, absl::string_view constraint);
bool HostWithin(absl::string_view host, absl::string_view constraint);
bool AddressWithin(absl::string_view address, absl::string_view range);
// The host of a URI with an authority that is a DNS name; empty when there is none.
absl::string_view HostOfUri(absl::string_view uri);

}  // namespace gatehouse::certs
