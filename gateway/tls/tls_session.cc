#include "gateway/tls/tls_session.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/mutex.h"
#include "gateway/tls/callbacks.h"

namespace gatehouse::tls {
namespace {

// SSL_get_error looks at the queue, so that an old error would pass for this call's. It is empty nearly always, and
// looking is cheaper than clearing.
void ForgetErrors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

const std::string TlsSession::kNoName;

std::unique_ptr<TlsSession> TlsSession::OverSocket(std::shared_ptr<const ServerContext> context, TlsHooks* hooks, int fd,
                                                   Cork* cork) {
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(context), hooks, fd, cork));
}

std::unique_ptr<TlsSession> TlsSession::OverMemory(std::shared_ptr<const ServerContext> context, TlsHooks* hooks) {
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(context), hooks, -1, nullptr));
}

TlsSession::TlsSession(std::shared_ptr<const ServerContext> context, TlsHooks* hooks, int fd, Cork* cork)
    : context_(std::move(context)), hooks_(hooks), fd_(fd), cork_(cork) {
  ssl_.reset(SSL_new(context_->default_name().ctx.get()));
  BIO* bio = SessionBio<TlsSession>::New(this);
  if (ssl_ == nullptr || bio == nullptr) {
    BIO_free(bio);
    state_ = State::kFailed;
    error_ = TlsError{TlsError::Kind::kProtocol, -1, absl::StrCat("out of memory: ", TakeOpenSslError())};
    return;
  }
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_accept_state(ssl_.get());
}

TlsSession::~TlsSession() {
  if (cork_ != nullptr && cork_->owner_ == this) {
    cork_->owner_ = nullptr;
    cork_->buffer_.clear();
  }
  // Freed without "shutdown sent", OpenSSL would mark the session as not resumable.
  if (ssl_ != nullptr) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

int TlsSession::Receive(char* into, int n, bool* again) {
  if (!MemoryMode()) return ReceiveFrom(fd_, into, n, again, &input_eof_, &socket_error_);
  const size_t take = std::min(input_.size() - input_read_, static_cast<size_t>(n));
  if (take == 0) {
    *again = !input_eof_;
    return input_eof_ ? 0 : -1;
  }
  std::memcpy(into, input_.data() + input_read_, take);
  input_read_ += take;
  if (input_read_ == input_.size()) {
    input_.clear();
    input_read_ = 0;
  }
  return static_cast<int>(take);
}

void TlsSession::Gather(const char* data, size_t n) {
  if (cork_ == nullptr || !output_.empty()) {
    output_.append(data, n);
    return;
  }
  if (cork_->owner_ != this) {
    if (cork_->owner_ != nullptr) cork_->owner_->Spill();
    cork_->owner_ = this;
  }
  cork_->buffer_.append(data, n);
}

void TlsSession::Spill() {
  output_.append(cork_->buffer_);
  cork_->buffer_.clear();
  cork_->owner_ = nullptr;
}

size_t TlsSession::pending_output() const {
  size_t n = output_.size() - output_sent_;
  if (cork_ != nullptr && cork_->owner_ == this) n += cork_->buffer_.size();
  return n;
}

IoStatus TlsSession::Flush() {
  if (MemoryMode()) return IoStatus::kOk;
  bool corked = cork_ != nullptr && cork_->owner_ == this;
  // Own output is older than corked output, which exists only if the own was empty when it began.
  if (corked && !output_.empty()) {
    Spill();
    corked = false;
  }
  const std::string& from = corked ? cork_->buffer_ : output_;
  size_t& sent = output_sent_;
  while (sent < from.size()) {
    ssize_t r = send(fd_, from.data() + sent, from.size() - sent, MSG_NOSIGNAL);
    if (r > 0) {
      sent += static_cast<size_t>(r);
      continue;
    }
    if (r < 0 && errno == EINTR) continue;
    if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (corked) {
        output_.assign(cork_->buffer_, sent, std::string::npos);
        sent = 0;
        cork_->buffer_.clear();
        cork_->owner_ = nullptr;
      }
      return IoStatus::kWantWrite;
    }
    socket_error_ = errno;
    if (corked) {
      cork_->buffer_.clear();
      cork_->owner_ = nullptr;
    }
    sent = 0;
    output_.clear();
    state_ = State::kFailed;
    if (error_.kind == TlsError::Kind::kNone) {
      error_ = TlsError{TlsError::Kind::kSocket, -1, strerror(socket_error_)};
    }
    return IoStatus::kFailed;
  }
  sent = 0;
  if (corked) {
    cork_->buffer_.clear();
    cork_->owner_ = nullptr;
  } else if (output_.capacity() > 0) {
    std::string().swap(output_);  // an idle connection keeps no buffer
  }
  return IoStatus::kOk;
}

