// Tree is a parsed YAML text with a place for every node: what Reader maps onto protos.
//
// Ownership:  nodes are shared, since an alias stands for the node it names; a tree never has cycles.
// Threading:  immutable once parsed.
// Errors:     INVALID_ARGUMENT with the line in the message; yaml-cpp's exceptions stop here.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace gatehouse::client {

struct TreeNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;    // from 1
  int column = 0;  // from 1
  bool plain = false;  // a scalar without quotes: only these may be numbers, booleans or null
  std::string text;    // kScalar
  std::vector<std::shared_ptr<const TreeNode>> items;                                    // kList, values of kMap
  std::vector<std::shared_ptr<const TreeNode>> keys;                                     // kMap
  size_t weight = 1;  // nodes below and this, aliases expanded
  int depth = 1;      // levels below and this
};
using TreeRef = std::shared_ptr<const TreeNode>;

struct TreeError {
  int line = 0;
  int column = 0;
  std::string message;
};

struct Tree {
  std::vector<TreeRef> documents;
  std::vector<TreeError> errors;  // not empty: documents are not to be used
};

// ParseTree reads all documents. More than `max_nodes` (aliases expanded) or `max_depth` levels are an error.
Tree ParseTree(absl::string_view text, size_t max_nodes, int max_depth);

}  // namespace gatehouse::client
