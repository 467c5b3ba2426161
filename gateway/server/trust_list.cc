#include "gateway/server/trust_list.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/config/suggest.h"

namespace gatehouse::server {
namespace {

constexpr int kMaxEntries = 10'000;

std::string Utf8(absl::string_view text) { return IsValidUtf8(text) ? std::string(text) : EscapeText(text); }

// Entries of one store in the making.
class Listing {
 public:
  Listing(const std::vector<TrustUses::Use>& uses, v1::ListTrustResponse* out) : out_(*out) {
    for (const TrustUses::Use& use : uses) uses_.emplace(use.what, &use);
  }

  // Null when there are too many already, which the response then counts.
  v1::TrustEntry* Add(v1::TrustEntry::Role role, const Sha256Digest& digest) {
    if (out_.entries_size() >= kMaxEntries) {
      out_.set_left_out(out_.left_out() + 1);
      return nullptr;
    }
    v1::TrustEntry* entry = out_.add_entries();
    entry->set_role(role);
    entry->set_sha256(HexLower(AsView(digest)));
    if (auto use = uses_.find(digest); use != uses_.end()) {
      entry->set_uses(use->second->count);
      entry->mutable_last_use()->set_seconds(absl::ToUnixSeconds(use->second->last));
    }
    return entry;
  }
  void AddAll(v1::TrustEntry::Role role, const std::vector<certs::CertificateRef>& certificates) {
    for (const certs::CertificateRef& certificate : certificates) {
      if (v1::TrustEntry* entry = Add(role, certificate->sha256())) {
        Describe(*certificate, entry->mutable_certificate());
      }
    }
  }

 private:
  v1::ListTrustResponse& out_;
  absl::flat_hash_map<Sha256Digest, const TrustUses::Use*, DigestHash> uses_;
};

}  // namespace

void Describe(const certs::Certificate& certificate, v1::CertificateFacts* out) {
  out->set_subject(Utf8(certificate.subject()));
  out->set_issuer(Utf8(certificate.issuer()));
  out->set_sha256(HexLower(AsView(certificate.sha256())));
  out->set_serial(certificate.serial_hex_dotnet());
  out->mutable_not_after()->set_seconds(absl::ToUnixSeconds(certificate.not_after()));
}

absl::StatusOr<v1::ListTrustResponse> ListTrust(const config::Snapshot& snapshot, const v1::ListTrustRequest& request,
                                                const TrustUses& uses) {
  const certs::TrustStore* store = nullptr;
  std::vector<absl::string_view> names;
  for (const certs::TrustStoreRef& one : snapshot.trust_stores) {
    names.push_back(one->name());
    if (one->name() == request.trust_store()) store = one.get();
  }
  if (store == nullptr) {
    return absl::NotFoundError(absl::StrCat("trust_store: there is no \"", EscapeText(request.trust_store()), "\"",
                                            config::DidYouMean(request.trust_store(), names)));
  }
  v1::ListTrustResponse response;
  response.set_revision(snapshot.revision);
  const std::vector<TrustUses::Use> used = uses.Of(store->name());
  Listing listing(used, &response);
  listing.AddAll(v1::TrustEntry::ANCHOR, store->anchors());
  listing.AddAll(v1::TrustEntry::INTERMEDIATE, store->intermediates());
  for (const certs::Pin& pin : store->pins()) {
    const bool key = pin.kind == certs::Pin::Kind::kSpki;
    v1::TrustEntry* entry = listing.Add(key ? v1::TrustEntry::PINNED_KEY : v1::TrustEntry::PIN, pin.digest);
    if (entry == nullptr || pin.subject.empty()) continue;
    entry->mutable_certificate()->set_subject(Utf8(pin.subject));
    entry->mutable_certificate()->set_sha256(entry->sha256());
    entry->mutable_certificate()->mutable_not_after()->set_seconds(absl::ToUnixSeconds(pin.not_after));
  }
  for (const certs::CrlRef& crl : store->crls()) {
    v1::TrustEntry* entry = listing.Add(v1::TrustEntry::CRL, crl->sha256());
    if (entry == nullptr) continue;
    v1::ListFacts* list = entry->mutable_list();
    list->set_issuer(Utf8(crl->issuer()));
    list->mutable_this_update()->set_seconds(absl::ToUnixSeconds(crl->this_update()));
    if (crl->next_update().has_value()) {
      list->mutable_next_update()->set_seconds(absl::ToUnixSeconds(*crl->next_update()));
    }
    list->set_entries(crl->size());
  }
  v1::GatewayUse* gateway = response.add_gateways();
  gateway->mutable_since()->set_seconds(absl::ToUnixSeconds(uses.since()));
  return response;
}

}  // namespace gatehouse::server
