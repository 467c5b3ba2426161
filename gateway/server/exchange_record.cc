// What an exchange leaves behind: its one event, and its line in the access log.
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/server/exchange.h"
#include "gateway/server/worker.h"

namespace gatehouse::server {

absl::string_view Exchange::RequestId() {
  if (!has_id_) {
    connection_->worker()->NextRequestId(request_id_);
    has_id_ = true;
  }
  return absl::string_view(request_id_, Worker::kRequestIdSize);
}

void Exchange::Record(bool allowed, int status, Reason reason, absl::string_view detail) {
  recorded_ = true;
  allowed_ = allowed;
  status_ = static_cast<uint16_t>(status);
  reason_ = reason;
  Worker& worker = *connection_->worker();
  absl::Duration duration = worker.loop().now() - begun_;
  worker.metrics().CountRequest(route_ != nullptr ? worker.RouteLabel(*route_) : metrics::LabelTable::kOther, reason,
                                status, duration);
  const uint32_t one_in = allowed && route_ != nullptr ? route_->events.sample_one_in : 1;
  if (one_in > 1 && !worker.event_samples().Take(route_->index, one_in)) return;
  events::Event* event = std::exchange(event_reserved_, false) ? worker.recorder().BeginReserved(events::EventKind::kDecision)
                                                               : worker.recorder().Begin(events::EventKind::kDecision);
  if (event == nullptr) return;
  if (one_in > 1) event->sampled = one_in;
  event->outcome = allowed ? events::Outcome::kAllowed : events::Outcome::kRefused;
  event->reason = reason;
  event->status = static_cast<uint16_t>(status);
  event->duration = duration;
  event->http_version = head().version >= 20 ? 2 : 1;
  // Where nothing is told but what was decided, the requests of one caller on one route all say the same.
  if (detail.empty() && origin_ == nullptr && snapshot_ == worker.snapshot().get()) {
    event->facts = connection_->decision_facts().Find(
        {worker.adoptions(), route_ != nullptr ? route_->index : UINT32_MAX, failed_scheme_, identity_},
        [this] { return FactsOfEvent({}); });
  } else {
    event->facts = FactsOfEvent(detail);
  }
  event->SetRequest({head().method(), head().host(), head().path(), RequestId()});
  worker.recorder().Commit();
}

std::shared_ptr<const events::Facts> Exchange::FactsOfEvent(absl::string_view detail) const {
  auto facts = std::make_shared<events::Facts>();
  facts->peer = connection_->facts();
  facts->revision = snapshot_->revision;
  if (route_ != nullptr) facts->route = route_->name;
  facts->detail = std::string(detail);
  if (identity_ != nullptr && !identity_->parts().empty()) {
    facts->principal = std::string(identity_->principal());
    for (const identity::PartRef& part : identity_->parts()) {
      facts->schemes.push_back(part->scheme);
      facts->any_self_signed |= part->any_self_signed;
    }
  } else if (failed_scheme_ != authn::Decision::kNoScheme) {
    facts->schemes.push_back(snapshot_->scheme(failed_scheme_).name);
  }
  if (origin_ != nullptr && origin_->host != connection_->host()) {
    auto peer = std::make_shared<events::PeerFacts>(*facts->peer);
    peer->address = origin_->client;
    facts->peer = std::move(peer);
    facts->detail = absl::StrCat("by way of ", connection_->address().ToString(), detail.empty() ? "" : "; ", detail);
  }
  return facts;
}

bool Exchange::AccessIsLogged() const {
  return listener_ != nullptr && (listener_->access_log != nullptr || (route_ != nullptr && route_->access_log != nullptr));
}

void Exchange::End() {
  state_ = State::kDone;
  if (!AccessIsLogged()) return;
  Worker& worker = *connection_->worker();
  const std::string client = client_host(), peer = connection_->host();
  if (trace_id_.empty()) {
    if (std::optional<http::TraceContext> trace = http::ReadTrace(head().fields())) trace_id_ = std::string(trace->trace_id);
  }
  AccessLine line;
  line.time = worker.clock().Now();
  line.client = client;
  if (client != peer) line.proxy = peer;
  if (identity_ != nullptr) {
    line.principal = identity_->principal();
    line.scheme = identity_->scheme();
  }
  line.method = head().method();
  line.host = head().host();
  line.path = head().path();
  line.referer = head().fields().Find("referer").value_or("");
  line.user_agent = head().fields().Find("user-agent").value_or("");
  line.http_version = head().version;
  line.tls_version = connection_->tls_version();
  line.status = status_;
  line.reason = reason_;
  line.bytes_in = body_in_;
  line.bytes_out = body_out_;
  line.duration = worker.loop().now() - begun_;
  if (route_ != nullptr) {
    line.route = route_->name;
    if (route_->action == config::Action::kUpstream) line.upstream = snapshot_->upstream(route_->upstream).name;
  }
  line.upstream_time = upstream_time_;
  line.listener = listener_->name;
  line.request_id = RequestId();
  line.trace_id = trace_id_;
  worker.LogAccess(*listener_, route_, allowed_, line);
}

}  // namespace gatehouse::server
