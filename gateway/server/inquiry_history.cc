#include "gateway/server/inquiry_history.h"

#include <algorithm>

#include "gateway/base/digest.h"

namespace gatehouse::server {
namespace {

constexpr absl::Duration kFirst = absl::Seconds(2);
constexpr absl::Duration kLongest = absl::Minutes(1);
constexpr int kHostFailures = 3;

}  // namespace

bool InquiryHistory::Closed(const std::string& key, const std::string& host, absl::Time now) {
  const Failures* inquiry = inquiries_.Find(key);
  if (inquiry != nullptr && BacksOff(*inquiry, now)) return true;
  const Failures* whole = hosts_.Find(host);
  return whole != nullptr && whole->count >= kHostFailures && BacksOff(*whole, now);
}

// Longer than the longest is a clock that was set back.
bool InquiryHistory::BacksOff(const Failures& failures, absl::Time now) {
  return now < failures.until && failures.until - now <= kLongest;
}

void InquiryHistory::Count(Failures* failures, absl::Time now) {
  const absl::Duration whole = std::min(kLongest, kFirst * (1 << std::min(failures->count, 10)));
  const double part = static_cast<unsigned char>(RandomBytes(1)[0]) / 255.0;
  failures->until = now + whole / 2 + whole / 2 * part;
  ++failures->count;
}

void InquiryHistory::Failed(const std::string& key, const std::string& host, bool unreachable, absl::Time now) {
  Failures* inquiry = inquiries_.Find(key);
  Count(inquiry != nullptr ? inquiry : &inquiries_.Put(key, {}), now);
  if (!unreachable) {
    hosts_.Erase(host);  // whoever says something is there
    return;
  }
  Failures* whole = hosts_.Find(host);
  // Many that ran at once and failed at once are one failure.
  if (whole != nullptr && whole->count >= kHostFailures && BacksOff(*whole, now)) return;
  Count(whole != nullptr ? whole : &hosts_.Put(host, {}), now);
}

void InquiryHistory::Succeeded(const std::string& key, const std::string& host) {
  inquiries_.Erase(key);
  hosts_.Erase(host);
}

}  // namespace gatehouse::server
