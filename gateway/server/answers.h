// Answers that the gateway gives itself: problems (RFC 9457), gRPC's Trailers-Only form of them, and the identity
// response. What a refused client reads depends on the status alone, never on who it is or why (SEMANTICS 3).
//
// Ownership:  values; the head and body are the caller's.
// Threading:  pure.
// Errors:     WireForm names the field that may not go on the wire.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/config/route.h"
#include "gateway/http/codec.h"
#include "gateway/http/fixed_response.h"
#include "gateway/http/message.h"
#include "gateway/identity/identity.h"

namespace gatehouse::server {

struct Problem {
  int status = 500;
  absl::string_view request_id;
  // 401: one field each. Of the route, not of the caller.
  const std::vector<std::string>* challenges = nullptr;
  // 405.
  absl::string_view allow;
  // 426, and 400 over HTTP/2: which version of WebSocket is spoken here.
  bool websocket_version = false;
  // 429 and 503: whole seconds, rounded up; zero leaves the field out.
  absl::Duration retry_after = absl::ZeroDuration();
  // 403: the policy's public message; empty for the constant text.
  absl::string_view message;
  // The request was gRPC: status 200 with grpc-status and grpc-message (UNAUTHENTICATED, PERMISSION_DENIED …).
  bool grpc = false;
  // 504 since the request's own time is over, which is DEADLINE_EXCEEDED in gRPC.
  bool deadline = false;
};

http::Answer ProblemAnswer(const Problem& problem);
// What the codec refuses, worded like every other refusal; empty where nothing is answered.
http::Answer ProblemAnswer(const http::ProtocolError& error, absl::string_view request_id);

// WireForm is a route's constant answer as it goes on the wire. `headers` may be null.
absl::StatusOr<std::shared_ptr<const http::FixedResponse>> WireForm(const config::FixedResponse& response,
                                                                    const config::ResponseHeaders* headers);

// Change does to the fields of an answer what the route wants.
void Change(const config::ResponseHeaders& headers, http::FieldList* fields);
// Withhold removes from an answer's trailers what the route changes of its fields: an upstream's does not come by that way either.
void Withhold(const config::ResponseHeaders& headers, http::FieldList* trailers);

// True for content types application/grpc and application/grpc+anything.
bool IsGrpc(const http::RequestHead& head);

// IdentityAnswer is what the caller is known as: message, subject, issuer, thumbprint, scheme, claims. The certificate's
// members are absent when no certificate scheme succeeded; for an anonymous caller only `message` is there.
std::string IdentityAnswer(const identity::Identity& identity, absl::string_view message);

}  // namespace gatehouse::server
