#include "gateway/certs/bundle.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/pkcs12.h"

namespace gatehouse::certs {
namespace {

using UniquePkcs7 = std::unique_ptr<PKCS7, OpenSslDeleter<PKCS7_free>>;

absl::Status Wrong(absl::string_view what) {
  ERR_clear_error();
  return absl::InvalidArgumentError(std::string(what));
}

absl::Status Add(X509* certificate, Bundle* out) {
  if (out->certificates.size() == kMaxBundled) return Wrong(absl::StrCat("holds over ", kMaxBundled, " certificates"));
  absl::StatusOr<CertificateRef> read = Certificate::FromX509(certificate);
  if (!read.ok()) {
    return Wrong(absl::StrCat("certificate ", out->certificates.size() + 1, ": ", read.status().message()));
  }
  out->certificates.push_back(*std::move(read));
  return absl::OkStatus();
}

absl::Status AddPkcs7(absl::string_view der, Bundle* out) {
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  UniquePkcs7 container(d2i_PKCS7(nullptr, &p, static_cast<long>(der.size())));
  if (container == nullptr) return Wrong("PKCS#7 cannot be read");
  if (p != reinterpret_cast<const unsigned char*>(der.data()) + der.size()) return Wrong("octets follow the PKCS#7");
  if (!PKCS7_type_is_signed(container.get()) || container->d.sign == nullptr) {
    return Wrong("PKCS#7 of another kind than signed data, which is what certificates travel in");
  }
  const STACK_OF(X509)* certificates = container->d.sign->cert;
  for (int i = 0; i < sk_X509_num(certificates); ++i) GH_RETURN_IF_ERROR(Add(sk_X509_value(certificates, i), out));
  const STACK_OF(X509_CRL)* crls = container->d.sign->crl;
  for (int i = 0; i < sk_X509_CRL_num(crls); ++i) {
    unsigned char* crl = nullptr;
    const int size = i2d_X509_CRL(sk_X509_CRL_value(crls, i), &crl);
    if (size <= 0) return Wrong("CRL cannot be encoded");
    out->crls_der.emplace_back(reinterpret_cast<const char*>(crl), static_cast<size_t>(size));
    OPENSSL_free(crl);
  }
  return absl::OkStatus();
}

absl::Status AddPfx(const PKCS12& pfx, const Secret& password, Bundle* out) {
  GH_ASSIGN_OR_RETURN(const PfxContent content, OpenPfx(pfx, password, PfxKeys::kCount));
  for (const UniqueX509& certificate : content.certificates) GH_RETURN_IF_ERROR(Add(certificate.get(), out));
  out->private_keys += content.private_keys;
  return absl::OkStatus();
}

struct PemBlock {
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  ~PemBlock() {
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<size_t>(size));
  }
};

absl::Status AddPem(absl::string_view text, Bundle* out) {
  UniqueBio bio = MemoryBio(text);
  for (int count = 0;; ++count) {
    PemBlock block;
    if (PEM_read_bio(bio.get(), &block.name, &block.header, &block.data, &block.size) != 1) {
      const unsigned long error = ERR_peek_last_error();
      const bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
      if (!end) return OpenSslError("PEM cannot be read");
      ERR_clear_error();
      return absl::OkStatus();
    }
    const absl::string_view name = block.name;
    const absl::string_view der(reinterpret_cast<const char*>(block.data), static_cast<size_t>(block.size));
    if (name == "CERTIFICATE" || name == "X509 CERTIFICATE") {
      absl::StatusOr<CertificateRef> read = Certificate::FromDer(der);
      if (!read.ok()) {
        return Wrong(absl::StrCat("certificate ", out->certificates.size() + 1, ": ", read.status().message()));
      }
      if (out->certificates.size() == kMaxBundled) {
        return Wrong(absl::StrCat("holds over ", kMaxBundled, " certificates"));
      }
      out->certificates.push_back(*std::move(read));
    } else if (name == "X509 CRL") {
      out->crls_der.emplace_back(der);
    } else if (name == "PKCS7" || name == "CMS") {
      GH_RETURN_IF_ERROR(AddPkcs7(der, out));
    } else if (absl::EndsWith(name, "PRIVATE KEY")) {
      ++out->private_keys;
    } else {
      return Wrong(absl::StrCat("holds a PEM block of kind \"", EscapeText(name), "\", which is no certificate"));
    }
  }
}

}  // namespace

absl::StatusOr<Bundle> ReadBundle(absl::string_view bytes, absl::FunctionRef<absl::StatusOr<Secret>()> password) {
  if (bytes.size() > kMaxBundle) return Wrong(absl::StrCat("is over ", kMaxBundle, " octets"));
  Bundle out;
  // DER before PEM: text that stands within it is not what it is.
  if (absl::StatusOr<CertificateRef> single = Certificate::FromDer(bytes); single.ok()) {
    out.form = Bundle::Form::kDer;
    out.certificates.push_back(*std::move(single));
  } else if (const UniquePkcs12 pfx = ParsePfx(bytes); pfx != nullptr) {
    out.form = Bundle::Form::kPfx;
    GH_RETURN_IF_ERROR(CheckPfxCost(*pfx));
    GH_ASSIGN_OR_RETURN(const Secret secret, password());
    GH_RETURN_IF_ERROR(AddPfx(*pfx, secret, &out));
  } else if (AddPkcs7(bytes, &out).ok()) {
    out.form = Bundle::Form::kPkcs7;
  } else if (absl::StrContains(bytes, "-----BEGIN ")) {
    out = Bundle();
    GH_RETURN_IF_ERROR(AddPem(bytes, &out));
  } else if (!bytes.empty() && bytes.front() == 0x30) {  // SEQUENCE: it is meant as DER
    return Wrong(absl::StrCat("is no PKCS#7, no PFX, and no certificate in DER: ", single.status().message()));
  } else {
    return Wrong("is neither PEM nor DER, PKCS#7 or PFX");
  }
  ERR_clear_error();
  if (out.certificates.empty() && out.crls_der.empty()) {
    return Wrong(out.private_keys > 0 ? "holds a private key and no certificate" : "holds no certificate");
  }
  return out;
}

std::string PemBlock(absl::string_view label, absl::string_view der) {
  UniqueBio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), std::string(label).c_str(), "", reinterpret_cast<const unsigned char*>(der.data()),
                static_cast<long>(der.size()));
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

std::vector<CertificateRef> LeafFirst(std::vector<CertificateRef> certificates) {
  const auto issued = [](const CertificateRef& issuer, const CertificateRef& subject) {
    const bool yes = issuer != subject && X509_check_issued(issuer->x509(), subject->x509()) == X509_V_OK;
    ERR_clear_error();
    return yes;
  };
  // A leaf is no authority if there is a choice; a lone authority is its own leaf.
  const auto leaf = std::find_if(certificates.begin(), certificates.end(), [&](const CertificateRef& c) {
    return std::none_of(certificates.begin(), certificates.end(),
                        [&](const CertificateRef& other) { return issued(c, other); });
  });
  if (leaf == certificates.end()) return certificates;
  std::rotate(certificates.begin(), leaf, leaf + 1);
  for (size_t i = 1; i < certificates.size(); ++i) {
    const auto at = certificates.begin() + static_cast<std::ptrdiff_t>(i);
    const auto next = std::find_if(at, certificates.end(),
                                   [&](const CertificateRef& c) { return issued(c, certificates[i - 1]); });
    if (next == certificates.end()) break;
    std::rotate(at, next, next + 1);
  }
  return certificates;
}

}  // namespace gatehouse::certs
