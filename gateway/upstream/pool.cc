#include "gateway/upstream/pool.h"

#include <algorithm>
#include <utility>

#include "gateway/upstream/connection.h"
#include "gateway/upstream/request_head.h"

namespace gatehouse::upstream {
namespace {

constexpr absl::Duration kRest = absl::Seconds(1);
// Endpoints that time out are slow to find out about; those that refuse are not.
constexpr int kMaxTimeouts = 2;

std::shared_ptr<Site> MakeSite(const loop::Address& address) {
  auto site = std::make_shared<Site>();
  site->address = address;
  site->name = address.ToString();
  return site;
}

}  // namespace

std::unique_ptr<Pool> Pool::Create(loop::Loop* loop, UpstreamOptions options) {
  return std::unique_ptr<Pool>(new Pool(loop, std::move(options)));
}

Pool::Pool(loop::Loop* loop, UpstreamOptions options)
    : loop_(loop), options_(std::move(options)), queue_deadline_(&loop->deadlines(), this) {
  for (const loop::Address& address : options_.endpoints) sites_.push_back(MakeSite(address));
}

Pool::~Pool() {
  loop_->Unmark(this);
  auto end = [](Request* request) {
    request->state_ = Request::State::kDone;
    request->connection_ = nullptr;
    request->pool_ = nullptr;
  };
  for (Request* request : pending_) end(request);
  for (Request* request : failing_) end(request);
  for (const auto& connection : connections_) {
    if (connection->request() != nullptr) end(connection->TakeRequest());
  }
}

std::unique_ptr<Request> Pool::Start(const RequestHead& head, ResponseHandler* handler) {
  std::unique_ptr<Request> request(new Request(this, handler, head));
  ++running_;
  stats_.requests.Add();
  if (!WriteHead(head, &request->wire_)) {
    FailLater(request.get(), ErrorKind::kBadRequest);
  } else if (sites_.empty()) {
    FailLater(request.get(), ErrorKind::kNoEndpoint);
  } else {
    Place(request.get(), /*fresh=*/false);
  }
  return request;
}

void Pool::Place(Request* request, bool fresh) {
  if (!fresh) {
    if (Connection* connection = TakeIdle(*request)) {
      stats_.reused.Add();
      connection->Attach(request);
      return;
    }
  }
  if (connections_.size() < options_.max_connections) {
    Open(request);
  } else if (pending_.size() < options_.max_pending) {
    Enqueue(request);
  } else {
    FailLater(request, ErrorKind::kOverloaded);
  }
}

Connection* Pool::TakeIdle(const Request& request) {
  // The endpoint whose turn it is, unless no more connections may be opened: then any that is free.
  bool full = connections_.size() >= options_.max_connections;
  size_t tries = full ? sites_.size() : 1;
  for (size_t i = 0; i < tries; ++i) {
    Site& site = *NextSite();
    while (!site.idle.empty()) {
      Connection* connection = site.idle.back();
      site.idle.pop_back();
      stats_.idle_connections.Add(-1);
      // What cannot be repeated is not risked on a connection that is known to be dead.
      if (request.repeatable() || connection->Healthy()) {
        if (!full) next_site_ = (next_site_ + 1) % sites_.size();
        return connection;
      }
      connection->Close();
    }
    if (full) next_site_ = (next_site_ + 1) % sites_.size();
  }
  return nullptr;
}

// The site whose turn it is; resting ones are passed over while there are others.
std::shared_ptr<Site> Pool::NextSite() {
  for (size_t i = 0; i < sites_.size(); ++i) {
    const std::shared_ptr<Site>& site = sites_[next_site_];
    if (site->resting_until <= loop_->now()) return site;
    next_site_ = (next_site_ + 1) % sites_.size();
  }
  return sites_[next_site_];
}

void Pool::Open(Request* request) {
  auto connection = std::make_unique<Connection>(this, NextSite());
  next_site_ = (next_site_ + 1) % sites_.size();
  connection->pool_index = connections_.size();
  connections_.push_back(std::move(connection));
  stats_.connects.Add();
  stats_.open_connections.Add();
  Connection* opened = connections_.back().get();
  opened->Attach(request);
  opened->Connect();
}

void Pool::FailLater(Request* request, ErrorKind kind) {
  if (request->state_ == Request::State::kAttached && request->connection_ != nullptr) {
    Connection* connection = request->connection_;
    connection->TakeRequest();
    connection->Close();
  } else if (request->state_ == Request::State::kQueued && request->queued_at_.nanos != 0) {
    Dequeue(request);
  }
  request->state_ = Request::State::kFailing;
  request->failure_ = kind;
  request->place_ = failing_.insert(failing_.end(), request);
  loop_->MarkDirty(this);
}

void Pool::Flush() {
  // Only those that are here now: a handler may start another that fails, again and again.
  for (size_t n = failing_.size(); n > 0 && !failing_.empty(); --n) {
    Request* request = failing_.front();
    failing_.pop_front();
    switch (request->failure_) {
      case ErrorKind::kOverloaded:
        request->Fail(ErrorKind::kOverloaded, "too many requests wait for a connection");
        break;
      case ErrorKind::kNoEndpoint:
        request->Fail(ErrorKind::kNoEndpoint, "no endpoint is configured");
        break;
      default:
        request->Fail(request->failure_, "the request cannot be written as HTTP/1.1");
    }
  }
  if (!failing_.empty()) loop_->MarkDirty(this);
}

void Pool::Enqueue(Request* request) {
  request->state_ = Request::State::kQueued;
  request->queued_at_ = loop_->now();
  request->place_ = pending_.insert(pending_.end(), request);
  stats_.pending.Add();
  ArmQueue();
}

void Pool::Dequeue(Request* request) {
  pending_.erase(request->place_);
  request->queued_at_ = {};
  stats_.pending.Add(-1);
  ArmQueue();
}

Request* Pool::FirstPending() {
  if (pending_.empty()) return nullptr;
  Request* request = pending_.front();
  Dequeue(request);
  return request;
}

void Pool::ArmQueue() {
  if (pending_.empty()) {
    queue_deadline_.Clear();
  } else {
    queue_deadline_.Set(pending_.front()->queued_at_ + options_.queue_timeout);
  }
}

void Pool::OnDeadline(loop::Deadline*) {
  // The deadline is the first one's; the wheel may be late, so others may be due too.
  loop::Instant first = pending_.empty() ? loop::Instant{} : pending_.front()->queued_at_;
  while (!pending_.empty() && pending_.front()->queued_at_ <= first) {
    FirstPending()->Fail(ErrorKind::kOverloaded, "no connection became free in time");
  }
}

void Pool::OnIdle(Connection* connection) {
  if (connection->site().gone) {
    connection->Close();
    return;
  }
  if (Request* request = FirstPending()) {
    connection->Attach(request);
    return;
  }
  connection->site().idle.push_back(connection);
  stats_.idle_connections.Add();
}

void Pool::OnClosed(Connection* connection) {
  std::vector<Connection*>& idle = connection->site().idle;
  auto it = std::find(idle.begin(), idle.end(), connection);
  if (it != idle.end()) {
    idle.erase(it);
    stats_.idle_connections.Add(-1);
  }
  std::unique_ptr<Connection>& slot = connections_[connection->pool_index];
  std::unique_ptr<Connection> closed = std::move(slot);
  if (&slot != &connections_.back()) {
    slot = std::move(connections_.back());
    slot->pool_index = connection->pool_index;
  }
  connections_.pop_back();
  stats_.open_connections.Add(-1);
  loop_->DeferDelete(std::move(closed));
  ServePending();
}

void Pool::ServePending() {
  while (connections_.size() < options_.max_connections && !sites_.empty()) {
    Request* request = FirstPending();
    if (request == nullptr) return;
    Open(request);
  }
}

void Pool::OnConnectFailed(Connection* connection, ErrorKind kind, absl::string_view detail) {
  std::string text(detail);
  connection->site().resting_until = loop_->now() + kRest;
  Request* request = connection->TakeRequest();
  if (request == nullptr) {
    connection->Close();
    return;
  }
  ++request->attempts_;
  if (kind == ErrorKind::kConnectTimeout) ++request->timeouts_;
  bool again = static_cast<size_t>(request->attempts_) < sites_.size() && request->timeouts_ < kMaxTimeouts;
  // Before Close, which gives the place that is free to whoever waits.
  if (again) Open(request);
  connection->Close();
  if (!again) request->Fail(kind, text);
}

void Pool::Repeat(Connection* connection) {
  Request* request = connection->TakeRequest();
  request->repeated_ = true;
  request->wire_ = std::move(connection->out());
  stats_.repeated.Add();
  if (sites_.empty()) {
    connection->Close();
    request->Fail(ErrorKind::kNoEndpoint, "no endpoint is configured");
    return;
  }
  Open(request);
  connection->Close();
}

void Pool::OnDone(Request*, const ErrorKind* error) {
  --running_;
  if (error != nullptr) stats_.errors[static_cast<size_t>(*error)].Add();
}

void Pool::CloseIdle() {
  for (const std::shared_ptr<Site>& site : sites_) {
    while (!site->idle.empty()) site->idle.back()->Close();
  }
}

void Pool::Update(UpstreamOptions options) {
  std::vector<std::shared_ptr<Site>> before = std::exchange(sites_, {});
  for (const loop::Address& address : options.endpoints) {
    auto it = std::find_if(before.begin(), before.end(), [&address](const std::shared_ptr<Site>& site) {
      return site != nullptr && site->address == address;
    });
    sites_.push_back(it == before.end() ? MakeSite(address) : std::exchange(*it, nullptr));
  }
  next_site_ = 0;
  options_ = std::move(options);
  for (const std::shared_ptr<Site>& site : before) {
    if (site == nullptr) continue;
    site->gone = true;
    while (!site->idle.empty()) site->idle.back()->Close();
  }
  if (sites_.empty()) {
    while (Request* request = FirstPending()) FailLater(request, ErrorKind::kNoEndpoint);
  }
  ServePending();
  ArmQueue();
}

}  // namespace gatehouse::upstream
