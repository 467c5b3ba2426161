#include "gateway/server/ocsp_shelf.h"

#include <algorithm>
#include <string>
#include <utility>

#include "gateway/server/freshness.h"

namespace gatehouse::server {
namespace {

// A responder that does not know a certificate yet may do so soon.
constexpr absl::Duration kUnknownAge = absl::Minutes(1);

}  // namespace

Sha256Digest OcspShelf::KeyOf(const certs::Certificate& subject, const certs::Certificate& issuer) {
  std::string both(AsView(subject.sha256()));
  both.append(AsView(issuer.spki_sha256()).data(), issuer.spki_sha256().size());
  return Sha256(both);
}

absl::Time OcspShelf::Until(const Held& held, absl::Duration max_age) {
  if (held.answer->status == certs::OcspStatus::kUnknown) max_age = std::min(max_age, kUnknownAge);
  return FreshUntil(held.received, held.answer->next_update, max_age);
}

OcspShelf::Put OcspShelf::PutAnswer(const certs::Inquiry& inquiry, certs::OcspAnswerRef answer, absl::Time received,
                                    InquiryTermsRef terms) {
  const Sha256Digest key = KeyOf(*inquiry.subject, *inquiry.issuer);
  Held* held = answers_.Find(key);
  if (held != nullptr && answer->this_update < held->answer->this_update) return Put::kOlder;
  const bool revoked = answer->status == certs::OcspStatus::kRevoked &&
                       (held == nullptr || held->answer->status != certs::OcspStatus::kRevoked);
  answers_.Put(key, {inquiry, std::move(answer), received, std::move(terms), false});
  return revoked ? Put::kRevoked : Put::kKept;
}

certs::OcspAnswerRef OcspShelf::Of(const certs::Certificate& subject, const certs::Certificate& issuer,
                                   absl::Duration max_age, absl::Time now, bool use) {
  const Sha256Digest key = KeyOf(subject, issuer);
  Held* held = use ? answers_.Find(key) : answers_.Peek(key);
  if (held == nullptr) return nullptr;
  held->used = held->used || use;
  if (held->answer->status != certs::OcspStatus::kRevoked && now >= held->received + max_age) return nullptr;
  return held->answer;
}

bool OcspShelf::Fresh(const certs::Certificate& subject, const certs::Certificate& issuer, absl::Duration max_age,
                      absl::Time now) {
  const Held* held = answers_.Peek(KeyOf(subject, issuer));
  return held != nullptr && now < Until(*held, max_age);
}

void OcspShelf::AppendDue(absl::Time now, size_t most, std::vector<Due>* out) const {
  answers_.ForEach([&](const Sha256Digest&, const Held& held) {
    if (out->size() >= most || held.terms == nullptr || !held.used) return;
    if (now >= RefreshAt(held.received, Until(held, held.terms->max_age))) out->push_back({held.inquiry, held.terms});
  });
}

}  // namespace gatehouse::server
