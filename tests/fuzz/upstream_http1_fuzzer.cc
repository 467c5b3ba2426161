// What an HTTP/1.1 upstream answers. The first byte says how the input is cut, the second what was asked.
#include <cstdint>
#include <cstdlib>

#include "gateway/http/http1_response.h"

namespace gatehouse::fuzz {
namespace {

class Judge final : public http::ResponseHandler {
 public:
  void OnResponseHead(http::ResponseHead&& head, bool end) override {
    if (done || ++heads > 1) abort();
    if ((head.status < 200 && head.status != 101) || head.status > 599) abort();
    if (head.fields.Count("content-length") > 1) abort();
    if (head.content_length.has_value() && head.fields.Has("transfer-encoding")) abort();
    for (size_t i = 0; i < head.fields.size(); ++i) {
      if (!http::IsToken(head.fields[i].name) || !http::IsFieldValue(head.fields[i].value)) abort();
    }
    length = head.content_length;
    bodiless = end;
  }
  void OnResponseBody(absl::string_view data) override {
    if (heads != 1 || done || bodiless) abort();
    body += data.size();
    if (length.has_value() && body > *length) abort();
  }
  void OnResponseEnd(http::FieldList&&) override {
    if (heads != 1 || done) abort();
    if (length.has_value() && !bodiless && body != *length) abort();
    done = true;
  }
  int heads = 0;
  bool done = false, bodiless = false;
  uint64_t body = 0;
  std::optional<uint64_t> length;
};

}  // namespace
}  // namespace gatehouse::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse;
  if (size < 2) return 0;
  const size_t step = data[0] == 0 ? size : data[0];
  fuzz::Judge judge;
  http::ResponseParser parser(&judge, {});
  parser.Reset(data[1] % 3 == 0 ? "HEAD" : "GET", data[1] % 3 == 1);
  absl::string_view input(reinterpret_cast<const char*>(data + 2), size - 2);
  while (!input.empty() && parser.state() != http::ResponseParser::State::kFailed &&
         parser.state() != http::ResponseParser::State::kDone) {
    const absl::string_view piece = input.substr(0, step);
    const size_t taken = parser.Receive(piece);
    if (taken > piece.size()) abort();
    input.remove_prefix(piece.size());
  }
  if (parser.state() != http::ResponseParser::State::kFailed && parser.state() != http::ResponseParser::State::kDone) {
    parser.ReceiveEof();
  }
  const bool ended = parser.state() == http::ResponseParser::State::kDone;
  if (ended != judge.done && parser.state() != http::ResponseParser::State::kFailed) abort();
  return 0;
}
