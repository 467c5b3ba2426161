#include "client/yaml/tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"

namespace gatehouse::client {
namespace {

// Only within this file: ends yaml-cpp's parse from inside an event.
struct StopParsing {};

class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(Tree& tree, size_t max_nodes, int max_depth)
      : tree_(tree), max_nodes_(max_nodes), max_depth_(max_depth) {}

  void OnDocumentStart(const YAML::Mark&) override { anchors_.clear(); }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Finish(NewNode(TreeNode::Kind::kNull, mark), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) Stop(mark, "an alias to a node that is not complete would never end");
    Put(found->second, mark);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    auto node = NewNode(TreeNode::Kind::kScalar, mark);
    // yaml-cpp gives "!" to quoted and block scalars, "?" to plain ones.
    node->plain = tag == "?" || tag.empty();
    if (!IsValidUtf8(value)) Stop(mark, "text is not valid UTF-8");
    if (node->plain && (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL")) {
      node->kind = TreeNode::Kind::kNull;
    } else {
      node->text = value;
    }
    Finish(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Open(NewNode(TreeNode::Kind::kList, mark), anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Open(NewNode(TreeNode::Kind::kMap, mark), anchor);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Level {
    std::shared_ptr<TreeNode> node;
    YAML::anchor_t anchor = 0;
    TreeRef key;  // of a map, when its value is awaited
  };

  [[noreturn]] void Stop(const YAML::Mark& mark, std::string message) {
    tree_.errors.push_back({mark.line + 1, mark.column + 1, std::move(message)});
    throw StopParsing{};
  }

  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!" || tag == "tag:yaml.org,2002:str") return;
    Stop(mark, absl::StrCat("tags have no meaning here: ", EscapeText(tag)));
  }

  std::shared_ptr<TreeNode> NewNode(TreeNode::Kind kind, const YAML::Mark& mark) {
    auto node = std::make_shared<TreeNode>();
    node->kind = kind;
    node->line = mark.line + 1;
    node->column = mark.column + 1;
    return node;
  }

  void Open(std::shared_ptr<TreeNode> node, YAML::anchor_t anchor) {
    if (static_cast<int>(levels_.size()) >= max_depth_) {
      Stop({}, absl::StrCat("nested deeper than ", max_depth_, " levels at line ", node->line));
    }
    levels_.push_back({std::move(node), anchor, nullptr});
  }

  void Close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    Finish(std::move(level.node), level.anchor);
  }

  void Finish(std::shared_ptr<TreeNode> node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = node;
    YAML::Mark mark;
    mark.line = node->line - 1;
    mark.column = node->column - 1;
    Put(std::move(node), mark);
  }

  // Put places a complete node where the parser stands.
  void Put(TreeRef node, const YAML::Mark& mark) {
    if (levels_.empty()) {
      total_ += node->weight;
      if (total_ > max_nodes_) Stop(mark, absl::StrCat("more than ", max_nodes_, " nodes"));
      tree_.documents.push_back(std::move(node));
      return;
    }
    Level& level = levels_.back();
    level.node->weight += node->weight;
    level.node->depth = std::max(level.node->depth, node->depth + 1);
    if (total_ + level.node->weight > max_nodes_) {
      Stop(mark, absl::StrCat("more than ", max_nodes_, " nodes when aliases are expanded"));
    }
    if (level.node->depth + static_cast<int>(levels_.size()) - 1 > max_depth_) {
      Stop(mark, absl::StrCat("nested deeper than ", max_depth_, " levels when aliases are expanded"));
    }
    if (level.node->kind == TreeNode::Kind::kList) {
      level.node->items.push_back(std::move(node));
    } else if (level.key == nullptr) {
      if (node->kind != TreeNode::Kind::kScalar) Stop(mark, "a field name must be text");
      level.key = std::move(node);
    } else {
      level.node->keys.push_back(std::move(level.key));
      level.node->items.push_back(std::move(node));
      level.key = nullptr;
    }
  }

  Tree& tree_;
  const size_t max_nodes_;
  const int max_depth_;
  size_t total_ = 0;
  std::vector<Level> levels_;
  std::map<YAML::anchor_t, TreeRef> anchors_;
};

// The parser's words for a line that is indented wrongly tell nobody so.
absl::string_view IndentationHint(absl::string_view text, const YAML::Exception& error) {
  for (int line = 0; line < error.mark.line && !text.empty(); ++line) {
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  const absl::string_view indent = text.substr(0, text.find_first_not_of(" \t"));
  if (absl::StrContains(indent, '\t')) return ": the line is indented with a tab, and YAML wants spaces";
  return error.msg == YAML::ErrorMsg::MAP_VALUE ? ": is the line indented as its neighbours are?" : "";
}

}  // namespace

Tree ParseTree(absl::string_view text, size_t max_nodes, int max_depth) {
  Tree tree;
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(tree, max_nodes, max_depth);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const StopParsing&) {
  } catch (const YAML::Exception& e) {
    tree.errors.push_back({e.mark.line + 1, e.mark.column + 1, absl::StrCat(EscapeText(e.msg), IndentationHint(text, e))});
  } catch (const std::exception& e) {
    tree.errors.push_back({0, 0, absl::StrCat("not YAML: ", EscapeText(e.what()))});
  }
  return tree;
}

}  // namespace gatehouse::client
