#include "client/cli/context.h"

#include <ostream>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/context_file.h"
#include "client/cli/style.h"
#include "client/lib/status.h"
#include "gateway/base/escape.h"
#include "gateway/base/message_json.h"
#include "gateway/base/status.h"

namespace gatehouse::cli {

absl::StatusOr<std::unique_ptr<client::Client>> Context::Connect() const {
  GH_ASSIGN_OR_RETURN(const ConnectionFlags resolved, Resolve(connection));
  GH_ASSIGN_OR_RETURN(client::Target target,
                      client::ParseTarget(resolved.server, resolved.tls, resolved.insecure_loopback));
  client::ClientOptions options;
  options.call_timeout = connection.timeout;
  options.connect_timeout = std::min(options.connect_timeout, connection.timeout);
  return client::Client::Connect(target, options);
}

absl::Status OutputLost() { return absl::UnavailableError("standard output could not be written"); }

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
      return kConflict;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnavailable;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kPermissionDenied;
    default:
      return kRefused;
  }
}

int Fail(Context& context, const absl::Status& status) {
  const Style style(context.error_color);
  const std::vector<v1::Violation> violations = client::ViolationsOf(status);
  if (violations.empty()) {
    context.err() << style.Red("error:") << " " << EscapeText(status.message()) << "\n";
    if (client::MayHaveActed(status)) {
      context.err() << "  the control plane may have acted all the same: `gatehousectl history` tells\n";
    }
    return ExitCodeOf(status);
  }
  context.err() << style.Red("error:") << " nothing was changed\n";
  for (const v1::Violation& violation : violations) {
    context.err() << "  " << PathText(violation.path()) << ": " << EscapeText(violation.message()) << "\n";
  }
  return ExitCodeOf(status);
}

int PrintJson(Context& context, const google::protobuf::Message& message) {
  std::string json;
  if (!AppendMessageJson(message, &json)) return Fail(context, absl::InternalError("the answer has no JSON form"));
  context.out() << json << "\n";
  return kOk;
}

}  // namespace gatehouse::cli
