// How changes, events and explanations read. Everything that comes from outside is escaped here.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "client/cli/style.h"
#include "gatehouse/v1/certificate_service.pb.h"
#include "gatehouse/v1/config_service.pb.h"
#include "gatehouse/v1/event.pb.h"
#include "gatehouse/v1/event_service.pb.h"
#include "gatehouse/v1/lockout_service.pb.h"
#include "gatehouse/v1/upstream_service.pb.h"

namespace gatehouse::cli {

// `~ trustStores/partners   anchors: +1 (CN=Partners Root 2027) -0`, one line a detail.
std::string ChangeText(const v1::Change& change, size_t id_width, const Style& style);
std::string ChangesText(const google::protobuf::RepeatedPtrField<v1::Change>& changes, const Style& style);
// `warning: schemes/Certificate: …`
std::string WarningText(const v1::Violation& warning, const Style& style);
// `revision 42 in force on 3 of 3 gateways after 7 ms`, and a line a gateway that lags.
std::string ForceText(uint64_t revision, bool waited, const v1::ForceStatus& force);

// One line, without its end. `zone` is for the time of day.
std::string EventText(const v1::Event& event, const Style& style, absl::TimeZone zone);
// One JSON object, without line end.
std::string EventJson(const v1::Event& event);
// Counts as a table, with a column for each dimension that was asked for.
std::string SummaryText(const v1::SummaryResponse& response, const v1::SummaryRequest& request, absl::TimeZone zone,
                        const Style& style);

// Columns of the labels in what follows.
inline constexpr size_t kExplainIndent = 16;
std::string ExplainText(const v1::ExplainRequest& request, const v1::ExplainResponse& response, absl::Time now,
                        const Style& style);

// A policy's tree: a line a node with its outcome and what was found.
std::string VerdictText(const v1::PolicyVerdict& verdict, const Style& style);
// What the schemes and policies of a route say.
std::string AccessText(const v1::AccessVerdict& access, const Style& style);
// `LET IN, if the password is right`, `REFUSED, 403 POLICY_NOT_MET: policy buyers is not met`; no full stop.
std::string AccessVerdictText(const v1::AccessVerdict& access, const Style& style);

// What a trust store holds as gateways have it in force, a row each, with uses; `store` is its configuration.
std::string TrustText(const v1::TrustStore& store, const v1::ListTrustResponse& listed, absl::Time now,
                      const Style& style);

// Who is refused for guessing passwords, a row each.
std::string LockoutsText(const v1::ListLockoutsResponse& listed, absl::Time now, const Style& style);

// `2027-01-31 12:00:00`, local time.
std::string DateText(const google::protobuf::Timestamp& time);
// How the endpoints of upstreams do, a row each.
std::string EndpointsText(const v1::ListEndpointsResponse& listed, absl::Time now, const Style& style);

// `expires in 90 d`, `expired 2 d ago`.
std::string ExpiryText(absl::Time not_after, absl::Time now);
// `3f:9a:…`, the first `octets` of a hex digest.
std::string ShortDigest(absl::string_view hex, size_t octets);

}  // namespace gatehouse::cli
