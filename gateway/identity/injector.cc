#include <algorithm>
#include <array>
#include <optional>

#include "absl/container/inlined_vector.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/status.h"
#include "gateway/certs/certificate.h"
#include "gateway/identity/claims.h"
#include "gateway/identity/headers.h"

namespace gatehouse::identity {
namespace {

constexpr char kXfcc[] = "x-forwarded-client-cert";
constexpr char kClientCert[] = "client-cert";
constexpr char kClientCertChain[] = "client-cert-chain";
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kLargestCap = 64 * 1024;

// Names that frame, route or authenticate the message: an injected one would change what the
// upstream reads, and the strip list would take it from every client.
constexpr std::array<absl::string_view, 23> kForbidden = {"authorization",
                                                          "connection",
                                                          "content-encoding",
                                                          "content-length",
                                                          "content-type",
                                                          "cookie",
                                                          "date",
                                                          "expect",
                                                          "forwarded",
                                                          "host",
                                                          "keep-alive",
                                                          "proxy-authorization",
                                                          "proxy-connection",
                                                          "te",
                                                          "traceparent",
                                                          "tracestate",
                                                          "trailer",
                                                          "transfer-encoding",
                                                          "upgrade",
                                                          "x-forwarded-for",
                                                          "x-forwarded-host",
                                                          "x-forwarded-proto",
                                                          "x-request-id"};

bool IsToken(absl::string_view name) {
  // RFC 9110 section 5.6.2
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
  });
}

