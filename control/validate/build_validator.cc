#include "control/validate/build_validator.h"

namespace gatehouse::validate {
namespace {

std::vector<v1::Violation> ToProto(const std::vector<config::Violation>& from) {
  std::vector<v1::Violation> to;
  to.reserve(from.size());
  for (const config::Violation& violation : from) {
    v1::Violation& added = to.emplace_back();
    added.set_path(violation.path);
    added.set_message(violation.message);
  }
  return to;
}

}  // namespace

Findings BuildValidator::Judge(const v1::ConfigSet& set, uint64_t revision) {
  MutexLock lock(&mutex_);
  if (candidate_ != nullptr && candidate_revision_ < revision) base_ = std::move(candidate_);
  config::BuildOptions options;
  options.revision = revision;
  options.incarnation = incarnation_;
  options.previous = base_.get();
  options.now = clock_.Now();
  config::BuildResult result = config::Build(set, options);
  candidate_ = std::move(result.snapshot);
  candidate_revision_ = revision;
  return Findings{ToProto(result.violations), ToProto(result.warnings)};
}

Validator MakeBuildValidator(std::string incarnation, const Clock& clock) {
  auto shared = std::make_shared<BuildValidator>(std::move(incarnation), clock);
  return [shared](const v1::ConfigSet& set, uint64_t revision) { return shared->Judge(set, revision); };
}

}  // namespace gatehouse::validate
