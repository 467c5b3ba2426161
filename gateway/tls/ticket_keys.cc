#include "gateway/tls/ticket_keys.h"

#include <openssl/crypto.h>

#include <cstring>
#include <utility>

namespace gatehouse::tls {

TicketKey::~TicketKey() { OPENSSL_cleanse(secret.data(), secret.size()); }

void TicketKeys::Set(const std::vector<TicketKey>& keys) {
  std::vector<TicketKeyRef> mine;
  for (const TicketKey& key : keys) mine.push_back(std::make_shared<const TicketKey>(key));
  MutexLock lock(&mutex_);
  keys_.swap(mine);
}

TicketKeyRef TicketKeys::Issuing(absl::Time now) const {
  MutexLock lock(&mutex_);
  for (const TicketKeyRef& key : keys_) {
    if (now < key->issue_until) return key;
  }
  return nullptr;
}

TicketKeyRef TicketKeys::Find(absl::string_view name, absl::Time now) const {
  MutexLock lock(&mutex_);
  for (const TicketKeyRef& key : keys_) {
    if (name.size() == key->name.size() && std::memcmp(name.data(), key->name.data(), name.size()) == 0) {
      return now < key->accept_until ? key : nullptr;
    }
  }
  return nullptr;
}

}  // namespace gatehouse::tls
