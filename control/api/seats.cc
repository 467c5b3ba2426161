#include "control/api/seats.h"

#include "absl/strings/str_cat.h"
#include "control/api/audit.h"

namespace gatehouse::api {

absl::StatusOr<std::unique_ptr<Seats::Seat>> Seats::Take(const Caller& who) {
  std::string account = AccountOf(who);
  MutexLock lock(&mutex_);
  if (taken_ >= most_) return absl::ResourceExhaustedError(absl::StrCat("there are ", most_, " ", what_, " already"));
  const auto it = of_one_.try_emplace(account, 0).first;
  if (it->second >= MostOfOne(most_)) {
    return absl::ResourceExhaustedError(absl::StrCat(account, " has ", it->second, " ", what_, " already; end some"));
  }
  ++it->second;
  ++taken_;
  return std::make_unique<Seat>(*this, std::move(account));
}

void Seats::Leave(const std::string& account) {
  MutexLock lock(&mutex_);
  --taken_;
  const auto it = of_one_.find(account);
  if (--it->second == 0) of_one_.erase(it);
}

}  // namespace gatehouse::api
