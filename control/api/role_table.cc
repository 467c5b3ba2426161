#include "control/api/role_table.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "gatehouse/v1/access.pb.h"

namespace gatehouse::api {
namespace {

// Users' own service: gateways call it, no control plane serves it.
constexpr char kNotServed[] = "gatehouse.v1.CredentialValidator";

}  // namespace

absl::StatusOr<std::string> RoleTable(const google::protobuf::FileDescriptorSet& files) {
  std::map<std::string, std::string> lines;
  std::string wrong;
  for (const google::protobuf::FileDescriptorProto& file : files.file()) {
    for (const google::protobuf::ServiceDescriptorProto& service : file.service()) {
      const std::string full = absl::StrCat(file.package(), ".", service.name());
      if (full == kNotServed) continue;
      for (const google::protobuf::MethodDescriptorProto& method : service.method()) {
        const v1::Role role = method.options().GetExtension(v1::role);
        if (role == v1::ROLE_UNSPECIFIED || !v1::Role_IsValid(role)) {
          absl::StrAppend(&wrong, "\n", file.name(), ": ", full, ".", method.name(), ": has no `option (role)`");
          continue;
        }
        const bool writes = method.options().GetExtension(v1::writes);
        if (role == v1::VIEWER ? writes : !method.options().HasExtension(v1::writes)) {
          absl::StrAppend(&wrong, "\n", file.name(), ": ", full, ".", method.name(), ": ",
                          writes ? "writes, and VIEWER may call it" : "has no `option (writes)`");
          continue;
        }
        const std::string name = absl::StrCat("/", full, "/", method.name());
        lines[name] = absl::StrCat("{\"", name, "\", v1::", v1::Role_Name(role), ", ",
                                   method.client_streaming() ? "true" : "false", ", ",
                                   method.server_streaming() ? "true" : "false", ", ", writes ? "true" : "false", "},\n");
      }
    }
  }
  if (!wrong.empty()) return absl::FailedPreconditionError(absl::StrCat("methods that anybody could call, or that write unseen:", wrong));
  if (lines.empty()) return absl::FailedPreconditionError("no service among the descriptors");
  std::string table;
  for (const auto& [name, line] : lines) absl::StrAppend(&table, line);
  return table;
}

}  // namespace gatehouse::api
