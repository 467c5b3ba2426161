// Link is the octets of one connection to an endpoint: TCP, or TLS over it.
//
//   Connect() --> (TCP, then TLS handshake) --OnLinkUp--> up --Close()--> gone
//                          `--OnLinkDown(why): not up, and never will be
//
// Ownership:  owns the descriptor; the handler is borrowed and owns this.
// Threading:  the loop's thread. The handler is called from the loop, never inside Connect. In OnLinkUp and OnLinkDown it
//             may Close, but must not destroy this (DeferDelete).
// Errors:     texts for people; Read and Write leave theirs in error().
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/loop/address.h"
#include "gateway/loop/listen.h"
#include "gateway/loop/loop.h"
#include "gateway/tls/client_session.h"

namespace gatehouse::upstream {

class LinkHandler {
 public:
  virtual void OnLinkUp() = 0;
  virtual void OnLinkDown(absl::string_view why) = 0;
  // Once up, for what Watch asked.
  virtual void OnLinkReady(bool readable, bool writable) = 0;

 protected:
  ~LinkHandler() = default;
};

enum class LinkStatus : uint8_t {
  kOk,
  kAgain,   // nothing more now
  kEnd,     // the upstream ended its side in good order
  kFailed,  // see error()
};

class Link final : private loop::Flushable {
 public:
  Link(loop::Loop* loop, LinkHandler* handler) : loop_(loop), handler_(handler) {}
  ~Link() override { loop_->Unmark(this); }

  // `tls` null: in clear. `host` is what the endpoint must prove to be.
  void Connect(const loop::Address& address, std::shared_ptr<const tls::ClientContext> tls, const std::string& host);
  void Close();
  // Ends our side in good order: the upstream may still send.
  void EndWriting();
  bool up() const { return up_; }
  bool tls() const { return tls_ != nullptr; }
  // kOk with *n > 0.
  LinkStatus Read(char* into, size_t size, size_t* n);
  // Read would return octets that no readiness will announce.
  bool HasPending() const { return tls_ != nullptr && tls_->HasPending(); }
  // Takes *taken of `bytes`; fewer than all with kAgain or kFailed.
  LinkStatus Write(absl::string_view bytes, size_t* taken);
  // Octets that were taken and wait for the socket. Write("") goes on with them.
  size_t unsent() const { return tls_ == nullptr ? 0 : tls_->pending_output(); }
  void Watch(bool read, bool write) { watch_->Set(read, write); }
  // All that has come was read. Costs a look at the socket only where the last Read left room for doubt.
  bool Drained() const;
  // Nothing is known to be wrong with this connection, on which nothing is due. `may_speak`: octets that came unasked are nothing
  // wrong; otherwise what came over TLS is read to see whether it is any.
  bool Healthy(bool may_speak);
  const std::string& error() const { return error_; }

 private:
  void Flush() override;
  void OnReady(bool readable, bool writable);
  void Handshake();
  void Down(absl::string_view why);

  loop::Loop* const loop_;
  LinkHandler* const handler_;
  loop::Fd fd_;
  std::optional<loop::Watch> watch_;
  std::shared_ptr<const tls::ClientContext> context_;
  std::string host_, peer_;
  std::unique_ptr<tls::ClientSession> tls_;
  std::string error_;
  bool up_ = false;
  bool filled_ = false;  // the last Read: all the room that there was
};

}  // namespace gatehouse::upstream
