#include "gateway/events/wire.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "gateway/base/escape.h"
#include "gateway/base/hex_pairs.h"
#include "gatehouse/v1/event_service.pb.h"
#include "google/protobuf/io/coded_stream.h"

namespace gatehouse::events {
namespace {

using google::protobuf::io::CodedOutputStream;

// Copies `text` to `to` and says whether it is all ASCII.
bool CopyAscii(absl::string_view text, uint8_t* to) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  const size_t n = text.size();
  const char* from = text.data();
  uint64_t high = 0;
  if (n >= 8) {
    uint64_t word;
    for (size_t i = 0; i + 8 < n; i += 8) {
      std::memcpy(&word, from + i, 8);
      std::memcpy(to + i, &word, 8);
      high |= word;
    }
    std::memcpy(&word, from + n - 8, 8);  // overlaps with what was copied
    std::memcpy(to + n - 8, &word, 8);
    return ((high | word) & kHighBits) == 0;
  }
  for (size_t i = 0; i < n; ++i) {
    to[i] = static_cast<uint8_t>(from[i]);
    high |= to[i];
  }
  return (high & 0x80) == 0;
}

// Writes fields in wire form to the end of a string, which is longer than what was written until this is destroyed.
class Writer {
 public:
  // `room`: about as many octets as there will be.
  Writer(std::string* out, size_t room) : out_(out) { Grow(out->size(), room); }
  ~Writer() { out_->resize(Size()); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Like proto3's own writer, these leave out what is zero or empty.
  void Number(int field, uint64_t value) {
    if (value == 0) return;
    Tag(field, 0, kMaxVarint);
    at_ = CodedOutputStream::WriteVarint64ToArray(value, at_);
  }
  void Text(int field, absl::string_view text) {
    if (!text.empty()) Entry(field, text);
  }
  // An entry of a repeated field is written even when it is empty.
  void Entry(int field, absl::string_view text) {
    Tag(field, 2, kMaxVarint + text.size());
    uint8_t* const to = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(text.size()), at_);
    if (CopyAscii(text, to) || IsValidUtf8(text)) {
      at_ = to + text.size();
      return;
    }
    const std::string escaped = EscapeText(text);
    Room(kMaxVarint + escaped.size());
    at_ = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(escaped.size()), at_);
    at_ = CodedOutputStream::WriteStringToArray(escaped, at_);
  }
  void Hex(int field, const Sha256Digest& digest) {
    Tag(field, 2, kMaxVarint + 2 * digest.size());
    *at_++ = static_cast<uint8_t>(2 * digest.size());
    for (uint8_t octet : digest) {
      std::memcpy(at_, &kHexPairs[2 * octet], 2);
      at_ += 2;
    }
  }
  // A Timestamp or a Duration: two numbers, 1 and 2 in both.
  void Seconds(int field, int64_t seconds, int64_t nanos) {
    Tag(field, 2, 1 + 2 * (kMaxTag + kMaxVarint));  // all of it: what follows does not move
    uint8_t* const length = at_++;
    Number(google::protobuf::Timestamp::kSecondsFieldNumber, static_cast<uint64_t>(seconds));
    Number(google::protobuf::Timestamp::kNanosFieldNumber, static_cast<uint64_t>(nanos));
    *length = static_cast<uint8_t>(at_ - length - 1);  // at most 22
  }
  // Fields in wire form.
  void Written(absl::string_view fields) {
    Room(fields.size());
    std::memcpy(at_, fields.data(), fields.size());
    at_ += fields.size();
  }
  // A message: room is kept for its length. Begin returns what EndMessage wants.
  size_t Begin(int field) {
    Tag(field, 2, kLengthSize);
    at_ += kLengthSize;
    return Size();
  }
  void EndMessage(size_t start) {
    const uint64_t length = Size() - start;
    if (length >= 1u << (7 * kLengthSize)) {
      // A certificate's name may be that long; make room for the length that it needs.
      const size_t more = CodedOutputStream::VarintSize64(length) - kLengthSize;
      Room(more);
      uint8_t* const from = Base() + start;
      std::memmove(from + more, from, length);
      at_ += more;
      CodedOutputStream::WriteVarint64ToArray(length, from - kLengthSize);
      return;
    }
    Base()[start - 2] = static_cast<uint8_t>(length | 0x80);
    Base()[start - 1] = static_cast<uint8_t>(length >> 7);
  }

