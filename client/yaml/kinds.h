// The kinds of resources and their names: in files (`TrustStore`), in paths and identifiers (`trustStores`) and on
// the command line (`trust-store`, `trust-stores`, any case).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::client {

struct KindName {
  v1::Kind kind;
  const char* singular;  // TrustStore
  const char* plural;    // trustStores
  const char* word;      // trust-store
  const char* field;     // trust_stores, in ConfigSet
};

// Kinds returns all kinds in the order in which a configuration is read: what is referred to comes first.
absl::Span<const KindName> Kinds();
// Name of a kind. REQUIRES: a kind of Kinds().
const KindName& NameOf(v1::Kind kind);
// ParseKind takes the singular or plural in any spelling: `TrustStore`, `trust-stores`, `trust_store`, `truststores`.
std::optional<v1::Kind> ParseKind(absl::string_view text);

// `trustStores/partners`, for people.
std::string IdText(v1::Kind kind, absl::string_view name);
// `trustStores["partners"]`, the root of violation paths.
std::string PathRoot(v1::Kind kind, absl::string_view name);

// Access to a Resource without a switch over kinds.
v1::Kind KindOf(const v1::Resource& resource);
std::string NameOf(const v1::Resource& resource);
// Split returns a set's resources in the order of Kinds(), and within a kind as they stand.
std::vector<v1::Resource> Split(const v1::ConfigSet& set);
void Append(v1::Resource resource, v1::ConfigSet& set);

// How a configuration file names the file that a field is in: `file` for `pem`, `x_file` for `x_pem`; "" for other fields.
std::string FileNameOf(const google::protobuf::FieldDescriptor& field);

// Closest returns the candidate nearest to `word` if it is near enough to be meant, or "".
std::string Closest(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace gatehouse::client
