#include "gateway/certs/options.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <re2/re2.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/certs/names.h"

namespace gatehouse::certs {
namespace {

constexpr int64_t kRegexMemory = 1 << 20;

// Writes every option with its length, so that no two different options give the same text.
class Content {
 public:
  Content& Add(absl::string_view text) {
    absl::StrAppend(&bytes_, text.size(), ":", text);
    return *this;
  }
  Content& Add(int64_t number) { return Add(absl::string_view(absl::StrCat(number))); }
  Content& Add(absl::Duration d) { return Add(absl::string_view(absl::FormatDuration(d))); }
  Content& Add(const std::vector<std::string>& texts) {
    Add(static_cast<int64_t>(texts.size()));
    for (const std::string& text : texts) Add(absl::string_view(text));
    return *this;
  }
  Content& Add(const std::vector<AddressRange>& ranges) {
    Add(static_cast<int64_t>(ranges.size()));
    for (const AddressRange& range : ranges) {
      Add(absl::string_view(reinterpret_cast<const char*>(range.address.data()), range.size));
      Add(int64_t{range.prefix});
    }
    return *this;
  }
  Content& Add(const TextMatcher& matcher) {
    return Add(static_cast<int64_t>(matcher.kind())).Add(absl::string_view(matcher.text()));
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_ = "certificate-scheme-1;";
};

}  // namespace

absl::StatusOr<TextMatcher> TextMatcher::Create(Kind kind, absl::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("the text to compare with is empty");
  TextMatcher matcher;
  matcher.kind_ = kind;
  matcher.text_ = std::string(text);
  if (kind == Kind::kRegex) {
    re2::RE2::Options options(re2::RE2::Quiet);
    options.set_max_mem(kRegexMemory);
    auto regex = std::make_shared<const re2::RE2>(matcher.text_, options);
    if (!regex->ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("not a regular expression: ", EscapeText(regex->error())));
    }
    matcher.regex_ = std::move(regex);
  }
  return matcher;
}

bool TextMatcher::Matches(absl::string_view text) const {
  switch (kind_) {
    case Kind::kExact:
      return text == text_;
    case Kind::kPrefix:
      return absl::StartsWith(text, text_);
    case Kind::kSuffix:
      return absl::EndsWith(text, text_);
    case Kind::kRegex:
      return re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex_);
  }
  return false;
}

absl::StatusOr<std::string> ParseAttribute(absl::string_view name) {
  std::string text(name);
  if (absl::EqualsIgnoreCase(name, "street")) text = "street";
  if (absl::EqualsIgnoreCase(name, "E")) text = "emailAddress";
  if (text == "givenName") text = "GN";
  ASN1_OBJECT* object = OBJ_txt2obj(text.c_str(), 0);
  ERR_clear_error();
  if (object == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown attribute \"", EscapeText(name),
                     "\"; use a short name such as CN or a dotted OID"));
  }
  std::string oid = DottedOid(object);
  ASN1_OBJECT_free(object);
  return oid;
}

absl::StatusOr<int> ParseSignatureAlgorithm(absl::string_view name) {
  const std::string text(name);
  int nid = OBJ_txt2nid(text.c_str());
  ERR_clear_error();
  int digest = NID_undef, key = NID_undef;
  const bool eddsa = nid == NID_ED25519 || nid == NID_ED448;
  if (nid == NID_undef || (!eddsa && OBJ_find_sigid_algs(nid, &digest, &key) != 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown signature algorithm \"", EscapeText(name),
                     "\"; use OpenSSL's name, such as ecdsa-with-SHA256"));
  }
  return nid;
}

absl::StatusOr<std::string> ParsePolicy(absl::string_view dotted) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("\"", EscapeText(dotted), "\" ", why));
  };
  const std::string text(dotted);
  ASN1_OBJECT* object = OBJ_txt2obj(text.c_str(), 1);
  ERR_clear_error();
  // OpenSSL takes more than the one spelling.
  if (object != nullptr && DottedOid(object) != text) {
    ASN1_OBJECT_free(object);
    object = nullptr;
  }
  if (object == nullptr) return wrong("is not a dotted object identifier, such as 1.3.6.1.4.1.99999.1");
  std::string octets(reinterpret_cast<const char*>(OBJ_get0_data(object)), OBJ_length(object));
  const bool any = OBJ_obj2nid(object) == NID_any_policy;
  ASN1_OBJECT_free(object);
  if (any) return wrong("is anyPolicy; leave the list empty for any policy");
  return octets;
}

uint64_t ContentEpoch(const SchemeOptions& options) {
  Content content;
  content.Add(absl::string_view(options.name))
      .Add(static_cast<int64_t>(options.allowed_certificate_types))
      .Add(int64_t{options.validate_certificate_use})
      .Add(int64_t{options.allow_absent_extended_key_usage})
      .Add(int64_t{options.validate_validity_period})
      .Add(options.clock_skew)
      .Add(static_cast<int64_t>(options.revocation.mode))
      .Add(static_cast<int64_t>(options.revocation.scope))
      .Add(static_cast<int64_t>(options.revocation.on_unknown))
      .Add(options.revocation.max_age)
      .Add(options.revocation.skew)
      .Add(options.revocation.timeout)
      .Add(absl::string_view(options.revocation.ocsp_url))
      .Add(int64_t{options.revocation.ocsp_nonce})
      .Add(static_cast<int64_t>(options.revocation.max_crl_bytes))
      .Add(int64_t{options.revocation.max_redirects})
      .Add(options.revocation.allowed_ranges)
      .Add(options.revocation.denied_ranges)
      .Add(static_cast<int64_t>(options.self_signed_trust))
      .Add(options.verdict_ttl)
      .Add(int64_t{options.strength.min_rsa_bits})
      .Add(int64_t{options.strength.min_ec_bits})
      .Add(int64_t{options.strength.max_rsa_bits})
      .Add(int64_t{options.strength.allow_sha1})
      .Add(int64_t{options.strength.allow_dsa})
      .Add(options.policy.initial_set)
      .Add(int64_t{options.policy.require_explicit})
      .Add(int64_t{options.policy.inhibit_mapping})
      .Add(int64_t{options.policy.inhibit_any});
  const Requirements& require = options.require;
  content.Add(static_cast<int64_t>(require.subject.size()));
  for (const SubjectMatcher& matcher : require.subject) {
    content.Add(absl::string_view(matcher.oid)).Add(matcher.value);
  }
  content.Add(require.san_dns).Add(require.san_email).Add(require.san_uri).Add(require.san_upn);
  content.Add(require.san_ip);
  content.Add(static_cast<int64_t>(require.issuer.size()));
  for (const TextMatcher& matcher : require.issuer) content.Add(matcher);
  content.Add(int64_t{require.min_key_bits});
  content.Add(static_cast<int64_t>(require.forbidden_signature_nids.size()));
  for (int nid : require.forbidden_signature_nids) content.Add(int64_t{nid});
  content.Add(int64_t{options.trust_store != nullptr});
  if (options.trust_store != nullptr)
    content.Add(absl::string_view(absl::StrCat(options.trust_store->version())));
  const uint64_t epoch = Epoch(Sha256(content.bytes()));
  return epoch == 0 ? 1 : epoch;
}

}  // namespace gatehouse::certs
