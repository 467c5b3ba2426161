// FakeControlPlane serves the real services over a real Unix socket, from memory, with answers that tests set.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/yaml/kinds.h"
#include "gatehouse/v1/certificate_service.grpc.pb.h"
#include "gatehouse/v1/config_service.grpc.pb.h"
#include "gatehouse/v1/event_service.grpc.pb.h"
#include "gatehouse/v1/lockout_service.grpc.pb.h"
#include "gatehouse/v1/upstream_service.grpc.pb.h"
#include "gatehouse/v1/policy_service.grpc.pb.h"
#include "gatehouse/v1/status_service.grpc.pb.h"
#include "gatehouse/v1/user_service.grpc.pb.h"
#include "gateway/base/mutex.h"

namespace gatehouse::client {

class FakeControlPlane final : public v1::ConfigService::Service,
                               public v1::EventService::Service,
                               public v1::StatusService::Service,
                               public v1::UserService::Service,
                               public v1::CertificateService::Service,
                               public v1::PolicyService::Service,
                               public v1::LockoutService::Service,
                               public v1::UpstreamService::Service {
 public:
  FakeControlPlane() {
    char folder[] = "/tmp/gatehousectl-XXXXXX";
    folder_ = mkdtemp(folder);
    Start();
  }
  ~FakeControlPlane() override {
    Stop();
    static_cast<void>(!std::system(absl::StrCat("rm -rf ", folder_).c_str()));
  }

  void Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(target(), grpc::InsecureServerCredentials());
    builder.RegisterService(static_cast<v1::ConfigService::Service*>(this));
    builder.RegisterService(static_cast<v1::EventService::Service*>(this));
    builder.RegisterService(static_cast<v1::StatusService::Service*>(this));
    builder.RegisterService(static_cast<v1::CertificateService::Service*>(this));
    builder.RegisterService(static_cast<v1::PolicyService::Service*>(this));
    builder.RegisterService(static_cast<v1::UserService::Service*>(this));
    builder.RegisterService(static_cast<v1::LockoutService::Service*>(this));
    builder.RegisterService(static_cast<v1::UpstreamService::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  void Stop() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

  std::string target() const { return absl::StrCat("unix:", folder_, "/control.sock"); }
  const std::string& folder() const { return folder_; }

  // What was asked, and what is answered.
  std::vector<v1::ApplyRequest> applied;  // messages of the last Apply
  std::vector<v1::UpdateRequest> updates;
  std::vector<v1::SetUserRequest> users;
  std::vector<v1::DeleteUserRequest> deleted_users;
  std::vector<v1::StoredUser> stored_users;
  std::vector<v1::ImportUsersRequest> imported;  // messages of the last ImportUsers
  v1::ImportUsersResponse import_answer;
  std::vector<v1::ExportUsersResponse> exported;
  std::vector<v1::WatchRequest> watches;
  std::map<std::string, v1::Resource> resources;  // by IdText
  v1::ListRequest listed;
  v1::ExportRequest export_asked;
  std::vector<v1::ExportResponse> export_parts;
  grpc::Status export_status = grpc::Status::OK;
  v1::CompareRequest compared;
  v1::CompareResponse compare_answer;
  v1::HistoryResponse history_answer;
  std::vector<v1::HistoryRequest> histories;
  std::vector<v1::WatchResourcesRequest> resource_watches;
  std::vector<std::vector<v1::WatchResourcesResponse>> resource_streams;  // one per call; each breaks, then it is refused
  std::vector<v1::RollbackRequest> rollbacks;
  v1::ApplyResponse apply_answer;
  v1::ForceStatus force;
  grpc::Status apply_status = grpc::Status::OK;  // of an Apply that is no dry run, or of both with refuse_plan
  bool refuse_plan = false;
  int conflicts = 0;                              // this many Updates are ABORTED first
  std::vector<std::vector<v1::Event>> streams;    // one per Watch; then the stream breaks
  bool hold_last_stream = true;                   // the last one stays open instead
  grpc::Status watch_status = grpc::Status::OK;
  std::string watch_cursor;  // where a Watch begins
  int forgotten = 0;  // this many Watches after the first are OUT_OF_RANGE
  v1::Status status_answer;
  v1::SummaryResponse summary_answer;
  v1::SummaryRequest summary_asked;
  v1::ExplainResponse explain_answer;
  v1::ExplainRequest explained;
  v1::ListTrustResponse trust_answer;
  v1::TestPolicyResponse policy_answer;
  v1::TestPolicyRequest policy_tested;
  v1::ListLockoutsResponse lockouts_answer;
  v1::ListLockoutsRequest lockouts_asked;
  v1::ClearLockoutsRequest cleared;
  v1::ListEndpointsResponse endpoints_answer;
  v1::ListEndpointsRequest endpoints_asked;

  grpc::Status Apply(grpc::ServerContext*, grpc::ServerReader<v1::ApplyRequest>* reader,
                     v1::ApplyResponse* response) override {
    applied.clear();
    for (v1::ApplyRequest request; reader->Read(&request);) applied.push_back(request);
    bool dry = !applied.empty() && applied[0].options().dry_run();
    if (!apply_status.ok() && (!dry || refuse_plan)) return apply_status;
    *response = apply_answer;
    if (!dry) {
      response->set_revision(apply_answer.revision() + 1);
      *response->mutable_force() = force;
    }
    return grpc::Status::OK;
  }
  grpc::Status Rollback(grpc::ServerContext*, const v1::RollbackRequest* request, v1::ApplyResponse* response) override {
    rollbacks.push_back(*request);
    if (!apply_status.ok()) return apply_status;
    *response = apply_answer;
    if (!request->dry_run()) *response->mutable_force() = force;
    return grpc::Status::OK;
  }
  grpc::Status Get(grpc::ServerContext*, const v1::GetRequest* request, v1::Resource* response) override {
    auto found = resources.find(IdText(request->id().kind(), request->id().name()));
    if (found == resources.end()) return {grpc::StatusCode::NOT_FOUND, "no such resource"};
    *response = found->second;
    return grpc::Status::OK;
  }
  // Pages of two.
  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request, v1::ListResponse* response) override {
    std::vector<v1::Resource> all;
    listed = *request;
    for (const auto& [id, resource] : resources) {
      if (KindOf(resource) == request->kind()) all.push_back(resource);
    }
    size_t from = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    for (size_t i = from; i < all.size() && i < from + 2; ++i) *response->add_resources() = all[i];
    if (from + 2 < all.size()) response->set_next_page_token(absl::StrCat(from + 2));
    return grpc::Status::OK;
  }
  grpc::Status Export(grpc::ServerContext*, const v1::ExportRequest* request,
                      grpc::ServerWriter<v1::ExportResponse>* writer) override {
    export_asked = *request;
    for (const v1::ExportResponse& part : export_parts) writer->Write(part);
    return export_status;
  }
  grpc::Status Compare(grpc::ServerContext*, const v1::CompareRequest* request, v1::CompareResponse* response) override {
    compared = *request;
    *response = compare_answer;
    return grpc::Status::OK;
  }
  grpc::Status History(grpc::ServerContext*, const v1::HistoryRequest* request, v1::HistoryResponse* response) override {
    histories.push_back(*request);
    *response = history_answer;
    return grpc::Status::OK;
  }
  grpc::Status WatchResources(grpc::ServerContext*, const v1::WatchResourcesRequest* request,
                              grpc::ServerWriter<v1::WatchResourcesResponse>* writer) override {
    resource_watches.push_back(*request);
    if (resource_watches.size() > resource_streams.size()) return {grpc::StatusCode::PERMISSION_DENIED, "no more"};
    for (const v1::WatchResourcesResponse& one : resource_streams[resource_watches.size() - 1]) writer->Write(one);
    return {grpc::StatusCode::UNAVAILABLE, "restart"};
  }
  grpc::Status Update(grpc::ServerContext*, const v1::UpdateRequest* request, v1::ChangeResponse* response) override {
    if (conflicts > 0) {
      --conflicts;
      return {grpc::StatusCode::ABORTED, "etag"};
    }
    updates.push_back(*request);
    response->set_revision(7);
    *response->mutable_force() = force;
    return grpc::Status::OK;
  }
  grpc::Status SetUser(grpc::ServerContext*, const v1::SetUserRequest* request,
                       v1::UserChangeResponse* response) override {
    if (conflicts > 0) {
      --conflicts;
      return {grpc::StatusCode::ABORTED, "etag"};
    }
    users.push_back(*request);
    response->set_revision(8);
    *response->mutable_force() = force;
    return grpc::Status::OK;
  }
  grpc::Status DeleteUser(grpc::ServerContext*, const v1::DeleteUserRequest* request,
                          v1::UserChangeResponse* response) override {
    deleted_users.push_back(*request);
    response->set_revision(9);
    *response->mutable_force() = force;
    return grpc::Status::OK;
  }
  grpc::Status GetUser(grpc::ServerContext*, const v1::GetUserRequest* request, v1::StoredUser* response) override {
    for (const v1::StoredUser& user : stored_users) {
      if (user.user().name() != request->user()) continue;
      *response = user;
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::NOT_FOUND, "no such user"};
  }
  // Pages of two.
  grpc::Status ListUsers(grpc::ServerContext*, const v1::ListUsersRequest* request,
                         v1::ListUsersResponse* response) override {
    const size_t from = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    for (size_t i = from; i < stored_users.size() && i < from + 2; ++i) *response->add_users() = stored_users[i];
    if (from + 2 < stored_users.size()) response->set_next_page_token(absl::StrCat(from + 2));
    return grpc::Status::OK;
  }
  grpc::Status ImportUsers(grpc::ServerContext*, grpc::ServerReader<v1::ImportUsersRequest>* reader,
                           v1::ImportUsersResponse* response) override {
    imported.clear();
    for (v1::ImportUsersRequest request; reader->Read(&request);) imported.push_back(request);
    *response = import_answer;
    return grpc::Status::OK;
  }
  grpc::Status ExportUsers(grpc::ServerContext*, const v1::ExportUsersRequest*,
                           grpc::ServerWriter<v1::ExportUsersResponse>* writer) override {
    for (const v1::ExportUsersResponse& piece : exported) writer->Write(piece);
    return grpc::Status::OK;
  }
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::WatchResponse>* writer) override {
    std::vector<v1::Event> events;
    bool last = false;
    {
      MutexLock lock(&mutex);
      watches.push_back(*request);
      if (!watch_status.ok()) return watch_status;
      if (watches.size() > 1 && forgotten > 0) {
        --forgotten;
        return {grpc::StatusCode::OUT_OF_RANGE, "forgotten"};
      }
      if (watches.size() <= streams.size()) events = streams[watches.size() - 1];
      last = watches.size() >= streams.size();
    }
    if (!watch_cursor.empty()) context->AddInitialMetadata("gatehouse-cursor", watch_cursor);
    writer->SendInitialMetadata();
    for (const v1::Event& event : events) {
      v1::WatchResponse response;
      *response.add_events() = event;
      writer->Write(response);
    }
    if (!last || !hold_last_stream) return {grpc::StatusCode::UNAVAILABLE, "restart"};
    while (!context->IsCancelled()) {
      MutexLock lock(&mutex);
      held.WaitFor(&mutex, absl::Milliseconds(10));
    }
    return grpc::Status::CANCELLED;
  }
  grpc::Status Summary(grpc::ServerContext*, const v1::SummaryRequest* request, v1::SummaryResponse* response) override {
    summary_asked = *request;
    *response = summary_answer;
    return grpc::Status::OK;
  }
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*, v1::Status* response) override {
    *response = status_answer;
    return grpc::Status::OK;
  }
  grpc::Status WatchStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                           grpc::ServerWriter<v1::Status>* writer) override {
    for (uint64_t i = 0; i < 3; ++i) {
      v1::Status status = status_answer;
      status.set_events(i);
      writer->Write(status);
    }
    return {grpc::StatusCode::UNAVAILABLE, "restart"};
  }
  grpc::Status Explain(grpc::ServerContext*, const v1::ExplainRequest* request,
                       v1::ExplainResponse* response) override {
    explained = *request;
    *response = explain_answer;
    return grpc::Status::OK;
  }
  grpc::Status TestPolicy(grpc::ServerContext*, const v1::TestPolicyRequest* request,
                          v1::TestPolicyResponse* response) override {
    policy_tested = *request;
    *response = policy_answer;
    return grpc::Status::OK;
  }
  grpc::Status ListTrust(grpc::ServerContext*, const v1::ListTrustRequest*, v1::ListTrustResponse* response) override {
    *response = trust_answer;
    return grpc::Status::OK;
  }

  grpc::Status ListLockouts(grpc::ServerContext*, const v1::ListLockoutsRequest* request,
                            v1::ListLockoutsResponse* response) override {
    lockouts_asked = *request;
    *response = lockouts_answer;
    return grpc::Status::OK;
  }
  grpc::Status ClearLockouts(grpc::ServerContext*, const v1::ClearLockoutsRequest* request,
                             v1::ClearLockoutsResponse* response) override {
    cleared = *request;
    response->set_cleared(3);
    response->add_gateways()->set_gateway("edge-1");
    return grpc::Status::OK;
  }

  grpc::Status ListEndpoints(grpc::ServerContext*, const v1::ListEndpointsRequest* request,
                             v1::ListEndpointsResponse* response) override {
    endpoints_asked = *request;
    *response = endpoints_answer;
    return grpc::Status::OK;
  }

  Mutex mutex;  // guards what the watch's calls touch
  CondVar held;

 private:
  std::string folder_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace gatehouse::client
