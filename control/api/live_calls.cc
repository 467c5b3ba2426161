#include "control/api/live_calls.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::api {
namespace {

constexpr size_t kMaxAccounts = 10'000;
constexpr size_t kMaxStrangers = kMaxAccounts / 2;  // however many come, who has a name gets in
constexpr std::chrono::seconds kForgetAfter{60};

// CallCounter lives as long as its call does.
class CallCounter final : public grpc::experimental::Interceptor {
 public:
  CallCounter(std::shared_ptr<LiveCalls> calls, grpc::ServerContextBase* context)
      : calls_(std::move(calls)), key_(context), number_(calls_->Begin(context)) {}
  ~CallCounter() override { calls_->End(key_, number_); }
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      calls_->Finishing(key_, number_, absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()));
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<LiveCalls> calls_;
  const LiveCalls::Key key_;
  const uint64_t number_;
};

class CallCounterFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallCounterFactory(std::shared_ptr<LiveCalls> calls) : calls_(std::move(calls)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    return new CallCounter(calls_, info->server_context());
  }

 private:
  const std::shared_ptr<LiveCalls> calls_;
};

}  // namespace

struct LiveCalls::Notice {
  Mutex mutex;
  std::function<void(const absl::Status&)> end ABSL_GUARDED_BY(mutex);  // null: given, or nobody is there any more

  bool Give(const absl::Status& why) {
    MutexLock lock(&mutex);
    if (end == nullptr) return false;
    std::exchange(end, nullptr)(why);
    return true;
  }
};

class LiveCalls::NoticeAdmission final : public Admission {
 public:
  explicit NoticeAdmission(std::shared_ptr<Notice> notice) : notice_(std::move(notice)) {}
  ~NoticeAdmission() override {
    MutexLock lock(&notice_->mutex);
    notice_->end = nullptr;
  }

 private:
  const std::shared_ptr<Notice> notice_;
};

uint64_t LiveCalls::Begin(grpc::ServerContextBase* context) {
  MutexLock lock(&mutex_);
  // The context of a call that has ended may be used again before its interceptor is gone.
  auto [it, fresh] = records_.try_emplace(context);
  if (!fresh) {
    Leave(it->second);
    it->second = Record();
  }
  it->second.number = ++last_;
  it->second.context = context;
  it->second.began = std::chrono::steady_clock::now();
  return last_;
}

void LiveCalls::Finishing(Key key, uint64_t number, const absl::Status& status) {
  std::shared_ptr<Deed> deed;
  {
    MutexLock lock(&mutex_);
    auto it = records_.find(key);
    if (it == records_.end() || it->second.number != number) return;
    it->second.ending = true;
    deed = it->second.deed;
  }
  if (deed != nullptr) deed->End(status);
}

void LiveCalls::End(Key key, uint64_t number) {
  MutexLock lock(&mutex_);
  auto it = records_.find(key);
  if (it == records_.end() || it->second.number != number) return;
  Leave(it->second);
  records_.erase(it);
}

void LiveCalls::Leave(const Record& record) {
  if (record.method == nullptr) return;
  octets_ -= record.octets;
  auto it = accounts_.find(record.identity->Account());
  if (it == accounts_.end()) return;
  it->second.octets -= record.octets;
  --(record.method->server_streaming ? it->second.streams : it->second.calls);
}

// Forgets callers that have nothing running and did not call lately, when there are too many.
bool LiveCalls::MakeRoom(size_t most, Instant now) {
  if (accounts_.size() < most) return true;
  for (auto it = accounts_.begin(); it != accounts_.end();) {
    const bool idle = it->second.calls + it->second.streams == 0 && now - it->second.refilled > kForgetAfter;
    it = idle ? accounts_.erase(it) : std::next(it);
  }
  return accounts_.size() < most;
}

void LiveCalls::Refill(Account& account, const CallerLimits& limits, Instant now) {
  const double passed = std::max(std::chrono::duration<double>(now - account.refilled).count(), 0.0);
  account.tokens = std::min(limits.burst, account.tokens + passed * limits.calls_per_second);
  const auto a_minute = static_cast<double>(limits.octets_per_minute);
  account.octet_tokens = std::min(a_minute, account.octet_tokens + passed * a_minute / 60);
  account.refilled = now;
}

absl::Status LiveCalls::Weigh(const std::string& name, Account& account, const CallerLimits& limits, uint64_t octets) {
  const uint64_t held = account.octets + octets;
  if (held > limits.octets_at_once) {
    return absl::ResourceExhaustedError(
        absl::StrCat(name, ": requests of calls that run would hold ", held, " octets, of ", limits.octets_at_once,
                     " that one caller may have held (--max-caller-memory); send less at once, or wait for those calls to end"));
  }
  if (octets_ + octets > octets_of_all_ && held > limits.octets_reserved) {
    return absl::ResourceExhaustedError(
        absl::StrCat("requests of all callers would hold ", octets_ + octets, " octets, of ", octets_of_all_,
                     " that may be held (--max-request-memory); try again when other calls have ended"));
  }
  if (static_cast<double>(octets) > account.octet_tokens) {
    return absl::ResourceExhaustedError(absl::StrCat(name, ": more than ", limits.octets_per_minute,
                                                     " octets a minute (--max-caller-minute); send less, or less often"));
  }
  account.octet_tokens -= static_cast<double>(octets);
  return absl::OkStatus();
}

