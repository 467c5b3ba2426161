#include "gateway/upstream/request.h"

#include <utility>

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
      pool_->failing_.erase(pool_->failing_.iterator_to(*this));
      break;
    case State::kAttached:
      connection_->Abandon(this);
      break;
    case State::kDone:
      break;
  }
  pool_->OnDone(this, nullptr);
}

void Request::SetTrailers(http::FieldList&& trailers) {
  if (ended_ || state_ == State::kDone || state_ == State::kFailing || framing_ == Framing::kUpgrade) return;
  if (framing_ == Framing::kChunked || pool_->options().http2) {
    trailers_ = std::make_unique<http::FieldList>(std::move(trailers));
  }
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
  if (connection_ != nullptr) return connection_->SendBody(this, bytes, end);
  AppendBody(pool_->options().http2 ? Framing::kLength : framing_, bytes, end, trailers_.get(), &wire_);
  NoteUnsent(wire_.size());
}

void Request::NoteUnsent(size_t unsent) { above_mark_ = above_mark_ || unsent >= pool_->options().send_buffer; }

void Request::PauseReading() {
  if (paused_) return;
  paused_ = true;
  if (connection_ != nullptr) connection_->UpdateReading(this);
}

void Request::ResumeReading() {
  if (!paused_) return;
  paused_ = false;
  if (connection_ != nullptr) connection_->UpdateReading(this);
}

ResponseHandler* Request::End() {
  state_ = State::kDone;
  pool_->OnDone(this, nullptr);
  return handler_;
}

void Request::Fail(ErrorKind kind, absl::string_view detail) {
  state_ = State::kDone;
  connection_ = nullptr;
  pool_->OnDone(this, &kind);
  handler_->OnError(kind, detail);
}

}  // namespace gatehouse::upstream
