// Extensions that paths depend on, SAN entries among them: any octets as the value of any of them. Limits hold, entries
// are names, and the constraints of a certificate can be applied to its own names.
//
// Input: one octet that chooses the extension, one of flags, the value.
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "gateway/base/openssl.h"
#include "gateway/certs/extensions.h"
#include "gateway/certs/name_constraints.h"
#include "gateway/certs/san.h"

namespace {

using namespace gatehouse::certs;  // NOLINT: a fuzzer's own file

constexpr int kKinds[] = {NID_subject_alt_name, NID_name_constraints,     NID_basic_constraints,
                          NID_key_usage,        NID_ext_key_usage,        NID_certificate_policies,
                          NID_policy_mappings,  NID_policy_constraints,   NID_inhibit_any_policy,
                          NID_subject_key_identifier, NID_authority_key_identifier};

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  gatehouse::UniqueX509 x(X509_new());
  X509_set_version(x.get(), X509_VERSION_3);
  ASN1_OCTET_STRING* value = ASN1_OCTET_STRING_new();
  ASN1_STRING_set(value, data + 2, static_cast<int>(size - 2));
  X509_EXTENSION* extension =
      X509_EXTENSION_create_by_NID(nullptr, kKinds[data[0] % std::size(kKinds)], data[1] & 1, value);
  ASN1_OCTET_STRING_free(value);
  X509_add_ext(x.get(), extension, -1);
  X509_EXTENSION_free(extension);

  Extensions read;
  ReadExtensions(x.get(), &read);
  Check(read.alternative_names.size() <= kMaxAlternativeNames && read.permitted.size() <= kMaxSubtrees &&
        read.excluded.size() <= kMaxSubtrees && read.policies.size() <= kMaxPolicies &&
        read.policy_mappings.size() <= kMaxPolicies);
  std::vector<San> sans;
  ReadSans(read.alternative_names, &sans);
  for (const San& san : sans) {
    if (san.kind == SanKind::kDns) Check(IsDnsName(san.text));
    if (san.kind == SanKind::kUri) HostOfUri(san.text);
    for (const GeneralName& base : read.permitted) {
      DnsWithin(san.text, base.content, true);
      EmailWithin(san.text, base.content);
    }
  }
  ERR_clear_error();
  return 0;
}
