#include "control/api/user_service.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/api/deed.h"
#include "control/api/user_edits.h"
#include "gateway/base/status.h"
#include "gateway/config/build_user_stores.h"

namespace gatehouse::api {
namespace {

constexpr char kService[] = "/gatehouse.v1.UserService/";
// A page stays below what clients take in one message by default (4 MiB), a piece of a file too.
constexpr size_t kMaxPageBytes = 3 * 1024 * 1024;
constexpr size_t kPieceBytes = 1024 * 1024;
constexpr size_t kMaxBadLines = 10'000;

std::string MessageOf(const std::string& given, const std::string& otherwise) {
  return given.empty() ? otherwise : given;
}

void FillChange(Outcome& outcome, const Etags& etags, const std::string& store, const std::string& user,
                v1::UserChangeResponse* response) {
  response->set_revision(outcome.revision);
  for (v1::Violation& warning : outcome.warnings) *response->add_warnings() = std::move(warning);
  const absl::StatusOr<const v1::UserStore*> stored = FindUserStore(*outcome.state, store);
  const v1::User* found = stored.ok() ? FindUser(**stored, user) : nullptr;
  if (found != nullptr) *response->mutable_user() = Shown(*found, config::HashingOf((*stored)->hashing()), etags);
}

v1::Violation BadLine(const credentials::HtpasswdError& error) {
  v1::Violation violation;
  violation.set_path(absl::StrCat("line ", error.line));
  violation.set_message(error.message);
  return violation;
}

// Reads the messages of one import, then writes once.
class ImportCall final : public grpc::ServerReadReactor<v1::ImportUsersRequest> {
 public:
  ImportCall(Desk desk, grpc::CallbackServerContext& context, v1::ImportUsersResponse* response)
      : desk_(desk), context_(context), response_(response),
        ending_(std::make_shared<Ending>([this](grpc::Status status) { Finish(std::move(status)); })) {
    const absl::Status refused = desk_.guard(context_, absl::StrCat(kService, "ImportUsers"), nullptr).status();
    if (!refused.ok()) {
      ending_->Finish(refused);
      return;
    }
    StartRead(&message_);
  }
  ~ImportCall() override { Secret wiped(std::move(text_)); }

  void OnReadDone(bool ok) override {
    const std::shared_ptr<Ending> ending = ending_;
    if (!ok) return Import();
    if (absl::Status held = desk_.guard.Hold(context_, message_); !held.ok()) return ending->Finish(held);
    if (++messages_ == 1) options_ = message_.options();
    std::vector<v1::Violation> unknown;
    validate::FindUnknownFields(message_, "request", &unknown);
    if (!unknown.empty()) return ending->Finish(validate::Refusal(unknown));
    if (text_.size() + message_.htpasswd().size() > UserService::kMaxImportBytes) {
      return ending->Finish(absl::InvalidArgumentError(
          absl::StrCat("the file is larger than ", UserService::kMaxImportBytes, " octets")));
    }
    text_.append(message_.htpasswd());
    message_.Clear();
    StartRead(&message_);
  }
  void OnCancel() override {
    const std::shared_ptr<Ending> ending = ending_;
    ending->Cancel();
  }
  void OnDone() override { delete this; }

 private:
  void Import() {
    // A stream that broke off ends like a whole one as far as reads tell, so the messages are counted.
    const uint32_t expected = std::max(options_.messages(), 1u);
    if (absl::Status wanted = StillWanted(context_); !wanted.ok()) return ending_->Finish(wanted);
    if (messages_ != expected) {
      return ending_->Finish(absl::InvalidArgumentError(
          absl::StrCat("options.messages: ", expected, " announced, ", messages_, " came; nothing was changed")));
    }
    desk_.Start(context_, "ImportUsers", nullptr, ending_, [this, ending = ending_](const Caller& by) {
      const credentials::HtpasswdFile file = credentials::ParseHtpasswd(text_, options_.allow_weak_hashes());
      if (file.entries.empty() && file.errors.empty()) {
        return ending->Finish(absl::InvalidArgumentError("the file names no user; nothing was changed"));
      }
      if (!file.errors.empty() && !options_.dry_run()) {
        std::vector<v1::Violation> violations;
        for (const credentials::HtpasswdError& error : file.errors) violations.push_back(BadLine(error));
        return ending->Finish(validate::Refusal(violations));
      }
      for (size_t i = 0; i < std::min(file.errors.size(), kMaxBadLines); ++i) {
        *response_->add_bad_lines() = BadLine(file.errors[i]);
      }
      response_->set_bad_line_count(static_cast<uint32_t>(file.errors.size()));
      WriteOptions options;
      options.message = MessageOf(options_.message(), absl::StrCat("import of ", file.entries.size(), " users"));
      if (options_.has_expected_revision()) options.expected_revision = options_.expected_revision();
      options.dry_run = options_.dry_run();
      ImportCounts counts;
      desk_.Write(
          by, "ImportUsers", ending, options_.wait(), options,
          [&](Draft& draft) { return EditImport(options_, file.entries, &counts, draft); },
          [&](Outcome& outcome) {
            response_->set_revision(outcome.revision);
            response_->set_added(counts.added);
            response_->set_changed(counts.changed);
            response_->set_unchanged(counts.unchanged);
            response_->set_removed(counts.removed);
            for (v1::Violation& warning : outcome.warnings) *response_->add_warnings() = std::move(warning);
            return [this] { return response_->mutable_force(); };
          });
    });
  }

