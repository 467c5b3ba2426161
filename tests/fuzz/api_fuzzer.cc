// Every entry point of the API that takes a message, with any octets in it: what does not parse or does not hold is a typed error,
// what is accepted is a configuration that the gateway's own builder takes.
#include <cstdlib>

#include "control/api/changes.h"
#include "control/api/edits.h"
#include "control/api/resource_fields.h"
#include "control/api/rollback.h"
#include "control/api/try_policy.h"
#include "control/api/user_edits.h"
#include "control/store/memory_store.h"
#include "gateway/config/build.h"

namespace gatehouse::api {
namespace {

class NoPublisher final : public Publisher {
 public:
  void Publish(uint64_t, const config::ResourceMap&) override {}
  void WaitInForce(uint64_t, absl::Duration, absl::AnyInvocable<void(v1::ForceStatus)>) override {}
};

config::ResourceMap WithoutBindings(const config::ResourceMap& resources) {
  v1::ConfigSet set = config::SetOf(resources);
  set.clear_bindings();
  return config::ResourceMap(std::move(set));
}

validate::Findings Judge(const config::ResourceMap& resources, uint64_t) {
  validate::Findings findings;
  for (const config::Violation& violation : config::Build(WithoutBindings(resources), {}).violations) {
    v1::Violation& added = findings.violations.emplace_back();
    added.set_path(violation.path);
    added.set_message(violation.message);
  }
  return findings;
}

template <typename Request>
std::optional<Request> Read(absl::string_view octets) {
  Request request;
  if (!request.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return std::nullopt;
  return request;
}

absl::Status One(Changes& changes, uint8_t entry, absl::string_view octets) {
  auto write = [&changes](const std::function<absl::Status(Draft&)>& edit) { return changes.Write({}, edit).status(); };
  switch (entry % 8) {
    case 0:
      if (auto r = Read<v1::CreateRequest>(octets)) return write([&](Draft& draft) { return EditCreate(*r, draft); });
      break;
    case 1:
      if (auto r = Read<v1::UpdateRequest>(octets)) return write([&](Draft& draft) { return EditUpdate(*r, draft); });
      break;
    case 2:
      if (auto r = Read<v1::DeleteRequest>(octets)) return write([&](Draft& draft) { return EditDelete(*r, draft); });
      break;
    case 3:
      if (auto r = Read<v1::ApplyRequest>(octets)) {
        ApplySet set;
        set.options = r->options();
        set.upserts = store::ResourcesOf(r->resources());
        set.deletions = {r->deletions().begin(), r->deletions().end()};
        return write([&](Draft& draft) { return EditApply(set, draft); });
      }
      break;
    case 4:
      if (auto r = Read<v1::SetUserRequest>(octets)) {
        const absl::Status checked = CheckSetUser(*r);
        return checked.ok() ? write([&](Draft& draft) { return EditSetUser(*r, "", draft); }) : checked;
      }
      break;
    case 5:
      if (auto r = Read<v1::DeleteUserRequest>(octets)) return write([&](Draft& draft) { return EditDeleteUser(*r, draft); });
      break;
    case 6:
      if (auto r = Read<v1::TestPolicyRequest>(octets)) {
        return TryPolicy(*changes.Current(), *r, absl::FromUnixSeconds(1'800'000'000)).status();
      }
      break;
    default:
      if (auto r = Read<v1::RollbackRequest>(octets)) {
        auto then = changes.store().Load(r->revision());
        if (!then.ok()) return then.status();
        std::vector<v1::Violation> kept;
        return write([&](Draft& draft) {
          EditRollback(**then, r->restore_trust(), draft, &kept);
          return absl::OkStatus();
        });
      }
  }
  return absl::InvalidArgumentError("does not parse");
}

}  // namespace
}  // namespace gatehouse::api

// Records of a length octet pair, an octet for the entry point, and a message, one after the other on one store.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse;
  FakeClock clock;
  store::MemoryStore store;
  api::NoPublisher publisher;
  api::Changes changes(store, api::Judge, publisher, clock);
  if (!changes.Start().ok()) std::abort();
  absl::string_view rest(reinterpret_cast<const char*>(data), size);
  for (int record = 0; record < 8 && rest.size() >= 3; ++record) {
    const size_t length = std::min<size_t>(static_cast<uint8_t>(rest[0]) * 256u + static_cast<uint8_t>(rest[1]), rest.size() - 3);
    const absl::Status status = api::One(changes, static_cast<uint8_t>(rest[2]), rest.substr(3, length));
    rest.remove_prefix(3 + length);
    switch (status.code()) {
      case absl::StatusCode::kOk:
      case absl::StatusCode::kInvalidArgument:
      case absl::StatusCode::kNotFound:
      case absl::StatusCode::kAlreadyExists:
      case absl::StatusCode::kAborted:
      case absl::StatusCode::kFailedPrecondition: break;
      default: std::abort();
    }
  }
  if (!config::Build(api::WithoutBindings(changes.Current()->resources), {}).ok()) std::abort();
  return 0;
}
