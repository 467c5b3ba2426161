// AccessLine is what one finished request leaves in an access log, and how it is written. What callers chose (path, host,
// names) is escaped, so that it can neither begin a line of its own nor move a terminal's cursor. No query is logged.
//
// Ownership:  views, for as long as the line is written.
// Threading:  pure.
// Units:      octets of bodies.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/reason.h"
#include "gateway/config/access_log.h"

namespace gatehouse::server {

struct AccessLine {
  absl::Time time;  // of the end
  absl::string_view client;  // address without port
  absl::string_view proxy;   // the peer, where it is not the client
  absl::string_view principal, scheme;
  absl::string_view method, host, path;
  absl::string_view referer, user_agent;  // COMBINED only; the referer's query is left out
  int http_version = 11;                  // 10, 11, 20
  absl::string_view tls_version;
  int status = 0;  // 0: the client went, or was cut, before one was sent
  Reason reason = Reason::kNone;
  uint64_t bytes_in = 0, bytes_out = 0;
  absl::Duration duration;
  absl::string_view upstream;
  absl::Duration upstream_time = absl::ZeroDuration();  // from the request's start there to the answer's head
  absl::string_view route, listener;
  absl::string_view request_id, trace_id;
};

// Appends the line and its end.
void AppendLine(config::AccessLog::Format format, const AccessLine& line, std::string* out);

}  // namespace gatehouse::server
