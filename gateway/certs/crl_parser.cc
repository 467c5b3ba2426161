// Reads a CertificateList (RFC 5280 section 5.1) in one pass over its entries.
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/crl_entry.h"
#include "gateway/certs/der.h"

namespace gatehouse::certs {
namespace {

// id-ce is 2.5.29; id-pe-authorityInfoAccess is 1.3.6.1.5.5.7.1.1.
constexpr absl::string_view kAuthorityKeyIdentifier = "\x55\x1d\x23";
constexpr absl::string_view kIssuerAltName = "\x55\x1d\x12";
constexpr absl::string_view kCrlNumber = "\x55\x1d\x14";
constexpr absl::string_view kDeltaCrlIndicator = "\x55\x1d\x1b";
constexpr absl::string_view kIssuingDistributionPoint = "\x55\x1d\x1c";
constexpr absl::string_view kFreshestCrl = "\x55\x1d\x2e";
constexpr absl::string_view kAuthorityInfoAccess = "\x2b\x06\x01\x05\x05\x07\x01\x01";

constexpr size_t kMinEntrySize = 20;  // SEQUENCE, an INTEGER of one octet, a UTCTime
constexpr size_t kMaxExtensions = 64;
constexpr size_t kMaxEntryIssuers = 10'000;  // each costs more than the forty octets of an entry
constexpr size_t kMaxNumberSize = 64;
// OpenSSL's objects take a hundred times the octets that they are read from.
constexpr size_t kMaxNameSize = 8 * 1024;
constexpr size_t kMaxScopeSize = 8 * 1024;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("CRL cannot be read: ", what));
}

std::string WithoutLeadingZeros(absl::string_view content) {
  while (content.size() > 1 && content[0] == '\0') content.remove_prefix(1);
  return std::string(content);
}

absl::StatusOr<std::string> ReadNumber(absl::string_view value, absl::string_view what) {
  DerReader reader(value);
  const std::optional<absl::string_view> number = reader.Next(der::kInteger);
  if (!number || !reader.done() || !IsDerInteger(*number) || number->size() > kMaxNumberSize ||
      (static_cast<uint8_t>((*number)[0]) & 0x80) != 0) {
    return Malformed(what);
  }
  return WithoutLeadingZeros(*number);
}

}  // namespace

class CrlParser {
 public:
  static absl::StatusOr<CrlRef> Parse(std::string der) {
    if (der.size() > kMaxCrlSize) {
      return absl::InvalidArgumentError(
          absl::StrCat("CRL of ", der.size(), " octets, at most ", kMaxCrlSize, " are read"));
    }
    std::shared_ptr<Crl> crl(new Crl());
    crl->der_ = std::move(der);
    GH_RETURN_IF_ERROR(CrlParser(crl.get()).Read());
    return CrlRef(std::move(crl));
  }

 private:
  explicit CrlParser(Crl* crl) : crl_(*crl) {}

  absl::Status Read() {
    DerReader outer(crl_.der_);
    const std::optional<absl::string_view> list = outer.Next(der::kSequence);
    if (!list) return Malformed("not DER");
    if (!outer.done()) return Malformed("octets follow the list");
    DerReader parts(*list);
    const std::optional<DerElement> tbs = parts.Next();
    const std::optional<DerElement> algorithm = parts.Next();
    const std::optional<absl::string_view> signature = parts.Next(der::kBitString);
    if (!tbs || tbs->tag != der::kSequence || !algorithm || algorithm->tag != der::kSequence ||
        !signature || !parts.done() || !WholeOctets(*signature)) {
      return Malformed("not a CertificateList");
    }
    GH_RETURN_IF_ERROR(ReadTbs(tbs->content, algorithm->whole));
    GH_RETURN_IF_ERROR(ReadEntries());
    crl_.sha256_ = Sha256(crl_.der_);
    GH_ASSIGN_OR_RETURN(crl_.signed_, SignedMessage::Create(tbs->whole, algorithm->whole,
                                                            *WholeOctets(*signature)));
    return absl::OkStatus();
  }

