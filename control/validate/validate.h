// Validation of a whole configuration, before it is stored, by the very code that gateways will run; and the form in
// which violations travel: as a payload of absl::Status, and as the error details of grpc::Status (a serialized
// v1.Violations; Debian has no google.rpc.Status).
//
// Threading:  pure functions.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gateway/config/build_resource_map.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::validate {

struct Findings {
  std::vector<v1::Violation> violations;  // any: the configuration is refused
  std::vector<v1::Violation> warnings;
};

// Judges a whole configuration. `revision` is the one that it would get.
using Validator = std::function<Findings(const config::ResourceMap& resources, uint64_t revision)>;

// FindUnknownFields adds a violation for every field that this program does not know, at any depth: what is not
// understood must not be silently dropped.
void FindUnknownFields(const google::protobuf::Message& message, const std::string& path,
                       std::vector<v1::Violation>* violations);

// INVALID_ARGUMENT with one line a violation, and all of them as a payload. REQUIRES: not empty.
absl::Status Refusal(const std::vector<v1::Violation>& violations);
std::vector<v1::Violation> ViolationsOf(const absl::Status& status);

// Path of a resource: `routes["hello"]`.
std::string PathOf(v1::Kind kind, const std::string& name);

}  // namespace gatehouse::validate
