// Client carries questions to one endpoint of a user's validation service. The one that speaks gRPC is grpc_client.h; the
// gateway's core knows this alone.
//
// Ownership:  a Question and a Reply are values; the password wipes itself.
// Threading:  thread-safe; `done` runs on any thread, never inside Ask.
// Units:      wall-clock durations.
// Errors:     absl::Status; UNAVAILABLE and DEADLINE_EXCEEDED when there was no answer, DATA_LOSS when it cannot be read,
//             others as the service says. No message repeats what the service wrote: that might hold a password.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/base/secret.h"
#include "gateway/credentials/user_store.h"
#include "gateway/delegate/service.h"

namespace gatehouse::delegate {

// Facts of a request; which of them are sent is the service's `sent`.
struct Facts {
  absl::string_view host, path, method, client_address, listener, route, request_id;
  std::string certificate_sha256;  // hex; empty: no certificate that counts
};

struct Question {
  std::string scheme;
  std::string user;
  Secret password;
  // Empty where it is not sent.
  std::string host, path, method, client_address, listener, route, request_id, certificate_sha256;
};

enum class Verdict : uint8_t { kNone, kAllow, kWrongPassword, kUnknownUser, kUserDisabled };

// Reply is what the service said, read but not yet believed (answer.h).
struct Reply {
  Verdict verdict = Verdict::kNone;
  std::string user;
  std::vector<credentials::UserClaim> claims;
  absl::Duration lifetime = absl::ZeroDuration();
};

class Client {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Reply>)>;

  virtual ~Client() = default;

  // Reachable is false while the last attempt to connect has failed. One that rests begins to connect.
  virtual bool Reachable() = 0;
  // Ask sends one question. `done` runs exactly once, at most a moment after the deadline.
  virtual void Ask(Question question, absl::Duration deadline, Done done) = 0;
  // Shutdown ends what is under way: every `done` comes soon.
  virtual void Shutdown() = 0;
};

// Makes the client of one endpoint.
using ClientFactory = std::function<std::shared_ptr<Client>(const Service& service, const std::string& endpoint)>;

}  // namespace gatehouse::delegate
