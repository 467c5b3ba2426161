// Filter is a checked EventFilter: every part that is set must match, any entry of a part may.
//
// Threading: a value; Matches may be called from any thread.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "gatehouse/v1/event.pb.h"
#include "gatehouse/v1/event_service.pb.h"

namespace gatehouse::hub {

class Filter {
 public:
  // Errors: INVALID_ARGUMENT: over 1,000 entries, an enum value that is not one, a certificate that is not 64 hex
  // digits.
  static absl::StatusOr<Filter> Create(const v1::EventFilter& filter);

  // True when nothing is filtered out.
  bool empty() const { return empty_; }
  // A GAP always matches.
  bool Matches(const v1::Event& event) const;
  // Whether events that were lost before `event`, in its gateway, may have matched: their number is the only news of them.
  bool MayHaveMatchedBefore(const v1::Event& event) const;
  // Types that may match, as bits of batch.h's TypeBit; a GAP's is not among them.
  uint32_t types() const { return type_bits_; }

 private:
  std::set<int> types_;
  uint32_t type_bits_ = ~0u;
  std::set<int> outcomes_;
  std::set<int> reasons_;
  std::set<std::string> routes_;
  std::set<std::string> schemes_;
  std::set<std::string> gateways_;
  std::set<std::string> principals_;
  std::set<std::string> certificates_;
  bool empty_ = true;
};

}  // namespace gatehouse::hub
