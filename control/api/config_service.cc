#include "control/api/config_service.h"

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/api/deed.h"
#include "control/api/desk.h"
#include "control/api/edits.h"
#include "control/api/labels.h"
#include "control/api/resource_fields.h"
#include "control/api/rollback.h"
#include "gateway/base/status.h"

namespace gatehouse::api {
namespace {

// A page stays below what clients take in one message by default (4 MiB).
constexpr size_t kMaxPageBytes = 3 * 1024 * 1024;
constexpr char kService[] = "/gatehouse.v1.ConfigService/";

// One write of one resource, `key`, shown in the response.
void ChangeOne(const Desk& desk, const grpc::CallbackServerContext& context, const char* method, const Desk::Message* request,
               const std::shared_ptr<Ending>& ending, const v1::WaitOptions& wait, std::string message,
               store::ResourceKey key, std::function<absl::Status(Draft&)> edit, v1::ChangeResponse* response) {
  desk.Change(context, method, request, ending, wait, std::move(message), std::move(edit),
              [key = std::move(key), response, &etags = desk.changes.etags()](Outcome& outcome) {
                response->set_revision(outcome.revision);
                for (v1::Violation& warning : outcome.warnings) *response->add_warnings() = std::move(warning);
                auto it = outcome.state->resources.find(key);
                if (it != outcome.state->resources.end()) *response->mutable_resource() = Shown(*it->second, etags);
                return [response] { return response->mutable_force(); };
              });
}

absl::Status FillList(const v1::ListRequest& request, const store::State& state, const Etags& etags, v1::ListResponse* response) {
  if (!v1::Kind_IsValid(request.kind()) || request.kind() == v1::KIND_UNSPECIFIED) {
    return absl::InvalidArgumentError("kind: required, one of the known kinds");
  }
  GH_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100));
  response->set_revision(state.revision);
  // The token is the name of the last resource of the page before.
  size_t bytes = 0;
  std::string last;
  for (auto it = state.resources.upper_bound({request.kind(), request.page_token()});
       it != state.resources.end() && it->first.first == request.kind(); ++it) {
    if (!Bears(*it->second, request.labels())) continue;
    v1::Resource shown = Shown(*it->second, etags);
    bytes += shown.ByteSizeLong();
    const int count = response->resources_size();
    if (count > 0 && (count >= size || bytes > kMaxPageBytes)) {
      response->set_next_page_token(last);
      return absl::OkStatus();
    }
    last = it->first.second;
    *response->add_resources() = std::move(shown);
  }
  return absl::OkStatus();
}

// "7" is revision 7, "7.12" the entry 12 that stands above it.
absl::StatusOr<store::HistoryQuery::Place> PlaceOf(absl::string_view token) {
  store::HistoryQuery::Place place;
  const std::vector<absl::string_view> parts = absl::StrSplit(token, '.');
  if (parts.size() > 2 || !absl::SimpleAtoi(parts[0], &place.revision) ||
      (parts.size() == 2 && !absl::SimpleAtoi(parts[1], &place.entry))) {
    return absl::InvalidArgumentError("page_token: not one of ours");
  }
  return place;
}

absl::Status FillHistory(const v1::HistoryRequest& request, store::Store& store, v1::HistoryResponse* response) {
  GH_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 50));
  if (!v1::HistoryRequest::Show_IsValid(request.show())) return absl::InvalidArgumentError("show: one of the known values");
  store::HistoryQuery query;
  query.limit = size + 1;
  query.max_octets = kMaxPageBytes;
  query.show = request.show() == v1::HistoryRequest::SHOW_UNSPECIFIED ? v1::HistoryRequest::WRITES : request.show();
  if (!request.page_token().empty()) {
    GH_ASSIGN_OR_RETURN(query.before, PlaceOf(request.page_token()));
  }
  GH_ASSIGN_OR_RETURN(auto page, store.History(query));
  size_t bytes = 0;
  for (v1::Revision& record : page) {
    const int count = response->revisions_size();
    bytes += record.ByteSizeLong();
    if (count > 0 && (count == size || bytes > kMaxPageBytes)) {
      const v1::Revision& last = response->revisions(count - 1);
      response->set_next_page_token(absl::StrCat(last.revision(), last.entry() == 0 ? "" : absl::StrCat(".", last.entry())));
      break;
    }
    *response->add_revisions() = std::move(record);
  }
  return absl::OkStatus();
}

// What a call that changed a set answers.
Desk::ForceSlot FillSet(Outcome& outcome, v1::ApplyResponse* response) {
  response->set_revision(outcome.revision);
  for (v1::Change& change : outcome.changes) *response->add_changes() = std::move(change);
  for (v1::Violation& warning : outcome.warnings) *response->add_warnings() = std::move(warning);
  for (v1::Violation& warning : outcome.standing) *response->add_warnings() = std::move(warning);
  return [response] { return response->mutable_force(); };
}

