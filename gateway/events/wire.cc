#include "gateway/events/wire.h"

#include <limits>
#include <string>

#include "gateway/base/escape.h"

namespace gatehouse::events {
namespace {

std::string Text(absl::string_view text) {
  return IsValidUtf8(text) ? std::string(text) : EscapeText(text);
}

std::string Text(const SharedText& text) { return text == nullptr ? std::string() : Text(*text); }

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
  int64_t nanos = absl::ToUnixNanos(time);
  int64_t seconds = absl::ToUnixSeconds(time);
  // Outside of what 64 bits of nanoseconds hold (a certificate of the year 9999) whole seconds do.
  if (nanos == std::numeric_limits<int64_t>::max() || nanos == std::numeric_limits<int64_t>::min()) {
    out->set_seconds(seconds);
    return;
  }
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void SetRequest(const Event& event, v1::RequestFacts* out) {
  out->set_method(Text(event.method.view()));
  out->set_host(Text(event.host.view()));
  out->set_path(Text(event.path.view()));
  out->set_path_truncated(event.path.truncated());
  out->set_route(Text(event.route));
  out->set_status(event.status);
  out->set_request_id(Text(event.request_id.view()));
  int64_t nanos = absl::ToInt64Nanoseconds(event.duration);
  out->mutable_duration()->set_seconds(nanos / 1'000'000'000);
  out->mutable_duration()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  out->set_http_version(event.http_version);
}

void SetCertificate(const CertificateSummary& certificate, v1::CertificateFacts* out) {
  out->set_subject(Text(certificate.subject));
  out->set_issuer(Text(certificate.issuer));
  out->set_sha256(HexLower(AsView(certificate.sha256)));
  out->set_serial(Text(certificate.serial));
  SetTime(certificate.not_after, out->mutable_not_after());
}

}  // namespace

void ToProto(const Event& event, v1::Event* out) {
  out->set_type(TypeOf(event.kind));
  out->set_outcome(OutcomeOf(event.outcome));
  out->set_reason(static_cast<v1::Reason>(event.reason));
  SetTime(event.time, out->mutable_time());
  out->set_revision(event.revision);
  out->set_previous_revision(event.previous_revision);
  if (event.detail != nullptr) out->set_detail(Text(event.detail));
  out->set_missed(event.dropped_before);
  out->set_peer(event.peer.ToString());
  if (event.listener != nullptr) out->set_listener(Text(event.listener));
  out->set_connection_id(event.connection_id);
  out->set_resumed(event.resumed);
  out->set_possession_proven(event.possession == Possession::kProven);
  out->set_any_self_signed(event.any_self_signed);
  out->set_connections(event.connections);
  out->set_streams(event.streams);
  if (event.certificate != nullptr) SetCertificate(*event.certificate, out->mutable_certificate());
  if (event.kind == EventKind::kDecision) {
    SetRequest(event, out->mutable_request());
  } else if (event.kind == EventKind::kHandshake) {
    out->set_server_name(Text(event.host.view()));
  }
  if (event.identity != nullptr) {
    out->set_principal(Text(event.identity->principal));
    for (const std::string& scheme : event.identity->schemes) out->add_schemes(Text(scheme));
  } else if (event.scheme != nullptr) {
    out->add_schemes(Text(event.scheme));
  }
}

}  // namespace gatehouse::events
