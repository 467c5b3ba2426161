// Transfer is one fetch as libcurl runs it: its easy handle with every option set, what came so far, and why it was
// stopped if we stopped it. Internal to fetch.
//
// Ownership:  owns the handle; must not move while a multi handle has it.
// Threading:  thread-compatible.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "gateway/base/steady.h"
#include "gateway/fetch/fetcher.h"

namespace gatehouse::fetch {

class Transfer {
 public:
  using Done = absl::AnyInvocable<void(FetchResult)>;

  Transfer(FetchRequest request, std::string host, Done done);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Prepare makes the handle, with what is left of the time; null when libcurl will not.
  CURL* Prepare();
  // Finish says what became of it and calls back.
  void Finish(CURLcode code);
  void Fail(FetchError error, absl::string_view detail);

  const std::string& host() const { return host_; }
  SteadyTime deadline() const { return begun_ + absl::ToChronoNanoseconds(request_.timeout); }

 private:
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static int OnProgress(void* self, curl_off_t total, curl_off_t now, curl_off_t, curl_off_t);
  static curl_socket_t OnSocket(void* self, curlsocktype purpose, curl_sockaddr* address);
  FetchResult ResultOf(CURLcode code);

  FetchRequest request_;
  const std::string host_;
  const SteadyTime begun_;
  Done done_;
  CURL* handle_ = nullptr;
  curl_slist* headers_ = nullptr;
  char error_[CURL_ERROR_SIZE] = {};
  std::string body_;
  size_t header_bytes_ = 0;
  bool too_large_ = false;
  std::string denied_address_;  // the last one that the rules refused
};

}  // namespace gatehouse::fetch
