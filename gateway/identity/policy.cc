#include "gateway/identity/policy.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/identity/claims.h"

namespace gatehouse::identity {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxNodes = 1000;
constexpr size_t kMaxTextBytes = 4096;
constexpr size_t kMaxMessageBytes = 256;
constexpr int64_t kMaxRegexMemory = 1 << 20;

absl::string_view FieldName(ConditionKind kind) {
  switch (kind) {
    case ConditionKind::kClaim:
      return "claim";
    case ConditionKind::kAllOf:
      return "all_of";
    case ConditionKind::kAnyOf:
      return "any_of";
    case ConditionKind::kNoneOf:
      return "none_of";
  }
  return "";
}

bool HasControl(absl::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
}

std::unique_ptr<re2::RE2> CompileRegex(const std::string& pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxRegexMemory);
  return std::make_unique<re2::RE2>(pattern, options);
}

void AppendContent(const Condition& condition, std::string* content) {
  AppendField(content, static_cast<uint64_t>(condition.kind));
  if (condition.kind == ConditionKind::kClaim) {
    const ClaimClause& c = condition.claim;
    AppendField(content, ClaimType(c.type));
    AppendField(content, c.scheme);
    AppendField(content, c.issuer);
    AppendField(content, static_cast<uint64_t>(c.match));
    AppendField(content, c.value);
    return;
  }
  AppendField(content, condition.children.size());
  for (const Condition& child : condition.children) AppendContent(child, content);
}

}  // namespace

Policy::Policy() = default;
Policy::~Policy() = default;

std::shared_ptr<const Policy> Policy::Create(PolicyInput input, std::vector<PolicyError>* errors) {
  std::vector<PolicyError> found;
  std::shared_ptr<Policy> policy(new Policy);
  policy->root_ = policy->Compile(input.condition, "condition", 1, &found);
  if (policy->nodes_ > kMaxNodes) {
    found.push_back({"condition", absl::StrCat("must be at most ", kMaxNodes, " nodes")});
  }
  if (input.public_message.size() > kMaxMessageBytes || HasControl(input.public_message) ||
      !IsValidUtf8(input.public_message)) {
    found.push_back(
        {"public_message", absl::StrCat("must be UTF-8 without control characters, at most ",
                                        kMaxMessageBytes, " bytes")});
  }
  if (!found.empty()) {
    if (errors != nullptr) errors->insert(errors->end(), found.begin(), found.end());
    return nullptr;
  }
  std::string content;
  AppendField(&content, input.name);
  AppendField(&content, input.public_message);
  AppendContent(input.condition, &content);
  policy->epoch_ = Epoch(Sha256(content));
  policy->name_ = std::move(input.name);
  policy->public_message_ = std::move(input.public_message);
  return policy;
}

Policy::Node Policy::Compile(const Condition& condition, const std::string& path, int depth,
                             std::vector<PolicyError>* errors) {
  Node node;
  node.kind = condition.kind;
  const std::string here = absl::StrCat(path, ".", FieldName(condition.kind));
  if (++nodes_ > kMaxNodes) return node;  // said once, by Create
  if (depth > kMaxDepth) {
    errors->push_back({path, absl::StrCat("must be at most ", kMaxDepth, " deep")});
    return node;
  }
  if (condition.kind != ConditionKind::kClaim) {
    if (condition.children.empty()) errors->push_back({here, "must not be empty"});
    for (size_t i = 0; i < condition.children.size(); ++i) {
      node.children.push_back(
          Compile(condition.children[i], absl::StrCat(here, "[", i, "]"), depth + 1, errors));
    }
    return node;
  }
  ClaimClause clause = condition.claim;
  if (clause.type.empty()) errors->push_back({here + ".type", "is required"});
  clause.type = std::string(ClaimType(clause.type));
  if (clause.value.size() > kMaxTextBytes) {
    errors->push_back({here, absl::StrCat("value must be at most ", kMaxTextBytes, " bytes")});
    return node;
  }
  if ((clause.match == MatchKind::kPrefix || clause.match == MatchKind::kSuffix) &&
      clause.value.empty()) {
    errors->push_back({here, "an empty prefix or suffix matches everything: use `present`"});
  }
  std::unique_ptr<re2::RE2> regex;
  if (clause.match == MatchKind::kRegex) {
    regex = CompileRegex(clause.value);
    if (!regex->ok()) {
      errors->push_back({here + ".regex", absl::StrCat("is not valid RE2: ", regex->error())});
    }
  }
  node.clause = clauses_.size();
  clauses_.push_back(std::move(clause));
  regexes_.push_back(std::move(regex));
  return node;
}

bool Policy::Evaluate(const Identity& identity) const { return Holds(root_, identity); }

bool Policy::Holds(const Node& node, const Identity& identity) const {
  const auto holds = [&](const Node& child) { return Holds(child, identity); };
  const auto& children = node.children;
  switch (node.kind) {
    case ConditionKind::kClaim:
      return Matches(node.clause, identity);
    case ConditionKind::kAllOf:
      return std::all_of(children.begin(), children.end(), holds);
    case ConditionKind::kAnyOf:
      return std::any_of(children.begin(), children.end(), holds);
    case ConditionKind::kNoneOf:
      return std::none_of(children.begin(), children.end(), holds);
  }
  return false;
}

bool Policy::Matches(size_t index, const Identity& identity) const {
  const ClaimClause& clause = clauses_[index];
  bool matched = false;
  identity.ForEachClaim([&](const Claim& claim) {
    if (matched || claim.type != clause.type) return;
    if (!clause.scheme.empty() && claim.scheme != clause.scheme) return;
    if (!clause.issuer.empty() && claim.issuer != clause.issuer) return;
    switch (clause.match) {
      case MatchKind::kExact:
        matched = claim.value == clause.value;
        break;
      case MatchKind::kPrefix:
        matched = absl::StartsWith(claim.value, clause.value);
        break;
      case MatchKind::kSuffix:
        matched = absl::EndsWith(claim.value, clause.value);
        break;
      case MatchKind::kRegex:
        matched = re2::RE2::FullMatch(claim.value, *regexes_[index]);
        break;
      case MatchKind::kPresent:
        matched = true;
        break;
    }
  });
  return matched;
}

}  // namespace gatehouse::identity
