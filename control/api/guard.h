// Guard decides, before a handler runs, whether the caller may call a method; and turns our status into gRPC's.
//
//   absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.EventService/Watch", request);
//   if (!caller.ok()) return ...;
//   admission_ = guard_.Admit(*context, [this](const absl::Status& why) { End(ToGrpc(why)); });   // streams
//
// Threading:  thread-safe and quick.
// Errors:     UNAUTHENTICATED (caller unknown), PERMISSION_DENIED (known, role missing), UNIMPLEMENTED (no such method),
//             RESOURCE_EXHAUSTED (more calls, or octets, than a caller may send).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "control/api/roles.h"
#include "google/protobuf/message_lite.h"

namespace gatehouse::api {

class Deed;

// Who calls. Converts to and from its name alone, for who needs no more.
struct Caller {
  Caller() = default;
  Caller(std::string name_) : name(std::move(name_)) {}
  Caller(const char* name_) : name(name_) {}
  operator const std::string&() const { return name; }

  bool Has(v1::Role role) const { return (roles & RoleBit(role)) != 0; }

  std::string name;                   // "uid:1000", "san:spiffe://ops/alice", "loopback"; empty: nobody in particular
  std::string peer;                   // where from: "unix", "127.0.0.1:41234"
  Roles roles = 0;
  std::vector<std::string> bindings;  // names of those that give the roles
  std::string gateway;                // the name in a certificate of the control plane's own authority
  std::string chain_pem;              // that certificate, leaf first
  bool admitted = false;              // the guard has let the call in
  std::shared_ptr<Deed> deed;         // of a call that writes; null: it does not, or nobody watches over calls (tests)
  std::function<absl::StatusOr<Roles>()> judge;  // see RolesNow; null: the roles are for good (tests)
};

// What who was let in may do by now; an error: the guard would not let the call in any more. A call that has waited asks it, for
// roles may have been taken away meanwhile.
inline absl::StatusOr<Roles> RolesNow(const Caller& by) { return by.judge == nullptr ? by.roles : by.judge(); }

// "2001:db8::1" of a peer "[2001:db8::1]:41234".
inline absl::string_view HostOf(absl::string_view peer) {
  peer = peer.substr(0, peer.rfind(':'));
  if (absl::ConsumePrefix(&peer, "[")) absl::ConsumeSuffix(&peer, "]");
  return peer;
}

// Admission is a stream's right to go on; see Guard::Admit. Destroying it waits for a notice that is being given.
class Admission {
 public:
  virtual ~Admission() = default;
};

class Guard {
 public:
  class Source {
   public:
    virtual ~Source() = default;
    virtual absl::StatusOr<Caller> Judge(const grpc::CallbackServerContext& context, absl::string_view method, size_t octets) = 0;
    virtual absl::Status Hold(const grpc::CallbackServerContext& context, size_t octets) = 0;
    virtual std::unique_ptr<Admission> Admit(const grpc::CallbackServerContext& context,
                                             std::function<void(const absl::Status&)> end) = 0;
  };

  explicit Guard(std::shared_ptr<Source> source) : source_(std::move(source)) {}
  // A guard that is a function; what it admitted stays. For tests.
  template <typename F, typename = std::enable_if_t<
                            std::is_invocable_v<F, const grpc::CallbackServerContext&, absl::string_view>>>
  Guard(F judge) : source_(std::make_shared<Function<F>>(std::move(judge))) {}

  // `request` is held as long as the call runs, and counts against what a caller may have held; null: its messages come later.
  absl::StatusOr<Caller> operator()(const grpc::CallbackServerContext& context, absl::string_view method,
                                    const google::protobuf::MessageLite* request) const {
    return source_->Judge(context, method, request == nullptr ? 0 : request->ByteSizeLong());
  }
  // The same, of a request that is not decoded.
  absl::StatusOr<Caller> operator()(const grpc::CallbackServerContext& context, absl::string_view method, size_t octets) const {
    return source_->Judge(context, method, octets);
  }
  // One more message of a call that was let in, to be held as long as it runs.
  absl::Status Hold(const grpc::CallbackServerContext& context, const google::protobuf::MessageLite& message) const {
    return source_->Hold(context, message.ByteSizeLong());
  }
  // Calls `end`, at most once and while the admission lives, when the caller of this call, which was let in, would not be
  // any more. `end` must not destroy the admission.
  [[nodiscard]] std::unique_ptr<Admission> Admit(const grpc::CallbackServerContext& context,
                                                 std::function<void(const absl::Status&)> end) const {
    return source_->Admit(context, std::move(end));
  }

 private:
  template <typename F>
  class Function final : public Source {
   public:
    explicit Function(F judge) : judge_(std::move(judge)) {}
    absl::StatusOr<Caller> Judge(const grpc::CallbackServerContext& context, absl::string_view method, size_t) override {
      return judge_(context, method);
    }
    absl::Status Hold(const grpc::CallbackServerContext&, size_t) override { return absl::OkStatus(); }
    std::unique_ptr<Admission> Admit(const grpc::CallbackServerContext&,
                                     std::function<void(const absl::Status&)>) override {
      return nullptr;
    }

   private:
    F judge_;
  };

  std::shared_ptr<Source> source_;
};

// The codes are the same numbers by definition.
inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace gatehouse::api
