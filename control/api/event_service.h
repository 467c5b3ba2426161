// EventService over gRPC: reactors around the hub; counts are added up on an executor. Watch is served raw: the hub keeps events in wire form, so a watcher
// costs one copy of the octets that it gets.
//
// Ownership:  hub and executor outlive the service, and the service outlives its server.
// Threading:  thread-safe.
#pragma once

#include "control/api/call_executor.h"
#include "control/api/guard.h"
#include "control/events/hub.h"
#include "gatehouse/v1/event_service.grpc.pb.h"

namespace gatehouse::api {

class EventService final
    : public v1::EventService::WithRawCallbackMethod_Watch<v1::EventService::WithCallbackMethod_Summary<
          v1::EventService::WithCallbackMethod_Report<v1::EventService::Service>>> {
 public:
  EventService(hub::Hub& hub, CallExecutor& executor, Guard guard) : hub_(hub), executor_(executor), guard_(std::move(guard)) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Summary(grpc::CallbackServerContext* context, const v1::SummaryRequest* request,
                                    v1::SummaryResponse* response) override;
  grpc::ServerBidiReactor<v1::ReportRequest, v1::ReportResponse>* Report(
      grpc::CallbackServerContext* context) override;

 private:
  hub::Hub& hub_;
  CallExecutor& executor_;
  const Guard guard_;
};

}  // namespace gatehouse::api
