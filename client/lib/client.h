// Client speaks to a Gatehouse control plane.
//
//   auto client = gatehouse::client::Client::Connect(*ParseTarget("unix:/run/gatehouse/control.sock", {}, false));
//   if (!client.ok()) return client.status();
//   auto route = (*client)->Get(v1::ROUTE, "hello");
//
// Ownership:  a Client owns its channel; Pages and Watches share it and may outlive the Client.
// Threading:  thread-safe. Calls block; each has a deadline.
// Errors:     absl::Status with gRPC's codes; ViolationsOf(status) has the violations (status.h). UNAVAILABLE: nobody
//             answers. Reads are tried again until their deadline while the server is unavailable; a change is sent
//             once, since nobody could tell whether the first attempt was committed.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/lib/pages.h"
#include "client/lib/target.h"
#include "client/lib/watch.h"
#include "gateway/base/secret.h"
#include "gatehouse/v1/access_service.pb.h"
#include "gatehouse/v1/certificate_service.pb.h"
#include "gatehouse/v1/config_service.pb.h"
#include "gatehouse/v1/gateway_service.pb.h"
#include "gatehouse/v1/lockout_service.pb.h"
#include "gatehouse/v1/upstream_service.pb.h"
#include "gatehouse/v1/policy_service.pb.h"
#include "gatehouse/v1/status_service.pb.h"
#include "gatehouse/v1/user_service.pb.h"

namespace gatehouse::client {

struct ClientOptions {
  absl::Duration connect_timeout = absl::Seconds(5);
  // Per call; a change that waits gets its wait on top.
  absl::Duration call_timeout = absl::Seconds(30);
  // Between attempts of a read; doubles up to two seconds.
  absl::Duration retry_backoff = absl::Milliseconds(50);
};

// How a change is made.
struct ChangeOptions {
  // Return when the change is in force on every connected gateway, or the timeout has passed.
  bool wait = true;
  absl::Duration wait_timeout = absl::Seconds(10);
  std::string message;  // for the history
};

using Labels = std::map<std::string, std::string>;

struct ApplyOptions {
  bool dry_run = false;
  bool replace_all = false;
  // What bears all of these and is not in the set is deleted; none: nothing is.
  Labels prune_labels;
  std::optional<uint64_t> expected_revision;  // absent: any
  ChangeOptions change;
  // Hears how many octets of how many are sent. May be empty.
  std::function<void(size_t sent, size_t all)> on_sent;
};

class Client {
 public:
  // Connect opens the channel and waits until it is ready. UNAVAILABLE: nobody listens; PERMISSION_DENIED: the socket
  // is somebody else's.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const Target& target, ClientOptions options = {});
  // Over a channel of the caller's making.
  Client(std::shared_ptr<grpc::Channel> channel, ClientOptions options);

  absl::StatusOr<v1::Resource> Get(v1::Kind kind, const std::string& name);
  // List pages through the resources of a kind that bear all of the labels, by name.
  Pages<v1::Resource> List(v1::Kind kind, int page_size = 500, const Labels& labels = {});
  // Export gives the configuration in parts to `take`, whose error ends it, and returns the revision and the digest.
  struct Exported {
    uint64_t revision = 0;
    std::string digest;
  };
  absl::StatusOr<Exported> Export(const v1::ExportRequest& request,
                                  absl::FunctionRef<absl::Status(v1::ConfigSet)> take);
  // What leads from one revision to another; without `to`: to the current one.
  absl::StatusOr<v1::CompareResponse> Compare(uint64_t from, std::optional<uint64_t> to = std::nullopt);
  // WatchResources gives each message to `take` until that returns false (OK) or the stream ends (why it ended). It is not
  // taken up again: who calls it knows what was seen.
  absl::Status WatchResources(const v1::WatchResourcesRequest& request,
                              absl::FunctionRef<bool(const v1::WatchResourcesResponse&)> take);

  absl::StatusOr<v1::ChangeResponse> Create(const v1::Resource& resource, const ChangeOptions& options = {});
  // Update replaces the fields named in `fields`, or the whole resource when it is empty.
  absl::StatusOr<v1::ChangeResponse> Update(const v1::Resource& resource, const std::vector<std::string>& fields,
                                            const ChangeOptions& options = {});
  absl::StatusOr<v1::ChangeResponse> Delete(v1::Kind kind, const std::string& name, const std::string& etag = "",
                                            const ChangeOptions& options = {});
  // Apply sends a set of any size, in messages below 1 MiB where resources allow it, as one change.
  absl::StatusOr<v1::ApplyResponse> Apply(const v1::ConfigSet& set, absl::Span<const v1::ResourceId> deletions,
                                          const ApplyOptions& options);

