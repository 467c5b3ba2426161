#include "control/store/history.h"

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

std::vector<v1::Revision> Merge(std::vector<v1::Revision> revisions, std::vector<v1::Revision> entries, const HistoryQuery& query) {
  Page page(query);
  auto revision = revisions.begin();
  auto entry = entries.begin();
  while (!page.full() && (revision != revisions.end() || entry != entries.end())) {
    const bool is_revision = entry == entries.end() || (revision != revisions.end() && PlaceOf(*revision) > PlaceOf(*entry));
    page.Add(std::move(is_revision ? *revision++ : *entry++));
  }
  return std::move(page).records();
}

}  // namespace gatehouse::store
