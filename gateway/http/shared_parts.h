// What CodecShared holds; internal to this folder.
#pragma once

#include <nghttp2/nghttp2.h>

#include "gateway/http/codec_factory.h"

namespace gatehouse::http {

struct CodecShared::Parts {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  RequestHead scratch;  // the head being handed out: its memory is used again
};

// Fills callbacks and option (http2_codec.cc).
void InitHttp2Parts(CodecShared::Parts* parts);

}  // namespace gatehouse::http
