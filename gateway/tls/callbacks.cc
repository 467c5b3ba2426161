#include "gateway/tls/callbacks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace gatehouse::tls {
namespace {

// The server_name extension (RFC 6066 3): list length, type host_name, name length, name. "" when absent or odd.
std::string ServerName(SSL* ssl) {
  const unsigned char* p = nullptr;
  size_t n = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5) return "";
  size_t list = static_cast<size_t>(p[0] << 8 | p[1]);
  size_t length = static_cast<size_t>(p[3] << 8 | p[4]);
  if (list + 2 != n || p[2] != TLSEXT_NAMETYPE_host_name || length + 5 != n) return "";
  return absl::AsciiStrToLower(absl::string_view(reinterpret_cast<const char*>(p + 5), length));
}

int VerifyMode(ClientCertificate c) {
  switch (c) {
    case ClientCertificate::kNone:
      return SSL_VERIFY_NONE;
    case ClientCertificate::kAllow:
      return SSL_VERIFY_PEER;
    case ClientCertificate::kRequire:
      break;
  }
  return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

// Certificates of a Certificate message without its header (RFC 5246 7.4.2, RFC 8446 4.4.2), as far as it can be read.
size_t CountCertificates(absl::string_view body, bool tls13) {
  const auto skip = [&body](size_t length_size) {
    size_t length = 0;
    if (body.size() < length_size) return false;
    for (size_t i = 0; i < length_size; ++i) length = length << 8 | static_cast<unsigned char>(body[i]);
    if (body.size() - length_size < length) return false;
    body.remove_prefix(length_size + length);
    return true;
  };
  if ((tls13 && !skip(1)) || body.size() < 3) return 0;
  body.remove_prefix(3);
  size_t count = 0;
  while (skip(3)) {
    ++count;
    if (tls13 && !skip(2)) break;
  }
  return count;
}

}  // namespace

void SessionCallbacks::Message(int write, int, int type, const void* data, size_t size, SSL* ssl, void*) {
  if (type != SSL3_RT_HANDSHAKE && type != SSL3_RT_ALERT) return;
  if (TlsSession* s = Of(ssl); s->underway_ == nullptr) return s->after_.Note(ssl, write, type);
  constexpr size_t kHeader = 4;
  const auto* octets = static_cast<const unsigned char*>(data);
  if (write != 0 || type != SSL3_RT_HANDSHAKE || size <= kHeader || octets[0] != SSL3_MT_CERTIFICATE) return;
  const absl::string_view body(reinterpret_cast<const char*>(octets + kHeader), size - kHeader);
  if (CountCertificates(body, SSL_version(ssl) == TLS1_3_VERSION) <= kMaxPresentedCertificates) return;
  // There is no way to say no from here, so the message, which lies in a buffer of the SSL, gets a length that it cannot
  // have: OpenSSL ends the handshake by it and decodes nothing (decision 39).
  Of(ssl)->underway_->too_many = true;
  const_cast<unsigned char*>(octets)[kHeader] = 0xff;
}

int SessionCallbacks::ClientHello(SSL* ssl, int* alert, void*) {
  TlsSession* s = Of(ssl);
  if (s->underway_ == nullptr) {  // nobody renegotiates here: OpenSSL has been told so
    *alert = SSL_AD_UNEXPECTED_MESSAGE;
    return SSL_CLIENT_HELLO_ERROR;
  }
  std::string sni = ServerName(ssl);
  if (s->underway_->hello_seen && sni != s->sni()) {
    // The second hello after a HelloRetryRequest may not ask for somebody else (RFC 8446 4.1.2).
    *alert = SSL_AD_ILLEGAL_PARAMETER;
    return SSL_CLIENT_HELLO_ERROR;
  }
  s->underway_->hello_seen = true;
  const unsigned char* ignored = nullptr;
  size_t ignored_length = 0;
  s->underway_->offers_ems =
      SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_extended_master_secret, &ignored, &ignored_length) == 1;
  if (!sni.empty()) s->SetName(std::move(sni));
  const ServerContext::Name* name = s->context_->Find(s->sni());
  if (name == nullptr) {
    s->underway_->unknown_name = true;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_CLIENT_HELLO_ERROR;
  }
  s->name_ = name;
  // SSL_set_SSL_CTX brings certificates, CA hints and callbacks; what SSL_new had copied must be set again by hand, or a
  // name that demands certificates would not ask for them.
  if (SSL_get_SSL_CTX(ssl) != name->ctx.get() && SSL_set_SSL_CTX(ssl, name->ctx.get()) == nullptr) {
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
  }
  SSL_set_verify(ssl, VerifyMode(name->client_certificate), nullptr);
  // RFC 6066 3: a session is not resumed under another server name, though one configuration may serve many.
  Sha256Digest& session_context = s->underway_->session_context;
  session_context = name->session_context;
  if (s->sni_ != nullptr) session_context = Sha256(absl::StrCat(AsView(name->session_context), *s->sni_));
  if (SSL_set_session_id_context(ssl, session_context.data(), static_cast<unsigned>(session_context.size())) != 1 ||
      SSL_set_min_proto_version(ssl, name->min_version) != 1 ||
      SSL_set_max_proto_version(ssl, name->max_version) != 1) {
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
  }
  UseTickets(ssl, s);
  return SSL_CLIENT_HELLO_SUCCESS;
}

