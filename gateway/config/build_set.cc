#include "gateway/config/build_set.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "gateway/base/openssl.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace gatehouse::config {
namespace {

// Calls f(kind, list) for each list of the set, in order of kind.
template <typename Set, typename F>
void ForEachList(Set&& set, F f) {
  f(v1::LISTENER, set.listeners());
  f(v1::SERVER_CERTIFICATE, set.server_certificates());
  f(v1::TRUST_STORE, set.trust_stores());
  f(v1::SCHEME, set.schemes());
  f(v1::USER_STORE, set.user_stores());
  f(v1::POLICY, set.policies());
  f(v1::UPSTREAM, set.upstreams());
  f(v1::ROUTE, set.routes());
}

// Calls f(kind, list of `from`, list of `to`) likewise.
template <typename F>
void ForEachMutableList(const v1::ConfigSet& from, v1::ConfigSet* to, F f) {
  f(v1::LISTENER, from.listeners(), to->mutable_listeners());
  f(v1::SERVER_CERTIFICATE, from.server_certificates(), to->mutable_server_certificates());
  f(v1::TRUST_STORE, from.trust_stores(), to->mutable_trust_stores());
  f(v1::SCHEME, from.schemes(), to->mutable_schemes());
  f(v1::USER_STORE, from.user_stores(), to->mutable_user_stores());
  f(v1::POLICY, from.policies(), to->mutable_policies());
  f(v1::UPSTREAM, from.upstreams(), to->mutable_upstreams());
  f(v1::ROUTE, from.routes(), to->mutable_routes());
}

// The deterministic serialization of the Resource that holds `message`: its kinds are its field numbers.
void SerializeResource(int kind, const google::protobuf::MessageLite& message, std::string* out) {
  out->clear();
  google::protobuf::io::StringOutputStream stream(out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  coded.WriteTag(static_cast<uint32_t>(kind) << 3 | 2);
  coded.WriteVarint32(static_cast<uint32_t>(message.ByteSizeLong()));
  message.SerializeWithCachedSizes(&coded);
}

using UniqueDigest = std::unique_ptr<EVP_MD_CTX, OpenSslDeleter<EVP_MD_CTX_free>>;

}  // namespace

SetIndex IndexOf(const v1::ConfigSet& set) {
  SetIndex index;
  UniqueDigest total(EVP_MD_CTX_new());
  EVP_DigestInit_ex(total.get(), EVP_sha256(), nullptr);
  std::string bytes;
  ForEachList(set, [&](v1::Kind kind, const auto& list) {
    using Message = std::decay_t<decltype(list[0])>;
    std::vector<const Message*> sorted;
    sorted.reserve(static_cast<size_t>(list.size()));
    for (const Message& message : list) sorted.push_back(&message);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Message* a, const Message* b) { return a->name() < b->name(); });
    for (const Message* message : sorted) {
      SerializeResource(kind, *message, &bytes);
      auto [it, added] = index.resources.try_emplace({kind, message->name()});
      if (!added) continue;
      it->second = Sha256(bytes);
      uint8_t length[8];
      for (size_t i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(bytes.size() >> (56 - 8 * i));
      EVP_DigestUpdate(total.get(), length, sizeof(length));
      EVP_DigestUpdate(total.get(), bytes.data(), bytes.size());
    }
  });
  EVP_DigestFinal_ex(total.get(), index.digest.data(), nullptr);
  return index;
}

SetDifference Difference(const SetIndex& from, const SetIndex& to) {
  SetDifference difference;
  for (const auto& [key, digest] : to.resources) {
    auto it = from.resources.find(key);
    if (it == from.resources.end() || it->second != digest) difference.changed.insert(key);
  }
  for (const auto& [key, digest] : from.resources) {
    if (to.resources.count(key) == 0) difference.removed.insert(key);
  }
  return difference;
}

v1::ConfigSet Pick(const v1::ConfigSet& set, const std::set<ResourceKey>& keys) {
  v1::ConfigSet picked;
  ForEachMutableList(set, &picked, [&](v1::Kind kind, const auto& from, auto* to) {
    for (const auto& message : from) {
      if (keys.count({kind, message.name()}) != 0) *to->Add() = message;
    }
  });
  return picked;
}

absl::StatusOr<v1::ConfigSet> ApplyDelta(v1::ConfigSet base, const v1::Delta& delta) {
  std::set<ResourceKey> gone;
  for (const v1::ResourceId& id : delta.removed()) gone.insert({id.kind(), id.name()});
  ForEachMutableList(delta.changed(), &base, [&](v1::Kind kind, const auto& changed, auto* to) {
    std::set<ResourceKey> out = gone;
    for (const auto& message : changed) out.insert({kind, message.name()});
    to->erase(std::remove_if(to->begin(), to->end(),
                             [&](const auto& message) { return out.count({kind, message.name()}) != 0; }),
              to->end());
    to->MergeFrom(changed);
  });
  if (AsView(IndexOf(base).digest) != delta.digest()) {
    return absl::FailedPreconditionError("delta: the resulting set's digest is not the one announced");
  }
  return base;
}

}  // namespace gatehouse::config
