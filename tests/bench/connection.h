// Connection is one TLS client connection of the load: it connects, sends the one request, and tells what came back.
//
//   kClosed --Start--> kHandshaking --done--> kOpen --end of stream, error, Close--> kClosed
//
// Ownership:  borrows the observer, the requests, the leaf; owns the socket and the TLS state.
// Threading:  thread-compatible; everything happens in Start, Send and Drive.
// Errors:     `end_reason`; a connection that ended can be started again.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/base/openssl.h"
#include "tests/bench/leaves.h"
#include "tests/bench/requests.h"
#include "tests/bench/responses.h"

namespace gatehouse::bench {

// Monotonic time in nanoseconds.
uint64_t Now();

class Connection;

// None of these may start or close the connection.
class ConnectionObserver {
 public:
  virtual ~ConnectionObserver() = default;
  virtual void OnOpen(Connection& connection) = 0;
  // `status` 0: reset, or one that the reader does not know. `began` is when the request was queued.
  virtual void OnAnswer(Connection& connection, int status, uint64_t began) = 0;
};

struct ConnectionOptions {
  uint16_t port = 0;      // on 127.0.0.1
  std::string host;       // server name
  bool http2 = false;
  bool one_shot = false;  // the request says Connection: close, and the connection ends with the answer
  bool resume = false;    // offer the leaf's session
  // After a one-shot answer close first, for a server that waits for that; otherwise wait for the server's end.
  bool close_first = false;
};

class Connection {
 public:
  Connection(int epoll, const ConnectionOptions& options, const Requests& requests, ConnectionObserver& observer)
      : epoll_(epoll), options_(options), requests_(requests), observer_(observer) {}
  ~Connection() { Close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // REQUIRES: closed. False: no socket, or the address refused at once.
  bool Start(SSL_CTX* context, Leaf* leaf, STACK_OF(X509) * chain);
  // Send queues a request; what is queued goes out at the end of Drive, or with Flush.
  void Send();
  void Flush();
  // Drive does what the socket allows. False: the connection ended, and was closed.
  bool Drive();
  void Close();

  bool open() const { return open_; }
  bool resumed() const { return resumed_; }
  bool answered() const { return answered_; }
  size_t in_flight() const { return flights_.size(); }
  // A handshake runs, or a request is not answered yet.
  bool busy() const { return fd_ >= 0 && (!open_ || !flights_.empty()); }
  uint64_t began() const { return began_; }
  const std::string& end_reason() const { return end_reason_; }
  void set_body(std::string* body) { body_ = body; }

  // For SSL_CTX_sess_set_new_cb.
  static int NewSession(SSL* ssl, SSL_SESSION* session);

 private:
  struct Flight {
    uint32_t stream;
    uint64_t began;
  };
  void Watch(bool writable);
  bool Handshake();
  bool Read();
  bool End(std::string reason);
  void OnAnswer(uint32_t stream, int status);
  void OnGoingAway(uint32_t last_stream);

  const int epoll_;
  const ConnectionOptions& options_;
  const Requests& requests_;
  ConnectionObserver& observer_;

  int fd_ = -1;
  UniqueSsl ssl_;
  Leaf* leaf_ = nullptr;
  bool open_ = false;
  bool resumed_ = false;
  bool answered_ = false;
  bool going_away_ = false;
  bool watching_writable_ = false;
  bool first_request_ = true;
  uint32_t next_stream_ = 1;
  uint64_t began_ = 0;
  std::vector<Flight> flights_;
  std::string in_;
  std::string out_;
  size_t written_ = 0;
  Http2Reader http2_;
  std::string end_reason_;
  std::string* body_ = nullptr;
};

}  // namespace gatehouse::bench
