#include "gateway/http/http1_response.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "gateway/http/http1_head.h"

namespace gatehouse::http {
namespace {

constexpr size_t kMostKept = 4096;  // octets of a head's memory, for the next

}  // namespace

void ResponseParser::Reset(absl::string_view request_method, bool upgrade) {
  state_ = State::kHead;
  body_ = Body::kNone;
  head_request_ = request_method == "HEAD";
  upgrade_ = upgrade;
  reusable_ = false;
  started_ = false;
  interim_ = 0;
  remaining_ = 0;
  partial_.clear();
  scanned_ = 0;
  error_ = "";
}

void ResponseParser::Fail(const char* text) {
  state_ = State::kFailed;
  reusable_ = false;
  error_ = text;
}

void ResponseParser::Finish(FieldList&& trailers) {
  state_ = State::kDone;
  handler_->OnResponseEnd(std::move(trailers));
}

size_t ResponseParser::Receive(absl::string_view bytes) {
  size_t total = bytes.size();
  if (!bytes.empty()) started_ = true;
  while (!bytes.empty() && (state_ == State::kHead || state_ == State::kBody)) {
    if (state_ == State::kBody) {
      bytes.remove_prefix(ReceiveBody(bytes));
      continue;
    }
    size_t held = partial_.size();
    absl::string_view view = bytes;
    if (held > 0) {
      partial_.append(bytes.data(), bytes.size());
      view = partial_;
    }
    HeadScan scan = ScanHead(view, scanned_);
    if (scan.kind == HeadScan::Kind::kBad) {
      Fail(scan.error);
      break;
    }
    size_t length = scan.kind == HeadScan::Kind::kComplete ? scan.length : view.size();
    if (length > limits_.header_bytes) {
      Fail("the response's header is too large");
      break;
    }
    if (scan.kind == HeadScan::Kind::kIncomplete) {
      scanned_ = view.size();
      if (held == 0) partial_.assign(bytes.data(), bytes.size());
      return total;
    }
    const std::string kept = std::exchange(partial_, {});
    if (held > 0) view = kept;
    bytes.remove_prefix(scan.length - held);
    scanned_ = 0;
    OnHead(view.substr(0, scan.length));
  }
  return total - bytes.size();
}

void ResponseParser::OnHead(absl::string_view bytes) {
  ResponseHead& head = head_;
  if (head.fields.capacity() > kMostKept) head.fields = FieldList();
  head.fields.Clear();
  head.content_length.reset();
  head.end = false;
  StatusLine line;
  if (std::optional<const char*> error = ParseResponseHead(bytes, &line, &head.fields)) return Fail(*error);
  FieldList& fields = head.fields;
  if (fields.size() > limits_.header_count) return Fail("the response has too many fields");
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!IsToken(fields[i].name) || !IsFieldValue(fields[i].value)) return Fail("a response field is malformed");
  }
  if (line.status < 100 || line.status > 599) return Fail("the response's status is not 100 to 599");
  if (line.status < 200) {
    if (line.status == 101) return OnSwitch(std::move(head), line.version);
    if (++interim_ > limits_.interim_responses) return Fail("too many interim responses");
    if (line.status == 100) handler_->OnContinue();
    if (line.status == 103) handler_->OnEarlyHints(std::move(fields));
    return;
  }
  head.status = line.status;
  size_t codings = fields.Count("transfer-encoding");
  size_t lengths = fields.Count("content-length");
  bool close = fields.HasToken("connection", "close") ||
               (line.version == 10 && !fields.HasToken("connection", "keep-alive"));
  reusable_ = !close;
  if (lengths > 1) return Fail("more than one Content-Length in the response");
  if (lengths == 1) {
    head.content_length = ParseContentLength(*fields.Find("content-length"));
    if (!head.content_length.has_value()) return Fail("the response's Content-Length is not one plain number");
  }
  if (codings > 0) {
    if (lengths > 0) return Fail("Transfer-Encoding together with Content-Length in the response");
    if (line.version == 10) return Fail("Transfer-Encoding in an HTTP/1.0 response");
    if (codings > 1 || !absl::EqualsIgnoreCase(*fields.Find("transfer-encoding"), "chunked")) {
      return Fail("the response's Transfer-Encoding is not exactly \"chunked\"");
    }
  }
  bool bodiless = head_request_ || line.status == 204 || line.status == 304;
  // Who announces a body with 204 (RFC 9110 8.6 forbids it) may send one, and it would be read as the next answer.
  if (line.status == 204 && (codings > 0 || head.content_length.value_or(0) > 0)) reusable_ = false;
  if (bodiless) {
    body_ = Body::kNone;
  } else if (codings > 0) {
    body_ = Body::kChunked;
    chunked_.Reset(limits_.header_bytes, limits_.header_count);
  } else if (lengths > 0) {
    remaining_ = *head.content_length;
    body_ = remaining_ == 0 ? Body::kNone : Body::kLength;
  } else {
    body_ = Body::kUntilClose;
    reusable_ = false;
  }
  bool end = body_ == Body::kNone;
  state_ = end ? State::kDone : State::kBody;
  handler_->OnResponseHead(std::move(head), end);
  if (end) handler_->OnResponseEnd(FieldList());
}

void ResponseParser::OnSwitch(ResponseHead&& head, int version) {
  const FieldList& fields = head.fields;
  if (!upgrade_) return Fail("101 without an upgrade");
  if (version != 11 || fields.Count("upgrade") != 1 || !absl::EqualsIgnoreCase(*fields.Find("upgrade"), "websocket") ||
      !fields.HasToken("connection", "upgrade")) {
    return Fail("101 that does not switch to WebSocket");
  }
  head.status = 101;
  reusable_ = false;
  body_ = Body::kUntilClose;
  state_ = State::kBody;
  handler_->OnResponseHead(std::move(head), false);
}

size_t ResponseParser::ReceiveBody(absl::string_view bytes) {
  size_t total = bytes.size();
  switch (body_) {
    case Body::kNone:
      return 0;
    case Body::kUntilClose:
      handler_->OnResponseBody(bytes);
      return total;
    case Body::kLength: {
      absl::string_view piece = bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size())));
      remaining_ -= piece.size();
      handler_->OnResponseBody(piece);
      if (remaining_ == 0) Finish(FieldList());
      return piece.size();
    }
    case Body::kChunked: {
      absl::string_view data;
      switch (chunked_.Next(&bytes, &data)) {
        case ChunkedDecoder::Step::kNeedMore:
          break;
        case ChunkedDecoder::Step::kData:
          handler_->OnResponseBody(data);
          break;
        case ChunkedDecoder::Step::kEnd:
          Finish(chunked_.TakeTrailers());
          break;
        case ChunkedDecoder::Step::kError:
          Fail(chunked_.error());
          break;
      }
      return total - bytes.size();
    }
  }
  return total;
}

void ResponseParser::ReceiveEof() {
  if (state_ == State::kDone || state_ == State::kFailed) return;
  if (state_ == State::kBody && body_ == Body::kUntilClose) return Finish(FieldList());
  Fail(started_ ? "the upstream closed in the middle of a response" : "the upstream closed without a response");
}

}  // namespace gatehouse::http
