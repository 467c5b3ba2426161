// Sampler takes every n-th of each of several kinds of things, counting each kind apart: what it takes stands for exactly
// those since the last.
//
// Threading:  thread-compatible; one a worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gatehouse::server {

class Sampler {
 public:
  // Counts one of `kind`, a small number; true for the `one_in`-th, 2 x `one_in`-th …
  bool Take(size_t kind, uint32_t one_in) {
    if (kind >= counts_.size()) counts_.resize(kind + 1);
    if (++counts_[kind] < one_in) return false;
    counts_[kind] = 0;
    return true;
  }

 private:
  std::vector<uint32_t> counts_;
};

}  // namespace gatehouse::server
