#include "gateway/config/build_verdict.h"

#include <string>
#include <vector>

#include "gateway/base/escape.h"

namespace gatehouse::config {
namespace {

constexpr size_t kMaxSteps = 2000;

v1::PolicyOutcome ToProto(identity::Outcome outcome) {
  switch (outcome) {
    case identity::Outcome::kMet: return v1::MET;
    case identity::Outcome::kNotMet: return v1::NOT_MET;
    case identity::Outcome::kUnknown: break;
  }
  return v1::UNKNOWN;
}

// A proto string must be UTF-8; what a claim holds need not be.
std::string Utf8(absl::string_view text) { return IsValidUtf8(text) ? std::string(text) : EscapeText(text); }

}  // namespace

void FillVerdict(const identity::Policy& policy, const identity::Facts& facts, v1::PolicyVerdict* out) {
  out->set_policy(policy.name());
  out->set_outcome(ToProto(policy.Check(facts)));
  std::vector<identity::PolicyStep> steps;
  const size_t all = policy.Explain(facts, kMaxSteps, &steps);
  out->set_left_out(static_cast<uint32_t>(all - steps.size()));
  for (const identity::PolicyStep& step : steps) {
    v1::PolicyStep* to = out->add_steps();
    to->set_depth(static_cast<uint32_t>(step.depth));
    to->set_policy(std::string(step.policy));
    to->set_path(step.path);
    to->set_text(Utf8(step.words));
    to->set_outcome(ToProto(step.outcome));
    to->set_evidence(Utf8(step.evidence));
  }
}

}  // namespace gatehouse::config
