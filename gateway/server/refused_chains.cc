#include "gateway/server/refused_chains.h"

#include <utility>

namespace gatehouse::server {

void RefusedChains::Remember(const Sha256Digest& leaf, absl::Span<const certs::CertificateRef> presented, bool proven) {
  size_t octets = 0;
  for (const certs::CertificateRef& certificate : presented) octets += certificate->der().size();
  if (presented.empty() || octets > max_octets_ / 4) return;
  MutexLock lock(&mutex_);
  if (auto known = by_leaf_.find(leaf); known != by_leaf_.end()) {
    if (known->second->proven && !proven) return;
    Drop(known->second);
  }
  while (octets_ + octets > max_octets_) Drop(std::prev(entries_.end()));
  Entry& entry = entries_.emplace_front();
  entry.leaf = leaf;
  for (const certs::CertificateRef& certificate : presented) entry.ders.push_back(certificate->der());
  entry.octets = octets;
  entry.proven = proven;
  octets_ += octets;
  by_leaf_[leaf] = entries_.begin();
}

std::vector<certs::CertificateRef> RefusedChains::Find(const Sha256Digest& leaf) const {
  std::vector<std::string> ders;
  {
    MutexLock lock(&mutex_);
    auto known = by_leaf_.find(leaf);
    if (known == by_leaf_.end()) return {};
    ders = known->second->ders;
  }
  std::vector<certs::CertificateRef> chain;
  for (const std::string& der : ders) {
    absl::StatusOr<certs::CertificateRef> certificate = certs::Certificate::FromDer(der);
    if (certificate.ok()) chain.push_back(*std::move(certificate));
  }
  return chain;
}

void RefusedChains::Drop(std::list<Entry>::iterator entry) {
  octets_ -= entry->octets;
  by_leaf_.erase(entry->leaf);
  entries_.erase(entry);
}

}  // namespace gatehouse::server
