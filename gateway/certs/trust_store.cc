#include "gateway/certs/trust_store.h"


#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/names.h"

namespace gatehouse::certs {
namespace {

constexpr char kSystemRootsFile[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr size_t kMaxAnchors = 5000;
constexpr size_t kMaxIntermediates = 5000;
constexpr size_t kMaxPins = 100'000;
constexpr size_t kMaxCrls = 1000;

// Adds the certificates of PEM entries, each with its defects as errors at `field`[i].
void ReadEntries(const std::vector<std::string>& entries, absl::string_view field, size_t limit,
                 std::vector<CertificateRef>* out, std::vector<FieldError>* errors) {
  absl::flat_hash_map<Sha256Digest, size_t, DigestHash> seen;
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string at = absl::StrCat(field, "[", i, "]");
    absl::StatusOr<std::vector<CertificateRef>> list = Certificate::ListFromPem(entries[i]);
    if (!list.ok()) {
      errors->push_back({at, std::string(list.status().message())});
      continue;
    }
    for (CertificateRef& certificate : *list) {
      const auto [first, added] = seen.emplace(certificate->sha256(), i);
      if (!added) {
        errors->push_back({at, absl::StrCat("duplicate of ", field, "[", first->second, "] (",
                                            EscapeText(certificate->subject()), ")")});
        continue;
      }
      if (certificate->key() == nullptr) {
        errors->push_back(
            {at, absl::StrCat(EscapeText(certificate->subject()), ": public key cannot be read")});
        continue;
      }
      out->push_back(std::move(certificate));
    }
  }
  if (out->size() > limit) {
    errors->push_back(
        {std::string(field), absl::StrCat(out->size(), " certificates, at most ", limit)});
  }
}

// Order of the input does not count: digests are sorted within each section.
void AddSection(char tag, std::vector<Sha256Digest> digests, std::string* content) {
  std::sort(digests.begin(), digests.end());
  absl::StrAppend(content, std::string(1, tag), digests.size(), ":");
  for (const Sha256Digest& digest : digests) content->append(AsView(digest).data(), digest.size());
}

std::vector<Sha256Digest> DigestsOf(const std::vector<CertificateRef>& certificates) {
  std::vector<Sha256Digest> out;
  out.reserve(certificates.size());
  for (const CertificateRef& c : certificates) out.push_back(c->sha256());
  return out;
}

}  // namespace

absl::StatusOr<Pin> ParsePinDigest(Pin::Kind kind, absl::string_view hex) {
  absl::string_view rest = absl::StripAsciiWhitespace(hex);
  if (absl::StartsWithIgnoreCase(rest, "sha256:")) rest.remove_prefix(7);
  const bool colons = rest.size() == 95;
  std::string digits;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (colons && i % 3 == 2) {
      if (rest[i] != ':') break;
      continue;
    }
    digits += rest[i];
  }
  if (digits.size() != 64 || !std::all_of(digits.begin(), digits.end(), [](unsigned char c) {
        return absl::ascii_isxdigit(c);
      })) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(hex.substr(0, 120)),
                                                   "\" is not a SHA-256 of 64 hexadecimal digits"));
  }
  Pin pin;
  pin.kind = kind;
  const std::string bytes = absl::HexStringToBytes(digits);
  std::copy(bytes.begin(), bytes.end(), pin.digest.begin());
  return pin;
}

absl::StatusOr<Pin> PinFromPem(absl::string_view pem) {
  GH_ASSIGN_OR_RETURN(std::vector<CertificateRef> list, Certificate::ListFromPem(pem));
  if (list.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("holds ", list.size(), " certificates, a pin is one"));
  }
  return Pin{Pin::Kind::kCertificate, list[0]->sha256(), list[0]->subject(), list[0]->not_after()};
}

absl::StatusOr<Pin> ParsePin(absl::string_view text) {
  if (absl::StrContains(text, "-----BEGIN")) return PinFromPem(text);
  for (absl::string_view prefix : {"spki:", "spki-sha256:"}) {
    if (absl::StartsWithIgnoreCase(text, prefix)) {
      return ParsePinDigest(Pin::Kind::kSpki, text.substr(prefix.size()));
    }
  }
  return ParsePinDigest(Pin::Kind::kCertificate, text);
}

