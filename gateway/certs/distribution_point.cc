#include "gateway/certs/distribution_point.h"

#include <openssl/err.h>

#include <optional>
#include <utility>

#include "absl/strings/match.h"

namespace gatehouse::certs {
namespace {

using UniquePoints = std::unique_ptr<CRL_DIST_POINTS, OpenSslDeleter<CRL_DIST_POINTS_free>>;
using UniqueIssuingPoint =
    std::unique_ptr<ISSUING_DIST_POINT, OpenSslDeleter<ISSUING_DIST_POINT_free>>;

constexpr size_t kMaxPoints = 32;
constexpr int kMaxNames = 64;  // of a point; each is compared with each

ReasonMask ReasonsOf(const ASN1_BIT_STRING* flags) {
  if (flags == nullptr) return kAllReasons;
  ReasonMask mask = 0;
  for (int bit = 1; bit <= 8; ++bit) {
    if (ASN1_BIT_STRING_get_bit(flags, bit) != 0) mask |= static_cast<ReasonMask>(1 << bit);
  }
  return mask;
}

GENERAL_NAME* DirectoryName(const X509_NAME* name) {
  GENERAL_NAME* general = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(general, GEN_DIRNAME, X509_NAME_dup(name));
  return general;
}

// The full names of a DistributionPointName, which gives them up; nullopt: it cannot be read.
std::optional<UniqueGeneralNames> TakeNames(DIST_POINT_NAME* name, const X509_NAME* relative_to) {
  if (name == nullptr) return UniqueGeneralNames();
  if (name->type == 0 && sk_GENERAL_NAME_num(name->name.fullname) > kMaxNames) return std::nullopt;
  if (name->type == 0) return UniqueGeneralNames(std::exchange(name->name.fullname, nullptr));
  if (relative_to == nullptr || DIST_POINT_set_dpname(name, relative_to) != 1 ||
      name->dpname == nullptr) {
    return std::nullopt;
  }
  UniqueGeneralNames names(sk_GENERAL_NAME_new_null());
  sk_GENERAL_NAME_push(names.get(), DirectoryName(name->dpname));
  return names;
}

const X509_NAME* OnlyDirectoryName(const GENERAL_NAMES* names) {
  if (sk_GENERAL_NAME_num(names) != 1) return nullptr;
  const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, 0);
  return name->type == GEN_DIRNAME ? name->d.directoryName : nullptr;
}

std::vector<DistributionPoint> PointsOf(const Certificate& certificate, int extension) {
  std::vector<DistributionPoint> out;
  UniquePoints points(static_cast<CRL_DIST_POINTS*>(
      X509_get_ext_d2i(certificate.x509(), extension, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; i < sk_DIST_POINT_num(points.get()) && out.size() < kMaxPoints; ++i) {
    DIST_POINT* point = sk_DIST_POINT_value(points.get(), i);
    DistributionPoint read;
    read.reasons = ReasonsOf(point->reasons);
    const X509_NAME* relative_to = point->CRLissuer == nullptr
                                       ? X509_get_issuer_name(certificate.x509())
                                       : OnlyDirectoryName(point->CRLissuer);
    std::optional<UniqueGeneralNames> names = TakeNames(point->distpoint, relative_to);
    read.crl_issuers.reset(std::exchange(point->CRLissuer, nullptr));
    ERR_clear_error();
    // A point without either says nothing (RFC 5280 section 4.2.1.13).
    if (!names || (*names == nullptr && read.crl_issuers == nullptr) ||
        sk_GENERAL_NAME_num(read.crl_issuers.get()) > kMaxNames) {
      continue;
    }
    read.names = *std::move(names);
    out.push_back(std::move(read));
  }
  return out;
}

}  // namespace

std::vector<DistributionPoint> DistributionPointsOf(const Certificate& certificate) {
  return PointsOf(certificate, NID_crl_distribution_points);
}

std::vector<DistributionPoint> FreshestPointsOf(const Certificate& certificate) {
  return PointsOf(certificate, NID_freshest_crl);
}

absl::StatusOr<std::vector<std::string>> ReadFreshestUrls(absl::string_view der) {
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  UniquePoints points(d2i_CRL_DIST_POINTS(nullptr, &p, static_cast<long>(der.size())));
  ERR_clear_error();
  if (points == nullptr || reinterpret_cast<const char*>(p) != der.data() + der.size()) {
    return absl::InvalidArgumentError("freshestCRL cannot be read");
  }
  std::vector<std::string> urls;
  for (int i = 0; i < sk_DIST_POINT_num(points.get()); ++i) {
    const DIST_POINT_NAME* name = sk_DIST_POINT_value(points.get(), i)->distpoint;
    if (name == nullptr || name->type != 0) continue;
    for (std::string& url : WebAddresses(name->name.fullname)) urls.push_back(std::move(url));
  }
  return urls;
}

absl::StatusOr<CrlScope> ReadCrlScope(absl::string_view der, const X509_NAME* issuer) {
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  UniqueIssuingPoint point(d2i_ISSUING_DIST_POINT(nullptr, &p, static_cast<long>(der.size())));
  ERR_clear_error();
  if (point == nullptr || reinterpret_cast<const char*>(p) != der.data() + der.size()) {
    return absl::InvalidArgumentError("issuingDistributionPoint cannot be read");
  }
  CrlScope scope;
  scope.user_certificates_only = point->onlyuser > 0;
  scope.authorities_only = point->onlyCA > 0;
  scope.attribute_certificates_only = point->onlyattr > 0;
  scope.indirect = point->indirectCRL > 0;
  scope.reasons = ReasonsOf(point->onlysomereasons);
  if (scope.user_certificates_only + scope.authorities_only + scope.attribute_certificates_only >
      1) {
    return absl::InvalidArgumentError("issuingDistributionPoint limits the list to several kinds");
  }
  std::optional<UniqueGeneralNames> names = TakeNames(point->distpoint, issuer);
  ERR_clear_error();
  if (!names) {
    return absl::InvalidArgumentError("issuingDistributionPoint holds a name that cannot be read");
  }
  scope.names = *std::move(names);
  return scope;
}

bool ShareName(const GENERAL_NAMES* a, const GENERAL_NAMES* b) {
  for (int i = 0; i < sk_GENERAL_NAME_num(a); ++i) {
    for (int j = 0; j < sk_GENERAL_NAME_num(b); ++j) {
      if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(a, i), sk_GENERAL_NAME_value(b, j)) == 0) {
        return true;
      }
    }
  }
  return false;
}

bool HoldsDirectoryName(const GENERAL_NAMES* names, const X509_NAME* name) {
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* general = sk_GENERAL_NAME_value(names, i);
    if (general->type == GEN_DIRNAME && X509_NAME_cmp(general->d.directoryName, name) == 0) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> WebAddresses(const GENERAL_NAMES* names) {
  std::vector<std::string> out;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* general = sk_GENERAL_NAME_value(names, i);
    if (general->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = general->d.uniformResourceIdentifier;
    std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                     static_cast<size_t>(ASN1_STRING_length(uri)));
    if (absl::StartsWithIgnoreCase(text, "http://") ||
        absl::StartsWithIgnoreCase(text, "https://")) {
      out.push_back(std::move(text));
    }
  }
  return out;
}

}  // namespace gatehouse::certs
