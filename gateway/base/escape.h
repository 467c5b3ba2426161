// EscapeText makes text from certificates, users and paths safe for a terminal, a log or a page: C0, DEL, C1, bidi
// controls, line/paragraph separators and invalid UTF-8 become \xNN or \u{NNNN}; a backslash is doubled.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse {

std::string EscapeText(absl::string_view text);
// IsValidUtf8 accepts RFC 3629: no surrogates, no overlong forms, at most U+10FFFF.
bool IsValidUtf8(absl::string_view text);
// Beginning is at most the first `octets` of `text`, and never ends inside of a code point: half of one in a protobuf message's
// text makes the whole message unreadable.
absl::string_view Beginning(absl::string_view text, size_t octets);

}  // namespace gatehouse
