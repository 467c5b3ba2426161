// What CodecShared holds; internal to this folder.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <vector>

#include "gateway/http/codec_factory.h"
#include "gateway/http/session_pages.h"

namespace gatehouse::http {

struct Http2Stream;

struct CodecShared::Parts {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  SessionPages session_pages;
  std::vector<std::unique_ptr<Http2Stream>> spare_streams;
  std::vector<std::unique_ptr<RequestHead>> spare_heads;
  RequestHead scratch;  // the head being handed out: its memory is used again
};

// Fills callbacks and option (http2_callbacks.cc).
void InitHttp2Parts(CodecShared::Parts* parts);

}  // namespace gatehouse::http
