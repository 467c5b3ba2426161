#include "gateway/fetch/transfer.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace gatehouse::fetch {
namespace {

constexpr size_t kMaxHeaderBytes = 64 * 1024;  // of all answers on the way
constexpr long kLowSpeed = 512;                // octets a second
// Beyond the document: heads, and the bodies of redirects, which nobody reads.
constexpr size_t kMaxOverhead = 256 * 1024;

std::string TextOf(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "an address of another family";
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text, sizeof text);
  }
  return text;
}

std::string Part(CURLU* url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  std::string out;
  if (curl_url_get(url, part, &text, flags) == CURLUE_OK && text != nullptr) out = text;
  curl_free(text);
  return out;
}

}  // namespace

absl::string_view FetchErrorName(FetchError error) {
  switch (error) {
    case FetchError::kNone: return "ok";
    case FetchError::kNotPermitted: return "not permitted";
    case FetchError::kUnreachable: return "unreachable";
    case FetchError::kTimedOut: return "timed out";
    case FetchError::kTooLarge: return "too large";
    case FetchError::kBadAnswer: return "bad answer";
    case FetchError::kOverloaded: return "overloaded";
  }
  return "";
}

std::string HostOf(absl::string_view url) {
  constexpr size_t kMaxUrl = 2048;
  if (url.empty() || url.size() > kMaxUrl) return "";
  for (unsigned char c : url) {
    if (c <= 0x20 || c == 0x7f) return "";
  }
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  if (parsed == nullptr ||
      curl_url_set(parsed.get(), CURLUPART_URL, std::string(url).c_str(), CURLU_DISALLOW_USER) != CURLUE_OK) {
    return "";
  }
  const std::string scheme = Part(parsed.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return "";
  const std::string host = Part(parsed.get(), CURLUPART_HOST);
  if (host.empty()) return "";
  return absl::AsciiStrToLower(absl::StrCat(host, ":", Part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT)));
}

Transfer::Transfer(FetchRequest request, std::string host, Done done)
    : request_(std::move(request)), host_(std::move(host)), begun_(SteadyNow()), done_(std::move(done)) {
  if (request_.rules == nullptr) request_.rules = std::make_shared<const AddressRules>();
}

Transfer::~Transfer() {
  if (handle_ != nullptr) curl_easy_cleanup(handle_);
  curl_slist_free_all(headers_);
}

CURL* Transfer::Prepare() {
  handle_ = curl_easy_init();
  if (handle_ == nullptr) return nullptr;
  bool ok = true;
  const auto set = [this, &ok](CURLoption option, auto value) {
    ok = ok && curl_easy_setopt(handle_, option, value) == CURLE_OK;
  };
  set(CURLOPT_URL, request_.url.c_str());
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(error_));
  set(CURLOPT_USERAGENT, "gatehouse");
  set(CURLOPT_NOSIGNAL, 1L);
  // A resolver that hangs is left behind and not waited for: this thread is everybody's.
  set(CURLOPT_QUICK_EXIT, 1L);

  // Nothing but plain http and https, nothing of the environment, nothing remembered.
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FRESH_CONNECT, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
  set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::OnSocket);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));

  set(CURLOPT_FOLLOWLOCATION, request_.max_redirects > 0 ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, static_cast<long>(request_.max_redirects));
  set(CURLOPT_POSTREDIR, static_cast<long>(CURL_REDIR_POST_ALL));

  const int64_t left = std::max<int64_t>(1, absl::ToInt64Milliseconds(Until(deadline())));
  const int64_t connect = std::max<int64_t>(1, absl::ToInt64Milliseconds(request_.connect_timeout));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(left));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::min(left, connect)));
  set(CURLOPT_LOW_SPEED_LIMIT, kLowSpeed);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::max<int64_t>(1, absl::ToInt64Seconds(request_.stall))));

  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(request_.max_bytes));
  set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(this));
  set(CURLOPT_NOPROGRESS, 0L);

  const auto header = [this, &ok](const std::string& line) {
    curl_slist* longer = curl_slist_append(headers_, line.c_str());
    ok = ok && longer != nullptr;
    if (longer != nullptr) headers_ = longer;
  };
  header(absl::StrCat("Accept: ", request_.accept.empty() ? "*/*" : request_.accept));
  if (!request_.body.empty()) {
    header(absl::StrCat("Content-Type: ", request_.content_type));
    header("Expect:");  // small enough to be sent at once
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDS, request_.body.data());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
  }
  set(CURLOPT_HTTPHEADER, headers_);
  return ok ? handle_ : nullptr;
}

size_t Transfer::OnBody(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const size_t n = size * count;
  if (n > transfer->request_.max_bytes - transfer->body_.size()) {
    transfer->too_large_ = true;
    return 0;
  }
  transfer->body_.append(data, n);
  return n;
}

size_t Transfer::OnHeader(char*, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  transfer->header_bytes_ += size * count;
  if (transfer->header_bytes_ > kMaxHeaderBytes) {
    transfer->too_large_ = true;
    return 0;
  }
  return size * count;
}

int Transfer::OnProgress(void* self, curl_off_t, curl_off_t now, curl_off_t, curl_off_t) {
  auto* transfer = static_cast<Transfer*>(self);
  if (static_cast<size_t>(now) <= transfer->request_.max_bytes + kMaxOverhead) return 0;
  transfer->too_large_ = true;
  return 1;
}

curl_socket_t Transfer::OnSocket(void* self, curlsocktype, curl_sockaddr* address) {
  auto* transfer = static_cast<Transfer*>(self);
  if (!transfer->request_.rules->Permits(&address->addr)) {
    transfer->denied_address_ = TextOf(&address->addr);
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

FetchResult Transfer::ResultOf(CURLcode code) {
  FetchResult result;
  const auto fail = [&](FetchError error, absl::string_view detail) {
    result.error = error;
    result.detail = std::string(detail);
    return result;
  };
  const absl::string_view words = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
  if (too_large_) return fail(FetchError::kTooLarge, absl::StrCat("over ", request_.max_bytes, " bytes"));
  switch (code) {
    case CURLE_OK: break;
    case CURLE_FILESIZE_EXCEEDED:
      return fail(FetchError::kTooLarge, absl::StrCat("over ", request_.max_bytes, " bytes"));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED:
    case CURLE_TOO_MANY_REDIRECTS: return fail(FetchError::kNotPermitted, words);
    case CURLE_OPERATION_TIMEDOUT: return fail(FetchError::kTimedOut, words);
    case CURLE_COULDNT_CONNECT:
      if (!denied_address_.empty()) {
        return fail(FetchError::kNotPermitted,
                    absl::StrCat("the address ", denied_address_, " is in a denied range"));
      }
      return fail(FetchError::kUnreachable, words);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_BAD_CONTENT_ENCODING: return fail(FetchError::kBadAnswer, words);
    default: return fail(FetchError::kUnreachable, words);
  }
  long status = 0;
  curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) return fail(FetchError::kBadAnswer, absl::StrCat("status ", status));
  result.body = std::move(body_);
  return result;
}

void Transfer::Finish(CURLcode code) {
  FetchResult result = ResultOf(code);
  result.took = Since(begun_);
  done_(std::move(result));
}

void Transfer::Fail(FetchError error, absl::string_view detail) {
  FetchResult result;
  result.error = error;
  result.detail = std::string(detail);
  result.took = Since(begun_);
  done_(std::move(result));
}

}  // namespace gatehouse::fetch
