// Drives a ServerCodec with arbitrary bytes in arbitrary cuts, and checks what must hold whatever the client sends.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "gateway/http/codec_factory.h"

namespace gatehouse::fuzz {

class Answering final : public http::CodecHandler {
 public:
  void OnRequest(http::StreamId id, http::RequestHead&& head) override {
    if (head.path().empty() || head.host().empty()) abort();
    if (head.fields().Count("host") != 1 || head.fields().Count("content-length") > 1) abort();
    if (!open.insert(id).second) abort();
    if (head.websocket && head.path().size() % 2 == 0) {
      if (!codec->SendSwitch(id, http::ResponseHead())) abort();
      codec->SendBody(id, "welcome", head.path().size() % 4 == 0);
      return;
    }
    switch (id % 4) {
      case 0:
      case 1:
        codec->SendFixed(id, fixed);
        break;
      case 2: {
        http::ResponseHead response;
        codec->SendContinue(id);
        codec->SendHead(id, response, false);
        codec->SendBody(id, std::string(100'000, 'x'), true);
        codec->SendTrailers(id, http::FieldList());
        break;
      }
      default:
        if (!head.has_body) codec->Reset(id, http::ErrorCode::kCancel);
    }
  }
  void OnBody(http::StreamId id, absl::string_view data, bool end) override {
    if (!open.contains(id)) abort();
    codec->ConsumeBody(id, data.size());
    if (end) codec->SendFixed(id, fixed);
  }
  void OnTrailers(http::StreamId id, http::FieldList&& trailers) override {
    if (!open.contains(id) || trailers.empty() || trailers.size() > http::Limits().header_count) abort();
    codec->SendHead(id, http::ResponseHead(), false);
    codec->SendTrailers(id, trailers);
  }
  void OnReset(http::StreamId, uint32_t) override {}
  void OnStreamClosed(http::StreamId id) override {
    if (open.erase(id) != 1) abort();
  }
  void OnBodyWritable(http::StreamId id) override { codec->SendBody(id, "y", true); }
  http::Answer OnProtocolError(const http::ProtocolError& e) override {
    if (e.text.empty()) abort();
    return {};
  }

  http::ServerCodec* codec = nullptr;
  std::shared_ptr<const http::FixedResponse> fixed;
  std::set<http::StreamId> open;
};

inline void Drive(http::ServerCodec* codec, Answering* handler, absl::string_view input, size_t step) {
  handler->codec = codec;
  handler->fixed = *http::FixedResponse::Create(200, http::FieldList(), "ok");
  http::OutBuffer out;
  int64_t now = 1;
  auto produce = [&] {
    for (int i = 0; i < 1000 && codec->WantsWrite(); ++i) {
      codec->Produce(&out);
      out.Clear();
    }
  };
  while (true) {
    absl::string_view piece = input.substr(0, step);
    input.remove_prefix(piece.size());
    auto result = codec->Receive(piece, loop::Instant{now += 1'000'000});
    produce();
    for (int i = 0; i < 1000 && codec->HasReadyInput() && result == http::ServerCodec::Result::kOk; ++i) {
      result = codec->Receive("", loop::Instant{now});
      produce();
    }
    if (result == http::ServerCodec::Result::kClose) break;
    if (input.empty()) {
      codec->ReceiveEof();
      break;
    }
  }
  produce();
}

}  // namespace gatehouse::fuzz
