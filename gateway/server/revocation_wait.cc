#include "gateway/server/revocation_wait.h"

#include <utility>

namespace gatehouse::server {

RevocationWait::RevocationWait(loop::Loop* loop, RevocationDesk* desk, absl::AnyInvocable<void()> changed)
    : loop_(loop), desk_(desk), changed_(std::move(changed)), timer_(loop, [this] { OnTime(); }) {}

bool RevocationWait::Continue(const certs::Verdict& verdict, const certs::SchemeOptions& options) {
  if (state_ == State::kOver) return false;
  ticket_ = nullptr;
  if (desk_ != nullptr) {
    ticket_ = desk_->Ask(
        verdict.inquiries, options, state_ == State::kAskingAll,
        [loop = loop_](absl::AnyInvocable<void()> f) { loop->Post(std::move(f)); }, [this] { changed_(); });
  }
  if (ticket_ == nullptr) {
    Cancel();
    return false;
  }
  if (half_ == absl::ZeroDuration()) {
    half_ = options.revocation.timeout / 2;
    timer_.Start(half_);
  }
  return true;
}

void RevocationWait::OnTime() {
  if (state_ == State::kAsking) {
    state_ = State::kAskingAll;
    timer_.Start(half_);
  } else {
    Cancel();
  }
  changed_();
}

void RevocationWait::Cancel() {
  state_ = State::kOver;
  ticket_ = nullptr;
  timer_.Stop();
}

}  // namespace gatehouse::server
