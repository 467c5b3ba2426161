#include "control/api/rollback.h"

#include <set>

namespace gatehouse::api {
namespace {

using store::ResourceKey;

bool IsTrust(int kind) { return kind == v1::TRUST_STORE || kind == v1::SCHEME; }

// The private key that the resource holds; empty: none.
const std::string& StoredKey(const v1::Resource* resource) {
  if (resource == nullptr) return v1::Resource::default_instance().server_certificate().private_key_pem();
  return resource->has_scheme() ? resource->scheme().basic().validator().tls().private_key_pem()
                                : resource->server_certificate().private_key_pem();
}

// Why the resource stays as it is now; null when it does not. Either may be null, not both.
const char* WhyKept(const ResourceKey& key, const v1::Resource* before, const v1::Resource* now, bool restore_trust) {
  if (key.first == v1::BINDING) return "stays as it is now: a rollback restores no binding";
  if (key.first == v1::USER_STORE) return "stays as it is now: a rollback restores no user";
  if (IsTrust(key.first) && !restore_trust) return "stays as it is now: trust comes back only with restore_trust";
  if (StoredKey(before) != StoredKey(now)) {
    return now == nullptr ? "stays away: a rollback restores no private key" : "stays as it is now: a rollback restores no private key";
  }
  return nullptr;
}

}  // namespace

void EditRollback(const store::State& then, bool restore_trust, Draft& draft, std::vector<v1::Violation>* kept) {
  std::set<ResourceKey> keys;
  for (const auto& [key, resource] : then.resources) keys.insert(key);
  for (const auto& [key, resource] : draft.resources()) keys.insert(key);
  for (const ResourceKey& key : keys) {
    const auto it = then.resources.find(key);
    const v1::Resource* before = it == then.resources.end() ? nullptr : it->second.get();
    const v1::Resource* now = draft.Find(key);
    if (before != nullptr && now != nullptr && config::SameResource(*before, *now)) continue;
    if (const char* why = WhyKept(key, before, now, restore_trust)) {
      v1::Violation& entry = kept->emplace_back();
      entry.set_path(validate::PathOf(static_cast<v1::Kind>(key.first), key.second));
      entry.set_message(why);
    } else if (before == nullptr) {
      draft.Remove(key);
    } else {
      draft.Put(*before);
    }
  }
}

}  // namespace gatehouse::api
