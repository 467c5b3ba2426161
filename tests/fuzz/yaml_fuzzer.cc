// Any text: the reader neither crashes nor hangs, and what it takes, it takes again once written.
#include <google/protobuf/util/message_differencer.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "client/yaml/reader.h"
#include "client/yaml/writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gatehouse::client::Reader;
  auto no_files = [](const std::string& path, size_t) -> absl::StatusOr<std::string> {
    return absl::NotFoundError(path);
  };
  gatehouse::client::ReadLimits limits;
  limits.max_nodes = 10'000;
  Reader reader(no_files, limits);
  reader.Read(absl::string_view(reinterpret_cast<const char*>(data), size), "fuzz", "");
  if (!reader.problems().empty()) {
    for (const auto& problem : reader.problems()) (void)problem.ToString();
    return 0;
  }
  std::string written = gatehouse::client::ToYaml(reader.set());
  limits.max_nodes = 1'000'000;
  Reader again(no_files, limits);
  again.Read(written, "again", "");
  if (!again.problems().empty() ||
      !google::protobuf::util::MessageDifferencer::Equivalent(reader.set(), again.set())) {
    std::fprintf(stderr, "not read as written:\n%s\n", written.c_str());
    for (const auto& problem : again.problems()) std::fprintf(stderr, "%s\n", problem.ToString().c_str());
    std::abort();
  }
  return 0;
}
