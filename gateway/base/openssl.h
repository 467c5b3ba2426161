// Owners for OpenSSL objects, and the one place that drains its error queue.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace gatehouse {

template <auto Free>
struct OpenSslDeleter {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
inline void FreeX509Stack(STACK_OF(X509) * s) { sk_X509_pop_free(s, X509_free); }
inline void FreeCrlStack(STACK_OF(X509_CRL) * s) { sk_X509_CRL_pop_free(s, X509_CRL_free); }

using UniqueX509 = std::unique_ptr<X509, OpenSslDeleter<X509_free>>;
using UniqueCrl = std::unique_ptr<X509_CRL, OpenSslDeleter<X509_CRL_free>>;
using UniqueKey = std::unique_ptr<EVP_PKEY, OpenSslDeleter<EVP_PKEY_free>>;
using UniqueBio = std::unique_ptr<BIO, OpenSslDeleter<BIO_free_all>>;
using UniqueSslCtx = std::unique_ptr<SSL_CTX, OpenSslDeleter<SSL_CTX_free>>;
using UniqueSsl = std::unique_ptr<SSL, OpenSslDeleter<SSL_free>>;
using UniqueSession = std::unique_ptr<SSL_SESSION, OpenSslDeleter<SSL_SESSION_free>>;
using UniqueStore = std::unique_ptr<X509_STORE, OpenSslDeleter<X509_STORE_free>>;
using UniqueStoreCtx = std::unique_ptr<X509_STORE_CTX, OpenSslDeleter<X509_STORE_CTX_free>>;
using UniqueX509Stack = std::unique_ptr<STACK_OF(X509), OpenSslDeleter<FreeX509Stack>>;
using UniqueCrlStack = std::unique_ptr<STACK_OF(X509_CRL), OpenSslDeleter<FreeCrlStack>>;

// TakeOpenSslError returns the oldest queued error as text ("no error" when none) and empties the thread's queue.
std::string TakeOpenSslError();
// A status of kInvalidArgument: "<what>: <oldest queued error>". Empties the queue.
absl::Status OpenSslError(absl::string_view what);

// A read-only BIO over `bytes`, which must outlive it.
UniqueBio MemoryBio(absl::string_view bytes);

}  // namespace gatehouse
