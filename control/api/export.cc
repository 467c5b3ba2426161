// ConfigService.Export.
#include <algorithm>
#include <memory>
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

//   kCollecting (executor) --> kWriting, a part at a time --> kEnded
//        `---- refused ------------------------------------------^
class ExportCall final : public grpc::ServerWriteReactor<v1::ExportResponse> {
 public:
  ExportCall() : ending_(std::make_shared<Ending>([this](grpc::Status status) { Finish(std::move(status)); })) {}
  const std::shared_ptr<Ending>& ending() const { return ending_; }

  void Begin(const v1::ExportRequest& request, const store::State& state) {
    revision_ = state.revision;
    for (const auto& [key, resource] : state.resources) {
      if (Asks(request, key.first) && Bears(*resource, request.labels())) resources_[key] = Bare(resource);
    }
    digest_ = resources_.digest();
    next_ = resources_.begin();
    WriteNext();
  }
  void OnWriteDone(bool ok) override {
    const std::shared_ptr<Ending> ending = ending_;
    if (!ok) return ending->Finish(absl::CancelledError("the caller went away"));
    if (last_) return ending->Finish(absl::OkStatus());
    WriteNext();
  }
  void OnDone() override { delete this; }

 private:
  void WriteNext() {
    part_.Clear();
    part_.set_revision(revision_);
    for (size_t bytes = 0; next_ != resources_.end(); ++next_) {
      const v1::Resource& resource = *next_->second;
      const size_t size = resource.ByteSizeLong();
      if (bytes > 0 && bytes + size > kPartBytes) break;
      bytes += size;
      config::AddTo(resource, part_.mutable_resources());
    }
    last_ = next_ == resources_.end();
    if (last_) part_.set_digest(std::string(AsView(digest_)));
    StartWrite(&part_);
  }

  const std::shared_ptr<Ending> ending_;
  config::ResourceMap resources_;
  config::ResourceMap::const_iterator next_;
  Sha256Digest digest_{};
  uint64_t revision_ = 0;
  bool last_ = false;
  v1::ExportResponse part_;
};

}  // namespace

grpc::ServerWriteReactor<v1::ExportResponse>* ConfigService::Export(grpc::CallbackServerContext* context,
                                                                    const v1::ExportRequest* request) {
  auto* call = new ExportCall();
  const std::shared_ptr<Ending> ending = call->ending();
  desk().Start(*context, "Export", request, ending, [this, call, ending, request](const Caller& by) {
    // Who may do what is the owners' to read as a whole.
    if (Asks(*request, v1::BINDING) && !by.Has(v1::OWNER)) {
      return ending->Finish(absl::PermissionDeniedError(
          absl::StrCat("kinds: bindings need the role OWNER; ", by.name, " has ", RolesText(by.roles))));
    }
    if (absl::Status kinds = CheckKinds(*request); !kinds.ok()) return ending->Finish(kinds);
    store::StateRef state = changes_.Current();
    if (request->revision() != 0 && request->revision() != state->revision) {
      auto loaded = changes_.store().Load(request->revision());
      if (!loaded.ok()) return ending->Finish(loaded.status());
      state = *std::move(loaded);
    }
    call->Begin(*request, *state);
  });
  return call;
}

}  // namespace gatehouse::api
