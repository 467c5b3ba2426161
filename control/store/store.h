// Store keeps the configuration: linear revisions, each with who, when and what, none of them ever changed. And the history, which
// besides them has what was written without changing the configuration.
//
//   0 (empty) -> 1 -> 2 -> ... -> head            Commit makes head + 1 from the revision that the caller expected
//                                 `-> entries     Append notes under the head, and makes no revision
//
// Ownership:  a State is shared and immutable.
// Threading:  thread-safe; calls block on a disk: never on a loop or a gRPC thread.
// Units:      wall-clock times.
// Errors:     ABORTED (another revision is the head), NOT_FOUND (revision), RESOURCE_EXHAUSTED (disk full),
//             FAILED_PRECONDITION (read-only, locked, key), DATA_LOSS (not a database, damaged), UNAVAILABLE (I/O).
//             After an error the old revision stands, after a restart too, unless the error says that it may not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gateway/base/secret.h"
#include "gateway/config/build_resource_map.h"
#include "gatehouse/v1/config_service.pb.h"

namespace gatehouse::store {

using config::AddTo;
using config::KeyOf;
using config::ResourceKey;
using config::ResourcesOf;

// The whole configuration at one revision, secrets and all.
struct State {
  uint64_t revision = 0;
  config::ResourceMap resources;
};
using StateRef = std::shared_ptr<const State>;

struct Transaction {
  uint64_t expected_revision = 0;  // the head that this was made from
  std::vector<std::shared_ptr<const v1::Resource>> upserts;
  std::vector<ResourceKey> deletions;
  absl::Time time;
  std::string actor;
  std::string peer;    // where the actor was
  std::string method;  // "ConfigService/Apply"
  std::string message;
  std::string request_id;           // empty: none; a second commit with the same one returns the first's revision
  std::vector<v1::Change> changes;  // for the history; no secrets
};

// A write that changed no configuration, or a call that was refused, for the history. None pushes out one of another kind.
struct Entry {
  enum class Kind : uint8_t {
    kWrite,             // kept: the newest of each method
    kRoutine,           // takes the place of the last one by the same actor and method
    kRefusal,           // of who may call something; takes the place of the account's last one, if it says the same
    kStrangersRefusal,  // of who may call nothing
  };
  bool IsRefusal() const { return kind >= Kind::kRefusal; }

  Kind kind = Kind::kWrite;
  absl::Time time;
  std::string actor;
  std::string peer;
  std::string method;                // "GatewayService/Join"
  std::vector<std::string> effects;  // no secrets
  std::string account;               // of a refusal: whose are counted together
  std::string refusal;               // of a refusal: why
  uint64_t left_out = 0;             // of a refusal: those before it that have no entry
};

struct HistoryQuery {
  // Of an entry of the history; `entry` 0: of the revision itself.
  struct Place {
    uint64_t revision = 0;
    uint64_t entry = 0;
  };
  int limit = 1;
  size_t max_octets = SIZE_MAX;  // ends with the first record, but for the newest, with which there are more
  v1::HistoryRequest::Show show = v1::HistoryRequest::CONFIGURATION;
  std::optional<Place> before;  // only what is older than that; nothing: from the newest
};

class Store {
 public:
  // Entries of one method that are kept: whoever may call one often pushes out no others. And of one kind of refusal.
  static constexpr size_t kMostEntries = 2000;
  // Refusals of one account that are kept.
  static constexpr size_t kMostRefusals = 100;

  virtual ~Store() = default;
  // Random, made with the store: revisions of different incarnations do not compare.
  virtual const std::string& incarnation() const = 0;
  virtual absl::StatusOr<uint64_t> Head() = 0;
  // Load returns the state at `revision`, 0 for the head.
  virtual absl::StatusOr<StateRef> Load(uint64_t revision) = 0;
  // Commit returns the new head, durable.
  virtual absl::StatusOr<uint64_t> Commit(const Transaction& transaction) = 0;
  // KeyFor returns the key, 32 octets, of something that is sealed outside of the store; the same whenever `name` is asked for. It is
  // made at first, and kept as the store's other secrets are: a rotation seals it anew and does not change it.
  virtual absl::StatusOr<Secret> KeyFor(const std::string& name) = 0;
  // RotateKey seals every secret anew under the key that waits to be used, as one transaction: at any crash the old key opens
  // all or the new one does. `progress` (sealed, all) is called now and then, not to call back. Returns the new key's id.
  // FAILED_PRECONDITION: no key waits, or this store seals nothing.
  virtual absl::StatusOr<std::string> RotateKey(const std::function<void(uint64_t, uint64_t)>&) {
    return absl::FailedPreconditionError("this store seals nothing");
  }
  // Append notes entries, durably, all or none, in their order under the head; returns that revision.
  virtual absl::StatusOr<uint64_t> Append(absl::Span<const Entry> entries) = 0;
  absl::StatusOr<uint64_t> Append(const Entry& entry) { return Append(absl::MakeConstSpan(&entry, 1)); }
  // History returns what was written, newest first.
  virtual absl::StatusOr<std::vector<v1::Revision>> History(const HistoryQuery& query) = 0;
};

inline v1::ConfigSet SetOf(const State& state) { return config::SetOf(state.resources); }

}  // namespace gatehouse::store
