// UnixListener accepts on a Unix socket by itself, since gRPC 1.51 does not tell who is behind one: the uid is read
// from the kernel (SO_PEERCRED), strangers are hung up on, and the rest is handed to the gRPC server as descriptors.
//
// With a group, its members get as far as the kernel's question who they are: directory 0710, socket 0660.
//
// The socket lies in a directory of mode 0700 that is ours; a lock file beside it keeps a second process out. A socket
// that a dead process left is replaced, one that somebody listens on is not.
//
// Ownership:  owns the socket, its lock and a thread; the server outlives Stop.
// Threading:  Open, Serve and Stop by one thread.
// Errors:     FAILED_PRECONDITION naming the path: taken, not a socket, directory open to others; INVALID_ARGUMENT
//             (path too long).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/api/caller.h"

namespace gatehouse::api {

class UnixListener {
 public:
  // Asked of each uid that connects.
  using MayConnect = std::function<bool(uid_t)>;
  static absl::StatusOr<std::unique_ptr<UnixListener>> Open(const std::string& path,
                                                            std::shared_ptr<PeerCredentials> credentials,
                                                            MayConnect may_connect, const std::string& group = "");
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  // Starts accepting for `server`, which must have been built and started.
  void Serve(grpc::Server& server);
  // Stops accepting and removes the socket. Connections that were handed over are the server's.
  void Stop();

 private:
  UnixListener() = default;
  void Run(grpc::Server& server);
  void Accept(grpc::Server& server);

  std::string path_;
  std::shared_ptr<PeerCredentials> credentials_;
  MayConnect may_connect_;
  int listen_ = -1;
  int wake_ = -1;
  int lock_ = -1;
  int next_descriptor_ = 0;
  std::thread thread_;
};

// A loopback address "127.0.0.1:0", "[::1]:7443" or "localhost:…"; anything else is INVALID_ARGUMENT.
absl::Status CheckLoopback(const std::string& address);

}  // namespace gatehouse::api
