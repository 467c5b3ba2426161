// SourceHealth decides which failures and recoveries of revocation sources are worth an event: changes only, at most one a
// minute and source, and a bounded number altogether.
//
// Ownership:  holds copies; the least recently touched sources go first.
// Threading:  thread-compatible.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/lru.h"

namespace gatehouse::server {

class SourceHealth {
 public:
  explicit SourceHealth(size_t capacity) : sources_(capacity) {}

  // What to tell, if anything.
  std::optional<std::string> Failed(const std::string& source, absl::string_view cause, absl::Time now);
  std::optional<std::string> Succeeded(const std::string& source, absl::Time now);

 private:
  struct Source {
    absl::Time failing_since;
    absl::Time told = absl::InfinitePast();
    bool failing = false;
    bool failure_told = false;
  };
  bool MayTell(absl::Time now);

  LruCache<std::string, Source> sources_;
  absl::Time minute_ = absl::InfinitePast();
  int told_this_minute_ = 0;
};

}  // namespace gatehouse::server
