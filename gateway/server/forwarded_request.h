// ForwardedRequest is a request as its upstream gets it: the client's fields without what belongs to the connection or claims
// what is ours to say, and then ours: who is asking (identity headers), from where (forwarding fields), in which trace, with
// which id and for how long.
//
// Ownership:  the worker's one, made anew for each request so that its memory serves the next; `head` points into it and into what
//             it was made of.
// Threading:  the worker's loop, whose random ids it draws.
// Errors:     Make returns what the client is answered instead.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/reason.h"
#include "gateway/config/snapshot.h"
#include "gateway/http/message.h"
#include "gateway/http/trace_context.h"
#include "gateway/identity/headers.h"
#include "gateway/identity/identity.h"
#include "gateway/loop/address.h"
#include "gateway/server/client_origin.h"
#include "gateway/server/websocket.h"
#include "gateway/upstream/upstream.h"

namespace gatehouse::server {

// What it is made of.
struct ForwardTerms {
  const http::RequestHead& head;  // without identity fields of the client's
  const identity::StripList& strip;
  const config::Route& route;
  config::Forwarded forwarded;
  const identity::Identity& identity;
  const ClientOrigin* origin;  // null: the peer is the client
  const loop::Address& peer;
  absl::string_view request_id;
  const WebSocketHandshake& websocket;
  http::RandomIds* random_ids;
};

class ForwardedRequest {
 public:
  // Why it cannot be made.
  struct Refusal {
    int status;
    Reason reason;
    std::string detail;
  };

  ForwardedRequest() = default;
  ForwardedRequest(const ForwardedRequest&) = delete;
  ForwardedRequest& operator=(const ForwardedRequest&) = delete;

  // What was made before is gone.
  std::optional<Refusal> Make(const ForwardTerms& terms);

  const upstream::RequestHead& head() const { return head_; }
  // The time that the upstream has: the route's, or the client's if that is less.
  absl::Duration limit() const { return limit_; }
  const std::string& trace_id() const { return trace_id_; }

 private:
  void CopyFields(const ForwardTerms& terms);

  http::FieldList fields_;
  std::string target_;
  std::string trailer_;
  upstream::RequestHead head_;
  absl::Duration limit_;
  std::optional<absl::string_view> grpc_timeout_;  // the client's
  std::string trace_id_;
};

// Whether a field that the client sent behind its body may follow it to the upstream: `head` is that of the request.
bool PassesAsTrailer(const http::RequestHead& head, const identity::StripList& strip, absl::string_view name);

}  // namespace gatehouse::server
