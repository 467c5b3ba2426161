// The functions that OpenSSL calls back, tied to the TlsSession of an SSL. Internal to this folder.
#pragma once

#include <openssl/ssl.h>

#include "gateway/tls/tls_session.h"

namespace gatehouse::tls {

struct SessionCallbacks {
  static TlsSession* Of(const SSL* ssl) { return static_cast<TlsSession*>(SSL_get_app_data(ssl)); }
  static int ClientHello(SSL* ssl, int* alert, void*);
  static int Alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                  unsigned in_length, void*);
  static int Verify(X509_STORE_CTX* store, void*);
  static int NewSession(SSL* ssl, SSL_SESSION* session);
  static SSL_SESSION* GetSession(SSL* ssl, const unsigned char* id, int length, int* copy);
  static void Info(const SSL* ssl, int where, int value);

 private:
  static UniqueSession Rebuild(SSL* ssl, const SessionRecord& record);
};

}  // namespace gatehouse::tls
