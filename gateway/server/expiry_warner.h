// ExpiryWarner tells, as events, what is about to expire: 30, 7 and 1 days before, each once. Anchors, pins,
// intermediates and server certificates of the configuration, and certificates of clients that were accepted.
//
// What is first seen closer to its end is told of once, under the nearest threshold. A gateway that restarts tells again.
//
// Ownership:  `tell` is called under no lock that the caller may hold.
// Threading:  thread-safe.
// Units:      remembers kMaxRemembered certificates; of more, those told of longest ago may be told of again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/lru.h"
#include "gateway/base/mutex.h"
#include "gateway/certs/certificate.h"
#include "gateway/config/snapshot.h"
#include "gateway/events/event.h"

namespace gatehouse::server {

class ExpiryWarner {
 public:
  static constexpr size_t kMaxRemembered = 16 * 1024;
  using Tell = std::function<void(events::Event)>;

  explicit ExpiryWarner(Tell tell) : tell_(std::move(tell)), told_(kMaxRemembered) {}

  // Check looks at everything that `snapshot` holds.
  void Check(const config::Snapshot& snapshot, absl::Time now);
  // Client looks at the certificate of a client that `scheme` accepted. Cheap when there is time left.
  void Client(const certs::Certificate& leaf, absl::string_view scheme, absl::Time now);

 private:
  // What the event says of the certificate, and what makes it one and the same.
  struct Subject {
    std::string where;  // "anchors of trustStores/partners"
    events::CertificateSummary certificate;
  };
  void Look(const Subject& subject, uint64_t revision, absl::Time now);

  const Tell tell_;
  Mutex mutex_;
  // Days of the threshold told last, by certificate and place.
  LruCache<Sha256Digest, int, DigestHash> told_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::server
