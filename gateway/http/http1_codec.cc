#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/http/chunked.h"
#include "gateway/http/http1_head.h"
#include "gateway/http/http1_request.h"
#include "gateway/http/shared_parts.h"
#include "gateway/http/trailers.h"

namespace gatehouse::http {
namespace {

// One request at a time; what the client pipelines waits in in_.
//
//   request side    kHead -> kLength | kChunked -> kComplete
//   response side   kNone -> kAwait -> kStreaming -> kSent
//   both complete: the stream closes, and the next head is read, or the connection ends.
//   a switch to WebSocket: request side kComplete -> kRaw -> kComplete, and then the connection ends.
class Http1Codec final : public ServerCodec {
 public:
  Http1Codec(CodecHandler* handler, CodecShared* shared, const CodecOptions* options)
      : handler_(handler), shared_(shared), options_(options), limits_(options->limits) {}

  Result Receive(absl::string_view bytes, loop::Instant) override;
  Result ReceiveEof() override;
  bool WantsRead() const override {
    return !closing_ && !eof_ && unconsumed_ < limits_.body_window && in_.size() < InputLimit() && (active() || !Full());
  }
  bool HasReadyInput() const override {
    if (closing_) return false;
    if (rx_ == Rx::kRaw) return !in_.empty() || eof_;
    return !active() && !Full() && MoreInput();
  }
  bool SendFixed(StreamId id, std::shared_ptr<const FixedResponse> response) override;
  bool SendHead(StreamId id, const ResponseHead& head, bool end) override;
  bool SendAnswer(StreamId id, const ResponseHead& head, absl::string_view body) override;
  bool SendSwitch(StreamId id, const ResponseHead& head) override;
  size_t SendBody(StreamId id, absl::string_view data, bool end) override;
  void SendTrailers(StreamId id, const FieldList& trailers) override;
  void SendEarlyHints(StreamId id, const FieldList& fields) override;
  void SendContinue(StreamId id) override;
  void Reset(StreamId id, ErrorCode) override {
    if (Answerable(id) || (active() && id == id_)) Abort();
  }
  void ConsumeBody(StreamId id, size_t n) override {
    if (id == id_) unconsumed_ -= std::min(n, unconsumed_);
  }
  bool TimeOut() override;
  bool broken_off() const override { return aborted_ && tx_body_ == TxBody::kUntilClose; }
  void ShutdownNotice() override { draining_ = true; }
  void GoAway() override {
    draining_ = true;
    if (!active()) closing_ = true;
  }
  void Produce(OutBuffer* out) override;
  bool WantsWrite() const override { return !out_.empty() || (active() && SettleDue()); }
  bool done() const override { return closing_ && out_.empty() && !active(); }
  bool half_done() const override { return rx_ == Rx::kRaw && tx_ == Tx::kSent && out_.empty(); }
  size_t active_streams() const override { return active() ? 1 : 0; }
  void Rest() override {
    if (in_.empty()) std::string().swap(in_);
    if (out_.empty()) std::string().swap(out_);
    if (!active()) chunked_.reset();
  }
  Phase phase() const override {
    if (!active()) return in_.empty() ? Phase::kIdle : Phase::kHead;
    bool awaits = (rx_ == Rx::kLength || rx_ == Rx::kChunked) && unconsumed_ < limits_.body_window;
    return awaits ? Phase::kBody : Phase::kActive;
  }
  uint64_t progress() const override { return progress_; }
  int version() const override { return 11; }

 private:
  enum class Rx : uint8_t { kHead, kLength, kChunked, kRaw, kComplete };
  enum class Tx : uint8_t { kNone, kAwait, kStreaming, kSent };
  enum class TxBody : uint8_t { kNone, kLength, kChunked, kUntilClose };

