#include "gateway/server/answers.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/certs/certificate.h"
#include "gateway/http/fixed_response.h"

namespace gatehouse::server {
namespace {

using Json = nlohmann::ordered_json;

absl::string_view DetailOf(int status) {
  switch (status) {
    case 400: return "The request is malformed.";
    case 401: return "Authentication is required.";
    case 403: return "The caller may not do this.";
    case 404: return "Nothing is here.";
    case 405: return "The method is not allowed here.";
    case 408: return "The request did not come in time.";
    case 413: return "The request's content is too large.";
    case 414: return "The request's target is too long.";
    case 417: return "The expectation cannot be met.";
    case 421: return "This connection does not serve that name.";
    case 426: return "That version of WebSocket is not spoken here.";
    case 429: return "Too many attempts.";
    case 431: return "The request's header is too large.";
    case 501: return "The method or coding is not supported.";
    case 502: return "The service behind the gateway failed.";
    case 503: return "Try again later.";
    case 504: return "The service behind the gateway did not answer in time.";
    default: return "The gateway failed.";
  }
}

constexpr int kDeadlineExceeded = 4;

// Status codes of gRPC over HTTP/2 ("HTTP to gRPC Status Code Mapping", with 503 for overload).
int GrpcStatusOf(int status) {
  switch (status) {
    case 400: return 13;   // INTERNAL
    case 401: return 16;   // UNAUTHENTICATED
    case 403: return 7;    // PERMISSION_DENIED
    case 404: case 405: return 12;  // UNIMPLEMENTED
    case 429: case 502: case 503: case 504: case 421: return 14;  // UNAVAILABLE
    default: return 2;     // UNKNOWN
  }
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string Text(absl::string_view s) { return std::string(s); }

}  // namespace

bool IsGrpc(const http::RequestHead& head) {
  if (head.websocket) return false;  // whose 200 means yes
  std::optional<absl::string_view> type = head.fields().Find("content-type");
  if (!type) return false;
  constexpr absl::string_view kGrpc = "application/grpc";
  return absl::StartsWithIgnoreCase(*type, kGrpc) &&
         (type->size() == kGrpc.size() || (*type)[kGrpc.size()] == '+' || (*type)[kGrpc.size()] == ';');
}

http::Answer ProblemAnswer(const http::ProtocolError& error, absl::string_view request_id) {
  if (error.status == 0) return {};
  Problem problem;
  problem.status = error.status;
  problem.request_id = request_id;
  return ProblemAnswer(problem);
}

http::Answer ProblemAnswer(const Problem& problem) {
  http::Answer answer;
  answer.head.status = problem.status;
  http::FieldList& fields = answer.head.fields;
  if (problem.challenges != nullptr && problem.status == 401) {
    for (const std::string& challenge : *problem.challenges) fields.Add("www-authenticate", challenge);
  }
  if (problem.websocket_version) fields.Add("sec-websocket-version", "13");
  if (!problem.allow.empty()) fields.Add("allow", problem.allow);
  if (problem.retry_after > absl::ZeroDuration()) {
    int64_t seconds = absl::ToInt64Seconds(absl::Ceil(problem.retry_after, absl::Seconds(1)));
    fields.Add("retry-after", absl::StrCat(std::max<int64_t>(1, seconds)));
  }
  fields.Add("cache-control", "no-store");
  absl::string_view detail = problem.message.empty() ? DetailOf(problem.status) : problem.message;
  if (problem.grpc) {
    // Trailers-Only: one header block that ends the stream.
    answer.head.status = 200;
    fields.Add("content-type", "application/grpc");
    fields.Add("grpc-status", absl::StrCat(problem.deadline ? kDeadlineExceeded : GrpcStatusOf(problem.status)));
    std::string message;
    for (unsigned char c : detail) {
      if (c >= 0x20 && c < 0x7F && c != '%') {
        message.push_back(static_cast<char>(c));
      } else {
        absl::StrAppend(&message, "%", absl::Hex(c, absl::kZeroPad2));
      }
    }
    fields.Add("grpc-message", message);
    answer.head.content_length = 0;
    return answer;
  }
  fields.Add("content-type", "application/problem+json");
  fields.Add("x-content-type-options", "nosniff");
  answer.body = Dump({{"type", "about:blank"},
                      {"title", Text(http::ReasonPhrase(problem.status))},
                      {"status", problem.status},
                      {"detail", Text(detail)},
                      {"request_id", Text(problem.request_id)}});
  answer.body.push_back('\n');
  answer.head.content_length = answer.body.size();
  return answer;
}

void Change(const config::ResponseHeaders& headers, http::FieldList* fields) {
  for (const std::string& name : headers.remove) fields->Remove(name);
  for (const auto& [name, value] : headers.set) {
    fields->Remove(name);
    fields->Add(name, value);
  }
}

void Withhold(const config::ResponseHeaders& headers, http::FieldList* trailers) {
  for (const std::string& name : headers.remove) trailers->Remove(name);
  for (const auto& [name, value] : headers.set) trailers->Remove(name);
}

absl::StatusOr<std::shared_ptr<const http::FixedResponse>> WireForm(const config::FixedResponse& response,
                                                                    const config::ResponseHeaders* headers) {
  http::FieldList fields;
  if (!response.content_type.empty()) fields.Add("content-type", response.content_type);
  if (headers != nullptr) Change(*headers, &fields);
  return http::FixedResponse::Create(response.status, fields, response.body);
}

std::string IdentityAnswer(const identity::Identity& identity, absl::string_view message) {
  Json json;
  absl::string_view principal = identity.principal();
  json["message"] = !message.empty() ? Text(message)
                    : principal.empty() ? std::string("Hello")
                                        : absl::StrCat("Hello, ", principal);
  if (!identity.parts().empty()) {
    const identity::Part* part = identity.certificate();
    json["subject"] = Text(principal);
    if (part != nullptr && part->certificate != nullptr) {
      json["subject"] = part->principal;
      for (const identity::Claim& claim : part->claims) {
        if (claim.type == "issuer") json["issuer"] = claim.value;
        if (claim.type == "thumbprint") json["thumbprint"] = claim.value;
      }
    }
    json["scheme"] = Text(identity.scheme());
    Json schemes = Json::array();
    for (const identity::PartRef& p : identity.parts()) schemes.push_back(p->scheme);
    json["schemes"] = std::move(schemes);
    Json claims = Json::array();
    identity.ForEachClaim([&](const identity::Claim& c) {
      claims.push_back({{"type", c.type}, {"value", c.value}, {"issuer", c.issuer}, {"scheme", c.scheme}});
    });
    json["claims"] = std::move(claims);
  }
  return Dump(json) + "\n";
}

}  // namespace gatehouse::server
