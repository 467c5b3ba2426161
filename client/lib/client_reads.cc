// Client's calls that read streams: exports, resources as they change, what happened lately.
#include <deque>
#include <thread>
#include <utility>

#include "client/lib/calls.h"
#include "client/lib/client.h"
#include "gateway/base/mutex.h"
#include "gateway/base/status.h"
#include "gatehouse/v1/config_service.grpc.pb.h"
#include "gatehouse/v1/event_service.grpc.pb.h"

namespace gatehouse::client {

absl::StatusOr<Client::Exported> Client::Export(const v1::ExportRequest& request,
                                                absl::FunctionRef<absl::Status(v1::ConfigSet)> take) {
  auto stub = v1::ConfigService::NewStub(channel_);
  grpc::ClientContext context;
  SetDeadline(context, options_.call_timeout);
  std::unique_ptr<grpc::ClientReader<v1::ExportResponse>> reader = stub->Export(&context, request);
  Exported exported;
  absl::Status taken;
  v1::ExportResponse part;
  while (taken.ok() && reader->Read(&part)) {
    exported.revision = part.revision();
    exported.digest = part.digest();
    taken = take(std::move(*part.mutable_resources()));
  }
  if (!taken.ok()) context.TryCancel();
  const absl::Status status = FromGrpc(reader->Finish());
  GH_RETURN_IF_ERROR(taken);
  GH_RETURN_IF_ERROR(status);
  // Only the last part has it: a set that broke off is not the whole one.
  if (exported.digest.empty()) return absl::UnavailableError("the export ended before its last part");
  return exported;
}

absl::StatusOr<v1::CompareResponse> Client::Compare(uint64_t from, std::optional<uint64_t> to) {
  auto stub = v1::ConfigService::NewStub(channel_);
  v1::CompareRequest request;
  request.set_from_revision(from);
  if (to.has_value()) request.set_to_revision(*to);
  v1::CompareResponse response;
  GH_RETURN_IF_ERROR(Retried(options_, [&](auto& context) { return stub->Compare(&context, request, &response); }));
  return response;
}

absl::Status Client::WatchResources(const v1::WatchResourcesRequest& request,
                                    absl::FunctionRef<bool(const v1::WatchResourcesResponse&)> take) {
  auto stub = v1::ConfigService::NewStub(channel_);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  std::unique_ptr<grpc::ClientReader<v1::WatchResourcesResponse>> reader = stub->WatchResources(&context, request);
  v1::WatchResourcesResponse response;
  while (reader->Read(&response)) {
    if (take(response)) continue;
    context.TryCancel();
    static_cast<void>(reader->Finish());
    return absl::OkStatus();
  }
  return FromGrpc(reader->Finish());
}

absl::StatusOr<std::vector<v1::Event>> Client::RecentEvents(const v1::EventFilter& filter, absl::Time since, size_t limit,
                                                            absl::Duration patience) {
  auto stub = v1::EventService::NewStub(channel_);
  v1::WatchRequest request;
  *request.mutable_filter() = filter;
  request.mutable_since()->set_seconds(absl::ToUnixSeconds(since));
  request.set_from_oldest(true);
  grpc::ClientContext context;
  SetDeadline(context, options_.call_timeout);
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader = stub->Watch(&context, request);
  reader->WaitForInitialMetadata();

  Mutex mutex;
  CondVar changed;
  bool fresh = true, ended = false;
  // The stream has no end of its own: it is ended once nothing came for a while.
  std::thread patient([&] {
    MutexLock lock(&mutex);
    while (!ended && fresh) {
      fresh = false;
      const absl::Time until = absl::Now() + patience;
      while (!ended && absl::Now() < until) changed.WaitFor(&mutex, until - absl::Now());
    }
    if (!ended) context.TryCancel();
  });
  std::deque<v1::Event> events;
  v1::WatchResponse response;
  while (reader->Read(&response)) {
    for (v1::Event& event : *response.mutable_events()) {
      if (event.type() == v1::Event::GAP) continue;
      events.push_back(std::move(event));
      if (events.size() > limit) events.pop_front();
    }
    MutexLock lock(&mutex);
    fresh = true;
  }
  {
    MutexLock lock(&mutex);
    ended = true;
    changed.SignalAll();
  }
  patient.join();
  const absl::Status status = FromGrpc(reader->Finish());
  if (!status.ok() && !absl::IsCancelled(status)) return status;
  return std::vector<v1::Event>(std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
}

}  // namespace gatehouse::client