  bool active() const { return tx_ != Tx::kNone; }
  bool Answerable(StreamId id) const { return id == id_ && (tx_ == Tx::kAwait || tx_ == Tx::kStreaming); }
  size_t InputLimit() const { return limits_.header_bytes + limits_.target_bytes + limits_.pipeline_bytes; }
  // So many answers wait to be produced that no further request is begun.
  bool Full() const { return out_.size() >= limits_.send_buffer; }
  // What was received and not looked at: a pipelined request, or its beginning.
  bool MoreInput() const { return in_.size() > scanned_ && in_ != "\r"; }
  // The client ended, and all that it asked before is answered.
  void EndIfAllIsRead() {
    if (eof_ && !active() && !MoreInput()) closing_ = true;
  }
  bool SettleDue() const { return tx_ == Tx::kSent && rx_ != Rx::kRaw; }
  void TakeOutput();
  void ReturnOutput();
  void Process(absl::string_view* input);
  bool ProcessHead(absl::string_view* input);   // false: needs more
  bool ProcessBody(absl::string_view* input);
  void OnHead(absl::string_view head);
  // Appends the status line and the fields. False: one may not go on the wire, and nothing was appended.
  bool AppendHead(int status, const FieldList& fields);
  void Refuse(const Refusal& refusal);
  void Abort();
  void Settle(absl::string_view* input);
  void AppendHeadEnd(bool response_ends);
  // SendBody, of at most `room` octets.
  size_t PutBody(StreamId id, absl::string_view data, bool end, size_t room);
  void EndResponse() { tx_ = Tx::kSent; }

