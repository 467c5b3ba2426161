#include "gateway/server/forwarded_request.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/http/trailers.h"
#include "gateway/server/answers.h"
#include "gateway/server/grpc_timeout.h"

namespace gatehouse::server {
namespace {

void SetFraming(const http::RequestHead& head, bool websocket, upstream::RequestHead* out) {
  using upstream::Framing;
  if (websocket) {
    out->framing = Framing::kUpgrade;
  } else if (head.content_length) {
    out->framing = Framing::kLength;
    out->content_length = *head.content_length;
  } else {
    out->framing = head.has_body ? Framing::kChunked : Framing::kNoBody;
  }
}

}  // namespace

std::optional<ForwardedRequest::Refusal> ForwardedRequest::Make(const ForwardTerms& terms) {
  const http::RequestHead& head = terms.head;
  const config::Route& route = terms.route;
  limit_ = route.timeout;
  grpc_timeout_.reset();
  if (IsGrpc(head)) grpc_timeout_ = head.fields().Find("grpc-timeout");
  if (grpc_timeout_.has_value()) {
    const std::optional<absl::Duration> of_client = ParseGrpcTimeout(*grpc_timeout_);
    if (!of_client.has_value()) return Refusal{400, Reason::kMalformedRequest, "grpc-timeout is malformed"};
    limit_ = std::min(limit_, *of_client);
  }
  CopyFields(terms);
  if (!terms.websocket.key().empty()) fields_.Add("sec-websocket-key", terms.websocket.key());
  if (terms.forwarded != config::Forwarded::kNone) {
    AddForwarded(terms.forwarded, terms.origin, terms.peer.host(), head.authority(), &fields_);
  }
  http::AddTrace(head.fields(), terms.random_ids, &fields_, &trace_id_);
  fields_.Add("x-request-id", terms.request_id);
  // The shorter of both, as far as the upstream needs to know.
  if (grpc_timeout_.has_value()) fields_.Add("grpc-timeout", limit_ < route.timeout ? *grpc_timeout_ : FormatGrpcTimeout(limit_));
  if (route.injector != nullptr) {
    absl::Status status = route.injector->Inject(
        terms.identity, [this](absl::string_view name, absl::string_view value) { fields_.Add(name, value); });
    if (!status.ok()) return Refusal{502, Reason::kIdentityNotEncodable, std::string(status.message())};
  }
  const config::Rewrite* rewrite = route.rewrite.get();
  if (rewrite == nullptr) {
    target_.assign(head.path().data(), head.path().size());
  } else {
    target_ = rewrite->Path(head.path());
  }
  if (head.has_query) absl::StrAppend(&target_, "?", head.query());

  head_ = upstream::RequestHead();
  head_.method = head.method();
  head_.target = target_;
  head_.authority = rewrite == nullptr || rewrite->host().empty() ? head.authority() : rewrite->host();
  head_.fields = &fields_;
  head_.accepts_trailers = head.fields().Has("te") && head.fields().HasToken("te", "trailers");
  SetFraming(head, terms.websocket.asked(), &head_);
  if (head.has_body && head.fields().Has("trailer")) {
    trailer_ = http::AnnouncedTrailers(
        head.fields(), [&terms](absl::string_view name) { return PassesAsTrailer(terms.head, terms.strip, name); });
    head_.trailer = trailer_;
  }
  return std::nullopt;
}

void ForwardedRequest::CopyFields(const ForwardTerms& terms) {
  const http::FieldList& fields = terms.head.fields();
  fields_.Clear();
  fields_.Reserve(1024, fields.size() + 8);
  const bool has_connection = fields.Has("connection");
  for (size_t i = 0; i < fields.size(); ++i) {
    http::FieldList::Field f = fields[i];
    if (f.name == "host" || f.name == "content-length" || f.name == "expect") continue;
    if (IsForwardedField(f.name, terms.origin != nullptr)) continue;
    if (http::IsTraceField(f.name) || f.name == "x-request-id") continue;
    if (http::IsHopByHop(f.name)) continue;
    // What the client's Connection names goes before anything of ours comes (SEMANTICS 5).
    if (has_connection && fields.HasToken("connection", f.name)) continue;
    if (f.name == "authorization" && !terms.route.keep_authorization) continue;
    if (f.name == "sec-websocket-key" && terms.websocket.asked()) continue;
    if (f.name == "grpc-timeout" && grpc_timeout_.has_value()) continue;
    fields_.Add(f.name, f.value);
  }
}

bool PassesAsTrailer(const http::RequestHead& head, const identity::StripList& strip, absl::string_view name) {
  return http::MayTrail(name) && !strip.Removes(name) && !head.fields().HasToken("connection", name);
}

}  // namespace gatehouse::server