absl::Status LiveCalls::Hold(Key key, const CallerLimits& limits, size_t octets, Instant now) {
  MutexLock lock(&mutex_);
  auto record = records_.find(key);
  if (record == records_.end() || record->second.method == nullptr) return absl::OkStatus();
  const std::string name = record->second.identity->Account();
  auto account = accounts_.find(name);
  if (account == accounts_.end()) return absl::OkStatus();
  Refill(account->second, limits, now);
  absl::Status weighed = Weigh(name, account->second, limits, octets);
  if (!weighed.ok()) return weighed;
  account->second.octets += octets;
  record->second.octets += octets;
  octets_ += octets;
  return absl::OkStatus();
}

std::shared_ptr<Deed> LiveCalls::SetDeed(Key key, std::shared_ptr<Deed> deed) {
  MutexLock lock(&mutex_);
  auto it = records_.find(key);
  if (it == records_.end()) return deed;
  if (it->second.deed == nullptr) it->second.deed = std::move(deed);
  return it->second.deed;
}

std::shared_ptr<Deed> LiveCalls::DeedOf(Key key) const {
  MutexLock lock(&mutex_);
  auto it = records_.find(key);
  return it == records_.end() ? nullptr : it->second.deed;
}

absl::Status LiveCalls::Enter(Key key, const Method& method, std::shared_ptr<const Identity> identity,
                              const CallerLimits& limits, size_t octets, Instant now) {
  const std::string name = identity->Account();
  MutexLock lock(&mutex_);
  auto record = records_.find(key);
  const bool known = record != records_.end();
  if (known && record->second.method != nullptr) return absl::OkStatus();
  auto it = accounts_.find(name);
  if (it == accounts_.end()) {
    const bool stranger = identity->kind == Identity::Kind::kNobody;
    if (!MakeRoom(stranger ? kMaxStrangers : kMaxAccounts, now)) return absl::ResourceExhaustedError("too many callers at once; try again in a minute");
    it = accounts_
             .emplace(name, Account{.tokens = limits.burst, .refilled = now, .octet_tokens = static_cast<double>(limits.octets_per_minute)})
             .first;
  }
  Account& account = it->second;
  Refill(account, limits, now);
  if (account.tokens < 1) {
    return absl::ResourceExhaustedError(absl::StrCat(name, ": more than ", limits.calls_per_second,
                                                     " calls a second; call less often, or many things in one call"));
  }
  size_t& running = method.server_streaming ? account.streams : account.calls;
  const size_t most = method.server_streaming ? limits.streams_at_once : limits.calls_at_once;
  if (known && running >= most) {
    return absl::ResourceExhaustedError(absl::StrCat(name, ": ", running, method.server_streaming ? " streams" : " calls",
                                                     " run at once already; end some, or wait for them"));
  }
  account.tokens -= 1;
  absl::Status weighed = Weigh(name, account, limits, octets);
  if (!weighed.ok()) return weighed;
  if (!known) return absl::OkStatus();
  ++running;
  account.octets += octets;
  octets_ += octets;
  record->second.octets = octets;
  record->second.method = &method;
  record->second.identity = std::move(identity);
  return absl::OkStatus();
}

std::unique_ptr<Admission> LiveCalls::Admit(Key key, std::function<void(const absl::Status&)> end) {
  auto notice = std::make_shared<Notice>();
  {
    MutexLock lock(&notice->mutex);
    notice->end = std::move(end);
  }
  MutexLock lock(&mutex_);
  auto it = records_.find(key);
  if (it != records_.end()) it->second.notice = notice;
  return std::make_unique<NoticeAdmission>(std::move(notice));
}

std::vector<LiveCalls::Stream> LiveCalls::Streams() const {
  std::vector<Stream> streams;
  MutexLock lock(&mutex_);
  for (const auto& [key, record] : records_) {
    if (record.method == nullptr || !record.method->server_streaming || record.ending) continue;
    streams.push_back({key, record.number, record.method, record.identity});
  }
  return streams;
}

bool LiveCalls::Revoke(const Stream& stream, const absl::Status& why) {
  std::shared_ptr<Notice> notice;
  {
    MutexLock lock(&mutex_);
    auto it = records_.find(stream.key);
    if (it == records_.end() || it->second.number != stream.number || it->second.ending) return false;
    if (std::exchange(it->second.revoked, true)) return false;
    notice = it->second.notice;
    if (notice == nullptr) it->first->TryCancel();
  }
  // Whoever does not hear it any more is on the way out.
  if (notice != nullptr) notice->Give(why);
  return true;
}

size_t LiveCalls::EndOlder(Instant now, absl::Duration longest) {
  const Instant before = now - absl::ToChronoNanoseconds(longest);
  const std::string text = absl::StrCat("the call took longer than ", absl::FormatDuration(longest));
  size_t ended = 0;
  MutexLock lock(&mutex_);
  for (auto& [key, record] : records_) {
    if (record.method == nullptr || record.method->server_streaming || record.ending || record.began >= before) continue;
    std::string why = text;
    if (record.deed != nullptr) {
      absl::StrAppend(&why, "; nothing was changed");
      if (!record.deed->Stop(absl::DeadlineExceededError(why))) continue;
    }
    // What TryCancel does, with a status that says more.
    grpc_call_cancel_with_status(record.context->c_call(), GRPC_STATUS_DEADLINE_EXCEEDED, why.c_str(), nullptr);
    ++ended;
  }
  return ended;
}

LiveCalls::Load LiveCalls::LoadOf(const std::string& account) const {
  MutexLock lock(&mutex_);
  auto it = accounts_.find(account);
  return it == accounts_.end() ? Load() : Load{it->second.calls, it->second.streams, it->second.octets};
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallCounter(std::shared_ptr<LiveCalls> calls) {
  return std::make_unique<CallCounterFactory>(std::move(calls));
}

}  // namespace gatehouse::api
