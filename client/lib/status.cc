#include "client/lib/status.h"

#include "absl/strings/cord.h"
#include "absl/strings/match.h"

namespace gatehouse::client {
namespace {

constexpr char kPayload[] = "gatehouse.dev/gatehouse.v1.Violations";
constexpr char kOpen[] = "gatehouse.dev/may-have-acted";

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // gRPC's and abseil's canonical codes are the same numbers.
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  v1::Violations violations;
  if (!status.error_details().empty() && violations.ParseFromString(status.error_details()) &&
      violations.violations_size() > 0) {
    return WithViolations(std::move(result), violations);
  }
  return result;
}

absl::Status WithViolations(absl::Status status, const v1::Violations& violations) {
  status.SetPayload(kPayload, absl::Cord(violations.SerializeAsString()));
  return status;
}

std::vector<v1::Violation> ViolationsOf(const absl::Status& status) {
  auto payload = status.GetPayload(kPayload);
  v1::Violations violations;
  if (!payload.has_value() || !violations.ParseFromString(std::string(*payload))) return {};
  return {violations.violations().begin(), violations.violations().end()};
}

absl::Status OfChange(absl::Status status) {
  const bool lost = absl::IsUnavailable(status) || absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
  // The server's own words say what became of the call.
  if (lost && !absl::StrContains(status.message(), "nothing was changed")) status.SetPayload(kOpen, absl::Cord());
  return status;
}

bool MayHaveActed(const absl::Status& status) { return status.GetPayload(kOpen).has_value(); }

}  // namespace gatehouse::client
