#include "gateway/server/retired_crls.h"

#include <utility>

namespace gatehouse::server {

certs::CrlRef RetiredCrls::Keep(certs::CrlRef list) {
  const certs::Crl* const raw = list.get();
  return certs::CrlRef(raw, [self = shared_from_this(), list = std::move(list)](const certs::Crl*) mutable {
    self->Retire(std::move(list));
  });
}

void RetiredCrls::Retire(certs::CrlRef list) {
  MutexLock lock(&mutex_);
  retired_.push_back(std::move(list));
}

void RetiredCrls::Free() {
  std::vector<certs::CrlRef> freed;  // goes after the lock
  MutexLock lock(&mutex_);
  freed.swap(retired_);
}

size_t RetiredCrls::size() const {
  MutexLock lock(&mutex_);
  return retired_.size();
}

}  // namespace gatehouse::server
