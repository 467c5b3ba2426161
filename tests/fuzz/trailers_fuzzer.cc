// What a client sends behind the last chunk, through the parser and the filters to what an upstream is sent: that must be read back as
// one body with the fields that may pass, and nothing behind it. The first byte says how the input is cut.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "gateway/http/chunked.h"
#include "gateway/http/trailers.h"
#include "gateway/identity/headers.h"
#include "gateway/upstream/request_head.h"

namespace {

using namespace gatehouse;  // NOLINT: a fuzzer's own file
using Step = http::ChunkedDecoder::Step;

void Check(bool holds) {
  if (!holds) std::abort();
}

// The last step, and what is left of the input.
Step Decode(http::ChunkedDecoder* decoder, absl::string_view* input, size_t step, std::string* body) {
  decoder->Reset(32 * 1024, 100);
  for (;;) {
    absl::string_view piece = input->substr(0, step), data;
    const size_t before = piece.size();
    const Step result = decoder->Next(&piece, &data);
    input->remove_prefix(before - piece.size());
    if (result == Step::kData) body->append(data.data(), data.size());
    if (result == Step::kEnd || result == Step::kError || input->empty()) return result;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const identity::StripList* const strip = new identity::StripList(std::vector<std::string>{"x-caller"});
  const std::string input = "0\r\n" + std::string(reinterpret_cast<const char*>(data) + 1, size - 1);
  absl::string_view rest = input;
  http::ChunkedDecoder decoder;
  std::string body;
  if (Decode(&decoder, &rest, data[0] + size_t{1}, &body) != Step::kEnd) return 0;
  http::FieldList trailers = decoder.TakeTrailers();
  trailers.RemoveIf([](absl::string_view name, absl::string_view) { return !http::MayTrail(name) || strip->Removes(name); });

  std::string out;
  upstream::AppendBody(upstream::Framing::kChunked, "ab", true, &trailers, &out);
  rest = out;
  Check(Decode(&decoder, &rest, out.size(), &body) == Step::kEnd && rest.empty() && body == "ab");
  const http::FieldList sent = decoder.TakeTrailers();
  Check(sent.size() == trailers.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    Check(sent[i].name == trailers[i].name && sent[i].value == trailers[i].value);
    Check(http::IsTrailer(sent[i]) && !strip->Removes(sent[i].name));
  }
  return 0;
}
