#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/status.h"
#include "gateway/certs/certificate.h"
#include "gateway/identity/headers.h"

namespace gatehouse::identity {
namespace {

// RFC 3986 percent-encoding of everything but unreserved characters, as Envoy encodes PEM.
std::string UrlEncode(absl::string_view text) {
  std::string out;
  for (char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(octet) ||
        absl::string_view("-._~").find(c) != absl::string_view::npos) {
      out.push_back(c);
    } else {
      absl::StrAppend(&out, "%", HexUpper(absl::string_view(&c, 1)));
    }
  }
  return out;
}

// RFC 4514 allows `\HH` wherever it allows `\c`. With it the value has no quote, and no backslash
// before one.
std::string HexEscapedName(absl::string_view rfc4514) {
  std::string out;
  const auto hex = [&out](char c) {
    absl::StrAppend(&out, "\\", HexUpper(absl::string_view(&c, 1)));
  };
  for (size_t i = 0; i < rfc4514.size(); ++i) {
    const char c = rfc4514[i];
    if (c == '\\' && i + 2 < rfc4514.size() &&
        absl::ascii_isxdigit(static_cast<unsigned char>(rfc4514[i + 1])) &&
        absl::ascii_isxdigit(static_cast<unsigned char>(rfc4514[i + 2]))) {
      absl::StrAppend(&out, rfc4514.substr(i, 3));
      i += 2;
    } else if (c == '\\' && i + 1 < rfc4514.size()) {
      hex(rfc4514[++i]);
    } else if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
      hex(c);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

class Element {
 public:
  void Add(absl::string_view key, absl::string_view value) {
    absl::StrAppend(&text_, text_.empty() ? "" : ";", key, "=", value);
  }
  void AddQuoted(absl::string_view key, absl::string_view value) {
    Add(key, absl::StrCat("\"", value, "\""));
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

// SAN text: quoted if it has a delimiter, refused if a quoted value could be misread.
absl::Status AddName(absl::string_view key, absl::string_view value, Element* element) {
  const bool plain = std::all_of(value.begin(), value.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
  });
  if (value.empty() || !plain) {
    return absl::FailedPreconditionError(
        absl::StrCat("x-forwarded-client-cert: ", key, " has characters that cannot be carried"));
  }
  if (value.find_first_of(",;=") == absl::string_view::npos) {
    element->Add(key, value);
  } else {
    element->AddQuoted(key, value);
  }
  return absl::OkStatus();
}

absl::Status AddNames(const Part& part, absl::string_view claim_type, absl::string_view key,
                      Element* element) {
  for (const Claim& claim : part.claims) {
    if (claim.type == claim_type) GH_RETURN_IF_ERROR(AddName(key, claim.value, element));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> XfccValue(const Part& part, const XfccFields& fields) {
  if (part.certificate == nullptr) {
    return absl::FailedPreconditionError("x-forwarded-client-cert: no certificate was verified");
  }
  const certs::Certificate& leaf = *part.certificate;
  Element element;  // the order in which Envoy writes them
  if (fields.hash) element.Add("Hash", HexLower(AsView(leaf.sha256())));
  if (fields.cert) element.AddQuoted("Cert", UrlEncode(leaf.ToPem()));
  if (fields.chain) {
    std::string pem = leaf.ToPem();
    for (size_t i = 1; i < part.path.size(); ++i) pem += part.path[i]->ToPem();
    element.AddQuoted("Chain", UrlEncode(pem));
  }
  if (fields.subject && !part.by_key) element.AddQuoted("Subject", HexEscapedName(leaf.subject()));
  if (fields.uri) GH_RETURN_IF_ERROR(AddNames(part, "uri", "URI", &element));
  if (fields.dns) GH_RETURN_IF_ERROR(AddNames(part, "dns", "DNS", &element));
  return element.Take();
}

}  // namespace gatehouse::identity
