// TraceContext is what a request says of the trace that it belongs to (W3C Trace Context, level 1), and what its upstream is
// told: the same trace with a span of ours, or a new one where the client names none, or none that is right.
//
// Ownership:  values.
// Threading:  pure; RandomIds is thread-compatible, one a worker.
// Units:      ids as lower-case hex digits.
// Errors:     none: what is malformed is not believed, `tracestate` with it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/http/field_list.h"

namespace gatehouse::http {

// RandomIds draws what need not be secret but must not meet: xoshiro256**, seeded by the system.
class RandomIds {
 public:
  RandomIds();
  // Writes 16 lower-case hex digits, never all of them 0.
  void Print(char* out);

 private:
  uint64_t Next();
  std::array<uint64_t, 4> state_;
};

struct TraceContext {
  absl::string_view trace_id;  // 32 digits
  absl::string_view flags;     // 2 digits
};

// The trace that the client names: one `traceparent` of version 00, or the part of a later version that it knows. Views
// point into `fields`.
std::optional<TraceContext> ReadTrace(const FieldList& fields);

// Adds `traceparent`, and `tracestate` as far as it is within the bounds (32 members, 512 bytes; whole members, the oldest
// go first), to the upstream's fields, and says in `trace_id` which trace it is. A new trace is not sampled: who begins it
// decides, and we record none.
void AddTrace(const FieldList& fields, RandomIds* ids, FieldList* out, std::string* trace_id);

// Fields that AddTrace replaces.
inline bool IsTraceField(absl::string_view name) { return name == "traceparent" || name == "tracestate"; }

}  // namespace gatehouse::http
