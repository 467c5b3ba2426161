#include "client/cli/progress.h"

#include <ostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/style.h"
#include "gateway/base/escape.h"

namespace gatehouse::cli {
namespace {

constexpr absl::Duration kBefore = absl::Milliseconds(500);
constexpr absl::Duration kBetween = absl::Milliseconds(200);

}  // namespace

Progress::Progress(Context& context, std::function<void(Progress&)> ask) : context_(context), ask_(std::move(ask)) {
  if (context_.streams.err_is_terminal) thread_ = std::thread([this] { Run(); });
}

void Progress::Say(std::string text) {
  MutexLock lock(&mutex_);
  text_ = std::move(text);
}

void Progress::Stop() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Progress::Run() {
  const absl::Time began = absl::Now();
  bool shown = false;
  while (true) {
    std::string text;
    {
      MutexLock lock(&mutex_);
      const absl::Time until = absl::Now() + (shown ? kBetween : kBefore);
      while (!stopped_ && absl::Now() < until) changed_.WaitFor(&mutex_, until - absl::Now());
      if (stopped_) break;
    }
    if (ask_) ask_(*this);
    {
      MutexLock lock(&mutex_);
      text = text_;
    }
    if (text.empty()) continue;
    shown = true;
    context_.err() << "\r\033[K" << Style(context_.error_color).Dim(absl::StrCat(
                          text, absl::StrFormat("  (%.0f s)", absl::ToDoubleSeconds(absl::Now() - began))));
    context_.err().flush();
  }
  if (shown) context_.err() << "\r\033[K";
  context_.err().flush();
}

std::string BytesText(size_t done, size_t all) {
  constexpr double kMebibyte = 1024.0 * 1024.0;
  return absl::StrFormat("%.1f of %.1f MiB", static_cast<double>(done) / kMebibyte, static_cast<double>(all) / kMebibyte);
}

std::string WaitingText(const v1::Status& status, uint64_t revision) {
  constexpr size_t kShown = 3;
  std::vector<std::string> names;
  size_t all = 0;
  for (const v1::GatewayStatus& gateway : status.gateways()) {
    if (!gateway.connected() || gateway.acknowledged_revision() >= revision) continue;
    if (++all <= kShown) names.push_back(EscapeText(gateway.name()));
  }
  if (all == 0) return "waiting for gateways";
  return absl::StrCat("waiting for ", absl::StrJoin(names, ", "), all > kShown ? absl::StrCat(" and ", all - kShown, " more") : "");
}

}  // namespace gatehouse::cli
