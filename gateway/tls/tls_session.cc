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

// Of no session until one is bound.
UniqueBio NewBio() { return UniqueBio(SessionBio<TlsSession>::New(nullptr)); }

}  // namespace

const std::string TlsSession::kNoName;
const TlsError TlsSession::kNoError;

Cork::Cork() : bio_(NewBio()) { buffer_.reserve(256 * 1024); }

UniqueBio Cork::ShareBio() {
  if (bio_ != nullptr) BIO_up_ref(bio_.get());
  return UniqueBio(bio_.get());
}

std::shared_ptr<const std::string> Cork::ShareName(std::string sni) {
  if (name_ == nullptr || *name_ != sni) name_ = std::make_shared<const std::string>(std::move(sni));
  return name_;
}

std::unique_ptr<TlsSession> TlsSession::OverSocket(std::shared_ptr<const ServerContext> context, TlsHooks* hooks, int fd,
                                                   Cork* cork) {
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(context), hooks, fd, cork));
}

std::unique_ptr<TlsSession> TlsSession::OverMemory(std::shared_ptr<const ServerContext> context, TlsHooks* hooks) {
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(context), hooks, -1, nullptr));
}

TlsSession::TlsSession(std::shared_ptr<const ServerContext> context, TlsHooks* hooks, int fd, Cork* cork)
    : context_(std::move(context)), hooks_(hooks), fd_(fd), cork_(cork), underway_(std::make_unique<Underway>()) {
  if (fd < 0) memory_ = std::make_unique<Memory>();
  ssl_.reset(SSL_new(context_->default_name().ctx.get()));
  UniqueBio bio = cork_ != nullptr ? cork_->ShareBio() : NewBio();
  if (ssl_ == nullptr || bio == nullptr) {
    state_ = State::kFailed;
    OwnError() = TlsError{TlsError::Kind::kProtocol, -1, absl::StrCat("out of memory: ", TakeOpenSslError())};
    return;
  }
  SSL_set_bio(ssl_.get(), bio.get(), bio.get());
  bio.release();
  SSL_set_accept_state(ssl_.get());
}

