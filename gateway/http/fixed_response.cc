#include "gateway/http/fixed_response.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::http {

absl::string_view ReasonPhrase(int status) {
  switch (status) {
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

absl::StatusOr<std::shared_ptr<const FixedResponse>> FixedResponse::Create(int status, const FieldList& fields,
                                                                           std::string body) {
  if (status < 200 || status > 599) {
    return absl::InvalidArgumentError(absl::StrCat("status ", status, " is not 200 to 599"));
  }
  std::shared_ptr<FixedResponse> r(new FixedResponse());
  r->status_ = status;
  if (!r->body_allowed() && !body.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("a response with status ", status, " has no body"));
  }
  r->body_ = std::move(body);
  r->http1_head_ = absl::StrCat("HTTP/1.1 ", status, " ", ReasonPhrase(status), "\r\n");
  std::vector<std::pair<std::string, std::string>> all = {{":status", absl::StrCat(status)}};
  for (size_t i = 0; i < fields.size(); ++i) {
    FieldList::Field f = fields[i];
    if (!IsToken(f.name) || !IsFieldValue(f.value)) {
      return absl::InvalidArgumentError(absl::StrCat("response field \"", f.name, "\" may not go on the wire"));
    }
    if (IsHopByHop(f.name) || f.name == "content-length") continue;
    all.emplace_back(std::string(f.name), std::string(f.value));
  }
  if (r->body_allowed()) all.emplace_back("content-length", absl::StrCat(r->body_.size()));
  r->storage_.reserve(2 * all.size());  // nv_ points into it: it must not grow afterwards
  for (auto& [name, value] : all) {
    if (name[0] != ':') absl::StrAppend(&r->http1_head_, name, ": ", value, "\r\n");
    std::string& n = r->storage_.emplace_back(std::move(name));
    std::string& v = r->storage_.emplace_back(std::move(value));
    r->nv_.push_back(nghttp2_nv{reinterpret_cast<uint8_t*>(n.data()), reinterpret_cast<uint8_t*>(v.data()), n.size(),
                                v.size(), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE});
  }
  return std::shared_ptr<const FixedResponse>(std::move(r));
}

}  // namespace gatehouse::http
