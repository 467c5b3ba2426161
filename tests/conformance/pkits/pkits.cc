// NIST PKITS against the validator: every test of tests.txt, each with the Reason it must give.
//
// The suite's certificates are RSA, 2048 bits and SHA-256, save for a few DSA ones signed with
// SHA-1, and none has an extended key usage: strength and use are relaxed here, so that each
// refusal comes from what its test is about.
//
// Usage: pkits TESTS_FILE CERTIFICATE_DIRECTORY. Exit 0 when all are as expected, 77 when the suite
// is not installed.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "gateway/base/reason.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {
namespace {

constexpr int kSkipped = 77;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

CertificateRef Load(const std::string& directory, const std::string& name) {
  absl::StatusOr<CertificateRef> c =
      Certificate::FromDer(ReadFile(directory + "/" + name + ".crt"));
  if (!c.ok()) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), std::string(c.status().message()).c_str());
    return nullptr;
  }
  return *c;
}

std::string Word(const Verdict& verdict) {
  return verdict.outcome == Outcome::kValid ? "VALID" : std::string(ReasonName(verdict.reason));
}

int Run(const std::string& tests_file, const std::string& directory) {
  if (ReadFile(directory + "/TrustAnchorRootCertificate.crt").empty()) {
    std::fprintf(stderr, "PKITS is not installed at %s (Debian: python3-cryptography-vectors)\n",
                 directory.c_str());
    return kSkipped;
  }
  const CertificateRef root = Load(directory, "TrustAnchorRootCertificate");
  if (root == nullptr) return 1;
  TrustStoreInput input;
  input.anchors_pem = {root->ToPem()};
  std::vector<FieldError> errors;
  SchemeOptions options;
  options.trust_store = TrustStore::Create(input, &errors);
  options.allow_absent_extended_key_usage = true;
  options.strength.min_rsa_bits = 1024;
  options.strength.allow_sha1 = true;
  options.strength.allow_dsa = true;
  options.epoch = ContentEpoch(options);
  const absl::Time now = absl::FromCivil(absl::CivilDay(2020, 6, 1), absl::UTCTimeZone());

  int tests = 0, as_expected = 0;
  std::istringstream lines(ReadFile(tests_file));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string section, leaf, expected, name;
    words >> section >> leaf >> expected;
    std::vector<CertificateRef> presented = {Load(directory, leaf)};
    while (words >> name) presented.push_back(Load(directory, name));
    ++tests;
    bool loaded = true;
    for (const CertificateRef& c : presented) loaded = loaded && c != nullptr;
    Trace trace;
    const std::string got = loaded ? Word(Judge(presented, options, now, nullptr, &trace)) : "UNREADABLE";
    if (got == expected) {
      ++as_expected;
      continue;
    }
    std::printf("deviation: %s %s: expected %s, got %s\n", section.c_str(), leaf.c_str(),
                expected.c_str(), got.c_str());
    for (const TraceStep& step : trace.steps) {
      std::printf("  %u %s %s %s: %s\n", step.candidate, step.step.c_str(),
                  step.ok ? "ok" : "FAILED", step.certificate.c_str(), step.detail.c_str());
    }
  }
  std::printf("PKITS: %d of %d as expected\n", as_expected, tests);
  return tests > 0 && as_expected == tests ? 0 : 1;
}

}  // namespace
}  // namespace gatehouse::certs

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: pkits TESTS_FILE CERTIFICATE_DIRECTORY\n");
    return 2;
  }
  return gatehouse::certs::Run(argv[1], argv[2]);
}
