#include "gateway/config/build_resource_map.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "gateway/base/mutex.h"
#include "gateway/base/openssl.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace gatehouse::config {
namespace {

using UniqueDigest = std::unique_ptr<EVP_MD_CTX, OpenSslDeleter<EVP_MD_CTX_free>>;

// One key in 128 does.
bool BeginsChunk(const ResourceKey& key) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a, then mixed
  const auto add = [&hash](unsigned char octet) { hash = (hash ^ octet) * 0x100000001B3u; };
  add(static_cast<unsigned char>(key.first));
  for (char c : key.second) add(static_cast<unsigned char>(c));
  hash ^= hash >> 31;
  hash *= 0x9E3779B97F4A7C15u;
  return hash >> 57 == 0;
}

// A resource around what `Mutable` gives.
template <typename List, typename Mutable>
void MoveAll(List* list, Mutable mutable_of, ResourceMap* map) {
  for (auto& message : *list) {
    auto resource = std::make_shared<v1::Resource>();
    *mutable_of(*resource) = std::move(message);
    ResourceRef& slot = (*map)[KeyOf(*resource)];
    if (slot == nullptr) slot = std::move(resource);
  }
}

}  // namespace

struct ResourceMap::Chunk {
  std::vector<value_type> items;

  Sha256Digest Digest() {
    MutexLock lock(&mutex);
    if (!digest) {
      UniqueDigest total(EVP_MD_CTX_new());
      EVP_DigestInit_ex(total.get(), EVP_sha256(), nullptr);
      for (const auto& [key, resource] : items) {
        const std::string bytes = CanonicalBytes(*resource);
        uint8_t length[8];
        for (size_t i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(bytes.size() >> (56 - 8 * i));
        EVP_DigestUpdate(total.get(), length, sizeof(length));
        EVP_DigestUpdate(total.get(), bytes.data(), bytes.size());
      }
      EVP_DigestFinal_ex(total.get(), digest.emplace().data(), nullptr);
    }
    return *digest;
  }
  void Touch() {
    MutexLock lock(&mutex);
    digest.reset();
  }
  size_t LowerBound(const ResourceKey& key) const {
    return static_cast<size_t>(std::lower_bound(items.begin(), items.end(), key,
                                                [](const value_type& v, const ResourceKey& k) { return v.first < k; }) -
                               items.begin());
  }

  Mutex mutex;
  std::optional<Sha256Digest> digest ABSL_GUARDED_BY(mutex);  // of `items`, once somebody asked
};

ResourceMap::const_iterator::reference ResourceMap::const_iterator::operator*() const {
  return (*chunks_)[chunk_]->items[at_];
}

ResourceMap::const_iterator& ResourceMap::const_iterator::operator++() {
  if (++at_ == (*chunks_)[chunk_]->items.size()) NextChunk();
  return *this;
}

ResourceMap::const_iterator& ResourceMap::const_iterator::operator--() {
  if (at_ == 0) at_ = (*chunks_)[--chunk_]->items.size();
  --at_;
  return *this;
}

bool ResourceMap::const_iterator::Shares(const const_iterator& other) const {
  return !AtEnd() && !other.AtEnd() && at_ == other.at_ && (*chunks_)[chunk_] == (*other.chunks_)[other.chunk_];
}

ResourceMap::ResourceMap(v1::ConfigSet set) {
  MoveAll(set.mutable_listeners(), [](v1::Resource& r) { return r.mutable_listener(); }, this);
  MoveAll(set.mutable_server_certificates(), [](v1::Resource& r) { return r.mutable_server_certificate(); }, this);
  MoveAll(set.mutable_trust_stores(), [](v1::Resource& r) { return r.mutable_trust_store(); }, this);
  MoveAll(set.mutable_schemes(), [](v1::Resource& r) { return r.mutable_scheme(); }, this);
  MoveAll(set.mutable_user_stores(), [](v1::Resource& r) { return r.mutable_user_store(); }, this);
  MoveAll(set.mutable_policies(), [](v1::Resource& r) { return r.mutable_policy(); }, this);
  MoveAll(set.mutable_upstreams(), [](v1::Resource& r) { return r.mutable_upstream(); }, this);
  MoveAll(set.mutable_routes(), [](v1::Resource& r) { return r.mutable_route(); }, this);
  MoveAll(set.mutable_bindings(), [](v1::Resource& r) { return r.mutable_binding(); }, this);
}

ResourceMap::const_iterator ResourceMap::begin() const { return {&chunks_, 0, 0}; }
ResourceMap::const_iterator ResourceMap::end() const { return {&chunks_, chunks_.size(), 0}; }

size_t ResourceMap::ChunkOf(const ResourceKey& key) const {
  auto after = std::upper_bound(chunks_.begin(), chunks_.end(), key, [](const ResourceKey& k, const auto& chunk) {
    return k < chunk->items.front().first;
  });
  return after == chunks_.begin() ? 0 : static_cast<size_t>(after - chunks_.begin()) - 1;
}

ResourceMap::const_iterator ResourceMap::lower_bound(const ResourceKey& key) const {
  if (chunks_.empty()) return end();
  const size_t chunk = ChunkOf(key);
  const size_t at = chunks_[chunk]->LowerBound(key);
  if (at == chunks_[chunk]->items.size()) return {&chunks_, chunk + 1, 0};
  return {&chunks_, chunk, at};
}

ResourceMap::const_iterator ResourceMap::upper_bound(const ResourceKey& key) const {
  const_iterator it = lower_bound(key);
  return it != end() && it->first == key ? ++it : it;
}

ResourceMap::const_iterator ResourceMap::find(const ResourceKey& key) const {
  const const_iterator it = lower_bound(key);
  return it != end() && it->first == key ? it : end();
}

size_t ResourceMap::count(const ResourceKey& key) const { return find(key) == end() ? 0 : 1; }
const ResourceRef& ResourceMap::at(const ResourceKey& key) const { return find(key)->second; }

ResourceMap::Chunk& ResourceMap::Own(size_t chunk) {
  std::shared_ptr<Chunk>& own = chunks_[chunk];
  if (own.use_count() > 1) {
    auto copy = std::make_shared<Chunk>();
    copy->items = own->items;
    own = std::move(copy);
  } else {
    // Who gave it up read it before: dropping a reference of our own orders that before what we write.
    std::shared_ptr<Chunk>(own).reset();
  }
  own->Touch();
  return *own;
}

ResourceRef& ResourceMap::operator[](const ResourceKey& key) {
  if (chunks_.empty()) chunks_.push_back(std::make_shared<Chunk>());
  const size_t index = chunks_[0]->items.empty() ? 0 : ChunkOf(key);
  Chunk& chunk = Own(index);
  const size_t at = chunk.LowerBound(key);
  auto place = chunk.items.begin() + static_cast<std::ptrdiff_t>(at);
  if (place != chunk.items.end() && place->first == key) return place->second;
  ++size_;
  if (at == 0 || !BeginsChunk(key)) {
    // In front of all: the second chunk begins where this one did, if that is where one begins.
    if (at == 0 && !chunk.items.empty() && BeginsChunk(chunk.items.front().first)) {
      auto first = std::make_shared<Chunk>();
      first->items.emplace_back(key, nullptr);
      return (*chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(index), std::move(first)))->items[0].second;
    }
    return chunk.items.emplace(place, key, nullptr)->second;
  }
  auto rest = std::make_shared<Chunk>();
  rest->items.emplace_back(key, nullptr);
  rest->items.insert(rest->items.end(), std::make_move_iterator(place), std::make_move_iterator(chunk.items.end()));
  chunk.items.erase(place, chunk.items.end());
  return (*chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(index) + 1, std::move(rest)))->items[0].second;
}

