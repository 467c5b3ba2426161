// GatewayStream is SnapshotService.Subscribe without gRPC: messages of one gateway in, messages to it out.
//
//   kAwaitingHello --Hello--> kServing --error, replaced--> kClosed
//
// Out go, in this order of preference: the keys of session tickets, questions, the pieces of the update under way, then that
// there is nothing newer. Nothing queues up: only the newest keys and one update at a time, and orders are bounded by the desk.
//
// Ownership:  distributor, desk and ring outlive the stream. After the destructor `wake` is not called any more.
// Threading:  Receive and Next each by one thread at a time; `wake` comes from any thread, also inside Receive, never
//             inside Next; it must be quick, may call Next, and must not destroy the stream.
// Errors:     Receive: INVALID_ARGUMENT (protocol), PERMISSION_DENIED (another's name); the stream is to be ended with it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "control/publish/distributor.h"
#include "control/publish/question_desk.h"
#include "control/publish/ticket_key_ring.h"
#include "gatehouse/v1/snapshot_service.pb.h"

namespace gatehouse::publish {

class GatewayStream {
 public:
  // Octets of a set in one chunk.
  static constexpr size_t kChunkBytes = 1024 * 1024;

  GatewayStream(Distributor& distributor, QuestionDesk& desk, TicketKeyRing& ticket_keys, std::string peer,
                std::function<void()> wake);
  ~GatewayStream();
  GatewayStream(const GatewayStream&) = delete;
  GatewayStream& operator=(const GatewayStream&) = delete;

  // The caller's certificate says that it is `name`, until `end`: no other Hello is taken. Before the first Receive.
  void Expect(std::string name, absl::Time end) {
    expected_ = std::move(name);
    certificate_end_ = end;
  }
  absl::Status Receive(v1::SubscribeRequest request);
  // Next makes the next message to send; false: nothing now, `wake` tells when.
  bool Next(v1::SubscribeResponse* out);
  // Set once the stream has to be ended from our side.
  std::optional<absl::Status> closed() const;

 private:
  class Lane;

  Distributor& distributor_;
  QuestionDesk& desk_;
  TicketKeyRing& ticket_keys_;
  const std::string peer_;
  std::string expected_;  // empty: any name
  absl::Time certificate_end_ = absl::InfiniteFuture();
  const std::shared_ptr<Lane> lane_;
  std::unique_ptr<Session> session_;  // null: kAwaitingHello
  std::unique_ptr<QuestionDesk::Line> line_;
  std::unique_ptr<TicketKeyRing::Line> key_line_;
};

}  // namespace gatehouse::publish
