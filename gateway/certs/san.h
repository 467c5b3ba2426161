// Subject alternative names: read strictly, so that an entry is either a name or a defect of its certificate.
//
// Threading:  pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/extensions.h"

namespace gatehouse::certs {

// ReadSans appends the entries of kinds that we know; kinds that we do not know are left out. Returns a defect, or "".
std::string ReadSans(const std::vector<GeneralName>& names, std::vector<San>* sans);

// A host name of RFC 1123 form, `_` allowed, a leading `*.` allowed; no trailing dot.
bool IsDnsName(absl::string_view name);

// local@host: visible ASCII, one @.
bool IsEmail(absl::string_view text);

inline constexpr char kUpnOid[] = "1.3.6.1.4.1.311.20.2.3";

}  // namespace gatehouse::certs
