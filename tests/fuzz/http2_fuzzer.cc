// HTTP/2 frames behind a good preface. The first byte says how the input is cut.
#include "codec_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse;
  if (size == 0) return 0;
  size_t step = data[0] == 0 ? size + 64 : data[0];
  std::string input("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  input.append(reinterpret_cast<const char*>(data + 1), size - 1);
  static http::CodecShared shared;
  static const http::CodecOptions options;
  fuzz::Answering handler;
  auto codec = http::NewHttp2Codec(&handler, &shared, &options);
  fuzz::Drive(codec.get(), &handler, input, step);
  return 0;
}
