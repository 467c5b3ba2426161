#include "gateway/certs/crl.h"

#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/base/status.h"
#include "gateway/certs/crl_entry.h"

namespace gatehouse::certs {
namespace {

constexpr absl::string_view kReasonCode = "\x55\x1d\x15";
constexpr absl::string_view kHoldInstructionCode = "\x55\x1d\x17";
constexpr absl::string_view kInvalidityDate = "\x55\x1d\x18";
constexpr absl::string_view kCertificateIssuer = "\x55\x1d\x1d";

constexpr size_t kMaxTriedKeys = 16;

constexpr absl::string_view kPemBegin = "-----BEGIN ";
constexpr absl::string_view kPemEnd = "-----END ";
constexpr absl::string_view kPemDashes = "-----";
constexpr absl::string_view kPemKind = "X509 CRL";

const char* ReadEntryExtension(const DerExtension& extension, CrlEntryReader* entry) {
  if (extension.oid == kReasonCode) {
    DerReader value(extension.value);
    const std::optional<absl::string_view> code = value.Next(der::kEnumerated);
    if (!code || !value.done() || code->size() != 1) return "reasonCode";
    const std::optional<RevocationReason> reason =
        RevocationReasonOf(static_cast<uint8_t>((*code)[0]));
    if (!reason) return "reasonCode";
    entry->reason = *reason;
  } else if (extension.oid == kCertificateIssuer) {
    entry->certificate_issuer = extension.value;
    if (extension.value.empty()) return "certificateIssuer";
  } else if (extension.critical && extension.oid != kInvalidityDate &&
             extension.oid != kHoldInstructionCode) {
    // RFC 5280 section 5.3: such a list must not be used.
    return "a critical extension that is not known";
  }
  return nullptr;
}

}  // namespace

absl::string_view RevocationReasonName(RevocationReason reason) {
  switch (reason) {
    case RevocationReason::kUnspecified:
      return "unspecified";
    case RevocationReason::kKeyCompromise:
      return "keyCompromise";
    case RevocationReason::kCaCompromise:
      return "cACompromise";
    case RevocationReason::kAffiliationChanged:
      return "affiliationChanged";
    case RevocationReason::kSuperseded:
      return "superseded";
    case RevocationReason::kCessationOfOperation:
      return "cessationOfOperation";
    case RevocationReason::kCertificateHold:
      return "certificateHold";
    case RevocationReason::kRemoveFromCrl:
      return "removeFromCRL";
    case RevocationReason::kPrivilegeWithdrawn:
      return "privilegeWithdrawn";
    case RevocationReason::kAaCompromise:
      return "aACompromise";
  }
  return "unspecified";
}

std::optional<RevocationReason> RevocationReasonOf(int number) {
  if (number < 0 || number > 10 || number == 7) return std::nullopt;
  return static_cast<RevocationReason>(number);
}

std::string SerialOf(const Certificate& certificate) {
  return absl::HexStringToBytes(certificate.serial_hex_dotnet());
}

const char* CrlEntryReader::Read(DerReader& reader, bool extensions_allowed) {
  const std::optional<absl::string_view> whole = reader.Next(der::kSequence);
  if (!whole) return "not a SEQUENCE";
  DerReader fields(*whole);
  const std::optional<absl::string_view> number = fields.Next(der::kInteger);
  if (!number || !IsDerInteger(*number)) return "serial number";
  serial = *number;
  const std::optional<int64_t> time = fields.NextTime();
  if (!time) return "revocationDate";
  revoked = *time;
  if (fields.done()) return nullptr;
  const std::optional<absl::string_view> list = fields.Next(der::kSequence);
  if (!list || !fields.done()) return "extensions";
  if (!extensions_allowed) return "extensions, but not version 2";
  absl::string_view seen[8];
  size_t count = 0;
  for (DerReader extensions(*list); !extensions.done();) {
    const std::optional<DerExtension> extension = extensions.NextExtension();
    if (!extension || count == std::size(seen)) return "extensions";
    if (std::find(seen, seen + count, extension->oid) != seen + count) {
      return "an extension appears twice";
    }
    seen[count++] = extension->oid;
    if (const char* wrong = ReadEntryExtension(*extension, this); wrong != nullptr) return wrong;
  }
  return nullptr;
}

uint32_t CrlEntryHash(uint64_t issuer_hash, absl::string_view serial) {
  // Salted by abseil: who writes serial numbers cannot know which ones collide.
  const uint64_t hash = absl::HashOf(issuer_hash, serial);
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

UniqueName DirectoryNameOf(absl::string_view general_names_der) {
  DerReader outer(general_names_der);
  const std::optional<absl::string_view> names = outer.Next(der::kSequence);
  if (!names || !outer.done()) return nullptr;
  for (DerReader reader(*names); !reader.done();) {
    const std::optional<DerElement> name = reader.Next();
    if (!name) return nullptr;
    if (name->tag == der::Constructed(4)) return NameFromDer(name->content);
  }
  return nullptr;
}

const Crl::EntryIssuer& Crl::IssuerOf(uint32_t offset) const {
  const auto after =
      std::upper_bound(runs_.begin(), runs_.end(), offset,
                       [](uint32_t value, const Run& run) { return value < run.offset; });
  return issuers_[after == runs_.begin() ? 0 : std::prev(after)->issuer];
}

std::optional<CrlEntry> Crl::Find(absl::string_view issuer_name_der,
                                  absl::string_view serial) const {
  UniqueName asked;
  uint64_t issuer_hash = 0;
  if (indirect() || issuer_name_der != issuer_der_) {
    asked = NameFromDer(issuer_name_der);
    if (asked == nullptr) return std::nullopt;
    if (indirect()) {
      issuer_hash = NameHash(asked.get());
    } else if (X509_NAME_cmp(asked.get(), issuer_name_.get()) != 0) {
      return std::nullopt;
    }
  }
  if (table_.empty()) return std::nullopt;
  const uint32_t hash = CrlEntryHash(issuer_hash, serial);
  for (size_t at = CrlEntryHome(hash, table_.size()); table_[at].offset != 0;) {
    const Slot& slot = table_[at];
    if (slot.hash == hash) {
      DerReader reader(absl::string_view(der_).substr(slot.offset));
      CrlEntryReader entry;
      entry.Read(reader, true);
      if (entry.serial == serial &&
          (!indirect() ||
           X509_NAME_cmp(IssuerOf(slot.offset).name.get(), asked.get()) == 0)) {
        return CrlEntry{absl::FromUnixSeconds(entry.revoked), entry.reason};
      }
    }
    if (++at == table_.size()) at = 0;
  }
  return std::nullopt;
}

absl::Status Crl::VerifySignature(const Certificate& signer, const Strength& strength) const {
  GH_RETURN_IF_ERROR(signed_.Accepts(strength));
  if (const std::optional<bool> known = KnownSignedBy(signer)) {
    return *known ? absl::OkStatus() : absl::InvalidArgumentError("the signature is not by this key");
  }
  absl::Status verified = signed_.IsSignedBy(signer.key());
  const MutexLock lock(&mutex_);
  if (tried_.size() == kMaxTriedKeys) tried_.erase(tried_.begin());
  tried_.push_back({signer.spki_sha256(), verified.ok()});
  return verified;
}

std::optional<bool> Crl::KnownSignedBy(const Certificate& signer) const {
  const MutexLock lock(&mutex_);
  for (const TriedKey& tried : tried_) {
    if (tried.spki == signer.spki_sha256()) return tried.signed_by;
  }
  return std::nullopt;
}

bool Crl::MayBeReplacedBy(const Crl& newer) const {
  if (is_delta() != newer.is_delta() || scope_der_ != newer.scope_der_ ||
      X509_NAME_cmp(issuer_name_.get(), newer.issuer_name_.get()) != 0) {
    return false;
  }
  if (!number_.empty() && !newer.number_.empty() && number_ != newer.number_) {
    if (number_.size() != newer.number_.size()) return number_.size() < newer.number_.size();
    return number_ < newer.number_;  // char traits compare as unsigned octets
  }
  return this_update_ <= newer.this_update_;
}

absl::StatusOr<std::vector<CrlRef>> Crl::ListFromPem(absl::string_view pem) {
  std::vector<CrlRef> out;
  const bool der = !pem.empty() && pem.front() == 0x30;
  absl::string_view rest = pem;
  for (size_t begin = rest.find(kPemBegin); begin != absl::string_view::npos;
       begin = rest.find(kPemBegin)) {
    rest.remove_prefix(begin + kPemBegin.size());
    const size_t dashes = rest.find(kPemDashes);
    const absl::string_view kind = rest.substr(0, dashes);
    if (dashes == absl::string_view::npos || kind.find('\n') != absl::string_view::npos) {
      return absl::InvalidArgumentError("is PEM whose first line is broken");
    }
    if (kind != kPemKind) {
      return absl::InvalidArgumentError(
          absl::StrCat("is PEM of kind \"", EscapeText(kind.substr(0, 64)), "\", not a CRL"));
    }
    rest.remove_prefix(dashes + kPemDashes.size());
    const size_t end = rest.find(kPemEnd);
    std::string octets;
    if (end == absl::string_view::npos ||
        !absl::StartsWith(rest.substr(end + kPemEnd.size()), absl::StrCat(kPemKind, kPemDashes)) ||
        !absl::Base64Unescape(rest.substr(0, end), &octets)) {
      return absl::InvalidArgumentError("is PEM that is not base64, or cut short");
    }
    rest.remove_prefix(end + kPemEnd.size());
    absl::StatusOr<CrlRef> crl = FromDer(std::move(octets));
    if (!crl.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(out.empty() ? "" : absl::StrCat("CRL ", out.size() + 1, " of the text: "),
                       crl.status().message()));
    }
    out.push_back(*std::move(crl));
  }
  if (out.empty()) {
    return absl::InvalidArgumentError(pem.empty() ? "is empty"
                                      : der       ? "is DER, not PEM"
                                                  : "holds no PEM block of kind \"X509 CRL\"");
  }
  return out;
}

absl::StatusOr<std::vector<CrlRef>> Crl::ListFromBytes(std::string pem_or_der) {
  if (pem_or_der.empty() || pem_or_der.front() != 0x30) return ListFromPem(pem_or_der);
  GH_ASSIGN_OR_RETURN(CrlRef crl, FromDer(std::move(pem_or_der)));
  return std::vector<CrlRef>{std::move(crl)};
}

}  // namespace gatehouse::certs
