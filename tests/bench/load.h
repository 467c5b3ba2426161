// Load keeps connections busy, or idle, and counts what comes back.
//
// Threading:  thread-compatible; one thread, one epoll.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tests/bench/connection.h"
#include "tests/bench/leaves.h"
#include "tests/bench/requests.h"

namespace gatehouse::bench {

enum class Mode : uint8_t {
  kHandshake,  // a new connection for each request, each with the next leaf
  kKeepAlive,  // requests one after the other on the same connections
  kIdle,       // one request on each connection, then silence
  kOnce,       // one request at all
};

struct LoadOptions {
  Mode mode = Mode::kHandshake;
  ConnectionOptions connection;
  int connections = 64;
  int streams = 10;  // requests in flight on an HTTP/2 connection, at most 60
  std::string path = "/";
  std::string basic;  // base64 of user:password
  size_t body = 0;    // octets sent with each request; HTTP/1.1 only
  int rate = 0;       // kKeepAlive: requests a second, on all connections in turn; 0: the next as soon as one is answered
};

struct Tally {
  int64_t ok = 0;      // answers with 200
  int64_t other = 0;   // answers with anything else
  int64_t failed = 0;  // connections that ended without an answer or with requests unanswered
  int64_t full = 0;    // handshakes
  int64_t resumed = 0;
  std::map<std::string, int64_t> reasons;  // of `other` and `failed`
  std::vector<float> latencies;            // microseconds; of the first millions
  int64_t answers() const { return ok + other; }
};

class Load : public ConnectionObserver {
 public:
  Load(const LoadOptions& options, Leaves leaves);
  ~Load() override;

  // Opens the connections. Idle ones come a few at a time, and it returns when all were answered, or `limit` is over.
  void Open(absl::Duration limit);
  void RunFor(absl::Duration time);
  // RunUntilAnswers runs until so many answers came in all, or `limit` is over; it tells whether they came.
  bool RunUntilAnswers(int64_t answers, absl::Duration limit);
  void Restart() { tally_ = {}; }
  // No new requests, no new connections.
  void Stop() { stopping_ = true; }
  // Drain is Stop, and runs until every request that was sent is answered, or its connection has ended; false: not within `limit`.
  bool Drain(absl::Duration limit);

  const Tally& tally() const { return tally_; }
  // Answers since the beginning, by status; Restart forgets none of them. 0: reset, or not to be read.
  std::map<int, int64_t> answers() const;
  // Connections since the beginning that ended without an answer or with requests unanswered.
  int64_t failures() const { return failures_; }
  int64_t open_connections() const;
  const std::string& body() const { return body_; }
  Leaves& leaves() { return leaves_; }

  void OnOpen(Connection& connection) override;
  void OnAnswer(Connection& connection, int status, uint64_t began) override;

 private:
  void Begin(Connection& connection);
  void SendDue();
  void Ended(Connection& connection);
  void Turn(int timeout_ms);
  void Add();

  const LoadOptions options_;
  const Requests requests_;
  Leaves leaves_;
  UniqueSslCtx context_;
  int epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  Tally tally_;
  std::string body_;
  bool stopping_ = false;
  int restarts_ = 0;  // of keep-alive connections, which should not end
  std::array<int64_t, 600> answers_{};
  int64_t failures_ = 0;
  uint64_t next_due_ = 0;  // when the next request goes, of a load with a rate
  size_t turn_ = 0;        // whose turn it is to send it
};

}  // namespace gatehouse::bench
