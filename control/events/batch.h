// Batch is a run of events as they travel and are kept: in wire form, made once. Each event is preceded by
// WatchResponse's tag and its length, so that pieces put together are a WatchResponse.
//
// Threading: a value; shared as a const one.
// Units:     times in microseconds of Unix time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gatehouse/v1/event.pb.h"

namespace gatehouse::hub {

// What the hub itself wants to know of an event; text points into the wire form.
struct Facts {
  int type = 0;
  int outcome = 0;
  int reason = 0;
  uint32_t sampled = 0;
  int64_t micros = 0;  // 0: it has no time
  absl::string_view gateway;
  absl::string_view route;
  absl::InlinedVector<absl::string_view, 4> schemes;

  void Clear() {
    type = outcome = reason = 0;
    sampled = 0;
    micros = 0;
    gateway = route = {};
    schemes.clear();
  }
};

// ReadFacts looks at the wire form of one v1.Event, without what precedes it, and makes no message of it: this runs once
// an event. False when it is not well-formed.
bool ReadFacts(absl::string_view event, Facts* out);

struct Batch {
  uint64_t first = 0;  // sequence of the first
  std::string wire;
  std::vector<uint32_t> ends;  // of each event in `wire`
  int64_t min_micros = INT64_MAX;
  int64_t max_micros = INT64_MIN;
  uint32_t types = 0;  // TypeBit of each, and kLostBit
  // Of a gateway's report: what must not be taken again once this is kept. Empty: no report.
  std::string run;
  uint64_t run_batch = 0;

  uint64_t next() const { return first + ends.size(); }
  // The i-th event with what precedes it.
  absl::string_view entry(size_t i) const {
    const size_t from = i == 0 ? 0 : ends[i - 1];
    return absl::string_view(wire).substr(from, ends[i] - from);
  }
  void Note(const Facts& facts);
};
using BatchRef = std::shared_ptr<const Batch>;

constexpr uint32_t TypeBit(int type) { return 1u << (static_cast<uint32_t>(type) & 31u); }
// No type's: a gateway lost events before one of these.
constexpr uint32_t kLostBit = 1u << 31;

// An entry whose length is known at its end. Begin returns what End wants.
size_t BeginEntry(std::string* out);
void EndEntry(size_t start, std::string* out);
// The event within an entry.
absl::string_view EventOf(absl::string_view entry);
// One event as a batch of its own, or as a piece between others.
std::string EntryOf(const v1::Event& event);

// BatchOf checks octets that were kept elsewhere: `count` events of `incarnation` with the sequences from `first` on. Null
// when they are not. `events` gets them parsed.
BatchRef BatchOf(uint64_t first, size_t count, absl::string_view incarnation, std::string wire, std::vector<v1::Event>* events);

int64_t MicrosOf(const google::protobuf::Timestamp& time);
void SetTime(absl::Time time, google::protobuf::Timestamp* out);

}  // namespace gatehouse::hub
