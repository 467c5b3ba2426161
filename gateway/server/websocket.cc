#include "gateway/server/websocket.h"

#include <openssl/evp.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/credentials/base64.h"

namespace gatehouse::server {
namespace {

constexpr size_t kKey = 16;
constexpr char kGuid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3

std::string Encode(const uint8_t* bytes, size_t n) {
  std::string text(4 * ((n + 2) / 3) + 1, '\0');  // EVP_EncodeBlock ends it with NUL
  text.resize(static_cast<size_t>(EVP_EncodeBlock(reinterpret_cast<uint8_t*>(text.data()), bytes, static_cast<int>(n))));
  return text;
}

}  // namespace

std::optional<std::string> AskWebSocket(const http::RequestHead& head, absl::string_view* error) {
  const http::FieldList& fields = head.fields();
  if (fields.Count("sec-websocket-version") != 1 || *fields.Find("sec-websocket-version") != "13") {
    *error = "Sec-WebSocket-Version is not 13";
    return std::nullopt;
  }
  if (head.version >= 20) {
    const std::string key = RandomBytes(kKey);
    return Encode(reinterpret_cast<const uint8_t*>(key.data()), key.size());
  }
  std::string key;
  if (fields.Count("sec-websocket-key") != 1 ||
      !credentials::DecodeBase64(*fields.Find("sec-websocket-key"), credentials::Base64Padding::kRequired, &key) ||
      key.size() != kKey) {
    *error = "Sec-WebSocket-Key is not 16 bytes in base64";
    return std::nullopt;
  }
  return std::string(*fields.Find("sec-websocket-key"));
}

bool ProvesWebSocket(const http::FieldList& answer, absl::string_view key) {
  const std::array<uint8_t, 20> digest = Sha1(absl::StrCat(key, kGuid));
  return answer.Count("sec-websocket-accept") == 1 &&
         *answer.Find("sec-websocket-accept") == Encode(digest.data(), digest.size());
}

}  // namespace gatehouse::server
