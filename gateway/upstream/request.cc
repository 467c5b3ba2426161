#include "gateway/upstream/request.h"

#include "gateway/upstream/connection.h"
#include "gateway/upstream/pool.h"
#include "gateway/upstream/request_head.h"

namespace gatehouse::upstream {

Request::Request(Pool* pool, ResponseHandler* handler, const RequestHead& head)
    : pool_(pool),
      handler_(handler),
      remaining_(head.framing == Framing::kLength ? head.content_length : 0),
      framing_(head.framing),
      idempotent_(IsIdempotent(head.method)),
      head_method_(head.method == "HEAD"),
      ended_(head.framing == Framing::kNoBody || (head.framing == Framing::kLength && head.content_length == 0)) {}

Request::~Request() {
  if (pool_ == nullptr || state_ == State::kDone) return;
  switch (state_) {
    case State::kQueued:
      pool_->Dequeue(this);
      break;
    case State::kFailing:
      pool_->failing_.erase(place_);
      break;
    case State::kAttached:
      connection_->Abandon();
      break;
    case State::kDone:
      break;
  }
  pool_->OnDone(this, nullptr);
}

void Request::SendBody(absl::string_view bytes, bool end) {
  if (ended_ || state_ == State::kDone || state_ == State::kFailing) return;
  if (framing_ == Framing::kLength) {
    if (bytes.size() > remaining_ || (end && bytes.size() != remaining_)) {
      pool_->FailLater(this, ErrorKind::kBadRequest, "the body is not as long as was said");
      return;
    }
    remaining_ -= bytes.size();
  }
  ended_ = end;
  body_begun_ = true;
  if (connection_ != nullptr && connection_->write_broken()) {
    connection_->Wake();
    return;
  }
  bool connected = connection_ != nullptr && connection_->connected();
  std::string& out = connected ? connection_->out() : wire_;
  if (framing_ == Framing::kChunked) {
    AppendChunk(bytes, &out);
    if (end) out.append("0\r\n\r\n");
  } else {
    out.append(bytes.data(), bytes.size());
  }
  above_mark_ = above_mark_ || (connected ? connection_->unsent() : wire_.size()) >= pool_->options().send_buffer;
  if (connected) connection_->Wake();
}

void Request::PauseReading() {
  if (paused_) return;
  paused_ = true;
  if (connection_ != nullptr) connection_->UpdateReading();
}

void Request::ResumeReading() {
  if (!paused_) return;
  paused_ = false;
  if (connection_ != nullptr) connection_->UpdateReading();
}

void Request::Fail(ErrorKind kind, absl::string_view detail) {
  state_ = State::kDone;
  connection_ = nullptr;
  pool_->OnDone(this, &kind);
  handler_->OnError(kind, detail);
}

}  // namespace gatehouse::upstream
