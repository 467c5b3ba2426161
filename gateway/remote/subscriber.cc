#include "gateway/remote/subscriber.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/lib/channel.h"
#include "gateway/config/build.h"
#include "gateway/config/build_set.h"
#include "gateway/remote/backoff.h"
#include "gateway/server/questions.h"
#include "gateway/server/ticket_keys.h"

namespace gatehouse::remote {
namespace {

constexpr absl::Duration kConnect = absl::Seconds(3);
constexpr size_t kMostPieces = size_t{1} << 30;  // octets of one snapshot
constexpr size_t kMaxQuestions = 256;  // the control plane asks no more at once

v1::Violation ToProto(const config::Violation& v) {
  v1::Violation violation;
  violation.set_path(v.path);
  violation.set_message(v.message);
  return violation;
}

}  // namespace

Subscriber::Subscriber(Options options, server::Gateway* gateway, SnapshotFile* file)
    : options_(std::move(options)), gateway_(gateway), file_(file), load_meter_(*gateway), renewal_(gateway, *options_.clock, options_.renewal_period) {}

Subscriber::~Subscriber() { Stop(); }

void Subscriber::Start() {
  thread_ = std::thread([this] { Run(); });
  loads_ = std::thread([this] { ReportLoad(); });
}

void Subscriber::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
  if (loads_.joinable()) loads_.join();
}

void Subscriber::Reconnect() {
  MutexLock lock(&mutex_);
  if (context_ != nullptr) context_->TryCancel();
}

bool Subscriber::WaitInStep(absl::Duration timeout) {
  MutexLock lock(&mutex_);
  progress_ = SteadyNow();
  while (!in_step_ && !stopping_ && !wait_ended_) {
    const absl::Duration left = receiving_ ? absl::InfiniteDuration() : Until(progress_ + absl::ToChronoNanoseconds(timeout));
    if (left <= absl::ZeroDuration()) break;
    changed_.WaitFor(&mutex_, std::min(left, absl::Hours(1)));
  }
  return in_step_;
}

void Subscriber::EndWait() {
  MutexLock lock(&mutex_);
  wait_ended_ = true;
  changed_.SignalAll();
}

void Subscriber::Progress(bool receiving) {
  MutexLock lock(&mutex_);
  receiving_ = receiving;
  progress_ = SteadyNow();
  changed_.SignalAll();
}

void Subscriber::InStep() {
  MutexLock lock(&mutex_);
  in_step_ = true;
  changed_.SignalAll();
}

std::shared_ptr<grpc::Channel> Subscriber::channel() const {
  MutexLock lock(&mutex_);
  return channel_;
}

absl::Status Subscriber::Load() {
  if (file_ == nullptr) return absl::NotFoundError("no snapshot is kept");
  absl::StatusOr<SavedSnapshot> saved = file_->Load();
  if (!saved.ok()) return saved.status();
  MutexLock lock(&install_mutex_);
  held_ = *std::move(saved);
  return absl::OkStatus();
}

absl::Status Subscriber::Restore() {
  MutexLock lock(&install_mutex_);
  if (in_force_) return absl::OkStatus();
  if (held_.revision == 0) return absl::NotFoundError("there is no saved configuration");
  std::vector<v1::Violation> violations = Install(held_);
  if (!violations.empty()) {
    if (!refused_) {
      refused_ = held_;
      renewal_.Await(held_.resources, [this] { Retry(); });
    }
    return absl::FailedPreconditionError(absl::StrCat("the saved revision ", held_.revision, " cannot be taken: ",
                                                      violations[0].path(), ": ", violations[0].message()));
  }
  in_force_ = true;
  gateway_->ConfirmNewest(file_->LoadConfirmed().value_or(absl::InfinitePast()));
  return absl::OkStatus();
}

void Subscriber::Run() {
  Backoff backoff;
  for (size_t i = 0;; ++i) {
    if (Follow(options_.targets[i % options_.targets.size()])) backoff.Reset();
    MutexLock lock(&mutex_);
    if (stopping_) return;
    changed_.WaitFor(&mutex_, backoff.Next());
    if (stopping_) return;
  }
}

