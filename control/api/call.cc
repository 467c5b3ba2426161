#include "control/api/call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/validate/validate.h"
#include "gateway/base/escape.h"

namespace gatehouse::api {
namespace {

constexpr size_t kMaxMessageBytes = 2000;
constexpr size_t kMaxDetailBytes = 3500;
constexpr absl::Duration kDefaultWait = absl::Seconds(10);
constexpr absl::Duration kMaxWait = absl::Seconds(120);
constexpr absl::Duration kAnswer = absl::Milliseconds(200);  // from the end of a wait to the caller's deadline

// How many octets of the text fit into what clients take: gRPC sends all but visible ASCII as %XX.
size_t Fitting(const std::string& text) {
  size_t sent = 0;
  size_t n = 0;
  for (; n < text.size(); ++n) {
    const bool plain = text[n] >= ' ' && text[n] <= '~' && text[n] != '%';
    sent += plain ? 1 : 3;
    if (sent > kMaxMessageBytes) break;
  }
  return n;
}

// Cuts at the end of a line.
std::string CutMessage(const std::string& text) {
  const size_t fitting = Fitting(text);
  if (fitting == text.size()) return text;
  size_t end = text.rfind('\n', fitting);
  if (end == std::string::npos || end == 0) end = Beginning(text, fitting).size();
  const auto more = std::count(text.begin() + static_cast<ptrdiff_t>(end), text.end(), '\n');
  return absl::StrCat(text.substr(0, end), "\nand ", std::max<ptrdiff_t>(more, 1), " more");
}

std::string CutDetails(const std::vector<v1::Violation>& all) {
  v1::Violations kept;
  size_t bytes = 0;
  for (const v1::Violation& violation : all) {
    bytes += violation.ByteSizeLong() + 4;
    if (bytes > kMaxDetailBytes) break;
    *kept.add_violations() = violation;
  }
  const size_t left = all.size() - static_cast<size_t>(kept.violations_size());
  if (left > 0) kept.add_violations()->set_message(absl::StrCat("and ", left, " more"));
  return kept.SerializeAsString();
}

}  // namespace

grpc::Status RespondStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::vector<v1::Violation> violations = validate::ViolationsOf(status);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), CutMessage(std::string(status.message())),
                      violations.empty() ? std::string() : CutDetails(violations));
}

void Ending::Finish(const absl::Status& status) {
  {
    MutexLock lock(&mutex_);
    if (state_ == State::kEnded) return;
    state_ = State::kEnded;
  }
  finish_(RespondStatus(status));
}

void Ending::FinishInForce(Publisher& publisher, uint64_t revision, const v1::WaitOptions& options,
                           v1::ForceStatus* slot) {
  if (!options.wait()) return Finish(absl::OkStatus());
  // Read before anybody may end the call: the options lie in the request.
  absl::Duration timeout =
      options.timeout_ms() == 0 ? kDefaultWait : std::min(absl::Milliseconds(options.timeout_ms()), kMaxWait);
  if (deadline_ != std::chrono::system_clock::time_point::max()) {
    const absl::Duration left = absl::FromChrono(deadline_ - std::chrono::system_clock::now()) - kAnswer;
    timeout = std::max(absl::ZeroDuration(), std::min(timeout, left));
  }
  bool cancelled = false;
  {
    MutexLock lock(&mutex_);
    state_ = State::kWaiting;
    cancelled = cancelled_;
  }
  if (cancelled) return Finish(absl::CancelledError("the caller went away; the change stands"));
  publisher.WaitInForce(revision, timeout, [self = shared_from_this(), slot](v1::ForceStatus force) {
    {
      MutexLock lock(&self->mutex_);
      if (self->state_ == State::kEnded) return;
      self->state_ = State::kEnded;
      *slot = std::move(force);
    }
    self->finish_(grpc::Status::OK);
  });
}

void Ending::Cancel() {
  {
    MutexLock lock(&mutex_);
    cancelled_ = true;
    if (state_ != State::kWaiting) return;
    state_ = State::kEnded;
  }
  finish_(grpc::Status(grpc::StatusCode::CANCELLED, "the caller went away; the change stands"));
}

}  // namespace gatehouse::api
