// LocalGateway is the distributor's line to a gateway in this process: no gRPC, no copy of the configuration. Taking a
// revision and answering questions run on threads of its own, since both may be slow.
//
// Ownership:  distributor and desk outlive it. `take` and `ask` are not started after the destructor; a `done` may
//             be called later and is ignored then.
// Threading:  thread-safe.
// Errors:     Connect as Distributor::Connect.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "control/publish/distributor.h"
#include "control/publish/question_desk.h"
#include "gateway/base/executor.h"

namespace gatehouse::publish {

class LocalGateway {
 public:
  // Brings a revision into force, then calls `done`: with nothing when it is in force, or why it is refused. After a
  // refusal it may call it once more with nothing: in force after all.
  using Taken = absl::AnyInvocable<void(std::vector<v1::Violation>)>;
  using Take = std::function<void(std::shared_ptr<const Published>, Taken done)>;
  // Hears that what is in force is the newest there is.
  using Confirmed = std::function<void()>;
  using Ask = std::function<v1::Answer(const v1::Question&)>;

  static absl::StatusOr<std::unique_ptr<LocalGateway>> Connect(Distributor& distributor, QuestionDesk& desk,
                                                               std::string name, std::string version, Take take,
                                                               Ask ask, Confirmed confirmed);
  ~LocalGateway();

  // How busy the gateway is.
  void Report(v1::GatewayLoad load);

 private:
  class Lane;
  LocalGateway() = default;

  std::shared_ptr<Lane> lane_;
  std::unique_ptr<QuestionDesk::Line> line_;
};

}  // namespace gatehouse::publish
