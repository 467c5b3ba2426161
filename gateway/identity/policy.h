// Policy is a named condition on an identity's claims, compiled once.
//
// Ownership:  immutable and shared.
// Threading:  immutable; Evaluate is thread-safe.
// Units:      at most 16 deep and 1,000 nodes.
// Errors:     Create reports every violation at once with its path, e.g.
// `condition.all_of[1].claim.regex`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gateway/identity/identity.h"

namespace re2 {
class RE2;
}

namespace gatehouse::identity {

enum class MatchKind : uint8_t { kExact, kPrefix, kSuffix, kRegex, kPresent };

// ClaimClause holds when one claim of the type (scheme, issuer) has a value that matches.
struct ClaimClause {
  std::string type;    // short words are understood
  std::string scheme;  // empty: any
  std::string issuer;  // empty: any
  MatchKind match = MatchKind::kExact;
  std::string value;  // RE2 for kRegex, matches the whole value; ignored for kPresent
};

enum class ConditionKind : uint8_t { kClaim, kAllOf, kAnyOf, kNoneOf };

struct Condition {
  ConditionKind kind = ConditionKind::kClaim;
  ClaimClause claim;                // kClaim
  std::vector<Condition> children;  // otherwise; must not be empty
};

struct PolicyInput {
  std::string name;
  Condition condition;
  std::string public_message;  // told to the refused caller
};

struct PolicyError {
  std::string path;
  std::string message;
};

class Policy {
 public:
  // Create returns null and appends to `errors` when anything is wrong.
  static std::shared_ptr<const Policy> Create(PolicyInput input, std::vector<PolicyError>* errors);
  ~Policy();

  bool Evaluate(const Identity& identity) const;

  const std::string& name() const { return name_; }
  const std::string& public_message() const { return public_message_; }
  // Content version: equal content, equal epoch.
  uint64_t epoch() const { return epoch_; }
  // Every clause, types in full, so that validation can ask for `scheme` where several could issue
  // the type.
  const std::vector<ClaimClause>& clauses() const { return clauses_; }

 private:
  struct Node {
    ConditionKind kind = ConditionKind::kClaim;
    size_t clause = 0;  // index into clauses_ and regexes_
    std::vector<Node> children;
  };
  Policy();
  Node Compile(const Condition& condition, const std::string& path, int depth,
               std::vector<PolicyError>* errors);
  bool Holds(const Node& node, const Identity& identity) const;
  bool Matches(size_t clause, const Identity& identity) const;

  std::string name_;
  std::string public_message_;
  uint64_t epoch_ = 0;
  size_t nodes_ = 0;
  Node root_;
  std::vector<ClaimClause> clauses_;
  std::vector<std::unique_ptr<re2::RE2>> regexes_;  // null unless the clause is kRegex
};

}  // namespace gatehouse::identity
