// What an HTTP/2 upstream says to three requests, frame by frame. The first byte says how the input is cut.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "gateway/upstream/http2_client.h"

namespace gatehouse::fuzz {
namespace {

// What must hold for each stream, whatever comes: a head, its body, one end.
class Judge final : public upstream::Http2Handler {
 public:
  struct Told {
    bool head = false, over = false, nothing_follows = false;
  };
  void OnStreamHead(upstream::Http2Stream* stream, http::ResponseHead&& head) override {
    Told& told = Of(stream);
    if (told.head || head.status < 200 || head.status > 599) abort();
    for (size_t i = 0; i < head.fields.size(); ++i) {
      const http::FieldList::Field field = head.fields[i];
      if (!http::IsToken(field.name) || !http::IsFieldValue(field.value) || field.name == "connection") abort();
    }
    told.head = true;
    told.nothing_follows = head.end;
  }
  void OnStreamHints(upstream::Http2Stream* stream, http::FieldList&&) override {
    if (Of(stream).head) abort();
  }
  void OnStreamBody(upstream::Http2Stream* stream, absl::string_view bytes) override {
    if (!Of(stream).head || Of(stream).nothing_follows) abort();
    held += bytes.size();
    if (stream->unconsumed > 64 * 1024) abort();
    if (stream->id % 4 == 1) client->Consume(stream);
    if (stream->id % 4 == 3 && bytes.size() % 7 == 3) {
      Of(stream).over = true;
      client->Drop(stream);
    }
  }
  void OnStreamTrailers(upstream::Http2Stream* stream, http::FieldList&&) override {
    if (!Of(stream).head || Of(stream).nothing_follows) abort();
  }
  void OnStreamHalfClosed(upstream::Http2Stream* stream) override {
    if (!Of(stream).head || !stream->switched || stream->body_ended) abort();
    if (stream->id % 4 == 1) client->SendBody(stream, "bye", true, nullptr);
  }
  void OnStreamEnd(upstream::Http2Stream* stream) override {
    if (!Of(stream).head) abort();
    Of(stream).over = true;
  }
  void OnStreamFailed(upstream::Http2Stream* stream, upstream::ErrorKind, absl::string_view) override {
    Of(stream).over = true;
    if (client->CanOpen() && reopened++ < 10) Open();
  }
  void OnStreamSent(upstream::Http2Stream* stream) override { Of(stream); }
  void Open() {
    http::FieldList head;
    const bool connect = client->TakesConnect();
    head.Add(":method", connect ? "CONNECT" : "POST");
    if (connect) head.Add(":protocol", "websocket");
    head.Add(":scheme", "http");
    head.Add(":authority", "a");
    head.Add(":path", "/");
    auto trailers = std::make_unique<http::FieldList>();
    trailers->Add("x-sum", "7");
    client->Open(head, std::string(1000, 'x'), reopened % 2 == 0, std::move(trailers), nullptr);
  }
  upstream::Http2Client* client = nullptr;

 private:
  Told& Of(upstream::Http2Stream* stream) {
    Told& told = streams_[stream->id];
    if (told.over) abort();
    return told;
  }
  std::map<int32_t, Told> streams_;
  size_t held = 0;
  int reopened = 0;
};

void Produce(upstream::Http2Client* client) {
  http::OutBuffer out(16 * 1024);
  client->Produce(&out);
  client->Tell();
}

}  // namespace
}  // namespace gatehouse::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse;
  if (size == 0) return 0;
  const size_t step = data[0] == 0 ? size + 64 : data[0];
  std::string input("\0\0\0\4\0\0\0\0\0", 9);
  input.append(reinterpret_cast<const char*>(data + 1), size - 1);
  fuzz::Judge judge;
  upstream::Http2Client client(&judge, {});
  judge.client = &client;
  for (int i = 0; i < 3; ++i) judge.Open();
  fuzz::Produce(&client);
  loop::Instant now{1};
  for (absl::string_view rest = input; !rest.empty(); rest.remove_prefix(std::min(step, rest.size()))) {
    if (!client.Receive(rest.substr(0, step), now)) break;
    fuzz::Produce(&client);
    if (!client.error().empty()) break;
    now.nanos += 1'000'000;
  }
  return 0;
}
