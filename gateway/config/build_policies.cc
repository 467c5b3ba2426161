// Policies. One that refers to others is built after them, and anew when one of them changed.
#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "gateway/base/escape.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

using identity::ConditionKind;
using identity::MatchKind;

// Deeper than Policy admits: stops before the stack does.
constexpr int kTooDeep = 64;

// A oneof's text.
absl::string_view ValueOf(const v1::ClaimClause& clause, MatchKind* kind, bool* set) {
  *set = true;
  switch (clause.value_case()) {
    case v1::ClaimClause::kExact: *kind = MatchKind::kExact; return clause.exact();
    case v1::ClaimClause::kPrefix: *kind = MatchKind::kPrefix; return clause.prefix();
    case v1::ClaimClause::kSuffix: *kind = MatchKind::kSuffix; return clause.suffix();
    case v1::ClaimClause::kRegex: *kind = MatchKind::kRegex; return clause.regex();
    case v1::ClaimClause::kPresent: *kind = MatchKind::kPresent; *set = clause.present(); return "";
    case v1::ClaimClause::VALUE_NOT_SET: break;
  }
  *set = false;
  return "";
}

// Policies is the policies of a draft, each built when it is first asked for.
class Policies {
 public:
  explicit Policies(Draft& draft) : draft_(draft) {
    for (const v1::Policy* policy : draft.policies) sources_[policy->name()] = policy;
  }

  // Null after a violation, of this or an earlier call.
  identity::PolicyRef Find(const std::string& name);

 private:
  identity::PolicyRef Build(const v1::Policy& policy);
  // Of the previous snapshot, when neither the policy nor what it refers to changed.
  identity::PolicyRef Reuse(const v1::Policy& policy);
  identity::Condition Read(const std::string& path, const v1::Condition& condition, int depth);
  identity::ClaimClause ReadClaim(const std::string& path, const v1::ClaimClause& clause);
  identity::CertificateClause ReadCertificate(const std::string& path, const v1::CertificateClause& clause);
  identity::AddressClause ReadAddress(const std::string& path, const v1::AddressClause& clause);
  identity::TimeClause ReadTime(const std::string& path, const v1::TimeClause& clause);
  std::optional<absl::Time> ReadMoment(const std::string& path, bool present, const google::protobuf::Timestamp& time);
  identity::PolicyRef ReadReference(const std::string& path, const std::string& name);
  // In the place of what is not there; a policy with one is not used.
  identity::Condition Missing();
  void CheckScheme(const std::string& path, const std::string& scheme);

  Draft& draft_;
  absl::flat_hash_map<std::string, const v1::Policy*> sources_;
  absl::flat_hash_map<std::string, identity::PolicyRef> built_;
  size_t missing_ = 0;
  std::vector<std::string> building_;  // outermost first; a cycle comes back to one of them
};

void Policies::CheckScheme(const std::string& path, const std::string& scheme) {
  if (!scheme.empty() && draft_.scheme_names.Find(scheme) == nullptr) {
    draft_.Violate(path + ".scheme", draft_.scheme_names.Missing("scheme", scheme));
  }
}

identity::ClaimClause Policies::ReadClaim(const std::string& path, const v1::ClaimClause& clause) {
  using V1 = v1::CertificateMatcher::StringMatcher;
  identity::ClaimClause out;
  out.type = clause.type();
  out.scheme = clause.scheme();
  out.issuer = clause.issuer();
  out.ignore_case = clause.ignore_case();
  bool set = false;
  out.value = std::string(ValueOf(clause, &out.match, &set));
  const int ways = (clause.value_case() != v1::ClaimClause::VALUE_NOT_SET ? 1 : 0) + (clause.one_of().empty() ? 0 : 1) +
                   (clause.matches().empty() ? 0 : 1);
  if (ways != 1 || (clause.one_of().empty() && clause.matches().empty() && !set)) {
    draft_.Violate(path, "needs exactly one of exact, prefix, suffix, regex, `present: true`, one_of and matches");
  }
  out.one_of.assign(clause.one_of().begin(), clause.one_of().end());
  for (int i = 0; i < clause.matches_size(); ++i) {
    const V1& matcher = clause.matches(i);
    switch (matcher.kind_case()) {
      case V1::kExact: out.matches.push_back({MatchKind::kExact, matcher.exact()}); break;
      case V1::kPrefix: out.matches.push_back({MatchKind::kPrefix, matcher.prefix()}); break;
      case V1::kSuffix: out.matches.push_back({MatchKind::kSuffix, matcher.suffix()}); break;
      case V1::kRegex: out.matches.push_back({MatchKind::kRegex, matcher.regex()}); break;
      case V1::KIND_NOT_SET:
        draft_.Violate(absl::StrCat(path, ".matches[", i, "]"), "needs one of exact, prefix, suffix and regex");
        break;
    }
  }
  switch (clause.values()) {
    case v1::ClaimClause::VALUES_UNSPECIFIED:
    case v1::ClaimClause::ANY: break;
    case v1::ClaimClause::ALL: out.values = identity::Quantifier::kAll; break;
    case v1::ClaimClause::NONE: out.values = identity::Quantifier::kNone; break;
    default: draft_.Violate(path + ".values", "unknown value ", static_cast<int>(clause.values()));
  }
  CheckScheme(path, clause.scheme());
  return out;
}

