#include "gateway/certs/policy.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace gatehouse::certs {
namespace {

constexpr absl::string_view kAnyPolicy("\x55\x1d\x20\x00", 4);

using Policies = std::vector<absl::string_view>;  // content octets of object identifiers

// A policy at the current depth of the graph. What lies above it matters only in the end, and then only by the policies
// of the anchor's domain that it descends from, so a node carries those and no edges.
struct Node {
  absl::string_view policy;
  Policies expected;  // expected_policy_set
  Policies roots;     // children of an anyPolicy node that this descends from: the authority's own words
};

// The nodes of one depth; `any` is the one of anyPolicy.
struct Level {
  std::vector<Node> nodes;
  bool any = false;
  bool empty() const { return nodes.empty() && !any; }
};

class Processing {
 public:
  Processing(const PolicyOptions& options, size_t certificates, Work* work)
      : options_(options),
        explicit_policy_(options.require_explicit ? 0 : certificates + 1),
        policy_mapping_(options.inhibit_mapping ? 0 : certificates + 1),
        inhibit_any_(options.inhibit_any ? 0 : certificates + 1),
        work_(work) {
    level_.any = true;
  }

  // Section 6.1.3 d, e, f.
  bool Take(const Certificate& c, bool last) {
    const Extensions& e = c.extensions();
    const bool any_counts = e.any_policy && (inhibit_any_ > 0 || (!last && c.self_issued()));
    level_ = e.has_policies && !level_.empty() ? Below(e, any_counts) : Level();
    return explicit_policy_ > 0 || !level_.empty();
  }

  // Section 6.1.4 b, h, i, j.
  void PrepareForNext(const Certificate& c) {
    const Extensions& e = c.extensions();
    if (!e.policy_mappings.empty()) Map(e);
    if (!c.self_issued()) {
      for (size_t* n : {&explicit_policy_, &policy_mapping_, &inhibit_any_}) *n -= *n > 0 ? 1 : 0;
    }
    explicit_policy_ = std::min(explicit_policy_, e.require_explicit_policy.value_or(explicit_policy_));
    policy_mapping_ = std::min(policy_mapping_, e.inhibit_policy_mapping.value_or(policy_mapping_));
    inhibit_any_ = std::min(inhibit_any_, e.inhibit_any_policy.value_or(inhibit_any_));
  }

  // Section 6.1.5 a, b, g.
  bool WrapUp(const Certificate& leaf) {
    if (explicit_policy_ > 0) --explicit_policy_;
    if (leaf.extensions().require_explicit_policy == size_t{0}) explicit_policy_ = 0;
    return explicit_policy_ > 0 || HasInitialPolicy();
  }

 private:
  bool Same(absl::string_view a, absl::string_view b) {
    ++work_->comparisons;
    return a == b;
  }
  bool Has(const Policies& list, absl::string_view policy) {
    return std::any_of(list.begin(), list.end(), [&](absl::string_view p) { return Same(p, policy); });
  }
  void AddRoots(const Policies& from, Policies* to) {
    for (absl::string_view root : from) {
      if (work_->exhausted()) return;
      if (!Has(*to, root)) to->push_back(root);
    }
  }

  // The children of the current level under a certificate's policies.
  Level Below(const Extensions& e, bool any_counts) {
    Level next;
    for (absl::string_view policy : e.policies) {  // d 1
      Node node{policy, {policy}, {}};
      bool expected = false;
      for (const Node& parent : level_.nodes) {
        if (work_->exhausted()) return {};
        if (!Has(parent.expected, policy)) continue;
        expected = true;
        AddRoots(parent.roots, &node.roots);
      }
      if (!expected && level_.any) {
        expected = true;
        node.roots = {policy};
      }
      if (expected) next.nodes.push_back(std::move(node));
    }
    if (!any_counts) return next;
    next.any = level_.any;  // d 2
    const size_t named = next.nodes.size();
    for (const Node& parent : level_.nodes) {
      for (absl::string_view policy : parent.expected) {
        if (work_->exhausted()) return {};
        if (Has(e.policies, policy)) continue;
        auto node = std::find_if(next.nodes.begin() + static_cast<std::ptrdiff_t>(named), next.nodes.end(),
                                 [&](const Node& n) { return Same(n.policy, policy); });
        if (node == next.nodes.end()) node = next.nodes.insert(node, Node{policy, {policy}, {}});
        AddRoots(parent.roots, &node->roots);
      }
    }
    return next;
  }

  void Map(const Extensions& e) {
    Policies mapped;
    for (const auto& [policy, ignored] : e.policy_mappings) {
      if (work_->exhausted()) return;
      if (!Has(mapped, policy)) mapped.push_back(policy);
    }
    for (absl::string_view policy : mapped) {
      if (work_->exhausted()) return;
      auto node = std::find_if(level_.nodes.begin(), level_.nodes.end(),
                               [&](const Node& n) { return Same(n.policy, policy); });
      if (policy_mapping_ == 0) {  // b 2
        if (node != level_.nodes.end()) level_.nodes.erase(node);
        continue;
      }
      if (node == level_.nodes.end()) {  // b 1
        if (!level_.any) continue;
        node = level_.nodes.insert(node, Node{policy, {}, {policy}});
      }
      node->expected.clear();
      for (const auto& [from, to] : e.policy_mappings) {
        if (Same(from, policy)) node->expected.push_back(to);
      }
    }
  }

  bool HasInitialPolicy() {
    if (options_.initial_set.empty() || level_.any) return !level_.empty();
    return std::any_of(level_.nodes.begin(), level_.nodes.end(), [&](const Node& node) {
      return std::any_of(options_.initial_set.begin(), options_.initial_set.end(),
                         [&](const std::string& wanted) { return Has(node.roots, wanted); });
    });
  }

  const PolicyOptions& options_;
  size_t explicit_policy_, policy_mapping_, inhibit_any_;
  Level level_;  // valid_policy_tree, its deepest level; empty: NULL
  Work* const work_;
};

// Section 6.1.4 a.
bool MapsAnyPolicy(const Extensions& e) {
  return std::any_of(e.policy_mappings.begin(), e.policy_mappings.end(),
                     [](const auto& m) { return m.first == kAnyPolicy || m.second == kAnyPolicy; });
}

}  // namespace

Finding CheckPolicies(const Path& path, const PolicyOptions& options, Work* work) {
  const size_t count = path.size() - 1;  // without the anchor
  bool matters = options.require_explicit;
  for (size_t i = 0; i < count; ++i) {
    const Extensions& e = path[i]->extensions();
    if (i > 0 && MapsAnyPolicy(e)) return {Reason::kConstraintViolation, path[i], "maps from or to anyPolicy"};
    matters = matters || e.require_explicit_policy.has_value();
  }
  if (!matters) return {};  // explicit_policy cannot become zero: no set of policies refuses the path
  Processing processing(options, count, work);
  for (size_t i = count; i-- > 0;) {
    const CertificateRef& c = path[i];
    bool valid = processing.Take(*c, i == 0);
    if (i > 0) {
      processing.PrepareForNext(*c);
    } else {
      valid = valid && processing.WrapUp(*c);
    }
    if (work->exhausted()) {
      return {Reason::kConstraintViolation, c, "its policies cost more comparisons than are made for one judgement"};
    }
    if (!valid) return {Reason::kConstraintViolation, c, "the path is valid for no policy that is asked for"};
  }
  return {};
}

}  // namespace gatehouse::certs
