#include "gateway/http/http1_head.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cstring>

namespace gatehouse::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;
using View = beast::string_view;

absl::string_view Of(View v) { return absl::string_view(v.data(), v.size()); }

// Collects what Beast reports of one head.
template <bool kRequest>
class HeadCollector final : public beast::http::basic_parser<kRequest> {
 public:
  explicit HeadCollector(FieldList* fields) : fields_(fields) {
    this->header_limit(1u << 30);  // our own limits were applied before
    this->body_limit(boost::none);
  }
  std::string method, target;
  int version = 11;
  int status = 0;

 private:
  void on_request_impl(beast::http::verb, View m, View t, int v, error_code&) override {
    method.assign(m.data(), m.size());
    target.assign(t.data(), t.size());
    version = v;
  }
  void on_response_impl(int code, View, int v, error_code&) override {
    status = code;
    version = v;
  }
  void on_field_impl(beast::http::field, View name, View value, error_code&) override {
    fields_->Add(Of(name), Of(value));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(View s, error_code&) override { return s.size(); }
  void on_chunk_header_impl(std::uint64_t, View, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View s, error_code&) override { return s.size(); }
  void on_finish_impl(error_code&) override {}

  FieldList* const fields_;
};

// Every field is looked for among them: thousands would make a small message a long work.
constexpr size_t kMostConnectionOptions = 64;

bool NamesTooMany(const FieldList& fields) {
  if (!fields.Has("connection")) return false;
  size_t options = 0;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name != "connection") continue;
    options += 1 + static_cast<size_t>(std::count(fields[i].value.begin(), fields[i].value.end(), ','));
  }
  return options > kMostConnectionOptions;
}

template <bool kRequest>
std::optional<const char*> Parse(absl::string_view head, HeadCollector<kRequest>* parser, const FieldList& fields) {
  error_code ec;
  parser->skip(true);
  parser->put(boost::asio::const_buffer(head.data(), head.size()), ec);
  if (ec || !parser->is_header_done()) return "the message head is malformed";
  if (parser->version != 10 && parser->version != 11) return "not HTTP/1.0 or HTTP/1.1";
  if (NamesTooMany(fields)) return "Connection names too many fields";
  return std::nullopt;
}

}  // namespace

HeadScan ScanHead(absl::string_view bytes, size_t scanned) {
  HeadScan result;
  // A line end may straddle what was seen before.
  size_t at = scanned >= 3 ? scanned - 3 : 0;
  while (true) {
    const void* found = at < bytes.size() ? std::memchr(bytes.data() + at, '\n', bytes.size() - at) : nullptr;
    if (found == nullptr) {
      result.length = bytes.size();
      return result;
    }
    size_t lf = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (lf == 0 || bytes[lf - 1] != '\r') return HeadScan{HeadScan::Kind::kBad, 0, "a line ends with LF alone"};
    if (lf >= 3 && bytes[lf - 2] == '\n') return HeadScan{HeadScan::Kind::kComplete, lf + 1, ""};
    if (lf + 1 < bytes.size() && (bytes[lf + 1] == ' ' || bytes[lf + 1] == '\t')) {
      return HeadScan{HeadScan::Kind::kBad, 0, "a folded header line (obs-fold)"};
    }
    at = lf + 1;
  }
}

std::optional<const char*> ParseRequestHead(absl::string_view head, RequestLine* line, FieldList* fields) {
  HeadCollector<true> parser(fields);
  if (std::optional<const char*> error = Parse(head, &parser, *fields)) return error;
  for (char c : parser.target) {
    auto u = static_cast<unsigned char>(c);
    if (u <= 0x20 || u >= 0x7F) return "the target holds a character that must be percent-encoded";
  }
  line->method = std::move(parser.method);
  line->target = std::move(parser.target);
  line->version = parser.version;
  return std::nullopt;
}

std::optional<const char*> ParseResponseHead(absl::string_view head, StatusLine* line, FieldList* fields) {
  HeadCollector<false> parser(fields);
  if (std::optional<const char*> error = Parse(head, &parser, *fields)) return error;
  line->status = parser.status;
  line->version = parser.version;
  return std::nullopt;
}

}  // namespace gatehouse::http