  CodecHandler* const handler_;
  CodecShared* const shared_;
  const CodecOptions* const options_;
  const Limits& limits_;
  StreamId id_ = 0;
  Rx rx_ = Rx::kHead;
  Tx tx_ = Tx::kNone;
  TxBody tx_body_ = TxBody::kNone;
  bool keep_alive_ = true;
  bool http10_ = false;
  bool head_request_ = false;
  bool expects_ = false;     // 100-continue is awaited
  bool websocket_ = false;   // the request asks for it
  bool aborted_ = false;
  bool blocked_ = false;     // SendBody took less than given
  bool draining_ = false;
  bool closing_ = false;     // nothing more is read
  bool eof_ = false;
  bool empty_line_ = false;  // one was skipped before this head
  uint64_t rx_remaining_ = 0;
  uint64_t rx_total_ = 0;
  uint64_t progress_ = 0;
  uint64_t tx_remaining_ = 0;
  size_t unconsumed_ = 0;
  size_t available_ = 0;     // bytes behind the current head that are here already
  size_t scanned_ = 0;
  std::string in_;
  std::string out_;
  std::unique_ptr<ChunkedDecoder> chunked_;  // null: no body came in chunks since it last rested
};

ServerCodec::Result Http1Codec::Receive(absl::string_view bytes, loop::Instant) {
  if (closing_) return Result::kClose;
  if (in_.empty()) {
    absl::string_view input = bytes;
    Process(&input);
    if (!closing_ && !input.empty()) in_.assign(input.data(), input.size());
  } else {
    in_.append(bytes.data(), bytes.size());
    std::string held = std::move(in_);
    in_.clear();
    absl::string_view input = held;
    Process(&input);
    if (!closing_ && !input.empty()) in_.assign(input.data(), input.size());
  }
  EndIfAllIsRead();
  return closing_ ? Result::kClose : Result::kOk;
}

ServerCodec::Result Http1Codec::ReceiveEof() {
  eof_ = true;
  if (!active()) {
    EndIfAllIsRead();
    return closing_ && out_.empty() ? Result::kClose : Result::kOk;
  }
  if (!MoreInput()) keep_alive_ = false;
  if (rx_ == Rx::kRaw) {
    absl::string_view rest;
    ProcessBody(&rest);
    return Result::kOk;
  }
  if (rx_ == Rx::kLength || rx_ == Rx::kChunked) {
    handler_->OnReset(id_, static_cast<uint32_t>(ErrorCode::kCancel));
    Abort();
    Settle(nullptr);
    return Result::kClose;
  }
  return Result::kOk;
}

void Http1Codec::Process(absl::string_view* input) {
  while (!closing_) {
    if (SettleDue()) {
      Settle(input);
      continue;
    }
    bool more = false;
    if (rx_ == Rx::kHead) {
      more = !input->empty() && !Full() && ProcessHead(input);
    } else if (rx_ == Rx::kLength || rx_ == Rx::kChunked) {
      more = !input->empty() && ProcessBody(input);
    } else if (rx_ == Rx::kRaw) {
      more = (!input->empty() || eof_) && ProcessBody(input);
    }
    if (!more) break;
  }
  if (closing_ && SettleDue()) Settle(input);
}

bool Http1Codec::ProcessHead(absl::string_view* input) {
  // One empty line before a request is forgiven (RFC 9112 2.2).
  if (scanned_ == 0 && absl::StartsWith(*input, "\r\n")) {
    if (empty_line_) {
      Refuse(Refusal{400, true, "empty lines before the request"});
      return false;
    }
    empty_line_ = true;
    input->remove_prefix(2);
    return true;
  }
  head_request_ = absl::StartsWith(*input, "HEAD ");
  HeadScan scan = ScanHead(*input, scanned_);
  size_t line = input->find("\r\n");
  if (scan.kind != HeadScan::Kind::kBad) {
    size_t first = line == absl::string_view::npos ? input->size() : line;
    if (first > limits_.target_bytes + 64) {
      Refuse(Refusal{414, false, "the request line is too long"});
      return false;
    }
    size_t length = scan.kind == HeadScan::Kind::kComplete ? scan.length : input->size();
    if (length > limits_.header_bytes + limits_.target_bytes) {
      Refuse(Refusal{431, false, "the header is too large"});
      return false;
    }
  }
  if (scan.kind == HeadScan::Kind::kBad) {
    Refuse(Refusal{400, true, scan.error});
    return false;
  }
  if (scan.kind == HeadScan::Kind::kIncomplete) {
    scanned_ = *input == "\r" ? 0 : input->size();  // it may become the forgiven empty line
    return false;
  }
  scanned_ = 0;
  absl::string_view head = input->substr(0, scan.length);
  input->remove_prefix(scan.length);
  available_ = input->size();
  OnHead(head);
  return true;
}

void Http1Codec::OnHead(absl::string_view bytes) {
  RequestHead& head = shared_->parts().scratch;
  head.Clear();
  TakeOutput();
  ++id_;
  empty_line_ = false;
  keep_alive_ = true;
  http10_ = false;
  aborted_ = false;
  blocked_ = false;
  expects_ = false;
  unconsumed_ = 0;
  rx_total_ = 0;
  Framing framing = Framing::kNone;
  if (std::optional<Refusal> refusal = ReadHttp1Request(bytes, limits_, options_->tls, &head, &framing)) return Refuse(*refusal);
  http10_ = head.version == 10;
  switch (framing) {
    case Framing::kNone:
      rx_ = Rx::kComplete;
      break;
    case Framing::kLength:
      rx_ = Rx::kLength;
      rx_remaining_ = *head.content_length;
      break;
    case Framing::kChunked:
      rx_ = Rx::kChunked;
      if (chunked_ == nullptr) chunked_ = std::make_unique<ChunkedDecoder>();
      chunked_->Reset(limits_.header_bytes, limits_.header_count);
      break;
  }
  expects_ = head.expect_continue && head.has_body;
  keep_alive_ = head.keep_alive && !(eof_ && available_ == 0);
  websocket_ = head.websocket;
  tx_ = Tx::kAwait;
  tx_body_ = TxBody::kNone;
  handler_->OnRequest(id_, std::move(head));
}

bool Http1Codec::ProcessBody(absl::string_view* input) {
  if (rx_ == Rx::kRaw) {
    const absl::string_view data = *input;
    input->remove_prefix(data.size());
    unconsumed_ += data.size();
    if (eof_) rx_ = Rx::kComplete;
    handler_->OnBody(id_, data, eof_);
    return true;
  }
  if (rx_ == Rx::kLength) {
    size_t n = static_cast<size_t>(std::min<uint64_t>(rx_remaining_, input->size()));
    absl::string_view data = input->substr(0, n);
    input->remove_prefix(n);
    rx_remaining_ -= n;
    available_ = input->size();
    progress_ += n;
    expects_ = false;
    if (rx_remaining_ == 0) rx_ = Rx::kComplete;
    unconsumed_ += n;
    handler_->OnBody(id_, data, rx_ == Rx::kComplete);
    return true;
  }
  absl::string_view data;
  expects_ = false;
  switch (chunked_->Next(input, &data)) {
    case ChunkedDecoder::Step::kNeedMore:
      return false;
    case ChunkedDecoder::Step::kData:
      rx_total_ += data.size();
      progress_ += data.size();
      if (rx_total_ > limits_.body_bytes) {
        Refuse(Refusal{413, false, "the body is too large"});
        return false;
      }
      unconsumed_ += data.size();
      available_ = 0;
      handler_->OnBody(id_, data, false);
      return true;
    case ChunkedDecoder::Step::kEnd: {
      rx_ = Rx::kComplete;
      FieldList trailers = chunked_->TakeTrailers();
      if (trailers.empty()) {
        handler_->OnBody(id_, "", true);
      } else {
        handler_->OnTrailers(id_, std::move(trailers));
      }
      return true;
    }
    case ChunkedDecoder::Step::kError:
      Refuse(chunked_->too_large() ? Refusal{431, false, chunked_->error()} : Refusal{400, true, chunked_->error()});
      return false;
  }
  return false;
}

void Http1Codec::Refuse(const Refusal& refusal) {
  bool was_active = active();
  bool answer = tx_ == Tx::kNone || tx_ == Tx::kAwait;
  closing_ = true;
  in_.clear();
  ProtocolError error;
  error.stream = id_ == 0 ? 1 : id_;
  error.malformed = refusal.malformed;
  error.connection = true;
  error.text = refusal.text;
  if (answer) error.status = refusal.status;
  const Answer worded = handler_->OnProtocolError(error);
  if (answer) {
    absl::StrAppend(&out_, "HTTP/1.1 ", refusal.status, " ", ReasonPhrase(refusal.status), "\r\n");
    for (size_t i = 0; i < worded.head.fields.size(); ++i) {
      absl::StrAppend(&out_, worded.head.fields[i].name, ": ", worded.head.fields[i].value, "\r\n");
    }
    absl::StrAppend(&out_, "content-length: ", worded.body.size(), "\r\n");
    keep_alive_ = false;
    AppendHeadEnd(true);
    if (!head_request_) out_.append(worded.body);
  }
  if (was_active) {
    tx_ = Tx::kNone;
    rx_ = Rx::kHead;
    handler_->OnStreamClosed(id_);
  }
}

bool Http1Codec::TimeOut() {
  const Phase late = phase();
  if (!closing_ && (late == Phase::kHead || late == Phase::kBody)) {
    Refuse(Refusal{408, false, late == Phase::kHead ? "the head did not come in time" : "the body did not come in time"});
  }
  return false;
}

// The stream ends without a proper end of the response: closing the connection says so.
void Http1Codec::Abort() {
  aborted_ = true;
  closing_ = true;
  tx_ = Tx::kSent;
  if (rx_ == Rx::kRaw) rx_ = Rx::kComplete;
}

void Http1Codec::Settle(absl::string_view* input) {
  if (rx_ == Rx::kLength && !aborted_ && input != nullptr && rx_remaining_ <= input->size()) {
    input->remove_prefix(static_cast<size_t>(rx_remaining_));  // an unread body that is here already
    rx_ = Rx::kComplete;
  }
  if (rx_ != Rx::kComplete || !keep_alive_ || aborted_ || draining_ || (eof_ && (input == nullptr || input->empty()))) closing_ = true;
  rx_ = Rx::kHead;
  tx_ = Tx::kNone;
  scanned_ = 0;
  unconsumed_ = 0;
  blocked_ = false;
  if (closing_) in_.clear();
  handler_->OnStreamClosed(id_);
}

void Http1Codec::AppendHeadEnd(bool response_ends) {
  if (options_->date != nullptr && !options_->date->value.empty()) {
    absl::StrAppend(&out_, "date: ", options_->date->value, "\r\n");
  }
  if (draining_) keep_alive_ = false;
  // Answered before the body came: read on only if the rest is here already.
  bool unread = rx_ == Rx::kChunked || (rx_ == Rx::kLength && rx_remaining_ > available_);
  if (response_ends && unread) keep_alive_ = false;
  if (!keep_alive_) {
    out_.append("connection: close\r\n");
  } else if (http10_) {
    out_.append("connection: keep-alive\r\n");
  }
  out_.append("\r\n");
}

bool Http1Codec::SendFixed(StreamId id, std::shared_ptr<const FixedResponse> response) {
  if (id != id_ || tx_ != Tx::kAwait) return false;
  absl::string_view head = response->http1_head();
  out_.append(head.data(), head.size());
  AppendHeadEnd(true);
  if (!head_request_) out_.append(response->body().data(), response->body().size());
  EndResponse();
  return true;
}

bool Http1Codec::AppendHead(int status, const FieldList& fields) {
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!IsToken(fields[i].name) || !IsFieldValue(fields[i].value)) return false;
  }
  absl::StrAppend(&out_, "HTTP/1.1 ", status, " ", ReasonPhrase(status), "\r\n");
  for (size_t i = 0; i < fields.size(); ++i) {
    FieldList::Field f = fields[i];
    if (IsHopByHop(f.name) || f.name == "content-length") continue;
    if (f.name == "date" && options_->date != nullptr && !options_->date->value.empty()) continue;
    absl::StrAppend(&out_, f.name, ": ", f.value, "\r\n");
  }
  return true;
}

