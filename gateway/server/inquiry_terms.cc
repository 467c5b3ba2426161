#include "gateway/server/inquiry_terms.h"

#include "absl/strings/string_view.h"
#include "gateway/base/digest.h"
#include "gateway/base/fields.h"

namespace gatehouse::server {

std::string TermsId(const certs::RevocationOptions& options) {
  std::string content;
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
  terms->id = TermsId(revocation);
  return terms;
}

}  // namespace gatehouse::server