  const Desk desk_;
  grpc::CallbackServerContext& context_;
  v1::ImportUsersResponse* const response_;
  const std::shared_ptr<Ending> ending_;
  v1::ImportUsersRequest message_;
  v1::ImportOptions options_;
  std::string text_;
  uint32_t messages_ = 0;
};

// Tells the history, then sends the file in pieces.
class ExportCall final : public grpc::ServerWriteReactor<v1::ExportUsersResponse> {
 public:
  ExportCall(const Desk& desk, Exports& exports, const Clock& clock, grpc::CallbackServerContext& context,
             const v1::ExportUsersRequest& request)
      : context_(context),
        ending_(std::make_shared<Ending>([this](grpc::Status status) { Finish(std::move(status)); })) {
    desk.Start(context, "ExportUsers", &request, ending_,
               [this, desk, &exports, &clock, &request](const Caller& by) {
                 const absl::Status prepared = Prepare(desk, exports, clock.Now(), by, request);
                 if (!prepared.ok()) return End(prepared);
                 Send();
               });
  }
  void OnWriteDone(bool ok) override {
    place_->SetWaiting(std::nullopt);
    if (!ok) return End(absl::CancelledError("the caller went away"));
    if (sent_ == file_.size() && piece_.has_summary()) return End(absl::OkStatus());
    Send();
  }
  void OnDone() override {
    Secret wiped(std::move(*piece_.mutable_htpasswd()));
    delete this;
  }

 private:
  // The place is free before the caller hears of the end: he may come again at once.
  void End(const absl::Status& status) {
    const std::shared_ptr<Ending> ending = ending_;
    place_.reset();
    ending->Finish(status);
  }
  absl::Status Prepare(const Desk& desk, Exports& exports, absl::Time now, const Caller& by,
                       const v1::ExportUsersRequest& request) {
    GH_ASSIGN_OR_RETURN(place_, exports.Enter(by.name, [this] { context_.TryCancel(); }, std::chrono::steady_clock::now()));
    const std::string& name = request.user_store();
    const store::StateRef state = desk.changes.Current();
    GH_ASSIGN_OR_RETURN(const v1::UserStore* store, FindUserStore(*state, name));
    file_ = ExportFile(*store, request.include_disabled(), now, &summary_);
    GH_RETURN_IF_ERROR(Begin(by));
    summary_.set_revision(state->revision);
    return desk.ledger.Append(by, {"UserService/ExportUsers",
                                   {absl::StrCat("export of the password hashes of ", summary_.users(), " users of ",
                                                 validate::PathOf(v1::USER_STORE, name), ", as of revision ", state->revision)}});
  }
  void Send() {
    const size_t size = std::min(kPieceBytes, file_.size() - sent_);
    const absl::string_view piece = file_.Reveal().substr(sent_, size);
    piece_.set_htpasswd(std::string(piece));
    sent_ += size;
    if (sent_ == file_.size()) *piece_.mutable_summary() = summary_;
    place_->SetWaiting(std::chrono::steady_clock::now());
    StartWrite(&piece_);
  }

