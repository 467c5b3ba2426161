#include "gateway/server/crl_shelf.h"

#include <algorithm>
#include <utility>

#include "gateway/server/freshness.h"

namespace gatehouse::server {
namespace {

// Of one URL. An authority has few for one place.
constexpr size_t kMaxSeries = 4;

// DER and index (crl.h).
size_t Weight(const certs::CrlRef& list) { return list == nullptr ? 0 : list->der().size() + 20 * list->size(); }

bool SameSeries(const certs::Crl& a, const certs::Crl& b) {
  return a.issuer_der() == b.issuer_der() && a.scope_der() == b.scope_der() && a.is_delta() == b.is_delta();
}

}  // namespace

CrlShelf::Put CrlShelf::PutFetched(const certs::Inquiry& inquiry, certs::CrlRef list, bool verified,
                                   absl::Time received, InquiryTermsRef terms,
                                   std::vector<certs::CrlRef>* garbage) {
  by_issuer_.clear();
  indexed_ = false;
  Fetched& held = fetched_[inquiry.Key()];
  const auto same = std::find_if(held.series.begin(), held.series.end(),
                                 [&](const Series& s) { return SameSeries(*s.list, *list); });
  Put put = Put::kNew;
  if (same == held.series.end()) {
    if (held.series.empty()) {
      held.used = received;
    } else if (held.series.front().verified && !verified) {
      return Put::kUnsigned;
    }
    Series* series = PlaceFor(verified, received, &held, garbage);
    if (series == nullptr) return Put::kCrowded;
    bytes_ += Weight(list);
    *series = {std::move(list), nullptr, verified, received};
  } else if (same->list->sha256() == list->sha256()) {
    same->received = received;
    same->verified = same->verified || verified;
    std::rotate(held.series.begin(), same, same + 1);
    put = Put::kSame;
  } else {
    if (same->verified && !verified) return Put::kUnsigned;
    const bool older = !same->list->MayBeReplacedBy(*list);
    if (older && verified && same->verified) return Put::kOlder;
    bytes_ += Weight(list);
    if (older && !verified) {
      Drop({nullptr, std::exchange(same->latest, std::move(list)), false, {}}, garbage);
    } else {
      Drop({std::exchange(same->list, std::move(list)), std::exchange(same->latest, nullptr), false, {}}, garbage);
    }
    same->verified = verified;
    same->received = received;
    std::rotate(held.series.begin(), same, same + 1);
  }
  held.inquiry = inquiry;
  held.in_use = false;
  held.terms = std::move(terms);
  MakeRoom(&held, garbage);
  return put;
}

CrlShelf::Series* CrlShelf::PlaceFor(bool verified, absl::Time received, Fetched* held,
                                     std::vector<certs::CrlRef>* garbage) {
  std::vector<Series>& all = held->series;
  if (!verified || (!all.empty() && !all.front().verified)) {
    for (Series& series : all) Drop(std::move(series), garbage);
    all.clear();
  } else if (all.size() >= kMaxSeries) {
    const auto over = std::find_if(all.rbegin(), all.rend(), [&](const Series& series) {
      return series.list->next_update().value_or(absl::InfinitePast()) < received;
    });
    if (over == all.rend()) return nullptr;
    Drop(std::move(*over), garbage);
    all.erase(std::next(over).base());
  }
  return &*all.emplace(all.begin());
}

void CrlShelf::Drop(Series series, std::vector<certs::CrlRef>* garbage) {
  bytes_ -= Weight(series.list) + Weight(series.latest);
  garbage->push_back(std::move(series.list));
  garbage->push_back(std::move(series.latest));
}

void CrlShelf::MakeRoom(const Fetched* keep, std::vector<certs::CrlRef>* garbage) {
  while (bytes_ > max_bytes_ && fetched_.size() > 1) {
    auto oldest = fetched_.end();
    for (auto it = fetched_.begin(); it != fetched_.end(); ++it) {
      if (&it->second != keep && (oldest == fetched_.end() || it->second.used < oldest->second.used)) oldest = it;
    }
    for (Series& series : oldest->second.series) Drop(std::move(series), garbage);
    fetched_.erase(oldest);
  }
}

std::vector<certs::CrlRef> CrlShelf::PutWatched(const std::string& file, std::vector<certs::CrlRef> lists) {
  by_issuer_.clear();
  indexed_ = false;
  std::vector<certs::CrlRef> before;
  if (auto it = watched_.find(file); it != watched_.end()) before = std::move(it->second);
  for (certs::CrlRef& list : lists) {
    for (const certs::CrlRef& old : before) {
      if (old.get() == list.get()) list = old;
    }
  }
  if (lists.empty()) {
    watched_.erase(file);
  } else {
    watched_[file] = std::move(lists);
  }
  return before;
}

void CrlShelf::Index() {
  by_issuer_.clear();
  for (const auto& [file, lists] : watched_) {
    for (const certs::CrlRef& list : lists) by_issuer_[list->issuer_hash()].watched.push_back({list, file, std::nullopt});
  }
  for (auto& [key, held] : fetched_) {
    for (const Series& series : held.series) {
      for (const certs::CrlRef& list : {series.list, series.latest}) {
        if (list == nullptr) continue;
        std::vector<Fetched*>& fetched = by_issuer_[list->issuer_hash()].fetched;
        if (fetched.empty() || fetched.back() != &held) fetched.push_back(&held);
      }
    }
  }
  indexed_ = true;
}

std::vector<certs::HeldCrl> CrlShelf::Of(uint64_t issuer_hash, absl::Time now, bool use) {
  if (!indexed_) Index();
  const auto place = by_issuer_.find(issuer_hash);
  if (place == by_issuer_.end()) return {};
  std::vector<certs::HeldCrl> out = place->second.watched;
  for (Fetched* held : place->second.fetched) {
    for (const Series& series : held->series) {
      for (const certs::CrlRef& list : {series.list, series.latest}) {
        if (list == nullptr || list->issuer_hash() != issuer_hash) continue;
        // It revokes, and vouches for nobody any more.
        const bool of_the_future = IsOfTheFuture(series.received, now);
        out.push_back({list, held->inquiry.url, of_the_future ? absl::InfinitePast() : series.received});
      }
    }
    if (!use) continue;
    held->used = now;
    held->in_use = true;
  }
  return out;
}

bool CrlShelf::Fresh(const certs::Inquiry& inquiry, absl::Duration max_age, absl::Time now) const {
  auto it = fetched_.find(inquiry.Key());
  if (it == fetched_.end()) return false;
  const Series& last = it->second.series.front();
  return last.verified && !IsOfTheFuture(last.received, now) &&
         now < FreshUntil(last.list->this_update(), last.received, last.list->next_update(), max_age);
}

void CrlShelf::AppendDue(absl::Time now, std::vector<Due>* out) const {
  for (const auto& [key, held] : fetched_) {
    if (held.terms == nullptr || !held.in_use) continue;
    const Series& last = held.series.front();
    const absl::Time until =
        FreshUntil(last.list->this_update(), last.received, last.list->next_update(), held.terms->max_age);
    if (now >= RefreshAt(last.received, until)) out->push_back({held.inquiry, held.terms});
  }
}

}  // namespace gatehouse::server
