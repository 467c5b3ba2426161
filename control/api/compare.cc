// ConfigService.Compare.
#include "control/api/config_service.h"
#include "gateway/base/status.h"

namespace gatehouse::api {
namespace {

// Revision 0 was empty; the store knows it by no number.
absl::StatusOr<store::StateRef> StateAt(Changes& changes, uint64_t revision) {
  if (revision == 0) return std::make_shared<const store::State>();
  const store::StateRef current = changes.Current();
  if (revision == current->revision) return current;
  return changes.store().Load(revision);
}

}  // namespace

grpc::ServerUnaryReactor* ConfigService::Compare(grpc::CallbackServerContext* context, const v1::CompareRequest* request,
                                                 v1::CompareResponse* response) {
  auto* call = new UnaryCall();
  desk().Read(*context, "Compare", request, call->ending(), [this, request, response]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const store::StateRef from, StateAt(changes_, request->from_revision()));
    store::StateRef to = changes_.Current();
    if (request->has_to_revision()) {
      GH_ASSIGN_OR_RETURN(to, StateAt(changes_, request->to_revision()));
    }
    response->set_to_revision(to->revision);
    for (v1::Change& change : changes_.Differences(*from, *to)) *response->add_changes() = std::move(change);
    return absl::OkStatus();
  });
  return call;
}

}  // namespace gatehouse::api
