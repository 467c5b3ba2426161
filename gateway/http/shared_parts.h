// What CodecShared holds; internal to this folder.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>
#include <string>
#include <vector>

#include "gateway/http/codec_factory.h"
#include "gateway/http/session_pages.h"
#include "gateway/http/small_blocks.h"

namespace gatehouse::http {

struct Http2Stream;

struct CodecShared::Parts {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  SessionPages session_pages;
  SmallBlocks small_blocks;
  std::vector<std::unique_ptr<Http2Stream>> spare_streams;
  std::vector<std::unique_ptr<RequestHead>> spare_heads;   // with memory for fields
  std::vector<std::unique_ptr<RequestHead>> hollow_heads;  // that were moved from
  RequestHead scratch;  // the head being handed out: its memory is used again
  std::vector<std::string> spare_outputs;  // HTTP/1: empty, with memory for an answer
};

// Fills callbacks and option (http2_callbacks.cc).
void InitHttp2Parts(CodecShared::Parts* parts);

}  // namespace gatehouse::http
