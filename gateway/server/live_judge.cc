#include "gateway/server/live_judge.h"

#include <memory>
#include <utility>
#include <vector>

#include "gateway/base/mutex.h"
#include "gateway/base/steady.h"

namespace gatehouse::server {
namespace {

// Mailbox is the thread of the explanation, as the desk posts to it.
class Mailbox {
 public:
  void Post(absl::AnyInvocable<void()> f) {
    MutexLock lock(&mutex_);
    posted_.push_back(std::move(f));
    arrived_.SignalOne();
  }
  // Runs what came; false when nothing did until `deadline`.
  bool RunOne(SteadyTime deadline) {
    absl::AnyInvocable<void()> f;
    {
      MutexLock lock(&mutex_);
      while (posted_.empty()) {
        const absl::Duration left = Until(deadline);
        if (left <= absl::ZeroDuration()) return false;
        arrived_.WaitFor(&mutex_, left);
      }
      f = std::move(posted_.front());
      posted_.erase(posted_.begin());
    }
    f();
    return true;
  }

 private:
  Mutex mutex_;
  CondVar arrived_;
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

certs::Verdict JudgeLive(absl::Span<const certs::CertificateRef> chain, const certs::SchemeOptions& options, absl::Time at,
                         RevocationDesk* desk, bool offline, certs::Trace* trace) {
  const auto judge = [&](const certs::RevocationSource* source) {
    if (trace != nullptr) *trace = certs::Trace();
    return certs::Judge(chain, options, at, source, trace);
  };
  if (desk == nullptr || options.revocation.mode == certs::RevocationMode::kNoCheck) return judge(nullptr);
  auto mailbox = std::make_shared<Mailbox>();
  const SteadyTime deadline = SteadyAfter(options.revocation.timeout);
  while (!offline) {
    const RevocationDesk::Source asking(desk, options, /*ask=*/true, /*use=*/false);
    certs::Verdict verdict = judge(&asking);
    if (verdict.outcome != certs::Outcome::kIndeterminate) return verdict;
    const RevocationDesk::Ticket ticket =
        desk->Ask(verdict.inquiries, options, /*all=*/true,
                  [mailbox](absl::AnyInvocable<void()> f) { mailbox->Post(std::move(f)); }, [] {});
    if (ticket == nullptr || !mailbox->RunOne(deadline)) break;
  }
  const RevocationDesk::Source silent(desk, options, /*ask=*/false, /*use=*/false);
  return judge(&silent);
}

}  // namespace gatehouse::server
