#include "gateway/certs/san.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/certs/der.h"

namespace gatehouse::certs {
namespace {

bool IsVisibleAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// RFC 5280 section 4.2.1.6: absolute, with a scheme.
bool IsUri(absl::string_view text) {
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos || colon == 0 || colon + 1 == text.size()) return false;
  if (!absl::ascii_isalpha(static_cast<unsigned char>(text[0]))) return false;
  for (char c : text.substr(0, colon)) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '+' && c != '-' && c != '.')
      return false;
  }
  return IsVisibleAscii(text);
}

bool IsPlainText(absl::string_view text) {
  return !text.empty() && IsValidUtf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u < 0x20 || u == 0x7f;
  });
}

// OtherName ::= SEQUENCE { type-id OID, value [0] EXPLICIT ANY }, its own tag already off. False: not a UPN.
bool ReadUpn(absl::string_view content, absl::string_view* text) {
  constexpr absl::string_view kUpn("\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03", 10);
  constexpr uint8_t kUtf8String = 0x0c;
  DerReader reader(content);
  if (reader.Next(der::kOid) != kUpn) return false;
  *text = "";
  const std::optional<absl::string_view> value = reader.Next(der::Constructed(0));
  if (!value || !reader.done()) return true;
  DerReader inner(*value);
  const std::optional<absl::string_view> found = inner.Next(kUtf8String);
  if (found && inner.done()) *text = *found;
  return true;
}

// Returns what is wrong with the entry, or "".
std::string ReadOne(const GeneralName& entry, std::vector<San>* sans) {
  const absl::string_view text = entry.content;
  switch (entry.form) {
    case NameForm::kDns:
      if (!IsDnsName(text)) return absl::StrCat("DNS name \"", EscapeText(text), "\" is not a host name");
      sans->push_back({SanKind::kDns, std::string(text)});
      return "";
    case NameForm::kRfc822:
      if (!IsEmail(text)) return absl::StrCat("email \"", EscapeText(text), "\" is not an address");
      sans->push_back({SanKind::kEmail, std::string(text)});
      return "";
    case NameForm::kUri:
      if (!IsUri(text)) return absl::StrCat("URI \"", EscapeText(text), "\" is not an absolute URI");
      sans->push_back({SanKind::kUri, std::string(text)});
      return "";
    case NameForm::kIp: {
      char printed[INET6_ADDRSTRLEN];
      if (text.size() != 4 && text.size() != 16) return absl::StrCat("IP address of ", text.size(), " octets");
      inet_ntop(text.size() == 4 ? AF_INET : AF_INET6, text.data(), printed, sizeof printed);
      sans->push_back({SanKind::kIp, printed});
      return "";
    }
    case NameForm::kOther: {
      absl::string_view upn;
      if (!ReadUpn(text, &upn)) return "";
      if (!IsPlainText(upn)) return "user principal name is not plain UTF-8 text";
      sans->push_back({SanKind::kUpn, std::string(upn)});
      return "";
    }
    default:
      return "";
  }
}

}  // namespace

absl::string_view SanKindName(SanKind kind) {
  static constexpr const char* kNames[] = {"dns", "email", "uri", "ip", "upn"};
  return kNames[static_cast<int>(kind)];
}

bool IsEmail(absl::string_view text) {
  const size_t at = text.rfind('@');
  return at != absl::string_view::npos && at > 0 && IsVisibleAscii(text) &&
         text.substr(0, at).find('@') == absl::string_view::npos &&
         IsDnsName(text.substr(at + 1)) && text[at + 1] != '*';
}

bool IsDnsName(absl::string_view name) {
  if (name.size() > 253) return false;
  if (absl::StartsWith(name, "*.")) name.remove_prefix(2);
  size_t label = 0;
  for (size_t i = 0; i <= name.size(); ++i) {
    if (i == name.size() || name[i] == '.') {
      if (label == 0 || label > 63 || name[i - 1] == '-' || name[i - label] == '-') return false;
      label = 0;
      continue;
    }
    const char c = name[i];
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') return false;
    ++label;
  }
  return true;
}

std::string ReadSans(const std::vector<GeneralName>& names, std::vector<San>* sans) {
  for (const GeneralName& name : names) {
    std::string wrong = ReadOne(name, sans);
    if (!wrong.empty()) return absl::StrCat("subjectAltName: ", wrong);
  }
  return "";
}

}  // namespace gatehouse::certs
