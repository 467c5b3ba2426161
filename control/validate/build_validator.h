// BuildValidator judges by config::Build, the code that gateways run.
//
// Ownership:  keeps the snapshot of the revision before, so that unchanged parts are not built again; and the clock.
// Threading:  thread-safe; one call at a time does work.
#pragma once

#include <memory>
#include <string>

#include "control/validate/validate.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/config/build.h"

namespace gatehouse::validate {

class BuildValidator {
 public:
  // REQUIRES: clock outlives this.
  BuildValidator(std::string incarnation, const Clock& clock) : incarnation_(std::move(incarnation)), clock_(clock) {}

  Findings Judge(const v1::ConfigSet& set, uint64_t revision);

 private:
  const std::string incarnation_;
  const Clock& clock_;
  Mutex mutex_;
  // The last set judged for a revision is the one that was committed as it, once a later revision is asked about.
  std::shared_ptr<const config::Snapshot> candidate_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const config::Snapshot> base_ ABSL_GUARDED_BY(mutex_);
  uint64_t candidate_revision_ ABSL_GUARDED_BY(mutex_) = 0;
};

// The same as a function, which shares the BuildValidator.
Validator MakeBuildValidator(std::string incarnation, const Clock& clock);

}  // namespace gatehouse::validate
