#include <cstdlib>
#include <cstring>

#include "gateway/http/http2_codec.h"

namespace gatehouse::http {
namespace {

constexpr size_t kFramePayload = 16384;  // SETTINGS_MAX_FRAME_SIZE's initial value (RFC 9113 6.5.2)

}  // namespace

// nghttp2's memory: the session's frame buffer and its table of streams are on pages that can be given back, all else is
// on the heap, small pieces by way of the worker's.
struct Http2Memory {
  static Http2Codec* Codec(void* user) { return static_cast<Http2Codec*>(user); }
  static void* Malloc(size_t n, void* user) {
    Http2Codec* c = Codec(user);
    // It is the only one of its size that is made with the session.
    if (c->session_ == nullptr && !c->has_frame_ && n >= kFramePayload && n <= SessionPages::kFrame && c->pages_.frame != nullptr) {
      c->has_frame_ = true;
      return c->pages_.frame;
    }
    return c->shared_->parts().small_blocks.Malloc(n);
  }
  static void* Calloc(size_t count, size_t n, void* user) {
    Http2Codec* c = Codec(user);
    if (c->session_ == nullptr && !c->has_table_ && count * n == SessionPages::kTable && c->pages_.table != nullptr) {
      c->has_table_ = true;
      return std::memset(c->pages_.table, 0, SessionPages::kTable);
    }
    return std::calloc(count, n);
  }
  static void Free(void* p, void* user) {
    Http2Codec* c = Codec(user);
    if (c->has_frame_ && p == c->pages_.frame) {
      c->has_frame_ = false;
    } else if (c->has_table_ && p == c->pages_.table) {
      c->has_table_ = false;
    } else {
      c->shared_->parts().small_blocks.Free(p);
    }
  }
  static void* Realloc(void* p, size_t n, void* user) {
    Http2Codec* c = Codec(user);
    if (p == nullptr) return Malloc(n, user);
    const bool frame = c->has_frame_ && p == c->pages_.frame;
    if (!frame && !(c->has_table_ && p == c->pages_.table)) return std::realloc(p, n);
    const size_t had = frame ? SessionPages::kFrame : SessionPages::kTable;
    if (n <= had) return p;
    void* moved = std::malloc(n);
    if (moved == nullptr) return nullptr;
    std::memcpy(moved, p, had);
    Free(p, user);
    return moved;
  }
};

nghttp2_mem Http2MemoryOf(Http2Codec* codec) {
  return nghttp2_mem{codec, Http2Memory::Malloc, Http2Memory::Free, Http2Memory::Calloc, Http2Memory::Realloc};
}

}  // namespace gatehouse::http
