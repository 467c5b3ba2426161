#include "control/api/snapshot_service.h"

#include <memory>
#include <utility>

#include "gateway/base/mutex.h"
#include "gateway/certs/certificate.h"

namespace gatehouse::api {
namespace {

// When the caller's certificate expires.
absl::Time CertificateEnd(const grpc::CallbackServerContext& context) {
  for (const grpc::string_ref& pem : context.auth_context()->FindPropertyValues("x509_pem_cert")) {
    auto chain = certs::Certificate::ListFromPem(absl::string_view(pem.data(), pem.size()));
    if (chain.ok() && !chain->empty()) return chain->front()->not_after();
  }
  return absl::InfiniteFuture();
}

class SubscribeReactor final : public grpc::ServerBidiReactor<v1::SubscribeRequest, v1::SubscribeResponse> {
 public:
  explicit SubscribeReactor(const absl::Status& refused) { Finish(ToGrpc(refused)); }
  SubscribeReactor(publish::Distributor& distributor, publish::QuestionDesk& desk, publish::TicketKeyRing& ticket_keys,
                   const Guard& guard, const grpc::CallbackServerContext& context, const std::string& gateway)
      : stream_(std::make_unique<publish::GatewayStream>(distributor, desk, ticket_keys, context.peer(),
                                                         [this] { Pump(); })),
        admission_(guard.Admit(context, [this](const absl::Status& why) { End(ToGrpc(why)); })) {
    if (!gateway.empty()) stream_->Expect(gateway, CertificateEnd(context));
    StartSendInitialMetadata();
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End(grpc::Status::OK);  // the gateway left
    absl::Status status = stream_->Receive(std::move(request_));
    if (!status.ok()) return End(ToGrpc(status));
    request_.Clear();
    StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mutex_);
      writing_ = false;
    }
    if (ok) {
      Pump();
    } else {
      End(grpc::Status::CANCELLED);
    }
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  void Pump() {
    MutexLock lock(&mutex_);
    if (ended_ || writing_) return;
    if (std::optional<absl::Status> closed = stream_->closed()) {
      ended_ = true;
      Finish(ToGrpc(*closed));
      return;
    }
    if (!stream_->Next(&response_)) return;
    writing_ = true;
    StartWrite(&response_);
  }
  void End(const grpc::Status& status) {
    MutexLock lock(&mutex_);
    if (ended_) return;
    ended_ = true;
    Finish(status);
  }

  Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  v1::SubscribeRequest request_;
  v1::SubscribeResponse response_;
  // Last: its end waits for a wake that runs, which uses what is above.
  const std::unique_ptr<publish::GatewayStream> stream_;
  const std::unique_ptr<Admission> admission_;  // likewise
};

}  // namespace

grpc::ServerBidiReactor<v1::SubscribeRequest, v1::SubscribeResponse>* SnapshotService::Subscribe(
    grpc::CallbackServerContext* context) {
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.SnapshotService/Subscribe", nullptr);
  if (!caller.ok()) return new SubscribeReactor(caller.status());
  return new SubscribeReactor(distributor_, desk_, ticket_keys_, guard_, *context, caller->gateway);
}

}  // namespace gatehouse::api
