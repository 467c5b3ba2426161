// Listening sockets. Each worker has its own socket on the same address (SO_REUSEPORT), so that the kernel spreads
// connections and no worker wakes for another's. SO_REUSEPORT also lets a second process of our uid take the port
// silently: an AddressClaim, taken once per address before the first socket, refuses that with a clear error.
//
// Ownership:  ListenSocket and AddressClaim own their descriptors.
// Threading:  any one thread at a time.
// Errors:     kUnavailable names address and cause (in use, permission, no such address).
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/loop/address.h"
#include "gateway/loop/loop.h"

namespace gatehouse::loop {

// Fd owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(o.Release()) {}
  Fd& operator=(Fd&& o) noexcept;
  ~Fd() { Close(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void Close();

 private:
  int fd_ = -1;
};

// ProbeBind fails when any other socket, of this process or another, listens on `address`. Port 0 always passes.
absl::Status ProbeBind(const Address& address);

// AddressClaim: a probe, and a lock file that other Gatehouse processes respect. Held as long as the address is ours.
class AddressClaim {
 public:
  // `lock_directory` is created (0700) when absent; "" = no lock file, only the probe. Port 0 claims nothing.
  static absl::StatusOr<AddressClaim> Take(const Address& address, const std::string& lock_directory);

 private:
  explicit AddressClaim(Fd lock) : lock_(std::move(lock)) {}
  Fd lock_;
};

struct ListenOptions {
  int backlog = 4096;
  bool reuse_port = true;
  // The kernel hands over a connection only when its first bytes are here, or after this long. Zero: at once.
  absl::Duration defer_accept = absl::Seconds(5);
};

class ListenSocket {
 public:
  // TCP_NODELAY is inherited by accepted sockets. Port 0: the kernel chooses, address() tells.
  static absl::StatusOr<ListenSocket> Open(const Address& address, const ListenOptions& options);
  // Adopts a listening descriptor handed over by another process or worker.
  static absl::StatusOr<ListenSocket> Adopt(Fd fd);
  int fd() const { return fd_.get(); }
  const Address& address() const { return address_; }
  Fd Release() { return std::move(fd_); }

 private:
  ListenSocket(Fd fd, Address address) : fd_(std::move(fd)), address_(address) {}
  Fd fd_;
  Address address_;
};

// Acceptor accepts on a loop. Out of descriptors or memory, it rests for 100 ms and leaves the callers queued in the
// kernel, instead of spinning.
class Acceptor {
 public:
  // Calls `on_accept` with a non-blocking, close-on-exec socket, at most 32 times a turn.
  Acceptor(Loop* loop, ListenSocket socket, absl::AnyInvocable<void(Fd, const Address& peer)> on_accept);
  // Pause bits of the owner (too many connections, draining).
  void Pause();
  void Resume();
  const Address& address() const { return socket_.address(); }
  // How often accept had to rest for want of descriptors or memory.
  uint64_t exhausted() const { return exhausted_; }
  ListenSocket Release();

 private:
  void OnReadable();
  void Update();

  ListenSocket socket_;
  absl::AnyInvocable<void(Fd, const Address&)> on_accept_;
  std::unique_ptr<Watch> watch_;
  Timer rest_;
  bool paused_ = false;
  bool resting_ = false;
  uint64_t exhausted_ = 0;
};

}  // namespace gatehouse::loop
