#include "control/events/find_event.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/steady.h"
#include "gateway/base/mutex.h"
#include "gatehouse/v1/event_service.pb.h"

namespace gatehouse::hub {
namespace {

constexpr size_t kMaxRequestId = 64;
constexpr size_t kLook = 1024;  // events at once
constexpr size_t kLookBytes = 1024 * 1024;
constexpr absl::Duration kPatience = absl::Seconds(5);  // with the archive

// The archive's answer, waited for.
class Answered {
 public:
  void Tell() {
    MutexLock lock(&mutex_);
    told_ = true;
    changed_.SignalAll();
  }
  bool Await() {
    MutexLock lock(&mutex_);
    const SteadyTime until = SteadyAfter(kPatience);
    while (!told_ && SteadyNow() < until) changed_.WaitFor(&mutex_, Until(until));
    return std::exchange(told_, false);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
};

// Events from `first` on, `most` at a time, until `visit` says that it has seen enough.
template <typename Visit>
absl::Status Read(Hub& hub, uint64_t first, size_t most, Visit visit) {
  v1::WatchRequest request;
  request.mutable_after()->set_incarnation(hub.incarnation());
  request.mutable_after()->set_sequence(first - 1);
  Answered answered;
  absl::StatusOr<std::unique_ptr<Watcher>> watcher = hub.Watch(request, [&answered] { answered.Tell(); });
  if (!watcher.ok()) return watcher.status();
  for (;;) {
    std::vector<Watcher::Piece> pieces;
    const Watcher::Taken taken = (*watcher)->Next(most, kLookBytes, &pieces);
    std::string wire;
    for (const Watcher::Piece& piece : pieces) wire.append(piece.bytes.data(), piece.bytes.size());
    if (taken.events > 0 && !visit(wire)) return absl::OkStatus();
    if (!taken.more && !(taken.asked && answered.Await())) return absl::OkStatus();
  }
}

}  // namespace

absl::StatusOr<v1::Event> FindEvent(Hub& hub, absl::string_view id) {
  const size_t colon = id.find(':');
  const absl::string_view word = id.substr(0, colon);
  if (word.empty() || id.size() > kMaxRequestId ||
      !std::all_of(word.begin(), word.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); })) {
    return absl::InvalidArgumentError("event: neither a cursor (INCARNATION:SEQUENCE) nor a request id");
  }
  const absl::Status gone = absl::NotFoundError(
      absl::StrCat("event: \"", id, "\" is not among the events that are kept (any more)"));
  std::optional<v1::Event> found;
  v1::WatchResponse parsed;
  if (colon != absl::string_view::npos) {
    uint64_t sequence = 0;
    if (!absl::SimpleAtoi(id.substr(colon + 1), &sequence) || sequence == 0) {
      return absl::InvalidArgumentError("event: the part behind the colon is no sequence number");
    }
    if (word != hub.incarnation()) return gone;
    const absl::Status status = Read(hub, sequence, 1, [&](const std::string& wire) {
      parsed.ParseFromString(wire);
      for (v1::Event& event : *parsed.mutable_events()) {
        if (event.cursor().sequence() == sequence && event.type() != v1::Event::GAP) found = std::move(event);
      }
      return false;
    });
    if (!status.ok() && !absl::IsOutOfRange(status)) return status;
    if (!found.has_value()) return gone;
    return *std::move(found);
  }
  const absl::Status status = Read(hub, hub.oldest(), kLook, [&](const std::string& wire) {
    if (!absl::StrContains(wire, id)) return true;
    parsed.ParseFromString(wire);
    for (v1::Event& event : *parsed.mutable_events()) {
      if (event.request().request_id() == id) found = std::move(event);
    }
    return true;
  });
  if (!status.ok() && !absl::IsOutOfRange(status)) return status;
  if (!found.has_value()) return gone;
  return *std::move(found);
}

}  // namespace gatehouse::hub
