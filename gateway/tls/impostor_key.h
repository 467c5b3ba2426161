// ImpostorKey pretends to be the key of somebody's certificate: its public half is theirs, what it signs is not. For tests
// only: with it a client presents a certificate whose key it does not hold.
#pragma once

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "gateway/base/openssl.h"

namespace gatehouse::tls {

// REQUIRES: both are P-256 keys.
inline UniqueKey ImpostorKey(EVP_PKEY* victim, EVP_PKEY* own) {
  unsigned char point[133];
  size_t size = 0;
  BIGNUM* secret = nullptr;
  EVP_PKEY_get_octet_string_param(victim, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &size);
  EVP_PKEY_get_bn_param(own, OSSL_PKEY_PARAM_PRIV_KEY, &secret);
  OSSL_PARAM_BLD* build = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
  OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, size);
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret);
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(build);
  EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr);
  EVP_PKEY* key = nullptr;
  EVP_PKEY_fromdata_init(ctx);
  EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(build);
  BN_clear_free(secret);
  return UniqueKey(key);
}

}  // namespace gatehouse::tls
