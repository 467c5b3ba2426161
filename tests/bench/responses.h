// Response readers: as much of HTTP/1.1 and HTTP/2 as it takes to see that an answer came and which one.
//
// Ownership:  a reader changes the input (what it took is erased) and appends what must be sent back to `reply`.
// Errors:     false: the peer does not speak the protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace gatehouse::bench {

struct ResponseSink {
  // stream is 0 for HTTP/1.1. `status` is 0 where it could not be read.
  std::function<void(uint32_t stream, int status)> answered;
  // No new request on this connection; those above `last_stream` will not be answered.
  std::function<void(uint32_t last_stream)> going_away;
  std::string* body = nullptr;  // gathers bodies, if given
};

bool ReadHttp1(std::string& in, const ResponseSink& sink);

class Http2Reader {
 public:
  bool Read(std::string& in, std::string& reply, const ResponseSink& sink);

 private:
  struct Frame;
  void OnFrame(const Frame& frame, std::string& reply, const ResponseSink& sink);
  int& StatusOf(uint32_t stream) { return status_[(stream >> 1) % kStreams]; }

  uint32_t taken_ = 0;  // of bodies, not yet given back to the connection's window
  static constexpr size_t kStreams = 64;  // more than a connection ever has open
  int status_[kStreams] = {};
};

}  // namespace gatehouse::bench