identity::CertificateClause Policies::ReadCertificate(const std::string& path, const v1::CertificateClause& clause) {
  constexpr int kMaxListed = 1000, kMaxUsages = 16;
  identity::CertificateClause out;
  out.scheme = clause.scheme();
  CheckScheme(path, clause.scheme());
  const bool matches = clause.has_match() && clause.match().ByteSizeLong() > 0;
  if (!clause.accepted() && !matches && clause.serial_numbers().empty() && clause.thumbprints().empty() &&
      clause.key_types().empty() && !clause.has_valid_for() && clause.extended_key_usages().empty()) {
    draft_.Violate(path, "asks for nothing; `accepted: true` asks for any accepted certificate");
  }
  out.match = ReadRequirements(draft_, path + ".match", clause.match());
  const auto bound = [&](absl::string_view field, int size, int most) {
    if (size > most) draft_.Violate(absl::StrCat(path, ".", field), size, ", at most ", most);
    return std::min(size, most);
  };
  for (int i = 0, n = bound("serial_numbers", clause.serial_numbers_size(), kMaxListed); i < n; ++i) {
    absl::StatusOr<std::string> serial = identity::ParseSerial(clause.serial_numbers(i));
    if (!serial.ok()) draft_.Violate(absl::StrCat(path, ".serial_numbers[", i, "]"), serial.status().message());
    if (serial.ok()) out.serials.push_back(*std::move(serial));
  }
  for (int i = 0, n = bound("thumbprints", clause.thumbprints_size(), kMaxListed); i < n; ++i) {
    const absl::Status added = identity::AddThumbprint(clause.thumbprints(i), &out);
    if (!added.ok()) draft_.Violate(absl::StrCat(path, ".thumbprints[", i, "]"), added.message());
  }
  for (int i = 0; i < clause.key_types_size(); ++i) {
    switch (clause.key_types(i)) {
      case v1::CertificateClause::RSA: out.key_types.push_back(certs::KeyFamily::kRsa); break;
      case v1::CertificateClause::EC: out.key_types.push_back(certs::KeyFamily::kEc); break;
      case v1::CertificateClause::ED25519: out.key_types.push_back(certs::KeyFamily::kEd25519); break;
      case v1::CertificateClause::ED448: out.key_types.push_back(certs::KeyFamily::kEd448); break;
      default:
        draft_.Violate(absl::StrCat(path, ".key_types[", i, "]"), "unknown value ", static_cast<int>(clause.key_types(i)));
    }
  }
  if (clause.has_valid_for()) {
    out.valid_for = ReadDuration(draft_, true, clause.valid_for(), path + ".valid_for",
                                 {absl::ZeroDuration(), absl::Seconds(1), absl::Hours(24) * 36'500, false});
  }
  for (int i = 0, n = bound("extended_key_usages", clause.extended_key_usages_size(), kMaxUsages); i < n; ++i) {
    absl::StatusOr<std::string> oid = identity::ParseUsage(clause.extended_key_usages(i));
    if (!oid.ok()) draft_.Violate(absl::StrCat(path, ".extended_key_usages[", i, "]"), oid.status().message());
    if (oid.ok()) out.extended_key_usages.push_back(*std::move(oid));
  }
  return out;
}

identity::AddressClause Policies::ReadAddress(const std::string& path, const v1::AddressClause& clause) {
  constexpr int kMaxRanges = 1000;
  identity::AddressClause out;
  if (clause.ranges().empty()) draft_.Violate(path + ".ranges", "must not be empty");
  if (clause.ranges_size() > kMaxRanges) {
    draft_.Violate(path + ".ranges", clause.ranges_size(), " ranges, at most ", kMaxRanges);
    return out;
  }
  for (int i = 0; i < clause.ranges_size(); ++i) {
    absl::StatusOr<AddressRange> range = identity::ParseClientRange(clause.ranges(i));
    if (!range.ok()) draft_.Violate(absl::StrCat(path, ".ranges[", i, "]"), range.status().message());
    if (range.ok()) out.ranges.push_back(*range);
  }
  return out;
}

std::optional<absl::Time> Policies::ReadMoment(const std::string& path, bool present,
                                               const google::protobuf::Timestamp& time) {
  if (!present) return std::nullopt;
  // Protobuf's own bounds: the years 1 to 9999.
  if (time.seconds() < -62'135'596'800 || time.seconds() > 253'402'300'799 || time.nanos() < 0 ||
      time.nanos() > 999'999'999) {
    draft_.Violate(path, "is no moment of the years 1 to 9999");
    return std::nullopt;
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

identity::TimeClause Policies::ReadTime(const std::string& path, const v1::TimeClause& clause) {
  identity::TimeClause out;
  for (int i = 0; i < clause.days_size(); ++i) {
    const int day = clause.days(i);
    if (day < v1::TimeClause::MONDAY || day > v1::TimeClause::SUNDAY) {
      draft_.Violate(absl::StrCat(path, ".days[", i, "]"), "unknown value ", day);
    } else {
      out.days.push_back(static_cast<absl::Weekday>(day - v1::TimeClause::MONDAY));
    }
  }
  if (clause.from().empty() != clause.to().empty()) {
    draft_.Violate(absl::StrCat(path, clause.from().empty() ? ".from" : ".to"), "is required: from and to go together");
  } else if (!clause.from().empty()) {
    absl::StatusOr<int> from = identity::ParseTimeOfDay(clause.from(), /*end=*/false);
    absl::StatusOr<int> to = identity::ParseTimeOfDay(clause.to(), /*end=*/true);
    if (!from.ok()) draft_.Violate(path + ".from", from.status().message());
    if (!to.ok()) draft_.Violate(path + ".to", to.status().message());
    if (from.ok() && to.ok()) {
      out.from = *from, out.to = *to;
      if (*from == *to) draft_.Violate(path + ".to", "is `from`: a whole day needs neither");
    }
  }
  if (!clause.time_zone().empty()) {
    absl::StatusOr<absl::TimeZone> zone = identity::ParseTimeZone(clause.time_zone());
    if (!zone.ok()) draft_.Violate(path + ".time_zone", zone.status().message());
    if (zone.ok()) out.zone = *zone, out.zone_name = clause.time_zone();
  }
  out.not_before = ReadMoment(path + ".not_before", clause.has_not_before(), clause.not_before());
  out.not_after = ReadMoment(path + ".not_after", clause.has_not_after(), clause.not_after());
  if (out.not_before && out.not_after && *out.not_after < *out.not_before) {
    draft_.Violate(path + ".not_after", "is before not_before: it would never hold");
  }
  if (clause.days().empty() && clause.from().empty() && clause.to().empty() && !clause.has_not_before() &&
      !clause.has_not_after()) {
    draft_.Violate(path, "needs days, from and to, not_before or not_after");
  }
  return out;
}

identity::PolicyRef Policies::ReadReference(const std::string& path, const std::string& name) {
  if (name.empty()) {
    draft_.Violate(path, "is required: the name of a policy");
    return nullptr;
  }
  if (draft_.policy_names.Find(name) == nullptr) {
    draft_.Violate(path, draft_.policy_names.Missing("policy", name));
    return nullptr;
  }
  const auto begin = std::find(building_.begin(), building_.end(), name);
  if (begin != building_.end()) {
    std::vector<std::string> chain;
    for (auto it = begin; it != building_.end(); ++it) chain.push_back(EscapeText(*it));
    chain.push_back(EscapeText(name));
    draft_.Violate(path, "refers to itself: ", absl::StrJoin(chain, " -> "));
    return nullptr;
  }
  if (building_.size() >= kTooDeep) {
    draft_.Violate(path, "is at the end of ", building_.size(), " policies that refer to each other, at most 16");
    return nullptr;
  }
  return Find(name);
}

identity::Condition Policies::Missing() {
  ++missing_;
  identity::Condition out;
  out.claim = {"missing", {}, {}, MatchKind::kPresent, {}};
  return out;
}

identity::Condition Policies::Read(const std::string& path, const v1::Condition& condition, int depth) {
  identity::Condition out;
  const v1::Conditions* children = nullptr;
  absl::string_view field;
  switch (condition.kind_case()) {
    case v1::Condition::kClaim:
      out.claim = ReadClaim(path + ".claim", condition.claim());
      return out;
    case v1::Condition::kPolicy:
      out.kind = ConditionKind::kPolicy;
      out.policy = ReadReference(path + ".policy", condition.policy());
      return out.policy == nullptr ? Missing() : out;
    case v1::Condition::kCertificate:
      out.kind = ConditionKind::kCertificate;
      out.certificate = ReadCertificate(path + ".certificate", condition.certificate());
      return out;
    case v1::Condition::kAddress:
      out.kind = ConditionKind::kAddress;
      out.address = ReadAddress(path + ".address", condition.address());
      return out;
    case v1::Condition::kTime:
      out.kind = ConditionKind::kTime;
      out.time = ReadTime(path + ".time", condition.time());
      return out;
    case v1::Condition::kAllOf:
      out.kind = ConditionKind::kAllOf, children = &condition.all_of(), field = ".all_of";
      break;
    case v1::Condition::kAnyOf:
      out.kind = ConditionKind::kAnyOf, children = &condition.any_of(), field = ".any_of";
      break;
    case v1::Condition::kNoneOf:
      out.kind = ConditionKind::kNoneOf, children = &condition.none_of(), field = ".none_of";
      break;
    case v1::Condition::KIND_NOT_SET:
      draft_.Violate(path, "needs one of claim, certificate, address, time, policy, all_of, any_of and none_of");
      return Missing();
  }
  if (depth >= kTooDeep) return out;  // Policy refuses it
  for (int i = 0; i < children->conditions_size(); ++i) {
    out.children.push_back(Read(absl::StrCat(path, field, "[", i, "]"), children->conditions(i), depth + 1));
  }
  return out;
}

identity::PolicyRef Policies::Reuse(const v1::Policy& policy) {
  if (!draft_.Unchanged(v1::POLICY, policy.name())) return nullptr;
  const identity::PolicyRef& known = draft_.previous->parts->policies.at(policy.name());
  // What it refers to may have changed, or gone, all the same.
  for (const identity::PolicyRef& reference : known->references()) {
    const bool there = sources_.contains(reference->name()) &&
                       std::find(building_.begin(), building_.end(), reference->name()) == building_.end();
    if (!there || Find(reference->name()) != reference) return nullptr;
  }
  const auto gone = [&](const std::string& scheme) {
    return !scheme.empty() && draft_.scheme_names.Find(scheme) == nullptr;
  };
  for (const identity::ClaimTest& claim : known->claims()) {
    if (gone(claim.clause().scheme)) return nullptr;
  }
  for (const identity::CertificateClause& certificate : known->certificates()) {
    if (gone(certificate.scheme)) return nullptr;
  }
  return known;
}

identity::PolicyRef Policies::Build(const v1::Policy& policy) {
  if (identity::PolicyRef known = Reuse(policy)) return known;
  const std::string path = PathOf("policies", policy.name());
  if (!policy.has_condition()) {
    draft_.Violate(path + ".condition", "is required");
    return nullptr;
  }
  const size_t before = draft_.violations.size(), missing = missing_;
  identity::PolicyInput input;
  input.name = policy.name();
  input.public_message = policy.public_message();
  input.condition = Read(path + ".condition", policy.condition(), 1);
  // What could not be read was said; what else is wrong is said too.
  const bool whole = draft_.violations.size() == before && missing_ == missing;
  std::vector<identity::PolicyError> errors;
  identity::PolicyRef built = identity::Policy::Create(std::move(input), &errors);
  for (const identity::PolicyError& error : errors) {
    std::string where = absl::StrCat(path, ".", error.path);
    const auto said = [&](const Violation& violation) { return absl::StartsWith(violation.path, where); };
    if (std::none_of(draft_.violations.begin() + static_cast<std::ptrdiff_t>(before), draft_.violations.end(), said)) {
      draft_.Violate(std::move(where), error.message);
    }
  }
  return whole && errors.empty() ? built : nullptr;
}

identity::PolicyRef Policies::Find(const std::string& name) {
  if (auto it = built_.find(name); it != built_.end()) return it->second;
  building_.push_back(name);
  identity::PolicyRef policy = Build(*sources_.at(name));
  building_.pop_back();
  built_[name] = policy;
  return policy;
}

}  // namespace

void BuildPolicies(Draft& draft) {
  Policies policies(draft);
  for (const v1::Policy* policy : draft.policies) {
    if (identity::PolicyRef built = policies.Find(policy->name())) draft.parts->policies[policy->name()] = std::move(built);
  }
}

}  // namespace gatehouse::config