bool Http1Codec::SendSwitch(StreamId id, const ResponseHead& head) {
  if (id != id_ || tx_ != Tx::kAwait || rx_ != Rx::kComplete || !websocket_ || !AppendHead(101, head.fields)) return false;
  out_.append("connection: Upgrade\r\nupgrade: websocket\r\n\r\n");
  keep_alive_ = false;
  tx_ = Tx::kStreaming;
  tx_body_ = TxBody::kUntilClose;
  rx_ = Rx::kRaw;
  return true;
}

bool Http1Codec::SendHead(StreamId id, const ResponseHead& head, bool end) {
  if (id != id_ || tx_ != Tx::kAwait || head.status < 200 || head.status > 599) return false;
  if (!AppendHead(head.status, head.fields)) return false;
  // Its Upgrade field, which passes no gateway, is owed to the client (RFC 9110 15.5.22).
  if (head.status == 426 && head.fields.Has("sec-websocket-version")) out_.append("connection: Upgrade\r\nupgrade: websocket\r\n");
  bool bodiless = head_request_ || head.status == 204 || head.status == 304;
  std::optional<uint64_t> length = head.content_length;
  if (!length.has_value() && end && !bodiless) length = 0;
  if (length.has_value() && head.status != 204) absl::StrAppend(&out_, "content-length: ", *length, "\r\n");
  if (bodiless) {
    tx_body_ = TxBody::kNone;
  } else if (length.has_value()) {
    tx_body_ = TxBody::kLength;
    tx_remaining_ = *length;
  } else if (http10_) {
    tx_body_ = TxBody::kUntilClose;
    keep_alive_ = false;
  } else {
    tx_body_ = TxBody::kChunked;
    out_.append("transfer-encoding: chunked\r\n");
  }
  tx_ = Tx::kStreaming;
  AppendHeadEnd(end);
  if (end) {
    if (tx_body_ == TxBody::kLength && tx_remaining_ > 0) {
      Abort();
    } else {
      EndResponse();
    }
  }
  return true;
}

