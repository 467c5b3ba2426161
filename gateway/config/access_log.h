// AccessLog says where the finished requests of a listener or a route are logged, and how a line looks.
//
// Threading:  a value, immutable within a snapshot.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace gatehouse::config {

struct AccessLog {
  enum class Format : uint8_t { kJson, kCombined };
  Format format = Format::kJson;
  std::string file;            // absolute; empty: standard output
  uint32_t sample_one_in = 1;  // of requests that were let in
  bool off = false;            // a route's word against its listener's
};
using AccessLogRef = std::shared_ptr<const AccessLog>;

}  // namespace gatehouse::config
