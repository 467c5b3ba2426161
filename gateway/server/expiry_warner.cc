#include "gateway/server/expiry_warner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"

namespace gatehouse::server {
namespace {

constexpr int kThresholds[] = {1, 7, 30};  // days
constexpr absl::Duration kFirst = absl::Hours(30 * 24);

events::CertificateSummary SummaryOf(const certs::Certificate& c) {
  return {c.sha256(), c.subject(), c.issuer(), c.serial_hex_dotnet(), c.not_after()};
}

}  // namespace

void ExpiryWarner::Check(const config::Snapshot& snapshot, absl::Time now) {
  const auto look = [&](const certs::Certificate& c, std::string where) {
    if (c.not_after() <= now + kFirst) Look({std::move(where), SummaryOf(c)}, snapshot.revision, now);
  };
  for (const certs::TrustStoreRef& store : snapshot.trust_stores) {
    for (const auto& c : store->anchors()) look(*c, absl::StrCat("anchor of trustStores/", store->name()));
    for (const auto& c : store->intermediates()) look(*c, absl::StrCat("intermediate of trustStores/", store->name()));
    for (const certs::Pin& pin : store->pins()) {
      if (pin.not_after > now + kFirst) continue;
      Look({absl::StrCat("pin of trustStores/", store->name()), {pin.digest, pin.subject, "", "", pin.not_after}},
           snapshot.revision, now);
    }
  }
  for (const certs::ServerCredentialRef& credential : snapshot.server_credentials) {
    look(credential->leaf(), absl::StrCat("serverCertificates/", credential->name()));
  }
}

void ExpiryWarner::Client(const certs::Certificate& leaf, absl::string_view scheme, absl::Time now) {
  if (leaf.not_after() > now + kFirst) return;
  Look({absl::StrCat("client certificate, accepted by schemes/", scheme), SummaryOf(leaf)}, 0, now);
}

void ExpiryWarner::Look(const Subject& subject, uint64_t revision, absl::Time now) {
  const absl::Duration left = subject.certificate.not_after - now;
  int threshold = 30;
  for (int days : kThresholds) {
    if (left <= absl::Hours(24 * days)) {
      threshold = days;
      break;
    }
  }
  const Sha256Digest key = Sha256(absl::StrCat(AsView(subject.certificate.sha256), subject.where));
  {
    MutexLock lock(&mutex_);
    if (const int* told = told_.Find(key); told != nullptr && *told <= threshold) return;
    told_.Put(key, threshold);
  }
  const int64_t days = absl::ToInt64Hours(left < absl::ZeroDuration() ? -left : left) / 24;
  events::Event event;
  event.kind = events::EventKind::kExpiry;
  event.outcome = events::Outcome::kNotice;
  events::Facts& facts = event.Own();
  facts.revision = revision;
  facts.peer = events::FactsOf(subject.certificate);
  facts.detail = absl::StrCat(subject.where, left < absl::ZeroDuration() ? absl::StrCat(": expired ", days, " d ago")
                                             : days == 0                 ? std::string(": expires within a day")
                                                                         : absl::StrCat(": expires in ", days, " d"));
  tell_(std::move(event));
}

}  // namespace gatehouse::server
