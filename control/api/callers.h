// Callers decides who may call what: identity (caller.h) -> roles, from what the server was started with and from the
// bindings that the store has now -> the method's role (roles.h). It is the Guard of every service, and judges open streams
// again when one of these changes, and now and then.
//
//   socket's own uid, root   OWNER's roles, and GATEWAY's
//   --owner-san NAME         OWNER's roles
//   --allow-san NAME         VIEWER, EDITOR, USER_ADMIN, GATEWAY
//   --insecure-loopback      VIEWER, EDITOR, USER_ADMIN, GATEWAY
//   a Binding                the one that it names
//   a gateway's certificate  GATEWAY: of the control plane's own authority, spiffe://gatehouse/gateway/NAME
//
// Who has several of them has what each gives. Nobody in particular (TLS without a client certificate, where the server
// takes it) and who has no role may call methods of ANYBODY alone.
//
// Ownership:  shared by services, listeners and the server.
// Threading:  thread-safe. SetBindings, Rejudge and Sweep run the streams' notices on the caller's thread.
// Errors:     as Guard's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/api/caller.h"
#include "control/api/guard.h"
#include "control/api/live_calls.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event.pb.h"

namespace gatehouse::api {

// Names of gateways in certificates of the control plane's own authority.
inline constexpr absl::string_view kGatewayNames = "spiffe://gatehouse/gateway/";

struct CallerRules {
  std::vector<AllowedName> allowed_names;  // with their roles
  bool insecure_loopback = false;
  // Callers over TLS without a client certificate may call methods of ANYBODY.
  bool anybody = false;
  CallerLimits limits;
  uint64_t octets_of_all = uint64_t{512} * 1024 * 1024;  // see LiveCalls
};

// Whose authority vouches for a client certificate.
enum class Voucher : uint8_t { kClients, kGateways };

class Callers final : public Guard::Source, public std::enable_shared_from_this<Callers> {
 public:
  // Whether a chain (PEM, leaf first) still leads to an authority, asked at each call.
  using Vouch = std::function<absl::StatusOr<Voucher>(const std::string& chain_pem)>;
  // Whether a gateway with this certificate (PEM) may still come; OK or PERMISSION_DENIED.
  using GatewayCheck = std::function<absl::Status(const std::string& gateway, const std::string& chain_pem)>;
  // Hears of each refused call: who, where from, which method, why; also of one that was let in, writes, and was refused later
  // without being told of. Must be quick.
  using Refused = std::function<void(const Caller&, absl::string_view method, const absl::Status&)>;

  Callers(CallerRules rules, std::shared_ptr<const PeerCredentials> credentials);

  // What is known later than the guard is needed; each before the server starts. Without Vouch certificates are taken as the
  // handshake took them; without GatewayCheck every certificate of the gateways' authority is good.
  void SetVouch(Vouch vouch);
  void SetGatewayCheck(GatewayCheck check);
  void SetRefused(Refused refused);

  // The bindings that are stored now. Judges open streams again.
  void SetBindings(std::vector<v1::Binding> bindings);
  // Judges open streams again: authorities or gateways changed.
  void Rejudge();
  // To be called now and then: ends streams whose caller's certificate has expired since, and calls that have run for `longest`;
  // returns how many of these.
  size_t Sweep(LiveCalls::Instant now, absl::Duration longest);

  // What the caller is, whatever they call. PERMISSION_DENIED when the certificate is no longer vouched for.
  absl::StatusOr<Caller> Recognise(const Identity& identity) const;

  // Whether a process of this uid may connect to the Unix socket: our own, root, and those that a binding names. Who may not
  // is told of.
  bool MayConnect(uid_t uid) const;
  // OK when a call over TLS may get as far as a handler, health's and reflection's too. Who may not is told of.
  absl::Status MayPass(const Identity& identity, absl::string_view path) const;

  absl::StatusOr<Caller> Judge(const grpc::CallbackServerContext& context, absl::string_view method, size_t octets) override;
  absl::Status Hold(const grpc::CallbackServerContext& context, size_t octets) override;
  std::unique_ptr<Admission> Admit(const grpc::CallbackServerContext& context,
                                   std::function<void(const absl::Status&)> end) override;
  Guard guard() { return Guard(shared_from_this()); }

  const std::shared_ptr<LiveCalls>& calls() const { return calls_; }

 private:
  struct Bound {
    std::string binding;
    Roles roles = 0;
    bool is_uid = false;
    uid_t uid = 0;
    AllowedName name;
  };
  struct Known {
    std::vector<Bound> bound;
    Vouch vouch;
    GatewayCheck gateway_check;
    Refused refused;
  };
  std::shared_ptr<const Known> known() const;
  void TellRefused(const Caller& who, absl::string_view method, const absl::Status& why) const;
  template <typename F>
  void Change(F change);
  std::shared_ptr<Deed> NewDeed(const grpc::CallbackServerContext& context, const Method& method, const Caller& who);
  // Whether who was recognised may call the method; `who` is filled in either case.
  absl::StatusOr<Caller> Allow(absl::StatusOr<Caller> recognised, const Identity& identity, const Method& method, Caller* who) const;
  absl::StatusOr<Caller> JudgeIdentity(const Identity& identity, const Method& method, Caller* who) const;

  const CallerRules rules_;
  const std::shared_ptr<const PeerCredentials> credentials_;
  const std::shared_ptr<LiveCalls> calls_;
  mutable Mutex mutex_;
  std::shared_ptr<const Known> known_ ABSL_GUARDED_BY(mutex_) = std::make_shared<Known>();
};

// The uid of "uid:1000"; nothing for any other text.
std::optional<uid_t> UidOf(absl::string_view caller);

}  // namespace gatehouse::api
