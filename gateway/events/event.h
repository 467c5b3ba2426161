// Event is one fact for the event stream, in one fixed slot: numbers, the request's own text, and one shared reference to what
// it has in common with others (the caller, the route, the certificate). Filling one allocates nothing and touches three
// lines of memory: a loaded worker fills more than the processor's cache holds.
//
// Ownership:  the reference to its facts keeps them alive until the collector has sent the event.
// Threading:  a value; filled by one thread, read by one other.
// Secrets:    none may be put here: no password, no Authorization, no query string, no key.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/digest.h"
#include "gateway/base/reason.h"

namespace gatehouse::events {

enum class EventKind : uint8_t {
  kDecision = 1,   // one request was allowed or refused
  kHandshake = 2,  // a handshake failed, or a certificate was presented
  kCut = 3,        // trust was withdrawn: streams and connections were ended
  kConfig = 4,     // a snapshot is in force, or was refused
  kGateway = 5,    // the gateway started, drains, stopped
  kExpiry = 6,     // a certificate is about to expire
  kGuessing = 7,   // passwords are guessed: lock-outs, sprays
  kUpstream = 8,   // an endpoint of an upstream went out of service, or came back
};

enum class Outcome : uint8_t {
  kUnspecified = 0,
  kAllowed = 1,
  kRefused = 2,
  kCut = 3,     // admission was withdrawn from something that ran
  kNotice = 4,  // configuration, start, drain
};

// Whether the caller proved that it holds the key of the certificate (SEMANTICS 1).
enum class Possession : uint8_t { kNone = 0, kUnproven = 1, kProven = 2 };

// Text that somebody else owns, shared.
using SharedText = std::shared_ptr<const std::string>;

// What an event says about a presented certificate. Made once per connection, then shared.
struct CertificateSummary {
  Sha256Digest sha256{};
  std::string subject;  // RFC 4514
  std::string issuer;
  std::string serial;  // upper-case hex
  absl::Time not_after;
};

// What an event says about an endpoint of an upstream.
struct UpstreamSummary {
  std::string upstream;  // resource name
  std::string endpoint;  // `ip:port`; of a name without addresses `name:port`
};

// A peer's address, kept binary: it is printed by whoever prints the event.
struct PeerAddress {
  enum class Family : uint8_t { kNone = 0, kIpv4 = 4, kIpv6 = 6, kUnix = 1 };
  Family family = Family::kNone;
  uint16_t port = 0;  // host byte order
  std::array<uint8_t, 16> octets{};

  // From a sockaddr of `size` octets; an unknown family becomes kNone.
  static PeerAddress FromSockaddr(const void* address, size_t size);
  // "192.0.2.1:443", "[2001:db8::1]:443", "unix", "". v4-mapped IPv6 prints as IPv4.
  std::string ToString() const;
  static constexpr size_t kMaxText = 64;
  // The octets of an IP address; empty for another family.
  absl::Span<const uint8_t> ip() const {
    return absl::MakeConstSpan(octets.data(), family == Family::kIpv4 ? 4 : family == Family::kIpv6 ? 16 : 0);
  }
  // The same into `out[kMaxText]`; returns the end.
  char* PrintTo(char* out) const;
};

// Text that is made from what it stands beside when it is first asked for. A copy makes its own.
//
// Threading: thread-safe.
class LazyText {
 public:
  LazyText() = default;
  LazyText(const LazyText&) {}
  LazyText& operator=(const LazyText&) = delete;
  ~LazyText() { delete text_.load(std::memory_order_relaxed); }

  // `make` returns the text; two threads that ask at once may both call it.
  template <typename F>
  const std::string& Get(F make) const {
    if (const std::string* text = text_.load(std::memory_order_acquire)) return *text;
    auto made = std::make_unique<const std::string>(make());
    const std::string* first = nullptr;
    if (!text_.compare_exchange_strong(first, made.get(), std::memory_order_acq_rel)) return *first;
    return *made.release();
  }

