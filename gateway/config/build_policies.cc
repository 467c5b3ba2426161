// Policies.
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

// A oneof's text.
absl::string_view ValueOf(const v1::ClaimClause& clause, identity::MatchKind* kind, bool* set) {
  *set = true;
  switch (clause.value_case()) {
    case v1::ClaimClause::kExact: *kind = identity::MatchKind::kExact; return clause.exact();
    case v1::ClaimClause::kPrefix: *kind = identity::MatchKind::kPrefix; return clause.prefix();
    case v1::ClaimClause::kSuffix: *kind = identity::MatchKind::kSuffix; return clause.suffix();
    case v1::ClaimClause::kRegex: *kind = identity::MatchKind::kRegex; return clause.regex();
    case v1::ClaimClause::kPresent: *kind = identity::MatchKind::kPresent; *set = clause.present(); return "";
    case v1::ClaimClause::VALUE_NOT_SET: break;
  }
  *set = false;
  return "";
}

// Deeper than Policy admits: stops before the stack does.
constexpr int kTooDeep = 64;

identity::Condition ReadCondition(Draft& draft, const std::string& path, const v1::Condition& condition, int depth) {
  identity::Condition out;
  const v1::Conditions* children = nullptr;
  absl::string_view field;
  switch (condition.kind_case()) {
    case v1::Condition::kClaim: {
      const v1::ClaimClause& clause = condition.claim();
      out.claim = {clause.type(), clause.scheme(), clause.issuer(), {}, {}};
      bool set = false;
      out.claim.value = std::string(ValueOf(clause, &out.claim.match, &set));
      if (!set) {
        draft.Violate(path + ".claim", "needs one of exact, prefix, suffix, regex and `present: true`");
      }
      if (!clause.scheme().empty() && draft.scheme_names.Find(clause.scheme()) == nullptr) {
        draft.Violate(path + ".claim.scheme", draft.scheme_names.Missing("scheme", clause.scheme()));
      }
      return out;
    }
    case v1::Condition::kAllOf:
      out.kind = identity::ConditionKind::kAllOf, children = &condition.all_of(), field = ".all_of";
      break;
    case v1::Condition::kAnyOf:
      out.kind = identity::ConditionKind::kAnyOf, children = &condition.any_of(), field = ".any_of";
      break;
    case v1::Condition::kNoneOf:
      out.kind = identity::ConditionKind::kNoneOf, children = &condition.none_of(), field = ".none_of";
      break;
    case v1::Condition::KIND_NOT_SET:
      draft.Violate(path, "needs one of claim, all_of, any_of and none_of");
      out.claim = {"unset", {}, {}, identity::MatchKind::kPresent, {}};  // said already
      return out;
  }
  if (depth >= kTooDeep) return out;  // Policy refuses it
  for (int i = 0; i < children->conditions_size(); ++i) {
    out.children.push_back(ReadCondition(draft, absl::StrCat(path, field, "[", i, "]"), children->conditions(i),
                                         depth + 1));
  }
  return out;
}

}  // namespace

void BuildPolicies(Draft& draft) {
  for (const v1::Policy* policy : draft.policies) {
    if (draft.Unchanged(v1::POLICY, policy->name())) {
      // What it refers to may have gone all the same.
      const std::shared_ptr<const identity::Policy>& known = draft.previous->parts->policies.at(policy->name());
      bool whole = true;
      for (const identity::ClaimClause& clause : known->clauses()) {
        whole = whole && (clause.scheme.empty() || draft.scheme_names.Find(clause.scheme) != nullptr);
      }
      if (whole) {
        draft.parts->policies[policy->name()] = known;
        continue;
      }
    }
    const std::string path = PathOf("policies", policy->name());
    if (!policy->has_condition()) {
      draft.Violate(path + ".condition", "is required");
      continue;
    }
    const size_t before = draft.violations.size();
    identity::PolicyInput input;
    input.name = policy->name();
    input.public_message = policy->public_message();
    input.condition = ReadCondition(draft, path + ".condition", policy->condition(), 1);
    std::vector<identity::PolicyError> errors;
    std::shared_ptr<const identity::Policy> built = identity::Policy::Create(std::move(input), &errors);
    for (const identity::PolicyError& error : errors) {
      draft.Violate(absl::StrCat(path, ".", error.path), error.message);
    }
    if (built == nullptr || draft.violations.size() != before) continue;
    draft.parts->policies[policy->name()] = std::move(built);
  }
}

}  // namespace gatehouse::config