 private:
  static constexpr size_t kLengthSize = 2;
  static constexpr size_t kMaxVarint = 10;
  static constexpr size_t kMaxTag = 2;

  uint8_t* Base() const { return reinterpret_cast<uint8_t*>(out_->data()); }
  size_t Size() const { return static_cast<size_t>(at_ - Base()); }
  void Grow(size_t size, size_t room) {
    out_->resize(size + room);
    at_ = Base() + size;
    end_ = at_ + room;
  }
  void Room(size_t n) {
    if (static_cast<size_t>(end_ - at_) < n) Grow(Size(), 2 * n + 256);
  }
  void Tag(int field, uint32_t type, size_t room) {
    Room(room + kMaxTag);
    at_ = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(field) << 3 | type, at_);
  }

  std::string* const out_;
  uint8_t* at_;
  uint8_t* end_;
};

void PutTime(Writer& w, int field, absl::Time time) {
  // Whole seconds first: a certificate of the year 9999 is more nanoseconds than 64 bits hold.
  int64_t seconds = absl::ToUnixSeconds(time);
  w.Seconds(field, seconds, absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds)));
}

void PutCertificate(Writer& w, const CertificateSummary& certificate) {
  using F = v1::CertificateFacts;
  const size_t start = w.Begin(v1::Event::kCertificateFieldNumber);
  w.Text(F::kSubjectFieldNumber, certificate.subject);
  w.Text(F::kIssuerFieldNumber, certificate.issuer);
  w.Hex(F::kSha256FieldNumber, certificate.sha256);
  w.Text(F::kSerialFieldNumber, certificate.serial);
  PutTime(w, F::kNotAfterFieldNumber, certificate.not_after);
  w.EndMessage(start);
}

void PutPeer(Writer& w, const PeerFacts& peer) {
  using F = v1::Event;
  char address[PeerAddress::kMaxText];
  w.Text(F::kPeerFieldNumber, absl::string_view(address, static_cast<size_t>(peer.address.PrintTo(address) - address)));
  if (peer.server_name != nullptr) w.Text(F::kServerNameFieldNumber, *peer.server_name);
  if (peer.listener != nullptr) w.Text(F::kListenerFieldNumber, *peer.listener);
  w.Number(F::kConnectionIdFieldNumber, peer.connection_id);
  w.Number(F::kResumedFieldNumber, peer.resumed);
  w.Number(F::kPossessionProvenFieldNumber, peer.possession == Possession::kProven);
  if (peer.certificate != nullptr) PutCertificate(w, *peer.certificate);
}

void PutUpstream(Writer& w, const UpstreamSummary& upstream) {
  using F = v1::UpstreamFacts;
  const size_t start = w.Begin(v1::Event::kUpstreamFieldNumber);
  w.Text(F::kUpstreamFieldNumber, upstream.upstream);
  w.Text(F::kEndpointFieldNumber, upstream.endpoint);
  w.EndMessage(start);
}

std::string WireOf(const Facts& facts) {
  using F = v1::Event;
  std::string wire;
  {
    Writer w(&wire, 512);
    w.Number(F::kRevisionFieldNumber, facts.revision);
    w.Text(F::kDetailFieldNumber, facts.detail);
    if (facts.peer != nullptr) PutPeer(w, *facts.peer);
    w.Text(F::kPrincipalFieldNumber, facts.principal);
    for (const std::string& scheme : facts.schemes) w.Entry(F::kSchemesFieldNumber, scheme);
    w.Number(F::kAnySelfSignedFieldNumber, facts.any_self_signed);
    w.Number(F::kConnectionsFieldNumber, facts.connections);
    w.Number(F::kStreamsFieldNumber, facts.streams);
    w.Number(F::kPreviousRevisionFieldNumber, facts.previous_revision);
    if (facts.upstream != nullptr) PutUpstream(w, *facts.upstream);
  }
  wire.shrink_to_fit();
  return wire;
}

