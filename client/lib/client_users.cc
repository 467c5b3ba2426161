// The client's calls of UserService.
#include <utility>

#include "client/lib/calls.h"
#include "client/lib/client.h"
#include "gateway/base/status.h"
#include "gatehouse/v1/user_service.grpc.pb.h"

namespace gatehouse::client {
namespace {

constexpr size_t kPieceBytes = 1024 * 1024;

}  // namespace

absl::StatusOr<v1::StoredUser> Client::GetUser(const std::string& store, const std::string& user) {
  auto stub = v1::UserService::NewStub(channel_);
  v1::GetUserRequest request;
  request.set_user_store(store);
  request.set_user(user);
  v1::StoredUser response;
  GH_RETURN_IF_ERROR(Retried(options_, [&](auto& context) { return stub->GetUser(&context, request, &response); }));
  return response;
}

Pages<v1::StoredUser> Client::ListUsers(const std::string& store, int page_size) {
  return Pages<v1::StoredUser>(
      [channel = channel_, options = options_, store,
       page_size](const std::string& token) -> absl::StatusOr<Pages<v1::StoredUser>::Page> {
        auto stub = v1::UserService::NewStub(channel);
        v1::ListUsersRequest request;
        request.set_user_store(store);
        request.set_page_size(page_size);
        request.set_page_token(token);
        v1::ListUsersResponse response;
        GH_RETURN_IF_ERROR(
            Retried(options, [&](auto& context) { return stub->ListUsers(&context, request, &response); }));
        Pages<v1::StoredUser>::Page page;
        for (v1::StoredUser& user : *response.mutable_users()) page.items.push_back(std::move(user));
        page.next_token = response.next_page_token();
        return page;
      });
}

absl::StatusOr<v1::UserChangeResponse> Client::SetUser(v1::SetUserRequest request, const Secret& password,
                                                       const ChangeOptions& options) {
  auto stub = v1::UserService::NewStub(channel_);
  request.set_password(std::string(password.Reveal()));
  request.set_message(options.message);
  SetWait(options, *request.mutable_wait());
  v1::UserChangeResponse response;
  absl::Status status =
      Change(Timeout(options_, options), [&](auto& context) { return stub->SetUser(&context, request, &response); });
  Secret wiped(std::move(*request.mutable_password()));
  GH_RETURN_IF_ERROR(status);
  return response;
}

absl::StatusOr<v1::UserChangeResponse> Client::DeleteUser(const std::string& store, const std::string& user,
                                                          const std::string& etag, const ChangeOptions& options) {
  auto stub = v1::UserService::NewStub(channel_);
  v1::DeleteUserRequest request;
  request.set_user_store(store);
  request.set_user(user);
  request.set_etag(etag);
  request.set_message(options.message);
  SetWait(options, *request.mutable_wait());
  v1::UserChangeResponse response;
  GH_RETURN_IF_ERROR(Change(Timeout(options_, options),
                            [&](auto& context) { return stub->DeleteUser(&context, request, &response); }));
  return response;
}

absl::StatusOr<v1::ImportUsersResponse> Client::ImportUsers(v1::ImportOptions import, const Secret& file,
                                                            const ChangeOptions& options) {
  auto stub = v1::UserService::NewStub(channel_);
  const absl::string_view text = file.Reveal();
  import.set_message(options.message);
  import.set_messages(static_cast<uint32_t>(text.size() / kPieceBytes + 1));
  SetWait(options, *import.mutable_wait());
  grpc::ClientContext context;
  SetDeadline(context, Timeout(options_, options));
  v1::ImportUsersResponse response;
  std::unique_ptr<grpc::ClientWriter<v1::ImportUsersRequest>> writer = stub->ImportUsers(&context, &response);
  bool open = true;
  for (uint32_t i = 0; open && i < import.messages(); ++i) {
    v1::ImportUsersRequest request;
    if (i == 0) *request.mutable_options() = import;
    request.set_htpasswd(std::string(text.substr(i * kPieceBytes, kPieceBytes)));
    open = writer->Write(request);  // or refused already: Finish says why
    Secret wiped(std::move(*request.mutable_htpasswd()));
  }
  if (open) writer->WritesDone();
  absl::Status status = FromGrpc(writer->Finish());
  GH_RETURN_IF_ERROR(import.dry_run() ? status : OfChange(status));
  return response;
}

absl::StatusOr<v1::ExportSummary> Client::ExportUsers(const std::string& store, bool include_disabled,
                                                      absl::FunctionRef<absl::Status(absl::string_view)> take) {
  auto stub = v1::UserService::NewStub(channel_);
  v1::ExportUsersRequest request;
  request.set_user_store(store);
  request.set_include_disabled(include_disabled);
  grpc::ClientContext context;
  SetDeadline(context, options_.call_timeout);
  auto reader = stub->ExportUsers(&context, request);
  absl::StatusOr<v1::ExportSummary> summary = absl::UnavailableError("the file broke off");
  absl::Status taken;
  v1::ExportUsersResponse piece;
  while (taken.ok() && reader->Read(&piece)) {
    taken = take(piece.htpasswd());
    Secret wiped(std::move(*piece.mutable_htpasswd()));
    if (piece.has_summary()) summary = piece.summary();
  }
  if (!taken.ok()) context.TryCancel();
  const absl::Status status = FromGrpc(reader->Finish());
  GH_RETURN_IF_ERROR(taken);
  GH_RETURN_IF_ERROR(status);
  return summary;
}

}  // namespace gatehouse::client
