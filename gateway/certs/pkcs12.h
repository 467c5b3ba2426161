// The owner of a PKCS#12 container, shared by mint and server credentials.
#pragma once

#include <openssl/pkcs12.h>

#include <memory>

#include "gateway/base/openssl.h"

namespace gatehouse::certs {

using UniquePkcs12 = std::unique_ptr<PKCS12, OpenSslDeleter<PKCS12_free>>;

}  // namespace gatehouse::certs
