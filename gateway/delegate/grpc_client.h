// GrpcClients makes the Clients that speak gatehouse.v1.CredentialValidator. It is the only part of the gateway's core that
// knows gRPC; the programs hand its factory to server::GatewayOptions.
//
// One connection an endpoint. It is made anew after a question that it carried got no answer in time: it may be dead without
// a word. Answers over 512 KiB are none.
//
// Ownership:  must outlive the gateway that was given the factory. Its one thread begins with the first client.
// Threading:  as Client; every `done` runs on that thread. (gRPC's callback API is not used: in 1.51 a channel whose last
//             owner lets go of it in a callback takes the callback's own queue with it.)
// Errors:     as Client. A key or certificate that gRPC does not take makes every question UNAVAILABLE.
#pragma once

#include <grpcpp/completion_queue.h>

#include <memory>
#include <string>
#include <thread>

#include "gateway/base/mutex.h"
#include "gateway/delegate/client.h"

namespace gatehouse::delegate {

class GrpcClients {
 public:
  GrpcClients() = default;
  ~GrpcClients();
  GrpcClients(const GrpcClients&) = delete;
  GrpcClients& operator=(const GrpcClients&) = delete;

  std::shared_ptr<Client> Make(const Service& service, const std::string& endpoint);
  ClientFactory factory() {
    return [this](const Service& service, const std::string& endpoint) { return Make(service, endpoint); };
  }

 private:
  void Run();

  grpc::CompletionQueue queue_;
  Mutex mutex_;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::delegate
