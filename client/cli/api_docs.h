// ApiDocs is what the protos say about themselves: messages, enums and services with their comments, compiled into the
// program. `gatehousectl explain` and docs/reference/api.md are made from it.
//
// Ownership:  one for the process, never freed.
// Threading:  immutable; any thread.
// Errors:     none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace gatehouse::cli {

class ApiDocs {
 public:
  static const ApiDocs& Get();

  // Null when there is no such message. Takes `Route` or `gatehouse.v1.Route`.
  const google::protobuf::Descriptor* Message(absl::string_view name) const;
  // Of package gatehouse.v1, in order of name.
  std::vector<const google::protobuf::FileDescriptor*> Files() const;

 private:
  ApiDocs();
  google::protobuf::DescriptorPool pool_;
  std::vector<std::string> files_;
};

// The comment above an element, as text: lines joined into paragraphs, which an empty line separates.
template <typename Element>
std::string CommentOf(const Element& element);
// The type as people who write files think of it: `list of Matcher`, `text`, `duration`, `one of NONE, ALLOW, REQUIRE`.
std::string TypeText(const google::protobuf::FieldDescriptor& field);

// The whole reference as Markdown.
std::string ApiReference(const ApiDocs& docs);

}  // namespace gatehouse::cli
