#include "control/events/summary.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/events/filter.h"
#include "gateway/base/status.h"

namespace gatehouse::hub {
namespace {

constexpr uint32_t kOtherName = 1;
constexpr int64_t kMicrosOfMinute = 60'000'000;
constexpr int64_t kLittle = 2;  // minutes that a clock may go back without being believed to have been wrong

int64_t MinuteOf(absl::Time time) { return absl::ToUnixSeconds(time) / 60; }

absl::StatusOr<absl::Time> TimeOf(const google::protobuf::Timestamp& time, const char* field) {
  if (time.seconds() < 0 || time.seconds() > 253'402'300'799 || time.nanos() < 0 || time.nanos() > 999'999'999) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": not a time between 1970 and 9999"));
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

// What a request asks for, checked.
struct Question {
  Filter filter;
  bool by[6] = {};  // a Dimension
  int64_t from = 0;  // minutes
  int64_t to = 0;    // the first that is not asked for
  int64_t step = 0;
};

absl::StatusOr<Question> Check(const v1::SummaryRequest& request, absl::Time now, absl::Time known_from) {
  Question q;
  for (int type : request.filter().types()) {
    if (type != v1::Event::DECISION) return absl::InvalidArgumentError("filter.types: only DECISION is counted");
  }
  if (request.filter().principals_size() != 0 || request.filter().certificates_size() != 0) {
    return absl::InvalidArgumentError("filter: counts are not kept by principal or certificate");
  }
  GH_ASSIGN_OR_RETURN(q.filter, Filter::Create(request.filter()));
  for (int dimension : request.by()) {
    if (dimension == 0 || !v1::SummaryRequest::Dimension_IsValid(dimension)) {
      return absl::InvalidArgumentError(absl::StrCat("by: ", dimension, " is not a known value"));
    }
    q.by[dimension] = true;
  }
  if (request.by().empty()) q.by[v1::SummaryRequest::OUTCOME] = q.by[v1::SummaryRequest::REASON] = true;
  absl::Time from = now - absl::Hours(24);
  absl::Time to = now;
  if (request.has_from()) {
    GH_ASSIGN_OR_RETURN(from, TimeOf(request.from(), "from"));
  }
  if (request.has_to()) {
    GH_ASSIGN_OR_RETURN(to, TimeOf(request.to(), "to"));
  }
  if (from >= to) return absl::InvalidArgumentError("from: not before `to`");
  // Nothing is known from before; counting begins where it can.
  q.from = MinuteOf(std::max(from, std::min(known_from, to)));
  q.to = MinuteOf(request.has_to() ? to - absl::Nanoseconds(1) : to) + 1;
  q.step = q.to - q.from;
  if (request.has_step()) {
    if (request.step().nanos() != 0 || request.step().seconds() <= 0 || request.step().seconds() % 60 != 0) {
      return absl::InvalidArgumentError("step: not whole minutes");
    }
    q.step = request.step().seconds() / 60;
    // Steps begin at multiples of themselves, so that the next question's are the same.
    if (q.step <= Summary::kMinutes) q.from -= q.from % q.step;
  }
  return q;
}

}  // namespace

Summary::Adding::Adding(Summary* summary, absl::Time now) : summary_(*summary) {
  summary_.mutex_.Lock();
  const int64_t minute = MinuteOf(now);
  if (minute > summary_.newest_) summary_.Turn(minute);
  if (minute < summary_.newest_ - kLittle) summary_.TurnBack(now);
}

Summary::Adding::~Adding() { summary_.mutex_.Unlock(); }

Summary::Summary(const Clock& clock, SummaryLimits limits) : clock_(clock), limits_(limits) {
  MutexLock lock(&mutex_);
  started_ = clock.Now();
  names_ = {{"", true}, {kOther, true}};
  numbers_ = {{"", 0}, {kOther, kOtherName}};
  newest_ = MinuteOf(started_);
}

uint32_t Summary::NameOf(absl::string_view text, Recent* recent) {
  if (text == recent->text) return recent->number;
  const auto found = numbers_.find(text);
  if (found != numbers_.end()) {
    recent->text = std::string(text);
    return recent->number = found->second;
  }
  uint32_t number = 0;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (names_.size() < limits_.names) {
    number = static_cast<uint32_t>(names_.size());
    names_.emplace_back();
  } else {
    return kOtherName;
  }
  names_[number].text = std::string(text);
  numbers_.emplace(names_[number].text, number);
  return number;
}

Summary::Minute& Summary::At(int64_t number) {
  Minute& minute = minutes_[static_cast<size_t>(number % kMinutes)];
  if (minute.number != number) Forget(&minute, number);
  return minute;
}

void Summary::Forget(Minute* minute, int64_t number) {
  combinations_ -= minute->counts.size();
  last_count_ = nullptr;
  // Its memory too: a busy minute's table is not to stay with each of them.
  absl::flat_hash_map<Key, uint64_t>().swap(minute->counts);
  minute->number = number;
}

void Summary::Turn(int64_t now_minute) {
  const int64_t first = std::max(newest_ + 1, now_minute - kMinutes + 1);
  for (int64_t number = first; number <= now_minute; ++number) At(number);
  newest_ = now_minute;
  if (names_.size() < limits_.names || !free_.empty()) return;
  for (Named& name : names_) name.used = false;
  for (const Minute& minute : minutes_) {
    for (const auto& [key, count] : minute.counts) {
      names_[key.route].used = names_[key.scheme].used = names_[key.gateway].used = true;
    }
  }
  for (uint32_t number = kOtherName + 1; number < names_.size(); ++number) {
    if (names_[number].used) continue;
    numbers_.erase(names_[number].text);
    names_[number].text.clear();
    free_.push_back(number);
  }
  route_ = scheme_ = gateway_ = Recent();
}

void Summary::TurnBack(absl::Time now) {
  newest_ = MinuteOf(now);
  started_ = std::min(started_, now);
  for (Minute& minute : minutes_) {
    if (minute.number > newest_) Forget(&minute, -1);
  }
}

void Summary::AddLocked(const Facts& facts) {
  if (facts.type != v1::Event::DECISION) return;
  int64_t number = facts.micros / kMicrosOfMinute;
  // A clock that was set back a little, or a gateway's that is off: the newest minute takes it.
  if (number > newest_ || number <= newest_ - kMinutes || facts.micros == 0) number = newest_;
  Key key;
  // What a gateway claims may be any number; only those that are known count as such, or their kinds had no bound.
  if (v1::Event::Outcome_IsValid(facts.outcome)) key.outcome = static_cast<uint16_t>(facts.outcome);
  if (v1::Reason_IsValid(facts.reason)) key.reason = static_cast<uint16_t>(facts.reason);
  key.route = NameOf(facts.route, &route_);
  key.gateway = NameOf(facts.gateway, &gateway_);
  if (facts.schemes.size() == 1) {
    key.scheme = NameOf(facts.schemes[0], &scheme_);
  } else if (!facts.schemes.empty()) {
    joined_.clear();
    for (absl::string_view scheme : facts.schemes) absl::StrAppend(&joined_, joined_.empty() ? "" : "+", scheme);
    key.scheme = NameOf(joined_, &scheme_);
  }
  const uint64_t weight = std::max<uint32_t>(facts.sampled, 1);
  if (last_count_ != nullptr && number == last_minute_ && key == last_key_) {
    *last_count_ += weight;
    return;
  }
  Minute& minute = At(number);
  last_minute_ = number;
  last_key_ = key;
  auto found = minute.counts.find(key);
  if (found == minute.counts.end() &&
      (minute.counts.size() >= limits_.per_minute || combinations_ >= limits_.combinations)) {
    key.route = key.scheme = key.gateway = kOtherName;
    found = minute.counts.find(key);
  }
  if (found == minute.counts.end()) {
    found = minute.counts.emplace(key, 0).first;
    ++combinations_;
  }
  found->second += weight;
  last_count_ = &found->second;
}

absl::StatusOr<v1::SummaryResponse> Summary::Count(const v1::SummaryRequest& request) const {
  const absl::Time now = clock_.Now();
  absl::Time known_from = now - absl::Hours(24);
  {
    MutexLock lock(&mutex_);
    known_from = std::max(known_from, std::min(started_, now));
  }
  GH_ASSIGN_OR_RETURN(const Question q, Check(request, now, known_from));
  // By step, then what is kept apart.
  using Row = std::tuple<int64_t, int, int, std::string, std::string, std::string>;
  std::map<Row, uint64_t> totals;
  for (int64_t number = std::max(q.from, MinuteOf(known_from)); number < q.to && number <= MinuteOf(now); ++number) {
    MutexLock lock(&mutex_);
    const Minute& minute = minutes_[static_cast<size_t>(number % kMinutes)];
    if (minute.number != number) continue;
    const int64_t step = (number - q.from) / q.step;
    for (const auto& [key, count] : minute.counts) {
      const std::string& route = names_[key.route].text;
      const std::string& scheme = names_[key.scheme].text;
      const std::string& gateway = names_[key.gateway].text;
      if (!q.filter.empty()) {
        v1::Event like;
        like.set_type(v1::Event::DECISION);
        like.set_outcome(static_cast<v1::Event::Outcome>(key.outcome));
        like.set_reason(static_cast<v1::Reason>(key.reason));
        like.mutable_request()->set_route(route);
        like.set_gateway(gateway);
        for (absl::string_view part : absl::StrSplit(scheme, '+', absl::SkipEmpty())) like.add_schemes(std::string(part));
        if (!q.filter.Matches(like)) continue;
      }
      using D = v1::SummaryRequest;
      totals[Row(step, q.by[D::OUTCOME] ? key.outcome : 0, q.by[D::REASON] ? key.reason : 0, q.by[D::ROUTE] ? route : "",
                 q.by[D::SCHEME] ? scheme : "", q.by[D::GATEWAY_NAME] ? gateway : "")] += count;
    }
  }
  std::vector<std::pair<const Row*, uint64_t>> rows;
  rows.reserve(totals.size());
  for (const auto& [row, count] : totals) rows.emplace_back(&row, count);
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    if (std::get<0>(*a.first) != std::get<0>(*b.first)) return std::get<0>(*a.first) < std::get<0>(*b.first);
    return a.second > b.second;
  });
  v1::SummaryResponse response;
  SetTime(known_from, response.mutable_known_from());
  response.set_truncated(rows.size() > kMostRows);
  if (rows.size() > kMostRows) rows.resize(kMostRows);
  for (const auto& [row, count] : rows) {
    v1::SummaryRow* out = response.add_rows();
    SetTime(absl::FromUnixSeconds((q.from + std::get<0>(*row) * q.step) * 60), out->mutable_time());
    out->set_outcome(static_cast<v1::Event::Outcome>(std::get<1>(*row)));
    out->set_reason(static_cast<v1::Reason>(std::get<2>(*row)));
    out->set_route(std::get<3>(*row));
    out->set_scheme(std::get<4>(*row));
    out->set_gateway(std::get<5>(*row));
    out->set_count(count);
  }
  return response;
}

}  // namespace gatehouse::hub
