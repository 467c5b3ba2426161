// Makes the codec that ALPN chose, from what a worker's codecs share.
//
// Ownership:  CodecShared is the worker's and outlives its codecs; the codec borrows handler, shared and date.
// Threading:  one worker, one thread.
#pragma once

#include <memory>

#include "gateway/http/codec.h"
#include "gateway/http/limits.h"

namespace gatehouse::http {

// CodecShared holds what all codecs of a worker use: nghttp2's callbacks and options, memory pools, scratch heads.
class CodecShared {
 public:
  CodecShared();
  ~CodecShared();
  CodecShared(const CodecShared&) = delete;
  CodecShared& operator=(const CodecShared&) = delete;

  struct Parts;
  Parts& parts() { return *parts_; }

 private:
  std::unique_ptr<Parts> parts_;
};

struct CodecOptions {
  Limits limits;
  const DateCache* date = nullptr;  // null: no Date field
  bool tls = true;                  // :scheme must be https
};

// `options` is borrowed too and outlives the codec.
std::unique_ptr<ServerCodec> NewHttp1Codec(CodecHandler* handler, CodecShared* shared, const CodecOptions* options);
std::unique_ptr<ServerCodec> NewHttp2Codec(CodecHandler* handler, CodecShared* shared, const CodecOptions* options);

}  // namespace gatehouse::http
