#include "control/compiler.h"

#include <utility>

#include "gateway/config/build_set.h"

namespace gatehouse {

config::BuildResult Compiler::Build(const v1::ConfigSet& set, uint64_t revision) {
  config::SnapshotRef previous;
  {
    MutexLock lock(&mutex_);
    previous = current_;
  }
  config::BuildOptions options;
  options.revision = revision;
  options.incarnation = incarnation_;
  options.previous = previous.get();
  options.now = clock_.Now();
  return config::Build(set, options);
}

validate::Findings Compiler::Check(const v1::ConfigSet& set, uint64_t revision) {
  config::BuildResult result = Build(set, revision);
  validate::Findings findings;
  auto convert = [](const std::vector<config::Violation>& from, std::vector<v1::Violation>* to) {
    for (const config::Violation& violation : from) {
      v1::Violation& out = to->emplace_back();
      out.set_path(violation.path);
      out.set_message(violation.message);
    }
  };
  convert(result.violations, &findings.violations);
  convert(result.warnings, &findings.warnings);
  if (result.ok()) {
    MutexLock lock(&mutex_);
    candidate_ = std::move(result.snapshot);
  }
  return findings;
}

void Compiler::Publish(uint64_t revision, std::shared_ptr<const v1::ConfigSet> set) {
  config::BuildResult result = Find(revision, config::IndexOf(*set).digest, *set);
  if (result.ok()) {
    MutexLock lock(&mutex_);
    current_ = std::move(result.snapshot);
    candidate_ = nullptr;
  }
  // What an older program stored and this one refuses is published all the same: gateways refuse it, keep what they
  // have, and the status says why.
  distributor_.Publish(revision, std::move(set));
}

config::BuildResult Compiler::Find(uint64_t revision, const Sha256Digest& digest, const v1::ConfigSet& set) {
  {
    MutexLock lock(&mutex_);
    for (const config::SnapshotRef& kept : {current_, candidate_}) {
      if (kept != nullptr && kept->revision == revision && kept->digest == digest) return {kept, {}, {}};
    }
  }
  return Build(set, revision);
}

}  // namespace gatehouse
