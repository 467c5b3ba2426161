#include "gateway/certs/pkcs12.h"

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::certs {
namespace {

using UniquePbe = std::unique_ptr<PBEPARAM, OpenSslDeleter<PBEPARAM_free>>;
using UniquePbe2 = std::unique_ptr<PBE2PARAM, OpenSslDeleter<PBE2PARAM_free>>;
using UniquePbkdf2 = std::unique_ptr<PBKDF2PARAM, OpenSslDeleter<PBKDF2PARAM_free>>;

absl::Status CheckIterations(const ASN1_INTEGER* iterations) {
  const long n = iterations == nullptr ? 1 : ASN1_INTEGER_get(iterations);
  if (n > 0 && n <= kMaxPfxIterations) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("PFX: its password is hashed more than ", kMaxPfxIterations, " times"));
}

// The sequence of an algorithm's parameters, read as T.
template <typename Owner, typename T>
Owner Parameters(const X509_ALGOR* algorithm, const ASN1_ITEM* item) {
  const void* value = nullptr;
  int type = V_ASN1_UNDEF;
  X509_ALGOR_get0(nullptr, &type, &value, algorithm);
  if (type != V_ASN1_SEQUENCE) return nullptr;
  return Owner(static_cast<T*>(ASN1_item_unpack(static_cast<const ASN1_STRING*>(value), item)));
}

int NidOf(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  return OBJ_obj2nid(object);
}

// What cannot be read here OpenSSL cannot either, and says so.
absl::Status CheckAlgorithm(const X509_ALGOR* algorithm) {
  if (algorithm == nullptr) return absl::OkStatus();
  if (NidOf(algorithm) != NID_pbes2) {
    const auto pbe = Parameters<UniquePbe, PBEPARAM>(algorithm, ASN1_ITEM_rptr(PBEPARAM));
    return pbe == nullptr ? absl::OkStatus() : CheckIterations(pbe->iter);
  }
  const auto pbe2 = Parameters<UniquePbe2, PBE2PARAM>(algorithm, ASN1_ITEM_rptr(PBE2PARAM));
  if (pbe2 == nullptr || NidOf(pbe2->keyfunc) != NID_id_pbkdf2) return absl::OkStatus();  // scrypt: bounded by OpenSSL
  const auto pbkdf2 = Parameters<UniquePbkdf2, PBKDF2PARAM>(pbe2->keyfunc, ASN1_ITEM_rptr(PBKDF2PARAM));
  return pbkdf2 == nullptr ? absl::OkStatus() : CheckIterations(pbkdf2->iter);
}

absl::Status CheckBags(const STACK_OF(PKCS12_SAFEBAG) * bags, int depth) {
  for (int i = 0; depth < 5 && i < sk_PKCS12_SAFEBAG_num(bags); ++i) {
    const PKCS12_SAFEBAG* bag = sk_PKCS12_SAFEBAG_value(bags, i);
    if (PKCS12_SAFEBAG_get_nid(bag) == NID_pkcs8ShroudedKeyBag) {
      const X509_ALGOR* algorithm = nullptr;
      X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, nullptr);
      GH_RETURN_IF_ERROR(CheckAlgorithm(algorithm));
    } else if (PKCS12_SAFEBAG_get_nid(bag) == NID_safeContentsBag) {
      GH_RETURN_IF_ERROR(CheckBags(PKCS12_SAFEBAG_get0_safes(bag), depth + 1));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void FreeSafes(STACK_OF(PKCS7) * s) { sk_PKCS7_pop_free(s, PKCS7_free); }
void FreeBags(STACK_OF(PKCS12_SAFEBAG) * s) { sk_PKCS12_SAFEBAG_pop_free(s, PKCS12_SAFEBAG_free); }

absl::Status CheckPfxCost(const PKCS12& pfx) {
  const ASN1_INTEGER* iterations = nullptr;
  PKCS12_get0_mac(nullptr, nullptr, nullptr, &iterations, &pfx);
  GH_RETURN_IF_ERROR(CheckIterations(iterations));
  const UniqueSafes safes(PKCS12_unpack_authsafes(&pfx));
  absl::Status status;
  for (int i = 0; status.ok() && i < sk_PKCS7_num(safes.get()); ++i) {
    PKCS7* safe = sk_PKCS7_value(safes.get(), i);
    if (OBJ_obj2nid(safe->type) == NID_pkcs7_encrypted && safe->d.encrypted != nullptr) {
      status = CheckAlgorithm(safe->d.encrypted->enc_data->algorithm);
    } else if (OBJ_obj2nid(safe->type) == NID_pkcs7_data) {
      status = CheckBags(UniqueBags(PKCS12_unpack_p7data(safe)).get(), 0);
    }
  }
  ERR_clear_error();
  return status;
}

}  // namespace gatehouse::certs
