#include "gateway/http/http1_request.h"

#include <string>

#include "absl/strings/match.h"
#include "gateway/http/http1_head.h"

namespace gatehouse::http {
namespace {

std::optional<Refusal> CheckFields(const FieldList& fields, const Limits& limits) {
  size_t size = 0;
  for (size_t i = 0; i < fields.size(); ++i) size += fields[i].name.size() + fields[i].value.size() + 32;
  if (fields.size() > limits.header_count || size > limits.header_bytes) {
    return Refusal{431, false, "the header is too large"};
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!IsToken(fields[i].name) || !IsFieldValue(fields[i].value)) {
      return Refusal{400, true, "a field holds a character that it may not"};
    }
  }
  return std::nullopt;
}

// absolute-form: scheme "://" authority path (RFC 9112 3.2.2). `path` keeps what raw->target is a view of.
std::optional<Refusal> TakeAbsoluteForm(absl::string_view target, RawRequest* raw, std::string* path) {
  const size_t colon = target.find("://");
  if (colon == absl::string_view::npos || colon == 0) {
    return raw->method == "CONNECT" ? Refusal{501, true, "the method is not supported"}
                                    : Refusal{400, true, "the target is neither a path nor a URI"};
  }
  raw->scheme = target.substr(0, colon);
  const absl::string_view rest = target.substr(colon + 3);
  const size_t end = rest.find_first_of("/?");
  raw->authority = rest.substr(0, end);
  raw->has_authority = true;
  path->clear();
  if (end == absl::string_view::npos || rest[end] == '?') path->push_back('/');
  if (end != absl::string_view::npos) path->append(rest.data() + end, rest.size() - end);
  raw->target = *path;
  return std::nullopt;
}

// The body's framing, where smuggling lives: exactly one way to read it, or 400 and close (RFC 9112 6).
std::optional<Refusal> Frame(RequestHead* head, Framing* framing) {
  const FieldList& fields = head->fields();
  const size_t codings = fields.Count("transfer-encoding");
  *framing = Framing::kNone;
  if (codings > 0) {
    if (head->version == 10) return Refusal{400, true, "Transfer-Encoding in HTTP/1.0"};
    if (head->content_length.has_value()) return Refusal{400, true, "Transfer-Encoding together with Content-Length"};
    if (codings > 1 || !absl::EqualsIgnoreCase(*fields.Find("transfer-encoding"), "chunked")) {
      return Refusal{400, true, "Transfer-Encoding is not exactly \"chunked\""};
    }
    *framing = Framing::kChunked;
  } else if (head->content_length.value_or(0) > 0) {
    *framing = Framing::kLength;
  }
  head->has_body = *framing != Framing::kNone;
  const bool close = fields.HasToken("connection", "close");
  head->keep_alive = head->version == 10 ? !close && fields.HasToken("connection", "keep-alive") : !close;
  return std::nullopt;
}

// RFC 6455 4.1, as far as it is HTTP's. Bytes that come before the answer wait: they are WebSocket's if it is a switch, and the
// next request if not.
bool AsksForWebSocket(const RequestHead& head) {
  return head.version == 11 && !head.has_body && head.fields().HasToken("upgrade", "websocket") &&
         head.fields().HasToken("connection", "upgrade") && head.method() == "GET";
}

}  // namespace

std::optional<Refusal> ReadHttp1Request(absl::string_view bytes, const Limits& limits, bool tls, RequestHead* head, Framing* framing) {
  RequestLine line;
  if (std::optional<const char*> error = ParseRequestHead(bytes, &line, &head->fields())) return Refusal{400, true, *error};
  if (std::optional<Refusal> refusal = CheckFields(head->fields(), limits)) return refusal;
  head->version = line.version;
  RawRequest raw;
  raw.method = line.method;
  raw.target = line.target;
  std::string path;
  if (!line.target.empty() && line.target[0] != '/' && line.target != "*") {
    if (std::optional<Refusal> refusal = TakeAbsoluteForm(line.target, &raw, &path)) return refusal;
  }
  if (std::optional<Refusal> refusal = CheckRequest(raw, limits, tls, head)) return refusal;
  if (std::optional<Refusal> refusal = Frame(head, framing)) return refusal;
  head->websocket = AsksForWebSocket(*head);
  return std::nullopt;
}

}  // namespace gatehouse::http
