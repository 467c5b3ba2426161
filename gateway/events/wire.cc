#include "gateway/events/wire.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "absl/base/internal/raw_logging.h"
#include "gateway/base/escape.h"
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

constexpr std::array<char, 512> MakeHexPairs() {
  std::array<char, 512> pairs{};
  for (size_t i = 0; i < 256; ++i) {
    pairs[2 * i] = "0123456789abcdef"[i >> 4];
    pairs[2 * i + 1] = "0123456789abcdef"[i & 15];
  }
  return pairs;
}
constexpr std::array<char, 512> kHexPairs = MakeHexPairs();

// Writes fields in wire form to the end of a string. The string is longer than what was written until Done.
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out), size_(out->size()) { Grow(kTypical); }
  ~Writer() { out_->resize(size_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Like proto3's own writer, these leave out what is zero or empty.
  void Number(int field, uint64_t value) {
    if (value == 0) return;
    uint8_t* p = Tag(field, 0, kMaxVarint);
    End(CodedOutputStream::WriteVarint64ToArray(value, p));
  }
  void Text(int field, absl::string_view text) {
    if (!text.empty()) Entry(field, text);
  }
  // An entry of a repeated field is written even when it is empty.
  void Entry(int field, absl::string_view text) {
    uint8_t* p = Tag(field, 2, kMaxVarint + text.size());
    p = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(text.size()), p);
    if (!CopyAscii(text, p) && !IsValidUtf8(text)) return Entry(field, EscapeText(text));
    End(p + text.size());
  }
  void Hex(int field, const Sha256Digest& digest) {
    uint8_t* p = Tag(field, 2, kMaxVarint + 2 * digest.size());
    *p++ = static_cast<uint8_t>(2 * digest.size());
    for (uint8_t octet : digest) {
      std::memcpy(p, &kHexPairs[2 * octet], 2);
      p += 2;
    }
    End(p);
  }
  // A Timestamp or a Duration: two numbers, 1 and 2 in both.
  void Seconds(int field, int64_t seconds, int64_t nanos) {
    const size_t start = Begin(field, 1);
    Number(google::protobuf::Timestamp::kSecondsFieldNumber, static_cast<uint64_t>(seconds));
    Number(google::protobuf::Timestamp::kNanosFieldNumber, static_cast<uint64_t>(nanos));
    (*out_)[start - 1] = static_cast<char>(size_ - start);  // at most 24
  }
  // Fields in wire form.
  void Written(absl::string_view fields) {
    out_->resize(size_);
    out_->append(fields.data(), fields.size());
    size_ += fields.size();
  }
  // A message: `length_size` octets are kept free for its length.
  size_t Begin(int field, size_t length_size) {
    uint8_t* p = Tag(field, 2, length_size);
    End(p + length_size);
    return size_;
  }
  void EndMessage(size_t start) {
    uint64_t length = size_ - start;
    if (length >= 1u << (7 * kLengthSize)) {
      // A certificate's name may be that long; make room for the length that it needs.
      const size_t more = CodedOutputStream::VarintSize64(length) - kLengthSize;
      Room(more);
      std::memmove(out_->data() + start + more, out_->data() + start, length);
      size_ += more;
      CodedOutputStream::WriteVarint64ToArray(length, At(start - kLengthSize));
      return;
    }
    *At(start - 2) = static_cast<uint8_t>(length | 0x80);
    *At(start - 1) = static_cast<uint8_t>(length >> 7);
  }
  static constexpr size_t kLengthSize = 2;

 private:
  static constexpr size_t kTypical = 256;
  static constexpr size_t kMaxVarint = 10;

  void Grow(size_t n) { out_->resize(size_ + n); }
  void Room(size_t n) {
    if (out_->size() - size_ < n) Grow(std::max(n, kTypical));
  }
  uint8_t* At(size_t i) { return reinterpret_cast<uint8_t*>(out_->data() + i); }
  uint8_t* Tag(int field, uint32_t type, size_t room) {
    Room(room + 2);
    return CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(field) << 3 | type, At(size_));
  }
  void End(const uint8_t* p) { size_ = static_cast<size_t>(p - At(0)); }

  std::string* const out_;
  size_t size_;  // written
};

void PutTime(Writer& w, int field, absl::Time time) {
  // Whole seconds first: a certificate of the year 9999 is more nanoseconds than 64 bits hold.
  int64_t seconds = absl::ToUnixSeconds(time);
  w.Seconds(field, seconds, absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds)));
}

