#include "control/compiler.h"

#include <utility>

namespace gatehouse {
namespace {

// Who may use the control plane is none of the gateways' business.
config::ResourceMap ForGateways(config::ResourceMap resources) {
  for (auto it = resources.lower_bound({v1::BINDING, ""}); it != resources.end() && it->first.first == v1::BINDING;
       it = resources.lower_bound({v1::BINDING, ""})) {
    resources.erase(config::ResourceKey(it->first));
  }
  return resources;
}

}  // namespace

config::BuildResult Compiler::Build(const config::ResourceMap& resources, uint64_t revision) {
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
  return config::Build(resources, options);
}

validate::Findings Compiler::Check(const config::ResourceMap& resources, uint64_t revision) {
  config::BuildResult result = Build(ForGateways(resources), revision);
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

void Compiler::Publish(uint64_t revision, const config::ResourceMap& resources) {
  config::ResourceMap published = ForGateways(resources);
  config::BuildResult result = Find(revision, published);
  if (result.ok()) {
    MutexLock lock(&mutex_);
    current_ = std::move(result.snapshot);
    candidate_ = nullptr;
  }
  // What an older program stored and this one refuses is published all the same: gateways refuse it, keep what they
  // have, and the status says why.
  distributor_.Publish(revision, std::move(published));
}

config::BuildResult Compiler::Find(uint64_t revision, const config::ResourceMap& resources) {
  const Sha256Digest digest = resources.digest();
  {
    MutexLock lock(&mutex_);
    for (const config::SnapshotRef& kept : {current_, candidate_}) {
      if (kept != nullptr && kept->revision == revision && kept->digest == digest) return {kept, {}, {}};
    }
  }
  return Build(resources, revision);
}

}  // namespace gatehouse
