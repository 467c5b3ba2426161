// HTTP/1.1 requests and responses. The first byte says how the input is cut; the outcome must not depend on it.
#include "codec_fuzz.h"
#include "gateway/http/http1_response.h"

namespace {

struct Ignore final : gatehouse::http::ResponseHandler {
  void OnResponseHead(gatehouse::http::ResponseHead&&, bool) override { ++heads; }
  void OnResponseBody(absl::string_view data) override { body += data.size(); }
  void OnResponseEnd(gatehouse::http::FieldList&&) override { ++ends; }
  size_t heads = 0, body = 0, ends = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse;
  if (size == 0) return 0;
  size_t step = data[0] == 0 ? size : data[0];
  absl::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  static http::CodecShared shared;
  static const http::CodecOptions options;
  fuzz::Answering handler;
  auto codec = http::NewHttp1Codec(&handler, &shared, &options);
  fuzz::Drive(codec.get(), &handler, input, step);

  Ignore whole, cut;
  http::ResponseParser a(&whole, {}), b(&cut, {});
  a.Reset("GET");
  b.Reset("GET");
  a.Receive(input);
  for (size_t at = 0; at < input.size();) {
    size_t n = b.Receive(input.substr(at, step));
    if (n == 0) break;
    at += n;
  }
  if (a.state() == http::ResponseParser::State::kDone &&
      (b.state() != a.state() || whole.body != cut.body || whole.ends != 1 || cut.ends != 1)) {
    abort();
  }
  return 0;
}
