#include "gateway/server/access_line.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/base/escape.h"

namespace gatehouse::server {
namespace {

// A value of this size and more is cut: a log is no place for whole attacks.
constexpr size_t kMostText = 2048;

bool IsPlain(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; });
}

void AppendJsonText(absl::string_view text, std::string* out) {
  text = text.substr(0, kMostText);
  if (IsPlain(text)) {
    out->append(text.data(), text.size());
    return;
  }
  // EscapeText marks with a backslash, which JSON wants doubled: what a reader sees is the escaped text.
  for (char c : EscapeText(text)) {
    if (c == '"' || c == '\\') out->push_back('\\');
    out->push_back(c);
  }
}

class Json {
 public:
  explicit Json(std::string* out) : out_(out) { out_->push_back('{'); }
  // Left out when empty.
  void Text(absl::string_view key, absl::string_view text) {
    if (text.empty()) return;
    Key(key);
    out_->push_back('"');
    AppendJsonText(text, out_);
    out_->push_back('"');
  }
  void Number(absl::string_view key, uint64_t number) {
    Key(key);
    absl::StrAppend(out_, number);
  }
  // In seconds, to the microsecond.
  void Seconds(absl::string_view key, absl::Duration duration) {
    Key(key);
    const int64_t micros = std::max<int64_t>(0, absl::ToInt64Microseconds(duration));
    absl::StrAppend(out_, micros / 1'000'000, ".", absl::Dec(micros % 1'000'000, absl::kZeroPad6));
  }
  void End() { out_->append("}\n"); }

 private:
  void Key(absl::string_view key) { absl::StrAppend(out_, first_ ? "\"" : ",\"", key, "\":"), first_ = false; }
  std::string* const out_;
  bool first_ = true;
};

absl::string_view ProtocolOf(int version) {
  return version == 20 ? "HTTP/2.0" : version == 10 ? "HTTP/1.0" : "HTTP/1.1";
}

void AppendJson(const AccessLine& line, std::string* out) {
  Json json(out);
  json.Text("time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", line.time, absl::UTCTimeZone()));
  json.Text("client", line.client);
  json.Text("proxy", line.proxy);
  json.Text("principal", line.principal);
  json.Text("scheme", line.scheme);
  json.Text("method", line.method);
  json.Text("host", line.host);
  json.Text("path", line.path);
  json.Text("protocol", ProtocolOf(line.http_version));
  json.Text("tls", line.tls_version);
  json.Number("status", static_cast<uint64_t>(line.status));
  json.Text("reason", ReasonName(line.reason));
  json.Number("bytes_in", line.bytes_in);
  json.Number("bytes_out", line.bytes_out);
  json.Seconds("duration", line.duration);
  json.Text("upstream", line.upstream);
  if (!line.upstream.empty()) json.Seconds("upstream_time", line.upstream_time);
  json.Text("route", line.route);
  json.Text("listener", line.listener);
  json.Text("request_id", line.request_id);
  json.Text("trace_id", line.trace_id);
  json.End();
}

// As Apache and nginx do: what is not visible ASCII, and quote and backslash, as \xHH; in words that stand without quotes,
// spaces too.
void AppendEscaped(absl::string_view text, bool word, std::string* out) {
  if (text.empty()) {
    out->push_back('-');
    return;
  }
  for (char c : text.substr(0, kMostText)) {
    if (c <= (word ? 0x20 : 0x1F) || c >= 0x7F || c == '"' || c == '\\') {
      absl::StrAppendFormat(out, "\\x%02X", static_cast<uint8_t>(c));
    } else {
      out->push_back(c);
    }
  }
}

void AppendCombined(const AccessLine& line, std::string* out) {
  AppendEscaped(line.client, true, out);
  out->append(" - ");
  AppendEscaped(line.principal, true, out);
  absl::StrAppend(out, " [", absl::FormatTime("%d/%b/%Y:%H:%M:%S +0000", line.time, absl::UTCTimeZone()), "] \"");
  if (!line.method.empty()) {
    AppendEscaped(line.method, true, out);
    out->push_back(' ');
    AppendEscaped(line.path, true, out);
    absl::StrAppend(out, " ", ProtocolOf(line.http_version));
  } else {
    out->push_back('-');  // no request could be read
  }
  absl::StrAppend(out, "\" ", line.status, " ", line.bytes_out, " \"");
  AppendEscaped(line.referer.substr(0, line.referer.find_first_of("?#")), false, out);
  out->append("\" \"");
  AppendEscaped(line.user_agent, false, out);
  out->append("\" \"");
  AppendEscaped(line.request_id, false, out);
  out->append("\"\n");
}

}  // namespace

void AppendLine(config::AccessLog::Format format, const AccessLine& line, std::string* out) {
  if (format == config::AccessLog::Format::kCombined) {
    AppendCombined(line, out);
  } else {
    AppendJson(line, out);
  }
}

}  // namespace gatehouse::server