// An earlier state that does not hold together with what stays as it is now is refused; that may be why.
absl::Status WithKept(const absl::Status& refused, const std::vector<v1::Violation>& kept) {
  if (kept.empty() || !absl::IsInvalidArgument(refused)) return refused;
  constexpr size_t kShown = 5;
  std::string text(refused.message());
  for (size_t i = 0; i < kept.size() && i < kShown; ++i) absl::StrAppend(&text, "; ", kept[i].path(), " ", kept[i].message());
  absl::Status more(refused.code(), text);
  refused.ForEachPayload([&more](absl::string_view type, const absl::Cord& payload) { more.SetPayload(type, payload); });
  return more;
}

// Reads the messages of one Apply, then writes once.
class ApplyCall final : public grpc::ServerReadReactor<v1::ApplyRequest> {
 public:
  ApplyCall(Desk desk, grpc::CallbackServerContext& context, v1::ApplyResponse* response)
      : desk_(desk), context_(context), response_(response),
        ending_(std::make_shared<Ending>([this](grpc::Status status) { Finish(std::move(status)); })) {
    const absl::Status refused = desk_.guard(context_, absl::StrCat(kService, "Apply"), nullptr).status();
    if (!refused.ok()) {
      ending_->Finish(refused);
      return;
    }
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    const std::shared_ptr<Ending> ending = ending_;
    if (!ok) return Write();
    if (absl::Status held = desk_.guard.Hold(context_, message_); !held.ok()) return ending->Finish(held);
    ++messages_;
    bytes_ += message_.ByteSizeLong();
    if (bytes_ > ConfigService::kMaxApplyBytes) {
      return ending->Finish(absl::InvalidArgumentError(
          absl::StrCat("the set is larger than ", ConfigService::kMaxApplyBytes, " octets")));
    }
    std::vector<v1::Violation> unknown;
    validate::FindUnknownFields(message_.options(), "options", &unknown);
    if (!message_.GetReflection()->GetUnknownFields(message_).empty() ||
        !message_.resources().GetReflection()->GetUnknownFields(message_.resources()).empty()) {
      v1::Violation& violation = unknown.emplace_back();
      violation.set_path("resources");
      violation.set_message("holds a kind of resource that is not known to this server");
    }
    if (!unknown.empty()) return ending->Finish(validate::Refusal(unknown));
    if (messages_ == 1) set_.options = message_.options();
    for (v1::Resource& resource : store::ResourcesOf(message_.resources())) set_.upserts.push_back(std::move(resource));
    for (v1::ResourceId& id : *message_.mutable_deletions()) set_.deletions.push_back(std::move(id));
    message_.Clear();
    StartRead(&message_);
  }
  void OnCancel() override {
    const std::shared_ptr<Ending> ending = ending_;
    ending->Cancel();
  }
  void OnDone() override { delete this; }

 private:
  void Write() {
    // A stream that broke off ends like a whole one as far as reads tell, so the messages are counted.
    const uint32_t expected = std::max(set_.options.messages(), 1u);
    if (absl::Status wanted = StillWanted(context_); !wanted.ok()) return ending_->Finish(wanted);
    if (messages_ != expected) {
      return ending_->Finish(absl::InvalidArgumentError(
          absl::StrCat("options.messages: ", expected, " announced, ", messages_, " came; nothing was changed")));
    }
    desk_.Start(context_, "Apply", nullptr, ending_, [this, ending = ending_](const Caller& by) {
      WriteOptions options;
      options.message = set_.options.message();
      if (set_.options.has_expected_revision()) options.expected_revision = set_.options.expected_revision();
      options.dry_run = set_.options.dry_run();
      desk_.Write(by, "Apply", ending, set_.options.wait(), options,
                  [this](Draft& draft) { return EditApply(set_, draft); },
                  [this](Outcome& outcome) { return FillSet(outcome, response_); });
    });
  }

  const Desk desk_;
  grpc::CallbackServerContext& context_;
  v1::ApplyResponse* const response_;
  const std::shared_ptr<Ending> ending_;
  v1::ApplyRequest message_;
  ApplySet set_;
  size_t bytes_ = 0;
  uint32_t messages_ = 0;
};

}  // namespace

#define GH_DESK \
  Desk { kService, changes_, executor_, guard_, ledger_ }

