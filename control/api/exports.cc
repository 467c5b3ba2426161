#include "control/api/exports.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::api {

absl::StatusOr<std::unique_ptr<Exports::Place>> Exports::Enter(const std::string& caller, std::function<void()> cancel, Instant now) {
  MutexLock lock(&mutex_);
  for (auto it = running_.begin(); it != running_.end();) {
    const std::optional<Instant> since = it->second.since;
    if (since.has_value() && absl::FromChrono(now - *since) > kPatience) {
      it->second.cancel();
      it = running_.erase(it);
    } else {
      ++it;
    }
  }
  const auto of_one = std::count_if(running_.begin(), running_.end(), [&](const auto& entry) { return entry.second.caller == caller; });
  if (static_cast<size_t>(of_one) >= kMostOfOne) {
    return absl::ResourceExhaustedError(
        absl::StrCat(caller, " has ", of_one, " exports running already: read them to their end or cancel them, then try again"));
  }
  if (running_.size() >= kMost) {
    return absl::ResourceExhaustedError(absl::StrCat("there are ", kMost, " exports running already; try again in a minute"));
  }
  auto place = std::make_unique<Place>(*this);
  running_[place.get()] = {caller, std::move(cancel), std::nullopt};
  return place;
}

Exports::Place::~Place() {
  MutexLock lock(&exports_.mutex_);
  exports_.running_.erase(this);
}

void Exports::Place::SetWaiting(std::optional<Instant> since) {
  MutexLock lock(&exports_.mutex_);
  if (const auto it = exports_.running_.find(this); it != exports_.running_.end()) it->second.since = since;
}

}  // namespace gatehouse::api
