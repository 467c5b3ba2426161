#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "gateway/identity/headers.h"

namespace gatehouse::identity {
namespace {

// Lower case; whatever is neither letter nor digit becomes `-`.
char Fold(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c))
             ? absl::ascii_tolower(static_cast<unsigned char>(c))
             : '-';
}

// docs/reference lists the same names. The last three claim no identity: some upstreams take the first two for the path of the
// request, which would then not be the one that was decided on, and CGI makes a proxy for its own requests of the third.
constexpr std::array<absl::string_view, 10> kExact = {
    "x-forwarded-client-cert", "client-cert",    "client-cert-chain", "x-arr-clientcert", "remote-user",
    "x-remote-user",           "x-forwarded-user", "x-original-url",    "x-rewrite-url",    "proxy"};
constexpr std::array<absl::string_view, 5> kPrefixes = {
    "x-auth-", "x-client-cert", "x-ssl-", "ssl-client-", "x-forwarded-tls-client-cert"};
// What the gateway itself reads or writes under these names; many upstreams take every other spelling for the same.
constexpr absl::string_view kForwarded = "x-forwarded-";
constexpr std::array<absl::string_view, 7> kOurs = {"x-real-ip",           "x-request-id",     "content-length", "transfer-encoding",
                                                    "proxy-authorization", "proxy-connection", "keep-alive"};
// No fixed or injected name is longer, so a longer one can only match a prefix.
constexpr size_t kLongest = 64;  // injected_lengths_ has one bit more

// What all of these names and prefixes begin with.
bool MayBeFixed(absl::string_view name) {
  const char first = name.empty() ? '\0' : Fold(name[0]);
  return first == 'x' || first == 'c' || first == 'r' || first == 's' || first == 'p' || first == 't' || first == 'k';
}

bool IsFixed(absl::string_view folded) {
  return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](absl::string_view p) { return absl::StartsWith(folded, p); }) ||
         std::find(kExact.begin(), kExact.end(), folded) != kExact.end();
}

// `name` is not spelled as one of ours is, but is one when folded.
bool IsOursOtherwise(absl::string_view name, absl::string_view folded) {
  return (absl::StartsWith(folded, kForwarded) || std::find(kOurs.begin(), kOurs.end(), folded) != kOurs.end()) &&
         !absl::EqualsIgnoreCase(name.substr(0, folded.size()), folded);
}

}  // namespace

StripList::StripList(absl::Span<const std::string> injected) {
  for (const std::string& name : injected) {
    std::string folded = name;
    std::transform(folded.begin(), folded.end(), folded.begin(), Fold);
    if (folded.size() < injected_lengths_.size()) injected_lengths_.set(folded.size());
    injected_.insert(std::move(folded));
  }
}

bool StripList::Removes(absl::string_view name) const {
  // Most fields of most requests are told by their first letter and their length.
  const bool may_be_fixed = MayBeFixed(name);
  const bool may_be_injected = name.size() <= kLongest && injected_lengths_.test(name.size());
  if (!may_be_fixed && !may_be_injected) return false;
  char buffer[kLongest];
  const size_t n = std::min(name.size(), kLongest);
  std::transform(name.begin(), name.begin() + n, buffer, Fold);
  const absl::string_view folded(buffer, n);
  return (may_be_fixed && (IsFixed(folded) || IsOursOtherwise(name, folded))) || (may_be_injected && injected_.contains(folded));
}

bool StripList::Folds(absl::string_view name) const {
  std::string folded(name);
  std::transform(folded.begin(), folded.end(), folded.begin(), Fold);
  return injected_.contains(folded);
}

}  // namespace gatehouse::identity
