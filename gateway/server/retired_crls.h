// RetiredCrls frees revocation lists on a thread that has time for it.
//
// The last to let go of a list may be a worker in the midst of a judgement, and to give back a million entries takes
// milliseconds. So who holds a list holds a keeper of it, and what the last keeper leaves waits here.
//
// Ownership:  holds what was let go of until Free or its own end. Lives as long as any list that it keeps.
// Threading:  thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "gateway/base/mutex.h"
#include "gateway/certs/crl.h"

namespace gatehouse::server {

class RetiredCrls : public std::enable_shared_from_this<RetiredCrls> {
 public:
  // The same list, freed nowhere but here. REQUIRES: this is owned by a shared_ptr.
  certs::CrlRef Keep(certs::CrlRef list);
  // Frees what nobody holds any more, on this thread.
  void Free();
  size_t size() const;

 private:
  void Retire(certs::CrlRef list);

  mutable Mutex mutex_;
  std::vector<certs::CrlRef> retired_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::server
