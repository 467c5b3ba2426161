#include "gateway/upstream/health_checker.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"

namespace gatehouse::upstream {
namespace {

constexpr size_t kMaxBody = 64 * 1024;

// Not all gateways, nor all endpoints of one, at the same time.
absl::Duration Jittered(absl::Duration interval) {
  thread_local std::minstd_rand random(std::random_device{}());
  return interval * std::uniform_real_distribution<double>(0.9, 1.1)(random);
}

}  // namespace

std::string GrpcHealthQuestion(absl::string_view service) {
  // HealthCheckRequest { string service = 1; }, behind the five octets that every gRPC message has in front.
  std::string message;
  if (!service.empty()) {
    message.push_back('\x0a');
    for (size_t n = service.size(); ; n >>= 7) {
      message.push_back(static_cast<char>((n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
      if (n <= 0x7f) break;
    }
    message.append(service.data(), service.size());
  }
  std::string frame(5, '\0');
  frame[3] = static_cast<char>(message.size() >> 8);
  frame[4] = static_cast<char>(message.size() & 0xff);
  return frame + message;
}

bool GrpcHealthServing(absl::string_view body) {
  // HealthCheckResponse { ServingStatus status = 1; }, SERVING = 1, uncompressed.
  constexpr absl::string_view kServing("\0\0\0\0\2\x08\x01", 7);
  return body == kServing;
}

HealthChecker::HealthChecker(loop::Loop* loop, EndpointRef endpoint, HealthCheckOptions options,
                             const UpstreamOptions& connect)
    : loop_(loop),
      endpoint_(std::move(endpoint)),
      own_(std::make_shared<Endpoint>(Endpoint::Options{
          .upstream = "", .configured = endpoint_->configured(), .address = endpoint_->address()})),
      options_(std::move(options)),
      pool_(Pool::Create(loop, PoolOptions(connect))),
      next_(loop, [this] { Ask(); }),
      timeout_(loop, [this] {
        request_.reset();
        Answered(false, absl::StrCat(endpoint_->text(), ": no answer to the health check within ",
                                     absl::FormatDuration(options_.timeout)));
      }) {
  next_.Start(absl::ZeroDuration());
}

HealthChecker::~HealthChecker() { request_.reset(); }

UpstreamOptions HealthChecker::PoolOptions(const UpstreamOptions& connect) const {
  UpstreamOptions options = connect;
  options.endpoints = {own_};
  options.resolving = false;
  options.worker = 0;
  options.stats = nullptr;
  options.ejection.consecutive_failures = 0;
  options.retries.attempts = 1;
  options.max_connections = 1;
  options.max_requests = 0;
  return options;
}

void HealthChecker::Update(HealthCheckOptions options, const UpstreamOptions& connect) {
  if (connect.http2 == pool_->options().http2) {
    pool_->Update(PoolOptions(connect));
  } else {
    request_.reset();
    timeout_.Stop();
    pool_ = Pool::Create(loop_, PoolOptions(connect));
    next_.Start(absl::ZeroDuration());
  }
  if (options == options_) return;
  options_ = std::move(options);
  // What it was asked before says nothing about what it is asked now, nor does an answer that is still to come.
  first_ = true;
  good_ = bad_ = 0;
  request_.reset();
  timeout_.Stop();
  pool_->RetireAll();
  next_.Start(absl::ZeroDuration());
}

void HealthChecker::Ask() {
  status_ = 0;
  body_.clear();
  grpc_status_.clear();
  const std::string host = options_.host.empty() ? endpoint_->configured() : options_.host;
  http::FieldList fields;
  fields.Add("user-agent", "gatehouse-health");
  RequestHead head;
  head.authority = host;
  head.fields = &fields;
  timeout_.Start(options_.timeout);
  if (!options_.grpc_service.has_value()) {
    head.method = "GET";
    head.target = options_.path;
    request_ = pool_->Start(head, this);
    return;
  }
  head.method = "POST";
  head.target = "/grpc.health.v1.Health/Check";
  head.framing = Framing::kChunked;
  fields.Add("content-type", "application/grpc");
  head.accepts_trailers = true;
  request_ = pool_->Start(head, this);
  request_->SendBody(GrpcHealthQuestion(*options_.grpc_service), /*end=*/true);
}

void HealthChecker::OnHead(http::ResponseHead&& head) {
  status_ = head.status;
  if (std::optional<absl::string_view> status = head.fields.Find("grpc-status")) grpc_status_ = std::string(*status);
}

void HealthChecker::OnBody(absl::string_view bytes) {
  body_.append(bytes.data(), std::min(bytes.size(), kMaxBody + 1 - body_.size()));
  if (body_.size() <= kMaxBody) return;
  request_.reset();
  Answered(false, absl::StrCat(endpoint_->text(), ": the answer to the health check is over ", kMaxBody / 1024, " KiB"));
}

void HealthChecker::OnTrailers(http::FieldList&& trailers) {
  if (std::optional<absl::string_view> status = trailers.Find("grpc-status")) grpc_status_ = std::string(*status);
}

void HealthChecker::OnComplete() {
  if (options_.grpc_service.has_value()) return JudgeGrpc();
  const bool good = options_.statuses.empty()
                        ? status_ >= 200 && status_ <= 299
                        : std::find(options_.statuses.begin(), options_.statuses.end(), status_) != options_.statuses.end();
  Answered(good, absl::StrCat(endpoint_->text(), ": the health check was answered ", status_));
}

void HealthChecker::JudgeGrpc() {
  if (status_ != 200) {
    return Answered(false, absl::StrCat(endpoint_->text(), ": the health check was answered ", status_));
  }
  if (grpc_status_ != "0") {
    return Answered(false, absl::StrCat(endpoint_->text(), ": the health check was answered grpc-status ",
                                        grpc_status_.empty() ? "none" : EscapeText(grpc_status_.substr(0, 8))));
  }
  const bool serving = GrpcHealthServing(body_);
  Answered(serving, absl::StrCat(endpoint_->text(), serving ? ": is serving" : ": says that it is not serving"));
}

void HealthChecker::OnError(ErrorKind, absl::string_view detail) { Answered(false, std::string(detail)); }

void HealthChecker::Answered(bool good, const std::string& detail) {
  timeout_.Stop();
  request_.reset();
  // Each question has a connection of its own: an endpoint that takes none is not well.
  pool_->RetireAll();
  good_ = good ? good_ + 1 : 0;
  bad_ = good ? 0 : bad_ + 1;
  const bool settled = first_ || (good ? good_ >= options_.healthy_after : bad_ >= options_.unhealthy_after);
  if (settled) endpoint_->SetHealthy(good, detail);
  first_ = false;
  next_.Start(Jittered(options_.interval));
}

}  // namespace gatehouse::upstream
