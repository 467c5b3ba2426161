#include "control/api/hash_renewals.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/base/escape.h"
#include "gateway/config/build_user_stores.h"

namespace gatehouse::api {
namespace {

constexpr char kMethod[] = "UserService/RenewHash";
constexpr size_t kMaxNamed = 5;

std::string Message(std::vector<std::string> users) {
  const size_t count = users.size();
  if (users.size() > kMaxNamed) {
    users.resize(kMaxNamed);
    users.push_back("...");
  }
  for (std::string& user : users) user = EscapeText(user);
  return std::string(Beginning(absl::StrCat("new hashes for old passwords on login, ", count, count == 1 ? " user: " : " users: ",
                                            absl::StrJoin(users, ", ")),
                               1024));
}

}  // namespace

HashRenewals::HashRenewals(Changes& changes, Ledger& ledger, Options options)
    : changes_(changes), ledger_(ledger), options_(options), thread_([this] { Run(); }) {}

HashRenewals::~HashRenewals() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

absl::Status HashRenewals::Offer(const Caller& by, std::string user_store, std::string user, Secret password) {
  Waiting offer{by, std::move(user_store), std::move(user), std::move(password)};
  offer.by.deed = nullptr;  // what comes of it is told when the call has ended
  MutexLock lock(&mutex_);
  if (users_.contains(offer.key())) return absl::OkStatus();
  if (waiting_.size() >= options_.max_waiting) {
    return absl::ResourceExhaustedError("too many hashes wait to be renewed; offer it at the next login");
  }
  users_.insert(offer.key());
  waiting_.push_back(std::move(offer));
  changed_.SignalAll();
  return absl::OkStatus();
}

bool HashRenewals::Take(SteadyTime until, Waiting* next) {
  MutexLock lock(&mutex_);
  while (!stopping_ && waiting_.empty()) {
    if (SteadyNow() >= until) return false;
    changed_.WaitFor(&mutex_, Until(until));
  }
  if (stopping_) return false;
  *next = std::move(waiting_.front());
  waiting_.pop_front();
  users_.erase(next->key());
  return true;
}

void HashRenewals::Run() {
  SteadyTime until = SteadyAfter(absl::InfiniteDuration());
  for (;;) {
    Waiting next;
    const bool took = Take(until, &next);
    if (took) {
      const bool first = made_.empty();
      Renew(next);
      if (first && !made_.empty()) until = SteadyAfter(options_.gather);
    }
    if (!made_.empty() && (!took || made_.size() >= options_.max_gathered || SteadyNow() >= until)) {
      Write();
      until = SteadyAfter(absl::InfiniteDuration());
    }
    MutexLock lock(&mutex_);
    if (stopping_) return;
  }
}

void HashRenewals::Renew(const Waiting& offer) {
  const store::StateRef state = changes_.Current();
  const absl::StatusOr<const v1::UserStore*> store = FindUserStore(*state, offer.user_store);
  if (!store.ok() || !(*store)->hashing().renew_on_login()) return;
  const v1::User* user = FindUser(**store, offer.user);
  if (user == nullptr) return;
  const credentials::PasswordHashing hashing = config::HashingOf((*store)->hashing());
  bool tried = false;
  for (const std::string& hash : user->password_hashes()) {
    const absl::StatusOr<credentials::HashCost> cost = credentials::ParseHash(hash);
    if (!cost.ok() || !hashing.IsWeaker(*cost)) continue;
    tried = true;
    if (!credentials::VerifyPassword(hash, offer.password.Reveal())) continue;
    // The rules for new passwords do not hold: it is no new one.
    auto renewed = credentials::HashPassword(hashing.kind, offer.password.Reveal(), hashing.options);
    if (renewed.ok()) {
      made_.push_back({offer.by, {offer.user_store, offer.user, hash, *std::move(renewed)}});
    }
    return;
  }
  if (!tried) return;
  ledger_.Refused(offer.by, kMethod,
                  absl::PermissionDeniedError(absl::StrCat("the password offered for userStores[\"", offer.user_store,
                                                           "\"].users[\"", EscapeText(offer.user),
                                                           "\"] is not the user's")));
}

void HashRenewals::Write() {
  // Of one gateway, wherever it called from: the last place is told.
  std::map<std::string, std::pair<Caller, std::vector<HashChange>>> by_actor;
  for (Made& made : made_) {
    auto& [by, changes] = by_actor[made.by.name];
    by = std::move(made.by);
    changes.push_back(std::move(made.change));
  }
  made_.clear();
  for (const auto& [actor, entry] : by_actor) {
    const Caller& by = entry.first;
    const std::vector<HashChange>& changes = entry.second;
    WriteOptions options;
    options.actor = actor;
    options.peer = by.peer;
    options.method = kMethod;
    std::vector<std::string> users;
    for (const HashChange& change : changes) users.push_back(change.user);
    options.message = Message(users);
    options.begin = [&by] { return RolesNow(by).status(); };
    std::vector<std::string> renewed;
    auto outcome =
        changes_.Write(options, [&](Draft& draft) { return EditRenewHashes(changes, &renewed, draft); });
    if (!outcome.ok() || !renewed.empty()) ledger_.Wrote(by, outcome, options);
  }
}

}  // namespace gatehouse::api
