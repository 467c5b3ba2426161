#include "gateway/tls/client_session.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gatehouse::tls {
namespace {

bool IsName(const std::string& host) {
  char octets[16];
  return !host.empty() && inet_pton(AF_INET, host.c_str(), octets) != 1 && inet_pton(AF_INET6, host.c_str(), octets) != 1;
}

}  // namespace

ClientSession::ClientSession(std::shared_ptr<const ClientContext> context, std::string host, absl::string_view address,
                             int fd)
    : context_(std::move(context)), host_(std::move(host)), peer_(absl::StrCat(host_, " ", address)), fd_(fd) {
  ssl_.reset(SSL_new(context_->ctx_.get()));
  BIO* bio = SessionBio<ClientSession>::New(this);
  const std::string& sni = context_->server_name_.empty() ? host_ : context_->server_name_;
  if (ssl_ == nullptr || bio == nullptr ||
      (IsName(sni) && SSL_set_tlsext_host_name(ssl_.get(), sni.c_str()) != 1)) {
    BIO_free(bio);
    state_ = State::kFailed;
    error_ = absl::StrCat("TLS: ", TakeOpenSslError());
    return;
  }
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_info_callback(ssl_.get(), OnInfo);
  SSL_set_connect_state(ssl_.get());
  ClientContext::Saved saved = context_->TakeSession(peer_);
  if (saved.session == nullptr) return;
  resumed_until_ = saved.until;
  SSL_set_session(ssl_.get(), saved.session.get());
}

ClientSession::~ClientSession() {
  // Freed without "shutdown sent", OpenSSL would mark the session as not resumable.
  if (ssl_ != nullptr) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

int ClientSession::Receive(char* into, int n, bool* again) {
  const int r = ReceiveFrom(fd_, into, n, again, &input_eof_, &socket_error_);
  input_filled_ = r == n;
  return r;
}

void ClientSession::OnInfo(const SSL* ssl, int where, int value) {
  if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value >> 8) == SSL3_AL_FATAL) {
    static_cast<ClientSession*>(SSL_get_app_data(ssl))->alert_ = value & 0xff;
  }
}

void ClientSession::OnMessage(int write, int, int type, const void*, size_t, SSL* ssl, void*) {
  static_cast<ClientSession*>(SSL_get_app_data(ssl))->after_.Note(ssl, write, type);
}

IoStatus ClientSession::Fail() {
  const bool handshaking = state_ == State::kHandshaking;
  state_ = State::kFailed;
  const bool eof = ERR_peek_error() == 0 || ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  const std::string text = TakeOpenSslError();
  if (after_.exceeded()) {
    error_ = absl::StrCat("TLS: ", PostHandshake::kText);
  } else if (!refused_.empty()) {
    error_ = absl::StrCat("TLS: ", refused_);
  } else if (alert_ >= 0) {
    error_ = absl::StrCat("TLS: it sent the alert ", SSL_alert_desc_string_long(alert_));
  } else if (socket_error_ != 0) {
    error_ = absl::StrCat("TLS: ", strerrordesc_np(socket_error_));
  } else if (input_eof_ && eof) {
    error_ = handshaking ? "TLS: closed in the handshake" : "closed without TLS's close_notify";
  } else {
    error_ = absl::StrCat("TLS: ", text);
  }
  return IoStatus::kFailed;
}

IoStatus ClientSession::Handshake() {
  if (state_ == State::kFailed) return IoStatus::kFailed;
  if (state_ != State::kHandshaking) return IoStatus::kOk;
  ERR_clear_error();
  const int r = SSL_connect(ssl_.get());
  if (r != 1) return SSL_get_error(ssl_.get(), r) == SSL_ERROR_WANT_READ ? IoStatus::kWantRead : Fail();
  const unsigned char* p = nullptr;
  unsigned n = 0;
  SSL_get0_alpn_selected(ssl_.get(), &p, &n);
  const absl::string_view agreed(reinterpret_cast<const char*>(p), n);
  if (context_->http2() ? agreed != "h2" : !(agreed.empty() || agreed == "http/1.1")) {
    state_ = State::kFailed;
    error_ = context_->http2() ? "TLS: it does not speak HTTP/2 (no ALPN protocol h2)"
                               : "TLS: it does not speak HTTP/1.1 (another ALPN protocol)";
    return IoStatus::kFailed;
  }
  state_ = State::kOpen;
  SSL_set_msg_callback(ssl_.get(), OnMessage);
  return IoStatus::kOk;
}

IoStatus ClientSession::Read(char* into, size_t size, size_t* n) {
  *n = 0;
  if (state_ == State::kFailed) return IoStatus::kFailed;
  if (state_ == State::kHandshaking) return IoStatus::kWantRead;
  ERR_clear_error();
  const int r = SSL_read_ex(ssl_.get(), into, size, n);
  if (r == 1) {
    after_.Carried(*n);
    return IoStatus::kOk;
  }
  if (after_.exceeded()) return Fail();
  switch (SSL_get_error(ssl_.get(), r)) {
    case SSL_ERROR_WANT_READ:
      return IoStatus::kWantRead;
    case SSL_ERROR_ZERO_RETURN:
      return IoStatus::kClosed;
    default:
      return Fail();
  }
}

IoStatus ClientSession::Write(absl::string_view data) {
  if (state_ != State::kOpen) return IoStatus::kFailed;
  while (!data.empty()) {
    ERR_clear_error();
    size_t n = 0;
    if (SSL_write_ex(ssl_.get(), data.data(), data.size(), &n) != 1) return Fail();  // our BIO never refuses a write
    after_.Carried(n);
    data.remove_prefix(n);
  }
  return IoStatus::kOk;
}

IoStatus ClientSession::Flush() {
  while (pending_output() > 0) {
    const ssize_t r = send(fd_, output_.data() + sent_, pending_output(), MSG_NOSIGNAL);
    if (r > 0) {
      sent_ += static_cast<size_t>(r);
      continue;
    }
    if (r < 0 && errno == EINTR) continue;
    if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      DropSent(&output_, &sent_);
      return IoStatus::kWantWrite;
    }
    // What the endpoint said before may still be there to be read, and tells more.
    if (socket_error_ == 0) socket_error_ = errno;
    output_.clear();
    sent_ = 0;
    return IoStatus::kFailed;
  }
  sent_ = 0;
  output_.clear();
  if (output_.capacity() > 32 * 1024) std::string().swap(output_);
  return IoStatus::kOk;
}

void ClientSession::Shutdown() {
  if (state_ != State::kOpen) return;
  state_ = State::kClosing;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

}  // namespace gatehouse::tls