TrustStoreRef TrustStore::Create(const TrustStoreInput& input, std::vector<FieldError>* errors) {
  const size_t errors_before = errors->size();
  std::shared_ptr<TrustStore> store(new TrustStore());
  store->name_ = input.name;
  ReadEntries(input.anchors_pem, "anchors", kMaxAnchors, &store->anchors_, errors);
  ReadEntries(input.intermediates_pem, "intermediates", kMaxIntermediates, &store->intermediates_,
              errors);

  for (size_t i = 0; i < input.pins.size(); ++i) {
    const Pin& pin = input.pins[i];
    auto& set = pin.kind == Pin::Kind::kCertificate ? store->certificate_pins_ : store->spki_pins_;
    if (!set.insert(pin.digest).second) {
      errors->push_back({absl::StrCat("pins[", i, "]"), "duplicate of an earlier pin"});
    }
  }
  store->pins_ = input.pins;
  if (input.pins.size() > kMaxPins) {
    errors->push_back({"pins", absl::StrCat(input.pins.size(), " pins, at most ", kMaxPins)});
  }

  store->ReadCrls(input, errors);

  for (const CertificateRef& c : store->anchors_) store->anchor_digests_.insert(c->sha256());
  if (input.system_roots) {
    std::ifstream file(kSystemRootsFile, std::ios::binary);
    const std::string pem((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    absl::StatusOr<std::vector<CertificateRef>> roots = Certificate::ListFromPem(pem);
    if (!roots.ok()) {
      errors->push_back(
          {"system_roots", absl::StrCat(kSystemRootsFile, " ", roots.status().message())});
    } else {
      for (CertificateRef& c : *roots) {
        if (c->key() != nullptr && store->anchor_digests_.insert(c->sha256()).second) {
          store->anchors_.push_back(std::move(c));
        }
      }
    }
  }
  if (errors->size() == errors_before && store->anchors_.empty() && store->pins_.empty()) {
    errors->push_back({"", "no anchor and no pin: nobody could be trusted"});
  }
  if (errors->size() != errors_before) return nullptr;

  for (const CertificateRef& c : store->anchors_) {
    store->anchors_by_name_[NameHash(X509_get_subject_name(c->x509()))].push_back(c);
  }
  for (const CertificateRef& c : store->intermediates_) {
    store->intermediates_by_name_[NameHash(X509_get_subject_name(c->x509()))].push_back(c);
  }
  std::vector<Sha256Digest> crl_digests, path_digests;
  for (const CrlRef& crl : store->crls_) {
    crl_digests.push_back(crl->sha256());
    store->crls_by_issuer_[crl->issuer_hash()].push_back(crl);
  }
  store->crl_paths_ = input.crl_paths;
  for (const std::string& path : store->crl_paths_) path_digests.push_back(Sha256(path));
  std::string content = "trust-store-1;";
  AddSection('a', DigestsOf(store->anchors_), &content);
  AddSection('i', DigestsOf(store->intermediates_), &content);
  AddSection('c', {store->certificate_pins_.begin(), store->certificate_pins_.end()}, &content);
  AddSection('k', {store->spki_pins_.begin(), store->spki_pins_.end()}, &content);
  AddSection('r', std::move(crl_digests), &content);
  AddSection('f', std::move(path_digests), &content);
  store->version_ = Epoch(Sha256(content));
  return store;
}

void TrustStore::ReadCrls(const TrustStoreInput& input, std::vector<FieldError>* errors) {
  crls_ = input.crls;
  for (size_t i = 0; i < input.crls_pem.size(); ++i) {
    const Sha256Digest text = Sha256(input.crls_pem[i]);
    std::vector<CrlRef>& lists = crls_by_text_[text];
    if (lists.empty() && input.previous != nullptr) {
      const auto known = input.previous->crls_by_text_.find(text);
      if (known != input.previous->crls_by_text_.end()) lists = known->second;
    }
    if (lists.empty()) {
      absl::StatusOr<std::vector<CrlRef>> read = Crl::ListFromPem(input.crls_pem[i]);
      if (!read.ok()) {
        errors->push_back({absl::StrCat("crls[", i, "]"), std::string(read.status().message())});
        continue;
      }
      lists = *std::move(read);
    }
    crls_.insert(crls_.end(), lists.begin(), lists.end());
  }
  if (crls_.size() > kMaxCrls) {
    errors->push_back({"crls", absl::StrCat(crls_.size(), " lists, at most ", kMaxCrls)});
  }
}

bool TrustStore::IsPinned(const Certificate& certificate) const {
  return certificate_pins_.contains(certificate.sha256()) ||
         spki_pins_.contains(certificate.spki_sha256());
}

bool TrustStore::IsPinnedByKey(const Certificate& certificate) const {
  return spki_pins_.contains(certificate.spki_sha256()) && !certificate_pins_.contains(certificate.sha256());
}

const Sha256Digest& TrustStore::PinOf(const Certificate& certificate) const {
  return certificate_pins_.contains(certificate.sha256()) ? certificate.sha256() : certificate.spki_sha256();
}

bool TrustStore::IsAnchor(const Certificate& certificate) const {
  return anchor_digests_.contains(certificate.sha256());
}

absl::Span<const CertificateRef> TrustStore::AnchorsFor(const Certificate& certificate) const {
  return AnchorsNamed(NameHash(X509_get_issuer_name(certificate.x509())));
}

absl::Span<const CertificateRef> TrustStore::IntermediatesFor(
    const Certificate& certificate) const {
  return IntermediatesNamed(NameHash(X509_get_issuer_name(certificate.x509())));
}

absl::Span<const CertificateRef> TrustStore::AnchorsNamed(uint64_t subject_hash) const {
  const auto it = anchors_by_name_.find(subject_hash);
  if (it == anchors_by_name_.end()) return {};
  return it->second;
}

absl::Span<const CertificateRef> TrustStore::IntermediatesNamed(uint64_t subject_hash) const {
  const auto it = intermediates_by_name_.find(subject_hash);
  if (it == intermediates_by_name_.end()) return {};
  return it->second;
}

absl::Span<const CrlRef> TrustStore::CrlsOf(uint64_t issuer_hash) const {
  const auto it = crls_by_issuer_.find(issuer_hash);
  if (it == crls_by_issuer_.end()) return {};
  return it->second;
}

}  // namespace gatehouse::certs
