#include "control/publish/gateway_stream.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/mutex.h"

namespace gatehouse::publish {

// What waits to be sent. Shared with the distributor and the desk, which may still hold it when the stream is gone.
class GatewayStream::Lane final : public Endpoint {
 public:
  explicit Lane(std::function<void()> wake) : wake_(std::move(wake)) {}

  void Deliver(Update update) override {
    {
      MutexLock lock(&mutex_);
      update_ = std::move(update);
      sent_ = 0;
    }
    Wake();
  }
  void Confirm(uint64_t revision) override {
    {
      MutexLock lock(&mutex_);
      newest_ = revision;
    }
    Wake();
  }
  void Close(absl::Status why) override {
    {
      MutexLock lock(&mutex_);
      closed_ = std::move(why);
    }
    Wake();
  }
  void Give(v1::Question question) {
    {
      MutexLock lock(&mutex_);
      questions_.push_back(std::move(question));
    }
    Wake();
  }
  void Give(v1::TicketKeys keys) {
    {
      MutexLock lock(&mutex_);
      keys_ = std::move(keys);
    }
    Wake();
  }
  // Nothing is sent before: who is not admitted gets no key, and who is gets the keys first.
  void Open() {
    {
      MutexLock lock(&mutex_);
      open_ = true;
    }
    Wake();
  }
  void Detach() {
    MutexLock lock(&wake_mutex_);
    wake_ = nullptr;
  }

  bool Next(v1::SubscribeResponse* out) {
    out->Clear();
    std::shared_ptr<const Published> whole;
    size_t from = 0;
    {
      MutexLock lock(&mutex_);
      if (!open_ || closed_.has_value()) return false;
      if (keys_.has_value()) {
        *out->mutable_ticket_keys() = *std::move(keys_);
        keys_.reset();
        return true;
      }
      if (!questions_.empty()) {
        *out->mutable_question() = std::move(questions_.front());
        questions_.pop_front();
        return true;
      }
      if (update_.to == nullptr) {
        if (newest_ == 0) return false;
        out->mutable_current()->set_revision(std::exchange(newest_, 0));
        return true;
      }
      if (update_.delta != nullptr) {
        *out->mutable_delta() = *update_.delta;
        update_ = Update{};
        return true;
      }
      whole = update_.to;
      from = sent_;
    }
    // Serializing a big set takes a while: without the lock.
    const std::string& wire = whole->Wire();
    const size_t size = std::min(kChunkBytes, wire.size() - from);
    v1::SnapshotChunk* chunk = out->mutable_chunk();
    chunk->set_revision(whole->revision);
    chunk->set_incarnation(whole->incarnation);
    chunk->set_digest(std::string(AsView(whole->digest)));
    chunk->set_data(wire.substr(from, size));
    chunk->set_last(from + size == wire.size());
    MutexLock lock(&mutex_);
    if (update_.to != whole) return true;  // answered too early: another is under way
    sent_ = from + size;
    if (chunk->last()) update_ = Update{};
    return true;
  }

  std::optional<absl::Status> closed() const {
    MutexLock lock(&mutex_);
    return closed_;
  }

 private:
  void Wake() {
    MutexLock lock(&wake_mutex_);
    if (wake_) wake_();
  }

  mutable Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  Update update_ ABSL_GUARDED_BY(mutex_);
  size_t sent_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t newest_ ABSL_GUARDED_BY(mutex_) = 0;  // to be confirmed; 0: nothing is
  std::optional<v1::TicketKeys> keys_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::Question> questions_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);

  // Held while waking, so that Detach waits for a wake that runs.
  Mutex wake_mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(wake_mutex_);
};

GatewayStream::GatewayStream(Distributor& distributor, QuestionDesk& desk, TicketKeyRing& ticket_keys,
                             std::string peer, std::function<void()> wake)
    : distributor_(distributor), desk_(desk), ticket_keys_(ticket_keys), peer_(std::move(peer)), lane_(std::make_shared<Lane>(std::move(wake))) {}

GatewayStream::~GatewayStream() { lane_->Detach(); }

absl::Status GatewayStream::Receive(v1::SubscribeRequest request) {
  if (session_ == nullptr) {
    if (!request.has_hello()) return absl::InvalidArgumentError("the first message must be a Hello");
    v1::Hello& hello = *request.mutable_hello();
    if (!expected_.empty() && hello.gateway() != expected_) {
      return absl::PermissionDeniedError(absl::StrCat("hello.gateway: the certificate is of ", expected_));
    }
    GatewayHello greeting{hello.gateway(), hello.version(), peer_, hello.revision(), hello.digest(), hello.incarnation()};
    greeting.certificate_end = certificate_end_;
    absl::StatusOr<std::unique_ptr<Session>> session = distributor_.Connect(std::move(greeting), lane_);
    if (!session.ok()) return session.status();
    session_ = *std::move(session);
    line_ = desk_.Add(hello.gateway(), [lane = lane_](v1::Question question) { lane->Give(std::move(question)); });
    key_line_ = ticket_keys_.Add([lane = lane_](v1::TicketKeys keys) { lane->Give(std::move(keys)); });
    lane_->Open();
    return absl::OkStatus();
  }
  switch (request.kind_case()) {
    case v1::SubscribeRequest::kAck:
      session_->Ack(request.ack().revision());
      return absl::OkStatus();
    case v1::SubscribeRequest::kNack:
      session_->Nack(request.nack().revision(), request.nack().violations());
      return absl::OkStatus();
    case v1::SubscribeRequest::kAnswer:
      line_->Answer(std::move(*request.mutable_answer()));
      return absl::OkStatus();
    case v1::SubscribeRequest::kHello:
      return absl::InvalidArgumentError("a second Hello");
    case v1::SubscribeRequest::kLoad:
      session_->Report(std::move(*request.mutable_load()));
      return absl::OkStatus();
    case v1::SubscribeRequest::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a message of no known kind");
}

bool GatewayStream::Next(v1::SubscribeResponse* out) { return lane_->Next(out); }

std::optional<absl::Status> GatewayStream::closed() const { return lane_->closed(); }

}  // namespace gatehouse::publish
