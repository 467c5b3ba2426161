// OcspShelf holds OCSP answers that were verified when they came, one a serial number of an authority (certs::StatusIdOf).
//
// Ownership:  shares answers; the least recently used go first, those that revoke in a bound of their own: no number of
//             good ones makes us forget a revocation.
// Threading:  thread-compatible.
// Units:      capacity of either in entries, some kilobytes each.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/base/lru.h"
#include "gateway/certs/revocation.h"
#include "gateway/server/inquiry_terms.h"

namespace gatehouse::server {

class OcspShelf {
 public:
  enum class Put : uint8_t {
    kKept,     // nothing that a verdict would change for
    kRevoked,  // said for the first time
    kOlder,    // refused: what is held is newer
    kForGood,  // refused: it takes back what is held, a revocation that is no hold
  };

  explicit OcspShelf(size_t capacity) : answers_(capacity), revoked_(capacity) {}

  // `strength`: what the signature and its key were held against.
  Put PutAnswer(const certs::Inquiry& inquiry, certs::OcspAnswerRef answer, absl::Time received,
                const certs::Strength& strength, InquiryTermsRef terms);

  // The answer about a certificate: one that revokes at any age, else only while it is younger than `max_age`. `use`
  // marks it as in use.
  certs::OcspAnswerRef Of(const certs::Certificate& subject, const certs::Certificate& issuer, absl::Duration max_age,
                          absl::Time now, bool use);
  // Whether a held answer was found strong enough; what another scheme believes need not be.
  bool IsVerified(const certs::Certificate& subject, const certs::Certificate& issuer, const certs::OcspAnswer& answer,
                  const certs::Strength& strength);
  void SetVerified(const certs::Certificate& subject, const certs::Certificate& issuer, const certs::OcspAnswer& answer,
                   const certs::Strength& strength);
  // Whether nobody of this strength needs to ask again before `max_age` has passed.
  bool Fresh(const certs::Certificate& subject, const certs::Certificate& issuer, const certs::Strength& strength,
             absl::Duration max_age, absl::Time now);

  struct Due {
    certs::Inquiry inquiry;
    InquiryTermsRef terms;
  };
  // Those in use whose time is nearly over, to be asked for again; at most `most`, those first that were handed out longest ago:
  // what cannot be asked for now keeps no other waiting.
  void AppendDue(absl::Time now, size_t most, std::vector<Due>* out);
  size_t size() const { return answers_.size() + revoked_.size(); }

 private:
  struct Held {
    certs::Inquiry inquiry;
    certs::OcspAnswerRef answer;
    absl::Time received;
    InquiryTermsRef terms;
    bool used = false;  // since it came
    mutable uint64_t handed_out = 0;  // the last turn of AppendDue that did; 0: none
    std::vector<certs::Strength> verified;  // few
  };
  using Cache = LruCache<Sha256Digest, Held, DigestHash>;
  static absl::Time Until(const Held& held, absl::Duration max_age);
  // Null: none.
  Held* Find(const Sha256Digest& key, bool use);

  Cache answers_;
  Cache revoked_;
  uint64_t turn_ = 0;
};

}  // namespace gatehouse::server