TlsSession::~TlsSession() {
  if (corked_ > 0) Uncork();
  // Freed without "shutdown sent", OpenSSL would mark the session as not resumable.
  if (ssl_ != nullptr) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

int TlsSession::Receive(char* into, int n, bool* again) {
  if (!MemoryMode()) return ReceiveFrom(fd_, into, n, again, &input_eof_, &socket_error_);
  std::string& input = memory_->input;
  const size_t take = std::min(input.size() - memory_->read, static_cast<size_t>(n));
  if (take == 0) {
    *again = !input_eof_;
    return input_eof_ ? 0 : -1;
  }
  std::memcpy(into, input.data() + memory_->read, take);
  memory_->read += take;
  if (memory_->read == input.size()) {
    input.clear();
    memory_->read = 0;
  }
  return static_cast<int>(take);
}

void TlsSession::Gather(const char* data, size_t n) {
  if (corked_ > 0 && (corked_at_ + corked_ != cork_->buffer_.size() || cork_->buffer_.size() + n > Cork::kMost)) Spill();
  if (cork_ == nullptr || !output_.empty() || cork_->buffer_.size() + n > Cork::kMost) {
    output_.append(data, n);
    return;
  }
  if (corked_ == 0) {
    corked_at_ = cork_->buffer_.size();
    ++cork_->users_;
  }
  cork_->buffer_.append(data, n);
  corked_ += n;
}

absl::string_view TlsSession::Corked() const { return absl::string_view(cork_->buffer_).substr(corked_at_, corked_); }

void TlsSession::Spill() {
  const absl::string_view corked = Corked();
  output_.assign(corked.data(), corked.size());
  Uncork();
}

void TlsSession::Uncork() {
  corked_ = 0;
  if (--cork_->users_ == 0) cork_->buffer_.clear();
}

void TlsSession::SetName(std::string sni) {
  sni_ = cork_ != nullptr ? cork_->ShareName(std::move(sni)) : std::make_shared<const std::string>(std::move(sni));
}

// What a callback does may drive another session: afterwards it is the first one's turn again.
class TlsSession::Turn {
 public:
  explicit Turn(TlsSession* session) : bio_(SSL_get_rbio(session->ssl_.get())), before_(BIO_get_data(bio_)) { BIO_set_data(bio_, session); }
  ~Turn() { BIO_set_data(bio_, before_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  BIO* const bio_;
  void* const before_;
};

TlsError& TlsSession::OwnError() {
  if (error_ == nullptr) error_ = std::make_unique<TlsError>();
  return *error_;
}

size_t TlsSession::pending_output() const {
  return output_.size() + corked_ - output_sent_;
}

IoStatus TlsSession::Flush() {
  if (MemoryMode()) return IoStatus::kOk;
  const bool corked = corked_ > 0;
  const absl::string_view from = corked ? Corked() : absl::string_view(output_);
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
        output_.assign(from.data() + sent, from.size() - sent);
        sent = 0;
        Uncork();
      } else {
        DropSent(&output_, &sent);
      }
      return IoStatus::kWantWrite;
    }
    socket_error_ = errno;
    if (corked) Uncork();
    sent = 0;
    output_.clear();
    state_ = State::kFailed;
    if (error().kind == TlsError::Kind::kNone) {
      OwnError() = TlsError{TlsError::Kind::kSocket, -1, strerror(socket_error_)};
    }
    return IoStatus::kFailed;
  }
  sent = 0;
  if (corked) {
    Uncork();
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
  TlsError& error = OwnError();
  Kind& kind = error.kind;
  if (after_.exceeded()) {
    kind = Kind::kFlood;
    error.text = PostHandshake::kText;
  } else if (kind == Kind::kPeerAlert) {
    error.text = absl::StrCat("the client sent alert ", SSL_alert_desc_string_long(error.alert));
  } else if (underway_ != nullptr && underway_->unknown_name) {
    kind = Kind::kUnknownName;
    error.text = "unknown server name";
  } else if (underway_ != nullptr && underway_->refused_presented) {
    kind = Kind::kPresented;
    error.text = "client certificate refused in the handshake";
  } else if (underway_ != nullptr && underway_->too_many) {
    kind = Kind::kTooMany;
    error.text = absl::StrCat("the client presented more than ", kMaxPresentedCertificates, " certificates");
  } else if (at == TLS_ST_SR_CERT && ERR_GET_REASON(code) == SSL_R_EXCESSIVE_MESSAGE_SIZE) {
    kind = Kind::kTooMany;
    error.text = absl::StrCat("the client presented certificates of more than ", kMaxPresentedBytes, " bytes together");
  } else if (unproven) {
    kind = Kind::kNotProven;
    error.text = text;
  } else if (ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    kind = Kind::kNoCertificate;
    error.text = "the client sent no certificate, and one is required";
  } else if (socket_error_ != 0) {
    kind = Kind::kSocket;
    error.text = strerror(socket_error_);
  } else if (input_eof_ && (code == 0 || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
    kind = Kind::kEof;
    error.text = "the client closed the connection";
  } else {
    kind = Kind::kProtocol;
    error.text = text.empty() ? absl::StrCat("TLS error ", ssl_error) : text;
  }
  return IoStatus::kFailed;
}

IoStatus TlsSession::Handshake() {
  if (state_ == State::kFailed) return IoStatus::kFailed;
  if (state_ != State::kHandshaking) return IoStatus::kOk;
  ERR_clear_error();
  const Turn turn(this);
  int r = SSL_accept(ssl_.get());
  if (r != 1) {
    int e = SSL_get_error(ssl_.get(), r);
    if (e == SSL_ERROR_WANT_READ) return IoStatus::kWantRead;
    return Fail(e);
  }
  state_ = State::kOpen;
  if (resumed() && underway_->candidate != nullptr) {
    attached_ = underway_->candidate->binding;
    presented_any_ = underway_->candidate->had_certificate;
  }
  underway_.reset();
  return IoStatus::kOk;
}

IoStatus TlsSession::Read(absl::Span<char> into, size_t* n) {
  *n = 0;
  if (state_ == State::kFailed) return IoStatus::kFailed;
  if (state_ == State::kHandshaking) return IoStatus::kWantRead;
  ForgetErrors();
  const Turn turn(this);
  int r = SSL_read_ex(ssl_.get(), into.data(), into.size(), n);
  if (r == 1) {
    after_.Carried(*n);
    return IoStatus::kOk;
  }
  int e = SSL_get_error(ssl_.get(), r);
  if (after_.exceeded()) return Fail(e);
  if (e == SSL_ERROR_WANT_READ) return IoStatus::kWantRead;
  if (e == SSL_ERROR_ZERO_RETURN) return IoStatus::kClosed;
  // A TCP close without close_notify: HTTP's own framing says whether something is missing.
  if (input_eof_ && socket_error_ == 0 && error().kind == TlsError::Kind::kNone &&
      (e == SSL_ERROR_SYSCALL || ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
    ERR_clear_error();
    return IoStatus::kClosed;
  }
  return Fail(e);
}

bool TlsSession::HasPending() const { return ssl_ != nullptr && SSL_has_pending(ssl_.get()) == 1; }

IoStatus TlsSession::Write(absl::string_view data) {
  if (state_ != State::kOpen) return IoStatus::kFailed;
  const Turn turn(this);
  while (!data.empty()) {
    ForgetErrors();
    size_t n = 0;
    int r = SSL_write_ex(ssl_.get(), data.data(), data.size(), &n);
    if (r != 1) return Fail(SSL_get_error(ssl_.get(), r));  // our BIO never refuses a write
    after_.Carried(n);
    data.remove_prefix(n);
  }
  return IoStatus::kOk;
}

void TlsSession::Shutdown() {
  if (state_ != State::kOpen) return;
  state_ = State::kClosing;
  ERR_clear_error();
  const Turn turn(this);
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

// Model is an SSL that never speaks. What an open TLS 1.3 connection needs of its session is the cipher, and of its
// configuration of certificates nothing: those that rest share the model's. Its session has no identifier, so that no context
// ever keeps or removes it. Null: out of memory.
const SSL* Model(const SSL_METHOD* method, const SSL_CIPHER* cipher) {
  static Mutex mutex;
  // A context of the negotiated method: SSL_set_session resets a live connection whose method differs from its context's.
  static SSL_CTX* const bare = SSL_CTX_new(method);
  static auto* const models = new absl::flat_hash_map<const SSL_CIPHER*, SSL*>;
  MutexLock lock(&mutex);
  auto [it, made] = models->try_emplace(cipher, nullptr);
  if (made && bare != nullptr) {
    UniqueSsl model(SSL_new(bare));
    UniqueSession session(SSL_SESSION_new());
    if (model != nullptr && session != nullptr &&
        SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) == 1 &&
        SSL_SESSION_set_cipher(session.get(), cipher) == 1 && SSL_set_session(model.get(), session.get()) == 1) {
      it->second = model.release();
    }
  }
  return it->second;
}

// Makes the key empty, and drops the reference that was taken.
void Empty(EVP_PKEY* key) {
  EVP_PKEY_set_type(key, EVP_PKEY_X25519);
  EVP_PKEY_free(key);
}

}  // namespace

void TlsSession::DropCertificates() {
  SSL* ssl = ssl_.get();
  if (state_ != State::kOpen || SSL_version(ssl) != TLS1_3_VERSION) return;
  const SSL* model = Model(SSL_get_ssl_method(ssl), SSL_SESSION_get0_cipher(SSL_get_session(ssl)));
  if (model == nullptr || SSL_get_ssl_method(ssl) != SSL_get_ssl_method(model) ||
      SSL_set_SSL_CTX(ssl, SSL_get_SSL_CTX(model)) == nullptr) {
    ERR_clear_error();
    return;
  }
  // "Shutdown sent" keeps the old session from being removed as a bad one.
  const int shutdown = SSL_get_shutdown(ssl);
  SSL_set_shutdown(ssl, shutdown | SSL_SENT_SHUTDOWN);
  SSL_copy_session_id(ssl, model);  // the session, and the same CERT and not a copy
  SSL_set_shutdown(ssl, shutdown);
  // The keys of the key exchange have served; OpenSSL would keep them until the end.
  EVP_PKEY* key = nullptr;
  if (SSL_get_tmp_key(ssl, &key) == 1) Empty(key);
  if (SSL_get_peer_tmp_key(ssl, &key) == 1) Empty(key);
  ERR_clear_error();
}

}  // namespace gatehouse::tls
