#include "gateway/upstream/request_head.h"

#include <charconv>

#include "gateway/http/trailers.h"

namespace gatehouse::upstream {
namespace {

void Append(absl::string_view text, std::string* out) { out->append(text.data(), text.size()); }

void AppendNumber(uint64_t n, int base, std::string* out) {
  char digits[24];
  auto end = std::to_chars(digits, digits + sizeof(digits), n, base).ptr;
  out->append(digits, static_cast<size_t>(end - digits));
}

// For what stands in the request line or Host: no white space and no controls at all.
bool CleanWord(absl::string_view text) {
  return !HasControl(text) && text.find(' ') == absl::string_view::npos;
}

// What this gateway writes itself, or must not pass on.
bool IsOurs(absl::string_view name) {
  switch (name.size()) {
    case 4:
      return name == "host";
    case 6:
      return name == "expect";
    case 14:
      return name == "content-length";
    case 19:
      return name == "proxy-authorization";
    default:
      return http::IsHopByHop(name);
  }
}

void AppendField(http::FieldList::Field field, std::string* out) {
  Append(field.name, out);
  out->append(": ");
  Append(field.value, out);
  out->append("\r\n");
}

bool WriteFields(const http::FieldList& fields, std::string* out) {
  for (size_t i = 0; i < fields.size(); ++i) {
    http::FieldList::Field field = fields[i];
    if (!http::IsToken(field.name) || BreaksLine(field.value)) return false;
    if (!IsOurs(field.name)) AppendField(field, out);
  }
  return true;
}

bool CleanLine(const RequestHead& head) {
  return http::IsToken(head.method) && !head.target.empty() && CleanWord(head.target) && CleanWord(head.authority) &&
         !BreaksLine(head.trailer);
}

}  // namespace

bool WriteHead(const RequestHead& head, std::string* out) {
  size_t start = out->size();
  if (!CleanLine(head)) return false;
  Append(head.method, out);
  out->push_back(' ');
  Append(head.target, out);
  out->append(" HTTP/1.1\r\nhost: ");
  Append(head.authority, out);
  out->append("\r\n");
  if (head.fields != nullptr && !WriteFields(*head.fields, out)) {
    out->resize(start);
    return false;
  }
  if (head.accepts_trailers && head.framing != Framing::kUpgrade) out->append("connection: te\r\nte: trailers\r\n");
  if (head.framing == Framing::kLength) {
    out->append("content-length: ");
    AppendNumber(head.content_length, 10, out);
    out->append("\r\n");
  } else if (head.framing == Framing::kChunked) {
    out->append("transfer-encoding: chunked\r\n");
    if (!head.trailer.empty()) AppendField({"trailer", head.trailer}, out);
  } else if (head.framing == Framing::kUpgrade) {
    out->append("connection: Upgrade\r\nupgrade: websocket\r\n");
  }
  out->append("\r\n");
  return true;
}

bool ListHead(const RequestHead& head, absl::string_view scheme, http::FieldList* out) {
  if (!CleanLine(head)) return false;
  const bool connect = head.framing == Framing::kUpgrade;  // RFC 8441 4
  const size_t fields = head.fields == nullptr ? 0 : head.fields->size();
  out->Clear();
  out->Reserve(1024, fields + 6);
  out->Add(":method", connect ? "CONNECT" : head.method);
  out->Add(":scheme", scheme);
  out->Add(":authority", head.authority);
  out->Add(":path", head.target);
  if (connect) out->Add(":protocol", "websocket");
  for (size_t i = 0; i < fields; ++i) {
    http::FieldList::Field field = (*head.fields)[i];
    if (!http::IsToken(field.name) || !http::IsFieldValue(field.value)) return false;
    if (!IsOurs(field.name)) out->Add(field.name, field.value);
  }
  if (head.accepts_trailers && !connect) out->Add("te", "trailers");  // the one value that HTTP/2 knows (RFC 9113 8.2.2)
  if (!head.trailer.empty() && !connect) out->Add("trailer", head.trailer);
  if (head.framing == Framing::kLength) {
    std::string length;
    AppendNumber(head.content_length, 10, &length);
    out->Add("content-length", length);
  }
  return true;
}

void AppendBody(Framing framing, absl::string_view bytes, bool end, const http::FieldList* trailers, std::string* out) {
  if (framing != Framing::kChunked) return Append(bytes, out);
  AppendChunk(bytes, out);
  if (!end) return;
  out->append("0\r\n");
  for (size_t i = 0; trailers != nullptr && i < trailers->size(); ++i) {
    if (http::IsTrailer((*trailers)[i])) AppendField((*trailers)[i], out);
  }
  out->append("\r\n");
}

void AppendChunk(absl::string_view bytes, std::string* out) {
  if (bytes.empty()) return;
  AppendNumber(bytes.size(), 16, out);
  out->append("\r\n");
  Append(bytes, out);
  out->append("\r\n");
}

}  // namespace gatehouse::upstream
