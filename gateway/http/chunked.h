// ChunkedDecoder takes chunked transfer coding apart (RFC 9112 7.1), strictly: CRLF line ends only, plain hex sizes, chunk
// extensions read over but bounded, trailers bounded.
//
// Ownership:  keeps only an incomplete line.
// Threading:  one thread.
// Errors:     Step is kError; error() is a constant text.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/http/field_list.h"

namespace gatehouse::http {

class ChunkedDecoder {
 public:
  enum class Step : uint8_t {
    kNeedMore,  // all input taken
    kData,      // *data is a piece of the body
    kEnd,       // the last chunk and the trailers are read
    kError,
  };

  void Reset(size_t trailer_bytes, size_t trailer_count);
  // Takes bytes off the front of *input.
  Step Next(absl::string_view* input, absl::string_view* data);
  FieldList TakeTrailers() { return std::move(trailers_); }
  const char* error() const { return error_; }
  // The error is that the trailers are over their limits.
  bool too_large() const { return too_large_; }

 private:
  enum class State : uint8_t { kSize, kData, kDataEnd, kTrailer, kEnd, kError };
  Step Error(const char* text);
  Step TrailersTooLarge();
  // Moves one line (without CRLF) from *input into line_; false: incomplete or error.
  bool TakeLine(absl::string_view* input, size_t limit);
  bool ParseSize();
  bool ParseTrailer();

  State state_ = State::kSize;
  bool line_done_ = false;
  bool too_large_ = false;
  uint64_t remaining_ = 0;
  size_t trailer_limit_ = 0;
  size_t trailer_count_limit_ = 0;
  size_t trailer_bytes_ = 0;
  std::string line_;
  FieldList trailers_;
  const char* error_ = "";
};

}  // namespace gatehouse::http
