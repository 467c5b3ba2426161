#include "gateway/server/ocsp_shelf.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "gateway/server/freshness.h"

namespace gatehouse::server {
namespace {

// A responder that does not know a certificate yet may do so soon.
constexpr absl::Duration kUnknownAge = absl::Minutes(1);

bool Same(const certs::Strength& a, const certs::Strength& b) {
  return a.min_rsa_bits == b.min_rsa_bits && a.min_ec_bits == b.min_ec_bits && a.max_rsa_bits == b.max_rsa_bits &&
         a.allow_sha1 == b.allow_sha1 && a.allow_dsa == b.allow_dsa;
}

bool Holds(const std::vector<certs::Strength>& all, const certs::Strength& one) {
  return absl::c_any_of(all, [&](const certs::Strength& s) { return Same(s, one); });
}

}  // namespace

absl::Time OcspShelf::Until(const Held& held, absl::Duration max_age) {
  if (held.answer->status == certs::OcspStatus::kUnknown) max_age = std::min(max_age, kUnknownAge);
  return FreshUntil(held.answer->made(), held.received, held.answer->next_update, max_age);
}

OcspShelf::Held* OcspShelf::Find(const Sha256Digest& key, bool use) {
  for (Cache* cache : {&revoked_, &answers_}) {
    if (Held* held = use ? cache->Find(key) : cache->Peek(key)) return held;
  }
  return nullptr;
}

OcspShelf::Put OcspShelf::PutAnswer(const certs::Inquiry& inquiry, certs::OcspAnswerRef answer, absl::Time received,
                                    const certs::Strength& strength, InquiryTermsRef terms) {
  const Sha256Digest key = certs::StatusIdOf(*inquiry.subject, *inquiry.issuer);
  const Held* held = Find(key, true);
  const bool revoked = answer->status == certs::OcspStatus::kRevoked;
  const bool for_good = revoked && certs::IsForGood(answer->reason);
  bool was_revoked = false;
  if (held != nullptr) {
    const certs::OcspAnswer& before = *held->answer;
    was_revoked = before.status == certs::OcspStatus::kRevoked;
    const bool stays_revoked = was_revoked && certs::IsForGood(before.reason);
    // Of equally new ones the worse counts: a responder may round its times to the hour. A revocation that is no hold counts
    // at any age (decision 32).
    if ((answer->this_update < before.this_update && (!for_good || stays_revoked)) ||
        (answer->this_update == before.this_update && was_revoked && !revoked)) {
      return Put::kOlder;
    }
    // If it was found strong enough by the standards of who asked now: else a weak forgery would stay.
    if (stays_revoked && !revoked && Holds(held->verified, strength)) {
      return Put::kForGood;
    }
  }
  (revoked ? answers_ : revoked_).Erase(key);
  (revoked ? revoked_ : answers_).Put(key, {inquiry, std::move(answer), received, std::move(terms), false, 0, {strength}});
  return revoked && !was_revoked ? Put::kRevoked : Put::kKept;
}

certs::OcspAnswerRef OcspShelf::Of(const certs::Certificate& subject, const certs::Certificate& issuer,
                                   absl::Duration max_age, absl::Time now, bool use) {
  Held* held = Find(certs::StatusIdOf(subject, issuer), use);
  if (held == nullptr) return nullptr;
  held->used = held->used || use;
  if (held->answer->status != certs::OcspStatus::kRevoked &&
      (now >= held->received + max_age || IsOfTheFuture(held->received, now))) {
    return nullptr;
  }
  return held->answer;
}

bool OcspShelf::IsVerified(const certs::Certificate& subject, const certs::Certificate& issuer,
                           const certs::OcspAnswer& answer, const certs::Strength& strength) {
  const Held* held = Find(certs::StatusIdOf(subject, issuer), false);
  return held != nullptr && held->answer.get() == &answer && Holds(held->verified, strength);
}

void OcspShelf::SetVerified(const certs::Certificate& subject, const certs::Certificate& issuer,
                            const certs::OcspAnswer& answer, const certs::Strength& strength) {
  constexpr size_t kMost = 8;
  Held* held = Find(certs::StatusIdOf(subject, issuer), false);
  if (held == nullptr || held->answer.get() != &answer || Holds(held->verified, strength)) return;
  if (held->verified.size() >= kMost) held->verified.erase(held->verified.begin());
  held->verified.push_back(strength);
}

bool OcspShelf::Fresh(const certs::Certificate& subject, const certs::Certificate& issuer,
                      const certs::Strength& strength, absl::Duration max_age, absl::Time now) {
  const Held* held = Find(certs::StatusIdOf(subject, issuer), false);
  return held != nullptr && Holds(held->verified, strength) && !IsOfTheFuture(held->received, now) &&
         now < Until(*held, max_age);
}

void OcspShelf::AppendDue(absl::Time now, size_t most, std::vector<Due>* out) {
  std::vector<const Held*> due;
  for (const Cache* cache : {&answers_, &revoked_}) {
    cache->ForEach([&](const Sha256Digest&, const Held& held) {
      if (held.terms == nullptr || !held.used) return;
      if (now >= RefreshAt(held.received, Until(held, held.terms->max_age))) due.push_back(&held);
    });
  }
  const size_t n = std::min(most, due.size());
  const auto end = due.begin() + static_cast<std::ptrdiff_t>(n);
  std::partial_sort(due.begin(), end, due.end(), [](const Held* a, const Held* b) { return a->handed_out < b->handed_out; });
  ++turn_;
  for (auto it = due.begin(); it != end; ++it) {
    (*it)->handed_out = turn_;
    out->push_back({(*it)->inquiry, (*it)->terms});
  }
}

}  // namespace gatehouse::server
