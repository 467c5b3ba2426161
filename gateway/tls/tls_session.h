// TlsSession is one server-side TLS connection. It works over a BIO of ours: reads come straight from a socket (or from
// fed bytes), writes are gathered and leave in one send per turn. It judges nobody: certificates that a client presents
// are accepted structurally, possession is proven by the handshake, and the verdict is the caller's.
//
//   kHandshaking --Handshake() = kOk--> kOpen --Shutdown()--> kClosing --(owner closes)
//        |                                |  peer's close_notify: Read() = kClosed
//        `--------- any error ------------+--------> kFailed   (error() says why; the alert is in the output)
//
// Ownership:  shares its ServerContext; does not own the descriptor. A Cork is borrowed and must outlive it.
// Threading:  one thread.
// Units:      bytes. Output that the socket does not take waits here; writers look at pending_output() first.
// Errors:     kFailed with a typed TlsError; the OpenSSL queue is left empty.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gateway/base/openssl.h"
#include "gateway/tls/post_handshake.h"
#include "gateway/tls/server_context.h"
#include "gateway/tls/session_bio.h"
#include "gateway/tls/session_cache.h"

namespace gatehouse::tls {

class TlsSession;

// What a hook may say about certificates in the handshake (before possession is proven): from memory only, cache nothing.
enum class Presented : uint8_t { kGoOn, kUnknownCa, kExpired, kRevoked, kBadCertificate };

// TlsHooks is how the server takes part in handshakes. All are called inside Handshake().
class TlsHooks {
 public:
  virtual ~TlsHooks() = default;
  // The client's certificates, leaf first. Possession is NOT proven yet. Anything but kGoOn fails the handshake.
  virtual Presented OnPresented(TlsSession&, absl::Span<X509* const>) { return Presented::kGoOn; }
  // Possession is proven. nullopt: the session cannot be resumed. Not asked where a certificate could be sent and none was.
  // On a resumed connection attached() holds what was bound before; return it again to let the client go on resuming.
  virtual std::optional<SessionBinding> MayStore(TlsSession&) { return std::nullopt; }
  // What MayStore would have bound to a session that another process made, from the list that was presented to it, DER,
  // leaf first. The ticket is authentic, so possession was proven then. Null: a full handshake.
  virtual std::shared_ptr<const void> Revive(TlsSession&, const std::vector<std::string>&) { return nullptr; }
  // A client wants to resume. False: a clean full handshake.
  virtual bool MayResume(TlsSession&, const SessionRecord&) { return false; }
};

// Cork is what the sessions of a worker share: a buffer in which the outputs of a turn lie one behind the other (a session
// that has some and goes on after another did keeps its own from there), the BIO, which holds nothing and works for one session
// at a time, and the server name, which is mostly the same.
class Cork {
 public:
  Cork();

 private:
  friend class TlsSession;
  UniqueBio ShareBio();  // null: out of memory
  std::shared_ptr<const std::string> ShareName(std::string sni);
  static constexpr size_t kMost = 1024 * 1024;  // more is the sessions' own
  std::string buffer_;
  size_t users_ = 0;  // sessions that have something in it
  UniqueBio bio_;
  std::shared_ptr<const std::string> name_;  // that was asked for last; null: none yet
};

enum class IoStatus : uint8_t {
  kOk,
  kWantRead,   // nothing more until the socket is readable
  kWantWrite,  // output is waiting until the socket is writable
  kClosed,     // the peer said close_notify, or ended the TCP stream after the handshake
  kFailed,     // see error()
};

struct TlsError {
  enum class Kind : uint8_t {
    kNone,
    kNoCertificate,  // REQUIRE, and the client sent none
    kPresented,      // a hook refused the certificates
    kTooMany,        // certificates, or too large ones: refused unread
    kNotProven,      // a certificate was presented, and no valid proof that its key is held
    kPeerAlert,      // the client refused us; alert is its number
    kUnknownName,    // unknown server name, refused
    kEof,            // the peer went away in the handshake
    kSocket,         // errno text
    kFlood,          // after the handshake: nothing but key updates, or attempts to renegotiate
    kProtocol,       // anything else OpenSSL found wrong
  };
  Kind kind = Kind::kNone;
  int alert = -1;  // sent or received alert number, where known
  std::string text;
};

class TlsSession {
 public:
  // Over a connected, non-blocking socket.
  static std::unique_ptr<TlsSession> OverSocket(std::shared_ptr<const ServerContext> context, TlsHooks* hooks, int fd,
                                                Cork* cork);
  // Over memory: Feed bytes of the peer, TakeOutput what is for it.
  static std::unique_ptr<TlsSession> OverMemory(std::shared_ptr<const ServerContext> context, TlsHooks* hooks);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  enum class State : uint8_t { kHandshaking, kOpen, kClosing, kFailed };
  State state() const { return state_; }

