#include "control/api/lockout_service.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/api/ask.h"
#include "control/api/deed.h"
#include "gateway/base/escape.h"

namespace gatehouse::api {
namespace {

constexpr int kMaxListed = 10'000;

// How the answers of one gateway join those of the others; returns how many entries they were.
uint64_t Join(v1::Answer& answer, const std::string& gateway, v1::ListLockoutsResponse* sum) {
  v1::ListLockoutsResponse& one = *answer.mutable_list_lockouts();
  const auto entries = static_cast<uint64_t>(one.lockouts_size());
  sum->set_left_out(sum->left_out() + one.left_out());
  for (v1::Lockout& lockout : *one.mutable_lockouts()) {
    lockout.set_gateway(gateway);
    sum->add_lockouts()->Swap(&lockout);
  }
  return entries + one.left_out();
}
uint64_t Join(v1::Answer& answer, const std::string&, v1::ClearLockoutsResponse* sum) {
  sum->set_cleared(sum->cleared() + answer.clear_lockouts().cleared());
  return answer.clear_lockouts().cleared();
}

// Gathered is the answers of several gateways to one question.
template <typename Response>
class Gathered {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Response>)>;
  Gathered(size_t gateways, Done done) : left_(gateways), done_(std::move(done)) {}

  void Add(const std::string& gateway, absl::StatusOr<v1::Answer> answer) {
    Done done;
    absl::StatusOr<Response> result = absl::UnknownError("");
    {
      MutexLock lock(&mutex_);
      v1::LockoutGateway* part = sum_.add_gateways();
      part->set_gateway(gateway);
      if (answer.ok()) {
        answered_ = true;
        part->set_entries(Join(*answer, gateway, &sum_));
      } else {
        part->set_error(std::string(answer.status().message()));
        failure_ = answer.status();
      }
      if (--left_ != 0) return;
      result = answered_ ? absl::StatusOr<Response>(std::move(sum_)) : failure_;
      done = std::move(done_);
    }
    done(std::move(result));
  }

 private:
  Mutex mutex_;
  size_t left_ ABSL_GUARDED_BY(mutex_);
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  Response sum_ ABSL_GUARDED_BY(mutex_);
  Done done_ ABSL_GUARDED_BY(mutex_);
};

// Asks `gateway`, or every connected one when that is empty; `done` runs once.
template <typename Response>
void AskGateways(publish::QuestionDesk& desk, const std::string& gateway, const v1::Question& question,
                 absl::Duration timeout, typename Gathered<Response>::Done done) {
  std::set<std::string> gateways = desk.Gateways();
  if (!gateway.empty()) gateways = {gateway};
  if (gateways.empty()) return done(absl::UnavailableError("no gateway is connected"));
  auto gathered = std::make_shared<Gathered<Response>>(gateways.size(), std::move(done));
  for (const std::string& name : gateways) {
    desk.Ask(name, question, timeout, [gathered, name](const std::string&, absl::StatusOr<v1::Answer> answer) {
      gathered->Add(name, std::move(answer));
    });
  }
}

// What waits longest first, however many gateways there are, and no more than a client takes.
void Arrange(v1::ListLockoutsResponse* response) {
  auto& lockouts = *response->mutable_lockouts();
  const auto until = [](const v1::Lockout& l) {
    return std::pair(l.refused_until().seconds(), l.refused_until().nanos());
  };
  std::stable_sort(lockouts.begin(), lockouts.end(),
                   [&](const v1::Lockout& a, const v1::Lockout& b) { return until(a) > until(b); });
  if (lockouts.size() <= kMaxListed) return;
  response->set_left_out(response->left_out() + static_cast<uint64_t>(lockouts.size() - kMaxListed));
  lockouts.DeleteSubrange(kMaxListed, lockouts.size() - kMaxListed);
}

std::string Described(const v1::ClearLockoutsRequest& request) {
  std::string text = "cleared lock-outs:";
  const auto add = [&](absl::string_view word, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&text, " ", word, " \"", EscapeText(value), "\"");
  };
  if (request.all()) text += " all of them";
  add("scheme", request.filter().scheme());
  add("user", request.filter().user());
  add("address", request.filter().address());
  add("gateway", request.gateway());
  return text;
}

