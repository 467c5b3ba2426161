// How a channel to a Target is opened. Private to the library.
#pragma once

#include <grpcpp/channel.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/lib/target.h"

namespace gatehouse::client {

// OpenChannel returns a channel that is connected. UNAVAILABLE, PERMISSION_DENIED and NOT_FOUND (TLS files) say what
// is in the way.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const Target& target, absl::Duration timeout);

}  // namespace gatehouse::client
