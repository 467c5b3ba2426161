#include "gateway/server/crl_shelf.h"

#include <algorithm>
#include <utility>

#include "gateway/server/freshness.h"

namespace gatehouse::server {
namespace {

// DER and index (crl.h).
size_t Weight(const certs::CrlRef& list) { return list == nullptr ? 0 : list->der().size() + 20 * list->size(); }

bool SameSeries(const certs::Crl& a, const certs::Crl& b) {
  return a.issuer_der() == b.issuer_der() && a.scope_der() == b.scope_der() && a.is_delta() == b.is_delta();
}

}  // namespace

CrlShelf::Put CrlShelf::PutFetched(const certs::Inquiry& inquiry, certs::CrlRef list, bool verified,
                                   absl::Time received, InquiryTermsRef terms,
                                   std::vector<certs::CrlRef>* garbage) {
  const auto [it, added] = fetched_.try_emplace(inquiry.url);
  Fetched& held = it->second;
  if (!added) {
    if (held.list->sha256() == list->sha256()) {
      held.received = received;
      held.in_use = false;
      held.verified = held.verified || verified;
      held.terms = std::move(terms);
      return Put::kSame;
    }
    if (held.verified && !verified) return Put::kUnsigned;
    const bool older = SameSeries(*held.list, *list) && !held.list->MayBeReplacedBy(*list);
    if (older && verified && held.verified) return Put::kOlder;
    bytes_ -= Weight(held.list) + Weight(held.latest);
    garbage->push_back(std::move(held.latest));
    held.latest = nullptr;
    if (older && !verified) {
      held.latest = std::move(list);
    } else {
      garbage->push_back(std::move(held.list));
      held.list = std::move(list);
    }
  } else {
    held.list = std::move(list);
    held.used = received;
  }
  held.inquiry = inquiry;
  held.verified = verified;
  held.received = received;
  held.in_use = false;
  held.terms = std::move(terms);
  bytes_ += Weight(held.list) + Weight(held.latest);
  MakeRoom(&held, garbage);
  return Put::kNew;
}

void CrlShelf::MakeRoom(const Fetched* keep, std::vector<certs::CrlRef>* garbage) {
  while (bytes_ > max_bytes_ && fetched_.size() > 1) {
    auto oldest = fetched_.end();
    for (auto it = fetched_.begin(); it != fetched_.end(); ++it) {
      if (&it->second != keep && (oldest == fetched_.end() || it->second.used < oldest->second.used)) oldest = it;
    }
    bytes_ -= Weight(oldest->second.list) + Weight(oldest->second.latest);
    garbage->push_back(std::move(oldest->second.list));
    garbage->push_back(std::move(oldest->second.latest));
    fetched_.erase(oldest);
  }
}

std::vector<certs::CrlRef> CrlShelf::PutWatched(const std::string& file, std::vector<certs::CrlRef> lists) {
  std::vector<certs::CrlRef> before;
  if (auto it = watched_.find(file); it != watched_.end()) before = std::move(it->second);
  if (lists.empty()) {
    watched_.erase(file);
  } else {
    watched_[file] = std::move(lists);
  }
  return before;
}

std::vector<certs::HeldCrl> CrlShelf::Of(uint64_t issuer_hash, absl::Time now) {
  std::vector<certs::HeldCrl> out;
  for (const auto& [file, lists] : watched_) {
    for (const certs::CrlRef& list : lists) {
      if (list->issuer_hash() == issuer_hash) out.push_back({list, file, std::nullopt});
    }
  }
  for (auto& [url, held] : fetched_) {
    bool used = false;
    for (const certs::CrlRef& list : {held.list, held.latest}) {
      if (list == nullptr || list->issuer_hash() != issuer_hash) continue;
      out.push_back({list, url, held.received});
      used = true;
    }
    if (!used || now == absl::InfinitePast()) continue;
    held.used = now;
    held.in_use = true;
  }
  return out;
}

bool CrlShelf::Fresh(const std::string& url, absl::Duration max_age, absl::Time now) const {
  auto it = fetched_.find(url);
  if (it == fetched_.end() || !it->second.verified) return false;
  return now < FreshUntil(it->second.received, it->second.list->next_update(), max_age);
}

void CrlShelf::AppendDue(absl::Time now, std::vector<Due>* out) const {
  for (const auto& [url, held] : fetched_) {
    if (held.terms == nullptr || !held.in_use) continue;
    const absl::Time until = FreshUntil(held.received, held.list->next_update(), held.terms->max_age);
    if (now >= RefreshAt(held.received, until)) out->push_back({held.inquiry, held.terms});
  }
}

}  // namespace gatehouse::server
