#include "client/lib/client.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/lib/apply_chunks.h"
#include "client/lib/calls.h"
#include "client/lib/channel.h"
#include "client/lib/status.h"
#include "gateway/base/status.h"
#include "gatehouse/v1/certificate_service.grpc.pb.h"
#include "gatehouse/v1/event_service.grpc.pb.h"
#include "gatehouse/v1/config_service.grpc.pb.h"
#include "gatehouse/v1/lockout_service.grpc.pb.h"
#include "gatehouse/v1/upstream_service.grpc.pb.h"
#include "gatehouse/v1/policy_service.grpc.pb.h"
#include "gatehouse/v1/status_service.grpc.pb.h"

namespace gatehouse::client {
absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const Target& target, ClientOptions options) {
  GH_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, OpenChannel(target, options.connect_timeout));
  return std::make_unique<Client>(std::move(channel), options);
}

Client::Client(std::shared_ptr<grpc::Channel> channel, ClientOptions options)
    : channel_(std::move(channel)), options_(options) {}

absl::StatusOr<v1::Resource> Client::Get(v1::Kind kind, const std::string& name) {
  auto stub = v1::ConfigService::NewStub(channel_);
  v1::GetRequest request;
  request.mutable_id()->set_kind(kind);
  request.mutable_id()->set_name(name);
  v1::Resource response;
  GH_RETURN_IF_ERROR(Retried(options_, [&](auto& context) { return stub->Get(&context, request, &response); }));
  return response;
}

Pages<v1::Resource> Client::List(v1::Kind kind, int page_size, const Labels& labels) {
  return Pages<v1::Resource>(
      [channel = channel_, options = options_, kind, page_size,
       labels](const std::string& token) -> absl::StatusOr<Pages<v1::Resource>::Page> {
        auto stub = v1::ConfigService::NewStub(channel);
        v1::ListRequest request;
        request.set_kind(kind);
        request.set_page_size(page_size);
        request.set_page_token(token);
        request.mutable_labels()->insert(labels.begin(), labels.end());
        v1::ListResponse response;
        GH_RETURN_IF_ERROR(Retried(options, [&](auto& context) { return stub->List(&context, request, &response); }));
        Pages<v1::Resource>::Page page;
        for (v1::Resource& resource : *response.mutable_resources()) page.items.push_back(std::move(resource));
        page.next_token = response.next_page_token();
        return page;
      });
}

