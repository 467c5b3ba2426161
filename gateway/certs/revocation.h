// Where a judgement gets what is known about revocation, and what it would like to be asked.
//
// Judge never fetches. It looks at what a RevocationSource holds; when that does not decide, the verdict is indeterminate
// and carries the inquiries that could. Whoever called asks them (a responder, a distribution point) and judges again.
// An inquiry that was asked in vain, or may not be asked, is closed: without an open one Judge decides by `on_unknown`.
//
// Ownership:  answers are immutable and shared; inquiries share their certificates.
// Threading:  a source is asked on the thread that judges; it must answer from memory.
// Units:      times are wall-clock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/certs/certificate.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/ocsp.h"

namespace gatehouse::certs {

// Of whom an authority speaks: its name and key, and the serial number, as an OCSP CertID says it (RFC 6960 4.1.1). Never the certificate's
// fingerprint: out of an ECDSA signature anybody makes another that is as good, and so another certificate of the same serial number.
Sha256Digest StatusIdOf(const Certificate& subject, const Certificate& issuer);

// Inquiry is one question to one place. Two inquiries with equal keys have the same answer.
struct Inquiry {
  enum class Kind : uint8_t { kOcsp, kCrl };
  Kind kind = Kind::kOcsp;
  std::string url;          // http or https; as the certificate or the scheme's options say
  CertificateRef subject;   // whose status is asked
  CertificateRef issuer;    // of `subject` on the verified path
  bool nonce = true;        // kOcsp: send one

  // Url and issuer's key, that no other authority spoils the place; kOcsp: StatusIdOf, which has that key in it.
  std::string Key() const;
};

struct HeldCrl {
  CrlRef list;
  std::string from;  // for Explain: a URL, a file; empty: not known
  // When it was fetched: `max_age` counts from then. Absent: configuration says it, and only its own times limit it.
  std::optional<absl::Time> received = std::nullopt;
};

class RevocationSource {
 public:
  virtual ~RevocationSource() = default;

  // Every list held (watched or fetched) whose issuer_hash() this is; further ones do no harm. Judge checks signatures
  // and chooses: a source that holds several of one scope gives them all, or the newest whose signature it has checked.
  virtual std::vector<HeldCrl> CrlsOf(uint64_t issuer_hash) const = 0;

  // The newest answer held about `subject`, verified when it came in; null: none.
  virtual OcspAnswerRef OcspOf(const Certificate& subject, const Certificate& issuer) const = 0;

  // Whether asking may still bring something: false once it was asked lately, whatever came of it (else an answer that
  // does not decide is asked for again and again), or where nobody may be asked.
  virtual bool MayAsk(const Inquiry& inquiry) const = 0;
};

}  // namespace gatehouse::certs
