#include "gateway/fetch/curl_fetcher.h"

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/base/mutex.h"
#include "gateway/base/steady.h"
#include "gateway/fetch/transfer.h"

namespace gatehouse::fetch {
namespace {

void InitialiseOnce() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)code;  // what fails here fails again, with words, at each transfer
}

}  // namespace

class CurlFetcher::Transfers {
 public:
  explicit Transfers(CurlFetcherOptions options) : options_(options) {
    InitialiseOnce();
    multi_ = curl_multi_init();
    thread_ = std::thread([this] { Run(); });
  }

  ~Transfers() {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
    }
    curl_multi_wakeup(multi_);
    thread_.join();
    for (auto& [handle, transfer] : running_) curl_multi_remove_handle(multi_, handle);
    running_.clear();
    curl_multi_cleanup(multi_);
  }

  void Add(FetchRequest request, Transfer::Done done) {
    std::string host = HostOf(request.url);
    auto transfer = std::make_unique<Transfer>(std::move(request), std::move(host), std::move(done));
    {
      MutexLock lock(&mutex_);
      if (stopping_) return;
      added_.push_back(std::move(transfer));
    }
    curl_multi_wakeup(multi_);
  }

 private:
  struct Host {
    size_t running = 0;
    size_t waiting = 0;
  };

  void Run() {
    for (;;) {
      std::vector<std::unique_ptr<Transfer>> added;
      {
        MutexLock lock(&mutex_);
        if (stopping_) return;
        added = std::move(added_);
        added_.clear();
      }
      for (auto& transfer : added) Take(std::move(transfer));
      StartWaiting();
      int running = 0;
      curl_multi_perform(multi_, &running);
      TakeFinished();
      // Queued fetches run out of time by themselves; 100 ms is exact enough for them.
      curl_multi_poll(multi_, nullptr, 0, waiting_.empty() ? 1000 : 100, nullptr);
    }
  }

  void Take(std::unique_ptr<Transfer> transfer) {
    if (transfer->host().empty()) {
      transfer->Fail(FetchError::kNotPermitted, "not an http or https URL without user information");
    } else if (Host& host = hosts_[transfer->host()]; waiting_.size() >= options_.max_waiting ||
                                                      host.waiting >= options_.max_waiting_per_host) {
      transfer->Fail(FetchError::kOverloaded, "too many fetches wait");
    } else {
      ++host.waiting;
      waiting_.push_back(std::move(transfer));
    }
  }

  void StartWaiting() {
    const SteadyTime now = SteadyNow();
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      Host& host = hosts_[(*it)->host()];
      if ((*it)->deadline() <= now) {
        (*it)->Fail(FetchError::kTimedOut, "waited for other fetches");
      } else if (running_.size() >= options_.max_running || host.running >= options_.max_running_per_host) {
        ++it;
        continue;
      } else {
        Begin(std::move(*it), &host);
      }
      --host.waiting;
      it = waiting_.erase(it);
    }
    absl::erase_if(hosts_, [](const auto& entry) { return entry.second.running == 0 && entry.second.waiting == 0; });
  }

  void Begin(std::unique_ptr<Transfer> transfer, Host* host) {
    CURL* handle = transfer->Prepare();
    if (handle == nullptr || curl_multi_add_handle(multi_, handle) != CURLM_OK) {
      transfer->Fail(FetchError::kUnreachable, "libcurl refuses the transfer");
      return;
    }
    ++host->running;
    running_.emplace(handle, std::move(transfer));
  }

  void TakeFinished() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* handle = message->easy_handle;
      const CURLcode code = message->data.result;  // `message` dies with the handle's removal
      auto it = running_.find(handle);
      std::unique_ptr<Transfer> transfer = std::move(it->second);
      running_.erase(it);
      --hosts_[transfer->host()].running;
      curl_multi_remove_handle(multi_, handle);
      transfer->Finish(code);
    }
  }

  const CurlFetcherOptions options_;
  CURLM* multi_ = nullptr;
  // The thread's own.
  std::deque<std::unique_ptr<Transfer>> waiting_;
  absl::flat_hash_map<CURL*, std::unique_ptr<Transfer>> running_;
  absl::flat_hash_map<std::string, Host> hosts_;

  Mutex mutex_;
  std::vector<std::unique_ptr<Transfer>> added_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

CurlFetcher::CurlFetcher(CurlFetcherOptions options) : transfers_(std::make_unique<Transfers>(options)) {}

CurlFetcher::~CurlFetcher() = default;

void CurlFetcher::Fetch(FetchRequest request, absl::AnyInvocable<void(FetchResult)> done) {
  transfers_->Add(std::move(request), std::move(done));
}

}  // namespace gatehouse::fetch
