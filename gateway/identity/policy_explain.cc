// Policies in words: what each clause comes to, and why one does not hold.
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/identity/policy.h"

namespace gatehouse::identity {

struct Policy::Walk {
  const Facts& facts;
  const size_t most;
  std::vector<PolicyStep>* const steps;
  size_t count = 0;
};

size_t Policy::Explain(const Facts& facts, size_t most, std::vector<PolicyStep>* steps) const {
  Walk walk{facts, most, steps};
  Explain(root_, "condition", 0, walk);
  return walk.count;
}

std::string Policy::Words(const Node& node) const {
  switch (node.kind) {
    case ConditionKind::kAllOf: return "all of";
    case ConditionKind::kAnyOf: return "any of";
    case ConditionKind::kNoneOf: return "none of";
    case ConditionKind::kClaim: return claims_[node.index].Words();
    case ConditionKind::kPolicy: return absl::StrCat("policy ", EscapeText(references_[node.index]->name()));
    case ConditionKind::kCertificate: return identity::Words(certificates_[node.index]);
    case ConditionKind::kAddress: return identity::Words(addresses_[node.index]);
    case ConditionKind::kTime: return identity::Words(times_[node.index]);
  }
  return "";
}

void Policy::Explain(const Node& node, const std::string& path, int depth, Walk& walk) const {
  const std::string here = absl::StrCat(path, ".", ConditionField(node.kind));
  if (++walk.count <= walk.most) {
    PolicyStep& step = walk.steps->emplace_back();
    step.depth = depth;
    step.policy = name_;
    step.path = here;
    step.words = Words(node);
    step.outcome = Check(node, walk.facts);
    switch (node.kind) {
      case ConditionKind::kClaim: step.evidence = claims_[node.index].Evidence(walk.facts); break;
      case ConditionKind::kCertificate: step.evidence = Evidence(certificates_[node.index], walk.facts); break;
      case ConditionKind::kAddress: step.evidence = Evidence(addresses_[node.index], walk.facts); break;
      case ConditionKind::kTime: step.evidence = Evidence(times_[node.index], walk.facts); break;
      default: break;
    }
  }
  for (size_t i = 0; i < node.children.size(); ++i) {
    Explain(node.children[i], absl::StrCat(here, "[", i, "]"), depth + 1, walk);
  }
  if (node.kind == ConditionKind::kPolicy) {
    const Policy& policy = *references_[node.index];
    policy.Explain(policy.root_, "condition", depth + 1, walk);
  }
}

std::string Policy::Unmet(const Facts& facts) const { return absl::StrCat(name_, ": ", Unmet(root_, "condition", facts)); }

std::string Policy::Unmet(const Node& node, const std::string& path, const Facts& facts) const {
  const std::string here = absl::StrCat(path, ".", ConditionField(node.kind));
  const auto child = [&](size_t i) { return absl::StrCat(here, "[", i, "]"); };
  switch (node.kind) {
    case ConditionKind::kAllOf:
      for (size_t i = 0; i < node.children.size(); ++i) {
        if (Check(node.children[i], facts) != Outcome::kMet) return Unmet(node.children[i], child(i), facts);
      }
      break;
    case ConditionKind::kAnyOf:
      if (node.children.size() == 1) return Unmet(node.children[0], child(0), facts);
      return absl::StrCat(here, ": none of ", node.children.size(), " holds");
    case ConditionKind::kNoneOf:
      for (size_t i = 0; i < node.children.size(); ++i) {
        const Outcome outcome = Check(node.children[i], facts);
        if (outcome == Outcome::kNotMet) continue;
        return absl::StrCat(child(i), ".", ConditionField(node.children[i].kind), " (", Words(node.children[i]), ") ",
                            outcome == Outcome::kMet ? "holds" : "cannot be told");
      }
      break;
    case ConditionKind::kPolicy: {
      const Policy& policy = *references_[node.index];
      return absl::StrCat(here, " ", policy.Unmet(facts));
    }
    default:
      break;
  }
  return absl::StrCat(here, " (", Words(node), ") ",
                      Check(node, facts) == Outcome::kUnknown ? "cannot be told" : "does not hold");
}

}  // namespace gatehouse::identity
