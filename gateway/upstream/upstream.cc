#include "gateway/upstream/upstream.h"

namespace gatehouse::upstream {

absl::string_view ErrorKindName(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kConnectFailed:
      return "connect_failed";
    case ErrorKind::kConnectTimeout:
      return "connect_timeout";
    case ErrorKind::kReset:
      return "reset";
    case ErrorKind::kProtocol:
      return "protocol";
    case ErrorKind::kResponseTimeout:
      return "response_timeout";
    case ErrorKind::kStalled:
      return "stalled";
    case ErrorKind::kOverloaded:
      return "overloaded";
    case ErrorKind::kNoEndpoint:
      return "no_endpoint";
    case ErrorKind::kBadRequest:
      return "bad_request";
    case ErrorKind::kRefused:
      return "refused";
  }
  return "";
}

int StatusFor(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kConnectFailed:
    case ErrorKind::kReset:
    case ErrorKind::kProtocol:
      return 502;
    case ErrorKind::kConnectTimeout:
    case ErrorKind::kResponseTimeout:
    case ErrorKind::kStalled:
      return 504;
    case ErrorKind::kOverloaded:
    case ErrorKind::kNoEndpoint:
    case ErrorKind::kRefused:
      return 503;
    case ErrorKind::kBadRequest:
      return 500;
  }
  return 502;
}

bool IsIdempotent(absl::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" || method == "DELETE";
}

}  // namespace gatehouse::upstream
