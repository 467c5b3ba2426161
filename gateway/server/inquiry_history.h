// InquiryHistory is the memory of inquiries that were asked in vain: while one backs off nobody asks it again.
//
// After a failure a source is left alone for 1 to 2 s, after each further one twice as long, up to 1 min; always between
// half and the whole, so that gateways and inquiries do not come back at once. A host that could not be reached three
// times in a row is left alone altogether.
//
// Ownership:  holds copies of keys, the least recently touched go first.
// Threading:  thread-compatible.
// Units:      capacities in entries; times are wall-clock.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "gateway/base/lru.h"

namespace gatehouse::server {

class InquiryHistory {
 public:
  explicit InquiryHistory(size_t capacity) : inquiries_(capacity), hosts_(capacity) {}

  bool Closed(const std::string& key, const std::string& host, absl::Time now);
  // `unreachable`: the host itself was at fault, and not what it said.
  void Failed(const std::string& key, const std::string& host, bool unreachable, absl::Time now);
  void Succeeded(const std::string& key, const std::string& host);
  size_t size() const { return inquiries_.size(); }

 private:
  struct Failures {
    int count = 0;
    absl::Time until = absl::InfinitePast();
  };
  static bool BacksOff(const Failures& failures, absl::Time now);
  static void Count(Failures* failures, absl::Time now);

  LruCache<std::string, Failures> inquiries_;
  LruCache<std::string, Failures> hosts_;
};

}  // namespace gatehouse::server
