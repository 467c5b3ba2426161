// Several certificates and options: a presented list, leaf first, and an anchor, which comes last.
//
// Input: one octet of options, then certificates, each its length in two octets (big-endian) and its DER. What must hold:
// work stays within its bounds; the order of the list does not matter; what is accepted is a path from the leaf to the
// anchor. Name constraints and policies are also applied to the list as if it were a path: few inputs are signed.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "gateway/certs/name_constraints.h"
#include "gateway/certs/policy.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

enum Flag : uint8_t { kExplicit = 1, kNoMapping = 2, kNoAny = 4, kTime = 8, kUse = 16, kStored = 32, kOnePolicy = 64 };

void Check(bool holds) {
  if (!holds) std::abort();
}

std::vector<CertificateRef> Read(absl::string_view input) {
  std::vector<CertificateRef> out;
  while (input.size() > 2 && out.size() < 40) {
    const size_t size = static_cast<uint8_t>(input[0]) << 8 | static_cast<uint8_t>(input[1]);
    input.remove_prefix(2);
    absl::StatusOr<CertificateRef> c = Certificate::FromDer(input.substr(0, size));
    if (c.ok()) out.push_back(*std::move(c));
    input.remove_prefix(std::min(size, input.size()));
  }
  return out;
}

SchemeOptions OptionsOf(uint8_t flags, const Certificate& anchor, const std::vector<CertificateRef>& intermediates) {
  SchemeOptions options;
  TrustStoreInput input;
  input.anchors_pem = {anchor.ToPem()};
  for (const CertificateRef& c : intermediates) input.intermediates_pem.push_back(c->ToPem());
  std::vector<FieldError> errors;
  options.trust_store = TrustStore::Create(input, &errors);
  options.policy.require_explicit = (flags & kExplicit) != 0;
  options.policy.inhibit_mapping = (flags & kNoMapping) != 0;
  options.policy.inhibit_any = (flags & kNoAny) != 0;
  if ((flags & kOnePolicy) != 0) options.policy.initial_set = {*ParsePolicy("1.2.3")};
  options.validate_validity_period = (flags & kTime) != 0;
  options.validate_certificate_use = (flags & kUse) != 0;
  return options;
}

bool IsBounded(const Work& work) {
  return work.signatures <= Work::kMaxSignatures + 1 && work.edges <= Work::kMaxEdges + 1 &&
         work.candidates <= Work::kMaxCandidates + 1 && work.comparisons <= Work::kMaxComparisons + 1024;
}

}  // namespace
}  // namespace gatehouse::certs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse::certs;
  if (size < 4) return 0;
  std::vector<CertificateRef> list = Read(absl::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  if (list.size() < 2) return 0;

  // As if it were a path, whoever signed what.
  Work work;
  for (size_t i = 1; i < std::min<size_t>(list.size(), 10); ++i) NameConstraintViolation(*list[i], *list[i - 1], i == 1, &work);
  Work policy_work;
  PolicyOptions policy;
  policy.require_explicit = (data[0] & kExplicit) != 0;
  if ((data[0] & kOnePolicy) != 0) policy.initial_set = {*ParsePolicy("1.2.3")};
  CheckPolicies(Path(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(std::min<size_t>(list.size(), 10))), policy,
                &policy_work);
  Check(IsBounded(work) && IsBounded(policy_work));

  const CertificateRef anchor = list.back();
  list.pop_back();
  const bool stored = (data[0] & kStored) != 0;
  const SchemeOptions options =
      OptionsOf(data[0], *anchor, stored ? std::vector<CertificateRef>(list.begin() + 1, list.end()) : std::vector<CertificateRef>());
  if (options.trust_store == nullptr) return 0;
  if (stored) list.resize(1);
  Trace trace;
  const Verdict verdict = Judge(list, options, kNow, nullptr, &trace);
  Check(IsBounded(trace.work));
  if (verdict.outcome == Outcome::kValid) {
    Check(verdict.path.size() >= 2 && verdict.path.front() == list.front() &&
          verdict.path.back()->sha256() == anchor->sha256());
  }
  std::reverse(list.begin() + 1, list.end());
  const Verdict again = Judge(list, options, kNow);
  Check(again.outcome == verdict.outcome && again.reason == verdict.reason);
  return 0;
}
