// Compiler judges configurations for the writer, by config::Build, and passes accepted ones on to the distributor. It
// keeps what it compiled: a change is compiled once, and shares what did not change with the revision before.
//
//   Changes --Check--> candidate --Publish--> current --> Distributor --> (embedded gateway asks Find)
//
// Ownership:  distributor and clock outlive this. Snapshots are shared.
// Threading:  thread-safe; Check and Publish may take as long as Build does.
// Errors:     Check: violations and warnings, as Build tells them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "control/api/publisher.h"
#include "control/publish/distributor.h"
#include "control/validate/validate.h"
#include "gateway/base/clock.h"
#include "gateway/base/mutex.h"
#include "gateway/config/build.h"

namespace gatehouse {

class Compiler final : public api::Publisher {
 public:
  Compiler(publish::Distributor& distributor, std::string incarnation, const Clock& clock)
      : distributor_(distributor), incarnation_(std::move(incarnation)), clock_(clock) {}

  // Is a validate::Validator.
  validate::Findings Check(const config::ResourceMap& resources, uint64_t revision);

  void Publish(uint64_t revision, const config::ResourceMap& resources) override;
  void WaitInForce(uint64_t revision, absl::Duration timeout,
                   absl::AnyInvocable<void(v1::ForceStatus)> done) override {
    distributor_.WaitInForce(revision, timeout, std::move(done));
  }

  // What `revision` holds for gateways, compiled: kept, or made now.
  config::BuildResult Find(uint64_t revision, const config::ResourceMap& resources);

 private:
  config::BuildResult Build(const config::ResourceMap& resources, uint64_t revision);

  publish::Distributor& distributor_;
  const std::string incarnation_;
  const Clock& clock_;

  Mutex mutex_;
  config::SnapshotRef candidate_ ABSL_GUARDED_BY(mutex_);  // checked last
  config::SnapshotRef current_ ABSL_GUARDED_BY(mutex_);    // published last
};

}  // namespace gatehouse
