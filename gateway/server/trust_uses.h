// TrustUses counts what trust is leaned on: for each trust store, the anchors, intermediates, pins and lists that verdicts
// rest on, how often and when last.
//
// A use is a connection whose certificate a scheme accepted: counted when the connection's first request asks that scheme,
// and again when its verdict is renewed (after a change of the configuration, or when it was no longer fresh, by default
// every 5 minutes). Requests in between cost nothing, so a last use is as exact as a verdict is old.
//
// Ownership:  cells live as long as this.
// Threading:  a Table and the cells from it belong to one worker; Of is for any thread. Only the making of a cell and
//             Of take a lock, one a worker.
// Units:      at most kMaxCells a worker; what comes after is not counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/base/digest.h"
#include "gateway/base/mutex.h"

namespace gatehouse::server {

class TrustUses {
 public:
  static constexpr size_t kMaxCells = 20'000;

  class Cell {
   public:
    // The worker's own: no other writes.
    void Add(absl::Time now) {
      count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      last_.store(absl::ToUnixSeconds(now), std::memory_order_relaxed);
    }

   private:
    friend class TrustUses;
    std::atomic<uint64_t> count_{0};
    std::atomic<int64_t> last_{0};  // seconds
  };

  class Table {
   public:
    // The cell of what has this SHA-256 (of a certificate, a pinned key or a list) in `store`; null: too many.
    Cell* Find(absl::string_view store, const Sha256Digest& what);

   private:
    friend class TrustUses;
    Mutex mutex_;
    std::deque<Cell> cells_ ABSL_GUARDED_BY(mutex_);  // never moves them
    absl::flat_hash_map<std::string, absl::flat_hash_map<Sha256Digest, Cell*, DigestHash>> index_ ABSL_GUARDED_BY(mutex_);
  };

  struct Use {
    Sha256Digest what{};
    uint64_t count = 0;
    absl::Time last;  // whole seconds
  };

  TrustUses(size_t workers, absl::Time since);
  TrustUses(const TrustUses&) = delete;
  TrustUses& operator=(const TrustUses&) = delete;

  Table& worker(size_t index) { return *tables_[index]; }
  // Of returns what was used of `store`, by all workers together, in no order.
  std::vector<Use> Of(absl::string_view store) const;
  absl::Time since() const { return since_; }

 private:
  const absl::Time since_;
  std::vector<std::unique_ptr<Table>> tables_;
};

}  // namespace gatehouse::server
