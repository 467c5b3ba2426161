// AccessService, as Client has it.
#include "client/lib/calls.h"
#include "client/lib/client.h"
#include "client/lib/status.h"
#include "gateway/base/status.h"
#include "gatehouse/v1/access_service.grpc.pb.h"

namespace gatehouse::client {
namespace {

// A store of any size; the server ends it sooner.
constexpr absl::Duration kRotation = absl::Hours(1);

}  // namespace

absl::StatusOr<v1::WhoAmIResponse> Client::WhoAmI() {
  auto stub = v1::AccessService::NewStub(channel_);
  v1::WhoAmIResponse response;
  GH_RETURN_IF_ERROR(Retried(options_, [&](auto& context) { return stub->WhoAmI(&context, {}, &response); }));
  return response;
}

absl::StatusOr<v1::RotateKeyResponse> Client::RotateKey(absl::FunctionRef<void(const v1::RotateKeyResponse&)> step) {
  auto stub = v1::AccessService::NewStub(channel_);
  grpc::ClientContext context;
  SetDeadline(context, kRotation);
  auto reader = stub->RotateKey(&context, {});
  v1::RotateKeyResponse last;
  while (reader->Read(&last)) step(last);
  GH_RETURN_IF_ERROR(OfChange(FromGrpc(reader->Finish())));
  if (!last.done()) return absl::UnavailableError("the rotation broke off; look at the history of events, or call it again");
  return last;
}

}  // namespace gatehouse::client
