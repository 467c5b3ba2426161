#include "tests/bench/responses.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "tests/bench/requests.h"

namespace gatehouse::bench {
namespace {

constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kAck = 0x1;
constexpr uint8_t kPadded = 0x8;
constexpr uint8_t kPriority = 0x20;
constexpr uint32_t kWindowStep = 64 * 1024 * 1024;

uint32_t Uint32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 |
         static_cast<uint32_t>(p[2]) << 8 | p[3];
}

// Field finds `name` (lower case, with its colon) in a head and returns its value, or nothing.
absl::string_view Field(absl::string_view head, absl::string_view name) {
  for (size_t at = head.find('\n'); at != absl::string_view::npos; at = head.find('\n', at + 1)) {
    absl::string_view line = head.substr(at + 1);
    if (!absl::StartsWithIgnoreCase(line, name)) continue;
    line = line.substr(name.size(), line.find('\r') - name.size());
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    return line;
  }
  return {};
}

// :status is the first field of a response's block and, where it is not a common one, this reader does not care which.
int StatusOfBlock(const uint8_t* p, size_t size) {
  size_t at = 0;
  while (at < size && (p[at] & 0xe0) == 0x20) {  // table size updates
    const bool more = (p[at] & 0x1f) == 0x1f;
    ++at;
    while (more && at < size && (p[at++] & 0x80) != 0) {
    }
  }
  if (at >= size) return 0;
  switch (p[at]) {
    case 0x88: return 200;
    case 0x8b: return 304;
    case 0x8c: return 400;
    case 0x8d: return 404;
    case 0x8e: return 500;
    default: return 0;
  }
}

}  // namespace

bool ReadHttp1(std::string& in, const ResponseSink& sink) {
  size_t taken = 0;
  while (true) {
    absl::string_view rest = absl::string_view(in).substr(taken);
    const size_t end = rest.find("\r\n\r\n");
    if (end == absl::string_view::npos) break;
    if (!absl::StartsWith(rest, "HTTP/1.") || end < 12) return false;
    absl::string_view head = rest.substr(0, end + 2);
    size_t total = end + 4;
    size_t length = 0;
    if (absl::string_view text = Field(head, "content-length:"); !text.empty()) {
      if (!absl::SimpleAtoi(text, &length)) return false;
      total += length;
    } else if (absl::EqualsIgnoreCase(Field(head, "transfer-encoding:"), "chunked")) {
      const size_t last = rest.find("0\r\n\r\n", total);
      if (last == absl::string_view::npos) break;
      total = last + 5;
    }
    if (rest.size() < total) break;
    int status = 0;
    if (!absl::SimpleAtoi(rest.substr(9, 3), &status)) return false;
    if (sink.body != nullptr) sink.body->append(rest.data() + end + 4, total - end - 4);
    if (absl::EqualsIgnoreCase(Field(head, "connection:"), "close")) sink.going_away(0);
    taken += total;
    sink.answered(0, status);
  }
  in.erase(0, taken);
  return true;
}

struct Http2Reader::Frame {
  FrameType type;
  uint8_t flags;
  uint32_t stream;
  const uint8_t* payload;
  uint32_t size;
};

bool Http2Reader::Read(std::string& in, std::string& reply, const ResponseSink& sink) {
  size_t taken = 0;
  while (in.size() - taken >= 9) {
    const auto* p = reinterpret_cast<const uint8_t*>(in.data()) + taken;
    const uint32_t size = Uint32(p) >> 8;
    if (size > (1u << 20)) return false;
    if (in.size() - taken < 9 + size) break;
    OnFrame({static_cast<FrameType>(p[3]), p[4], Uint32(p + 5) & 0x7fffffff, p + 9, size}, reply, sink);
    taken += 9 + size;
  }
  in.erase(0, taken);
  return true;
}

void Http2Reader::OnFrame(const Frame& frame, std::string& reply, const ResponseSink& sink) {
  switch (frame.type) {
    case FrameType::kHeaders: {
      size_t skip = (frame.flags & kPadded) != 0 ? 1 : 0;
      if ((frame.flags & kPriority) != 0) skip += 5;
      int& status = StatusOf(frame.stream);
      if (status == 0 && skip < frame.size) status = StatusOfBlock(frame.payload + skip, frame.size - skip);
      break;
    }
    case FrameType::kData:
      taken_ += frame.size;
      if (taken_ >= kWindowStep) {
        std::string step;
        for (int shift = 24; shift >= 0; shift -= 8) step.push_back(static_cast<char>(taken_ >> shift));
        AppendFrame(reply, FrameType::kWindowUpdate, 0, 0, step);
        taken_ = 0;
      }
      if (sink.body != nullptr) sink.body->append(reinterpret_cast<const char*>(frame.payload), frame.size);
      break;
    case FrameType::kReset:
      StatusOf(frame.stream) = 0;
      sink.answered(frame.stream, 0);
      return;
    case FrameType::kSettings:
      if ((frame.flags & kAck) == 0) AppendFrame(reply, FrameType::kSettings, kAck, 0, {});
      return;
    case FrameType::kPing:
      if ((frame.flags & kAck) == 0) {
        AppendFrame(reply, FrameType::kPing, kAck, 0,
                    {reinterpret_cast<const char*>(frame.payload), frame.size});
      }
      return;
    case FrameType::kGoaway:
      if (frame.size >= 4) sink.going_away(Uint32(frame.payload) & 0x7fffffff);
      return;
    default:
      return;
  }
  if ((frame.flags & kEndStream) != 0) {
    const int status = StatusOf(frame.stream);
    StatusOf(frame.stream) = 0;
    sink.answered(frame.stream, status);
  }
}

}  // namespace gatehouse::bench