 private:
  mutable std::atomic<const std::string*> text_{nullptr};
};

// Who an event is about: the client of a connection, or a certificate alone. Made once for all events of the connection,
// then shared.
struct PeerFacts {
  uint64_t connection_id = 0;
  PeerAddress address;
  bool resumed = false;  // the TLS session was
  Possession possession = Possession::kNone;
  std::shared_ptr<const CertificateSummary> certificate;  // null: none was presented
  SharedText listener;
  SharedText server_name;  // indicated by the client in its handshake; null: none was
};
// About a certificate alone.
std::shared_ptr<const PeerFacts> FactsOf(CertificateSummary certificate);

// What events have in common: all of an event that is not one request's own. The decisions about one caller on one route
// share one; other events have their own.
struct Facts {
  std::shared_ptr<const PeerFacts> peer;          // null: the event is about no client
  std::string principal;                          // empty: nobody was authenticated, or anonymous
  std::vector<std::string> schemes;               // that succeeded; of a refusal: whose answer decided it, if one did
  bool any_self_signed = false;                   // a scheme with accept_any_self_signed decided (SEMANTICS 1)
  std::string route;                              // empty: no route matched
  uint64_t revision = 0;                          // of the snapshot that decided; kCut and kConfig: the new one
  uint64_t previous_revision = 0;                 // kCut, kConfig
  uint32_t connections = 0;                       // kCut: ended
  uint32_t streams = 0;                           // kCut: ended
  std::string detail;                             // OpenSSL's text, violations, what was withdrawn
  std::shared_ptr<const UpstreamSummary> upstream;  // null: the event is not about one
  LazyText wire;  // all of it but the route as wire.h writes it, for every event repeats it
};

// What of a request its event says. Views of what the caller, or the event, holds.
struct RequestText {
  absl::string_view method;
  absl::string_view host;        // the request's authority
  absl::string_view path;        // canonical, without the query
  absl::string_view request_id;
};

struct Event {
  EventKind kind = EventKind::kDecision;
  Outcome outcome = Outcome::kUnspecified;
  Reason reason = Reason::kNone;
  bool must_keep = false;      // whoever passes it on must not lose it
  uint8_t http_version = 0;    // 1, 2
  uint16_t status = 0;         // sent to the client
  uint16_t worker = 0;         // set by the recorder
  uint32_t sampled = 0;      // kDecision: how many like it this one stands for, itself included; 0: 1

  absl::Time time;                // set by the recorder from its clock
  absl::Duration duration;        // request: head received to decision or end, as the caller chose
  uint64_t sequence = 0;          // set by the collector: 1, 2, 3 … per gateway process, no holes
  uint64_t dropped_before = 0;    // set by the recorder: events of this worker lost just before this one
  std::shared_ptr<const Facts> facts = NoFacts();  // never null

  // Own returns facts that are this event's alone, to change: a copy of what it shared. Until the event is shown to others.
  Facts& Own();

  // What is longer than there is room for is cut, on a character boundary.
  static constexpr size_t kMostMethod = 16, kMostHost = 96, kMostPath = 128, kMostRequestId = 32;
  void SetRequest(const RequestText& text);
  RequestText request() const;
  bool path_truncated() const { return path_truncated_; }

  // Reset returns the slot to its initial state without touching the text's octets.
  void Reset(EventKind new_kind);
  // LetGo drops the references.
  void LetGo() { facts = NoFacts(); }

 private:
  // Facts that say nothing; no reference is counted for them.
  static std::shared_ptr<const Facts> NoFacts();

  // Lengths of the texts, which follow each other: an event touches no more memory than it fills.
  uint8_t request_id_ = 0, method_ = 0, host_ = 0, path_ = 0;
  bool path_truncated_ = false;
  char text_[kMostRequestId + kMostMethod + kMostHost + kMostPath] = {};
};
static_assert(sizeof(Event) <= 384, "an event slot's budget; a ring of 8,192 is at most 3 MiB a worker");

// Clip returns as much of `text` as fits in `most` octets; a cut in the middle of a UTF-8 sequence drops the sequence.
absl::string_view Clip(absl::string_view text, size_t most);

// Events in order of their numbers. They are the collector's and lie in the rings: valid during the call that is given
// them, to be copied or put in wire form.
using Batch = absl::Span<const Event* const>;

}  // namespace gatehouse::events