  // Handshake goes on as far as the input allows. Whatever it returns, Flush: there may be output (an alert too).
  IoStatus Handshake();
  // Read decrypts into `into`; kOk with *n > 0, or kWantRead, kClosed, kFailed. Call until kWantRead (read-ahead holds
  // bytes that no readiness will announce).
  IoStatus Read(absl::Span<char> into, size_t* n);
  // True when Read would return data without the socket being readable.
  bool HasPending() const;
  // Write encrypts all of `data` into the output. REQUIRES: kOpen. kOk or kFailed.
  IoStatus Write(absl::string_view data);
  // Flush sends what is gathered: kOk (all sent), kWantWrite or kFailed. Nothing to send is kOk.
  IoStatus Flush();
  // Encrypted bytes that wait for Flush or for the socket.
  size_t pending_output() const;
  // Shutdown adds close_notify to the output. Flush and close afterwards.
  void Shutdown();

  // Memory mode.
  void Feed(absl::string_view bytes) { memory_->input.append(bytes.data(), bytes.size()); }
  void FeedEof() { input_eof_ = true; }
  std::string TakeOutput();

  // Facts; complete when Handshake returned kOk.
  const TlsError& error() const { return error_ == nullptr ? kNoError : *error_; }
  const std::string& sni() const { return sni_ == nullptr ? kNoName : *sni_; }  // lower case; "" = none
  const std::shared_ptr<const std::string>& shared_sni() const { return sni_; }  // null = none
  const ServerContext::Name* name() const { return name_; }    // chosen configuration; null before the client hello
  const ServerContext& context() const { return *context_; }
  bool alpn_h2() const;                                        // false: HTTP/1.1, chosen or by default
  bool resumed() const;
  absl::string_view version() const;                           // "TLSv1.3"
  absl::string_view cipher() const;
  // The presented certificates, leaf first; borrowed. Empty: none, resumed, or dropped. Proven only when state is kOpen.
  // After a failure: what was presented, never to be believed.
  std::vector<X509*> PresentedChain() const;
  bool presented_any() const { return presented_any_; }  // by the client of this or of the resumed handshake
  // What the server bound to the resumed session (null user otherwise).
  const SessionBinding& attached() const { return attached_; }
  // DropCertificates frees the peer's certificates, the keys of the key exchange and the handshake's other leftovers
  // (11 KiB a connection, TLS 1.3). The presented chain is empty afterwards: take what re-judging needs first.
  void DropCertificates();

  // Whatever the owner wants to find again from a hook.
  void set_owner(void* owner) { owner_ = owner; }
  void* owner() const { return owner_; }
  SSL* ssl() { return ssl_.get(); }

 private:
  friend class ServerContext;
  friend struct SessionCallbacks;
  friend class SessionBio<TlsSession>;
  TlsSession(std::shared_ptr<const ServerContext> context, TlsHooks* hooks, int fd, Cork* cork);
  static const std::string kNoName;
  static const TlsError kNoError;
  // What only the handshake needs.
  struct Underway {
    bool hello_seen = false;
    bool offers_ems = false;  // extended master secret
    bool refused_presented = false;
    bool unknown_name = false;
    bool too_many = false;
    Sha256Digest session_context{};  // of the name, and of the server name asked for
    std::unique_ptr<SessionRecord> candidate;  // taken from the cache or a ticket
    std::unique_ptr<std::string> ticket_chain;  // intermediates in the ticket that the candidate is from
    TicketKeyRef sealing_key;                   // of this handshake's tickets; null: none are given
  };
  struct Memory {
    std::string input;
    size_t read = 0;
  };
  bool MemoryMode() const { return memory_ != nullptr; }
  void Gather(const char* data, size_t n);
  int Receive(char* into, int n, bool* again);
  absl::string_view Corked() const;
  void Spill();   // out of the shared cork into our own string
  void Uncork();  // gives up what is in the cork
  // Makes the BIO, which may be everybody's, work for this session: around each call that may read, write or call back.
  class Turn;
  void SetName(std::string sni);
  TlsError& OwnError();
  IoStatus Fail(int ssl_error);

  const std::shared_ptr<const ServerContext> context_;
  TlsHooks* const hooks_;
  const int fd_;
  Cork* const cork_;
  State state_ = State::kHandshaking;
  bool presented_any_ = false;
  bool input_eof_ = false;
  int socket_error_ = 0;
  UniqueSsl ssl_;
  const ServerContext::Name* name_ = nullptr;
  std::shared_ptr<const std::string> sni_;
  std::string output_;  // what did not fit the socket, or memory mode
  size_t output_sent_ = 0;  // of that, or of what is corked
  size_t corked_at_ = 0;    // where ours begins in the cork
  size_t corked_ = 0;       // how much it is; with some, output_ is empty
  std::unique_ptr<Memory> memory_;     // null: over a socket
  std::unique_ptr<Underway> underway_;  // null: the handshake is done
  PostHandshake after_;
  SessionBinding attached_;
  std::unique_ptr<TlsError> error_;  // null: none
  void* owner_ = nullptr;
};

}  // namespace gatehouse::tls
