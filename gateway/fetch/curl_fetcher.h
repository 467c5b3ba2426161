// CurlFetcher is the Fetcher of programs: libcurl, one thread for all transfers.
//
// No connection is used twice, so no address is reached that was not checked under the request's own rules. Proxies of
// the environment, netrc, cookies, authentication, compression and every protocol but http and https are off. https is
// verified against the system's authorities.
//
// Ownership:  owns its thread; the destructor gives up what runs, and calls nobody back.
// Threading:  thread-safe.
// Units:      limits as named.
#pragma once

#include <memory>

#include "gateway/fetch/fetcher.h"

namespace gatehouse::fetch {

struct CurlFetcherOptions {
  size_t max_running = 64;
  size_t max_running_per_host = 4;
  size_t max_waiting = 1024;
  size_t max_waiting_per_host = 128;  // a host that hangs does not fill the queue
};

class CurlFetcher final : public Fetcher {
 public:
  explicit CurlFetcher(CurlFetcherOptions options = {});
  ~CurlFetcher() override;

  void Fetch(FetchRequest request, absl::AnyInvocable<void(FetchResult)> done) override;

 private:
  class Transfers;
  const std::unique_ptr<Transfers> transfers_;
};

}  // namespace gatehouse::fetch
