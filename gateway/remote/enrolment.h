// Enrolment is how a gateway comes by its certificate: it trades a join token for the first, keeps it, and gets the next before
// it expires.
//
//   none --Join--> enrolled --two thirds of the lifetime--> Renew --> enrolled
//
// In its folder: gateway.pem (key and certificate in one file, 0600, so that they always fit) and control-ca.pem (who the control
// plane is).
//
// Threading:  thread-compatible.
// Errors:     Join: UNAUTHENTICATED (the control plane is not the one that the token is of), PERMISSION_DENIED (the token), UNAVAILABLE.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/lib/target.h"
#include "gateway/base/join_token.h"
#include "gateway/base/secret.h"

namespace gatehouse::remote {

class Enrolment {
 public:
  // Reads what is there. FAILED_PRECONDITION: it is another gateway's, or cannot be read.
  static absl::StatusOr<Enrolment> Open(const std::string& folder, const std::string& gateway);

  bool enrolled() const { return not_after_ != absl::InfinitePast(); }
  absl::Time not_after() const { return not_after_; }
  // At two thirds of its lifetime.
  absl::Time renew_at() const { return not_before_ + (not_after_ - not_before_) * 2 / 3; }
  // The files by which channels are opened; `ca` and `server_name` as the command line gave them.
  client::TlsFiles Files(const client::TlsFiles& given) const;

  // Trades the token at `address` (host:port). `server_name`: the name in its certificate, if not the host.
  absl::Status Join(const std::string& address, const std::string& server_name, const JoinToken& token);
  // Renews over a channel that calls with the present certificate. What was got and could not be stored is not asked for again.
  absl::Status Renew(const std::shared_ptr<grpc::Channel>& channel);

 private:
  Enrolment(std::string folder, std::string gateway) : folder_(std::move(folder)), gateway_(std::move(gateway)) {}
  std::string identity() const { return folder_ + "/gateway.pem"; }
  std::string authority() const { return folder_ + "/control-ca.pem"; }
  absl::Status Read();
  // Takes over what key and certificate say, in the form of the file. FAILED_PRECONDITION: they are no gateway's of this name.
  absl::Status Take(absl::string_view pem);

  std::string folder_, gateway_;
  Secret unstored_;  // key and certificate that a renewal got, until they are in the file
  absl::Time not_before_ = absl::InfinitePast();
  absl::Time not_after_ = absl::InfinitePast();
};

}  // namespace gatehouse::remote
