#include "gateway/certs/pkcs12.h"

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include <initializer_list>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::certs {
namespace {

using UniquePbe = std::unique_ptr<PBEPARAM, OpenSslDeleter<PBEPARAM_free>>;
using UniquePbe2 = std::unique_ptr<PBE2PARAM, OpenSslDeleter<PBE2PARAM_free>>;
using UniquePbkdf2 = std::unique_ptr<PBKDF2PARAM, OpenSslDeleter<PBKDF2PARAM_free>>;
using UniqueScrypt = std::unique_ptr<SCRYPT_PARAMS, OpenSslDeleter<SCRYPT_PARAMS_free>>;
using UniqueKeyInfo = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OpenSslDeleter<PKCS8_PRIV_KEY_INFO_free>>;

constexpr int kMaxDepth = 4;  // RFC 7292 section 4.2: bags may hold bags

absl::Status Wrong(absl::string_view what) {
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat("PFX: ", what));
}

absl::Status Unsupported() {
  return Wrong("it is encrypted in a way that is not supported any more; write it anew with `openssl pkcs12 -legacy`");
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

// Budget is what may still be hashed.
class Budget {
 public:
  absl::Status Spend(std::initializer_list<const ASN1_INTEGER*> factors) {
    uint64_t cost = 1;
    for (const ASN1_INTEGER* factor : factors) {
      uint64_t n = 1;
      if (factor != nullptr && (ASN1_INTEGER_get_uint64(&n, factor) != 1 || n > left_)) return TooMuch();
      if (n != 0 && cost > left_ / n) return TooMuch();
      cost *= n;
    }
    left_ -= cost;
    return absl::OkStatus();
  }

  // What cannot be read here OpenSSL cannot either, and says so.
  absl::Status Spend(const X509_ALGOR* algorithm) {
    if (algorithm == nullptr) return absl::OkStatus();
    if (NidOf(algorithm) != NID_pbes2) {
      const auto pbe = Parameters<UniquePbe, PBEPARAM>(algorithm, ASN1_ITEM_rptr(PBEPARAM));
      return pbe == nullptr ? absl::OkStatus() : Spend({pbe->iter});
    }
    const auto pbe2 = Parameters<UniquePbe2, PBE2PARAM>(algorithm, ASN1_ITEM_rptr(PBE2PARAM));
    if (pbe2 == nullptr) return absl::OkStatus();
    if (NidOf(pbe2->keyfunc) == NID_id_scrypt) {  // OpenSSL bounds its memory only
      const auto scrypt = Parameters<UniqueScrypt, SCRYPT_PARAMS>(pbe2->keyfunc, ASN1_ITEM_rptr(SCRYPT_PARAMS));
      if (scrypt == nullptr) return absl::OkStatus();
      return Spend({scrypt->costParameter, scrypt->blockSize, scrypt->parallelizationParameter});
    }
    const auto pbkdf2 = Parameters<UniquePbkdf2, PBKDF2PARAM>(pbe2->keyfunc, ASN1_ITEM_rptr(PBKDF2PARAM));
    return pbkdf2 == nullptr ? absl::OkStatus() : Spend({pbkdf2->iter});
  }

  absl::Status SpendOnMac(const PKCS12& pfx) {
    const ASN1_INTEGER* iterations = nullptr;
    PKCS12_get0_mac(nullptr, nullptr, nullptr, &iterations, &pfx);
    return Spend({iterations});
  }

 private:
  static absl::Status TooMuch() { return Wrong(absl::StrCat("its password is hashed more than ", kMaxPfxIterations, " times")); }

  uint64_t left_ = kMaxPfxIterations;
};

const X509_ALGOR* AlgorithmOf(const PKCS7& safe) {
  return safe.d.encrypted == nullptr || safe.d.encrypted->enc_data == nullptr ? nullptr : safe.d.encrypted->enc_data->algorithm;
}

class Opener {
 public:
  Opener(const PKCS12& pfx, const Secret& password, PfxKeys keys)
      : pfx_(const_cast<PKCS12*>(&pfx)),  // OpenSSL's functions lack the const
        read_keys_(keys == PfxKeys::kRead), password_(password.Reveal()), size_(static_cast<int>(password.size())) {}

  absl::StatusOr<PfxContent> Open() {
    GH_RETURN_IF_ERROR(VerifyMac());
    const UniqueSafes safes(PKCS12_unpack_authsafes(pfx_));
    if (safes == nullptr) return Wrong("its content cannot be read");
    for (int i = 0; i < sk_PKCS7_num(safes.get()); ++i) GH_RETURN_IF_ERROR(AddSafe(sk_PKCS7_value(safes.get(), i)));
    ERR_clear_error();
    return std::move(out_);
  }

 private:
  const char* password() const { return absent_ ? nullptr : password_.Reveal().data(); }

  absl::Status VerifyMac() {
    if (PKCS12_mac_present(pfx_) != 1) return Wrong("nothing proves that it is whole (it has no MAC, or a signature instead)");
    GH_RETURN_IF_ERROR(budget_.SpendOnMac(*pfx_));
    if (PKCS12_verify_mac(pfx_, password(), size_) == 1) return absl::OkStatus();
    // No password is written in two ways.
    if (size_ == 0) {
      GH_RETURN_IF_ERROR(budget_.SpendOnMac(*pfx_));
      absent_ = true;
      if (PKCS12_verify_mac(pfx_, nullptr, 0) == 1) return absl::OkStatus();
    }
    return Wrong("it cannot be opened: the password is wrong or the file is damaged");
  }

  absl::Status AddSafe(PKCS7* safe) {
    UniqueBags bags;
    switch (OBJ_obj2nid(safe->type)) {
      case NID_pkcs7_data:
        bags.reset(PKCS12_unpack_p7data(safe));
        break;
      case NID_pkcs7_encrypted:
        GH_RETURN_IF_ERROR(budget_.Spend(AlgorithmOf(*safe)));
        bags.reset(PKCS12_unpack_p7encdata(safe, password(), size_));
        if (bags == nullptr) return Unsupported();  // the MAC says that neither password nor file are to blame
        break;
      default:
        return absl::OkStatus();
    }
    if (bags == nullptr) return Wrong("its content cannot be read");
    return AddBags(bags.get(), 0);
  }

  absl::Status AddBags(const STACK_OF(PKCS12_SAFEBAG) * bags, int depth) {
    if (depth > kMaxDepth) return Wrong("bags within bags within bags");
    for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); ++i) {
      const PKCS12_SAFEBAG* bag = sk_PKCS12_SAFEBAG_value(bags, i);
      switch (PKCS12_SAFEBAG_get_nid(bag)) {
        case NID_certBag:
          out_.certificates.emplace_back(PKCS12_SAFEBAG_get1_cert(bag));
          if (out_.certificates.back() == nullptr) return Wrong("a certificate cannot be read");
          break;
        case NID_keyBag:
        case NID_pkcs8ShroudedKeyBag:
          ++out_.private_keys;
          if (read_keys_) GH_RETURN_IF_ERROR(AddKey(bag));
          break;
        case NID_safeContentsBag:
          GH_RETURN_IF_ERROR(AddBags(PKCS12_SAFEBAG_get0_safes(bag), depth + 1));
          break;
        default:  // secrets and CRLs that no known program writes
          break;
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddKey(const PKCS12_SAFEBAG* bag) {
    const PKCS8_PRIV_KEY_INFO* info = PKCS12_SAFEBAG_get0_p8inf(bag);
    UniqueKeyInfo decrypted;
    if (info == nullptr) {
      const X509_ALGOR* algorithm = nullptr;
      X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, nullptr);
      GH_RETURN_IF_ERROR(budget_.Spend(algorithm));
      decrypted.reset(PKCS12_decrypt_skey(bag, password(), size_));
      if (decrypted == nullptr) return Unsupported();
      info = decrypted.get();
    }
    out_.keys.emplace_back(EVP_PKCS82PKEY(info));
    return out_.keys.back() == nullptr ? Wrong("a private key cannot be read") : absl::OkStatus();
  }

  PKCS12* const pfx_;
  const bool read_keys_;
  const Secret password_;
  const int size_;
  bool absent_ = false;  // none, in the other way
  Budget budget_;
  PfxContent out_;
};

}  // namespace

void FreeSafes(STACK_OF(PKCS7) * s) { sk_PKCS7_pop_free(s, PKCS7_free); }
void FreeBags(STACK_OF(PKCS12_SAFEBAG) * s) { sk_PKCS12_SAFEBAG_pop_free(s, PKCS12_SAFEBAG_free); }

UniquePkcs12 ParsePfx(absl::string_view bytes) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto* end = p + bytes.size();
  UniquePkcs12 pfx(d2i_PKCS12(nullptr, &p, static_cast<long>(bytes.size())));
  ERR_clear_error();
  return p == end ? std::move(pfx) : nullptr;
}

