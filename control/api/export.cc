// ConfigService.Export.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/api/config_service.h"
#include "control/api/labels.h"
#include "control/api/resource_fields.h"
#include "gateway/base/digest.h"
#include "gateway/base/status.h"
#include "gateway/config/build_resource_map.h"

namespace gatehouse::api {
namespace {

constexpr size_t kPartBytes = size_t{1024} * 1024;

// The resource without its secrets; the same one where it has none.
config::ResourceRef Bare(const config::ResourceRef& resource) {
  auto bare = std::make_shared<v1::Resource>(*resource);
  ClearSecrets(bare.get());
  SetEtag("", bare.get());
  return config::SameResource(*bare, *resource) ? resource : bare;
}

absl::Status CheckKinds(const v1::ExportRequest& request) {
  for (const int kind : request.kinds()) {
    if (!v1::Kind_IsValid(kind) || kind == v1::KIND_UNSPECIFIED) {
      return absl::InvalidArgumentError(absl::StrCat("kinds: ", kind, " is none of the known kinds"));
    }
  }
  return absl::OkStatus();
}

bool Asks(const v1::ExportRequest& request, int kind) {
  if (request.kinds().empty()) return kind != v1::BINDING;
  return std::find(request.kinds().begin(), request.kinds().end(), kind) != request.kinds().end();
}

bool Asks(const v1::ExportRequest& request, const v1::Resource& resource, const store::ResourceKey& key) {
  return Asks(request, key.first) && Bears(resource, request.labels());
}

//   kCollecting (executor) --> kWriting, a part at a time --> kEnded
//        `---- refused ------------------------------------------^
class ExportCall final : public grpc::ServerWriteReactor<v1::ExportResponse> {
 public:
  ExportCall() : ending_(std::make_shared<Ending>([this](grpc::Status status) { Finish(std::move(status)); })) {}
  const std::shared_ptr<Ending>& ending() const { return ending_; }

  // Before anything is read for it; `request` is gRPC's until OnDone.
  absl::Status Enter(Exports& exports, const Caller& by, grpc::CallbackServerContext& context, const v1::ExportRequest& request) {
    request_ = &request;
    GH_ASSIGN_OR_RETURN(place_, exports.Enter(by.name, [&context] { context.TryCancel(); }, std::chrono::steady_clock::now()));
    return CheckKinds(request);
  }
  void Begin(store::StateRef state) {
    state_ = std::move(state);
    next_ = state_->resources.begin();
    config::ResourceMap bare;
    for (const auto& [key, resource] : state_->resources) {
      if (Asks(*request_, *resource, key)) bare[key] = Bare(resource);
    }
    digest_ = bare.digest();
    WriteNext();
  }
  void OnWriteDone(bool ok) override {
    place_->SetWaiting(std::nullopt);
    if (!ok) return End(absl::CancelledError("the caller went away"));
    if (last_) return End(absl::OkStatus());
    WriteNext();
  }
  // The place is free before the caller hears of the end: he may come again at once.
  void End(const absl::Status& status) {
    const std::shared_ptr<Ending> ending = ending_;
    place_.reset();
    ending->Finish(status);
  }
  void OnDone() override { delete this; }

 private:
  // Copies without secrets are made for this part alone.
  void WriteNext() {
    part_.Clear();
    part_.set_revision(state_->revision);
    for (size_t bytes = 0; next_ != state_->resources.end(); ++next_) {
      const auto& [key, resource] = *next_;
      if (!Asks(*request_, *resource, key)) continue;
      const size_t size = resource->ByteSizeLong();
      if (bytes > 0 && bytes + size > kPartBytes) break;
      bytes += size;
      config::AddTo(*Bare(resource), part_.mutable_resources());
    }
    last_ = next_ == state_->resources.end();
    if (last_) part_.set_digest(std::string(AsView(digest_)));
    place_->SetWaiting(std::chrono::steady_clock::now());
    StartWrite(&part_);
  }

  const std::shared_ptr<Ending> ending_;
  std::unique_ptr<Exports::Place> place_;
  const v1::ExportRequest* request_ = nullptr;
  store::StateRef state_;
  config::ResourceMap::const_iterator next_;
  Sha256Digest digest_{};
  bool last_ = false;
  v1::ExportResponse part_;
};

}  // namespace

grpc::ServerWriteReactor<v1::ExportResponse>* ConfigService::Export(grpc::CallbackServerContext* context,
                                                                    const v1::ExportRequest* request) {
  auto* call = new ExportCall();
  const std::shared_ptr<Ending> ending = call->ending();
  desk().Start(*context, "Export", request, ending, [this, call, ending, context, request](const Caller& by) {
    // Who may do what is the owners' to read as a whole.
    if (Asks(*request, v1::BINDING) && !by.Has(v1::OWNER)) {
      return ending->Finish(absl::PermissionDeniedError(
          absl::StrCat("kinds: bindings need the role OWNER; ", by.name, " has ", RolesText(by.roles))));
    }
    if (absl::Status entered = call->Enter(exports_, by, *context, *request); !entered.ok()) return call->End(entered);
    store::StateRef state = changes_.Current();
    if (request->revision() != 0 && request->revision() != state->revision) {
      auto loaded = changes_.store().Load(request->revision());
      if (!loaded.ok()) return call->End(loaded.status());
      state = *std::move(loaded);
    }
    call->Begin(std::move(state));
  });
  return call;
}

}  // namespace gatehouse::api
