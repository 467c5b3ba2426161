// The functions that OpenSSL calls back, tied to the TlsSession of an SSL. Internal to this folder.
#pragma once

#include <openssl/ssl.h>

#include "absl/base/internal/raw_logging.h"
#include "gateway/tls/tls_session.h"

namespace gatehouse::tls {

struct SessionCallbacks {
  // The BIO knows its session, which spares each SSL the tables that data of ours would need (96 octets). Whose it is is
  // looked at each time: one taken for another would be one client taken for another.
  static TlsSession* Of(const SSL* ssl) {
    auto* session = static_cast<TlsSession*>(BIO_get_data(SSL_get_rbio(ssl)));
    ABSL_RAW_CHECK(session != nullptr && session->ssl() == ssl, "OpenSSL was called for a session that is not bound");
    return session;
  }
  static int ClientHello(SSL* ssl, int* alert, void*);
  static int Alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                  unsigned in_length, void*);
  static int Verify(X509_STORE_CTX* store, void*);
  static int NewSession(SSL* ssl, SSL_SESSION* session);
  static SSL_SESSION* GetSession(SSL* ssl, const unsigned char* id, int length, int* copy);
  static void Info(const SSL* ssl, int where, int value);
  // Each message of a handshake, before OpenSSL looks into it, and what is said later that is no data.
  static void Message(int write, int version, int type, const void* data, size_t size, SSL* ssl, void*);

  // Tickets (tickets.cc).
  static int TicketKeyOf(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                         int seal);
  static int SealTicket(SSL* ssl, void*);
  static SSL_TICKET_RETURN OpenTicket(SSL* ssl, SSL_SESSION* session, const unsigned char* name, size_t name_size,
                                      SSL_TICKET_STATUS status, void*);

 private:
  // Whether this handshake gives tickets or sessions in memory.
  static void UseTickets(SSL* ssl, TlsSession* session);
  // The binding of a session that may be resumed later; possession is proven. Both kinds of session ask it.
  static std::optional<SessionBinding> MayKeep(TlsSession* session, bool resumed);
  // Whether this session may be resumed in this handshake.
  static bool MayUse(TlsSession* session, const SessionRecord& record);
  static UniqueSession Rebuild(SSL* ssl, const SessionRecord& record);
};

}  // namespace gatehouse::tls
