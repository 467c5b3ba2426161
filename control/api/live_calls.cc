#include "control/api/live_calls.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::api {
namespace {

constexpr size_t kMaxAccounts = 10'000;
constexpr std::chrono::seconds kForgetAfter{60};

// CallCounter lives as long as its call does.
class CallCounter final : public grpc::experimental::Interceptor {
 public:
  CallCounter(std::shared_ptr<LiveCalls> calls, LiveCalls::Key key)
      : calls_(std::move(calls)), key_(key), number_(calls_->Begin(key)) {}
  ~CallCounter() override { calls_->End(key_, number_); }
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      calls_->Finishing(key_, number_);
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

uint64_t LiveCalls::Begin(Key key) {
  MutexLock lock(&mutex_);
  // The context of a call that has ended may be used again before its interceptor is gone.
  auto [it, fresh] = records_.try_emplace(key);
  if (!fresh) {
    Leave(it->second);
    it->second = Record();
  }
  it->second.number = ++last_;
  it->second.began = std::chrono::steady_clock::now();
  return last_;
}

void LiveCalls::Finishing(Key key, uint64_t number) {
  MutexLock lock(&mutex_);
  auto it = records_.find(key);
  if (it != records_.end() && it->second.number == number) it->second.ending = true;
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
  auto it = accounts_.find(record.identity->Account());
  if (it == accounts_.end()) return;
  --(record.method->server_streaming ? it->second.streams : it->second.calls);
}

// Forgets callers that have nothing running and did not call lately, when there are too many.
bool LiveCalls::MakeRoom(Instant now) {
  if (accounts_.size() < kMaxAccounts) return true;
  for (auto it = accounts_.begin(); it != accounts_.end();) {
    const bool idle = it->second.calls + it->second.streams == 0 && now - it->second.refilled > kForgetAfter;
    it = idle ? accounts_.erase(it) : std::next(it);
  }
  return accounts_.size() < kMaxAccounts;
}

absl::Status LiveCalls::Enter(Key key, const Method& method, std::shared_ptr<const Identity> identity,
                              const CallerLimits& limits, Instant now) {
  const std::string name = identity->Account();
  MutexLock lock(&mutex_);
  auto record = records_.find(key);
  const bool known = record != records_.end();
  if (known && record->second.method != nullptr) return absl::OkStatus();
  auto it = accounts_.find(name);
  if (it == accounts_.end()) {
    if (!MakeRoom(now)) return absl::ResourceExhaustedError("too many callers at once; try again in a minute");
    it = accounts_.emplace(name, Account{.tokens = limits.burst, .refilled = now}).first;
  }
  Account& account = it->second;
  const double passed = std::chrono::duration<double>(now - account.refilled).count();
  account.tokens = std::min(limits.burst, account.tokens + std::max(passed, 0.0) * limits.calls_per_second);
  account.refilled = now;
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
  if (!known) return absl::OkStatus();
  ++running;
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

void LiveCalls::Revoke(const Stream& stream, const absl::Status& why) {
  std::shared_ptr<Notice> notice;
  {
    MutexLock lock(&mutex_);
    auto it = records_.find(stream.key);
    if (it == records_.end() || it->second.number != stream.number || it->second.ending) return;
    notice = it->second.notice;
    if (notice == nullptr) return it->first->TryCancel();
  }
  // Whoever does not hear it any more is on the way out.
  notice->Give(why);
}

size_t LiveCalls::CancelOlder(Instant before) {
  size_t cancelled = 0;
  MutexLock lock(&mutex_);
  for (auto& [key, record] : records_) {
    if (record.method == nullptr || record.method->server_streaming || record.ending || record.began >= before) continue;
    key->TryCancel();
    ++cancelled;
  }
  return cancelled;
}

LiveCalls::Load LiveCalls::LoadOf(const std::string& account) const {
  MutexLock lock(&mutex_);
  auto it = accounts_.find(account);
  return it == accounts_.end() ? Load() : Load{it->second.calls, it->second.streams};
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallCounter(std::shared_ptr<LiveCalls> calls) {
  return std::make_unique<CallCounterFactory>(std::move(calls));
}

}  // namespace gatehouse::api
