#include "control/store/history.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace gatehouse::store {
namespace {

std::pair<uint64_t, uint64_t> PlaceOf(const v1::Revision& record) { return {record.revision(), record.entry()}; }

}  // namespace

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  out->set_seconds(absl::ToUnixSeconds(time));
  out->set_nanos(static_cast<int32_t>(absl::ToUnixNanos(time) % 1'000'000'000));
}

bool Replaces(const Entry& entry, const v1::Revision& last) {
  switch (entry.kind) {
    case Entry::Kind::kWrite: return false;
    case Entry::Kind::kRoutine: return true;
    case Entry::Kind::kRefusal:
    case Entry::Kind::kStrangersRefusal: break;
  }
  return last.method() == entry.method && last.refusal() == entry.refusal && last.actor() == entry.actor;
}

bool Shows(v1::HistoryRequest::Show show, Entry::Kind kind) {
  switch (show) {
    case v1::HistoryRequest::EVERYTHING: return true;
    case v1::HistoryRequest::CONFIGURATION: return false;
    case v1::HistoryRequest::REFUSALS: return kind >= Entry::Kind::kRefusal;
    default: return kind == Entry::Kind::kWrite;
  }
}

v1::Revision RecordOf(const Entry& entry, const v1::Revision* before) {
  v1::Revision record;
  SetTime(entry.time, record.mutable_time());
  record.set_actor(entry.actor);
  record.set_peer(entry.peer);
  record.set_method(entry.method);
  for (const std::string& effect : entry.effects) record.add_effects(effect);
  record.set_refusal(entry.refusal);
  record.set_left_out(entry.left_out + (before == nullptr ? 0 : before->left_out()));
  if (entry.kind == Entry::Kind::kWrite) return record;
  record.set_routine(entry.kind == Entry::Kind::kRoutine);
  record.set_times(before == nullptr ? 1 : before->times() + 1);
  *record.mutable_first_time() = before == nullptr ? record.time() : before->first_time();
  return record;
}

bool IsBefore(const v1::Revision& record, const HistoryQuery::Place& place) {
  return PlaceOf(record) < std::pair(place.revision, place.entry);
}

std::vector<v1::Revision> Merge(std::vector<v1::Revision> revisions, std::vector<v1::Revision> entries, int limit) {
  std::vector<v1::Revision> page;
  page.reserve(revisions.size() + entries.size());
  std::merge(std::make_move_iterator(revisions.begin()), std::make_move_iterator(revisions.end()),
             std::make_move_iterator(entries.begin()), std::make_move_iterator(entries.end()), std::back_inserter(page),
             [](const v1::Revision& a, const v1::Revision& b) { return PlaceOf(a) > PlaceOf(b); });
  if (page.size() > static_cast<size_t>(limit)) page.resize(static_cast<size_t>(limit));
  return page;
}

}  // namespace gatehouse::store
