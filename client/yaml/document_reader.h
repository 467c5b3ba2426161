// DocumentReader maps one YAML text onto resources, by the protos' descriptors: a field that is added to a proto can
// be written in files at once. Private to Reader, which says what is accepted.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <optional>
#include <string>

#include "client/yaml/reader.h"
#include "client/yaml/tree.h"

namespace gatehouse::client {

class DocumentReader {
 public:
  // REQUIRES: `reader` outlives this.
  DocumentReader(Reader& reader, std::string source, std::string folder)
      : reader_(reader), source_(std::move(source)), folder_(std::move(folder)) {}

  // A resource with `kind`, a ConfigSet, or a list of them.
  void ReadDocument(const TreeNode& node);

 private:
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  void ReadSet(const TreeNode& node);
  // `kind_key` is the index of the `kind` entry, or -1 within a ConfigSet.
  void ReadResource(const TreeNode& node, v1::Kind kind, int kind_key, const std::string& fallback_path);

  void ReadMessage(const TreeNode& node, Message& message, const std::string& path, int skip_key);
  void ReadEntry(const TreeNode& key, const TreeNode& value, Message& message, const std::string& path);
  void ReadField(const TreeNode& value, Message& message, const Field* field, const std::string& path);
  void ReadList(const TreeNode& value, Message& message, const Field* field, const std::string& path);
  void ReadMap(const TreeNode& value, Message& message, const Field* field, const std::string& path);
  // Sets the field, or adds to it when it is repeated.
  void ReadValue(const TreeNode& value, Message& message, const Field* field, const std::string& path);
  void ReadScalar(const TreeNode& value, Message& message, const Field* field, const std::string& path);
  void ReadSubmessage(const TreeNode& value, Message& message, const Field* field, const std::string& path);
  bool ReadWellKnown(const TreeNode& value, Message& message, const std::string& path);
  // `file: ca.pem`: the content of a file, for the field that holds PEM.
  void ReadFile(const TreeNode& value, Message& message, const Field* field, const std::string& path);
  void Unknown(const TreeNode& key, const Message& message, const std::string& path);

  void Complain(const TreeNode& at, const std::string& path, std::string message);

  Reader& reader_;
  const std::string source_;
  const std::string folder_;
  std::string parent_field_;  // field that holds the message being read: crls want another kind of PEM than anchors
};

}  // namespace gatehouse::client
