// Trailers are fields that follow a body. What decides about a message must come before it, so most names have no business
// there (RFC 9110 6.5.1), and a receiver that puts trailers among the header fields must not be made to believe anything.
//
// Ownership:  values; views point into what was given.
// Threading:  pure.
// Errors:     none; what may not trail is left out by whoever asks.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "gateway/http/field_list.h"

namespace gatehouse::http {

// False for what frames, routes or authenticates a message, modifies a request, says who sent it or how its body is to be
// read, and for cookies. `name` in lower case.
bool MayTrail(absl::string_view name);

// Whether a field may go on the wire behind a body: MayTrail, and neither name nor value could be anything but a field's.
inline bool IsTrailer(FieldList::Field field) {
  return IsToken(field.name) && IsFieldValue(field.value) && MayTrail(field.name);
}

// The names that the fields `trailer` announce, those that `passes` takes, in lower case, as one value; empty: none. The first hundred
// count.
std::string AnnouncedTrailers(const FieldList& fields, absl::FunctionRef<bool(absl::string_view)> passes);

}  // namespace gatehouse::http
