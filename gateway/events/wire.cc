#include "gateway/events/wire.h"

#include <cstring>
#include <string>

#include "gateway/base/escape.h"

namespace gatehouse::events {
namespace {

bool IsAscii(absl::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080) != 0) return false;
  }
  for (; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0x80) != 0) return false;
  }
  return true;
}

// Assigns, so that a message that is used again keeps its memory: this runs once per request.
void Put(absl::string_view text, std::string* out) {
  if (IsAscii(text) || IsValidUtf8(text)) {
    out->assign(text.data(), text.size());
  } else {
    *out = EscapeText(text);
  }
}

void PutHex(const Sha256Digest& digest, std::string* out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out->resize(2 * digest.size());
  for (size_t i = 0; i < digest.size(); ++i) {
    (*out)[2 * i] = kDigits[digest[i] >> 4];
    (*out)[2 * i + 1] = kDigits[digest[i] & 15];
  }
}

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

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  // Whole seconds first: a certificate of the year 9999 is more nanoseconds than 64 bits hold.
  int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void SetRequest(const Event& event, v1::RequestFacts* out) {
  Put(event.method.view(), out->mutable_method());
  Put(event.host.view(), out->mutable_host());
  Put(event.path.view(), out->mutable_path());
  out->set_path_truncated(event.path.truncated());
  if (event.route != nullptr) {
    Put(*event.route, out->mutable_route());
  } else {
    out->clear_route();
  }
  out->set_status(event.status);
  Put(event.request_id.view(), out->mutable_request_id());
  int64_t nanos = absl::ToInt64Nanoseconds(event.duration);
  out->mutable_duration()->set_seconds(nanos / 1'000'000'000);
  out->mutable_duration()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  out->set_http_version(event.http_version);
}

void SetCertificate(const CertificateSummary& certificate, v1::CertificateFacts* out) {
  Put(certificate.subject, out->mutable_subject());
  Put(certificate.issuer, out->mutable_issuer());
  PutHex(certificate.sha256, out->mutable_sha256());
  Put(certificate.serial, out->mutable_serial());
  SetTime(certificate.not_after, out->mutable_not_after());
}

}  // namespace

void ToProto(const Event& event, v1::Event* out) {
  // Not Clear(): that frees the messages within, and this runs once per request. What is always set is overwritten.
  out->clear_detail();
  out->clear_server_name();
  out->clear_listener();
  out->clear_principal();
  out->clear_schemes();
  if (event.certificate == nullptr) out->clear_certificate();
  if (event.kind != EventKind::kDecision) out->clear_request();
  out->set_type(TypeOf(event.kind));
  out->set_outcome(OutcomeOf(event.outcome));
  out->set_reason(static_cast<v1::Reason>(event.reason));
  SetTime(event.time, out->mutable_time());
  out->set_revision(event.revision);
  out->set_previous_revision(event.previous_revision);
  if (event.detail != nullptr) Put(*event.detail, out->mutable_detail());
  out->set_missed(event.dropped_before);
  event.peer.PrintTo(out->mutable_peer());
  if (event.listener != nullptr) Put(*event.listener, out->mutable_listener());
  if (event.server_name != nullptr) Put(*event.server_name, out->mutable_server_name());
  out->set_connection_id(event.connection_id);
  out->set_resumed(event.resumed);
  out->set_possession_proven(event.possession == Possession::kProven);
  out->set_any_self_signed(event.any_self_signed);
  out->set_connections(event.connections);
  out->set_streams(event.streams);
  if (event.certificate != nullptr) SetCertificate(*event.certificate, out->mutable_certificate());
  if (event.kind == EventKind::kDecision) {
    SetRequest(event, out->mutable_request());
  }
  if (event.identity != nullptr) {
    Put(event.identity->principal, out->mutable_principal());
    for (const std::string& scheme : event.identity->schemes) Put(scheme, out->add_schemes());
  } else if (event.scheme != nullptr) {
    Put(*event.scheme, out->add_schemes());
  }
}

}  // namespace gatehouse::events