bool Http1Codec::SendAnswer(StreamId id, const ResponseHead& head, absl::string_view body) {
  if (!SendHead(id, head, body.empty())) return false;
  if (!body.empty()) PutBody(id, body, /*end=*/true, body.size());
  return true;
}

size_t Http1Codec::SendBody(StreamId id, absl::string_view data, bool end) {
  return PutBody(id, data, end, Full() ? 0 : limits_.send_buffer - out_.size());
}

size_t Http1Codec::PutBody(StreamId id, absl::string_view data, bool end, size_t room) {
  if (id != id_ || tx_ != Tx::kStreaming) return data.size();  // nobody waits for it
  size_t take = data.size();
  if (tx_body_ != TxBody::kNone) take = std::min(take, room);
  absl::string_view piece = data.substr(0, take);
  switch (tx_body_) {
    case TxBody::kNone:
      break;
    case TxBody::kLength:
      if (piece.size() > tx_remaining_) {
        Abort();
        return data.size();
      }
      tx_remaining_ -= piece.size();
      out_.append(piece.data(), piece.size());
      break;
    case TxBody::kChunked:
      if (!piece.empty()) absl::StrAppend(&out_, absl::Hex(piece.size()), "\r\n", piece, "\r\n");
      break;
    case TxBody::kUntilClose:
      out_.append(piece.data(), piece.size());
      break;
  }
  if (take < data.size()) {
    blocked_ = true;
    return take;
  }
  if (end) {
    if (tx_body_ == TxBody::kLength && tx_remaining_ > 0) {
      Abort();
      return take;
    }
    if (tx_body_ == TxBody::kChunked) out_.append("0\r\n\r\n");
    EndResponse();
  }
  return take;
}

