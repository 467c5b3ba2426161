#include "gateway/server/presented_chains.h"

#include <iterator>
#include <utility>

namespace gatehouse::server {

void PresentedChains::Remember(const Sha256Digest& leaf, absl::Span<const certs::CertificateRef> presented, As as) {
  const bool proven = as != As::kUnproven;
  size_t octets = 0;
  for (const certs::CertificateRef& certificate : presented) octets += certificate->der().size();
  if (presented.empty() || octets > max_octets_ / 4) return;
  MutexLock lock(&mutex_);
  Shelf& shelf = as == As::kAccepted ? accepted_ : refused_;
  if (auto known = shelf.by_leaf.find(leaf); known != shelf.by_leaf.end()) {
    if (known->second->proven && !proven) return;
    shelf.Drop(known->second);
  }
  while (shelf.octets + octets > max_octets_) shelf.Drop(std::prev(shelf.entries.end()));
  Entry& entry = shelf.entries.emplace_front();
  entry.leaf = leaf;
  entry.ders.reserve(presented.size());
  for (const certs::CertificateRef& certificate : presented) entry.ders.push_back(certificate->shared_der());
  entry.octets = octets;
  entry.proven = proven;
  entry.order = ++order_;
  shelf.octets += octets;
  shelf.by_leaf[leaf] = shelf.entries.begin();
}

std::vector<certs::CertificateRef> PresentedChains::Find(const Sha256Digest& leaf) const {
  std::vector<std::shared_ptr<const std::string>> ders;
  {
    MutexLock lock(&mutex_);
    const Entry* best = nullptr;
    for (const Shelf* shelf : {&refused_, &accepted_}) {
      auto known = shelf->by_leaf.find(leaf);
      if (known == shelf->by_leaf.end()) continue;
      const Entry& entry = *known->second;
      if (best == nullptr || std::pair(entry.proven, entry.order) > std::pair(best->proven, best->order)) best = &entry;
    }
    if (best == nullptr) return {};
    ders = best->ders;
  }
  std::vector<certs::CertificateRef> chain;
  for (const std::shared_ptr<const std::string>& der : ders) {
    absl::StatusOr<certs::CertificateRef> certificate = certs::Certificate::FromDer(*der);
    if (certificate.ok()) chain.push_back(*std::move(certificate));
  }
  return chain;
}

void PresentedChains::Shelf::Drop(std::list<Entry>::iterator entry) {
  octets -= entry->octets;
  by_leaf.erase(entry->leaf);
  entries.erase(entry);
}

}  // namespace gatehouse::server
