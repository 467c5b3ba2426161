// ClientSession is one TLS connection to an endpoint, over a connected, non-blocking socket. Its writes are gathered and
// leave by Flush.
//
//   kHandshaking --Handshake() = kOk--> kOpen --Shutdown()--> kClosing
//        `--------- any error ------------+--------> kFailed   (error() says why)
//
// Ownership:  shares its ClientContext; does not own the descriptor.
// Threading:  one thread.
// Errors:     error(): a text for people. OpenSSL's queue is left empty.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "gateway/base/openssl.h"
#include "gateway/tls/client_context.h"
#include "gateway/tls/post_handshake.h"
#include "gateway/tls/tls_session.h"

namespace gatehouse::tls {

class ClientSession {
 public:
  enum class State : uint8_t { kHandshaking, kOpen, kClosing, kFailed };

  // `host` is the name or address as configured (IPv6 without brackets); `address` tells endpoints of one name apart.
  ClientSession(std::shared_ptr<const ClientContext> context, std::string host, absl::string_view address, int fd);
  ~ClientSession();
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  State state() const { return state_; }
  // kOk: open, and the protocol is the one that was asked for. Whatever it returns, Flush.
  IoStatus Handshake();
  // kOk with *n > 0, kWantRead, kClosed (close_notify came) or kFailed; a TCP close without close_notify is kFailed.
  IoStatus Read(char* into, size_t size, size_t* n);
  // Read would return data without the socket being readable.
  bool HasPending() const { return state_ >= State::kOpen && state_ != State::kFailed && SSL_has_pending(ssl_.get()) == 1; }
  // What came last filled the room for it: the socket may hold more.
  bool input_filled() const { return input_filled_; }
  // Encrypts all of `data`. kOk or kFailed. REQUIRES: kOpen.
  IoStatus Write(absl::string_view data);
  // kOk (nothing is left), kWantWrite or kFailed.
  IoStatus Flush();
  size_t pending_output() const { return output_.size() - sent_; }
  void Shutdown();
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  const std::string& error() const { return error_; }

 private:
  friend class ClientContext;
  friend class SessionBio<ClientSession>;
  IoStatus Fail();
  void Gather(const char* data, size_t n) { output_.append(data, n); }
  int Receive(char* into, int n, bool* again);
  static void OnInfo(const SSL* ssl, int where, int value);
  static void OnMessage(int write, int version, int type, const void* data, size_t size, SSL* ssl, void*);

  const std::shared_ptr<const ClientContext> context_;
  const std::string host_;
  const std::string peer_;  // whose sessions are resumed
  const int fd_;
  State state_ = State::kHandshaking;
  bool input_eof_ = false;
  bool input_filled_ = false;
  int socket_error_ = 0;
  int alert_ = -1;  // that the endpoint sent
  std::string refused_;  // why its certificate was
  PostHandshake after_;
  absl::Time resumed_until_;
  std::string output_;
  size_t sent_ = 0;
  std::string error_;
  UniqueSsl ssl_;
};

}  // namespace gatehouse::tls
