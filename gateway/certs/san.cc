#include "gateway/certs/san.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/certs/names.h"

namespace gatehouse::certs {
namespace {

constexpr int kMaxSans = 256;
using UniqueGeneralNames = std::unique_ptr<GENERAL_NAMES, OpenSslDeleter<GENERAL_NAMES_free>>;

absl::string_view Bytes(const ASN1_STRING* s) {
  return absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
                           static_cast<size_t>(ASN1_STRING_length(s)));
}

bool IsVisibleAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

bool IsEmail(absl::string_view text) {
  const size_t at = text.rfind('@');
  return at != absl::string_view::npos && at > 0 && IsVisibleAscii(text) &&
         text.substr(0, at).find('@') == absl::string_view::npos &&
         IsDnsName(text.substr(at + 1)) && text[at + 1] != '*';
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

// Returns what is wrong with the entry, or "".
std::string ReadOne(const GENERAL_NAME* entry, std::vector<San>* sans) {
  int type = 0;
  const void* value = GENERAL_NAME_get0_value(entry, &type);
  switch (type) {
    case GEN_DNS: {
      absl::string_view text = Bytes(static_cast<const ASN1_STRING*>(value));
      if (!IsDnsName(text))
        return absl::StrCat("DNS name \"", EscapeText(text), "\" is not a host name");
      sans->push_back({SanKind::kDns, std::string(text)});
      return "";
    }
    case GEN_EMAIL: {
      absl::string_view text = Bytes(static_cast<const ASN1_STRING*>(value));
      if (!IsEmail(text)) return absl::StrCat("email \"", EscapeText(text), "\" is not an address");
      sans->push_back({SanKind::kEmail, std::string(text)});
      return "";
    }
    case GEN_URI: {
      absl::string_view text = Bytes(static_cast<const ASN1_STRING*>(value));
      if (!IsUri(text))
        return absl::StrCat("URI \"", EscapeText(text), "\" is not an absolute URI");
      sans->push_back({SanKind::kUri, std::string(text)});
      return "";
    }
    case GEN_IPADD: {
      absl::string_view octets = Bytes(static_cast<const ASN1_STRING*>(value));
      char text[INET6_ADDRSTRLEN];
      if (octets.size() != 4 && octets.size() != 16) {
        return absl::StrCat("IP address of ", octets.size(), " octets");
      }
      inet_ntop(octets.size() == 4 ? AF_INET : AF_INET6, octets.data(), text, sizeof text);
      sans->push_back({SanKind::kIp, text});
      return "";
    }
    case GEN_OTHERNAME: {
      const auto* other = static_cast<const OTHERNAME*>(value);
      if (DottedOid(other->type_id) != kUpnOid) return "";
      if (other->value == nullptr || other->value->type != V_ASN1_UTF8STRING ||
          !IsPlainText(Bytes(other->value->value.utf8string))) {
        return "user principal name is not plain UTF-8 text";
      }
      sans->push_back({SanKind::kUpn, std::string(Bytes(other->value->value.utf8string))});
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

std::string ReadSans(const X509* certificate, std::vector<San>* sans) {
  int critical = 0;
  UniqueGeneralNames names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr)));
  if (names == nullptr) {
    ERR_clear_error();
    return critical == -1 ? "" : "subjectAltName cannot be read";
  }
  const int count = sk_GENERAL_NAME_num(names.get());
  if (count == 0) return "subjectAltName is empty";
  if (count > kMaxSans) return absl::StrCat("subjectAltName has more than ", kMaxSans, " entries");
  for (int i = 0; i < count; ++i) {
    std::string wrong = ReadOne(sk_GENERAL_NAME_value(names.get(), i), sans);
    if (!wrong.empty()) return absl::StrCat("subjectAltName: ", wrong);
  }
  return "";
}

}  // namespace gatehouse::certs
