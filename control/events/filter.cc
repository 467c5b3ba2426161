#include "control/events/filter.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/events/batch.h"

namespace gatehouse::hub {
namespace {

constexpr int kMaxEntries = 1000;

template <typename Values, typename IsValid>
absl::Status TakeEnums(const Values& values, IsValid is_valid, const char* field, std::set<int>* out) {
  for (int value : values) {
    if (value == 0 || !is_valid(value)) {
      return absl::InvalidArgumentError(absl::StrCat("filter.", field, ": ", value, " is not a known value"));
    }
    out->insert(value);
  }
  return absl::OkStatus();
}

bool Has(const std::set<std::string>& set, const std::string& value) { return set.empty() || set.count(value) != 0; }
bool Has(const std::set<int>& set, int value) { return set.empty() || set.count(value) != 0; }

}  // namespace

absl::StatusOr<Filter> Filter::Create(const v1::EventFilter& filter) {
  const int entries = filter.types_size() + filter.outcomes_size() + filter.reasons_size() + filter.routes_size() +
                      filter.schemes_size() + filter.gateways_size() + filter.principals_size() +
                      filter.certificates_size();
  if (entries > kMaxEntries) {
    return absl::InvalidArgumentError(absl::StrCat("filter: ", entries, " entries, at most ", kMaxEntries));
  }
  Filter f;
  absl::Status status = TakeEnums(filter.types(), v1::Event::Type_IsValid, "types", &f.types_);
  if (status.ok()) status = TakeEnums(filter.outcomes(), v1::Event::Outcome_IsValid, "outcomes", &f.outcomes_);
  if (status.ok()) status = TakeEnums(filter.reasons(), v1::Reason_IsValid, "reasons", &f.reasons_);
  if (!status.ok()) return status;
  if (!f.types_.empty()) f.type_bits_ = 0;
  for (int type : f.types_) f.type_bits_ |= TypeBit(type);
  f.routes_.insert(filter.routes().begin(), filter.routes().end());
  f.schemes_.insert(filter.schemes().begin(), filter.schemes().end());
  f.gateways_.insert(filter.gateways().begin(), filter.gateways().end());
  f.principals_.insert(filter.principals().begin(), filter.principals().end());
  for (const std::string& text : filter.certificates()) {
    bool hex = text.size() == 64;
    for (char c : text) hex = hex && absl::ascii_isxdigit(static_cast<unsigned char>(c));
    if (!hex) return absl::InvalidArgumentError("filter.certificates: a SHA-256 is 64 hex digits");
    f.certificates_.insert(absl::AsciiStrToLower(text));
  }
  f.empty_ = entries == 0;
  return f;
}

bool Filter::MayHaveMatchedBefore(const v1::Event& event) const {
  // No gateway tells of AUDIT events.
  return event.missed() > 0 && type_bits_ != TypeBit(v1::Event::AUDIT) && Has(gateways_, event.gateway());
}

bool Filter::Matches(const v1::Event& event) const {
  if (empty_ || event.type() == v1::Event::GAP) return true;
  if (!Has(types_, event.type()) || !Has(outcomes_, event.outcome()) || !Has(reasons_, event.reason())) return false;
  if (!Has(routes_, event.request().route()) || !Has(gateways_, event.gateway()) ||
      !Has(principals_, event.principal()) || !Has(certificates_, event.certificate().sha256())) {
    return false;
  }
  if (schemes_.empty()) return true;
  for (const std::string& scheme : event.schemes()) {
    if (schemes_.count(scheme) != 0) return true;
  }
  return false;
}

}  // namespace gatehouse::hub
