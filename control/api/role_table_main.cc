// gatehouse-role-table DESCRIPTORS OUTPUT: the build's step that makes control/api/method_roles.inc.
#include <cstdio>
#include <fstream>

#include "control/api/role_table.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  google::protobuf::FileDescriptorSet files;
  std::ifstream input(argv[1], std::ios::binary);
  if (!files.ParseFromIstream(&input)) {
    std::fprintf(stderr, "%s: no descriptors\n", argv[1]);
    return 1;
  }
  const absl::StatusOr<std::string> table = gatehouse::api::RoleTable(files);
  if (!table.ok()) {
    std::fprintf(stderr, "%s\n", std::string(table.status().message()).c_str());
    return 1;
  }
  std::ofstream output(argv[2], std::ios::binary);
  return output << *table && output.flush() ? 0 : 1;
}