std::string TlsSession::TakeOutput() {
  std::string out = std::move(output_);
  output_.clear();
  return out;
}

IoStatus TlsSession::Fail(int ssl_error) {
  // A certificate is here, and what followed it is not the proof that its key is held: a wrong CertificateVerify, or none.
  OSSL_HANDSHAKE_STATE at = SSL_get_state(ssl_.get());
  bool unproven = state_ == State::kHandshaking && presented_any_ && !input_eof_ && socket_error_ == 0 &&
                  (at == TLS_ST_SR_CERT || at == TLS_ST_SR_KEY_EXCH || at == TLS_ST_SR_CERT_VRFY);
  state_ = State::kFailed;
  unsigned long code = ERR_peek_error();
  std::string text = code != 0 ? TakeOpenSslError() : "";
  using Kind = TlsError::Kind;
  Kind& kind = error_.kind;
  if (kind == Kind::kPeerAlert) {
    error_.text = absl::StrCat("the client sent alert ", SSL_alert_desc_string_long(error_.alert));
  } else if (unknown_name_) {
    kind = Kind::kUnknownName;
    error_.text = "unknown server name";
  } else if (refused_presented_) {
    kind = Kind::kPresented;
    error_.text = "client certificate refused in the handshake";
  } else if (too_many_) {
    kind = Kind::kTooMany;
    error_.text = absl::StrCat("the client presented more than ", kMaxPresentedCertificates, " certificates");
  } else if (at == TLS_ST_SR_CERT && ERR_GET_REASON(code) == SSL_R_EXCESSIVE_MESSAGE_SIZE) {
    kind = Kind::kTooMany;
    error_.text = absl::StrCat("the client presented certificates of more than ", kMaxPresentedBytes, " bytes together");
  } else if (unproven) {
    kind = Kind::kNotProven;
    error_.text = text;
  } else if (ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    kind = Kind::kNoCertificate;
    error_.text = "the client sent no certificate, and one is required";
  } else if (socket_error_ != 0) {
    kind = Kind::kSocket;
    error_.text = strerror(socket_error_);
  } else if (input_eof_ && (code == 0 || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
    kind = Kind::kEof;
    error_.text = "the client closed the connection";
  } else {
    kind = Kind::kProtocol;
    error_.text = text.empty() ? absl::StrCat("TLS error ", ssl_error) : text;
  }
  return IoStatus::kFailed;
}

IoStatus TlsSession::Handshake() {
  if (state_ == State::kFailed) return IoStatus::kFailed;
  if (state_ != State::kHandshaking) return IoStatus::kOk;
  ERR_clear_error();
  int r = SSL_accept(ssl_.get());
  if (r != 1) {
    int e = SSL_get_error(ssl_.get(), r);
    if (e == SSL_ERROR_WANT_READ) return IoStatus::kWantRead;
    return Fail(e);
  }
  state_ = State::kOpen;
  SSL_set_msg_callback(ssl_.get(), nullptr);  // no more certificates are asked for
  if (resumed() && candidate_ != nullptr) {
    attached_ = candidate_->binding;
    presented_any_ = candidate_->had_certificate;
  }
  candidate_.reset();
  ticket_chain_.reset();
  sealing_key_.reset();
  return IoStatus::kOk;
}

IoStatus TlsSession::Read(absl::Span<char> into, size_t* n) {
  *n = 0;
  if (state_ == State::kFailed) return IoStatus::kFailed;
  if (state_ == State::kHandshaking) return IoStatus::kWantRead;
  ForgetErrors();
  int r = SSL_read_ex(ssl_.get(), into.data(), into.size(), n);
  if (r == 1) return IoStatus::kOk;
  int e = SSL_get_error(ssl_.get(), r);
  if (e == SSL_ERROR_WANT_READ) return IoStatus::kWantRead;
  if (e == SSL_ERROR_ZERO_RETURN) return IoStatus::kClosed;
  // A TCP close without close_notify: HTTP's own framing says whether something is missing.
  if (input_eof_ && socket_error_ == 0 && error_.kind == TlsError::Kind::kNone &&
      (e == SSL_ERROR_SYSCALL || ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
    ERR_clear_error();
    return IoStatus::kClosed;
  }
  return Fail(e);
}

bool TlsSession::HasPending() const { return ssl_ != nullptr && SSL_has_pending(ssl_.get()) == 1; }

IoStatus TlsSession::Write(absl::string_view data) {
  if (state_ != State::kOpen) return IoStatus::kFailed;
  while (!data.empty()) {
    ForgetErrors();
    size_t n = 0;
    int r = SSL_write_ex(ssl_.get(), data.data(), data.size(), &n);
    if (r != 1) return Fail(SSL_get_error(ssl_.get(), r));  // our BIO never refuses a write
    data.remove_prefix(n);
  }
  return IoStatus::kOk;
}

void TlsSession::Shutdown() {
  if (state_ != State::kOpen) return;
  state_ = State::kClosing;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

bool TlsSession::alpn_h2() const {
  const unsigned char* p = nullptr;
  unsigned n = 0;
  SSL_get0_alpn_selected(ssl_.get(), &p, &n);
  return n == 2 && p[0] == 'h' && p[1] == '2';
}

bool TlsSession::resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
absl::string_view TlsSession::version() const { return SSL_get_version(ssl_.get()); }
absl::string_view TlsSession::cipher() const {
  const char* name = SSL_get_cipher_name(ssl_.get());
  return name == nullptr ? "" : name;
}

std::vector<X509*> TlsSession::PresentedChain() const {
  std::vector<X509*> chain;
  X509* leaf = SSL_get0_peer_certificate(ssl_.get());
  if (leaf == nullptr) return chain;
  chain.push_back(leaf);
  STACK_OF(X509)* rest = SSL_get_peer_cert_chain(ssl_.get());  // on a server: without the leaf
  for (int i = 0; i < sk_X509_num(rest); ++i) chain.push_back(sk_X509_value(rest, i));
  return chain;
}

namespace {

// What an open TLS 1.3 connection needs of its session is the cipher. One session without identifier, so that no context
// ever keeps or removes it, serves all that rest.
SSL_SESSION* EmptySession(const SSL_CIPHER* cipher) {
  static Mutex mutex;
  static auto* const sessions = new absl::flat_hash_map<const SSL_CIPHER*, SSL_SESSION*>;
  MutexLock lock(&mutex);
  auto [it, made] = sessions->try_emplace(cipher, nullptr);
  if (made) {
    UniqueSession session(SSL_SESSION_new());
    if (session != nullptr && SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) == 1 &&
        SSL_SESSION_set_cipher(session.get(), cipher) == 1) {
      it->second = session.release();
    }
  }
  return it->second;
}

}  // namespace

void TlsSession::DropCertificates() {
  if (state_ != State::kOpen || SSL_version(ssl_.get()) != TLS1_3_VERSION) return;
  // A context of the negotiated method: SSL_set_session resets a live connection whose method differs from its context's.
  static SSL_CTX* const bare = [](const SSL_METHOD* method) {
    SSL_CTX* ctx = SSL_CTX_new(method);
    return ctx;
  }(SSL_get_ssl_method(ssl_.get()));
  SSL* ssl = ssl_.get();
  if (bare == nullptr || SSL_get_ssl_method(ssl) != SSL_CTX_get_ssl_method(bare)) return;
  SSL_SESSION* empty = EmptySession(SSL_SESSION_get0_cipher(SSL_get_session(ssl)));
  if (empty == nullptr) return;
  SSL_set_SSL_CTX(ssl, bare);
  // "Shutdown sent" keeps SSL_set_session from removing the old session as a bad one.
  int shutdown = SSL_get_shutdown(ssl);
  SSL_set_shutdown(ssl, shutdown | SSL_SENT_SHUTDOWN);
  SSL_set_session(ssl, empty);
  SSL_set_shutdown(ssl, shutdown);
  ERR_clear_error();
}

}  // namespace gatehouse::tls
