// Identity is what was proven about a caller: one part for each scheme that succeeded.
//
// Ownership:  immutable and shared; a part is shared by the identities that contain it.
// Threading:  immutable.
// Errors:     none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace gatehouse::certs {
class Certificate;
}

namespace gatehouse::identity {

struct Claim {
  std::string type;
  std::string value;
  std::string issuer;  // the certificate's issuer name, or the user store's name
  std::string scheme;
  friend bool operator==(const Claim&, const Claim&) = default;
};

enum class PartKind : uint8_t { kCertificate, kBasic };

// Part is what one scheme proved.
struct Part {
  PartKind kind = PartKind::kBasic;
  std::string scheme;
  std::string principal;  // subject, or user name
  std::vector<Claim> claims;
  // kCertificate only: the leaf, and its validated path (leaf first, anchor last; empty when
  // pinned).
  std::shared_ptr<const certs::Certificate> certificate;
  std::vector<std::shared_ptr<const certs::Certificate>> path;
  bool pinned = false;
  bool by_key = false;  // pinned by its key: principal and claims say nothing that its holder wrote into it himself
  bool any_self_signed = false;  // admitted by the development option
};
using PartRef = std::shared_ptr<const Part>;

class Identity;
using IdentityRef = std::shared_ptr<const Identity>;

class Identity {
 public:
  // REQUIRES: no part is null.
  explicit Identity(std::vector<PartRef> parts) : parts_(std::move(parts)) {}

  static IdentityRef Of(Part part);
  // Merge keeps the order of `identities` and of their parts; null entries are skipped.
  static IdentityRef Merge(absl::Span<const IdentityRef> identities);

  absl::Span<const PartRef> parts() const { return parts_; }
  // The first part's; empty for anonymous.
  absl::string_view principal() const;
  absl::string_view scheme() const;
  // The part of the first certificate scheme that succeeded for this request, or null.
  const Part* certificate() const;

  template <typename F>
  void ForEachClaim(F visit) const {
    for (const PartRef& part : parts_) {
      for (const Claim& claim : part->claims) visit(claim);
    }
  }

 private:
  std::vector<PartRef> parts_;
};

}  // namespace gatehouse::identity
