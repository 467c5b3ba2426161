#include "gateway/certs/requirements.h"

#include <arpa/inet.h>
#include <openssl/objects.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace gatehouse::certs {
namespace {

// ".example.org" matches a.example.org and not example.org. A wildcard entry names no host and
// matches only itself.
bool DnsMatches(absl::string_view pattern, absl::string_view name) {
  if (!absl::StartsWith(pattern, ".")) return absl::EqualsIgnoreCase(pattern, name);
  return !absl::StartsWith(name, "*") && name.size() > pattern.size() &&
         absl::EndsWithIgnoreCase(name, pattern);
}

bool EmailMatches(absl::string_view wanted, absl::string_view address) {
  const size_t a = wanted.rfind('@');
  const size_t b = address.rfind('@');
  if (a == absl::string_view::npos || b == absl::string_view::npos) return false;
  return wanted.substr(0, a) == address.substr(0, b) &&
         absl::EqualsIgnoreCase(wanted.substr(a), address.substr(b));
}

bool UriMatches(absl::string_view wanted, absl::string_view uri) {
  if (wanted == uri) return true;
  if (!absl::EndsWith(wanted, "/") || !absl::StartsWith(uri, wanted)) return false;
  // Below the prefix, dot segments could climb out of it again; in any spelling.
  const absl::string_view rest = uri.substr(wanted.size());
  for (absl::string_view climb : {"..", "%2e", "%2E", "\\", "%2f", "%2F", "%5c", "%5C"}) {
    if (absl::StrContains(rest, climb)) return false;
  }
  return true;
}

bool IpMatches(const AddressRange& range, absl::string_view text) {
  std::array<uint8_t, 16> address{};
  const std::string copy(text);
  if (inet_pton(range.size == 4 ? AF_INET : AF_INET6, copy.c_str(), address.data()) != 1)
    return false;
  return Contains(range, address.data(), range.size);
}

// Any value may match, save for a common name: only the most specific one is the certificate's own. The others name the
// containers it stands in (CN=Alice,CN=Users,DC=example), which are no name to let anybody in by.
bool SubjectMatches(const Certificate& leaf, const SubjectMatcher& matcher) {
  constexpr absl::string_view kCommonName = "2.5.4.3";
  const auto& attributes = leaf.subject_attributes();
  for (auto a = attributes.rbegin(); a != attributes.rend(); ++a) {  // most specific first
    if (a->oid != matcher.oid) continue;
    if (matcher.value.Matches(a->value)) return true;
    if (matcher.oid == kCommonName) return false;
  }
  return false;
}

template <typename Wanted, typename Matches>
bool AnySan(const Certificate& leaf, SanKind kind, const std::vector<Wanted>& wanted,
            Matches matches) {
  if (wanted.empty()) return true;
  return std::any_of(leaf.sans().begin(), leaf.sans().end(), [&](const San& san) {
    return san.kind == kind && std::any_of(wanted.begin(), wanted.end(),
                                           [&](const Wanted& w) { return matches(w, san.text); });
  });
}

}  // namespace

std::string UnmetRequirement(const Certificate& leaf, const Requirements& require) {
  for (const SubjectMatcher& matcher : require.subject) {
    if (!SubjectMatches(leaf, matcher)) return absl::StrCat("no subject attribute ", matcher.oid, " matches");
  }
  if (!AnySan(leaf, SanKind::kDns, require.san_dns, DnsMatches))
    return "no DNS name of the SAN matches";
  if (!AnySan(leaf, SanKind::kEmail, require.san_email, EmailMatches))
    return "no email of the SAN matches";
  if (!AnySan(leaf, SanKind::kUri, require.san_uri, UriMatches)) return "no URI of the SAN matches";
  if (!AnySan(leaf, SanKind::kIp, require.san_ip, IpMatches))
    return "no IP address of the SAN matches";
  const auto same = [](absl::string_view a, absl::string_view b) { return a == b; };
  if (!AnySan(leaf, SanKind::kUpn, require.san_upn, same))
    return "no user principal name of the SAN matches";
  if (!require.issuer.empty() &&
      std::none_of(require.issuer.begin(), require.issuer.end(),
                   [&](const TextMatcher& m) { return m.Matches(leaf.issuer()); })) {
    return "the issuer does not match";
  }
  if (leaf.key_bits() < require.min_key_bits) {
    return absl::StrCat("a key of ", leaf.key_bits(), " bits, at least ", require.min_key_bits,
                        " are required");
  }
  const auto& forbidden = require.forbidden_signature_nids;
  if (std::find(forbidden.begin(), forbidden.end(), leaf.signature_nid()) != forbidden.end()) {
    return absl::StrCat("signature algorithm ", OBJ_nid2ln(leaf.signature_nid()), " is forbidden");
  }
  return "";
}

}  // namespace gatehouse::certs
