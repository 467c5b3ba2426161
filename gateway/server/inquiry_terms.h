// InquiryTerms say how inquiries of a scheme are asked: what its options allow a fetch to do, and how an answer is judged.
//
// Ownership:  immutable, shared as InquiryTermsRef: a fetch and what it brought keep those they were made under.
// Threading:  immutable; any thread.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "gateway/certs/options.h"
#include "gateway/fetch/address_rules.h"

namespace gatehouse::server {

struct InquiryTerms {
  fetch::AddressRulesRef rules;
  size_t max_crl_bytes = 0;
  int max_redirects = 0;
  absl::Duration timeout;
  absl::Duration max_age;
  absl::Duration skew;
  certs::Strength strength;
  // Differs where what may be fetched or is accepted differs: what failed under one scheme's rules may do under another's.
  std::string id;
};
using InquiryTermsRef = std::shared_ptr<const InquiryTerms>;

InquiryTermsRef TermsOf(const certs::SchemeOptions& options);
// The `id` alone.
std::string TermsId(const certs::SchemeOptions& options);

}  // namespace gatehouse::server