// What every reader of a field value takes as it stands: visible ASCII and inner spaces.
bool IsPlainValue(absl::string_view value) {
  if (!value.empty() && (value.front() == ' ' || value.back() == ' ')) return false;
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string ByteSequence(const certs::Certificate& certificate) {
  return absl::StrCat(":", absl::Base64Escape(certificate.der()), ":");  // RFC 8941 section 3.3.5
}

absl::Status Refused(absl::string_view name, absl::string_view cause) {
  return absl::FailedPreconditionError(absl::StrCat(name, ": ", cause));
}

std::string PercentEncoded(absl::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool end = i == 0 || i + 1 == value.size();
    if (c < 0x20 || c >= 0x7f || c == '%' || c == ',' || (c == ' ' && end)) {
      absl::StrAppend(&out, "%", HexUpper(value.substr(i, 1)));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// `value` itself, or what is put to `memory`.
absl::string_view Encoded(absl::string_view value, ClaimEncoding encoding, std::string* memory) {
  switch (encoding) {
    case ClaimEncoding::kPlain: return value;
    case ClaimEncoding::kPercent: return *memory = PercentEncoded(value);
    case ClaimEncoding::kBase64: return *memory = absl::Base64Escape(value);
  }
  return value;
}

// The values of one claim header, joined, in the identity or in `memory`; nothing when the identity has no such claim.
absl::StatusOr<std::optional<absl::string_view>> ClaimValue(const ClaimHeader& header, ClaimEncoding encoding,
                                                            const Identity& identity, std::string* memory) {
  absl::InlinedVector<absl::string_view, 8> values;
  identity.ForEachClaim([&](const Claim& claim) {
    if (claim.type != header.claim_type) return;
    if (!header.scheme.empty() && claim.scheme != header.scheme) return;
    if (std::find(values.begin(), values.end(), claim.value) == values.end()) {
      values.push_back(claim.value);
    }
  });
  if (values.empty()) return std::optional<absl::string_view>();
  if (values.size() == 1) return std::optional<absl::string_view>(Encoded(values[0], encoding, memory));
  std::string joined;
  for (absl::string_view value : values) {
    const absl::string_view encoded = Encoded(value, encoding, memory);
    if (encoded.empty() || absl::StrContains(encoded, ',')) {
      return Refused(header.header,
                     "one of several claim values is empty or contains a comma, so that the list "
                     "could be misread");
    }
    absl::StrAppend(&joined, joined.empty() ? "" : ", ", encoded);
  }
  *memory = std::move(joined);
  return std::optional<absl::string_view>(*memory);
}

}  // namespace

std::shared_ptr<const Injector> Injector::Create(InjectorOptions options,
                                                 std::vector<HeaderError>* errors) {
  std::vector<HeaderError> found;
  if (options.max_value_bytes == 0 || options.max_value_bytes > kLargestCap) {
    found.push_back({"max_value_bytes", absl::StrCat("must be 1 to ", kLargestCap)});
  }
  std::shared_ptr<Injector> injector(new Injector(std::move(options)));
  auto& names = injector->header_names_;
  if (injector->options_.xfcc) names.push_back(kXfcc);
  if (injector->options_.client_cert) names.push_back(kClientCert);
  if (injector->options_.client_cert_chain) names.push_back(kClientCertChain);
  for (ClaimHeader& claim : injector->options_.claims) {
    const std::string path = absl::StrCat("claims[\"", absl::CHexEscape(claim.header), "\"]");
    claim.header = absl::AsciiStrToLower(claim.header);
    claim.claim_type = std::string(ClaimType(claim.claim_type));
    if (!IsToken(claim.header)) {
      found.push_back({path, "is not a header name (RFC 9110 token)"});
    } else if (claim.header.size() > kMaxNameBytes) {
      found.push_back({path, absl::StrCat("name must be at most ", kMaxNameBytes, " bytes")});
    }
    if (std::find(kForbidden.begin(), kForbidden.end(), claim.header) != kForbidden.end()) {
      found.push_back({path, "frames, routes or authenticates the request; it cannot be injected"});
    }
    // `_` and `-` are one name to many upstreams.
    if (StripList(names).Folds(claim.header)) found.push_back({path, "is named twice"});
    if (claim.claim_type.empty()) found.push_back({path, "claim type is required"});
    names.push_back(claim.header);
  }
  if (!found.empty()) {
    if (errors != nullptr) errors->insert(errors->end(), found.begin(), found.end());
    return nullptr;
  }
  return injector;
}

absl::Status Injector::Put(absl::string_view name, absl::string_view value, Emit emit) const {
  if (value.size() > options_.max_value_bytes) {
    return Refused(name, absl::StrCat("value is over ", options_.max_value_bytes, " bytes"));
  }
  if (!IsPlainValue(value)) {
    return Refused(name, "value has characters that a header cannot carry unchanged");
  }
  emit(name, value);
  return absl::OkStatus();
}

absl::Status Injector::Inject(const Identity& identity, Emit emit) const {
  if (const Part* part = identity.certificate()) {
    if (options_.xfcc) {
      GH_ASSIGN_OR_RETURN(const std::string value, XfccValue(*part, options_.xfcc_fields));
      GH_RETURN_IF_ERROR(Put(kXfcc, value, emit));
    }
    if (options_.client_cert) {
      GH_RETURN_IF_ERROR(Put(kClientCert, ByteSequence(*part->certificate), emit));
    }
    if (options_.client_cert_chain && part->path.size() > 1) {
      std::string chain;  // RFC 9440 section 2.3: a list of byte sequences, without the leaf
      for (size_t i = 1; i < part->path.size(); ++i) {
        absl::StrAppend(&chain, i == 1 ? "" : ", ", ByteSequence(*part->path[i]));
      }
      GH_RETURN_IF_ERROR(Put(kClientCertChain, chain, emit));
    }
  }
  std::string memory;
  for (const ClaimHeader& header : options_.claims) {
    GH_ASSIGN_OR_RETURN(const std::optional<absl::string_view> value,
                        ClaimValue(header, options_.claim_encoding, identity, &memory));
    if (value) GH_RETURN_IF_ERROR(Put(header.header, *value, emit));
  }
  return absl::OkStatus();
}

}  // namespace gatehouse::identity
