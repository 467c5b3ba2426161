#include "tests/bench/requests.h"

#include "absl/strings/str_cat.h"

namespace gatehouse::bench {
namespace {

void AppendUint32(std::string& out, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(v >> shift));
}

void AppendLiteral(std::string& out, const std::string& text) {
  out.push_back(static_cast<char>(text.size()));
  out += text;
}

}  // namespace

Requests Requests::Make(const std::string& host, const std::string& path, const std::string& basic, size_t body) {
  Requests result;
  std::string fields = absl::StrCat("Host: ", host, "\r\nUser-Agent: gatehouse-bench\r\n");
  if (!basic.empty()) absl::StrAppend(&fields, "Authorization: Basic ", basic, "\r\n");
  if (body > 0) absl::StrAppend(&fields, "Content-Length: ", body, "\r\n");
  const std::string line = absl::StrCat(body > 0 ? "POST " : "GET ", path, " HTTP/1.1\r\n");
  result.h1 = absl::StrCat(line, fields, "\r\n", std::string(body, 'x'));
  result.h1_close = absl::StrCat(line, fields, "Connection: close\r\n\r\n");

  std::string start = "\x82\x87";  // :method GET, :scheme https
  if (path == "/") {
    start += '\x84';
  } else {
    start += '\x04';  // :path, not indexed
    AppendLiteral(start, path);
  }
  result.h2_first = result.h2_next = start;
  result.h2_first += '\x41';  // :authority, put into the table
  AppendLiteral(result.h2_first, host);
  result.h2_first += '\x7a';  // user-agent, put into the table
  AppendLiteral(result.h2_first, "gatehouse-bench");
  result.h2_next += "\xbf\xbe";  // both from the table
  if (!basic.empty()) {
    for (std::string* block : {&result.h2_first, &result.h2_next}) {
      *block += "\x1f\x08";  // authorization, never indexed
      AppendLiteral(*block, "Basic " + basic);
    }
  }
  return result;
}

void AppendFrame(std::string& out, FrameType type, uint8_t flags, uint32_t stream, absl::string_view payload) {
  const auto size = static_cast<uint32_t>(payload.size());
  out.push_back(static_cast<char>(size >> 16));
  out.push_back(static_cast<char>(size >> 8));
  out.push_back(static_cast<char>(size));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  AppendUint32(out, stream);
  out.append(payload.data(), payload.size());
}

void AppendHttp2Opening(std::string& out) {
  out += "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  std::string settings("\0\2\0\0\0\0", 6);  // ENABLE_PUSH 0
  settings.append("\0\4", 2);               // INITIAL_WINDOW_SIZE
  AppendUint32(settings, 0x3fffffff);
  AppendFrame(out, FrameType::kSettings, 0, 0, settings);
  std::string window;
  AppendUint32(window, 0x3fff0000);
  AppendFrame(out, FrameType::kWindowUpdate, 0, 0, window);
}

}  // namespace gatehouse::bench
