// Stateless session tickets (RFC 5077, RFC 8446 4.6.1): sealing, opening, and what of ours is inside.
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "gateway/tls/callbacks.h"
#include "gateway/tls/ticket_keys.h"

namespace gatehouse::tls {
namespace {

// A ticket travels in every hello: certificates over these sizes are not put in one, and the session is kept in memory.
constexpr size_t kMaxLeaf = 8 * 1024;
constexpr size_t kMaxIntermediates = 8 * 1024;

// The application data of a ticket: what OpenSSL's own session does not hold, and judging a resumption needs.
//
//   octet    version, 1
//   octet    1: a certificate was presented
//   8 octets when the first handshake of the chain was made, Unix seconds, big endian
//   4 octets lifetime from then, seconds, big endian
//   32       TlsSession's session context
//   rest     intermediates as presented: 4 octets of length and the DER, each
constexpr uint8_t kVersion = 1;
constexpr size_t kFixed = 2 + 8 + 4 + 32;

void PutNumber(uint64_t value, int octets, std::string* out) {
  for (int i = octets - 1; i >= 0; --i) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t TakeNumber(int octets, absl::string_view* from) {
  uint64_t value = 0;
  for (int i = 0; i < octets; ++i) value = value << 8 | static_cast<unsigned char>((*from)[static_cast<size_t>(i)]);
  from->remove_prefix(static_cast<size_t>(octets));
  return value;
}

std::string DerOf(const X509* certificate) {
  int size = i2d_X509(certificate, nullptr);
  std::string der(size > 0 ? static_cast<size_t>(size) : 0, '\0');
  auto* p = reinterpret_cast<unsigned char*>(der.data());
  if (size <= 0 || i2d_X509(certificate, &p) != size) {
    TakeOpenSslError();
    return {};
  }
  return der;
}

// False: over the sizes.
bool PutIntermediates(const std::vector<X509*>& presented, std::string* out) {
  if (presented.empty()) return true;
  if (DerOf(presented.front()).size() > kMaxLeaf) return false;
  for (size_t i = 1; i < presented.size(); ++i) {
    std::string der = DerOf(presented[i]);
    PutNumber(der.size(), 4, out);
    out->append(der);
    if (out->size() > kMaxIntermediates) return false;
  }
  return true;
}

bool TakeIntermediates(absl::string_view from, std::vector<std::string>* out) {
  while (!from.empty()) {
    if (from.size() < 4) return false;
    const uint64_t size = TakeNumber(4, &from);
    if (size > from.size()) return false;
    out->emplace_back(from.substr(0, size));
    from.remove_prefix(size);
  }
  return true;
}

bool UseKey(const TicketKey& key, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seal) {
  static char digest[] = "SHA256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<uint8_t*>(key.secret.data()) + 32, 32),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  static_assert(TicketKey::kSecretSize == 64);
  if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.secret.data(), iv, seal) == 1 &&
      EVP_MAC_CTX_set_params(mac, params) == 1) {
    return true;
  }
  TakeOpenSslError();
  return false;
}

}  // namespace

void SessionCallbacks::UseTickets(SSL* ssl, TlsSession* s) {
  const ServerContext& context = *s->context_;
  // Held until the handshake ends: a key that goes meanwhile still seals this one ticket.
  s->underway_->sealing_key = context.ticket_keys() == nullptr ? nullptr : context.ticket_keys()->Issuing(context.Now());
  if (s->underway_->sealing_key != nullptr) {
    SSL_clear_options(ssl, SSL_OP_NO_TICKET);
  } else {
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
  }
}