  absl::StatusOr<v1::StoredUser> GetUser(const std::string& store, const std::string& user);
  // ListUsers pages through all users of a store, by name.
  Pages<v1::StoredUser> ListUsers(const std::string& store, int page_size = 500);
  // SetUser creates or changes a user as `request` says; the server hashes the password. An empty one is none.
  absl::StatusOr<v1::UserChangeResponse> SetUser(v1::SetUserRequest request, const Secret& password,
                                                 const ChangeOptions& options = {});
  // DeleteUser: a non-empty `etag` must be the user's.
  absl::StatusOr<v1::UserChangeResponse> DeleteUser(const std::string& store, const std::string& user,
                                                    const std::string& etag = "", const ChangeOptions& options = {});
  // ImportUsers sends a file of htpasswd's format; `import` says to which store and how.
  absl::StatusOr<v1::ImportUsersResponse> ImportUsers(v1::ImportOptions import, const Secret& file,
                                                      const ChangeOptions& options = {});
  // ExportUsers gives the file in pieces to `take`, which must not keep them. Over the Unix socket only.
  absl::StatusOr<v1::ExportSummary> ExportUsers(const std::string& store, bool include_disabled,
                                                absl::FunctionRef<absl::Status(absl::string_view)> take);

  // What was written, newest first: revisions, and what changed no configuration (Revision.entry).
  Pages<v1::Revision> History(int page_size = 50, v1::HistoryRequest::Show show = v1::HistoryRequest::WRITES);
  // Rollback makes the configuration what it was at `revision`; `options` as for Apply, replace_all does not count.
  absl::StatusOr<v1::ApplyResponse> Rollback(uint64_t revision, bool restore_trust, const ApplyOptions& options);
  absl::StatusOr<v1::Status> GetStatus();
  // WatchStatus calls `take` with the state now, and whenever something happens, until `take` returns false (then the result is OK)
  // or the stream breaks. Blocks.
  absl::Status WatchStatus(absl::FunctionRef<bool(const v1::Status&)> take);
  // Gateways are let in by tokens: the answer holds one, a secret that is shown once.
  absl::StatusOr<v1::CreateJoinTokenResponse> CreateJoinToken(const v1::CreateJoinTokenRequest& request);
  absl::StatusOr<v1::ListJoinTokensResponse> ListJoinTokens();
  absl::Status DeleteJoinToken(const std::string& id);
  absl::Status RemoveGateway(const std::string& name);
  // Who the server takes us for, and what we may do.
  absl::StatusOr<v1::WhoAmIResponse> WhoAmI();
  // Seals the store's secrets under the key that waits beside the server's; `step` hears how far it is. Returns the last step.
  absl::StatusOr<v1::RotateKeyResponse> RotateKey(absl::FunctionRef<void(const v1::RotateKeyResponse&)> step);
  absl::StatusOr<v1::ExplainResponse> Explain(const v1::ExplainRequest& request);
  // What a trust store holds as gateways have it in force, with use counts; `gateway` empty: all of them.
  absl::StatusOr<v1::ListTrustResponse> ListTrust(const std::string& trust_store, const std::string& gateway = "");

  // Whether a policy would hold, clause by clause; nothing is stored.
  absl::StatusOr<v1::TestPolicyResponse> TestPolicy(const v1::TestPolicyRequest& request);

  // Whom gateways refuse for guessing passwords; Clear lets them in again.
  absl::StatusOr<v1::ListLockoutsResponse> ListLockouts(const v1::ListLockoutsRequest& request);
  absl::StatusOr<v1::ClearLockoutsResponse> ClearLockouts(const v1::ClearLockoutsRequest& request);

  // How the endpoints of upstreams do on one gateway.
  absl::StatusOr<v1::ListEndpointsResponse> ListEndpoints(const v1::ListEndpointsRequest& request);

  // The newest events since `since`, at most `limit`, oldest first: those that come without a pause of `patience`.
  absl::StatusOr<std::vector<v1::Event>> RecentEvents(const v1::EventFilter& filter, absl::Time since, size_t limit,
                                                      absl::Duration patience = absl::Milliseconds(250));
  // Counts of decisions, by minute.
  absl::StatusOr<v1::SummaryResponse> Summary(const v1::SummaryRequest& request);
  // Watch subscribes to events; see watch.h. It returns once the server has subscribed us.
  absl::StatusOr<std::unique_ptr<gatehouse::client::Watch>> Watch(WatchOptions options, WatchHandler handler);

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const ClientOptions options_;
};

}  // namespace gatehouse::client
