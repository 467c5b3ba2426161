#include "gateway/server/questions.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/server/endpoint_list.h"
#include "gateway/server/explain.h"
#include "gateway/server/lockout_list.h"
#include "gateway/server/trust_list.h"

namespace gatehouse::server {
namespace {

absl::Status Fill(Gateway& gateway, const v1::Question& question, absl::Time now, v1::Answer* answer) {
  const config::SnapshotRef snapshot = gateway.current();
  if (snapshot == nullptr) return absl::UnavailableError("the gateway has no configuration in force");
  switch (question.kind_case()) {
    case v1::Question::kExplain: {
      absl::StatusOr<v1::ExplainResponse> explained =
          Explain(*snapshot, question.explain(), now, {&gateway.memory().presented, &gateway.revocation(), &gateway.validators()});
      if (!explained.ok()) return explained.status();
      *answer->mutable_explain() = *std::move(explained);
      return absl::OkStatus();
    }
    case v1::Question::kListTrust: {
      absl::StatusOr<v1::ListTrustResponse> listed =
          ListTrust(*snapshot, question.list_trust(), gateway.memory().uses);
      if (!listed.ok()) return listed.status();
      *answer->mutable_list_trust() = *std::move(listed);
      return absl::OkStatus();
    }
    case v1::Question::kListLockouts: {
      absl::StatusOr<v1::ListLockoutsResponse> listed =
          ListLockouts(*snapshot, question.list_lockouts(), gateway.lockouts(), now);
      if (!listed.ok()) return listed.status();
      *answer->mutable_list_lockouts() = *std::move(listed);
      return absl::OkStatus();
    }
    case v1::Question::kClearLockouts: {
      absl::StatusOr<v1::ClearLockoutsResponse> cleared =
          ClearLockouts(*snapshot, question.clear_lockouts(), gateway.lockouts());
      if (!cleared.ok()) return cleared.status();
      *answer->mutable_clear_lockouts() = *std::move(cleared);
      return absl::OkStatus();
    }
    case v1::Question::kListEndpoints: {
      absl::StatusOr<v1::ListEndpointsResponse> listed =
          ListEndpoints(*snapshot, question.list_endpoints(), gateway.upstreams());
      if (!listed.ok()) return listed.status();
      *answer->mutable_list_endpoints() = *std::move(listed);
      return absl::OkStatus();
    }
    case v1::Question::KIND_NOT_SET:
      break;
  }
  return absl::UnimplementedError("this gateway is too old for the question");
}

}  // namespace

v1::Answer Answer(Gateway& gateway, const v1::Question& question, absl::Time now) {
  v1::Answer answer;
  const absl::Status status = Fill(gateway, question, now, &answer);
  answer.set_id(question.id());
  if (!status.ok()) {
    answer.clear_kind();
    answer.set_code(static_cast<int>(status.code()));
    answer.set_error(std::string(status.message()));
  }
  return answer;
}

}  // namespace gatehouse::server
