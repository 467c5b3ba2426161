// Fetcher gets one document by HTTP for somebody who will not trust it: what comes is bytes, whoever asked checks their
// signature. It is written for hostile ends: addresses, names, redirects, sizes and times are all somebody else's.
//
// Ownership:  requests and results are values.
// Threading:  Fetch from any thread; `done` runs on a thread of the fetcher's and must be quick. It runs exactly once,
//             or never when the fetcher goes first.
// Units:      octets, wall time from the call on (waiting in a queue counts).
// Errors:     in the result: a closed kind, and words for people.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/fetch/address_rules.h"

namespace gatehouse::fetch {

struct FetchRequest {
  std::string url;           // http or https, no user information
  std::string body;          // not empty: POST, else GET
  std::string content_type;  // of `body`
  std::string accept;        // empty: anything
  size_t max_bytes = 64 * 1024;  // of the document
  int max_redirects = 3;         // each to http or https; a POST stays one
  absl::Duration connect_timeout = absl::Seconds(3);
  absl::Duration timeout = absl::Seconds(10);  // of the whole, redirects included
  absl::Duration stall = absl::Seconds(10);    // slower than 512 octets a second for so long is given up
  AddressRulesRef rules;  // null: the built-in ones. Asked about every address that is connected to
};

enum class FetchError : uint8_t {
  kNone,
  kNotPermitted,  // the URL, a redirect or an address is not allowed
  kUnreachable,   // no such name, refused, reset, TLS failed
  kTimedOut,      // or slower than the low-speed limit
  kTooLarge,
  kBadAnswer,     // no HTTP, or a status other than 200
  kOverloaded,    // too many fetches wait
};
// "timed out"
absl::string_view FetchErrorName(FetchError error);

struct FetchResult {
  FetchError error = FetchError::kNone;
  std::string detail;  // not for terminals as it stands: parts of it are the far end's
  std::string body;
  absl::Duration took;

  bool ok() const { return error == FetchError::kNone; }
};

class Fetcher {
 public:
  virtual ~Fetcher() = default;
  virtual void Fetch(FetchRequest request, absl::AnyInvocable<void(FetchResult)> done) = 0;
};

// "host:port" in lower case with the scheme's default port, or "" when `url` is none that Fetch would take.
std::string HostOf(absl::string_view url);

}  // namespace gatehouse::fetch
