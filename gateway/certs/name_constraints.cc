#include "gateway/certs/name_constraints.h"

#include <openssl/x509.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/base/escape.h"
#include "gateway/certs/names.h"
#include "gateway/certs/san.h"

namespace gatehouse::certs {
namespace {

constexpr char kCommonNameOid[] = "2.5.4.3";
constexpr char kEmailAddressOid[] = "1.2.840.113549.1.9.1";
constexpr uint32_t kNameCost = 16;  // comparisons that reading a distinguished name is worth

const char* FormName(NameForm form) {
  static constexpr const char* kNames[] = {"otherName",    "rfc822Name", "dNSName",   "x400Address", "directoryName",
                                           "ediPartyName", "URI",        "iPAddress", "registeredID"};
  return kNames[static_cast<int>(form)];
}

using Rdns = std::vector<std::string>;

std::optional<Rdns> ReadRdns(absl::string_view der, Work* work) {
  work->comparisons += kNameCost;
  const UniqueName name = NameFromDer(der);
  if (name == nullptr) return std::nullopt;
  return CanonicalRdns(name.get());
}

bool IsPrefix(const Rdns& base, const Rdns& name) {
  return base.size() <= name.size() && std::equal(base.begin(), base.end(), name.begin());
}

// One name of a certificate, in the form that is compared.
struct Name {
  NameForm form;
  absl::string_view text;  // every form but kDirectory
  Rdns rdns;               // kDirectory
};

// A range of one issuer's subtrees, with distinguished names read once.
struct Subtrees {
  const std::vector<GeneralName>& list;
  std::vector<Rdns> directories;  // of those of kDirectory, in order

  bool Has(NameForm form) const {
    return std::any_of(list.begin(), list.end(), [form](const GeneralName& n) { return n.form == form; });
  }
  bool ReadDirectories(Work* work) {
    for (const GeneralName& base : list) {
      if (base.form != NameForm::kDirectory) continue;
      if (work->comparisons > Work::kMaxComparisons) return true;  // AnyWithin goes no further either
      std::optional<Rdns> rdns = ReadRdns(base.content, work);
      if (!rdns) return false;
      directories.push_back(*std::move(rdns));
    }
    return true;
  }
};

bool IsWithin(const Name& name, const GeneralName& base, const Rdns* directory, bool excluding) {
  switch (name.form) {
    case NameForm::kDns:
      return DnsWithin(name.text, base.content, excluding);
    case NameForm::kRfc822:
      return EmailWithin(name.text, base.content);
    case NameForm::kUri:
      return HostWithin(HostOfUri(name.text), base.content);
    case NameForm::kIp:
      return AddressWithin(name.text, base.content);
    case NameForm::kDirectory:
      return IsPrefix(*directory, name.rdns);
    default:
      return false;
  }
}

bool AnyWithin(const Name& name, const Subtrees& subtrees, bool excluding, Work* work) {
  size_t directory = 0;
  for (const GeneralName& base : subtrees.list) {
    if (base.form != name.form) continue;
    if (++work->comparisons > Work::kMaxComparisons) return excluding;
    const Rdns* rdns = name.form == NameForm::kDirectory ? &subtrees.directories[directory++] : nullptr;
    if (IsWithin(name, base, rdns, excluding)) return true;
  }
  return false;
}

bool HasDnsName(const std::vector<GeneralName>& names) {
  return std::any_of(names.begin(), names.end(), [](const GeneralName& n) { return n.form == NameForm::kDns; });
}

std::string Forbidden(const Name& name, absl::string_view why) {
  const std::string shown = name.form == NameForm::kIp || name.form == NameForm::kDirectory
                                ? ""
                                : absl::StrCat(" \"", EscapeText(name.text), "\"");
  return absl::StrCat(FormName(name.form), shown, " ", why);
}

class Check {
 public:
  Check(const Certificate& issuer, Work* work)
      : permitted_{issuer.extensions().permitted, {}}, excluded_{issuer.extensions().excluded, {}}, work_(work) {}

  bool Constrains(NameForm form) const { return permitted_.Has(form) || excluded_.Has(form); }

  bool ReadDirectories() {
    if (read_) return true;
    read_ = true;
    return permitted_.ReadDirectories(work_) && excluded_.ReadDirectories(work_);
  }

  // REQUIRES: this form is constrained, and for kDirectory ReadDirectories was called.
  std::string Violation(const Name& name) {
    switch (name.form) {
      case NameForm::kOther:
      case NameForm::kX400:
      case NameForm::kEdiParty:
      case NameForm::kRegisteredId:
        // Section 4.2.1.10: process the constraint, or reject the certificate in which such a name occurs.
        return absl::StrCat(FormName(name.form), " is constrained, which cannot be processed");
      case NameForm::kUri:
        if (HostOfUri(name.text).empty()) return Forbidden(name, "is constrained, but has no host name");
        break;
      case NameForm::kRfc822:
        if (!IsEmail(name.text)) return Forbidden(name, "is constrained, but is no address");
        break;
      default:
        break;
    }
    if (AnyWithin(name, excluded_, true, work_)) return Exhausted(Forbidden(name, "is excluded"));
    if (permitted_.Has(name.form) && !AnyWithin(name, permitted_, false, work_)) {
      return Exhausted(Forbidden(name, "is not permitted"));
    }
    return "";
  }

  std::string Exhausted(std::string otherwise) const {
    return work_->exhausted() ? "costs more comparisons than are made for one judgement" : std::move(otherwise);
  }

