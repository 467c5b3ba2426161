// The accepted certificate.
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/base/openssl.h"
#include "gateway/certs/names.h"
#include "gateway/certs/requirements.h"
#include "gateway/identity/clause.h"

namespace gatehouse::identity {
namespace {

using UniqueUsage = std::unique_ptr<EXTENDED_KEY_USAGE, OpenSslDeleter<EXTENDED_KEY_USAGE_free>>;

struct NamedUsage {
  absl::string_view name, oid;
};
constexpr NamedUsage kUsages[] = {
    {"clientAuth", "1.3.6.1.5.5.7.3.2"},      {"serverAuth", "1.3.6.1.5.5.7.3.1"},
    {"codeSigning", "1.3.6.1.5.5.7.3.3"},     {"emailProtection", "1.3.6.1.5.5.7.3.4"},
    {"smartcardLogon", "1.3.6.1.4.1.311.20.2.2"},
};

std::string Hex(absl::string_view text) {
  std::string hex = absl::AsciiStrToUpper(absl::StrReplaceAll(text, {{":", ""}}));
  return absl::c_all_of(hex, [](unsigned char c) { return absl::ascii_isxdigit(c); }) ? hex : "";
}

absl::string_view WithoutZeros(absl::string_view hex) {
  return hex.substr(std::min(hex.find_first_not_of('0'), hex.size()));
}

absl::string_view FamilyName(certs::KeyFamily family) {
  switch (family) {
    case certs::KeyFamily::kRsa: return "RSA";
    case certs::KeyFamily::kEc: return "EC";
    case certs::KeyFamily::kEd25519: return "ED25519";
    case certs::KeyFamily::kEd448: return "ED448";
    case certs::KeyFamily::kOther: break;
  }
  return "other";
}

// kUnknown: the extension cannot be read.
Outcome HasUsages(const certs::Certificate& leaf, const std::vector<std::string>& wanted) {
  int critical = 0;
  const UniqueUsage usage(static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(leaf.x509(), NID_ext_key_usage, &critical, nullptr)));
  if (usage == nullptr) {
    TakeOpenSslError();
    return critical == -1 ? Outcome::kNotMet : Outcome::kUnknown;
  }
  return Known(absl::c_all_of(wanted, [&](const std::string& oid) {
    for (int i = 0; i < sk_ASN1_OBJECT_num(usage.get()); ++i) {
      if (certs::DottedOid(sk_ASN1_OBJECT_value(usage.get(), i)) == oid) return true;
    }
    return false;
  }));
}

// Whether it asks for what the holder of a key that is pinned writes into his certificates himself.
bool AsksTheHolder(const CertificateClause& clause) {
  const certs::Requirements& m = clause.match;
  return !m.subject.empty() || !m.san_dns.empty() || !m.san_email.empty() || !m.san_uri.empty() || !m.san_ip.empty() || !m.san_upn.empty() ||
         !m.issuer.empty() || !clause.serials.empty() || clause.valid_for.has_value() || !clause.extended_key_usages.empty();
}

// What stands against one certificate; `why` may be null.
Outcome TestOne(const CertificateClause& clause, const Part& part, absl::Time now, std::string* why) {
  if (part.by_key && AsksTheHolder(clause)) {
    if (why != nullptr) *why = "its key is pinned, and what is asked for is its holder's own word";
    return Outcome::kUnknown;
  }
  const certs::Certificate& leaf = *part.certificate;
  Outcome all = Outcome::kMet;
  const auto also = [&](Outcome one, auto text) {
    if (one != Outcome::kMet && why != nullptr && why->empty()) *why = text();
    all = std::min(all, one);
  };
  const std::string unmet = certs::UnmetRequirement(leaf, clause.match);
  also(Known(unmet.empty()), [&] { return std::string(unmet); });
  if (!clause.serials.empty()) {
    const absl::string_view serial = WithoutZeros(leaf.serial_hex_integer());
    also(Known(absl::c_any_of(clause.serials, [&](const std::string& s) { return s == serial; })),
         [&] { return absl::StrCat("its serial number is ", leaf.serial_hex_integer()); });
  }
  if (!clause.thumbprints.empty() || !clause.sha1_thumbprints.empty()) {
    also(Known(absl::c_linear_search(clause.thumbprints, leaf.sha256()) ||
               absl::c_linear_search(clause.sha1_thumbprints, leaf.sha1_hex())),
         [&] { return absl::StrCat("its SHA-256 is ", HexLower(AsView(leaf.sha256()))); });
  }
  if (!clause.key_types.empty()) {
    also(Known(absl::c_linear_search(clause.key_types, leaf.key_family())),
         [&] { return absl::StrCat("its key is ", FamilyName(leaf.key_family())); });
  }
  if (clause.valid_for) {
    also(now == absl::InfinitePast() ? Outcome::kUnknown : Known(leaf.not_after() - now >= *clause.valid_for), [&] {
      return absl::StrCat("it is valid until ", absl::FormatTime(absl::RFC3339_sec, leaf.not_after(), absl::UTCTimeZone()));
    });
  }
  if (!clause.extended_key_usages.empty()) {
    const Outcome usages = HasUsages(leaf, clause.extended_key_usages);
    also(usages, [&] {
      return usages == Outcome::kUnknown ? "its extended key usage cannot be read"
                                         : "its extended key usage lacks one that is wanted";
    });
  }
  return all;
}

template <typename F>
void ForEachAccepted(const CertificateClause& clause, const Facts& facts, F visit) {
  for (const PartRef& part : facts.identity.parts()) {
    if (part->kind != PartKind::kCertificate || part->certificate == nullptr) continue;
    if (clause.scheme.empty() || part->scheme == clause.scheme) visit(*part);
  }
}

}  // namespace