  absl::Status ReadTbs(absl::string_view content, absl::string_view outer_algorithm) {
    DerReader tbs(content);
    if (tbs.NextIs(der::kInteger)) {
      const std::optional<absl::string_view> version = tbs.Next(der::kInteger);
      if (!version || *version != absl::string_view("\x01", 1)) return Malformed("version");
      version2_ = true;
    }
    const std::optional<DerElement> algorithm = tbs.Next();
    // RFC 5280 section 5.1.2.2.
    if (!algorithm || algorithm->whole != outer_algorithm) {
      return Malformed("the signature algorithm inside differs from the one outside");
    }
    const std::optional<DerElement> issuer = tbs.Next();
    if (!issuer || issuer->tag != der::kSequence || issuer->whole.size() > kMaxNameSize) {
      return Malformed("issuer");
    }
    crl_.issuer_der_ = issuer->whole;
    crl_.issuer_name_ = NameFromDer(issuer->whole);
    if (crl_.issuer_name_ == nullptr || X509_NAME_entry_count(crl_.issuer_name_.get()) == 0) {
      return Malformed("issuer");
    }
    crl_.issuer_ = NameRfc4514(crl_.issuer_name_.get());
    crl_.issuer_hash_ = NameHash(crl_.issuer_name_.get());

    const std::optional<int64_t> this_update = tbs.NextTime();
    if (!this_update) return Malformed("thisUpdate");
    crl_.this_update_ = absl::FromUnixSeconds(*this_update);
    if (tbs.NextIs(der::kUtcTime) || tbs.NextIs(der::kGeneralizedTime)) {
      const std::optional<int64_t> next_update = tbs.NextTime();
      if (!next_update) return Malformed("nextUpdate");
      if (*next_update < *this_update) return Malformed("nextUpdate is before thisUpdate");
      crl_.next_update_ = absl::FromUnixSeconds(*next_update);
    }
    if (tbs.NextIs(der::kSequence)) {
      const std::optional<absl::string_view> entries = tbs.Next(der::kSequence);
      if (!entries) return Malformed("revokedCertificates");
      entries_ = *entries;
    }
    if (tbs.NextIs(der::Constructed(0))) {
      const std::optional<absl::string_view> wrapped = tbs.Next(der::Constructed(0));
      if (!wrapped || !version2_) return Malformed("extensions");
      GH_RETURN_IF_ERROR(ReadExtensions(*wrapped));
    }
    return tbs.done() ? absl::OkStatus() : Malformed("not a TBSCertList");
  }

  absl::Status ReadExtensions(absl::string_view wrapped) {
    DerReader wrapper(wrapped);
    const std::optional<absl::string_view> list = wrapper.Next(der::kSequence);
    if (!list || !wrapper.done()) return Malformed("extensions");
    std::vector<absl::string_view> seen;
    for (DerReader reader(*list); !reader.done();) {
      const std::optional<DerExtension> extension = reader.NextExtension();
      if (!extension || seen.size() >= kMaxExtensions) return Malformed("extensions");
      for (absl::string_view oid : seen) {
        if (oid == extension->oid) return Malformed("an extension appears twice");
      }
      seen.push_back(extension->oid);
      GH_RETURN_IF_ERROR(ReadExtension(*extension));
    }
    return absl::OkStatus();
  }

  absl::Status ReadExtension(const DerExtension& extension) {
    if (extension.oid == kCrlNumber) {
      GH_ASSIGN_OR_RETURN(crl_.number_, ReadNumber(extension.value, "cRLNumber"));
    } else if (extension.oid == kDeltaCrlIndicator) {
      GH_ASSIGN_OR_RETURN(crl_.delta_base_, ReadNumber(extension.value, "deltaCRLIndicator"));
    } else if (extension.oid == kIssuingDistributionPoint) {
      if (extension.value.size() > kMaxScopeSize) return Malformed("issuingDistributionPoint");
      crl_.scope_der_ = extension.value;
      GH_ASSIGN_OR_RETURN(crl_.scope_, ReadCrlScope(extension.value, crl_.issuer_name_.get()));
    } else if (extension.oid == kAuthorityKeyIdentifier) {
      DerReader reader(extension.value);
      const std::optional<absl::string_view> fields = reader.Next(der::kSequence);
      if (!fields || !reader.done()) return Malformed("authorityKeyIdentifier");
      DerReader inner(*fields);
      if (inner.NextIs(der::Context(0))) {
        const std::optional<absl::string_view> id = inner.Next(der::Context(0));
        if (!id) return Malformed("authorityKeyIdentifier");
        crl_.authority_key_id_ = *id;
      }
    } else if (extension.oid == kFreshestCrl) {
      if (extension.value.size() > kMaxScopeSize) return Malformed("freshestCRL");
      GH_ASSIGN_OR_RETURN(crl_.freshest_urls_, ReadFreshestUrls(extension.value));
    } else if (extension.critical && extension.oid != kIssuerAltName &&
               extension.oid != kAuthorityInfoAccess) {
      // RFC 5280 section 5.2: such a list must not be used.
      return absl::InvalidArgumentError(
          "CRL has a critical extension that is not known, and cannot be used");
    }
    return absl::OkStatus();
  }

