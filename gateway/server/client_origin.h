// ClientOrigin is where a request comes from when the peer is a proxy that the listener trusts: whom the proxies say they
// speak for, as far back as trusted ones say it (X-Forwarded-For or Forwarded, read from the right).
//
//   client -> 198.51.100.7 -> 10.0.0.2 -> us       trusted: 10.0.0.0/8
//   X-Forwarded-For: 1.1.1.1, 198.51.100.7         the client is 198.51.100.7: nobody trusted said 1.1.1.1
//
// An entry that is no address, "unknown" and hidden names included, ends the list: the one who reported it is the client,
// so that no address is believed that a stranger wrote. Who names different clients in both kinds of fields is refused:
// one of them came from a stranger, and which is not known (decision 40).
//
// Ownership:  a value.
// Threading:  pure.
// Errors:     ReadOrigin: kInvalidArgument with a constant text; the request is malformed.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gateway/base/address_range.h"
#include "gateway/config/snapshot.h"
#include "gateway/events/event.h"
#include "gateway/http/field_list.h"

namespace gatehouse::server {

struct ClientOrigin {
  events::PeerAddress client;
  std::string host;               // of `client`, as text, without port
  std::string key;                // of `client`: credentials::AddressKey
  std::vector<std::string> hops;  // trusted proxies between the client and the peer, in their order
  std::string scheme;             // "http" or "https", as the client spoke to the first of them; empty: not said
  std::string authority;          // that the client asked for; empty: not said
};

bool IsTrustedProxy(absl::Span<const AddressRange> trusted, const events::PeerAddress& peer);

// REQUIRES: IsTrustedProxy(trusted, peer).
absl::StatusOr<ClientOrigin> ReadOrigin(const http::FieldList& fields, absl::Span<const AddressRange> trusted,
                                        const events::PeerAddress& peer);

// Who passed a request on, and as what, is ours to say; what a client claims of it goes. `trusted`: it came from a proxy that is
// believed, whose further fields (X-Forwarded-Prefix and the like) pass.
bool IsForwardedField(absl::string_view name, bool trusted);

// Adds what `kind` asks for. `origin` null: the peer is the client, and asked for `authority` by https.
void AddForwarded(config::Forwarded kind, const ClientOrigin* origin, absl::string_view peer, absl::string_view authority,
                  http::FieldList* out);

}  // namespace gatehouse::server
