#include "gateway/delegate/grpc_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <openssl/crypto.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gatehouse/v1/credential_validator.grpc.pb.h"
#include "gateway/base/mutex.h"

namespace gatehouse::delegate {
namespace {

constexpr int kMaxAnswerBytes = 512 * 1024;

Verdict VerdictOf(v1::ValidateCredentialsResponse::Verdict verdict) {
  switch (verdict) {
    case v1::ValidateCredentialsResponse::ALLOW: return Verdict::kAllow;
    case v1::ValidateCredentialsResponse::WRONG_PASSWORD: return Verdict::kWrongPassword;
    case v1::ValidateCredentialsResponse::UNKNOWN_USER: return Verdict::kUnknownUser;
    case v1::ValidateCredentialsResponse::USER_DISABLED: return Verdict::kUserDisabled;
    default: return Verdict::kNone;
  }
}

absl::StatusOr<Reply> ReplyOf(const v1::ValidateCredentialsResponse& response) {
  Reply reply;
  reply.verdict = VerdictOf(response.verdict());
  reply.user = response.user();
  for (const v1::ValidatedClaim& claim : response.claims()) reply.claims.push_back({claim.type(), claim.value()});
  // Protobuf's bounds: 10,000 years, nanos of the same sign.
  const int64_t seconds = response.lifetime().seconds();
  const int32_t nanos = response.lifetime().nanos();
  if (seconds < -315'576'000'000 || seconds > 315'576'000'000 || nanos < -999'999'999 || nanos > 999'999'999 ||
      (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0)) {
    return absl::DataLossError("lifetime is no duration");
  }
  reply.lifetime = absl::Seconds(seconds) + absl::Nanoseconds(nanos);
  return reply;
}

class GrpcClient final : public Client, public std::enable_shared_from_this<GrpcClient> {
 public:
  GrpcClient(grpc::CompletionQueue* queue, const Service& service, const std::string& endpoint)
      : queue_(queue), target_(absl::StartsWith(endpoint, "unix:") ? endpoint : absl::StrCat("dns:///", endpoint)) {
    if (service.plaintext) {
      credentials_ = grpc::InsecureChannelCredentials();
    } else {
      grpc::SslCredentialsOptions options;
      options.pem_root_certs = service.ca_pem;
      options.pem_cert_chain = service.certificate_chain_pem;
      options.pem_private_key = std::string(service.private_key_pem.Reveal());
      credentials_ = grpc::SslCredentials(options);
      OPENSSL_cleanse(options.pem_private_key.data(), options.pem_private_key.size());
    }
    arguments_.SetMaxReceiveMessageSize(kMaxAnswerBytes);
    arguments_.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    // Also the time that an attempt to connect is given.
    arguments_.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
    arguments_.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    arguments_.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments_.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    // Who answers for a name's DNS must not steer how we call.
    arguments_.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    // A connection of its own: identity and life are this service's.
    arguments_.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    if (!service.server_name.empty()) arguments_.SetSslTargetNameOverride(service.server_name);
    MutexLock lock(&mutex_);
    Connect();
  }

  bool Reachable() override {
    MutexLock lock(&mutex_);
    return channel_->GetState(/*try_to_connect=*/true) != GRPC_CHANNEL_TRANSIENT_FAILURE;
  }

  void Ask(Question question, absl::Duration deadline, Done done) override {
    auto call = std::make_shared<Call>();
    call->client = shared_from_this();
    call->done = std::move(done);
    Fill(question, &call->request);
    call->context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    // Without it a channel that once failed may stay so for good (gRPC 1.51).
    call->context.set_wait_for_ready(true);
    MutexLock lock(&mutex_);
    calls_.insert(call);
    call->channel = channel_;
    call->reader = stub_->AsyncValidate(&call->context, call->request, queue_);
    call->reader->Finish(&call->response, &call->status, call.get());
  }

  void Shutdown() override {
    MutexLock lock(&mutex_);
    for (const std::shared_ptr<Call>& call : calls_) call->context.TryCancel();
  }

  struct Call : std::enable_shared_from_this<Call> {
    ~Call() { OPENSSL_cleanse(request.mutable_password()->data(), request.password().size()); }
    std::shared_ptr<GrpcClient> client;
    std::shared_ptr<grpc::Channel> channel;
    grpc::ClientContext context;
    v1::ValidateCredentialsRequest request;
    v1::ValidateCredentialsResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::ValidateCredentialsResponse>> reader;
    Done done;
  };

  // On the queue's thread.
  static void Finish(Call* finished) {
    const std::shared_ptr<Call> call = finished->shared_from_this();
    call->client->Forget(call);
    if (call->status.ok()) return call->done(ReplyOf(call->response));
    call->done(absl::Status(static_cast<absl::StatusCode>(call->status.error_code()), "no answer"));
  }

 private:
  static void Fill(const Question& question, v1::ValidateCredentialsRequest* to) {
    to->set_scheme(question.scheme);
    to->set_user(question.user);
    to->set_password(std::string(question.password.Reveal()));
    v1::ValidatedRequest& request = *to->mutable_request();
    request.set_host(question.host);
    request.set_path(question.path);
    request.set_method(question.method);
    request.set_client_address(question.client_address);
    request.set_listener(question.listener);
    request.set_route(question.route);
    request.set_request_id(question.request_id);
    request.set_certificate_sha256(question.certificate_sha256);
  }

  void Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    channel_ = grpc::CreateCustomChannel(target_, credentials_, arguments_);
    stub_ = v1::CredentialValidator::NewStub(channel_);
  }

  void Forget(const std::shared_ptr<Call>& call) {
    MutexLock lock(&mutex_);
    calls_.erase(call);
    // One that is still connecting is left to it: a new one would take as long.
    if (call->status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED && call->channel == channel_ &&
        channel_->GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY) {
      Connect();
    }
  }

  grpc::CompletionQueue* const queue_;
  const std::string target_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  grpc::ChannelArguments arguments_;
  Mutex mutex_;
  std::shared_ptr<grpc::Channel> channel_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<v1::CredentialValidator::Stub> stub_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<std::shared_ptr<Call>> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

GrpcClients::~GrpcClients() {
  queue_.Shutdown();
  MutexLock lock(&mutex_);
  if (thread_.joinable()) {
    thread_.join();
  } else {
    Run();  // a queue is drained before it goes
  }
}

void GrpcClients::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) GrpcClient::Finish(static_cast<GrpcClient::Call*>(tag));
}

std::shared_ptr<Client> GrpcClients::Make(const Service& service, const std::string& endpoint) {
  {
    MutexLock lock(&mutex_);
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  }
  return std::make_shared<GrpcClient>(&queue_, service, endpoint);
}

}  // namespace gatehouse::delegate
