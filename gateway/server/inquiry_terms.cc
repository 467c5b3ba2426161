#include "gateway/server/inquiry_terms.h"

#include "absl/strings/string_view.h"
#include "gateway/base/digest.h"
#include "gateway/base/fields.h"

namespace gatehouse::server {

std::string TermsId(const certs::SchemeOptions& scheme) {
  const certs::RevocationOptions& options = scheme.revocation;
  const certs::Strength& strength = scheme.strength;
  std::string content;
  for (const int n : {strength.min_rsa_bits, strength.min_ec_bits, strength.max_rsa_bits, int{strength.allow_sha1},
                      int{strength.allow_dsa}}) {
    AppendField(&content, static_cast<uint64_t>(n));
  }
  AppendField(&content, static_cast<uint64_t>(absl::ToInt64Nanoseconds(options.skew)));
  AppendField(&content, uint64_t{options.max_crl_bytes});
  AppendField(&content, static_cast<uint64_t>(options.max_redirects));
  for (const auto* ranges : {&options.allowed_ranges, &options.denied_ranges}) {
    AppendField(&content, uint64_t{ranges->size()});
    for (const AddressRange& range : *ranges) {
      AppendField(&content, absl::string_view(reinterpret_cast<const char*>(range.address.data()), range.size));
      AppendField(&content, uint64_t{range.prefix});
    }
  }
  return HexLower(AsView(Sha256(content)).substr(0, 8));
}

InquiryTermsRef TermsOf(const certs::SchemeOptions& options) {
  const certs::RevocationOptions& revocation = options.revocation;
  auto terms = std::make_shared<InquiryTerms>();
  terms->rules = std::make_shared<const fetch::AddressRules>(revocation.allowed_ranges, revocation.denied_ranges);
  terms->max_crl_bytes = revocation.max_crl_bytes;
  terms->max_redirects = revocation.max_redirects;
  terms->timeout = revocation.timeout;
  terms->max_age = revocation.max_age;
  terms->skew = revocation.skew;
  terms->strength = options.strength;
  terms->id = TermsId(options);
  return terms;
}

}  // namespace gatehouse::server
