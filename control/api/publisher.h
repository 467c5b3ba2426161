// Publisher is what the configuration's writer needs of publish::Distributor.
#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "gateway/config/build_resource_map.h"
#include "gatehouse/v1/config_service.pb.h"

namespace gatehouse::api {

// Threading: implementations are thread-safe; completions never run inside the call that started them.
class Publisher {
 public:
  virtual ~Publisher() = default;
  // Publish makes these, secrets and all, the newest revision. Revisions come in rising order.
  virtual void Publish(uint64_t revision, const config::ResourceMap& resources) = 0;
  // WaitInForce calls `done` once, when every connected gateway answered for `revision`, or after `timeout`.
  virtual void WaitInForce(uint64_t revision, absl::Duration timeout,
                           absl::AnyInvocable<void(v1::ForceStatus)> done) = 0;
};

// PublishTo makes a Publisher of anything with these two methods, such as publish::Distributor.
template <typename Target>
class PublishTo final : public Publisher {
 public:
  // REQUIRES: target outlives this.
  explicit PublishTo(Target& target) : target_(target) {}
  void Publish(uint64_t revision, const config::ResourceMap& resources) override {
    target_.Publish(revision, resources);
  }
  void WaitInForce(uint64_t revision, absl::Duration timeout,
                   absl::AnyInvocable<void(v1::ForceStatus)> done) override {
    target_.WaitInForce(revision, timeout, std::move(done));
  }

 private:
  Target& target_;
};

}  // namespace gatehouse::api
