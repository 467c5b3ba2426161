#include "gateway/metrics/labels.h"

namespace gatehouse::metrics {

LabelTable::LabelTable(uint16_t capacity) : capacity_(capacity), names_({"other"}) {}

uint16_t LabelTable::Intern(absl::string_view name) {
  MutexLock lock(&mutex_);
  auto it = numbers_.find(name);
  if (it != numbers_.end()) return it->second;
  if (names_.size() >= capacity_) return kOther;
  auto number = static_cast<uint16_t>(names_.size());
  names_.emplace_back(name);
  numbers_.emplace(name, number);
  return number;
}

std::vector<std::string> LabelTable::Names() const {
  MutexLock lock(&mutex_);
  return names_;
}

}  // namespace gatehouse::metrics
