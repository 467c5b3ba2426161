// The head of an HTTP/1 message: where it ends, and its parts. Boost.Beast parses; ScanHead first refuses what Beast would
// let pass (obs-fold, bare LF) and finds the end, so that the parser only ever sees one complete head.
//
// Ownership:  parts are views of the given bytes or copies into the FieldList.
// Threading:  stateless.
// Errors:     constant texts. A Connection that names more than 64 fields is one.
#pragma once

#include <optional>

#include "absl/strings/string_view.h"
#include "gateway/http/message.h"

namespace gatehouse::http {

struct HeadScan {
  enum class Kind : uint8_t { kIncomplete, kComplete, kBad };
  Kind kind = Kind::kIncomplete;
  size_t length = 0;        // of the head with its empty line (kComplete), or scanned so far
  const char* error = "";
};
// ScanHead looks at `bytes`; the first `scanned` of them were seen in an earlier call that was incomplete.
HeadScan ScanHead(absl::string_view bytes, size_t scanned);

struct RequestLine {
  std::string method;
  std::string target;
  int version = 11;
};
// `head` is complete. Fills `fields`; nullopt on success.
std::optional<const char*> ParseRequestHead(absl::string_view head, RequestLine* line, FieldList* fields);

struct StatusLine {
  int status = 0;
  int version = 11;
};
std::optional<const char*> ParseResponseHead(absl::string_view head, StatusLine* line, FieldList* fields);

}  // namespace gatehouse::http
