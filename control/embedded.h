// EmbeddedGateway is a data plane in the control plane's process: it takes revisions from the distributor, tells its
// events to the hub and answers questions at the desk, all by plain calls.
//
// Ownership:  the plane and the clock outlive it.
// Threading:  Start, Drain and the destructor by one thread.
// Errors:     Start: what keeps the workers from starting. A listener that cannot be bound is no such thing: the
//             revision is refused then, the status says why, and it is tried again until it is free or something newer comes.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/control_plane.h"
#include "control/options.h"
#include "control/publish/local_gateway.h"
#include "gateway/base/mutex.h"
#include "gateway/delegate/grpc_client.h"
#include "gateway/server/gateway.h"
#include "gateway/server/renewal.h"

namespace gatehouse {

class EmbeddedGateway {
 public:
  static absl::StatusOr<std::unique_ptr<EmbeddedGateway>> Start(const Options& options, ControlPlane& plane,
                                                                const Clock& clock);
  ~EmbeddedGateway();
  EmbeddedGateway(const EmbeddedGateway&) = delete;
  EmbeddedGateway& operator=(const EmbeddedGateway&) = delete;

  // Waits until the newest revision is in force or refused; returns the reasons of a refusal.
  std::vector<std::string> AwaitFirstRevision(absl::Duration timeout);
  std::vector<server::BoundListener> listeners() const { return gateway_->listeners(); }
  // As server::Gateway's.
  bool Drain(absl::Duration grace) { return gateway_->Drain(grace); }
  std::string NotReady() const { return gateway_->NotReady(); }
  std::string MetricsText() const { return gateway_->MetricsText(); }

 private:
  EmbeddedGateway(ControlPlane& plane, std::unique_ptr<delegate::GrpcClients> validators,
                  std::unique_ptr<server::Gateway> gateway, const Clock& clock)
      : plane_(plane), validators_(std::move(validators)), gateway_(std::move(gateway)), renewal_(gateway_.get(), clock) {}
  using Taken = std::shared_ptr<publish::LocalGateway::Taken>;
  // `again`: it was refused, which is known.
  void Take(const std::shared_ptr<const publish::Published>& published, const Taken& done, bool again);

  // Every few seconds, on a thread of its own.
  void ReportLoad();

  ControlPlane& plane_;
  Mutex mutex_;
  uint64_t newest_ ABSL_GUARDED_BY(mutex_) = 0;  // revision that was to be taken last
  const std::unique_ptr<delegate::GrpcClients> validators_;
  const std::unique_ptr<server::Gateway> gateway_;
  server::Renewal renewal_;  // its thread calls Take
  std::unique_ptr<publish::LocalGateway> line_;
  std::unique_ptr<publish::TicketKeyRing::Line> key_line_;
  Mutex loads_mutex_;
  CondVar loads_changed_;
  bool stopping_ ABSL_GUARDED_BY(loads_mutex_) = false;
  std::thread loads_;
};

}  // namespace gatehouse
