// Against a server of our own that says exactly what a test wants it to.
#include "gateway/fetch/curl_fetcher.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gateway/base/mutex.h"

namespace gatehouse::fetch {
namespace {

using ::testing::HasSubstr;

// Answers each connection with what the script says for its path, and closes it.
class ScriptedServer {
 public:
  struct Answer {
    std::string bytes;
    bool hang = false;   // after the bytes, until the client goes
    std::string endless = {};  // sent again and again until the client goes
  };
  using Script = std::function<Answer(const std::string& request)>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { Accept(); });
  }
  ~ScriptedServer() {
    stop_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    accepting_.join();
    for (std::thread& t : serving_) t.join();
    ::close(listener_);
  }

  std::string Url(const std::string& path) const { return absl::StrCat("http://127.0.0.1:", port_, path); }
  std::vector<std::string> requests() {
    MutexLock lock(&mutex_);
    return requests_;
  }
  int most_at_once() const { return most_; }

 private:
  void Accept() {
    for (;;) {
      int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      serving_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  bool Gone(int fd) {
    pollfd p{fd, POLLIN, 0};
    char byte;
    return stop_ || (::poll(&p, 1, 20) > 0 && ::recv(fd, &byte, 1, 0) <= 0);
  }

  void Serve(int fd) {
    int now = ++open_;
    for (int seen = most_; seen < now && !most_.compare_exchange_weak(seen, now);) {
    }
    std::string request;
    char buffer[4096];
    size_t wanted = std::string::npos;
    while (request.size() < wanted) {
      ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      request.append(buffer, static_cast<size_t>(n));
      const size_t head = request.find("\r\n\r\n");
      if (head == std::string::npos) continue;
      const size_t length = request.find("Content-Length: ");
      wanted = head + 4 + (length < head ? std::strtoul(request.c_str() + length + 16, nullptr, 10) : 0);
    }
    {
      MutexLock lock(&mutex_);
      requests_.push_back(request);
    }
    const Answer answer = script_(request);
    const auto send = [fd](const std::string& bytes) {
      return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
    };
    bool sent = send(answer.bytes);
    while (sent && !answer.endless.empty() && !stop_) sent = send(answer.endless);
    while (answer.hang && !Gone(fd)) {
    }
    --open_;
    ::close(fd);
  }

  const Script script_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<int> open_{0}, most_{0};
  std::thread accepting_;
  std::vector<std::thread> serving_;
  Mutex mutex_;
  std::vector<std::string> requests_ ABSL_GUARDED_BY(mutex_);
};

ScriptedServer::Answer Ok(const std::string& body) {
  return {absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body)};
}
ScriptedServer::Answer Redirect(const std::string& to) {
  return {absl::StrCat("HTTP/1.1 302 Found\r\nLocation: ", to, "\r\nContent-Length: 0\r\n\r\n")};
}

AddressRulesRef LoopbackAllowed() {
  return std::make_shared<const AddressRules>(
      std::vector<AddressRange>{*ParseAddressRange("127.0.0.1"), *ParseAddressRange("::1")}, std::vector<AddressRange>{});
}

FetchRequest To(std::string url) {
  FetchRequest request;
  request.url = std::move(url);
  request.rules = LoopbackAllowed();
  request.max_bytes = 1000;
  return request;
}

FetchResult Await(Fetcher& fetcher, FetchRequest request) {
  std::promise<FetchResult> promise;
  fetcher.Fetch(std::move(request), [&promise](FetchResult result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

class CurlFetcherTest : public ::testing::Test {
 protected:
  FetchResult Get(ScriptedServer& server, const std::string& path = "/") {
    return Await(fetcher_, To(server.Url(path)));
  }
  CurlFetcher fetcher_;
};

TEST_F(CurlFetcherTest, ADocumentComesAsItIs) {
  ScriptedServer server([](const std::string&) { return Ok(std::string("a\0b", 3)); });
  FetchResult result = Get(server, "/crl");
  EXPECT_TRUE(result.ok()) << result.detail;
  EXPECT_EQ(result.body, std::string("a\0b", 3));
  const std::string request = server.requests().at(0);
  EXPECT_THAT(request, testing::StartsWith("GET /crl HTTP/1.1\r\n"));
  EXPECT_THAT(request, testing::Not(HasSubstr("Accept-Encoding")));
  EXPECT_THAT(request, testing::Not(HasSubstr("Cookie")));
}

TEST_F(CurlFetcherTest, ABodyIsPostedWithItsType) {
  ScriptedServer server([](const std::string&) { return Ok("fine"); });
  FetchRequest request = To(server.Url("/ocsp"));
  request.body = std::string("\0\1\2", 3);
  request.content_type = "application/ocsp-request";
  request.accept = "application/ocsp-response";
  EXPECT_EQ(Await(fetcher_, request).body, "fine");
  const std::string seen = server.requests().at(0);
  EXPECT_THAT(seen, testing::StartsWith("POST /ocsp HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("Content-Type: application/ocsp-request\r\n"));
  EXPECT_THAT(seen, HasSubstr("Accept: application/ocsp-response\r\n"));
  EXPECT_THAT(seen, testing::EndsWith(std::string("\r\n\r\n\0\1\2", 7)));
}

TEST_F(CurlFetcherTest, ALoopbackAddressIsDeniedUnlessRulesAllowIt) {
  ScriptedServer server([](const std::string&) { return Ok("secret"); });
  FetchRequest request = To(server.Url("/"));
  request.rules = nullptr;
  FetchResult result = Await(fetcher_, request);
  EXPECT_EQ(result.error, FetchError::kNotPermitted);
  EXPECT_THAT(result.detail, HasSubstr("127.0.0.1"));
  // The name is resolved, and the address that comes of it is what counts.
  request.url = absl::StrCat("http://localhost:", server.Url("/").substr(17));
  EXPECT_EQ(Await(fetcher_, request).error, FetchError::kNotPermitted);
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(CurlFetcherTest, ARedirectIsFollowedButEveryStepIsChecked) {
  ScriptedServer* self = nullptr;
  ScriptedServer server([&self](const std::string& request) {
    if (request.find(" /start ") != std::string::npos) return Redirect(self->Url("/end"));
    if (request.find(" /file ") != std::string::npos) return Redirect("file:///etc/passwd");
    if (request.find(" /other ") != std::string::npos) return Redirect("http://127.0.0.2:1/");
    if (request.find(" /metadata ") != std::string::npos) return Redirect("http://169.254.169.254/latest/meta-data/");
    if (request.find(" /mapped ") != std::string::npos) return Redirect("http://[::ffff:169.254.169.254]/");
    if (request.find(" /user ") != std::string::npos) return Redirect("http://a:b@127.0.0.1/");
    if (request.find(" /loop ") != std::string::npos) return Redirect(self->Url("/loop"));
    return Ok("arrived");
  });
  self = &server;
  EXPECT_EQ(Get(server, "/start").body, "arrived");
  EXPECT_EQ(Get(server, "/file").error, FetchError::kNotPermitted);
  EXPECT_EQ(Get(server, "/other").error, FetchError::kNotPermitted);
  EXPECT_EQ(Get(server, "/metadata").error, FetchError::kNotPermitted);
  EXPECT_EQ(Get(server, "/mapped").error, FetchError::kNotPermitted);
  EXPECT_EQ(Get(server, "/user").error, FetchError::kNotPermitted);
  const size_t before = server.requests().size();
  EXPECT_EQ(Get(server, "/loop").error, FetchError::kNotPermitted);
  EXPECT_EQ(server.requests().size() - before, 4u) << "the first and three redirects";
}

TEST_F(CurlFetcherTest, APostThatIsRedirectedStaysAPost) {
  ScriptedServer* self = nullptr;
  ScriptedServer server([&self](const std::string& request) {
    return request.find(" /start ") != std::string::npos ? Redirect(self->Url("/end")) : Ok("ok");
  });
  self = &server;
  FetchRequest request = To(server.Url("/start"));
  request.body = "question";
  request.content_type = "application/ocsp-request";
  EXPECT_TRUE(Await(fetcher_, request).ok());
  EXPECT_THAT(server.requests().at(1), testing::StartsWith("POST /end"));
  EXPECT_THAT(server.requests().at(1), testing::EndsWith("question"));
}

TEST_F(CurlFetcherTest, TooMuchIsCutOffHoweverItIsAnnounced) {
  ScriptedServer server([](const std::string& request) -> ScriptedServer::Answer {
    if (request.find(" /announced ") != std::string::npos) {
      return {"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", true};
    }
    if (request.find(" /exact ") != std::string::npos) return Ok(std::string(1000, 'x'));
    if (request.find(" /heads ") != std::string::npos) {
      return {"HTTP/1.1 200 OK\r\n", false, "x-" + std::string(30'000, 'h') + ": x\r\n"};
    }
    return {"HTTP/1.1 200 OK\r\n\r\n", false, std::string(4096, 'x')};
  });
  EXPECT_EQ(Get(server, "/announced").error, FetchError::kTooLarge);
  EXPECT_EQ(Get(server, "/endless").error, FetchError::kTooLarge);
  EXPECT_EQ(Get(server, "/exact").body.size(), 1000u);
  EXPECT_EQ(Get(server, "/heads").error, FetchError::kTooLarge);
}

TEST_F(CurlFetcherTest, TheBodyOfARedirectIsBoundedToo) {
  ScriptedServer server([](const std::string&) -> ScriptedServer::Answer {
    return {"HTTP/1.1 302 Found\r\nLocation: /again\r\nTransfer-Encoding: chunked\r\n\r\n", false,
            "1000\r\n" + std::string(4096, 'x') + "\r\n"};
  });
  EXPECT_EQ(Get(server).error, FetchError::kTooLarge);
}

TEST_F(CurlFetcherTest, WhoHangsOrCrawlsIsGivenUp) {
  ScriptedServer server([](const std::string& request) -> ScriptedServer::Answer {
    if (request.find(" /mute ") != std::string::npos) return {"", true};
    return {"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nx", true};
  });
  FetchRequest request = To(server.Url("/mute"));
  request.timeout = absl::Milliseconds(200);
  EXPECT_EQ(Await(fetcher_, request).error, FetchError::kTimedOut);
  request.url = server.Url("/half");
  EXPECT_EQ(Await(fetcher_, request).error, FetchError::kTimedOut);
  request.timeout = absl::Seconds(20);
  request.stall = absl::Seconds(1);
  FetchResult slow = Await(fetcher_, request);
  EXPECT_EQ(slow.error, FetchError::kTimedOut);
  EXPECT_LT(slow.took, absl::Seconds(15));
}

TEST_F(CurlFetcherTest, WhatIsNotAnAnswerIsNone) {
  ScriptedServer server([](const std::string& request) -> ScriptedServer::Answer {
    if (request.find(" /500 ") != std::string::npos) {
      return {"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"};
    }
    if (request.find(" /ftp ") != std::string::npos) return {"220 welcome\r\n"};
    if (request.find(" /empty ") != std::string::npos) return {""};
    return {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"};
  });
  EXPECT_EQ(Get(server, "/500").error, FetchError::kBadAnswer);
  EXPECT_FALSE(Get(server, "/ftp").ok());
  EXPECT_EQ(Get(server, "/empty").error, FetchError::kBadAnswer);
  EXPECT_EQ(Get(server, "/truncated").error, FetchError::kBadAnswer);
}

TEST_F(CurlFetcherTest, OtherProtocolsAndUserInformationAreNotPermitted) {
  for (const char* url : {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "ldap://127.0.0.1/",
                          "http://user:secret@127.0.0.1/", "http://", "", "not a url", "http://a b/",
                          "http://127.0.0.1\r\nX: y/", "dict://127.0.0.1:11211/"}) {
    EXPECT_EQ(Await(fetcher_, To(url)).error, FetchError::kNotPermitted) << url;
  }
}

TEST_F(CurlFetcherTest, ProxiesOfTheEnvironmentAreIgnored) {
  ScriptedServer proxy([](const std::string&) { return Ok("from the proxy"); });
  ScriptedServer server([](const std::string&) { return Ok("from the server"); });
  ::setenv("http_proxy", proxy.Url("/").c_str(), 1);
  ::setenv("all_proxy", proxy.Url("/").c_str(), 1);
  EXPECT_EQ(Get(server).body, "from the server");
  ::unsetenv("http_proxy");
  ::unsetenv("all_proxy");
}

TEST_F(CurlFetcherTest, NobodyListensIsUnreachable) {
  std::string url;
  {
    ScriptedServer server([](const std::string&) { return Ok(""); });
    url = server.Url("/");
  }
  EXPECT_EQ(Await(fetcher_, To(url)).error, FetchError::kUnreachable);
  EXPECT_EQ(Await(fetcher_, To("http://name.invalid/")).error, FetchError::kUnreachable);
}

TEST_F(CurlFetcherTest, AHostGetsItsShareAndAnotherIsNotHeldUp) {
  CurlFetcherOptions options;
  options.max_running = 8;
  options.max_running_per_host = 2;
  options.max_waiting_per_host = 3;
  CurlFetcher fetcher(options);
  ScriptedServer hanging([](const std::string&) -> ScriptedServer::Answer { return {"", true}; });
  ScriptedServer quick([](const std::string&) { return Ok("quick"); });
  std::atomic<int> timed_out{0}, overloaded{0};
  Mutex mutex;
  CondVar all;
  int left = 9;
  for (int i = 0; i < 9; ++i) {
    FetchRequest request = To(hanging.Url("/"));
    request.timeout = absl::Milliseconds(600);
    fetcher.Fetch(request, [&](FetchResult result) {
      timed_out += result.error == FetchError::kTimedOut;
      overloaded += result.error == FetchError::kOverloaded;
      MutexLock lock(&mutex);
      if (--left == 0) all.SignalAll();
    });
  }
  EXPECT_EQ(Await(fetcher, To(quick.Url("/"))).body, "quick");
  MutexLock lock(&mutex);
  while (left != 0) all.Wait(&mutex);
  EXPECT_EQ(hanging.most_at_once(), 2);
  EXPECT_EQ(timed_out + overloaded, 9);
  EXPECT_GE(overloaded, 4);
}

TEST_F(CurlFetcherTest, WhatRunsIsGivenUpWhenTheFetcherGoes) {
  ScriptedServer server([](const std::string&) -> ScriptedServer::Answer { return {"", true}; });
  bool called = false;
  {
    CurlFetcher fetcher;
    fetcher.Fetch(To(server.Url("/")), [&called](FetchResult) { called = true; });
  }
  EXPECT_FALSE(called);
}

TEST(HostOfTest, IsWhatLimitsAreCountedBy) {
  EXPECT_EQ(HostOf("http://OCSP.Example/path"), "ocsp.example:80");
  EXPECT_EQ(HostOf("https://ocsp.example/"), "ocsp.example:443");
  EXPECT_EQ(HostOf("http://[2001:db8::1]:81/x"), "[2001:db8::1]:81");
  EXPECT_EQ(HostOf("ldap://ocsp.example/"), "");
  EXPECT_EQ(HostOf("http://u:p@ocsp.example/"), "");
  EXPECT_EQ(HostOf("/etc/passwd"), "");
}

}  // namespace
}  // namespace gatehouse::fetch
