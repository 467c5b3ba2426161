// AppendMessageJson writes a protobuf message as one line of JSON, as protobuf's mapping of proto3 has it, with the proto's
// names, and fit for terminals and logs (json_text.h). What a field's absence says is left out.
//
// protobuf's own printer says the same, twenty times slower: it goes through the wire form and looks every type up. It is
// still asked where a message has what this does not write itself: floating point, maps, google.protobuf's own messages but times.
//
// Threading:  thread-safe.
// Errors:     false when the message has no JSON form (a time that is none); then `out` is as it was.
#pragma once

#include <string>

#include "google/protobuf/message.h"

namespace gatehouse {

bool AppendMessageJson(const google::protobuf::Message& message, std::string* out);

}  // namespace gatehouse
