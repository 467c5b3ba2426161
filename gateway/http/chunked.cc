#include "gateway/http/chunked.h"

#include <algorithm>

namespace gatehouse::http {
namespace {

// A size line: up to 15 hex digits and extensions that nobody uses.
constexpr size_t kMaxSizeLine = 256;

}  // namespace

void ChunkedDecoder::Reset(size_t trailer_bytes, size_t trailer_count) {
  state_ = State::kSize;
  line_done_ = false;
  too_large_ = false;
  remaining_ = 0;
  trailer_limit_ = trailer_bytes;
  trailer_count_limit_ = trailer_count;
  trailer_bytes_ = 0;
  line_.clear();
  trailers_ = FieldList();
  error_ = "";
}

ChunkedDecoder::Step ChunkedDecoder::Error(const char* text) {
  state_ = State::kError;
  error_ = text;
  return Step::kError;
}

ChunkedDecoder::Step ChunkedDecoder::TrailersTooLarge() {
  too_large_ = true;
  return Error("the trailers are too large");
}

bool ChunkedDecoder::TakeLine(absl::string_view* input, size_t limit) {
  if (line_done_) {
    line_.clear();
    line_done_ = false;
  }
  while (!input->empty()) {
    char c = input->front();
    input->remove_prefix(1);
    if (!line_.empty() && line_.back() == '\r') {
      if (c != '\n') {
        Error("CR without LF in chunked coding");
        return false;
      }
      line_.pop_back();
      line_done_ = true;
      return true;
    }
    if (c == '\n') {
      Error("LF without CR in chunked coding");
      return false;
    }
    if (line_.size() >= limit) {
      if (state_ == State::kTrailer) {
        TrailersTooLarge();
      } else {
        Error("a line of the chunked coding is too long");
      }
      return false;
    }
    line_.push_back(c);
  }
  return false;
}

bool ChunkedDecoder::ParseSize() {
  uint64_t n = 0;
  size_t i = 0;
  for (; i < line_.size(); ++i) {
    char c = line_[i];
    uint64_t v;
    if (c >= '0' && c <= '9') {
      v = static_cast<uint64_t>(c - '0');
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      v = static_cast<uint64_t>((c | 0x20) - 'a' + 10);
    } else {
      break;
    }
    if (i >= 15) return false;
    n = n << 4 | v;
  }
  if (i == 0) return false;
  // Behind the size only an extension, which begins with ';' (RFC 9112 7.1.1 allows white space before it; we do not).
  if (i < line_.size() && line_[i] != ';') return false;
  for (; i < line_.size(); ++i) {
    auto u = static_cast<unsigned char>(line_[i]);
    if ((u < 0x20 && u != '\t') || u >= 0x7F) return false;
  }
  remaining_ = n;
  return true;
}

bool ChunkedDecoder::ParseTrailer() {
  size_t colon = line_.find(':');
  if (colon == std::string::npos) return false;
  absl::string_view name = absl::string_view(line_).substr(0, colon);
  absl::string_view value = absl::StripAsciiWhitespace(absl::string_view(line_).substr(colon + 1));
  if (!IsToken(name) || !IsFieldValue(value)) return false;
  trailers_.Add(name, value);
  return true;
}

ChunkedDecoder::Step ChunkedDecoder::Next(absl::string_view* input, absl::string_view* data) {
  while (true) {
    switch (state_) {
      case State::kError:
        return Step::kError;
      case State::kEnd:
        return Step::kEnd;
      case State::kSize:
        if (!TakeLine(input, kMaxSizeLine)) return state_ == State::kError ? Step::kError : Step::kNeedMore;
        if (!ParseSize()) return Error("a chunk size is malformed");
        state_ = remaining_ == 0 ? State::kTrailer : State::kData;
        break;
      case State::kData: {
        if (input->empty()) return Step::kNeedMore;
        size_t n = static_cast<size_t>(std::min<uint64_t>(remaining_, input->size()));
        *data = input->substr(0, n);
        input->remove_prefix(n);
        remaining_ -= n;
        if (remaining_ == 0) state_ = State::kDataEnd;
        return Step::kData;
      }
      case State::kDataEnd:
        if (!TakeLine(input, 1)) return state_ == State::kError ? Step::kError : Step::kNeedMore;
        if (!line_.empty()) return Error("a chunk is longer than its size");
        state_ = State::kSize;
        break;
      case State::kTrailer:
        if (!TakeLine(input, trailer_limit_)) return state_ == State::kError ? Step::kError : Step::kNeedMore;
        if (line_.empty()) {
          state_ = State::kEnd;
          std::string().swap(line_);
          return Step::kEnd;
        }
        trailer_bytes_ += line_.size() + 32;
        if (trailer_bytes_ > trailer_limit_ || trailers_.size() >= trailer_count_limit_) {
          return TrailersTooLarge();
        }
        if (!ParseTrailer()) return Error("a trailer field is malformed");
        break;
    }
  }
}

}  // namespace gatehouse::http
