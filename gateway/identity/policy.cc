#include "gateway/identity/policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"

namespace gatehouse::identity {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxNodes = 1000;
constexpr size_t kMaxAllNodes = 10'000;
constexpr size_t kMaxRegexes = 64;
constexpr size_t kMaxMessageBytes = 256;

bool HasControl(absl::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
}

// Of which each costs time and memory to compile.
size_t Regexes(const ClaimClause& clause) {
  const auto is_regex = [](const TextTest& test) { return test.kind == MatchKind::kRegex; };
  const bool alone = clause.one_of.empty() && clause.matches.empty() && clause.match == MatchKind::kRegex;
  return static_cast<size_t>(std::count_if(clause.matches.begin(), clause.matches.end(), is_regex)) + (alone ? 1 : 0);
}

}  // namespace

absl::string_view ConditionField(ConditionKind kind) {
  switch (kind) {
    case ConditionKind::kClaim: return "claim";
    case ConditionKind::kAllOf: return "all_of";
    case ConditionKind::kAnyOf: return "any_of";
    case ConditionKind::kNoneOf: return "none_of";
    case ConditionKind::kPolicy: return "policy";
    case ConditionKind::kCertificate: return "certificate";
    case ConditionKind::kAddress: return "address";
    case ConditionKind::kTime: return "time";
  }
  return "";
}

Policy::Policy() = default;
Policy::~Policy() = default;

PolicyRef Policy::Create(PolicyInput input, std::vector<PolicyError>* errors) {
  std::vector<PolicyError> found;
  std::shared_ptr<Policy> policy(new Policy);
  policy->root_ = policy->Compile(std::move(input.condition), "condition", 1, &found);
  if (policy->nodes_ > kMaxNodes) {
    found.push_back({"condition", absl::StrCat("must be at most ", kMaxNodes, " nodes")});
  } else if (policy->all_nodes_ > kMaxAllNodes) {
    found.push_back({"condition", absl::StrCat("must be at most ", kMaxAllNodes, " nodes with the policies it refers to")});
  }
  if (policy->regexes_ > kMaxRegexes) {
    found.push_back({"condition", absl::StrCat("must have at most ", kMaxRegexes, " regular expressions")});
  }
  if (input.public_message.size() > kMaxMessageBytes || HasControl(input.public_message) ||
      !IsValidUtf8(input.public_message)) {
    found.push_back({"public_message",
                     absl::StrCat("must be UTF-8 without control characters, at most ", kMaxMessageBytes, " bytes")});
  }
  if (!found.empty()) {
    if (errors != nullptr) errors->insert(errors->end(), found.begin(), found.end());
    return nullptr;
  }
  policy->all_regexes_ += policy->regexes_;
  policy->name_ = std::move(input.name);
  policy->public_message_ = std::move(input.public_message);
  policy->epoch_ = policy->ContentEpoch();
  return policy;
}

