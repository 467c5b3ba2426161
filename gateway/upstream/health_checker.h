// HealthChecker asks one endpoint again and again whether it is well, over a connection of its own each time, and tells the
// Endpoint. Its first answer counts at once; after that it takes several in a row to change the verdict.
//
// Ownership:  owns its pool and request.
// Threading:  one loop's thread, not a worker's.
// Errors:     an endpoint that does not answer well is unhealthy.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/loop/loop.h"
#include "gateway/upstream/pool.h"

namespace gatehouse::upstream {

struct HealthCheckOptions {
  std::string path = "/";
  std::string host;  // empty: the endpoint, as configured
  absl::Duration interval = absl::Seconds(10);  // up to a tenth more or less
  absl::Duration timeout = absl::Seconds(2);
  uint32_t healthy_after = 2;
  uint32_t unhealthy_after = 3;
  std::vector<uint16_t> statuses;           // empty: 200 to 299
  std::optional<std::string> grpc_service;  // asked by grpc.health.v1 instead, over HTTP/2
  friend bool operator==(const HealthCheckOptions&, const HealthCheckOptions&) = default;
};

class HealthChecker final : private ResponseHandler {
 public:
  // `connect`: how connections are made. The first question follows at once. REQUIRES: loop outlives this.
  HealthChecker(loop::Loop* loop, EndpointRef endpoint, HealthCheckOptions options, const UpstreamOptions& connect);
  ~HealthChecker() override;

  void Update(HealthCheckOptions options, const UpstreamOptions& connect);

 private:
  void OnHead(http::ResponseHead&& head) override;
  void OnBody(absl::string_view bytes) override;
  void OnTrailers(http::FieldList&& trailers) override;
  void OnComplete() override;
  void OnError(ErrorKind kind, absl::string_view detail) override;
  void OnWritable() override {}

  UpstreamOptions PoolOptions(const UpstreamOptions& connect) const;
  void Ask();
  void Answered(bool good, const std::string& detail);
  void JudgeGrpc();

  loop::Loop* const loop_;
  const EndpointRef endpoint_;
  const EndpointRef own_;  // the same address, so that its questions are not counted as requests
  HealthCheckOptions options_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Request> request_;
  loop::Timer next_;
  loop::Timer timeout_;
  bool first_ = true;
  uint32_t good_ = 0, bad_ = 0;  // in a row
  // The answer so far.
  int status_ = 0;
  std::string body_;
  std::string grpc_status_;
};

// The message of a grpc.health.v1 question, and whether an answer's body says SERVING. For HealthChecker and its tests.
std::string GrpcHealthQuestion(absl::string_view service);
bool GrpcHealthServing(absl::string_view body);

}  // namespace gatehouse::upstream