bool Subscriber::Follow(const client::Target& target) {
  // A channel of its own for each try: gRPC 1.51's calls never recover on one whose server was away.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = client::OpenChannel(target, kConnect);
  if (!channel.ok()) {
    spdlog::warn("control plane {}: {}", target.address, std::string(channel.status().message()));
    return false;
  }
  std::unique_ptr<v1::SnapshotService::Stub> stub = v1::SnapshotService::NewStub(*channel);
  grpc::ClientContext context;
  {
    MutexLock lock(&mutex_);
    if (stopping_) return false;
    context_ = &context;
    channel_ = *channel;
  }
  std::unique_ptr<Stream> stream = stub->Subscribe(&context);
  v1::SubscribeRequest first;
  v1::Hello* hello = first.mutable_hello();
  hello->set_gateway(options_.gateway);
  hello->set_version(GATEHOUSE_VERSION);
  {
    MutexLock lock(&install_mutex_);
    // Only what is in force is claimed; what was merely loaded is a floor.
    if (in_force_ && !whole_) {
      hello->set_revision(held_.revision);
      hello->set_incarnation(held_.incarnation);
      hello->set_digest(std::string(AsView(held_.resources.digest())));
    }
  }
  whole_ = false;
  pieces_.clear();
  questions_ = std::make_unique<Executor>(1, kMaxQuestions);
  bool answered = false;
  bool given_up = false;  // by us: then there is no status of the control plane's
  if (stream->Write(first)) {
    {
      MutexLock lock(&write_mutex_);
      stream_ = stream.get();
    }
    v1::SubscribeResponse response;
    while (stream->Read(&response)) {
      if (!answered) spdlog::info("following control plane {}", target.address);
      answered = true;
      given_up = !Receive(response, stream.get());
      if (given_up) break;
    }
  }
  if (given_up) context.TryCancel();
  questions_.reset();  // waits for an answer under way, which holds the stream
  {
    MutexLock lock(&write_mutex_);
    stream_ = nullptr;
  }
  grpc::Status status = stream->Finish();
  MutexLock lock(&mutex_);
  context_ = nullptr;
  channel_ = nullptr;
  if (!stopping_) spdlog::warn("control plane {}: the stream ended: {}", target.address, status.error_message());
  return answered;
}

bool Subscriber::Receive(const v1::SubscribeResponse& response, Stream* stream) {
  switch (response.kind_case()) {
    case v1::SubscribeResponse::kChunk:
    case v1::SubscribeResponse::kDelta: {
      Progress(true);
      const bool good = response.has_chunk() ? ReceiveChunk(response.chunk(), stream) : ReceiveDelta(response.delta(), stream);
      Progress(false);
      return good;
    }
    case v1::SubscribeResponse::kQuestion:
      // Apart: an answer may wait for a responder, and a configuration must not wait for it.
      questions_->Submit([this, question = response.question(), stream] { Answer(question, stream); });
      return true;
    case v1::SubscribeResponse::kTicketKeys: TakeTicketKeys(response.ticket_keys()); return true;
    case v1::SubscribeResponse::kCurrent: {
      MutexLock lock(&install_mutex_);
      if (!in_force_ || response.current().revision() != held_.revision) return true;
      // What was refused is not the newest any more: the store was restored.
      refused_.reset();
      renewal_.GiveUp();
      Confirm();
      return true;
    }
    case v1::SubscribeResponse::KIND_NOT_SET: return true;
  }
  return true;
}

bool Subscriber::ReceiveChunk(const v1::SnapshotChunk& chunk, Stream* stream) {
  if (chunk.revision() != pieces_revision_) pieces_.clear();  // a newer one overtook it
  pieces_revision_ = chunk.revision();
  if (pieces_.size() + chunk.data().size() > kMostPieces) {
    spdlog::error("revision {} is larger than {} octets", chunk.revision(), kMostPieces);
    return false;
  }
  pieces_.append(chunk.data());
  if (!chunk.last()) return true;
  v1::ConfigSet set;
  bool parsed = set.ParseFromString(std::exchange(pieces_, {}));
  SavedSnapshot offered{chunk.revision(), chunk.incarnation(), config::ResourceMap(std::move(set))};
  if (!parsed || AsView(offered.resources.digest()) != chunk.digest()) {
    spdlog::error("revision {} did not arrive whole; asking again", chunk.revision());
    whole_ = true;
    return false;
  }
  Take(std::move(offered), nullptr, stream);
  return true;
}

bool Subscriber::ReceiveDelta(const v1::Delta& delta, Stream* stream) {
  absl::StatusOr<config::ResourceMap> resources =
      absl::FailedPreconditionError("it starts from a revision that is not held");
  {
    MutexLock lock(&install_mutex_);
    if (delta.from_revision() == held_.revision && delta.incarnation() == held_.incarnation) {
      resources = config::ApplyDelta(held_.resources, delta);
    }
  }
  if (!resources.ok()) {
    // The stream is opened anew, with a Hello that claims nothing: then everything is sent.
    spdlog::error("delta to revision {}: {}; asking for everything", delta.to_revision(),
                  std::string(resources.status().message()));
    whole_ = true;
    return false;
  }
  Take({delta.to_revision(), delta.incarnation(), *std::move(resources)}, &delta, stream);
  return true;
}

