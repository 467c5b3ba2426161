// TicketKeys are the secrets under which session tickets are sealed. Gateways behind one address share them, so that a
// session made by one resumes at another; the control plane makes them, and they are never on a disk.
//
// Ownership:  keys are copied in and wiped when they go.
// Threading:  thread-safe; shared by the workers and by whoever brings new keys.
// Units:      wall-clock times.
// Errors:     none; without a key that may issue, sessions are kept in memory as if there were no tickets.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/mutex.h"

namespace gatehouse::tls {

struct TicketKey {
  static constexpr size_t kNameSize = 16;
  static constexpr size_t kSecretSize = 64;

  std::array<uint8_t, kNameSize> name{};      // random; in clear in every ticket
  std::array<uint8_t, kSecretSize> secret{};  // AES-256 key, then HMAC-SHA-256 key
  absl::Time issue_until;                     // seals new tickets before this
  absl::Time accept_until;                    // opens tickets before this

  TicketKey() = default;
  TicketKey(const TicketKey&) = default;
  TicketKey& operator=(const TicketKey&) = default;
  ~TicketKey();
};
using TicketKeyRef = std::shared_ptr<const TicketKey>;

class TicketKeys {
 public:
  // Set replaces all keys; the first that may issue is the one that does.
  void Set(const std::vector<TicketKey>& keys);
  // The key for new tickets; null when none may issue.
  TicketKeyRef Issuing(absl::Time now) const;
  // The key of this name; null when it is unknown or no longer accepted.
  TicketKeyRef Find(absl::string_view name, absl::Time now) const;

 private:
  mutable Mutex mutex_;
  std::vector<TicketKeyRef> keys_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace gatehouse::tls
