// Reader turns the files that people write into a ConfigSet. YAML, or JSON which is YAML; any number of documents.
//
//   kind: TrustStore                 a document is one resource: its kind, and the fields of the proto message by
//   name: partners                   their proto name (trust_store) or JSON name (trustStore);
//   anchors: [{file: ca.pem}]
//   ---
//   trust_stores: [...]              or a ConfigSet, as `get -o json` of many prints it;
//   routes: [...]                    or a list of either.
//
// Beyond the proto's own JSON form:
//   file: PATH                       in an anchor, intermediate, CRL or pin stands for the content of that file;
//   certificate_chain_file, private_key_file   the same in a ServerCertificate (any `*_pem` field has its `*_file`);
//   password_hash: TEXT              one entry of password_hashes;
//   all_of: [..], any_of, none_of    a policy's conditions are plain lists;
//   5s, 10m, 1h30m                   durations.
// Refused, each with file, line and path: unknown fields (did you mean …), duplicate keys and names, fields without a
// value, more than one of a oneof, plaintext passwords, a private key where a certificate belongs.
//
// Ownership:  holds copies only.
// Threading:  thread-compatible.
// Units:      bytes; see ReadLimits.
// Errors:     Problem, all at once; nothing is thrown.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::client {

struct ReadLimits {
  size_t max_text_bytes = 64u << 20;     // one YAML text
  size_t max_file_bytes = 128u << 20;    // one referred file
  size_t max_total_file_bytes = 224u << 20;  // an Apply takes 256 MiB
  size_t max_nodes = 10'000'000;         // 100,000 routes of a hundred; after aliases are expanded: a "billion laughs" file ends here
  int max_depth = 64;
  size_t max_problems = 100;
};

// Place is where something stands in a text.
struct Place {
  std::string source;  // file name, or "-"
  int line = 0;        // from 1; 0: unknown
  int column = 0;

  // `edge.yaml:12`
  std::string ToString() const;
};

struct Problem {
  Place place;
  std::string path;  // `routes["orders"].require.any_of[1]`; empty when the text itself is broken
  std::string message;

  // `edge.yaml:12: routes["orders"].require: unknown field …`, with strangers' text escaped.
  std::string ToString() const;
};

// FileLoader returns the content of a file, at most `max_bytes`.
using FileLoader = std::function<absl::StatusOr<std::string>(const std::string& path, size_t max_bytes)>;
// LoadFile reads a regular file (or pipe) of the operating system. NOT_FOUND, RESOURCE_EXHAUSTED (it is longer), INVALID_ARGUMENT.
absl::StatusOr<std::string> LoadFile(const std::string& path, size_t max_bytes);

class Reader {
 public:
  explicit Reader(FileLoader loader = LoadFile, ReadLimits limits = {});

  // Read adds the documents of `text`. `source` is named in problems; relative `file:` entries are looked up in
  // `folder` ("" is the working directory).
  void Read(absl::string_view text, const std::string& source, const std::string& folder);

  // What was read so far. Only of use when there are no problems.
  const v1::ConfigSet& set() const { return set_; }
  const std::vector<Problem>& problems() const { return problems_; }
  // PlaceOf returns where the resource of a violation path such as `routes["orders"].match` begins, if it was read.
  const Place* PlaceOf(absl::string_view violation_path) const;

 private:
  friend class DocumentReader;

  FileLoader loader_;
  ReadLimits limits_;
  size_t file_bytes_ = 0;
  v1::ConfigSet set_;
  std::vector<Problem> problems_;
  std::map<std::string, Place> places_;  // by path root
};

}  // namespace gatehouse::client