// OpenSSL encrypts, then authenticates with the MAC, which it checks before it decrypts.
int SessionCallbacks::TicketKeyOf(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                                  EVP_MAC_CTX* mac, int seal) {
  const ServerContext& context = *Of(ssl)->context_;
  if (context.ticket_keys() == nullptr) return seal != 0 ? -1 : 0;
  if (seal != 0) {
    TicketKeyRef key = Of(ssl)->underway_->sealing_key;
    if (key == nullptr || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
    std::copy(key->name.begin(), key->name.end(), name);
    return UseKey(*key, iv, cipher, mac, 1) ? 1 : -1;
  }
  TicketKeyRef key =
      context.ticket_keys()->Find(absl::string_view(reinterpret_cast<char*>(name), TicketKey::kNameSize), context.Now());
  if (key == nullptr) return 0;
  if (!UseKey(*key, iv, cipher, mac, 0)) return -1;
  return key == context.ticket_keys()->Issuing(context.Now()) ? 1 : 2;
}

int SessionCallbacks::SealTicket(SSL* ssl, void*) {
  TlsSession* s = Of(ssl);
  if ((SSL_get_options(ssl) & SSL_OP_NO_TICKET) != 0) return 1;
  const bool resumed = SSL_session_reused(ssl) == 1;
  std::string data;
  std::string intermediates;
  bool fits = true;
  if (!resumed) {
    fits = PutIntermediates(s->PresentedChain(), &intermediates);
  } else if (s->underway_->ticket_chain != nullptr) {
    intermediates = *s->underway_->ticket_chain;
  } else {
    fits = false;  // resumed from memory, which keeps no certificates in a form that could be sent
  }
  if (fits && MayKeep(s, resumed).has_value()) {
    const SessionRecord* first = resumed ? s->underway_->candidate.get() : nullptr;
    const absl::Time created = first != nullptr ? first->created : s->context_->Now();
    const absl::Duration lifetime = first != nullptr ? first->lifetime() : s->context_->session_lifetime();
    PutNumber(kVersion, 1, &data);
    PutNumber(s->presented_any_, 1, &data);
    PutNumber(static_cast<uint64_t>(absl::ToUnixSeconds(created)), 8, &data);
    PutNumber(static_cast<uint64_t>(absl::ToInt64Seconds(lifetime)), 4, &data);
    data.append(AsView(s->underway_->session_context).data(), s->underway_->session_context.size());
    data.append(intermediates);
  } else if (SSL_version(ssl) == TLS1_3_VERSION) {
    SSL_set_options(ssl, SSL_OP_NO_TICKET);  // decided before the ticket is made: a session in memory instead, or none
    return 1;
  }
  // TLS 1.2 has promised a ticket in its hello already: one that is refused later carries nothing of ours.
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data.data(), data.size());
}

SSL_TICKET_RETURN SessionCallbacks::OpenTicket(SSL* ssl, SSL_SESSION* session, const unsigned char*, size_t,
                                               SSL_TICKET_STATUS status, void*) {
  TlsSession* s = Of(ssl);
  s->underway_->candidate.reset();
  s->underway_->ticket_chain.reset();
  if (session == nullptr || (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  void* raw = nullptr;
  size_t size = 0;
  if (SSL_SESSION_get0_ticket_appdata(session, &raw, &size) != 1 || size < kFixed) return SSL_TICKET_RETURN_IGNORE_RENEW;
  absl::string_view data(static_cast<const char*>(raw), size);
  if (TakeNumber(1, &data) != kVersion) return SSL_TICKET_RETURN_IGNORE_RENEW;
  auto record = std::make_unique<SessionRecord>();
  record->had_certificate = TakeNumber(1, &data) == 1;
  record->created = absl::FromUnixSeconds(static_cast<int64_t>(TakeNumber(8, &data)));
  record->lifetime_seconds = static_cast<uint32_t>(TakeNumber(4, &data));
  std::memcpy(record->context.data(), data.data(), record->context.size());
  data.remove_prefix(record->context.size());
  record->version = static_cast<uint16_t>(SSL_SESSION_get_protocol_version(session));

  std::vector<std::string> presented;
  if (const X509* leaf = SSL_SESSION_get0_peer(session)) {
    presented.push_back(DerOf(leaf));
    if (!TakeIntermediates(data, &presented)) return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  const absl::Time now = s->context_->Now();
  if (s->hooks_ == nullptr || record->had_certificate != !presented.empty() || now < record->created - absl::Minutes(5) ||
      now >= record->created + record->lifetime()) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  if (!presented.empty()) record->binding.user = s->hooks_->Revive(*s, presented);
  if (record->had_certificate && record->binding.user == nullptr) return SSL_TICKET_RETURN_IGNORE_RENEW;
  if (!MayUse(s, *record)) return SSL_TICKET_RETURN_IGNORE_RENEW;
  s->underway_->candidate = std::move(record);
  s->underway_->ticket_chain = std::make_unique<std::string>(data);
  // Renewed each time, so that a chain of resumptions does not end with the key.
  return SSL_TICKET_RETURN_USE_RENEW;
}

}  // namespace gatehouse::tls
