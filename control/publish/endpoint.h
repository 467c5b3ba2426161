// Endpoint is the way to one gateway, whatever carries it: a gRPC stream, or a call within the process.
//
// Ownership:  an Update shares the revision with everybody who gets it.
// Threading:  implementations are thread-safe; Deliver and Close are called without any lock and must be quick.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/config/build_resource_map.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::publish {

// Published is one revision as gateways get it, secrets and all. Immutable.
struct Published {
  uint64_t revision = 0;
  std::string incarnation;
  config::ResourceMap resources;
  Sha256Digest digest{};

  // Serialized as a ConfigSet, at the first call, and shared. Thread-safe.
  const std::string& Wire() const;

 private:
  mutable std::once_flag once_;
  mutable std::string wire_;
};

struct Update {
  std::shared_ptr<const Published> to;
  // What leads there from what the gateway holds; null: the gateway needs the whole set.
  std::shared_ptr<const v1::Delta> delta;
};

class Endpoint {
 public:
  virtual ~Endpoint() = default;
  // Deliver starts sending `update`. The next one comes only after the gateway's answer to this one.
  virtual void Deliver(Update update) = 0;
  // Confirm tells that what the gateway has in force, `revision`, is the newest there is.
  virtual void Confirm(uint64_t revision) = 0;
  // Close ends the connection: nothing is delivered any more.
  virtual void Close(absl::Status why) = 0;
};

// What a gateway says of itself when it connects.
struct GatewayHello {
  std::string name;
  std::string version;
  std::string peer;  // address, or "embedded"
  // What it has in force: revision 0 for nothing.
  uint64_t revision = 0;
  std::string digest;
  std::string incarnation;
  // While it is connected, nobody else may take its name (the gateway in our own process).
  bool exclusive = false;
  // When the certificate that it calls with expires; InfiniteFuture: it has none of our authority.
  absl::Time certificate_end = absl::InfiniteFuture();
};

}  // namespace gatehouse::publish
