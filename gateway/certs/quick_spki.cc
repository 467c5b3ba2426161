#define OPENSSL_SUPPRESS_DEPRECATED
#include "gateway/certs/quick_spki.h"

#include <openssl/opensslconf.h>

#if defined(GATEHOUSE_QUICK_SPKI) && !defined(OPENSSL_NO_ENGINE)
#include <openssl/engine.h>
#include <openssl/evp.h>

#include "gateway/base/openssl.h"

namespace gatehouse::certs {
namespace {

// Hands back OpenSSL's own methods: nothing but the choice of the decoder changes.
int BuiltInMethods(ENGINE* /*engine*/, EVP_PKEY_METHOD** method, const int** ids, int id) {
  static const int kIds[] = {EVP_PKEY_EC, EVP_PKEY_RSA};
  if (method == nullptr) {
    *ids = kIds;
    return 2;
  }
  *method = const_cast<EVP_PKEY_METHOD*>(EVP_PKEY_meth_find(id));
  return *method != nullptr ? 1 : 0;
}

bool Register() {
  ENGINE* engine = ENGINE_new();
  const bool done = engine != nullptr && ENGINE_set_id(engine, "gatehouse-spki") == 1 &&
                    ENGINE_set_name(engine, "OpenSSL's own public key methods") == 1 &&
                    ENGINE_set_pkey_meths(engine, BuiltInMethods) == 1 && ENGINE_add(engine) == 1 &&
                    ENGINE_register_pkey_meths(engine) == 1;
  ENGINE_free(engine);  // OpenSSL's list holds it
  return done;
}

}  // namespace

absl::Status UseQuickSpkiDecoder() {
  static const bool done = Register();
  return done ? absl::OkStatus() : absl::InternalError("OpenSSL took no engine for the quick decoder: " + TakeOpenSslError());
}

}  // namespace gatehouse::certs

#else

namespace gatehouse::certs {

absl::Status UseQuickSpkiDecoder() {
  return absl::UnimplementedError("this program was built without the quick public key decoder");
}

}  // namespace gatehouse::certs

#endif