void ResourceMap::erase(const ResourceKey& key) {
  if (count(key) == 0) return;
  --size_;
  const size_t index = ChunkOf(key);
  Chunk& chunk = Own(index);
  const size_t at = chunk.LowerBound(key);
  chunk.items.erase(chunk.items.begin() + static_cast<std::ptrdiff_t>(at));
  // What a key began, and began no more, belongs to the chunk before.
  if (at == 0 && index > 0 && !chunk.items.empty() && !BeginsChunk(chunk.items.front().first)) {
    std::vector<value_type> rest = std::move(chunk.items);
    chunk.items.clear();
    Chunk& before = Own(index - 1);
    before.items.insert(before.items.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
  }
  if (chunks_[index]->items.empty()) chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(index));
}

void ResourceMap::clear() {
  chunks_.clear();
  size_ = 0;
}

Sha256Digest ResourceMap::digest() const {
  std::string digests;
  digests.reserve(chunks_.size() * sizeof(Sha256Digest));
  for (const std::shared_ptr<Chunk>& chunk : chunks_) {
    const Sha256Digest digest = chunk->Digest();
    digests.append(AsView(digest).data(), digest.size());
  }
  return Sha256(digests);
}

void ResourceMap::Compare(const ResourceMap& from, const ResourceMap& to, OnDifference f) {
  const_iterator a = from.begin(), b = to.begin();
  while (!a.AtEnd() || !b.AtEnd()) {
    if (a.Shares(b)) {
      a.NextChunk();
      b.NextChunk();
    } else if (b.AtEnd() || (!a.AtEnd() && a->first < b->first)) {
      f(a->first, &a->second, nullptr);
      ++a;
    } else if (a.AtEnd() || b->first < a->first) {
      f(b->first, nullptr, &b->second);
      ++b;
    } else {
      if (a->second != b->second && !SameResource(*a->second, *b->second)) f(a->first, &a->second, &b->second);
      ++a;
      ++b;
    }
  }
}

