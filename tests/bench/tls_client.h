// TlsClient is a blocking HTTP/1.1 client with a certificate or a password; Asker is a thread that uses one, or one after another.
//
// Ownership:  the world outlives its clients.
// Threading:  a client is used by one thread; an Asker's answers are read after Stop.
// Units:      steady time.
// Errors:     a status of 0 where the connection ended, or never came to be.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "gateway/base/openssl.h"
#include "gateway/certs/certificate.h"
#include "gateway/loop/instant.h"

namespace gatehouse::bench {

// What all clients share.
struct World {
  World();
  int port = 0;
  UniqueSslCtx ctx;  // no session is resumed
  UniqueKey key;     // of every leaf: minting is not what is measured
};

class TlsClient {
 public:
  // Connects. `leaf`: null for none. `from`: the IPv4 address to come from; empty: any.
  TlsClient(const World& world, X509* leaf, const std::string& from = "");
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  int fd() const { return fd_; }
  // What requests carry from now on as Authorization.
  void Authorize(const std::string& authorization) { authorization_ = "Authorization: " + authorization + "\r\n"; }
  // Requests /secure; the answer's status.
  int Ask();

 private:
  int Gone();
  int fd_ = -1;
  UniqueSsl ssl_;
  std::string authorization_;
  bool open_ = false;
};

// Asks until it is told to stop.
class Asker {
 public:
  struct Terms {
    absl::Duration pause = absl::ZeroDuration();  // after each answer
    bool reconnect = false;                       // a new connection for each request; else when one ended
  };
  struct Answer {
    loop::Instant sent, answered;  // `sent`: with `reconnect`, before connecting
    int status;
  };
  Asker(const World& world, certs::CertificateRef leaf) : Asker(world, std::move(leaf), Terms()) {}
  Asker(const World& world, certs::CertificateRef leaf, Terms terms);
  ~Asker() { Stop(); }

  void Stop();
  // So far.
  size_t asked() const { return asked_; }
  size_t refused() const { return refused_; }
  const std::vector<Answer>& answers() const { return answers_; }

 private:
  void Run(const World& world);

  const certs::CertificateRef leaf_;
  const Terms terms_;
  std::vector<Answer> answers_;
  std::atomic<size_t> asked_{0}, refused_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Microseconds, told by their order.
struct Sample {
  std::vector<double> values;
  void Add(absl::Duration d) { values.push_back(absl::ToDoubleMicroseconds(d)); }
  std::string Json();
};

}  // namespace gatehouse::bench
