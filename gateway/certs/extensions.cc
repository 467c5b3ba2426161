#include "gateway/certs/extensions.h"

#include <openssl/objects.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/base/escape.h"
#include "gateway/certs/der.h"
#include "gateway/certs/names.h"
#include "gateway/certs/san.h"

namespace gatehouse::certs {
namespace {

constexpr int kMaxExtensions = 64;
constexpr size_t kManyCertificates = 1000;  // a bound on paths that is as good as none

// Content octets of the object identifiers that are looked for.
constexpr absl::string_view kAnyPolicy("\x55\x1d\x20\x00", 4);
constexpr absl::string_view kAnyExtendedKeyUsage("\x55\x1d\x25\x00", 4);
constexpr absl::string_view kClientAuth("\x2b\x06\x01\x05\x05\x07\x03\x02", 8);

constexpr uint8_t kConstructedBit = 0x20;

// The content of the next value, if it has this tag.
bool Read(DerReader* reader, uint8_t tag, absl::string_view* content) {
  const std::optional<absl::string_view> found = reader->Next(tag);
  if (!found || (tag == der::kOid && !IsDerOid(*found))) return false;
  *content = *found;
  return true;
}

// A non-negative INTEGER; big ones are as good as kManyCertificates.
bool ReadCount(absl::string_view content, size_t* out) {
  if (!IsDerInteger(content) || (content[0] & 0x80) != 0) return false;
  size_t value = 0;
  for (char c : content) value = std::min(kManyCertificates, value << 8 | static_cast<uint8_t>(c));
  *out = value;
  return true;
}

bool ReadTrue(absl::string_view content, bool* out) {
  if (content.size() != 1 || (content[0] != '\0' && content[0] != '\xff')) return false;
  *out = content[0] != '\0';
  return true;
}

// The content of the one SEQUENCE that `value` is.
bool Unwrap(absl::string_view value, absl::string_view* content) {
  DerReader reader(value);
  return Read(&reader, der::kSequence, content) && reader.done();
}

// BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL }
bool ReadBasicConstraints(absl::string_view value, Extensions* out) {
  absl::string_view content, field;
  if (!Unwrap(value, &content)) return false;
  DerReader reader(content);
  out->has_basic_constraints = true;
  if (reader.NextIs(der::kBoolean) && !(Read(&reader, der::kBoolean, &field) && ReadTrue(field, &out->ca))) return false;
  if (reader.done()) return true;
  size_t length = 0;
  if (!Read(&reader, der::kInteger, &field) || !ReadCount(field, &length) || !reader.done()) return false;
  out->path_length = length;
  return true;
}

// KeyUsage ::= BIT STRING
bool ReadKeyUsage(absl::string_view value, Extensions* out) {
  DerReader reader(value);
  absl::string_view bits;
  if (!Read(&reader, der::kBitString, &bits) || !reader.done() || bits.empty() || bits[0] < 0 || bits[0] > 7) return false;
  // X.690 section 11.2.1: bits that do not count are zero. Read as set, one of them could be keyCertSign.
  const uint8_t unused = static_cast<uint8_t>((1u << bits[0]) - 1);
  if ((bits.size() == 1 ? bits[0] : bits.back() & unused) != 0) return false;
  const uint8_t first = bits.size() > 1 ? static_cast<uint8_t>(bits[1]) : 0;
  out->has_key_usage = true;
  out->digital_signature = (first & 0x80) != 0;
  out->key_cert_sign = (first & 0x04) != 0;
  return true;
}

// ExtKeyUsageSyntax ::= SEQUENCE SIZE (1..MAX) OF OBJECT IDENTIFIER
bool ReadExtendedKeyUsage(absl::string_view value, Extensions* out) {
  absl::string_view content, oid;
  if (!Unwrap(value, &content) || content.empty()) return false;
  out->has_extended_key_usage = true;
  for (DerReader reader(content); !reader.done();) {
    if (!Read(&reader, der::kOid, &oid)) return false;
    out->client_auth = out->client_auth || oid == kClientAuth;
    out->any_extended_key_usage = out->any_extended_key_usage || oid == kAnyExtendedKeyUsage;
  }
  return true;
}

bool ReadSubjectKeyId(absl::string_view value, Extensions* out) {
  DerReader reader(value);
  return Read(&reader, der::kOctetString, &out->subject_key_id) && reader.done();
}

// AuthorityKeyIdentifier ::= SEQUENCE { [0] keyIdentifier OPTIONAL, [1] issuer and [2] serial OPTIONAL }
bool ReadAuthorityKeyId(absl::string_view value, Extensions* out) {
  absl::string_view content, ignored;
  if (!Unwrap(value, &content)) return false;
  DerReader reader(content);
  if (reader.NextIs(der::Context(0)) && !Read(&reader, der::Context(0), &out->authority_key_id)) return false;
  if (reader.NextIs(der::Constructed(1)) && !Read(&reader, der::Constructed(1), &ignored)) return false;
  if (reader.NextIs(der::Context(2)) && !Read(&reader, der::Context(2), &ignored)) return false;
  return reader.done();
}

// Big-endian characters of `width` octets, each one of Unicode's.
bool IsWideText(absl::string_view text, size_t width) {
  if (text.size() % width != 0) return false;
  for (; !text.empty(); text.remove_prefix(width)) {
    uint32_t character = 0;
    for (size_t i = 0; i < width; ++i) character = character << 8 | static_cast<uint8_t>(text[i]);
    if (character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff)) return false;
  }
  return true;
}

// AttributeTypeAndValue ::= SEQUENCE { type OID, value ANY }, of which text must be text.
bool IsAttribute(absl::string_view content) {
  absl::string_view oid;
  DerReader fields(content);
  if (!Read(&fields, der::kOid, &oid)) return false;
  const std::optional<DerElement> value = fields.Next();
  if (!value || !fields.done()) return false;
  switch (value->tag) {
    case der::kUtf8String:
      return IsValidUtf8(value->content);
    case der::kBmpString:
      return IsWideText(value->content, 2);
    case der::kUniversalString:
      return IsWideText(value->content, 4);
    default:
      return true;
  }
}

// RDNSequence ::= SEQUENCE OF SET SIZE (1..MAX) OF AttributeTypeAndValue
bool IsRdnSequence(absl::string_view content) {
  absl::string_view rdn, attribute;
  for (DerReader reader(content); !reader.done();) {
    if (!Read(&reader, der::kSet, &rdn) || rdn.empty()) return false;
    for (DerReader attributes(rdn); !attributes.done();) {
      if (!Read(&attributes, der::kSequence, &attribute) || !IsAttribute(attribute)) return false;
    }
  }
  return true;
}

bool ReadGeneralName(DerReader* reader, GeneralName* out) {
  const std::optional<DerElement> element = reader->Next();
  if (!element || (element->tag & 0xc0) != der::Context(0)) return false;
  out->content = element->content;
  const auto form = static_cast<NameForm>(element->tag & 0x1f);
  if (form > NameForm::kRegisteredId) return false;
  out->form = form;
  const bool constructed = form == NameForm::kOther || form == NameForm::kX400 || form == NameForm::kDirectory ||
                           form == NameForm::kEdiParty;
  if (constructed != ((element->tag & kConstructedBit) != 0)) return false;
  if (form != NameForm::kDirectory) return true;
  // [4] is explicit: Name is a CHOICE.
  DerReader name(out->content);
  absl::string_view rdns;
  return Read(&name, der::kSequence, &rdns) && name.done() && IsRdnSequence(rdns);
}

// Returns what is wrong with the list, or "".
std::string ReadAlternativeNames(absl::string_view value, Extensions* out) {
  absl::string_view content;
  if (!Unwrap(value, &content)) return "subjectAltName cannot be read";
  if (content.empty()) return "subjectAltName is empty";
  for (DerReader reader(content); !reader.done();) {
    if (out->alternative_names.size() == kMaxAlternativeNames) {
      return absl::StrCat("subjectAltName has more than ", kMaxAlternativeNames, " entries");
    }
    GeneralName name;
    if (!ReadGeneralName(&reader, &name)) return "subjectAltName cannot be read";
    out->alternative_names.push_back(name);
  }
  return "";
}

bool IsHostConstraint(absl::string_view text) {
  absl::ConsumePrefix(&text, ".");
  return text.empty() || (text[0] != '*' && IsDnsName(text));
}

// Whether a constraint is in the form that section 4.2.1.10 gives it. One that is not would match nothing, and excluding
// nothing is not what it was written for.
bool IsConstraint(const GeneralName& base) {
  const absl::string_view text = base.content;
  switch (base.form) {
    case NameForm::kDns:
    case NameForm::kUri:
      return IsHostConstraint(text);
    case NameForm::kRfc822: {
      const size_t at = text.rfind('@');
      return at == absl::string_view::npos ? IsHostConstraint(text) : at > 0 && IsDnsName(text.substr(at + 1));
    }
    case NameForm::kIp: {
      if (text.size() != 8 && text.size() != 32) return false;
      bool ended = false;  // the mask's ones
      for (char c : text.substr(text.size() / 2)) {
        for (int bit = 7; bit >= 0; --bit) {
          const bool one = (static_cast<uint8_t>(c) >> bit & 1) != 0;
          if (one && ended) return false;
          ended = !one;
        }
      }
      return true;
    }
    default:
      return true;
  }
}

// GeneralSubtrees ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { base GeneralName, minimum [0] DEFAULT 0, maximum [1] OPTIONAL }
std::string ReadSubtrees(absl::string_view content, std::vector<GeneralName>* out) {
  if (content.empty()) return "nameConstraints holds an empty list of subtrees";
  for (DerReader reader(content); !reader.done();) {
    if (out->size() == kMaxSubtrees) return absl::StrCat("nameConstraints has more than ", kMaxSubtrees, " subtrees");
    absl::string_view subtree;
    GeneralName base;
    if (!Read(&reader, der::kSequence, &subtree)) return "nameConstraints cannot be read";
    DerReader fields(subtree);
    if (!ReadGeneralName(&fields, &base)) return "nameConstraints cannot be read";
    // RFC 5280 section 4.2.1.10: minimum must be zero (and so absent, in DER) and maximum absent.
    if (!fields.done()) return "nameConstraints has a subtree with a minimum or maximum";
    if (!IsConstraint(base)) return "nameConstraints has a subtree that is not in the form of its kind";
    out->push_back(base);
  }
  return "";
}

// NameConstraints ::= SEQUENCE { permittedSubtrees [0] OPTIONAL, excludedSubtrees [1] OPTIONAL }
std::string ReadNameConstraints(absl::string_view value, Extensions* out) {
  constexpr uint8_t kPermitted = der::Constructed(0), kExcluded = der::Constructed(1);
  absl::string_view content, list;
  out->has_name_constraints = true;
  if (!Unwrap(value, &content)) return "nameConstraints cannot be read";
  if (content.empty()) return "nameConstraints is empty";
  DerReader reader(content);
  std::string wrong;
  if (reader.NextIs(kPermitted)) {
    if (!Read(&reader, kPermitted, &list)) return "nameConstraints cannot be read";
    wrong = ReadSubtrees(list, &out->permitted);
  }
  if (wrong.empty() && reader.NextIs(kExcluded)) {
    if (!Read(&reader, kExcluded, &list)) return "nameConstraints cannot be read";
    wrong = ReadSubtrees(list, &out->excluded);
  }
  return !wrong.empty() || reader.done() ? wrong : "nameConstraints cannot be read";
}

// certificatePolicies ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { policyIdentifier OID, policyQualifiers OPTIONAL }
std::string ReadPolicies(absl::string_view value, Extensions* out) {
  absl::string_view content, policy, oid, qualifiers;
  out->has_policies = true;
  if (!Unwrap(value, &content) || content.empty()) return "certificatePolicies cannot be read";
  for (DerReader reader(content); !reader.done();) {
    if (!Read(&reader, der::kSequence, &policy)) return "certificatePolicies cannot be read";
    DerReader fields(policy);
    if (!Read(&fields, der::kOid, &oid)) return "certificatePolicies cannot be read";
    if (!fields.done() && !(Read(&fields, der::kSequence, &qualifiers) && fields.done())) {
      return "certificatePolicies cannot be read";
    }
    if (oid == kAnyPolicy ? out->any_policy
                          : std::find(out->policies.begin(), out->policies.end(), oid) != out->policies.end()) {
      return "certificatePolicies names a policy twice";
    }
    if (oid == kAnyPolicy) {
      out->any_policy = true;
      continue;
    }
    if (out->policies.size() == kMaxPolicies) return absl::StrCat("more than ", kMaxPolicies, " certificate policies");
    out->policies.push_back(oid);
  }
  return "";
}

// PolicyMappings ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { issuerDomainPolicy OID, subjectDomainPolicy OID }
std::string ReadPolicyMappings(absl::string_view value, Extensions* out) {
  absl::string_view content, pair, issuers, subjects;
  if (!Unwrap(value, &content) || content.empty()) return "policyMappings cannot be read";
  for (DerReader reader(content); !reader.done();) {
    if (!Read(&reader, der::kSequence, &pair)) return "policyMappings cannot be read";
    DerReader fields(pair);
    if (!Read(&fields, der::kOid, &issuers) || !Read(&fields, der::kOid, &subjects) || !fields.done()) {
      return "policyMappings cannot be read";
    }
    if (out->policy_mappings.size() == kMaxPolicies) return absl::StrCat("more than ", kMaxPolicies, " policy mappings");
    out->policy_mappings.emplace_back(issuers, subjects);
  }
  return "";
}

bool ReadOptionalCount(DerReader* reader, uint8_t tag, std::optional<size_t>* out) {
  if (!reader->NextIs(tag)) return true;
  absl::string_view content;
  size_t count = 0;
  if (!Read(reader, tag, &content) || !ReadCount(content, &count)) return false;
  *out = count;
  return true;
}

// PolicyConstraints ::= SEQUENCE { requireExplicitPolicy [0] OPTIONAL, inhibitPolicyMapping [1] OPTIONAL }
bool ReadPolicyConstraints(absl::string_view value, Extensions* out) {
  absl::string_view content;
  if (!Unwrap(value, &content) || content.empty()) return false;
  DerReader reader(content);
  return ReadOptionalCount(&reader, der::Context(0), &out->require_explicit_policy) &&
         ReadOptionalCount(&reader, der::Context(1), &out->inhibit_policy_mapping) && reader.done();
}

bool ReadInhibitAnyPolicy(absl::string_view value, Extensions* out) {
  DerReader reader(value);
  return ReadOptionalCount(&reader, der::kInteger, &out->inhibit_any_policy) && reader.done() &&
         out->inhibit_any_policy.has_value();
}

void Note(std::string* into, std::string what) {
  if (into->empty()) *into = std::move(what);
}

// One extension into `out`. Returns false when it is of a kind that is not processed.
bool ReadOne(int nid, absl::string_view value, bool critical, Extensions* out) {
  const auto readable = [&](bool ok, const char* name) {
    if (!ok) Note(&out->unreadable, absl::StrCat(name, " cannot be read"));
  };
  // What conforming authorities must mark critical, so that nobody who does not know it accepts the certificate.
  const auto critical_only = [&](const char* name) {
    if (!critical) Note(&out->defect, absl::StrCat(name, " is not critical"));
  };
  switch (nid) {
    case NID_basic_constraints:
      // Not critical is let pass: section 6.1 asks the same of it, and NIST counts it as valid (PKITS 4.6.4).
      readable(ReadBasicConstraints(value, out), "basicConstraints");
      return true;
    case NID_key_usage:
      readable(ReadKeyUsage(value, out), "keyUsage");
      return true;
    case NID_ext_key_usage:
      readable(ReadExtendedKeyUsage(value, out), "extendedKeyUsage");
      return true;
    case NID_subject_alt_name:
      Note(&out->defect, ReadAlternativeNames(value, out));
      out->critical_alternative_names = critical;
      return true;
    case NID_name_constraints:
      Note(&out->unreadable, ReadNameConstraints(value, out));
      critical_only("nameConstraints");
      return true;
    case NID_certificate_policies:
      Note(&out->unreadable, ReadPolicies(value, out));
      return true;
    case NID_policy_mappings:
      Note(&out->unreadable, ReadPolicyMappings(value, out));
      return true;
    case NID_policy_constraints:
      // As with basicConstraints, NIST counts it as valid when it is not critical (PKITS 4.8.6 and others).
      readable(ReadPolicyConstraints(value, out), "policyConstraints");
      return true;
    case NID_inhibit_any_policy:
      readable(ReadInhibitAnyPolicy(value, out), "inhibitAnyPolicy");
      critical_only("inhibitAnyPolicy");
      return true;
    case NID_subject_key_identifier:
      if (!ReadSubjectKeyId(value, out)) Note(&out->defect, "subjectKeyIdentifier cannot be read");
      return false;
    case NID_authority_key_identifier:
      if (!ReadAuthorityKeyId(value, out)) Note(&out->defect, "authorityKeyIdentifier cannot be read");
      return false;
    case NID_crl_distribution_points:
      return true;  // where to ask about revocation, if anybody asks
    default:
      return false;
  }
}

}  // namespace

