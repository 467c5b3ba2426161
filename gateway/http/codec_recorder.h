// A CodecHandler for tests: remembers everything as text lines and answers when told to.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/http/codec.h"

namespace gatehouse::http {

class CodecRecorder final : public CodecHandler {
 public:
  void OnRequest(StreamId id, RequestHead&& head) override {
    lines.push_back(absl::StrCat("request ", id, " ", head.method(), " ", head.authority(), " ", head.path(),
                                 head.has_query ? "?" : "", head.query(), head.has_body ? " +body" : ""));
    heads[id] = std::move(head);
    if (on_request) on_request(id);
  }
  void OnBody(StreamId id, absl::string_view data, bool end) override {
    bodies[id].append(data.data(), data.size());
    if (consume && codec != nullptr) codec->ConsumeBody(id, data.size());
    if (end) lines.push_back(absl::StrCat("end ", id, " ", bodies[id].size()));
    if (end && on_end) on_end(id);
  }
  void OnTrailers(StreamId id, FieldList&& t) override {
    lines.push_back(absl::StrCat("trailers ", id, " ", t.size()));
  }
  void OnReset(StreamId id, uint32_t code) override { lines.push_back(absl::StrCat("reset ", id, " ", code)); }
  void OnStreamClosed(StreamId id) override { lines.push_back(absl::StrCat("closed ", id)); }
  void OnBodyWritable(StreamId id) override {
    lines.push_back(absl::StrCat("writable ", id));
    if (on_writable) on_writable(id);
  }
  Answer OnProtocolError(const ProtocolError& e) override {
    lines.push_back(absl::StrCat("error ", e.stream, " ", e.status, e.connection ? " fatal" : ""));
    texts.push_back(std::string(e.text));
    return refusal;
  }

  ServerCodec* codec = nullptr;
  bool consume = true;
  Answer refusal;  // what protocol errors are answered
  std::function<void(StreamId)> on_request, on_end, on_writable;
  std::vector<std::string> lines;
  std::vector<std::string> texts;
  std::map<StreamId, RequestHead> heads;
  std::map<StreamId, std::string> bodies;
};

}  // namespace gatehouse::http