// What came of it, gateway by gateway.
Act ActOf(const std::string& what, const v1::ClearLockoutsResponse& result) {
  Act act{"LockoutService/ClearLockouts", {absl::StrCat(what, ": ", result.cleared(), " entries")}};
  for (const v1::LockoutGateway& gateway : result.gateways()) {
    if (!gateway.error().empty()) {
      act.effects.push_back(absl::StrCat("not on gateway ", EscapeText(gateway.gateway()), ": ", EscapeText(gateway.error())));
    }
  }
  return act;
}

}  // namespace

grpc::ServerUnaryReactor* LockoutService::ListLockouts(grpc::CallbackServerContext* context,
                                                       const v1::ListLockoutsRequest* request,
                                                       v1::ListLockoutsResponse* response) {
  using Reactor = AskReactor<v1::ListLockoutsResponse>;
  auto* reactor = new Reactor(response);
  const std::shared_ptr<Reactor::Slot> slot = reactor->slot();
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.LockoutService/ListLockouts", request);
  if (!caller.ok()) {
    Reactor::End(*slot, caller.status());
    return reactor;
  }
  v1::Question question;
  *question.mutable_list_lockouts() = *request;
  AskGateways<v1::ListLockoutsResponse>(desk_, request->gateway(), question, TimeLeft(*context),
                                        [slot](absl::StatusOr<v1::ListLockoutsResponse> sum) {
                                          if (sum.ok()) Arrange(&*sum);
                                          Reactor::End(*slot, std::move(sum));
                                        });
  return reactor;
}

grpc::ServerUnaryReactor* LockoutService::ClearLockouts(grpc::CallbackServerContext* context,
                                                        const v1::ClearLockoutsRequest* request,
                                                        v1::ClearLockoutsResponse* response) {
  using Reactor = AskReactor<v1::ClearLockoutsResponse>;
  auto* reactor = new Reactor(response);
  const std::shared_ptr<Reactor::Slot> slot = reactor->slot();
  const std::string what = Described(*request);
  const absl::StatusOr<Caller> caller = guard_(*context, "/gatehouse.v1.LockoutService/ClearLockouts", request);
  if (!caller.ok()) {
    Reactor::End(*slot, caller.status());
    return reactor;
  }
  const v1::LockoutFilter& filter = request->filter();
  const bool chosen = !filter.scheme().empty() || !filter.user().empty() || !filter.address().empty();
  // A template that rendered nothing must not clear everything.
  if (chosen == request->all()) {
    Reactor::End(*slot, absl::InvalidArgumentError(chosen ? "all: is set, and so is a filter: one of them is meant"
                                                          : "filter: says nothing; name a scheme, a user or an address, "
                                                            "or set `all`"));
    return reactor;
  }
  v1::Question question;
  *question.mutable_clear_lockouts() = *request;
  if (absl::Status wanted = Begin(*caller); !wanted.ok()) {
    Reactor::End(*slot, wanted);
    return reactor;
  }
  // The ledger hears of it when the caller has gone, too.
  AskGateways<v1::ClearLockoutsResponse>(
      desk_, request->gateway(), question, TimeLeft(*context),
      [this, slot, what, by = *caller](absl::StatusOr<v1::ClearLockoutsResponse> sum) {
        if (!sum.ok()) {
          ledger_.Refused(by, "LockoutService/ClearLockouts", absl::Status(sum.status().code(), absl::StrCat(what, " ", sum.status().message())));
          return Reactor::End(*slot, std::move(sum));
        }
        // It is done: whoever gets no turn, or has lost his role meanwhile, is in the history all the same.
        executor_.Submit(by, [this, slot, by, act = ActOf(what, *sum), sum = *sum](const absl::StatusOr<Caller>&) {
          const absl::Status noted = ledger_.Append(by, act);
          Reactor::End(*slot, noted.ok() ? absl::StatusOr<v1::ClearLockoutsResponse>(sum) : noted);
        });
      });
  return reactor;
}

}  // namespace gatehouse::api
