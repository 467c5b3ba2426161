// Requests holds the bytes of the one request that the load repeats, in both protocols.
//
// Threading:  immutable.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace gatehouse::bench {

struct Requests {
  // `basic` is what follows "Basic " in Authorization; empty: no such field. Every text is shorter than 127 bytes.
  // With a body it is a POST, which is for HTTP/1.1 only.
  static Requests Make(const std::string& host, const std::string& path, const std::string& basic, size_t body = 0);

  std::string h1;
  std::string h1_close;  // with Connection: close
  // HPACK blocks: the first of a connection puts authority and user agent into the table, the others refer to them.
  std::string h2_first;
  std::string h2_next;
};

enum class FrameType : uint8_t { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoaway = 7, kWindowUpdate = 8 };
void AppendFrame(std::string& out, FrameType type, uint8_t flags, uint32_t stream, absl::string_view payload);
// Preface, SETTINGS and a wide connection window.
void AppendHttp2Opening(std::string& out);

}  // namespace gatehouse::bench
