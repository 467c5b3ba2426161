// What the services that write have in common: ask the guard, let an executor do what blocks, tell the ledger, and end
// once gateways have the change in force.
//
// Ownership:  everything that a Desk refers to outlives the calls; it is copied into them.
// Threading:  thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "control/api/call.h"
#include "control/api/call_executor.h"
#include "control/api/changes.h"
#include "control/api/guard.h"
#include "control/api/ledger.h"
#include "gatehouse/v1/event.pb.h"

namespace gatehouse::api {

// The page size that is meant by what was asked.
absl::StatusOr<int> PageSize(int asked, int fallback);

// A unary call whose end is an Ending's.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  UnaryCall() : ending_(std::make_shared<Ending>([this](grpc::Status status) { Finish(std::move(status)); })) {}
  const std::shared_ptr<Ending>& ending() const { return ending_; }
  void OnCancel() override {
    const std::shared_ptr<Ending> ending = ending_;
    ending->Cancel();
  }
  void OnDone() override { delete this; }

 private:
  const std::shared_ptr<Ending> ending_;
};

struct Desk {
  const char* service;  // "/gatehouse.v1.ConfigService/"
  Changes& changes;
  CallExecutor& executor;
  const Guard& guard;
  Ledger& ledger;

  using Message = google::protobuf::MessageLite;
  // Runs `work` on the executor if the guard lets the caller in, now and when the turn comes; `by` is as he is then. `ending` ends in
  // every case. `request` may be null; see Guard.
  void Start(const grpc::CallbackServerContext& context, absl::string_view method, const Message* request,
             const std::shared_ptr<Ending>& ending, absl::AnyInvocable<void(const Caller& by)> work) const;
  void Read(const grpc::CallbackServerContext& context, absl::string_view method, const Message* request,
            const std::shared_ptr<Ending>& ending, absl::AnyInvocable<absl::Status()> work) const;

  // Where the response says who has the change in force; asked only when the caller waits for that.
  using ForceSlot = std::function<v1::ForceStatus*()>;
  // One write: `fill` puts what came of it into the response.
  void Change(const grpc::CallbackServerContext& context, const char* method, const Message* request,
              const std::shared_ptr<Ending>& ending, const v1::WaitOptions& wait, std::string message, std::function<absl::Status(Draft&)> edit,
              std::function<ForceSlot(Outcome&)> fill) const;
  // The same, for who is on the executor already. What `by` has no right to change when the turn comes is refused, whatever `edit`
  // makes of the draft; `explain`, if given, adds to what the writer refused.
  void Write(const Caller& by, const char* method, const std::shared_ptr<Ending>& ending, const v1::WaitOptions& wait,
             const WriteOptions& options, const std::function<absl::Status(Draft&)>& edit,
             const std::function<ForceSlot(Outcome&)>& fill,
             const std::function<absl::Status(const absl::Status&)>& explain = nullptr) const;
  // What the history and the audit say of a write by `by`.
  WriteOptions OptionsOf(const Caller& by, absl::string_view method, WriteOptions options) const;
};

}  // namespace gatehouse::api
