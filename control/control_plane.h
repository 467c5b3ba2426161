// ControlPlane puts the lanes of the control plane together: store, writer, distributor, hub and the API over them.
//
// Ownership:  owns all of them; the clock outlives it. What is connected to its distributor, desk or hub must be gone
//             before it is destroyed.
// Threading:  Open, Serve, Shutdown and the destructor by one thread; the parts are thread-safe.
// Errors:     each names the file, directory, address or option at fault.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/api/hash_renewals.h"
#include "control/compiler.h"
#include "control/events/hub.h"
#include "control/options.h"
#include "control/publish/distributor.h"
#include "control/publish/question_desk.h"
#include "control/publish/ticket_key_ring.h"
#include "gateway/base/clock.h"

namespace gatehouse {

class ControlPlane {
 public:
  // Opens the store and publishes its newest revision; nothing listens yet.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Open(const Options& options, const Clock& clock);
  ~ControlPlane();
  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;

  // Opens the control API.
  absl::Status Serve();
  // Reads the TLS files of the control API anew; what is not good is logged and changes nothing. After Serve; thread-safe.
  void ReloadTls();
  // Ends it: calls get `grace` to end. Idempotent.
  void Shutdown(absl::Duration grace);

  // What the control plane counts, in Prometheus' text format. Thread-safe.
  std::string MetricsText() const;

  // Where the control API really listens.
  std::vector<std::string> addresses() const;
  publish::Distributor& distributor();
  publish::QuestionDesk& desk();
  publish::TicketKeyRing& ticket_keys();
  hub::Hub& hub();
  Compiler& compiler();
  api::HashRenewals& renewals();

 private:
  struct Parts;
  ControlPlane();

  std::unique_ptr<Parts> parts_;
};

}  // namespace gatehouse
