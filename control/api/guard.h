// Guard decides, before a handler runs, whether the caller may call a method; and turns our status into gRPC's.
#pragma once

#include <functional>
#include <string>

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gatehouse::api {

// Returns the caller's name, e.g. "uid:1000", or UNAUTHENTICATED or PERMISSION_DENIED. `method` is the full name,
// "/gatehouse.v1.EventService/Watch". Thread-safe and quick.
using Guard = std::function<absl::StatusOr<std::string>(const grpc::CallbackServerContext& context,
                                                        absl::string_view method)>;

// The codes are the same numbers by definition.
inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace gatehouse::api
