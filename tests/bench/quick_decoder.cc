#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/bench/quick_decoder.h"

#include <openssl/engine.h>
#include <openssl/evp.h>

namespace gatehouse::bench {
namespace {

int BuiltInMethods(ENGINE* /*engine*/, EVP_PKEY_METHOD** method, const int** ids, int id) {
  static const int kIds[] = {EVP_PKEY_EC, EVP_PKEY_RSA};
  if (method == nullptr) {
    *ids = kIds;
    return 2;
  }
  *method = const_cast<EVP_PKEY_METHOD*>(EVP_PKEY_meth_find(id));
  return *method != nullptr ? 1 : 0;
}

}  // namespace

void UseQuickDecoder() {
  ENGINE* engine = ENGINE_new();
  ENGINE_set_id(engine, "bench");
  ENGINE_set_name(engine, "the built-in methods");
  ENGINE_set_pkey_meths(engine, BuiltInMethods);
  ENGINE_add(engine);
  ENGINE_register_pkey_meths(engine);
}

}  // namespace gatehouse::bench