void Http1Codec::SendTrailers(StreamId id, const FieldList& trailers) {
  if (id != id_ || tx_ != Tx::kStreaming) return;
  if (tx_body_ != TxBody::kChunked) {
    SendBody(id, "", true);
    return;
  }
  out_.append("0\r\n");
  for (size_t i = 0; i < trailers.size(); ++i) {
    if (IsTrailer(trailers[i])) absl::StrAppend(&out_, trailers[i].name, ": ", trailers[i].value, "\r\n");
  }
  out_.append("\r\n");
  EndResponse();
}

void Http1Codec::SendEarlyHints(StreamId id, const FieldList& fields) {
  if (id != id_ || tx_ != Tx::kAwait || http10_ || out_.size() > limits_.send_buffer) return;
  out_.append("HTTP/1.1 103 Early Hints\r\n");
  for (size_t i = 0; i < fields.size(); ++i) {
    FieldList::Field f = fields[i];
    if (!IsToken(f.name) || !IsFieldValue(f.value) || IsHopByHop(f.name) || f.name == "content-length") continue;
    absl::StrAppend(&out_, f.name, ": ", f.value, "\r\n");
  }
  out_.append("\r\n");
}

void Http1Codec::SendContinue(StreamId id) {
  if (id != id_ || tx_ != Tx::kAwait || !expects_) return;
  expects_ = false;
  out_.append("HTTP/1.1 100 Continue\r\n\r\n");
}

// An answer's memory comes from the worker's other connections and goes back to them: one that is idle keeps none.
void Http1Codec::TakeOutput() {
  std::vector<std::string>& spare = shared_->parts().spare_outputs;
  if (!out_.empty() || spare.empty()) return;
  out_ = std::move(spare.back());
  spare.pop_back();
}

void Http1Codec::ReturnOutput() {
  constexpr size_t kMost = 64;
  std::vector<std::string>& spare = shared_->parts().spare_outputs;
  const bool large = out_.capacity() > 1024;
  out_.clear();
  if (!large && active()) return;  // more of the body comes
  if (!large && spare.size() < kMost) spare.push_back(std::move(out_));
  std::string().swap(out_);
}

void Http1Codec::Produce(OutBuffer* out) {
  if (active() && SettleDue()) {
    // Pipelined input that is left belongs to the next request; an unread body in front of it was counted.
    absl::string_view rest = in_;
    size_t before = rest.size();
    Settle(&rest);
    if (!closing_) in_.erase(0, before - rest.size());
  }
  if (out_.empty() || out->full()) return;
  out->Append(out_);
  ReturnOutput();
  if (blocked_ && tx_ == Tx::kStreaming) {
    blocked_ = false;
    handler_->OnBodyWritable(id_);
  }
}

}  // namespace

std::unique_ptr<ServerCodec> NewHttp1Codec(CodecHandler* handler, CodecShared* shared, const CodecOptions* options) {
  return std::make_unique<Http1Codec>(handler, shared, options);
}

}  // namespace gatehouse::http