void PutRequest(Writer& w, const Event& event) {
  using F = v1::RequestFacts;
  const size_t start = w.Begin(v1::Event::kRequestFieldNumber, Writer::kLengthSize);
  w.Text(F::kMethodFieldNumber, event.method.view());
  w.Text(F::kHostFieldNumber, event.host.view());
  w.Text(F::kPathFieldNumber, event.path.view());
  w.Number(F::kPathTruncatedFieldNumber, event.path.truncated());
  if (event.route != nullptr) w.Text(F::kRouteFieldNumber, *event.route);
  w.Number(F::kStatusFieldNumber, event.status);
  w.Text(F::kRequestIdFieldNumber, event.request_id.view());
  const int64_t nanos = absl::ToInt64Nanoseconds(event.duration);
  w.Seconds(F::kDurationFieldNumber, nanos / 1'000'000'000, nanos % 1'000'000'000);
  w.Number(F::kHttpVersionFieldNumber, event.http_version);
  w.EndMessage(start);
}

void PutCertificate(Writer& w, const CertificateSummary& certificate) {
  using F = v1::CertificateFacts;
  const size_t start = w.Begin(v1::Event::kCertificateFieldNumber, Writer::kLengthSize);
  w.Text(F::kSubjectFieldNumber, certificate.subject);
  w.Text(F::kIssuerFieldNumber, certificate.issuer);
  w.Hex(F::kSha256FieldNumber, certificate.sha256);
  w.Text(F::kSerialFieldNumber, certificate.serial);
  PutTime(w, F::kNotAfterFieldNumber, certificate.not_after);
  w.EndMessage(start);
}

std::string PeerWire(const PeerFacts& peer) {
  using F = v1::Event;
  std::string wire;
  {
    Writer w(&wire);
    char address[PeerAddress::kMaxText];
    w.Text(F::kPeerFieldNumber, absl::string_view(address, static_cast<size_t>(peer.address.PrintTo(address) - address)));
    if (peer.server_name != nullptr) w.Text(F::kServerNameFieldNumber, *peer.server_name);
    if (peer.listener != nullptr) w.Text(F::kListenerFieldNumber, *peer.listener);
    w.Number(F::kConnectionIdFieldNumber, peer.connection_id);
    w.Number(F::kResumedFieldNumber, peer.resumed);
    w.Number(F::kPossessionProvenFieldNumber, peer.possession == Possession::kProven);
    if (peer.certificate != nullptr) PutCertificate(w, *peer.certificate);
  }
  wire.shrink_to_fit();
  return wire;
}

void PutUpstream(Writer& w, const UpstreamSummary& upstream) {
  using F = v1::UpstreamFacts;
  const size_t start = w.Begin(v1::Event::kUpstreamFieldNumber, Writer::kLengthSize);
  w.Text(F::kUpstreamFieldNumber, upstream.upstream);
  w.Text(F::kEndpointFieldNumber, upstream.endpoint);
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

void AppendWire(const Event& event, absl::string_view gateway, std::string* out) {
  using F = v1::Event;
  Writer w(out);
  w.Number(F::kTypeFieldNumber, TypeOf(event.kind));
  w.Number(F::kOutcomeFieldNumber, OutcomeOf(event.outcome));
  w.Number(F::kReasonFieldNumber, static_cast<uint64_t>(event.reason));
  PutTime(w, F::kTimeFieldNumber, event.time);
  w.Text(F::kGatewayFieldNumber, gateway);
  w.Number(F::kRevisionFieldNumber, event.revision);
  if (event.detail != nullptr) w.Text(F::kDetailFieldNumber, *event.detail);
  w.Number(F::kMissedFieldNumber, event.dropped_before);
  if (event.peer != nullptr) w.Written(event.peer->wire.Get([&event] { return PeerWire(*event.peer); }));
  if (event.kind == EventKind::kDecision) PutRequest(w, event);
  if (event.identity != nullptr) {
    w.Text(F::kPrincipalFieldNumber, event.identity->principal);
    for (const std::string& scheme : event.identity->schemes) w.Entry(F::kSchemesFieldNumber, scheme);
  } else if (event.scheme != nullptr) {
    w.Entry(F::kSchemesFieldNumber, *event.scheme);
  }
  w.Number(F::kAnySelfSignedFieldNumber, event.any_self_signed);
  w.Number(F::kConnectionsFieldNumber, event.connections);
  w.Number(F::kStreamsFieldNumber, event.streams);
  w.Number(F::kPreviousRevisionFieldNumber, event.previous_revision);
  if (event.upstream != nullptr) PutUpstream(w, *event.upstream);
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

void ToProto(const Event& event, v1::Event* out) {
  std::string wire;
  AppendWire(event, {}, &wire);
  ABSL_RAW_CHECK(out->ParseFromString(wire), "AppendWire writes what protobuf reads");
}

}  // namespace gatehouse::events