absl::StatusOr<v1::ChangeResponse> Client::Create(const v1::Resource& resource, const ChangeOptions& options) {
  auto stub = v1::ConfigService::NewStub(channel_);
  v1::CreateRequest request;
  *request.mutable_resource() = resource;
  SetWait(options, *request.mutable_wait());
  request.set_message(options.message);
  v1::ChangeResponse response;
  GH_RETURN_IF_ERROR(
      Change(Timeout(options_, options), [&](auto& context) { return stub->Create(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::ChangeResponse> Client::Update(const v1::Resource& resource,
                                                  const std::vector<std::string>& fields,
                                                  const ChangeOptions& options) {
  auto stub = v1::ConfigService::NewStub(channel_);
  v1::UpdateRequest request;
  *request.mutable_resource() = resource;
  for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
  SetWait(options, *request.mutable_wait());
  request.set_message(options.message);
  v1::ChangeResponse response;
  GH_RETURN_IF_ERROR(
      Change(Timeout(options_, options), [&](auto& context) { return stub->Update(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::ChangeResponse> Client::Delete(v1::Kind kind, const std::string& name, const std::string& etag,
                                                  const ChangeOptions& options) {
  auto stub = v1::ConfigService::NewStub(channel_);
  v1::DeleteRequest request;
  request.mutable_id()->set_kind(kind);
  request.mutable_id()->set_name(name);
  request.set_etag(etag);
  SetWait(options, *request.mutable_wait());
  request.set_message(options.message);
  v1::ChangeResponse response;
  GH_RETURN_IF_ERROR(
      Change(Timeout(options_, options), [&](auto& context) { return stub->Delete(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::ApplyResponse> Client::Apply(const v1::ConfigSet& set,
                                                absl::Span<const v1::ResourceId> deletions,
                                                const ApplyOptions& options) {
  auto stub = v1::ConfigService::NewStub(channel_);
  v1::ApplyOptions wire;
  wire.set_dry_run(options.dry_run);
  wire.set_replace_all(options.replace_all);
  if (options.expected_revision.has_value()) wire.set_expected_revision(*options.expected_revision);
  wire.set_message(options.change.message);
  wire.mutable_prune_labels()->insert(options.prune_labels.begin(), options.prune_labels.end());
  SetWait(options.change, *wire.mutable_wait());

  grpc::ClientContext context;
  SetDeadline(context, Timeout(options_, options.change));
  v1::ApplyResponse response;
  std::unique_ptr<grpc::ClientWriter<v1::ApplyRequest>> writer = stub->Apply(&context, &response);
  bool open = true;
  const std::vector<v1::ApplyRequest> chunks = ApplyChunks(wire, set, deletions);
  size_t all = 0, sent = 0;
  for (const v1::ApplyRequest& request : chunks) all += request.ByteSizeLong();
  for (const v1::ApplyRequest& request : chunks) {
    open = writer->Write(request);
    if (!open) break;  // refused already: Finish says why
    sent += request.ByteSizeLong();
    if (options.on_sent) options.on_sent(sent, all);
  }
  if (open) writer->WritesDone();
  absl::Status status = FromGrpc(writer->Finish());
  GH_RETURN_IF_ERROR(options.dry_run ? status : OfChange(status));
  return response;
}

absl::StatusOr<v1::ApplyResponse> Client::Rollback(uint64_t revision, bool restore_trust, const ApplyOptions& options) {
  auto stub = v1::ConfigService::NewStub(channel_);
  v1::RollbackRequest request;
  request.set_revision(revision);
  request.set_restore_trust(restore_trust);
  request.set_dry_run(options.dry_run);
  if (options.expected_revision.has_value()) request.set_expected_revision(*options.expected_revision);
  request.set_message(options.change.message);
  SetWait(options.change, *request.mutable_wait());
  v1::ApplyResponse response;
  absl::Status status = Once(Timeout(options_, options.change), [&](auto& context) { return stub->Rollback(&context, request, &response); });
  GH_RETURN_IF_ERROR(options.dry_run ? status : OfChange(status));
  return response;
}

Pages<v1::Revision> Client::History(int page_size, v1::HistoryRequest::Show show) {
  return Pages<v1::Revision>(
      [channel = channel_, options = options_, page_size, show](const std::string& token) -> absl::StatusOr<Pages<v1::Revision>::Page> {
        auto stub = v1::ConfigService::NewStub(channel);
        v1::HistoryRequest request;
        request.set_page_size(page_size);
        request.set_page_token(token);
        request.set_show(show);
        v1::HistoryResponse response;
        GH_RETURN_IF_ERROR(
            Retried(options, [&](auto& context) { return stub->History(&context, request, &response); }));
        Pages<v1::Revision>::Page page;
        for (v1::Revision& revision : *response.mutable_revisions()) page.items.push_back(std::move(revision));
        page.next_token = response.next_page_token();
        return page;
      });
}

absl::StatusOr<v1::Status> Client::GetStatus() {
  auto stub = v1::StatusService::NewStub(channel_);
  v1::Status response;
  GH_RETURN_IF_ERROR(Retried(options_, [&](auto& context) {
    return stub->GetStatus(&context, v1::GetStatusRequest(), &response);
  }));
  return response;
}

absl::Status Client::WatchStatus(absl::FunctionRef<bool(const v1::Status&)> take) {
  auto stub = v1::StatusService::NewStub(channel_);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  auto stream = stub->WatchStatus(&context, v1::GetStatusRequest());
  v1::Status status;
  while (stream->Read(&status)) {
    if (take(status)) continue;
    context.TryCancel();
    stream->Finish();
    return absl::OkStatus();
  }
  absl::Status end = FromGrpc(stream->Finish());
  return end.ok() ? absl::UnavailableError("the control plane ended the stream") : end;
}

absl::StatusOr<v1::ExplainResponse> Client::Explain(const v1::ExplainRequest& request) {
  auto stub = v1::CertificateService::NewStub(channel_);
  v1::ExplainResponse response;
  // Once: UNAVAILABLE also means that the asked gateway is not connected, and asking again would not connect it.
  GH_RETURN_IF_ERROR(
      Once(options_.call_timeout, [&](auto& context) { return stub->Explain(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::TestPolicyResponse> Client::TestPolicy(const v1::TestPolicyRequest& request) {
  auto stub = v1::PolicyService::NewStub(channel_);
  v1::TestPolicyResponse response;
  GH_RETURN_IF_ERROR(
      Once(options_.call_timeout, [&](auto& context) { return stub->TestPolicy(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::ListTrustResponse> Client::ListTrust(const std::string& trust_store, const std::string& gateway) {
  auto stub = v1::CertificateService::NewStub(channel_);
  v1::ListTrustRequest request;
  request.set_trust_store(trust_store);
  request.set_gateway(gateway);
  v1::ListTrustResponse response;
  GH_RETURN_IF_ERROR(
      Once(options_.call_timeout, [&](auto& context) { return stub->ListTrust(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::ListLockoutsResponse> Client::ListLockouts(const v1::ListLockoutsRequest& request) {
  auto stub = v1::LockoutService::NewStub(channel_);
  v1::ListLockoutsResponse response;
  GH_RETURN_IF_ERROR(
      Once(options_.call_timeout, [&](auto& context) { return stub->ListLockouts(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::ClearLockoutsResponse> Client::ClearLockouts(const v1::ClearLockoutsRequest& request) {
  auto stub = v1::LockoutService::NewStub(channel_);
  v1::ClearLockoutsResponse response;
  GH_RETURN_IF_ERROR(
      Change(options_.call_timeout, [&](auto& context) { return stub->ClearLockouts(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::ListEndpointsResponse> Client::ListEndpoints(const v1::ListEndpointsRequest& request) {
  auto stub = v1::UpstreamService::NewStub(channel_);
  v1::ListEndpointsResponse response;
  GH_RETURN_IF_ERROR(
      Once(options_.call_timeout, [&](auto& context) { return stub->ListEndpoints(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::SummaryResponse> Client::Summary(const v1::SummaryRequest& request) {
  auto stub = v1::EventService::NewStub(channel_);
  v1::SummaryResponse response;
  GH_RETURN_IF_ERROR(Retried(options_, [&](auto& context) { return stub->Summary(&context, request, &response); }));
  return response;
}

absl::StatusOr<std::unique_ptr<gatehouse::client::Watch>> Client::Watch(WatchOptions options, WatchHandler handler) {
  return gatehouse::client::Watch::Start(channel_, std::move(options), std::move(handler));
}

}  // namespace gatehouse::client