void PutRequest(Writer& w, const Event& event) {
  using F = v1::RequestFacts;
  const size_t start = w.Begin(v1::Event::kRequestFieldNumber);
  const RequestText text = event.request();
  w.Text(F::kMethodFieldNumber, text.method);
  w.Text(F::kHostFieldNumber, text.host);
  w.Text(F::kPathFieldNumber, text.path);
  w.Number(F::kPathTruncatedFieldNumber, event.path_truncated());
  w.Text(F::kRouteFieldNumber, event.facts->route);
  w.Number(F::kStatusFieldNumber, event.status);
  w.Text(F::kRequestIdFieldNumber, text.request_id);
  const int64_t nanos = absl::ToInt64Nanoseconds(event.duration);
  w.Seconds(F::kDurationFieldNumber, nanos / 1'000'000'000, nanos % 1'000'000'000);
  w.Number(F::kHttpVersionFieldNumber, event.http_version);
  w.EndMessage(start);
}

}  // namespace

v1::Event::Type TypeOf(EventKind kind) {
  switch (kind) {
    case EventKind::kDecision:
      return v1::Event::DECISION;
    case EventKind::kHandshake:
      return v1::Event::HANDSHAKE;
    case EventKind::kCut:
      return v1::Event::TRUST;
    case EventKind::kConfig:
      return v1::Event::CONFIG;
    case EventKind::kGateway:
      return v1::Event::GATEWAY;
    case EventKind::kExpiry:
      return v1::Event::EXPIRY;
    case EventKind::kGuessing:
      return v1::Event::GUESSING;
    case EventKind::kUpstream:
      return v1::Event::UPSTREAM;
  }
  return v1::Event::TYPE_UNSPECIFIED;
}

v1::Event::Outcome OutcomeOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kUnspecified:
      return v1::Event::OUTCOME_UNSPECIFIED;
    case Outcome::kAllowed:
      return v1::Event::ALLOWED;
    case Outcome::kRefused:
      return v1::Event::REFUSED;
    case Outcome::kCut:
      return v1::Event::CUT;
    case Outcome::kNotice:
      return v1::Event::NOTICE;
  }
  return v1::Event::OUTCOME_UNSPECIFIED;
}

void WireAppender::Append(const Event& event, std::string* out) {
  using F = v1::Event;
  const Facts& facts = *event.facts;
  const std::string& common = facts.wire.Get([&facts] { return WireOf(facts); });
  constexpr size_t kOwn = 256;  // octets of what a request says itself, mostly
  if (head_.empty() || kind_ != event.kind || outcome_ != event.outcome || reason_ != event.reason || time_ != event.time) {
    head_.clear();
    Writer head(&head_, 64 + gateway_.size());
    head.Number(F::kTypeFieldNumber, TypeOf(event.kind));
    head.Number(F::kOutcomeFieldNumber, OutcomeOf(event.outcome));
    head.Number(F::kReasonFieldNumber, static_cast<uint64_t>(event.reason));
    PutTime(head, F::kTimeFieldNumber, event.time);
    head.Text(F::kGatewayFieldNumber, gateway_);
    kind_ = event.kind;
    outcome_ = event.outcome;
    reason_ = event.reason;
    time_ = event.time;
  }
  Writer w(out, head_.size() + common.size() + kOwn);
  w.Written(head_);
  w.Number(F::kMissedFieldNumber, event.dropped_before);
  w.Written(common);
  if (event.kind == EventKind::kDecision) PutRequest(w, event);
  w.Number(F::kSampledFieldNumber, event.sampled);
}

void AppendEntry(const Event& event, absl::string_view gateway, std::string* out) {
  std::string wire;
  AppendWire(event, gateway, &wire);
  uint8_t head[11] = {v1::WatchResponse::kEventsFieldNumber << 3 | 2};
  const uint8_t* end = CodedOutputStream::WriteVarint64ToArray(wire.size(), head + 1);
  out->append(reinterpret_cast<const char*>(head), static_cast<size_t>(end - head));
  *out += wire;
}

}  // namespace gatehouse::events
