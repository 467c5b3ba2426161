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

std::optional<WebSocketHandshake::Fault> WebSocketHandshake::Ask(const http::RequestHead& head, bool upstream_http2) {
  const http::FieldList& fields = head.fields();
  client_http2_ = head.version >= 20;
  upstream_http2_ = upstream_http2;
  if (fields.Count("sec-websocket-version") != 1 || *fields.Find("sec-websocket-version") != "13") {
    other_version_ = true;
    // 426 comes with an Upgrade field (RFC 9110 15.5.22), which HTTP/2 does not have.
    return Fault{client_http2_ ? 400 : 426, "Sec-WebSocket-Version is not 13"};
  }
  if (!client_http2_) {
    std::string key;
    if (fields.Count("sec-websocket-key") != 1 ||
        !credentials::DecodeBase64(*fields.Find("sec-websocket-key"), credentials::Base64Padding::kRequired, &key) ||
        key.size() != kKey) {
      return Fault{400, "Sec-WebSocket-Key is not 16 bytes in base64"};
    }
    key_ = std::string(*fields.Find("sec-websocket-key"));
  } else if (!upstream_http2_) {
    const std::string key = RandomBytes(kKey);
    key_ = Encode(reinterpret_cast<const uint8_t*>(key.data()), key.size());
  }
  asked_ = true;
  return std::nullopt;
}

WebSocketHandshake::Outcome WebSocketHandshake::Judge(http::ResponseHead* answer, absl::string_view* wrong) {
  if (answer->status == 101) {
    if (!upstream_http2_ && !Proves(answer->fields)) {
      *wrong = "the upstream's Sec-WebSocket-Accept does not prove that it speaks WebSocket";
      return Outcome::kWrong;
    }
    // RFC 8441 5: HTTP/2 has no use for the proof, and a client of HTTP/1.1 is owed one.
    answer->fields.Remove("sec-websocket-accept");
    if (!client_http2_) answer->fields.Add("sec-websocket-accept", Proof());
    return Outcome::kSwitch;
  }
  if (client_http2_ && answer->status < 300) {
    *wrong = "the upstream did not switch to WebSocket";
    return Outcome::kWrong;
  }
  return Outcome::kOrdinary;
}

std::string WebSocketHandshake::Proof() const {
  const std::array<uint8_t, 20> digest = Sha1(absl::StrCat(key_, kGuid));
  return Encode(digest.data(), digest.size());
}

bool WebSocketHandshake::Proves(const http::FieldList& answer) const {
  return answer.Count("sec-websocket-accept") == 1 && *answer.Find("sec-websocket-accept") == Proof();
}

}  // namespace gatehouse::server
