#include <algorithm>
#include <map>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/certs/trust_store.h"

namespace gatehouse::cli {
namespace {

const char* RoleText(v1::TrustEntry::Role role) {
  switch (role) {
    case v1::TrustEntry::ANCHOR: return "anchor";
    case v1::TrustEntry::INTERMEDIATE: return "intermediate";
    case v1::TrustEntry::PIN: return "pin";
    case v1::TrustEntry::PINNED_KEY: return "pinned key";
    case v1::TrustEntry::CRL: return "CRL";
    default: return "?";
  }
}

absl::StatusOr<certs::Pin> PinOf(const v1::Pin& pin) {
  switch (pin.kind_case()) {
    case v1::Pin::kPem: return certs::PinFromPem(pin.pem());
    case v1::Pin::kCertificateSha256: return certs::ParsePinDigest(certs::Pin::Kind::kCertificate, pin.certificate_sha256());
    case v1::Pin::kSpkiSha256: return certs::ParsePinDigest(certs::Pin::Kind::kSpki, pin.spki_sha256());
    case v1::Pin::KIND_NOT_SET: break;
  }
  return absl::InvalidArgumentError("pins nothing");
}

// Comments of pins, by digest.
std::map<std::string, std::string> Comments(const v1::TrustStore& store) {
  std::map<std::string, std::string> out;
  for (const v1::Pin& pin : store.pins()) {
    if (pin.comment().empty()) continue;
    if (const absl::StatusOr<certs::Pin> pinned = PinOf(pin); pinned.ok()) out[HexLower(AsView(pinned->digest))] = pin.comment();
  }
  return out;
}

std::string Ago(absl::Time then, absl::Time now) {
  const std::string text = ExpiryText(then, std::max(now, then + absl::Seconds(1)));
  return text.substr(text.find(' ') + 1);
}

}  // namespace

std::string TrustText(const v1::TrustStore& store, const v1::ListTrustResponse& listed, absl::Time now,
                      const Style& style) {
  const std::map<std::string, std::string> comments = Comments(store);
  std::vector<std::vector<std::string>> rows;
  for (const v1::TrustEntry& entry : listed.entries()) {
    std::string who = EscapeText(entry.certificate().subject());
    std::string expires;
    if (entry.certificate().has_not_after()) {
      const absl::Time end = absl::FromUnixSeconds(entry.certificate().not_after().seconds());
      expires = ExpiryText(end, now);
    }
    if (entry.role() == v1::TrustEntry::CRL) {
      who = absl::StrCat(EscapeText(entry.list().issuer()), " (", entry.list().entries(), " revoked)");
      if (entry.list().has_next_update()) {
        const absl::Time end = absl::FromUnixSeconds(entry.list().next_update().seconds());
        expires = ExpiryText(end, now);
      }
    }
    auto comment = comments.find(entry.sha256());
    if (comment != comments.end()) {
      absl::StrAppend(&who, who.empty() ? "" : "   ", "“", EscapeText(comment->second), "”");
    }
    rows.push_back({RoleText(entry.role()), who.empty() ? "-" : who, expires.empty() ? "-" : expires,
                    ShortDigest(entry.sha256(), 8), absl::StrCat(entry.uses()),
                    entry.uses() == 0 ? "never" : Ago(absl::FromUnixSeconds(entry.last_use().seconds()), now)});
  }
  std::ostringstream out;
  PrintTable({"AS", "WHAT", "EXPIRES", "SHA-256", "USES", "LAST USE"}, rows, style, out);
  if (listed.left_out() > 0) out << "and " << listed.left_out() << " more\n";
  for (const v1::GatewayUse& gateway : listed.gateways()) {
    out << style.Dim(gateway.error().empty()
                         ? absl::StrCat("used at ", EscapeText(gateway.gateway()), " since ",
                                        absl::FormatTime("%Y-%m-%d %H:%M:%S",
                                                         absl::FromUnixSeconds(gateway.since().seconds()),
                                                         absl::LocalTimeZone()),
                                        ", revision ", gateway.revision())
                         : absl::StrCat("not counted: ", EscapeText(gateway.gateway()), ": ", EscapeText(gateway.error())))
        << "\n";
  }
  return out.str();
}

}  // namespace gatehouse::cli
