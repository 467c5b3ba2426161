// LoadMeter says how busy a gateway is: what runs now, and rates over the time since it was asked before.
//
// Ownership:  the gateway outlives it.
// Threading:  one thread at a time.
// Units:      as v1.GatewayLoad; processor time and memory are the whole process'.
// Errors:     none; what the system does not tell is 0.
#pragma once

#include <chrono>
#include <cstdint>

#include "gateway/server/gateway.h"
#include "gatehouse/v1/status_service.pb.h"

namespace gatehouse::server {

class LoadMeter {
 public:
  explicit LoadMeter(const Gateway& gateway);

  v1::GatewayLoad Measure();

 private:
  const Gateway& gateway_;
  std::chrono::steady_clock::time_point measured_;
  uint64_t requests_ = 0;
  double cpu_seconds_ = 0;
};

}  // namespace gatehouse::server
