// RoleTable makes the table of methods and roles from descriptors; the build runs it (role_table_main.cc).
//
// Threading: a pure function.
// Errors:    FAILED_PRECONDITION naming every method without a role that can be asked for, or that does not say whether it writes.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "google/protobuf/descriptor.pb.h"

namespace gatehouse::api {

// Lines of C++ for Method's initializers, in order of name.
absl::StatusOr<std::string> RoleTable(const google::protobuf::FileDescriptorSet& files);

}  // namespace gatehouse::api