bool ResourceMap::SameKind(const ResourceMap& a, const ResourceMap& b, int kind) {
  const_iterator i = a.lower_bound({kind, ""}), j = b.lower_bound({kind, ""});
  const auto over = [kind](const const_iterator& it) { return it.AtEnd() || it->first.first != kind; };
  while (!over(i) && !over(j)) {
    if (i.Shares(j)) {
      i.NextChunk();
      j.NextChunk();
    } else {
      if (i->first != j->first || (i->second != j->second && !SameResource(*i->second, *j->second))) return false;
      ++i;
      ++j;
    }
  }
  return over(i) && over(j);
}

std::string CanonicalBytes(const v1::Resource& resource) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  resource.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

bool SameResource(const v1::Resource& a, const v1::Resource& b) {
  if (a.ByteSizeLong() != b.ByteSizeLong()) return false;
  return CanonicalBytes(a) == CanonicalBytes(b);
}

ResourceKey KeyOf(const v1::Resource& resource) {
  switch (resource.kind_case()) {
    case v1::Resource::kListener: return {v1::LISTENER, resource.listener().name()};
    case v1::Resource::kServerCertificate: return {v1::SERVER_CERTIFICATE, resource.server_certificate().name()};
    case v1::Resource::kTrustStore: return {v1::TRUST_STORE, resource.trust_store().name()};
    case v1::Resource::kScheme: return {v1::SCHEME, resource.scheme().name()};
    case v1::Resource::kUserStore: return {v1::USER_STORE, resource.user_store().name()};
    case v1::Resource::kPolicy: return {v1::POLICY, resource.policy().name()};
    case v1::Resource::kUpstream: return {v1::UPSTREAM, resource.upstream().name()};
    case v1::Resource::kRoute: return {v1::ROUTE, resource.route().name()};
    case v1::Resource::kBinding: return {v1::BINDING, resource.binding().name()};
    case v1::Resource::KIND_NOT_SET: break;
  }
  return {0, ""};
}

void AddTo(const v1::Resource& resource, v1::ConfigSet* set) {
  switch (resource.kind_case()) {
    case v1::Resource::kListener: *set->add_listeners() = resource.listener(); break;
    case v1::Resource::kServerCertificate: *set->add_server_certificates() = resource.server_certificate(); break;
    case v1::Resource::kTrustStore: *set->add_trust_stores() = resource.trust_store(); break;
    case v1::Resource::kScheme: *set->add_schemes() = resource.scheme(); break;
    case v1::Resource::kUserStore: *set->add_user_stores() = resource.user_store(); break;
    case v1::Resource::kPolicy: *set->add_policies() = resource.policy(); break;
    case v1::Resource::kUpstream: *set->add_upstreams() = resource.upstream(); break;
    case v1::Resource::kRoute: *set->add_routes() = resource.route(); break;
    case v1::Resource::kBinding: *set->add_bindings() = resource.binding(); break;
    case v1::Resource::KIND_NOT_SET: break;
  }
}

v1::ConfigSet SetOf(const ResourceMap& resources) {
  v1::ConfigSet set;
  for (const auto& [key, resource] : resources) AddTo(*resource, &set);
  return set;
}

// The kinds of Resource have the numbers of ConfigSet's lists: the one's serialization is a piece of the other's.
std::string WireOf(const ResourceMap& resources) {
  size_t size = 0;
  for (const auto& [key, resource] : resources) size += resource->ByteSizeLong();
  std::string wire;
  wire.reserve(size);
  for (const auto& [key, resource] : resources) resource->AppendToString(&wire);
  return wire;
}

std::vector<v1::Resource> ResourcesOf(const v1::ConfigSet& set) {
  std::vector<v1::Resource> all;
  for (const auto& m : set.listeners()) *all.emplace_back().mutable_listener() = m;
  for (const auto& m : set.server_certificates()) *all.emplace_back().mutable_server_certificate() = m;
  for (const auto& m : set.trust_stores()) *all.emplace_back().mutable_trust_store() = m;
  for (const auto& m : set.schemes()) *all.emplace_back().mutable_scheme() = m;
  for (const auto& m : set.user_stores()) *all.emplace_back().mutable_user_store() = m;
  for (const auto& m : set.policies()) *all.emplace_back().mutable_policy() = m;
  for (const auto& m : set.upstreams()) *all.emplace_back().mutable_upstream() = m;
  for (const auto& m : set.routes()) *all.emplace_back().mutable_route() = m;
  for (const auto& m : set.bindings()) *all.emplace_back().mutable_binding() = m;
  return all;
}

}  // namespace gatehouse::config