int SessionCallbacks::Alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                           const unsigned char* in, unsigned in_length, void*) {
  static constexpr unsigned char kBoth[] = "\x02h2\x08http/1.1";
  TlsSession* s = Of(ssl);
  const unsigned char* ours = s->context_->http2() ? kBoth : kBoth + 3;
  unsigned n = static_cast<unsigned>(s->context_->http2() ? sizeof kBoth - 1 : sizeof kBoth - 4);
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, ours, n, in, in_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

int SessionCallbacks::Verify(X509_STORE_CTX* store, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsSession* s = Of(ssl);
  s->presented_any_ = true;
  std::vector<X509*> chain;
  STACK_OF(X509)* stack = X509_STORE_CTX_get0_untrusted(store);
  for (int i = 0; i < sk_X509_num(stack); ++i) chain.push_back(sk_X509_value(stack, i));
  Presented answer = s->hooks_ == nullptr ? Presented::kGoOn : s->hooks_->OnPresented(*s, chain);
  int error = X509_V_ERR_APPLICATION_VERIFICATION;
  switch (answer) {
    case Presented::kGoOn:
      X509_STORE_CTX_set_error(store, X509_V_OK);
      return 1;
    case Presented::kUnknownCa:
      error = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
      break;
    case Presented::kExpired:
      error = X509_V_ERR_CERT_HAS_EXPIRED;
      break;
    case Presented::kRevoked:
      error = X509_V_ERR_CERT_REVOKED;
      break;
    case Presented::kBadCertificate:
      error = X509_V_ERR_CERT_REJECTED;
      break;
  }
  s->underway_->refused_presented = true;
  X509_STORE_CTX_set_error(store, error);
  return 0;
}

std::optional<SessionBinding> SessionCallbacks::MayKeep(TlsSession* s, bool resumed) {
  if (s->hooks_ == nullptr || s->name_ == nullptr) return std::nullopt;
  if (resumed && s->underway_->candidate != nullptr) {
    s->attached_ = s->underway_->candidate->binding;
    s->presented_any_ = s->underway_->candidate->had_certificate;
  }
  // A session without certificate, where one could be sent, would resume without asking again.
  if (s->name_->client_certificate != ClientCertificate::kNone && !s->presented_any_) return std::nullopt;
  // RFC 7627 5.3. Offered is negotiated: OpenSSL's server always takes it (SSL_get_extms_support is mute in a handshake).
  if (SSL_version(s->ssl()) != TLS1_3_VERSION && !s->underway_->offers_ems) return std::nullopt;
  return s->hooks_->MayStore(*s);
}

bool SessionCallbacks::MayUse(TlsSession* s, const SessionRecord& r) {
  return s->name_ != nullptr && r.context == s->underway_->session_context && r.version == SSL_version(s->ssl()) &&
         (s->name_->client_certificate == ClientCertificate::kNone || r.had_certificate) &&
         s->hooks_->MayResume(*s, r);
}

int SessionCallbacks::NewSession(SSL* ssl, SSL_SESSION* session) {
  TlsSession* s = Of(ssl);
  SessionCache* cache = s->context_->session_cache();
  if (cache == nullptr) return 0;
  // TLS 1.3 tells of sessions that are in tickets, too.
  if (SSL_version(ssl) == TLS1_3_VERSION && (SSL_get_options(ssl) & SSL_OP_NO_TICKET) == 0) return 0;
  // Possession is proven here: TLS calls this after the client's Finished.
  bool resumed = SSL_session_reused(ssl) == 1;
  std::optional<SessionBinding> binding = MayKeep(s, resumed);
  if (!binding.has_value()) return 0;

  SessionRecord record;
  unsigned length = 0;
  const unsigned char* id = SSL_SESSION_get_id(session, &length);
  if (length < 16 || length > record.id.size()) return 0;
  std::copy(id, id + length, record.id.begin());
  record.id_length = static_cast<uint8_t>(length);
  record.master_key_length = static_cast<uint8_t>(
      SSL_SESSION_get_master_key(session, record.master_key.data(), record.master_key.size()));
  record.cipher = SSL_CIPHER_get_protocol_id(SSL_SESSION_get0_cipher(session));
  record.version = static_cast<uint16_t>(SSL_version(ssl));
  record.created = s->context_->Now();
  record.lifetime_seconds = static_cast<uint32_t>(absl::ToInt64Seconds(s->context_->session_lifetime()));
  record.context = s->underway_->session_context;
  record.had_certificate = s->presented_any_;
  record.binding = *std::move(binding);
  // A chain of resumptions ends when the first handshake's lifetime does: possession must be proven again.
  if (resumed && s->underway_->candidate != nullptr) {
    record.created = s->underway_->candidate->created;
    record.lifetime_seconds = s->underway_->candidate->lifetime_seconds;
  }
  cache->Put(record);
  return 0;  // we keep no reference to the SSL_SESSION
}

SSL_SESSION* SessionCallbacks::GetSession(SSL* ssl, const unsigned char* id, int length, int* copy) {
  *copy = 0;
  TlsSession* s = Of(ssl);
  SessionCache* cache = s->context_->session_cache();
  if (cache == nullptr || s->hooks_ == nullptr || s->name_ == nullptr || length <= 0 || length > 32) return nullptr;
  absl::string_view wanted(reinterpret_cast<const char*>(id), static_cast<size_t>(length));
  // After a HelloRetryRequest the same session is looked up again, but a TLS 1.3 record could be taken only once.
  std::unique_ptr<SessionRecord>& candidate = s->underway_->candidate;
  const bool again = candidate != nullptr && candidate->Id() == wanted;
  if (!again) {
    candidate.reset();
    std::optional<SessionRecord> record = cache->Take(wanted, s->context_->Now());
    if (!record.has_value()) return nullptr;
    candidate = std::make_unique<SessionRecord>(*std::move(record));
  }
  if (!MayUse(s, *candidate)) {
    candidate.reset();
    return nullptr;
  }
  UniqueSession session = Rebuild(ssl, *candidate);
  if (session == nullptr) candidate.reset();
  return session.release();
}

UniqueSession SessionCallbacks::Rebuild(SSL* ssl, const SessionRecord& r) {
  UniqueSession session(SSL_SESSION_new());
  const unsigned char cipher_id[2] = {static_cast<unsigned char>(r.cipher >> 8),
                                      static_cast<unsigned char>(r.cipher & 0xff)};
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, cipher_id);
  if (session == nullptr || cipher == nullptr ||
      SSL_SESSION_set1_id(session.get(), r.id.data(), r.id_length) != 1 ||
      SSL_SESSION_set1_id_context(session.get(), r.context.data(), static_cast<unsigned>(r.context.size())) != 1 ||
      SSL_SESSION_set1_master_key(session.get(), r.master_key.data(), r.master_key_length) != 1 ||
      SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session.get(), r.version) != 1) {
    TakeOpenSslError();
    return nullptr;
  }
  SSL_SESSION_set_time(session.get(), static_cast<long>(absl::ToUnixSeconds(r.created)));
  // Our cache has judged the age by its own clock; OpenSSL compares with the system's.
  SSL_SESSION_set_timeout(session.get(), 7L * 24 * 3600);
  if (r.version == TLS1_3_VERSION) return session;

  // There is no setter for "made with the extended master secret", and without that mark a client that offers it is never
  // resumed. The mark is a field of the session's ASN.1 form, flags [13] EXPLICIT INTEGER 1, which goes in by order of tags.
  SSL_SESSION_set_time(session.get(), time(nullptr));
  int n = i2d_SSL_SESSION(session.get(), nullptr);
  if (n <= 0 || n > 1000) return nullptr;
  std::vector<unsigned char> der(static_cast<size_t>(n));
  unsigned char* p = der.data();
  i2d_SSL_SESSION(session.get(), &p);
  static constexpr unsigned char kFlags[] = {0xAD, 0x03, 0x02, 0x01, 0x01};
  size_t header = der[1] < 0x80 ? 2 : der[1] == 0x81 ? 3 : 4;
  size_t content = der.size() - header + sizeof kFlags;
  std::vector<unsigned char> marked = {0x30, 0x82, static_cast<unsigned char>(content >> 8),
                                       static_cast<unsigned char>(content & 0xff)};
  size_t at = header;
  while (at + 1 < der.size() && der[at] < kFlags[0] && der[at + 1] < 0x80) at += 2u + der[at + 1];  // all fields are short
  if (at > der.size()) return nullptr;
  auto split = der.begin() + static_cast<std::ptrdiff_t>(at);
  marked.insert(marked.end(), der.begin() + static_cast<std::ptrdiff_t>(header), split);
  marked.insert(marked.end(), kFlags, kFlags + sizeof kFlags);
  marked.insert(marked.end(), split, der.end());
  const unsigned char* q = marked.data();
  UniqueSession result(d2i_SSL_SESSION(nullptr, &q, static_cast<long>(marked.size())));
  OPENSSL_cleanse(der.data(), der.size());
  OPENSSL_cleanse(marked.data(), marked.size());
  if (result == nullptr) TakeOpenSslError();
  return result;
}

void SessionCallbacks::Info(const SSL* ssl, int where, int value) {
  if ((where & SSL_CB_ALERT) == 0) return;
  TlsSession* s = Of(ssl);
  int number = value & 0xff;
  if (number == SSL_AD_CLOSE_NOTIFY || number == SSL_AD_USER_CANCELLED) return;
  s->OwnError().alert = number;
  if ((where & SSL_CB_READ) != 0) s->OwnError().kind = TlsError::Kind::kPeerAlert;
}

}  // namespace gatehouse::tls