 private:
  Subtrees permitted_, excluded_;
  Work* const work_;
  bool read_ = false;
};

}  // namespace

bool DnsWithin(absl::string_view name, absl::string_view constraint, bool excluding) {
  const bool wildcard = absl::ConsumePrefix(&name, "*.");
  if (absl::ConsumePrefix(&constraint, ".")) {
    // Not a form of RFC 5280, but in use: the names below. Excluded, the name itself too.
    if (!excluding && !wildcard && absl::EqualsIgnoreCase(name, constraint)) return false;
  }
  if (constraint.empty()) return true;
  const auto below = [](absl::string_view n, absl::string_view c) {
    return n.size() > c.size() && n[n.size() - c.size() - 1] == '.' && absl::EndsWithIgnoreCase(n, c);
  };
  if (absl::EqualsIgnoreCase(name, constraint) || below(name, constraint)) return true;
  // *.a.test stands for x.a.test too.
  return excluding && wildcard && below(constraint, name);
}

bool EmailWithin(absl::string_view address, absl::string_view constraint) {
  const size_t at = address.rfind('@');
  if (at == absl::string_view::npos) return false;
  const size_t wanted_at = constraint.rfind('@');
  if (wanted_at == absl::string_view::npos) {
    return HostWithin(address.substr(at + 1), constraint);
  }
  // A whole mailbox: its local part is compared exactly (section 7.5).
  return address.substr(0, at) == constraint.substr(0, wanted_at) &&
         absl::EqualsIgnoreCase(address.substr(at), constraint.substr(wanted_at));
}

bool HostWithin(absl::string_view host, absl::string_view constraint) {
  if (host.empty()) return false;
  if (constraint.empty()) return true;
  if (!absl::StartsWith(constraint, ".")) return absl::EqualsIgnoreCase(host, constraint);
  return host.size() > constraint.size() && absl::EndsWithIgnoreCase(host, constraint);
}

bool AddressWithin(absl::string_view address, absl::string_view range) {
  if (range.size() != 2 * address.size()) return false;
  for (size_t i = 0; i < address.size(); ++i) {
    if (((address[i] ^ range[i]) & range[address.size() + i]) != 0) return false;
  }
  return true;
}

absl::string_view HostOfUri(absl::string_view uri) {
  const size_t colon = uri.find(':');
  if (colon == absl::string_view::npos) return "";
  absl::string_view rest = uri.substr(colon + 1);
  if (!absl::ConsumePrefix(&rest, "//")) return "";
  rest = rest.substr(0, rest.find_first_of("/?#"));
  const size_t at = rest.rfind('@');
  if (at != absl::string_view::npos) rest.remove_prefix(at + 1);
  const size_t port = rest.find(':');
  if (port != absl::string_view::npos) rest = rest.substr(0, port);
  // No address (its last label is digits, or it stands in brackets), no wildcard.
  if (rest.empty() || !IsDnsName(rest) || rest[0] == '*') return "";
  const absl::string_view last = rest.substr(rest.rfind('.') == absl::string_view::npos ? 0 : rest.rfind('.') + 1);
  const bool digits = std::all_of(last.begin(), last.end(),
                                  [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); });
  return digits ? "" : rest;
}

std::string NameConstraintViolation(const Certificate& issuer, const Certificate& subject, bool end, Work* work) {
  Check check(issuer, work);
  if (check.Constrains(NameForm::kDirectory)) {
    if (!check.ReadDirectories()) return "a constraint of form directoryName cannot be read";
    // A subject that is empty is no name.
    const X509_NAME* name = X509_get_subject_name(subject.x509());
    work->comparisons += kNameCost;
    if (X509_NAME_entry_count(name) > 0) {
      std::string wrong = check.Violation({NameForm::kDirectory, "", CanonicalRdns(name)});
      if (!wrong.empty()) return wrong;
    }
  }
  if (check.Constrains(NameForm::kRfc822)) {
    for (const NameAttribute& attribute : subject.subject_attributes()) {
      if (attribute.oid != kEmailAddressOid) continue;
      std::string wrong = check.Violation({NameForm::kRfc822, attribute.value, {}});
      if (!wrong.empty()) return wrong;
    }
  }
  // Not asked by RFC 5280, but who may only issue for some hosts shall not name others by the common name.
  if (end && check.Constrains(NameForm::kDns) && !HasDnsName(subject.extensions().alternative_names)) {
    for (const NameAttribute& attribute : subject.subject_attributes()) {
      if (attribute.oid != kCommonNameOid || !absl::StrContains(attribute.value, '.') || !IsDnsName(attribute.value)) {
        continue;
      }
      std::string wrong = check.Violation({NameForm::kDns, attribute.value, {}});
      if (!wrong.empty()) return absl::StrCat("common name as ", wrong);
    }
  }
  for (const GeneralName& entry : subject.extensions().alternative_names) {
    if (!check.Constrains(entry.form)) continue;
    Name name{entry.form, entry.content, {}};
    if (entry.form == NameForm::kDirectory) {
      std::optional<Rdns> rdns = ReadRdns(entry.content, work);
      if (!rdns) return "a directoryName cannot be read";
      name.rdns = *std::move(rdns);
    }
    std::string wrong = check.Violation(name);
    if (!wrong.empty()) return wrong;
  }
  return check.Exhausted("");
}

}  // namespace gatehouse::certs
