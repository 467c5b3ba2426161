// Policy is a named condition on a caller and its request, compiled once: a tree of clauses, of which some may be other
// policies. It holds only when it is known to: see Outcome.
//
// Ownership:  immutable and shared; keeps the policies that it refers to.
// Threading:  immutable; Check, Explain and Unmet are thread-safe. Check allocates nothing for claims, addresses and times.
// Units:      at most 16 deep with what it refers to, 1,000 nodes of its own and 10,000 with what it refers to, 64 regular
//             expressions.
// Errors:     Create reports every violation at once with its path, e.g. `condition.all_of[1].claim.regex`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gateway/identity/clause.h"

namespace gatehouse::identity {

class Policy;
using PolicyRef = std::shared_ptr<const Policy>;

enum class ConditionKind : uint8_t { kClaim, kAllOf, kAnyOf, kNoneOf, kPolicy, kCertificate, kAddress, kTime };

struct Condition {
  ConditionKind kind = ConditionKind::kClaim;
  ClaimClause claim{};                // kClaim
  std::vector<Condition> children{};  // kAllOf, kAnyOf, kNoneOf; must not be empty
  PolicyRef policy{};                 // kPolicy; not null
  CertificateClause certificate{};    // kCertificate
  AddressClause address{};            // kAddress
  TimeClause time{};                  // kTime
};

// The field of the configuration: `all_of`, `claim` …
absl::string_view ConditionField(ConditionKind kind);

struct PolicyInput {
  std::string name;
  Condition condition;
  std::string public_message;  // told to the refused caller
};

struct PolicyError {
  std::string path;
  std::string message;
};

// PolicyStep is one node of an explanation, a parent before its children.
struct PolicyStep {
  int depth = 0;
  absl::string_view policy;  // whose node it is
  std::string path;          // `condition.all_of[1].claim`
  std::string words;
  Outcome outcome = Outcome::kUnknown;
  std::string evidence;  // of leaves
};

class Policy {
 public:
  // Create returns null and appends to `errors` when anything is wrong.
  static PolicyRef Create(PolicyInput input, std::vector<PolicyError>* errors);
  ~Policy();

  Outcome Check(const Facts& facts) const { return Check(root_, facts); }
  bool Holds(const Facts& facts) const { return Check(facts) == Outcome::kMet; }
  // Every node with its outcome, those of policies that are referred to included; no more than `most`. Returns how many there
  // are.
  size_t Explain(const Facts& facts, size_t most, std::vector<PolicyStep>* steps) const;
  // Unmet says for people why the policy does not hold: which clause, without the caller's values.
  // REQUIRES: !Holds(facts).
  std::string Unmet(const Facts& facts) const;

  const std::string& name() const { return name_; }
  const std::string& public_message() const { return public_message_; }
  // Content version, of what is referred to as well: equal content, equal epoch.
  uint64_t epoch() const { return epoch_; }
  // Every claim clause of its own, types in full, so that validation can ask for `scheme` where several could issue the type.
  const std::vector<ClaimTest>& claims() const { return claims_; }
  const std::vector<CertificateClause>& certificates() const { return certificates_; }
  const std::vector<PolicyRef>& references() const { return references_; }
  // With what is referred to, each time it is; of certificate clauses, every matcher counts as a regular expression.
  size_t all_nodes() const { return all_nodes_; }
  size_t all_regexes() const { return all_regexes_; }

 private:
  struct Node {
    ConditionKind kind = ConditionKind::kClaim;
    size_t index = 0;  // into the list of its kind
    std::vector<Node> children;
  };
  struct Walk;  // of Explain
  Policy();
  Node Compile(Condition condition, const std::string& path, int depth, std::vector<PolicyError>* errors);
  Outcome Check(const Node& node, const Facts& facts) const;
  void Explain(const Node& node, const std::string& path, int depth, Walk& walk) const;
  std::string Unmet(const Node& node, const std::string& path, const Facts& facts) const;
  std::string Words(const Node& node) const;
  uint64_t ContentEpoch() const;
  void AppendContent(const Node& node, std::string* content) const;

  std::string name_;
  std::string public_message_;
  uint64_t epoch_ = 0;
  size_t nodes_ = 0;     // of its own
  size_t all_nodes_ = 0;  // with what is referred to, each time it is
  size_t regexes_ = 0;
  size_t all_regexes_ = 0;
  int depth_ = 0;
  Node root_;
  std::vector<ClaimTest> claims_;
  std::vector<CertificateClause> certificates_;
  std::vector<AddressClause> addresses_;
  std::vector<TimeClause> times_;
  std::vector<PolicyRef> references_;
};

}  // namespace gatehouse::identity