void ReadExtensions(const X509* x, Extensions* out) {
  const int count = X509_get_ext_count(x);
  if (count > kMaxExtensions) {
    out->unreadable = absl::StrCat("more than ", kMaxExtensions, " extensions");
    return;
  }
  if (count > 0 && X509_get_version(x) != X509_VERSION_3) {
    out->unreadable = "extensions, but not version 3";
    return;
  }
  for (int i = 0; i < count; ++i) {
    X509_EXTENSION* extension = X509_get_ext(x, i);
    const ASN1_OBJECT* object = X509_EXTENSION_get_object(extension);
    if (X509_get_ext_by_OBJ(x, object, i) >= 0) {
      out->unreadable = absl::StrCat("extension ", DottedOid(object), " appears twice");
      return;
    }
    const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(extension);
    const absl::string_view octets(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                   static_cast<size_t>(ASN1_STRING_length(value)));
    const bool critical = X509_EXTENSION_get_critical(extension) != 0;
    if (!ReadOne(OBJ_obj2nid(object), octets, critical, out) && critical) Note(&out->unknown_critical, DottedOid(object));
  }
  // Section 4.2.1.9: no pathLenConstraint without cA; 4.2.1.3: no keyCertSign either; 4.2.1.10: constraints only in a CA.
  if (!out->ca && out->path_length) Note(&out->defect, "a path length, but not a certificate authority");
  if (!out->ca && out->key_cert_sign) Note(&out->defect, "keyCertSign, but not a certificate authority");
  if (!out->ca && out->has_name_constraints) Note(&out->defect, "nameConstraints, but not a certificate authority");
  if (!out->unreadable.empty()) Note(&out->defect, out->unreadable);
}

}  // namespace gatehouse::certs