grpc::ServerUnaryReactor* ConfigService::Get(grpc::CallbackServerContext* context, const v1::GetRequest* request,
                                             v1::Resource* response) {
  auto* call = new UnaryCall();
  GH_DESK.Read(*context, "Get", request, call->ending(), [this, request, response]() -> absl::Status {
    GH_RETURN_IF_ERROR(CheckId(request->id()));
    const store::StateRef state = changes_.Current();
    auto it = state->resources.find({request->id().kind(), request->id().name()});
    if (it == state->resources.end()) {
      return absl::NotFoundError(
          absl::StrCat("there is no ", validate::PathOf(request->id().kind(), request->id().name())));
    }
    *response = Shown(*it->second, changes_.etags());
    return absl::OkStatus();
  });
  return call;
}

grpc::ServerUnaryReactor* ConfigService::List(grpc::CallbackServerContext* context, const v1::ListRequest* request,
                                              v1::ListResponse* response) {
  auto* call = new UnaryCall();
  GH_DESK.Read(*context, "List", request, call->ending(),
               [this, request, response] { return FillList(*request, *changes_.Current(), changes_.etags(), response); });
  return call;
}

grpc::ServerUnaryReactor* ConfigService::History(grpc::CallbackServerContext* context,
                                                 const v1::HistoryRequest* request, v1::HistoryResponse* response) {
  auto* call = new UnaryCall();
  GH_DESK.Read(*context, "History", request, call->ending(),
               [this, request, response] { return FillHistory(*request, changes_.store(), response); });
  return call;
}

grpc::ServerUnaryReactor* ConfigService::Create(grpc::CallbackServerContext* context,
                                                const v1::CreateRequest* request, v1::ChangeResponse* response) {
  auto* call = new UnaryCall();
  ChangeOne(GH_DESK, *context, "Create", request, call->ending(), request->wait(), request->message(),
                 store::KeyOf(request->resource()), [request](Draft& draft) { return EditCreate(*request, draft); },
                 response);
  return call;
}

grpc::ServerUnaryReactor* ConfigService::Update(grpc::CallbackServerContext* context,
                                                const v1::UpdateRequest* request, v1::ChangeResponse* response) {
  auto* call = new UnaryCall();
  ChangeOne(GH_DESK, *context, "Update", request, call->ending(), request->wait(), request->message(),
                 store::KeyOf(request->resource()), [request](Draft& draft) { return EditUpdate(*request, draft); },
                 response);
  return call;
}

grpc::ServerUnaryReactor* ConfigService::Delete(grpc::CallbackServerContext* context,
                                                const v1::DeleteRequest* request, v1::ChangeResponse* response) {
  auto* call = new UnaryCall();
  ChangeOne(GH_DESK, *context, "Delete", request, call->ending(), request->wait(), request->message(),
                 {request->id().kind(), request->id().name()},
                 [request](Draft& draft) { return EditDelete(*request, draft); }, response);
  return call;
}

grpc::ServerUnaryReactor* ConfigService::Rollback(grpc::CallbackServerContext* context,
                                                  const v1::RollbackRequest* request, v1::ApplyResponse* response) {
  auto* call = new UnaryCall();
  const std::shared_ptr<Ending> ending = call->ending();
  const Desk desk = GH_DESK;
  desk.Start(*context, "Rollback", request, ending, [this, desk, request, response, ending](const Caller& by) {
    if (!request->has_revision()) return ending->Finish(absl::InvalidArgumentError("revision: required"));
    // Revision 0 was empty; the store knows it by no number.
    store::StateRef then = std::make_shared<const store::State>();
    if (request->revision() != 0) {
      auto loaded = changes_.store().Load(request->revision());
      if (!loaded.ok()) return ending->Finish(loaded.status());
      then = *std::move(loaded);
    }
    WriteOptions options;
    options.message = request->message().empty() ? absl::StrCat("rollback to revision ", request->revision()) : request->message();
    if (request->has_expected_revision()) options.expected_revision = request->expected_revision();
    options.dry_run = request->dry_run();
    std::vector<v1::Violation> kept;
    desk.Write(
        by, "Rollback", ending, request->wait(), options,
        [&](Draft& draft) {
          EditRollback(*then, request->restore_trust(), draft, &kept);
          return absl::OkStatus();
        },
        [&](Outcome& outcome) {
          outcome.warnings.insert(outcome.warnings.begin(), kept.begin(), kept.end());
          return FillSet(outcome, response);
        },
        [&](const absl::Status& refused) { return WithKept(refused, kept); });
  });
  return call;
}

grpc::ServerReadReactor<v1::ApplyRequest>* ConfigService::Apply(grpc::CallbackServerContext* context,
                                                                v1::ApplyResponse* response) {
  return new ApplyCall(GH_DESK, *context, response);
}

#undef GH_DESK

}  // namespace gatehouse::api