void Subscriber::Take(SavedSnapshot offered, const v1::Delta* delta, Stream* stream) {
  const uint64_t revision = offered.revision;
  v1::SubscribeRequest answer;
  std::vector<v1::Violation> violations;
  {
    MutexLock lock(&install_mutex_);
    const bool same_store = offered.incarnation == held_.incarnation;
    const bool same = in_force_ && same_store && revision == held_.revision &&
                      offered.resources.digest() == held_.resources.digest();
    if (same_store && revision < held_.revision) {
      violations.push_back(ToProto({"revision", absl::StrCat(revision, " is older than ", held_.revision,
                                                             ", which this gateway had; it never goes back")}));
    } else if (!same) {
      violations = Install(offered);
    }
    if (violations.empty()) {
      Hold(std::move(offered), delta);
      Confirm();
    } else {
      refused_ = std::move(offered);
    }
  }
  if (violations.empty()) {
    answer.mutable_ack()->set_revision(revision);
  } else {
    answer.mutable_nack()->set_revision(revision);
    for (const v1::Violation& v : violations) {
      spdlog::error("revision {} is refused: {}: {}", revision, v.path(), v.message());
      *answer.mutable_nack()->add_violations() = v;
    }
  }
  Write(answer, stream);
  if (violations.empty()) return InStep();
  MutexLock lock(&install_mutex_);
  if (refused_) renewal_.Await(refused_->resources, [this] { Retry(); });
}

void Subscriber::Hold(SavedSnapshot snapshot, const v1::Delta* delta) {
  held_ = std::move(snapshot);
  in_force_ = true;
  refused_.reset();
  // Before the answer: whoever is told that a withdrawal is in force may rely on it after a restart too.
  absl::Status saved = file_ == nullptr   ? absl::OkStatus()
                       : delta == nullptr ? file_->Save(held_)
                                          : file_->SaveChange(held_, *delta);
  if (saved.ok()) return;
  spdlog::error("revision {} is in force but not saved, and what was saved is dropped: {}", held_.revision,
                std::string(saved.message()));
  file_->Drop();
}

// On disk once a minute at most: a restart may make the configuration older than it is by that much, and never younger.
void Subscriber::Confirm() {
  const absl::Time now = options_.clock->Now();
  gateway_->ConfirmNewest(now);
  if (file_ == nullptr || (now >= confirmed_saved_ && now < confirmed_saved_ + absl::Minutes(1))) return;
  confirmed_saved_ = now;
  file_->SaveConfirmed(now);
}

void Subscriber::ReportLoad() {
  for (;;) {
    {
      const SteadyTime until = SteadyAfter(kLoadPeriod);
      MutexLock lock(&mutex_);
      while (!stopping_ && SteadyNow() < until) changed_.WaitFor(&mutex_, Until(until));
      if (stopping_) return;
    }
    v1::SubscribeRequest request;
    *request.mutable_load() = load_meter_.Measure();
    MutexLock lock(&write_mutex_);
    if (stream_ != nullptr) stream_->Write(request);
  }
}

void Subscriber::Retry() {
  v1::SubscribeRequest answer;
  {
    MutexLock lock(&install_mutex_);
    if (!refused_) return;
    const uint64_t revision = refused_->revision;
    if (refused_->incarnation == held_.incarnation && revision < held_.revision) return;
    const std::vector<v1::Violation> violations = Install(*refused_);
    if (!violations.empty()) {
      spdlog::warn("revision {} is still refused: {}: {}", revision, violations[0].path(), violations[0].message());
      return renewal_.Await(refused_->resources, [this] { Retry(); });
    }
    spdlog::info("revision {} is in force after all", revision);
    Hold(*std::move(refused_), nullptr);
    answer.mutable_ack()->set_revision(revision);
  }
  {
    MutexLock lock(&write_mutex_);
    if (stream_ == nullptr) return;
    stream_->Write(answer);
  }
  InStep();
}

std::vector<v1::Violation> Subscriber::Install(const SavedSnapshot& snapshot) {
  std::vector<v1::Violation> violations;
  const config::BuildResult built = renewal_.Build(snapshot.resources, snapshot.revision, snapshot.incarnation);
  for (const config::Violation& v : renewal_.Install(built, snapshot.resources)) violations.push_back(ToProto(v));
  return violations;
}

void Subscriber::TakeTicketKeys(const v1::TicketKeys& message) {
  absl::StatusOr<std::vector<tls::TicketKey>> keys = server::TicketKeysOf(message);
  if (keys.ok()) {
    gateway_->SetTicketKeys(*keys);
  } else {
    spdlog::error("ticket keys are refused: {}", std::string(keys.status().message()));
  }
}

void Subscriber::Answer(const v1::Question& question, Stream* stream) {
  v1::SubscribeRequest request;
  *request.mutable_answer() = server::Answer(*gateway_, question, options_.clock->Now());
  Write(request, stream);
}

void Subscriber::Write(const v1::SubscribeRequest& request, Stream* stream) {
  MutexLock lock(&write_mutex_);
  stream->Write(request);
}

}  // namespace gatehouse::remote