Policy::Node Policy::Compile(Condition condition, const std::string& path, int depth,
                             std::vector<PolicyError>* errors) {
  Node node;
  node.kind = condition.kind;
  const std::string here = absl::StrCat(path, ".", ConditionField(condition.kind));
  ++all_nodes_;
  if (++nodes_ > kMaxNodes) return node;  // said once, by Create
  depth_ = std::max(depth_, depth);
  if (depth > kMaxDepth) {
    errors->push_back({path, absl::StrCat("must be at most ", kMaxDepth, " deep")});
    return node;
  }
  switch (condition.kind) {
    case ConditionKind::kAllOf:
    case ConditionKind::kAnyOf:
    case ConditionKind::kNoneOf:
      if (condition.children.empty()) errors->push_back({here, "must not be empty"});
      for (size_t i = 0; i < condition.children.size(); ++i) {
        node.children.push_back(
            Compile(std::move(condition.children[i]), absl::StrCat(here, "[", i, "]"), depth + 1, errors));
      }
      break;
    case ConditionKind::kClaim: {
      regexes_ += Regexes(condition.claim);
      if (regexes_ > kMaxRegexes) break;  // said once, by Create
      std::vector<std::pair<std::string, std::string>> wrong;
      claims_.push_back(ClaimTest::Create(std::move(condition.claim), &wrong));
      for (auto& [field, message] : wrong) errors->push_back({absl::StrCat(here, ".", field), std::move(message)});
      node.index = claims_.size() - 1;
      break;
    }
    case ConditionKind::kPolicy:
      if (condition.policy == nullptr) {
        errors->push_back({here, "is required"});
        break;
      }
      all_nodes_ = std::min(all_nodes_ + condition.policy->all_nodes_, kMaxAllNodes + 1);
      all_regexes_ += condition.policy->all_regexes_;
      depth_ = std::max(depth_, depth + condition.policy->depth_);
      if (depth + condition.policy->depth_ > kMaxDepth) {
        errors->push_back({here, absl::StrCat("must be at most ", kMaxDepth, " deep with the policies it refers to")});
      }
      references_.push_back(std::move(condition.policy));
      node.index = references_.size() - 1;
      break;
    case ConditionKind::kCertificate:
      all_regexes_ += condition.certificate.match.subject.size() + condition.certificate.match.issuer.size();
      certificates_.push_back(std::move(condition.certificate));
      node.index = certificates_.size() - 1;
      break;
    case ConditionKind::kAddress:
      if (condition.address.ranges.empty()) errors->push_back({here + ".ranges", "must not be empty"});
      addresses_.push_back(std::move(condition.address));
      node.index = addresses_.size() - 1;
      break;
    case ConditionKind::kTime:
      times_.push_back(std::move(condition.time));
      node.index = times_.size() - 1;
      break;
  }
  return node;
}

uint64_t Policy::ContentEpoch() const {
  std::string content;
  AppendField(&content, name_);
  AppendField(&content, public_message_);
  AppendContent(root_, &content);
  return Epoch(Sha256(content));
}

void Policy::AppendContent(const Node& node, std::string* content) const {
  AppendField(content, static_cast<uint64_t>(node.kind));
  switch (node.kind) {
    case ConditionKind::kAllOf:
    case ConditionKind::kAnyOf:
    case ConditionKind::kNoneOf:
      AppendField(content, node.children.size());
      for (const Node& child : node.children) AppendContent(child, content);
      return;
    case ConditionKind::kClaim: return claims_[node.index].AppendContent(content);
    case ConditionKind::kPolicy: return AppendField(content, references_[node.index]->epoch());
    case ConditionKind::kCertificate: return identity::AppendContent(certificates_[node.index], content);
    case ConditionKind::kAddress: return identity::AppendContent(addresses_[node.index], content);
    case ConditionKind::kTime: return identity::AppendContent(times_[node.index], content);
  }
}

Outcome Policy::Check(const Node& node, const Facts& facts) const {
  switch (node.kind) {
    case ConditionKind::kAllOf: {
      Outcome least = Outcome::kMet;
      for (const Node& child : node.children) {
        least = std::min(least, Check(child, facts));
        if (least == Outcome::kNotMet) break;
      }
      return least;
    }
    case ConditionKind::kAnyOf:
    case ConditionKind::kNoneOf: {
      Outcome greatest = Outcome::kNotMet;
      for (const Node& child : node.children) {
        greatest = std::max(greatest, Check(child, facts));
        if (greatest == Outcome::kMet) break;
      }
      return node.kind == ConditionKind::kAnyOf ? greatest : Not(greatest);
    }
    case ConditionKind::kClaim: return claims_[node.index].Check(facts);
    case ConditionKind::kPolicy: return references_[node.index]->Check(facts);
    case ConditionKind::kCertificate: return identity::Check(certificates_[node.index], facts);
    case ConditionKind::kAddress: return identity::Check(addresses_[node.index], facts);
    case ConditionKind::kTime: return identity::Check(times_[node.index], facts);
  }
  return Outcome::kUnknown;
}

}  // namespace gatehouse::identity
