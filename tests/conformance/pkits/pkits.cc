// NIST PKITS against the validator: every test of tests.txt, each with its own settings and the Reason it must give.
//
// The suite's certificates are RSA, 2048 bits and SHA-256, save for a few DSA ones signed with SHA-1, and none has an
// extended key usage: strength and use are relaxed here, so that each refusal comes from what its test is about.
//
// Usage: pkits TESTS_FILE PKITS_DIRECTORY. Exit 0 when all are as expected, 77 when the suite is not installed.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gateway/base/reason.h"
#include "gateway/certs/validator.h"

namespace gatehouse::certs {
namespace {

constexpr int kSkipped = 77;
const absl::Time kNow = absl::FromCivil(absl::CivilDay(2020, 6, 1), absl::UTCTimeZone());

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

// One line of tests.txt.
struct Test {
  std::string number, leaf, expected;
  std::vector<std::string> intermediates;
  PolicyOptions policy;
  std::vector<std::string> crls;
};

// False when the line says something that is not known: a misspelt setting must not pass for the default.
bool ReadSettings(absl::string_view text, Test* test) {
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (word == "explicit") {
      test->policy.require_explicit = true;
    } else if (word == "inhibit-mapping") {
      test->policy.inhibit_mapping = true;
    } else if (word == "inhibit-any") {
      test->policy.inhibit_any = true;
    } else if (absl::ConsumePrefix(&word, "policies=")) {
      for (absl::string_view n : absl::StrSplit(word, ',')) {
        auto policy = ParsePolicy(absl::StrCat("2.16.840.1.101.3.2.1.48.", n));
        if (!policy.ok()) return false;
        test->policy.initial_set.push_back(*std::move(policy));
      }
    } else if (absl::ConsumePrefix(&word, "crls=")) {
      test->crls = absl::StrSplit(word, ',');
    } else {
      return false;
    }
  }
  return true;
}

std::optional<Test> ReadTest(const std::string& line) {
  const std::pair<absl::string_view, absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits('|', 1));
  const std::vector<std::string> words = absl::StrSplit(halves.first, ' ', absl::SkipEmpty());
  if (words.size() < 3) return std::nullopt;
  Test test{words[0], words[1], words[2], {words.begin() + 3, words.end()}, {}, {}};
  if (!ReadSettings(halves.second, &test)) return std::nullopt;
  return test;
}

// The suite's lists, as if they were fetched. One that cannot be read is not held, like one that could not be fetched.
class Lists final : public RevocationSource {
 public:
  explicit Lists(const std::string& directory, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const std::string der = ReadFile(absl::StrCat(directory, "/crls/", name, ".crl"));
      missing_ = missing_ || der.empty();
      absl::StatusOr<CrlRef> list = Crl::FromDer(der);
      if (list.ok()) held_.push_back({*std::move(list), name});
    }
  }
  bool missing() const { return missing_; }

  std::vector<HeldCrl> CrlsOf(uint64_t) const override { return held_; }
  OcspAnswerRef OcspOf(const Certificate&, const Certificate&) const override { return nullptr; }
  bool MayAsk(const Inquiry&) const override { return false; }

 private:
  std::vector<HeldCrl> held_;
  bool missing_ = false;
};

class Suite {
 public:
  explicit Suite(std::string directory) : directory_(std::move(directory)) {}

  CertificateRef Load(const std::string& name) const {
    auto c = Certificate::FromDer(ReadFile(absl::StrCat(directory_, "/certs/", name, ".crt")));
    if (!c.ok()) std::fprintf(stderr, "%s: %s\n", name.c_str(), std::string(c.status().message()).c_str());
    return c.ok() ? *c : nullptr;
  }

  // What the validator says: VALID, a Reason, or UNREADABLE.
  std::string Ask(const Test& test, Trace* trace) const {
    SchemeOptions options;
    options.trust_store = Store(test.crls.empty() ? std::vector<std::string>() : test.intermediates);
    options.allow_absent_extended_key_usage = true;
    options.strength.min_rsa_bits = 1024;
    options.strength.allow_sha1 = true;
    options.strength.allow_dsa = true;
    options.policy = test.policy;
    if (!test.crls.empty()) {
      options.revocation.mode = RevocationMode::kOffline;
      options.revocation.max_age = absl::Hours(24 * 365 * 30);  // the suite's lists are of 2010
    }
    options.epoch = ContentEpoch(options);
    std::vector<CertificateRef> presented = {Load(test.leaf)};
    for (const std::string& name : test.intermediates) presented.push_back(Load(name));
    for (const CertificateRef& c : presented) {
      if (c == nullptr) return "UNREADABLE";
    }
    const Lists lists(directory_, test.crls);
    if (options.trust_store == nullptr || lists.missing()) return "UNREADABLE";
    const Verdict verdict = Judge(presented, options, kNow, &lists, trace);
    return verdict.outcome == Outcome::kValid ? "VALID" : std::string(ReasonName(verdict.reason));
  }

 private:
  // Signers of lists that are not on the path are looked for among the store's intermediates.
  TrustStoreRef Store(const std::vector<std::string>& intermediates) const {
    TrustStoreInput input;
    input.anchors_pem = {Load("TrustAnchorRootCertificate")->ToPem()};
    for (const std::string& name : intermediates) input.intermediates_pem.push_back(Load(name)->ToPem());
    std::vector<FieldError> errors;
    TrustStoreRef store = TrustStore::Create(input, &errors);
    for (const FieldError& e : errors) std::fprintf(stderr, "%s: %s\n", e.field.c_str(), e.message.c_str());
    return store;
  }

  std::string directory_;
};

int Run(const std::string& tests_file, const std::string& directory) {
  if (ReadFile(directory + "/certs/TrustAnchorRootCertificate.crt").empty()) {
    std::fprintf(stderr, "PKITS is not installed at %s (Debian: python3-cryptography-vectors)\n", directory.c_str());
    return kSkipped;
  }
  const Suite suite(directory);
  int tests = 0, as_expected = 0;
  std::istringstream lines(ReadFile(tests_file));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    ++tests;
    const std::optional<Test> test = ReadTest(line);
    if (!test) {
      std::printf("cannot be read: %s\n", line.c_str());
      continue;
    }
    Trace trace;
    const std::string got = suite.Ask(*test, &trace);
    if (got == test->expected) {
      ++as_expected;
      continue;
    }
    std::printf("deviation: %s %s: expected %s, got %s\n", test->number.c_str(), test->leaf.c_str(),
                test->expected.c_str(), got.c_str());
    for (const TraceStep& step : trace.steps) {
      std::printf("  %u %s %s %s: %s\n", step.candidate, step.step.c_str(), step.ok ? "ok" : "FAILED",
                  step.certificate.c_str(), step.detail.c_str());
    }
  }
  std::printf("PKITS: %d of %d as expected\n", as_expected, tests);
  return tests > 0 && as_expected == tests ? 0 : 1;
}

}  // namespace
}  // namespace gatehouse::certs

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: pkits TESTS_FILE PKITS_DIRECTORY\n");
    return 2;
  }
  return gatehouse::certs::Run(argv[1], argv[2]);
}