  absl::Status ReadEntries() {
    if (crl_.indirect()) {
      crl_.issuers_.push_back({UniqueName(X509_NAME_dup(crl_.issuer_name_.get())),
                               crl_.issuer_hash_});
    }
    std::vector<Crl::Slot> found;
    // Only what is written to becomes memory.
    found.reserve(entries_.size() / kMinEntrySize + 1);
    absl::flat_hash_map<absl::string_view, uint32_t> issuers_seen;
    for (DerReader reader(entries_); !reader.done();) {
      const auto offset = static_cast<uint32_t>(reader.rest().data() - crl_.der_.data());
      CrlEntryReader entry;
      if (const char* wrong = entry.Read(reader, version2_); wrong != nullptr) {
        return Malformed(absl::StrCat("entry ", found.size(), ": ", wrong));
      }
      if (entry.reason == RevocationReason::kRemoveFromCrl && !crl_.is_delta()) {
        return Malformed(
            absl::StrCat("entry ", found.size(), ": removeFromCRL, but this is not a delta CRL"));
      }
      if (!entry.certificate_issuer.empty()) {
        if (!crl_.indirect()) {
          return Malformed(absl::StrCat("entry ", found.size(),
                                        ": a certificateIssuer, but this is not an indirect CRL"));
        }
        GH_RETURN_IF_ERROR(ChangeIssuer(entry.certificate_issuer, offset, &issuers_seen));
      }
      found.push_back({CrlEntryHash(CurrentIssuerHash(), entry.serial), offset});
    }
    crl_.entry_count_ = found.size();
    BuildTable(found);
    return absl::OkStatus();
  }

  // RFC 5280 section 5.3.3: an issuer stands until an entry names another.
  absl::Status ChangeIssuer(absl::string_view general_names, uint32_t offset,
                            absl::flat_hash_map<absl::string_view, uint32_t>* seen) {
    const auto [known, added] =
        seen->emplace(general_names, static_cast<uint32_t>(crl_.issuers_.size()));
    if (added) {
      UniqueName name =
          general_names.size() <= kMaxNameSize ? DirectoryNameOf(general_names) : nullptr;
      if (name == nullptr) return Malformed("certificateIssuer");
      if (crl_.issuers_.size() >= kMaxEntryIssuers) {
        return absl::InvalidArgumentError(
            absl::StrCat("CRL is about more than ", kMaxEntryIssuers, " issuers"));
      }
      const uint64_t hash = NameHash(name.get());
      crl_.issuers_.push_back({std::move(name), hash});
    }
    crl_.runs_.push_back({offset, known->second});
    return absl::OkStatus();
  }

  uint64_t CurrentIssuerHash() const {
    if (!crl_.indirect()) return 0;
    return crl_.issuers_[crl_.runs_.empty() ? 0 : crl_.runs_.back().issuer].hash;
  }

  void BuildTable(const std::vector<Crl::Slot>& found) {
    if (found.empty()) return;
    crl_.table_.resize(found.size() + found.size() / 2 + 1);
    for (const Crl::Slot& entry : found) {
      size_t at = CrlEntryHome(entry.hash, crl_.table_.size());
      while (crl_.table_[at].offset != 0 && !SameCertificate(crl_.table_[at], entry)) {
        if (++at == crl_.table_.size()) at = 0;
      }
      Crl::Slot& slot = crl_.table_[at];
      // A certificate that is listed twice stays revoked if either entry says so.
      if (slot.offset == 0 || Removes(slot.offset)) slot = entry;
    }
  }

  bool SameCertificate(const Crl::Slot& a, const Crl::Slot& b) const {
    return a.hash == b.hash && EntryAt(a.offset).serial == EntryAt(b.offset).serial &&
           (!crl_.indirect() ||
            X509_NAME_cmp(crl_.IssuerOf(a.offset).name.get(),
                          crl_.IssuerOf(b.offset).name.get()) == 0);
  }
  bool Removes(uint32_t offset) const {
    return EntryAt(offset).reason == RevocationReason::kRemoveFromCrl;
  }
  CrlEntryReader EntryAt(uint32_t offset) const {
    DerReader reader(absl::string_view(crl_.der_).substr(offset));
    CrlEntryReader entry;
    entry.Read(reader, version2_);
    return entry;
  }

  Crl& crl_;
  absl::string_view entries_;
  bool version2_ = false;
};

absl::StatusOr<CrlRef> Crl::FromDer(std::string der) { return CrlParser::Parse(std::move(der)); }

}  // namespace gatehouse::certs
