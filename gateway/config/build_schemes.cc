// Schemes.
#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"
#include "gateway/certs/crl.h"
#include "gateway/config/build_draft.h"

namespace gatehouse::config {
namespace {

using V1Scheme = v1::ClientCertificateScheme;

// The shared text matcher, or null after a violation.
std::optional<certs::TextMatcher> ReadMatcher(Draft& draft, const std::string& path,
                                              const v1::CertificateMatcher::StringMatcher& matcher) {
  using Kind = certs::TextMatcher::Kind;
  using V1 = v1::CertificateMatcher::StringMatcher;
  absl::StatusOr<certs::TextMatcher> made = absl::InvalidArgumentError("");
  absl::string_view field;
  switch (matcher.kind_case()) {
    case V1::kExact: field = ".exact", made = certs::TextMatcher::Create(Kind::kExact, matcher.exact()); break;
    case V1::kPrefix: field = ".prefix", made = certs::TextMatcher::Create(Kind::kPrefix, matcher.prefix()); break;
    case V1::kSuffix: field = ".suffix", made = certs::TextMatcher::Create(Kind::kSuffix, matcher.suffix()); break;
    case V1::kRegex: field = ".regex", made = certs::TextMatcher::Create(Kind::kRegex, matcher.regex()); break;
    case V1::KIND_NOT_SET:
      draft.Violate(path, "needs one of exact, prefix, suffix and regex");
      return std::nullopt;
  }
  if (!made.ok()) {
    draft.Violate(absl::StrCat(path, field), made.status().message());
    return std::nullopt;
  }
  return *std::move(made);
}

void ReadTexts(Draft& draft, const std::string& path, const google::protobuf::RepeatedPtrField<std::string>& texts,
               std::vector<std::string>* out) {
  for (int i = 0; i < texts.size(); ++i) {
    if (texts[i].empty()) draft.Violate(absl::StrCat(path, "[", i, "]"), "must not be empty");
    out->push_back(texts[i]);
  }
}

}  // namespace

certs::Requirements ReadRequirements(Draft& draft, const std::string& path, const v1::CertificateMatcher& require) {
  constexpr ptrdiff_t kMaxRegexes = 64;  // as many as a policy has of its own
  certs::Requirements out;
  const auto is_regex = [](const v1::CertificateMatcher::StringMatcher& matcher) { return matcher.has_regex(); };
  const ptrdiff_t regexes = absl::c_count_if(require.issuer(), is_regex) +
                            absl::c_count_if(require.subject(), [&](const auto& one) { return is_regex(one.value()); });
  if (regexes > kMaxRegexes) {
    draft.Violate(path, regexes, " regular expressions, at most ", kMaxRegexes);
    return out;
  }
  for (int i = 0; i < require.subject_size(); ++i) {
    const std::string here = absl::StrCat(path, ".subject[", i, "]");
    absl::StatusOr<std::string> oid = certs::ParseAttribute(require.subject(i).attribute());
    if (!oid.ok()) draft.Violate(here + ".attribute", oid.status().message());
    std::optional<certs::TextMatcher> value = ReadMatcher(draft, here + ".value", require.subject(i).value());
    if (oid.ok() && value.has_value()) out.subject.push_back({*std::move(oid), *std::move(value)});
  }
  ReadTexts(draft, path + ".san_dns", require.san_dns(), &out.san_dns);
  ReadTexts(draft, path + ".san_email", require.san_email(), &out.san_email);
  ReadTexts(draft, path + ".san_uri", require.san_uri(), &out.san_uri);
  ReadTexts(draft, path + ".san_upn", require.san_upn(), &out.san_upn);
  for (int i = 0; i < require.san_ip_size(); ++i) {
    absl::StatusOr<AddressRange> range = ParseAddressRange(require.san_ip(i));
    if (range.ok()) {
      out.san_ip.push_back(*range);
    } else {
      draft.Violate(absl::StrCat(path, ".san_ip[", i, "]"), range.status().message());
    }
  }
  for (int i = 0; i < require.issuer_size(); ++i) {
    std::optional<certs::TextMatcher> matcher =
        ReadMatcher(draft, absl::StrCat(path, ".issuer[", i, "]"), require.issuer(i));
    if (matcher.has_value()) out.issuer.push_back(*std::move(matcher));
  }
  out.min_key_bits =
      static_cast<int>(ReadNumber(draft, require.min_key_bits(), path + ".min_key_bits", 0, 1, 16'384));
  for (int i = 0; i < require.forbidden_signature_algorithms_size(); ++i) {
    absl::StatusOr<int> nid = certs::ParseSignatureAlgorithm(require.forbidden_signature_algorithms(i));
    if (nid.ok()) {
      out.forbidden_signature_nids.push_back(*nid);
    } else {
      draft.Violate(absl::StrCat(path, ".forbidden_signature_algorithms[", i, "]"), nid.status().message());
    }
  }
  return out;
}

namespace {

// An open enum's value that this version does not know must not be taken for a default.
template <typename T>
bool IsKnown(Draft& draft, const std::string& path, T value, bool valid) {
  if (!valid) draft.Violate(path, "unknown value ", static_cast<int>(value));
  return valid;
}

void CheckEnums(Draft& draft, const std::string& path, const V1Scheme& scheme) {
  IsKnown(draft, path + ".allowed_certificate_types", scheme.allowed_certificate_types(),
          V1Scheme::CertificateTypes_IsValid(scheme.allowed_certificate_types()));
  IsKnown(draft, path + ".self_signed_trust", scheme.self_signed_trust(),
          V1Scheme::SelfSignedTrust_IsValid(scheme.self_signed_trust()));
  IsKnown(draft, path + ".name_format", scheme.name_format(), V1Scheme::NameFormat_IsValid(scheme.name_format()));
  IsKnown(draft, path + ".serial_format", scheme.serial_format(),
          V1Scheme::SerialFormat_IsValid(scheme.serial_format()));
  const v1::Revocation& revocation = scheme.revocation();
  IsKnown(draft, path + ".revocation.scope", revocation.scope(), v1::Revocation::Scope_IsValid(revocation.scope()));
  IsKnown(draft, path + ".revocation.on_unknown", revocation.on_unknown(),
          v1::Revocation::OnUnknown_IsValid(revocation.on_unknown()));
  IsKnown(draft, path + ".revocation.mode", revocation.mode(), v1::Revocation::Mode_IsValid(revocation.mode()));
}

// What somebody may have us fetch by HTTP.
bool IsWebAddress(absl::string_view url) {
  constexpr size_t kMaxUrl = 2048;
  if (url.size() > kMaxUrl || !absl::c_all_of(url, [](unsigned char c) { return absl::ascii_isgraph(c); })) return false;
  if (!absl::ConsumePrefix(&url, "http://") && !absl::ConsumePrefix(&url, "https://")) return false;
  const absl::string_view authority = url.substr(0, url.find_first_of("/?#"));
  return !authority.empty() && authority[0] != ':' && !absl::StrContains(authority, '@');
}

void ReadRanges(Draft& draft, const std::string& path, const google::protobuf::RepeatedPtrField<std::string>& texts,
                std::vector<AddressRange>* out) {
  constexpr int kMaxRanges = 64;
  if (texts.size() > kMaxRanges) draft.Violate(path, texts.size(), " ranges, at most ", kMaxRanges);
  for (int i = 0; i < texts.size(); ++i) {
    absl::StatusOr<AddressRange> range = ParseAddressRange(texts[i]);
    if (range.ok()) {
      out->push_back(*range);
    } else {
      draft.Violate(absl::StrCat(path, "[", i, "]"), range.status().message());
    }
  }
}

certs::RevocationOptions ReadRevocation(Draft& draft, const std::string& path, const v1::Revocation& v) {
  certs::RevocationOptions out;
  switch (v.mode()) {
    case v1::Revocation::ONLINE: out.mode = certs::RevocationMode::kOnline; break;
    case v1::Revocation::OFFLINE: out.mode = certs::RevocationMode::kOffline; break;
    default: break;
  }
  switch (v.scope()) {
    case v1::Revocation::END_CERTIFICATE_ONLY: out.scope = certs::RevocationScope::kEndCertificateOnly; break;
    case v1::Revocation::ENTIRE_CHAIN: out.scope = certs::RevocationScope::kEntireChain; break;
    default: break;
  }
  if (v.on_unknown() == v1::Revocation::ALLOW) out.on_unknown = certs::OnUnknown::kAllow;
  out.max_age = ReadDuration(draft, v.has_max_age(), v.max_age(), path + ".max_age",
                             {out.max_age, absl::Seconds(1), absl::Hours(24)});
  out.skew = ReadDuration(draft, v.has_skew(), v.skew(), path + ".skew",
                          {out.skew, absl::ZeroDuration(), absl::Hours(1), /*zero_is_default=*/false});
  out.timeout = ReadDuration(draft, v.has_timeout(), v.timeout(), path + ".timeout",
                             {out.timeout, absl::Milliseconds(100), absl::Minutes(1)});
  out.ocsp_url = v.ocsp_url();
  if (!out.ocsp_url.empty() && !IsWebAddress(out.ocsp_url)) {
    draft.Violate(path + ".ocsp_url", "\"", EscapeText(out.ocsp_url.substr(0, 120)),
                  "\" is no http or https URL without user information");
  }
  out.ocsp_nonce = !v.has_ocsp_nonce() || v.ocsp_nonce();
  out.max_crl_bytes = static_cast<size_t>(ReadNumber(draft, v.fetch().max_crl_bytes(), path + ".fetch.max_crl_bytes",
                                                     out.max_crl_bytes, 1, certs::kMaxCrlSize));
  if (v.fetch().has_max_redirects()) {
    constexpr uint32_t kMaxRedirects = 10;
    out.max_redirects = static_cast<int>(std::min(v.fetch().max_redirects(), kMaxRedirects));
    if (v.fetch().max_redirects() > kMaxRedirects) {
      draft.Violate(path + ".fetch.max_redirects", v.fetch().max_redirects(), " is out of range: 0 to ", kMaxRedirects);
    }
  }
  ReadRanges(draft, path + ".fetch.allowed_ranges", v.fetch().allowed_ranges(), &out.allowed_ranges);
  ReadRanges(draft, path + ".fetch.denied_ranges", v.fetch().denied_ranges(), &out.denied_ranges);
  return out;
}

// The trust store of a scheme; null when there is none, or after a violation.
certs::TrustStoreRef TrustOf(Draft& draft, const std::string& path, const v1::Scheme& scheme) {
  const V1Scheme& options = scheme.client_certificate();
  const bool any = options.self_signed_trust() == V1Scheme::ANY;
  if (options.trust_store().empty() && !options.system_roots()) {
    if (!(any && options.allowed_certificate_types() == V1Scheme::SELF_SIGNED)) {
      draft.Violate(path + ".trust_store", "is required: without anchors and pins nobody could be trusted");
    }
    return nullptr;
  }
  certs::TrustStoreRef named;
  if (!options.trust_store().empty()) {
    if (draft.trust_store_names.Find(options.trust_store()) == nullptr) {
      draft.Violate(path + ".trust_store", draft.trust_store_names.Missing("trust store", options.trust_store()));
      return nullptr;
    }
    auto it = draft.parts->trust_stores.find(options.trust_store());
    if (it == draft.parts->trust_stores.end()) return nullptr;  // its own violations say why
    named = it->second;
  }
  if (!options.system_roots()) return named;
  return WithSystemRoots(draft, path + ".system_roots", named, absl::StrCat("scheme ", scheme.name()));
}

void WarnOf(Draft& draft, const std::string& path, const certs::SchemeOptions& options) {
  if (options.self_signed_trust == certs::SelfSignedTrust::kAny) {
    draft.Warn(path + ".self_signed_trust", "ANY accepts every self-signed certificate: it proves nothing about who "
                                            "is calling; for development only");
  }
  if (options.allowed_certificate_types == certs::CertificateTypes::kAll) {
    draft.Warn(path + ".allowed_certificate_types",
               "ALL accepts chained and pinned self-signed certificates; say CHAINED or SELF_SIGNED when one kind is "
               "meant");
  }
  if (options.revocation.mode == certs::RevocationMode::kNoCheck) {
    draft.Warn(path + ".revocation.mode", "NO_CHECK: a revoked certificate is accepted until it expires");
  }
  if (options.revocation.mode != certs::RevocationMode::kNoCheck &&
      options.revocation.on_unknown == certs::OnUnknown::kAllow) {
    draft.Warn(path + ".revocation.on_unknown",
               "is ALLOW: whoever keeps the gateway from its sources lets revoked certificates in");
  }
  if (options.revocation.mode == certs::RevocationMode::kOffline && options.trust_store != nullptr &&
      options.trust_store->crls().empty() && options.trust_store->crl_paths().empty()) {
    draft.Warn(path + ".revocation.mode",
               "OFFLINE, but the trust store has neither crls nor crl_paths: only what an ONLINE scheme has fetched is known");
  }
  if (!options.validate_certificate_use) {
    draft.Warn(path + ".validate_certificate_use", "is off: certificates made for other uses are accepted");
  }
  if (options.strength.allow_sha1) {
    draft.Warn(path + ".allow_sha1", "accepts signatures that can be forged: certificates of anybody may be made up");
  }
  if (options.strength.min_rsa_bits < 2048) {
    draft.Warn(path + ".min_rsa_bits", "accepts RSA keys of ", options.strength.min_rsa_bits, " bits: below 2048 they count as breakable");
  }
  if (options.strength.min_ec_bits < 256) {
    draft.Warn(path + ".min_ec_bits", "accepts elliptic curves of ", options.strength.min_ec_bits, " bits: 256 is what is advised");
  }
  if (!options.validate_validity_period) {
    draft.Warn(path + ".validate_validity_period", "is off: expired certificates are accepted");
  }
}

certs::PolicyOptions ReadPolicies(Draft& draft, const std::string& path, const V1Scheme& v) {
  constexpr int kMaxPolicies = 64;
  certs::PolicyOptions out;
  if (v.required_policies_size() > kMaxPolicies) {
    draft.Violate(path + ".required_policies", v.required_policies_size(), " policies, at most ", kMaxPolicies);
  }
  for (int i = 0; i < std::min(v.required_policies_size(), kMaxPolicies); ++i) {
    absl::StatusOr<std::string> policy = certs::ParsePolicy(v.required_policies(i));
    if (policy.ok()) {
      out.initial_set.push_back(*std::move(policy));
    } else {
      draft.Violate(absl::StrCat(path, ".required_policies[", i, "]"), policy.status().message());
    }
  }
  // Without it a path of no policy at all would pass a list of required ones.
  out.require_explicit = v.require_explicit_policy() || v.required_policies_size() > 0;
  out.inhibit_mapping = v.inhibit_policy_mapping();
  out.inhibit_any = v.inhibit_any_policy();
  return out;
}

CertificateSchemeRef BuildCertificateScheme(Draft& draft, const v1::Scheme& scheme) {
  const std::string path = absl::StrCat(PathOf("schemes", scheme.name()), ".client_certificate");
  const V1Scheme& v = scheme.client_certificate();
  const size_t before = draft.violations.size();
  auto options = std::make_shared<certs::SchemeOptions>();
  options->name = scheme.name();
  CheckEnums(draft, path, v);
  switch (v.allowed_certificate_types()) {
    case V1Scheme::CHAINED: options->allowed_certificate_types = certs::CertificateTypes::kChained; break;
    case V1Scheme::SELF_SIGNED: options->allowed_certificate_types = certs::CertificateTypes::kSelfSigned; break;
    default: options->allowed_certificate_types = certs::CertificateTypes::kAll; break;
  }
  options->validate_certificate_use = !v.has_validate_certificate_use() || v.validate_certificate_use();
  options->allow_absent_extended_key_usage = v.allow_absent_extended_key_usage();
  options->validate_validity_period = !v.has_validate_validity_period() || v.validate_validity_period();
  options->clock_skew = ReadDuration(draft, v.has_clock_skew(), v.clock_skew(), path + ".clock_skew",
                                     {absl::ZeroDuration(), absl::ZeroDuration(), absl::Hours(1)});
  options->revocation = ReadRevocation(draft, path + ".revocation", v.revocation());
  if (v.self_signed_trust() == V1Scheme::ANY) {
    options->self_signed_trust = certs::SelfSignedTrust::kAny;
    if (v.accept_any_self_signed() != "development") {
      draft.Violate(path + ".accept_any_self_signed",
                    "self_signed_trust ANY lets everybody in who can make a certificate; confirm it with the word "
                    "\"development\"");
    }
    if (v.allowed_certificate_types() == V1Scheme::CHAINED) {
      draft.Violate(path + ".self_signed_trust", "ANY contradicts allowed_certificate_types CHAINED");
    }
  } else if (!v.accept_any_self_signed().empty()) {
    draft.Violate(path + ".accept_any_self_signed", "is only for self_signed_trust ANY");
  }
  options->require = ReadRequirements(draft, path + ".require", v.require());
  options->verdict_ttl = ReadDuration(draft, v.has_verdict_ttl(), v.verdict_ttl(), path + ".verdict_ttl",
                                      {absl::Minutes(5), absl::Seconds(1), absl::Hours(1)});
  options->strength.min_rsa_bits =
      static_cast<int>(ReadNumber(draft, v.min_rsa_bits(), path + ".min_rsa_bits", 2048, 1024, 8192));
  options->strength.min_ec_bits =
      static_cast<int>(ReadNumber(draft, v.min_ec_bits(), path + ".min_ec_bits", 256, 224, 521));
  options->strength.allow_sha1 = v.allow_sha1();
  options->policy = ReadPolicies(draft, path, v);
  options->trust_store = TrustOf(draft, path, scheme);
  if (draft.violations.size() != before) return nullptr;
  options->epoch = certs::ContentEpoch(*options);
  return options;
}

identity::CertificateClaimOptions ClaimsOf(const v1::Scheme& scheme) {
  identity::CertificateClaimOptions claims;
  claims.scheme = scheme.name();
  if (scheme.client_certificate().name_format() == V1Scheme::DOTNET) {
    claims.name_format = identity::NameFormat::kDotNet;
  }
  if (scheme.client_certificate().serial_format() == V1Scheme::INTEGER) {
    claims.serial_format = identity::SerialFormat::kInteger;
  }
  return claims;
}

void BuildCertificate(Draft& draft, const v1::Scheme& scheme, const Scheme* before, Scheme* out) {
  CertificateSchemeRef built = BuildCertificateScheme(draft, scheme);
  if (built == nullptr) built = std::make_shared<certs::SchemeOptions>();
  if (before != nullptr && before->is_certificate() && before->certificate()->epoch == built->epoch &&
      before->certificate()->trust_store == built->trust_store) {
    built = before->certificate();
  }
  out->claims = ClaimsOf(scheme);
  // Identities that were made of a verdict depend on the formats, so the scheme's epoch does too.
  std::string content;
  AppendField(&content, built->epoch);
  AppendField(&content, static_cast<uint64_t>(out->claims.name_format));
  AppendField(&content, static_cast<uint64_t>(out->claims.serial_format));
  out->epoch = Epoch(Sha256(content));
  WarnOf(draft, absl::StrCat(PathOf("schemes", scheme.name()), ".client_certificate"), *built);
  out->kind = std::move(built);
}

credentials::ThrottleOptions ReadThrottle(Draft& draft, const std::string& path, const v1::PasswordThrottle& v) {
  credentials::ThrottleOptions out;
  const auto number = [&](uint32_t value, absl::string_view field, uint32_t fallback, uint32_t least, uint32_t most) {
    return static_cast<uint32_t>(ReadNumber(draft, value, absl::StrCat(path, ".", field), fallback, least, most));
  };
  out.free_failures = number(v.free_failures(), "free_failures", out.free_failures, 1, 1000);
  out.lockout_failures = number(v.lockout_failures(), "lockout_failures",
                                std::max(out.lockout_failures, 2 * out.free_failures), out.free_failures + 1, 100'000);
  out.user_free_failures = number(v.user_free_failures(), "user_free_failures", out.user_free_failures, 1, 100'000);
  constexpr uint32_t kMostUsers = 1'000'000;
  out.address_free_users = number(v.address_free_users(), "address_free_users", out.address_free_users, 1, kMostUsers - 1);
  out.address_lockout_users =
      number(v.address_lockout_users(), "address_lockout_users",
             std::min(std::max(out.address_free_users * 3 / 2, out.address_free_users + 1), kMostUsers),
             out.address_free_users + 1, kMostUsers);
  out.spray_users = number(v.spray_users(), "spray_users", out.spray_users, 2, kMostUsers);
  out.first_delay = ReadDuration(draft, v.has_first_delay(), v.first_delay(), path + ".first_delay",
                                 {out.first_delay, absl::Milliseconds(100), absl::Minutes(1)});
  out.max_delay = ReadDuration(draft, v.has_max_delay(), v.max_delay(), path + ".max_delay",
                               {std::max(out.max_delay, out.first_delay), out.first_delay, absl::Hours(1)});
  out.lockout = ReadDuration(draft, v.has_lockout(), v.lockout(), path + ".lockout",
                             {out.lockout, absl::Seconds(1), absl::Hours(24)});
  out.forget = ReadDuration(draft, v.has_forget(), v.forget(), path + ".forget",
                            {out.forget, absl::Seconds(1), absl::Hours(24)});
  out.user_delay = ReadDuration(draft, v.has_user_delay(), v.user_delay(), path + ".user_delay",
                                {out.user_delay, absl::Milliseconds(100), absl::Minutes(1)});
  out.spray_window = ReadDuration(draft, v.has_spray_window(), v.spray_window(), path + ".spray_window",
                                  {out.spray_window, absl::Seconds(1), absl::Hours(24)});
  return out;
}

void BuildBasic(Draft& draft, const v1::Scheme& scheme, const Scheme* before, Scheme* out) {
  constexpr size_t kMaxRealm = 128;
  const std::string path = absl::StrCat(PathOf("schemes", scheme.name()), ".basic");
  auto built = std::make_shared<credentials::BasicScheme>();
  built->name = scheme.name();
  built->realm = scheme.basic().realm().empty() ? scheme.name() : scheme.basic().realm();
  built->in_any_scheme = out->in_any_scheme;
  if (built->realm.size() > kMaxRealm || !IsValidUtf8(built->realm) ||
      absl::c_any_of(built->realm, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    draft.Violate(path + ".realm", "must be UTF-8 without control characters, at most ", kMaxRealm, " bytes");
  }
  built->cache_ttl = ReadDuration(draft, scheme.basic().has_cache_ttl(), scheme.basic().cache_ttl(),
                                  path + ".cache_ttl", {absl::Minutes(10), absl::Seconds(1), absl::Hours(24)});
  built->throttle = ReadThrottle(draft, path + ".throttle", scheme.basic().throttle());
  const std::string& store = scheme.basic().user_store();
  if (scheme.basic().has_validator()) {
    if (!store.empty()) draft.Violate(path + ".validator", "excludes user_store: one of them decides");
    if (scheme.basic().has_cache_ttl()) {
      draft.Violate(path + ".cache_ttl", "is for user_store; the service's answers say how long they last, and "
                                         "validator.max_lifetime caps it");
    }
    out->validator = BuildValidator(draft, scheme);
  } else if (store.empty()) {
    draft.Violate(path + ".user_store", "is required, or validator");
  } else if (draft.user_store_names.Find(store) == nullptr) {
    draft.Violate(path + ".user_store", draft.user_store_names.Missing("user store", store));
  } else if (auto it = draft.parts->user_stores.find(store); it != draft.parts->user_stores.end()) {
    built->users = it->second;
  }
  // The issuer of the user's claims; a service has no name of its own.
  out->user_store_name = out->validator != nullptr ? scheme.name() : store;
  built->epoch = credentials::ComputeEpoch(*built);
  if (out->validator != nullptr) {
    std::string content;
    AppendField(&content, built->epoch);
    AppendField(&content, AsView(out->validator->version));
    built->epoch = Epoch(Sha256(content));
    // The same to ask: clients and circuit breakers go on, whatever else changed.
    const bool same = before != nullptr && before->validator != nullptr &&
                      before->validator->version == out->validator->version;
    if (same) out->validator = before->validator;
  }
  out->epoch = built->epoch;
  if (before != nullptr && !before->is_certificate() && before->basic()->epoch == built->epoch &&
      before->basic()->users == built->users) {
    out->kind = before->basic();
  } else {
    out->kind = std::move(built);
  }
}

}  // namespace

void BuildSchemes(Draft& draft) {
  for (const v1::Scheme* scheme : draft.schemes) {
    Scheme& out = draft.snapshot->schemes.emplace_back();
    out.name = scheme->name();
    out.index = static_cast<uint32_t>(draft.snapshot->schemes.size() - 1);
    out.in_any_scheme = !scheme->has_in_any_scheme() || scheme->in_any_scheme();
    const Scheme* before = draft.previous == nullptr ? nullptr : draft.previous->FindScheme(scheme->name());
    switch (scheme->kind_case()) {
      case v1::Scheme::kClientCertificate:
        BuildCertificate(draft, *scheme, before, &out);
        break;
      case v1::Scheme::kBasic:
        BuildBasic(draft, *scheme, before, &out);
        break;
      case v1::Scheme::KIND_NOT_SET:
        draft.Violate(PathOf("schemes", scheme->name()), "needs one of client_certificate and basic");
        out.kind = std::make_shared<certs::SchemeOptions>();
        break;
    }
  }
}

}  // namespace gatehouse::config
