// Identity headers: which fields of a client's request are removed (StripList), and which verified
// facts are put into the request to the upstream (Injector).
//
// Ownership:  both are immutable after construction; Injector is shared.
// Threading:  immutable.
// Units:      sizes in octets of one field value.
// Errors:     Inject refuses (kFailedPrecondition, naming field and cause), never truncates; the
// reason of the event is
//             IDENTITY_NOT_ENCODABLE. The caller must drop the request, fields already emitted
//             included.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gateway/identity/identity.h"

namespace gatehouse::identity {

// StripList is the set of field names that no client may send: the fixed names of docs/reference
// and every name that any route of the snapshot injects. Names are compared without case, and every
// character that is not a letter or digit counts as `-` (CGI and its heirs fold them). So are other
// spellings of what the gateway itself says or reads: `X_Forwarded_For`, `Content_Length`.
class StripList {
 public:
  StripList() = default;
  explicit StripList(absl::Span<const std::string> injected);

  // Removes says whether the field `name` (of headers or trailers) must go.
  bool Removes(absl::string_view name) const;
  // Folds says whether `name` is one of the injected names, the fixed ones apart.
  bool Folds(absl::string_view name) const;

 private:
  absl::flat_hash_set<std::string> injected_;  // folded
  std::bitset<65> injected_lengths_;
};

struct XfccFields {
  bool hash = true;
  bool subject = true;
  bool uri = true;
  bool dns = true;
  bool cert = false;
  bool chain = false;
};

struct ClaimHeader {
  std::string header;
  std::string claim_type;  // short words are understood
  std::string scheme;      // empty: of any scheme
};

// How claims are written: as they are, where they can be carried; every octet but visible ASCII, `%`, `,` and spaces at
// either end as %XX; or each value in base64. The last two carry any value and keep several apart.
enum class ClaimEncoding : uint8_t { kPlain, kPercent, kBase64 };

struct InjectorOptions {
  bool xfcc = false;
  XfccFields xfcc_fields;
  bool client_cert = false;        // RFC 9440
  bool client_cert_chain = false;  // RFC 9440: the validated path without the leaf
  std::vector<ClaimHeader> claims;
  ClaimEncoding claim_encoding = ClaimEncoding::kPlain;
  size_t max_value_bytes = 16 * 1024;
};

struct HeaderError {
  std::string path;  // `claims["X-User"]`, `max_value_bytes`
  std::string message;
};

// Injector writes the identity headers of one route, with lower-case names. A claim that the
// identity does not have leaves its header out; several values are joined by ", " and then none may
// be empty or, unencoded, contain a comma. Certificate headers are written only if a certificate scheme succeeded for this
// request.
class Injector {
 public:
  using Emit = absl::FunctionRef<void(absl::string_view name, absl::string_view value)>;

  // Create returns null and appends to `errors` when a header name is no token, is one that frames
  // or routes the request (Host, Content-Length, Connection, …), begins with `:`, is over 64 octets
  // or is named twice.
  static std::shared_ptr<const Injector> Create(InjectorOptions options,
                                                std::vector<HeaderError>* errors);

  absl::Status Inject(const Identity& identity, Emit emit) const;

  // Lower-case names of everything this may emit, for StripList.
  const std::vector<std::string>& header_names() const { return header_names_; }

 private:
  explicit Injector(InjectorOptions options) : options_(std::move(options)) {}
  absl::Status Put(absl::string_view name, absl::string_view value, Emit emit) const;

  InjectorOptions options_;
  std::vector<std::string> header_names_;
};

// XfccValue is the X-Forwarded-Client-Cert element for `part`, in Envoy's syntax; characters that
// RFC 4514 escapes in names, and all non-ASCII ones, are written as `\HH`, so that no reader can
// mistake where a quoted value ends.
absl::StatusOr<std::string> XfccValue(const Part& part, const XfccFields& fields);

}  // namespace gatehouse::identity