absl::Status CheckPfxCost(const PKCS12& pfx) {
  Budget budget;
  GH_RETURN_IF_ERROR(budget.SpendOnMac(pfx));
  const UniqueSafes safes(PKCS12_unpack_authsafes(&pfx));
  for (int i = 0; i < sk_PKCS7_num(safes.get()); ++i) {
    const PKCS7& safe = *sk_PKCS7_value(safes.get(), i);
    if (OBJ_obj2nid(safe.type) == NID_pkcs7_encrypted) GH_RETURN_IF_ERROR(budget.Spend(AlgorithmOf(safe)));
  }
  ERR_clear_error();
  return absl::OkStatus();
}

absl::Status CheckPfxPassword(const Secret& password) {
  if (!absl::StrContains(password.Reveal(), '\0')) return absl::OkStatus();
  return absl::InvalidArgumentError("password: holds a NUL, and whatever reads a PFX would stop there");
}

absl::StatusOr<PfxContent> OpenPfx(const PKCS12& pfx, const Secret& password, PfxKeys keys) {
  GH_RETURN_IF_ERROR(CheckPfxPassword(password));
  GH_RETURN_IF_ERROR(CheckPfxCost(pfx));
  return Opener(pfx, password, keys).Open();
}

}  // namespace gatehouse::certs
