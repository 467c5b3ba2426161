// Any octets as a certificate: parse, print, show and judge it against a small store. Nothing that is not the anchor's
// or the pin's own may come out valid.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "gateway/certs/mint.h"
#include "gateway/certs/show.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

// The CA's key is made for this process: no input can be signed with it.
SchemeOptions* MakeOptions() {
  static UniqueKey* const key = new UniqueKey(*MintKey(KeyType::kP256));
  MintRequest request;
  request.profile = Profile::kCa;
  request.subject = "CN=Seed CA";
  // Without it no authority key identifier of the corpus can differ, and the search for paths is reached.
  request.extensions = {{"subjectKeyIdentifier", false, ""}};
  request.not_before = kNow - absl::Hours(1);
  request.not_after = kNow + absl::Hours(1);
  TrustStoreInput input;
  input.anchors_pem = {(*Mint(request, key->get()))->ToPem()};
  std::vector<FieldError> errors;
  auto* options = new SchemeOptions();
  options->trust_store = TrustStore::Create(input, &errors);
  options->validate_validity_period = false;
  options->validate_certificate_use = false;
  return options;
}

}  // namespace
}  // namespace gatehouse::certs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse::certs;
  static const SchemeOptions* const options = MakeOptions();
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  absl::StatusOr<CertificateRef> c = Certificate::FromDer(input);
  if (!c.ok()) return 0;
  ShowText(**c, kNow);
  const std::vector<CertificateRef> presented = {*c, *c};
  Trace trace;
  if (Judge(presented, *options, kNow, nullptr, &trace).outcome == Outcome::kValid) std::abort();
  // What was read must be read again as the same.
  absl::StatusOr<std::vector<CertificateRef>> again = Certificate::ListFromPem((*c)->ToPem());
  if (!again.ok() || again->size() != 1 || (*again)[0]->sha256() != (*c)->sha256()) std::abort();
  return 0;
}