  grpc::CallbackServerContext& context_;
  const std::shared_ptr<Ending> ending_;
  std::unique_ptr<Exports::Place> place_;
  Secret file_;
  v1::ExportSummary summary_;
  size_t sent_ = 0;
  v1::ExportUsersResponse piece_;
};

}  // namespace

Desk UserService::MakeDesk() const { return Desk{kService, changes_, executor_, guard_, ledger_}; }

grpc::ServerUnaryReactor* UserService::GetUser(grpc::CallbackServerContext* context,
                                               const v1::GetUserRequest* request, v1::StoredUser* response) {
  auto* call = new UnaryCall();
  MakeDesk().Read(*context, "GetUser", request, call->ending(), [this, request, response]() -> absl::Status {
    const store::StateRef state = changes_.Current();
    GH_ASSIGN_OR_RETURN(const v1::UserStore* store, FindUserStore(*state, request->user_store()));
    const v1::User* user = FindUser(*store, request->user());
    if (user == nullptr) {
      return absl::NotFoundError(absl::StrCat("there is no ", validate::PathOf(v1::USER_STORE, request->user_store()),
                                              ".users[\"", request->user(), "\"]"));
    }
    *response = Shown(*user, config::HashingOf(store->hashing()), changes_.etags());
    return absl::OkStatus();
  });
  return call;
}

grpc::ServerUnaryReactor* UserService::ListUsers(grpc::CallbackServerContext* context,
                                                 const v1::ListUsersRequest* request,
                                                 v1::ListUsersResponse* response) {
  auto* call = new UnaryCall();
  MakeDesk().Read(*context, "ListUsers", request, call->ending(), [this, request, response]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const int size, PageSize(request->page_size(), 100));
    const store::StateRef state = changes_.Current();
    GH_ASSIGN_OR_RETURN(const v1::UserStore* store, FindUserStore(*state, request->user_store()));
    response->set_revision(state->revision);
    FillUsers(*store, request->page_token(), size, kMaxPageBytes, changes_.etags(), response);
    return absl::OkStatus();
  });
  return call;
}

grpc::ServerUnaryReactor* UserService::SetUser(grpc::CallbackServerContext* context,
                                               const v1::SetUserRequest* request,
                                               v1::UserChangeResponse* response) {
  auto* call = new UnaryCall();
  const Desk desk = MakeDesk();
  desk.Start(*context, "SetUser", request, call->ending(),
             [this, desk, request, response, ending = call->ending()](const Caller& by) {
               // Before the writer's turn, which others wait for; a mistyped store's name costs no hash.
               const auto hash = [&]() -> absl::StatusOr<std::string> {
                 GH_RETURN_IF_ERROR(CheckSetUser(*request));
                 const store::StateRef state = changes_.Current();
                 GH_ASSIGN_OR_RETURN(const v1::UserStore* store, FindUserStore(*state, request->user_store()));
                 if (request->password().empty()) return std::string();
                 return HashNewPassword(*store, request->user().name(), request->password());
               }();
               if (!hash.ok()) return ending->Finish(hash.status());
               WriteOptions options;
               options.message = MessageOf(request->message(), absl::StrCat("user ", request->user().name()));
               desk.Write(by, "SetUser", ending, request->wait(), options,
                          [&](Draft& draft) { return EditSetUser(*request, *hash, draft); },
                          [&](Outcome& outcome) {
                            FillChange(outcome, changes_.etags(), request->user_store(), request->user().name(), response);
                            return [response] { return response->mutable_force(); };
                          });
             });
  return call;
}

grpc::ServerUnaryReactor* UserService::DeleteUser(grpc::CallbackServerContext* context,
                                                  const v1::DeleteUserRequest* request,
                                                  v1::UserChangeResponse* response) {
  auto* call = new UnaryCall();
  MakeDesk().Change(*context, "DeleteUser", request, call->ending(), request->wait(),
                    MessageOf(request->message(), absl::StrCat("user ", request->user())),
                    [request](Draft& draft) { return EditDeleteUser(*request, draft); },
                    [this, request, response](Outcome& outcome) {
                      FillChange(outcome, changes_.etags(), request->user_store(), request->user(), response);
                      return [response] { return response->mutable_force(); };
                    });
  return call;
}

grpc::ServerReadReactor<v1::ImportUsersRequest>* UserService::ImportUsers(grpc::CallbackServerContext* context,
                                                                          v1::ImportUsersResponse* response) {
  return new ImportCall(MakeDesk(), *context, response);
}

grpc::ServerWriteReactor<v1::ExportUsersResponse>* UserService::ExportUsers(grpc::CallbackServerContext* context,
                                                                            const v1::ExportUsersRequest* request) {
  return new ExportCall(MakeDesk(), exports_, clock_, *context, *request);
}

grpc::ServerUnaryReactor* UserService::RenewHash(grpc::CallbackServerContext* context,
                                                 const v1::RenewHashRequest* request, v1::RenewHashResponse*) {
  auto* call = new UnaryCall();
  const absl::StatusOr<Caller> by = guard_(*context, absl::StrCat(kService, "RenewHash"), request);
  if (!by.ok()) {
    call->ending()->Finish(by.status());
  } else if (request->user_store().empty() || request->user().empty() || request->password().empty()) {
    call->ending()->Finish(absl::InvalidArgumentError("user_store, user and password: required"));
  } else {
    call->ending()->Finish(
        renewals_.Offer(*by, request->user_store(), request->user(), Secret(request->password())));
  }
  return call;
}

}  // namespace gatehouse::api
