// ResourceMap is a configuration as a value: resources in order of kind and name. A copy shares what it holds, a change copies a
// few hundred entries and no more, and the canonical digest and the difference of two maps cost what differs: so that one
// changed trust store among 100,000 routes costs one trust store, from the API to the gateway.
//
//   chunk   chunk   chunk             Entries lie in chunks, each of which begins at a key that BeginsChunk picks by its hash, so
//   [a b c] [d e]   [f g h i]         that equal maps have equal chunks, whatever way they were made.
//
// The digest is SHA-256 over the digests of the chunks; a chunk's is SHA-256 over its resources' deterministic serializations, each
// preceded by its length as eight octets, big-endian.
//
// Ownership:  copies share chunks and resources, which never change while they are shared.
// Threading:  as a standard container; copies may be used, and their digests asked for, by different threads.
// Units:      a copy costs one reference a chunk (128 entries on average), a change a copy of one chunk.
// Errors:     none.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "gateway/base/digest.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::config {

// Kind and name.
using ResourceKey = std::pair<int, std::string>;
using ResourceRef = std::shared_ptr<const v1::Resource>;

// Kind and name of a resource; {0, ""} when it holds none.
ResourceKey KeyOf(const v1::Resource& resource);

class ResourceMap {
 public:
  using value_type = std::pair<ResourceKey, ResourceRef>;
  class const_iterator;

  ResourceMap() = default;
  // Of several resources with one kind and name only the first counts.
  explicit ResourceMap(v1::ConfigSet set);

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  const_iterator begin() const;
  const_iterator end() const;
  const_iterator find(const ResourceKey& key) const;
  const_iterator lower_bound(const ResourceKey& key) const;
  const_iterator upper_bound(const ResourceKey& key) const;
  size_t count(const ResourceKey& key) const;
  // REQUIRES: the key is there.
  const ResourceRef& at(const ResourceKey& key) const;

  // The reference is good until the next call of a method; what it refers to is null when the key was not there.
  ResourceRef& operator[](const ResourceKey& key);
  void erase(const ResourceKey& key);
  void clear();

  Sha256Digest digest() const;

  // Calls f(key, resource in from, resource in to) for every difference, in order; null where there is none.
  using OnDifference = absl::FunctionRef<void(const ResourceKey& key, const ResourceRef* from, const ResourceRef* to)>;
  static void Compare(const ResourceMap& from, const ResourceMap& to, OnDifference f);
  // Whether both hold the same resources of one kind.
  static bool SameKind(const ResourceMap& a, const ResourceMap& b, int kind);

 private:
  struct Chunk;
  using Chunks = std::vector<std::shared_ptr<Chunk>>;
  // The chunk that the key is or would be in; 0 in an empty map.
  size_t ChunkOf(const ResourceKey& key) const;
  // The chunk, ours alone.
  Chunk& Own(size_t chunk);

  Chunks chunks_;
  size_t size_ = 0;
};

class ResourceMap::const_iterator {
 public:
  using iterator_category = std::bidirectional_iterator_tag;
  using value_type = ResourceMap::value_type;
  using difference_type = std::ptrdiff_t;
  using pointer = const value_type*;
  using reference = const value_type&;

  const_iterator() = default;
  reference operator*() const;
  pointer operator->() const { return &**this; }
  const_iterator& operator++();
  const_iterator& operator--();
  const_iterator operator++(int) { return std::exchange(*this, std::next(*this)); }
  const_iterator operator--(int) { return std::exchange(*this, std::prev(*this)); }
  friend bool operator==(const const_iterator& a, const const_iterator& b) {
    return a.chunk_ == b.chunk_ && a.at_ == b.at_;
  }

 private:
  friend class ResourceMap;
  const_iterator(const Chunks* chunks, size_t chunk, size_t at) : chunks_(chunks), chunk_(chunk), at_(at) {}
  bool AtEnd() const { return chunk_ == chunks_->size(); }
  // From here on both read the same memory.
  bool Shares(const const_iterator& other) const;
  void NextChunk() {
    ++chunk_;
    at_ = 0;
  }

  const Chunks* chunks_ = nullptr;
  size_t chunk_ = 0;
  size_t at_ = 0;
};

// The deterministic serialization, which digests are made of.
std::string CanonicalBytes(const v1::Resource& resource);
// Whether the two are equal, octet by octet of that.
bool SameResource(const v1::Resource& a, const v1::Resource& b);

// The map as a ConfigSet, and as a ConfigSet's serialization, which needs no copy.
v1::ConfigSet SetOf(const ResourceMap& resources);
std::string WireOf(const ResourceMap& resources);
void AddTo(const v1::Resource& resource, v1::ConfigSet* set);
std::vector<v1::Resource> ResourcesOf(const v1::ConfigSet& set);

}  // namespace gatehouse::config
