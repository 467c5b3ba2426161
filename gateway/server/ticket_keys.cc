#include "gateway/server/ticket_keys.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

constexpr int kMaxKeys = 16;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace

absl::StatusOr<std::vector<tls::TicketKey>> TicketKeysOf(const v1::TicketKeys& message) {
  if (message.keys().empty() || message.keys_size() > kMaxKeys) {
    return absl::InvalidArgumentError(absl::StrCat("keys: must be 1 to ", kMaxKeys));
  }
  std::vector<tls::TicketKey> keys;
  for (int i = 0; i < message.keys_size(); ++i) {
    const v1::TicketKey& from = message.keys(i);
    tls::TicketKey& key = keys.emplace_back();
    const auto bad = [i](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("keys[", i, "].", what));
    };
    if (from.name().size() != key.name.size()) return bad("name: must be 16 octets");
    if (from.secret().size() != key.secret.size()) return bad("secret: must be 64 octets");
    std::copy(from.name().begin(), from.name().end(), key.name.begin());
    std::copy(from.secret().begin(), from.secret().end(), key.secret.begin());
    key.issue_until = TimeOf(from.issue_until());
    key.accept_until = TimeOf(from.accept_until());
    if (key.accept_until < key.issue_until) return bad("accept_until: is before issue_until");
  }
  return keys;
}

}  // namespace gatehouse::server