absl::StatusOr<std::string> ParseSerial(absl::string_view text) {
  const std::string hex = Hex(text);
  if (hex.empty() || hex.size() > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", EscapeText(text.substr(0, 80)), "\" is no serial number of 1 to 64 hex digits"));
  }
  return std::string(WithoutZeros(hex));
}

absl::StatusOr<std::string> ParseUsage(absl::string_view text) {
  for (const NamedUsage& usage : kUsages) {
    if (text == usage.name) return std::string(usage.oid);
  }
  const std::string dotted(text);
  ASN1_OBJECT* object = OBJ_txt2obj(dotted.c_str(), /*no_name=*/1);
  if (object == nullptr) {
    TakeOpenSslError();
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", EscapeText(text.substr(0, 80)),
        "\" is no dotted OID; names are clientAuth, serverAuth, codeSigning, emailProtection and smartcardLogon"));
  }
  std::string oid = certs::DottedOid(object);
  ASN1_OBJECT_free(object);
  return oid;
}

absl::Status AddThumbprint(absl::string_view text, CertificateClause* clause) {
  const std::string hex = Hex(text);
  if (hex.size() == 40) {
    clause->sha1_thumbprints.push_back(hex);
    return absl::OkStatus();
  }
  if (hex.size() != 64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", EscapeText(text.substr(0, 120)), "\" is no thumbprint: 64 hex digits of SHA-256, or 40 of SHA-1"));
  }
  const std::string octets = absl::HexStringToBytes(hex);
  absl::c_copy(octets, clause->thumbprints.emplace_back().begin());
  return absl::OkStatus();
}

Outcome Check(const CertificateClause& clause, const Facts& facts) {
  Outcome any = Outcome::kNotMet;
  ForEachAccepted(clause, facts, [&](const Part& part) {
    if (any != Outcome::kMet) any = std::max(any, TestOne(clause, part, facts.now, nullptr));
  });
  return any;
}

std::string Words(const CertificateClause& clause) {
  std::vector<std::string> wanted;
  const certs::Requirements& m = clause.match;
  if (!m.subject.empty()) wanted.emplace_back("subject");
  if (!m.san_dns.empty() || !m.san_email.empty() || !m.san_uri.empty() || !m.san_ip.empty() || !m.san_upn.empty()) {
    wanted.emplace_back("SAN");
  }
  if (!m.issuer.empty()) wanted.emplace_back("issuer");
  if (m.min_key_bits > 0) wanted.push_back(absl::StrCat("key of ", m.min_key_bits, " bits"));
  if (!m.forbidden_signature_nids.empty()) wanted.emplace_back("signature algorithm");
  if (!clause.serials.empty()) wanted.emplace_back("serial number");
  if (!clause.thumbprints.empty() || !clause.sha1_thumbprints.empty()) wanted.emplace_back("thumbprint");
  if (!clause.key_types.empty()) {
    wanted.push_back(absl::StrCat("key type ", absl::StrJoin(clause.key_types, " or ", [](std::string* out, auto family) {
      absl::StrAppend(out, FamilyName(family));
    })));
  }
  if (clause.valid_for) wanted.push_back(absl::StrCat("valid for ", absl::FormatDuration(*clause.valid_for)));
  if (!clause.extended_key_usages.empty()) wanted.emplace_back("extended key usage");
  return absl::StrCat("certificate", clause.scheme.empty() ? "" : absl::StrCat(" of scheme ", EscapeText(clause.scheme)),
                      wanted.empty() ? " accepted" : ": ", absl::StrJoin(wanted, ", "));
}

std::string Evidence(const CertificateClause& clause, const Facts& facts) {
  std::string text;
  ForEachAccepted(clause, facts, [&](const Part& part) {
    std::string why;
    TestOne(clause, part, facts.now, &why);
    absl::StrAppend(&text, text.empty() ? "" : "; ", EscapeText(part.certificate->subject()), why.empty() ? "" : ": ", why);
  });
  return text.empty() ? "no certificate was accepted" : text;
}

void AppendContent(const CertificateClause& clause, std::string* content) {
  AppendField(content, clause.scheme);
  certs::SchemeOptions match;
  match.require = clause.match;
  AppendField(content, certs::ContentEpoch(match));
  const auto list = [&](const auto& texts) {
    AppendField(content, texts.size());
    for (const std::string& text : texts) AppendField(content, text);
  };
  list(clause.serials);
  AppendField(content, clause.thumbprints.size());
  for (const Sha256Digest& digest : clause.thumbprints) AppendField(content, AsView(digest));
  list(clause.sha1_thumbprints);
  AppendField(content, clause.key_types.size());
  for (certs::KeyFamily family : clause.key_types) AppendField(content, static_cast<uint64_t>(family));
  AppendField(content, clause.valid_for ? absl::FormatDuration(*clause.valid_for) : std::string());
  list(clause.extended_key_usages);
}

}  // namespace gatehouse::identity
