#include "gateway/upstream/pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/prefetch.h"
#include "gateway/upstream/connection.h"
#include "gateway/upstream/request_head.h"

namespace gatehouse::upstream {
namespace {

constexpr size_t kFreeRetries = 3;  // whatever the budget's share comes to
constexpr size_t kLeastSpareBytes = 256;  // of a wire
constexpr size_t kMostSpareBytes = 4096;
constexpr size_t kMostSpareInAll = size_t{1} << 20;

}  // namespace

std::unique_ptr<Pool> Pool::Create(loop::Loop* loop, UpstreamOptions options) {
  return std::unique_ptr<Pool>(new Pool(loop, std::move(options)));
}

Pool::Pool(loop::Loop* loop, UpstreamOptions options)
    : loop_(loop),
      options_(std::move(options)),
      stats_(options_.stats != nullptr ? options_.stats : std::make_shared<PoolStats>()),
      balancer_(loop, stats_.get()),
      queue_deadline_(&loop->deadlines(), this) {
  balancer_.Use(options_);
}

Pool::~Pool() {
  loop_->Unmark(this);
  auto end = [this](Request* request) {
    Leave(request);
    request->state_ = Request::State::kDone;
    request->connection_ = nullptr;
    request->pool_ = nullptr;
  };
  stats_->pending.Add(-static_cast<int64_t>(pending_.size()));
  for (Queue* queue : {&pending_, &failing_}) queue->clear_and_dispose(end);
  for (const auto& connection : connections_) {
    connection->site().counts->connections.Add(-1);
    stats_->open_connections.Add(-1);
    CountIdle(connection.get(), false);
    while (Request* request = connection->TakeRequest()) end(request);
  }
}

std::unique_ptr<Request> Pool::Start(const RequestHead& head, ResponseHandler* handler) {
  std::unique_ptr<Request> request(new Request(this, handler, head));
  if (!options_.http2) request->wire_ = TakeWire();
  const bool too_many = options_.max_requests != 0 && running_ - failing_.size() >= options_.max_requests;
  ++running_;
  stats_->requests.Add();
  if (too_many) {
    FailLater(request.get(), ErrorKind::kOverloaded, "too many requests run");
  } else if (!(options_.http2 ? ListHead(head, options_.tls != nullptr ? "https" : "http", &request->head_)
                              : WriteHead(head, &request->wire_))) {
    FailLater(request.get(), ErrorKind::kBadRequest, "the request cannot be written as HTTP");
  } else {
    Place(request.get());
  }
  return request;
}

void Pool::Place(Request* request) {
  const SiteRef* site = balancer_.Pick(request->tried_);
  if (site == nullptr && !(options_.resolving && balancer_.sites().empty())) {
    FailWithoutEndpoint(request);
    return;
  }
  if (site != nullptr) {
    Connection* connection = TakeIdle(**site, *request);
    if (connection == nullptr && full()) connection = TakeAnyIdle(*request);
    if (connection != nullptr) {
      stats_->reused.Add();
      Give(connection, request);
      return;
    }
    if (!full()) {
      Open(request, *site);
      return;
    }
  }
  if (pending_.size() < options_.max_pending) {
    Enqueue(request);
  } else {
    FailLater(request, ErrorKind::kOverloaded, "too many requests wait for a connection");
  }
}

Connection* Pool::TakeIdle(Site& site, const Request& request) {
  while (!site.idle.empty()) {
    Connection* connection = site.idle.back();
    if (!connection->CanTake()) {
      OnFull(connection);
      continue;
    }
    // What cannot be repeated is not risked on a connection that is known to be dead.
    if (request.repeatable() || connection->Healthy()) return connection;
    if (connection->active() == 0) {
      connection->Close();
    } else {
      OnFull(connection);  // its requests are told when it finds out itself
    }
  }
  return nullptr;
}

Connection* Pool::TakeAnyIdle(const Request& request) {
  Site* useless = nullptr;
  for (const SiteRef& site : balancer_.sites()) {
    if (site->idle.empty()) continue;
    if (!site->in_service()) {
      useless = site.get();
    } else if (Connection* connection = TakeIdle(*site, request)) {
      return connection;
    }
  }
  if (full() && useless != nullptr && useless->idle.back()->active() == 0) useless->idle.back()->Close();
  return nullptr;
}

void Pool::Give(Connection* connection, Request* request) {
  Site& site = connection->site();
  request->site_ = &site;
  site.counts->requests.Add();
  site.counts->active.Add();
  CountIdle(connection, false);
  connection->Attach(request);
  if (!connection->CanTake()) {
    OnFull(connection);
  } else if (!connection->listed) {
    connection->listed = true;
    site.idle.push_back(connection);
  }
}

void Pool::CountIdle(Connection* connection, bool idle) {
  if (connection->counted_idle == idle) return;
  connection->counted_idle = idle;
  stats_->idle_connections.Add(idle ? 1 : -1);
}

void Pool::Leave(Request* request) {
  if (request->site_ == nullptr) return;
  request->site_->counts->active.Add(-1);
  request->site_ = nullptr;
}

void Pool::Open(Request* request, const SiteRef& site) {
  std::unique_ptr<Connection> connection = Connection::Create(this, site);
  connection->pool_index = connections_.size();
  connections_.push_back(std::move(connection));
  site->counts->connections.Add();
  stats_->connects.Add();
  stats_->open_connections.Add();
  Connection* opened = connections_.back().get();
  Give(opened, request);
  opened->Connect();
}

void Pool::FailLater(Request* request, ErrorKind kind, absl::string_view detail) {
  if (request->state_ == Request::State::kAttached && request->connection_ != nullptr) {
    request->connection_->Abandon(request);
    Leave(request);  // its endpoint may go before it is told
  } else if (request->state_ == Request::State::kQueued && request->queued_at_.nanos != 0) {
    Dequeue(request);
  }
  request->state_ = Request::State::kFailing;
  request->failure_ = kind;
  request->failure_detail_ = std::string(detail);
  failing_.push_back(*request);
  loop_->MarkDirty(this);
}

void Pool::FailWithoutEndpoint(Request* request) {
  FailLater(request, ErrorKind::kNoEndpoint,
            balancer_.sites().empty() ? "no endpoint has an address" : "no endpoint is healthy");
}

void Pool::Flush() {
  // Only those that are here now: a handler may start another that fails, again and again.
  for (size_t n = failing_.size(); n > 0 && !failing_.empty(); --n) {
    Request& request = failing_.front();
    failing_.pop_front();
    request.Fail(request.failure_, std::string(request.failure_detail_));
  }
  if (!failing_.empty()) loop_->MarkDirty(this);
}

void Pool::Enqueue(Request* request) {
  request->state_ = Request::State::kQueued;
  request->queued_at_ = loop_->now();
  pending_.push_back(*request);
  stats_->pending.Add();
  if (pending_.size() == 1) ArmQueue();
}

void Pool::Dequeue(Request* request) {
  pending_.erase(pending_.iterator_to(*request));
  request->queued_at_ = {};
  stats_->pending.Add(-1);
  // Otherwise the deadline, which may be too early now, finds out whose it is.
  if (pending_.empty()) queue_deadline_.Clear();
}

Request* Pool::FirstPending() {
  if (pending_.empty()) return nullptr;
  Request* request = &pending_.front();
  Dequeue(request);
  return request;
}

void Pool::PrefetchPending() const {
  if (!pending_.empty()) Prefetch(&pending_.front(), sizeof(Request));
}

void Pool::ArmQueue() {
  if (pending_.empty()) {
    queue_deadline_.Clear();
  } else {
    queue_due_ = pending_.front().queued_at_ + options_.queue_timeout;
    queue_deadline_.Set(queue_due_);
  }
}

void Pool::OnDeadline(loop::Deadline*) {
  const loop::Instant due = queue_due_;
  while (!pending_.empty() && pending_.front().queued_at_ + options_.queue_timeout <= due) {
    FirstPending()->Fail(ErrorKind::kOverloaded, "no connection became free in time");
  }
  ArmQueue();
}

std::string Pool::TakeWire() {
  if (spare_wires_.empty()) return {};
  std::string wire = std::move(spare_wires_.back());
  spare_wires_.pop_back();
  spare_bytes_ -= wire.capacity();
  return wire;
}

void Pool::GiveWire(std::string wire) {
  const size_t bytes = wire.capacity();
  if (bytes < kLeastSpareBytes || bytes > kMostSpareBytes || spare_bytes_ + bytes > kMostSpareInAll) return;
  spare_bytes_ += bytes;
  wire.clear();
  spare_wires_.push_back(std::move(wire));
}

void Pool::OnRoom(Connection* connection) {
  Site& site = connection->site();
  if (site.gone || (retired_ && pending_.empty())) return connection->Retire();
  const bool useless = !pending_.empty() && !site.in_service();
  if (useless && connection->active() == 0) return connection->Close();  // and its place goes to whoever waits
  while (!useless && !pending_.empty() && connection->CanTake()) {
    // As in TakeIdle: what cannot be repeated is not risked on one that has ended meanwhile. Its place goes to whoever waits.
    if (connection->active() == 0 && !pending_.front().repeatable() && !connection->Healthy()) return connection->Close();
    Give(connection, FirstPending());
  }
  CountIdle(connection, connection->active() == 0);
  if (!connection->CanTake() || connection->listed) return;
  connection->listed = true;
  site.idle.push_back(connection);
}

void Pool::OnFull(Connection* connection) {
  if (!connection->listed) return;
  connection->listed = false;
  std::vector<Connection*>& idle = connection->site().idle;
  idle.erase(std::find(idle.rbegin(), idle.rend(), connection).base() - 1);
}

void Pool::OnClosed(Connection* connection) {
  OnFull(connection);
  CountIdle(connection, false);
  std::unique_ptr<Connection>& slot = connections_[connection->pool_index];
  std::unique_ptr<Connection> closed = std::move(slot);
  if (&slot != &connections_.back()) {
    slot = std::move(connections_.back());
    slot->pool_index = connection->pool_index;
  }
  connections_.pop_back();
  stats_->open_connections.Add(-1);
  closed->site().counts->connections.Add(-1);
  loop_->DeferDelete(std::move(closed));
  if (!closing_) ServePending();
}

void Pool::ServePending() {
  while (!full() && !pending_.empty()) {
    const SiteRef* site = balancer_.Pick(pending_.front().tried_);
    if (site != nullptr) {
      Open(FirstPending(), *site);
    } else if (options_.resolving && balancer_.sites().empty()) {
      return;
    } else {
      FailWithoutEndpoint(&pending_.front());
    }
  }
}

bool Pool::MayRetry(const Request& request, ErrorKind kind, bool seen) const {
  if (request.head_seen_ || request.tries_ >= options_.retries.attempts) return false;
  const bool no_connection = kind == ErrorKind::kConnectFailed || kind == ErrorKind::kConnectTimeout;
  // Where there was nobody, there is nobody: only others are asked.
  if (!balancer_.AnyBut(no_connection ? request.tried_ : Request::Tried())) return false;
  return !seen || (options_.retries.idempotent && request.keeps_wire());
}

bool Pool::BudgetSpent() const {
  return retrying_ >= std::max(kFreeRetries, running_ * options_.retries.budget_percent / 100);
}

void Pool::Retry(Request* request) {
  ++request->tries_;
  stats_->retries.Add();
  Place(request);
}

void Pool::OnConnectFailed(Connection* connection, ErrorKind kind, absl::string_view detail) {
  const std::string text(detail);
  OnFull(connection);
  const bool waited_for = connection->active() > 0;
  while (connection->active() > 1) OnLost(connection->TakeRequest(), kind, text, /*seen=*/false);
  if (Request* request = connection->TakeRequest()) {
    OnBroken(connection, request, kind, text, /*seen=*/false);
    return;
  }
  if (!waited_for) balancer_.Failed(connection->site(), text, /*no_connection=*/true);
  connection->Close();
}

void Pool::OnHead(Request* request, int status) {
  request->head_seen_ = true;
  if (request->budgeted_) {
    request->budgeted_ = false;
    --retrying_;
  }
  if (status >= 502 && status <= 504) {
    balancer_.Failed(*request->site_, absl::StrCat(request->site_->name(), ": answered ", status), /*no_connection=*/false);
  } else {
    balancer_.Succeeded(*request->site_);
  }
}

void Pool::OnFailed(Request* request, ErrorKind kind, absl::string_view detail, bool seen) {
  const std::string text(detail);
  const bool no_connection = kind == ErrorKind::kConnectFailed || kind == ErrorKind::kConnectTimeout;
  // An upstream may turn requests away, and say goodbye.
  if (kind != ErrorKind::kRefused) balancer_.Failed(*request->site_, text, no_connection);
  OnLost(request, kind, text, seen);
}

void Pool::OnLost(Request* request, ErrorKind kind, absl::string_view detail, bool seen) {
  std::string text(detail);
  request->tried_.push_back(request->site_);
  Leave(request);
  bool again = MayRetry(*request, kind, seen);
  if (again && seen && !request->budgeted_ && BudgetSpent()) {
    absl::StrAppend(&text, "; not tried again: so many retries are under way (retries.budget_percent)");
    again = false;
  }
  if (!again) {
    request->Fail(kind, text);
    return;
  }
  if (seen && !request->budgeted_) {
    request->budgeted_ = true;
    ++retrying_;
  }
  request->state_ = Request::State::kQueued;
  Retry(request);
}

void Pool::OnBroken(Connection* connection, Request* request, ErrorKind kind, absl::string_view detail, bool seen) {
  const std::string text(detail);
  // The place that becomes free is for this request first, then for whoever waits.
  closing_ = true;
  connection->Close();
  closing_ = false;
  OnFailed(request, kind, text, seen);
  ServePending();
}

void Pool::Repeat(Connection* connection, absl::Span<Request* const> requests) {
  // Its place is for these requests, whatever else is idle: that may have died too.
  closing_ = true;
  connection->Close();
  closing_ = false;
  bool opened = false;
  for (Request* request : requests) {
    request->repeated_ = true;
    stats_->repeated.Add();
    Leave(request);
    const SiteRef* site = opened ? nullptr : balancer_.Pick(request->tried_);
    if (site != nullptr) {
      Open(request, *site);
      opened = true;
    } else {
      Place(request);
    }
  }
  ServePending();
}

void Pool::OnDone(Request* request, const ErrorKind* error) {
  --running_;
  Leave(request);
  GiveWire(std::move(request->wire_));
  if (request->budgeted_) --retrying_;
  if (error != nullptr) stats_->errors[static_cast<size_t>(*error)].Add();
}

void Pool::CloseIdle() {
  std::vector<Connection*> idle;
  for (const auto& connection : connections_) {
    if (connection->counted_idle) idle.push_back(connection.get());
  }
  for (Connection* connection : idle) connection->Close();
}

void Pool::RetireConnections(const Site* site) {
  std::vector<Connection*> retired;
  for (const auto& connection : connections_) {
    if (site == nullptr || &connection->site() == site) retired.push_back(connection.get());
  }
  for (Connection* connection : retired) {
    OnFull(connection);
    connection->Retire();
  }
}

void Pool::Retire() {
  retired_ = true;
  CloseIdle();
}

void Pool::Update(UpstreamOptions options) {
  const bool other_proof = options_.tls != options.tls;
  options_ = std::move(options);
  for (const SiteRef& site : balancer_.Use(options_)) RetireConnections(site.get());
  // What was proven under other terms is not used again.
  if (other_proof) RetireConnections(nullptr);
  ServePending();
  ArmQueue();
}

}  // namespace gatehouse::upstream
