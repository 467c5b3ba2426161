#include "gateway/certs/names.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/escape.h"
#include "gateway/base/fields.h"

namespace gatehouse::certs {
namespace {

constexpr int kMaxAttributes = 64;

bool IsTextType(int type) {
  switch (type) {
    case V_ASN1_UTF8STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_T61STRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_UNIVERSALSTRING:
    case V_ASN1_BMPSTRING:
    case V_ASN1_NUMERICSTRING:
    case V_ASN1_VISIBLESTRING:
      return true;
    default:
      return false;
  }
}

// The value as UTF-8; nullopt when it is not text.
std::optional<std::string> Utf8(const ASN1_STRING* value) {
  if (!IsTextType(ASN1_STRING_type(value))) return std::nullopt;
  unsigned char* out = nullptr;
  int size = ASN1_STRING_to_UTF8(&out, value);
  if (size < 0) {
    ERR_clear_error();
    return std::nullopt;
  }
  std::string text(reinterpret_cast<const char*>(out), static_cast<size_t>(size));
  OPENSSL_free(out);
  if (!IsValidUtf8(text)) return std::nullopt;
  return text;
}

std::string HexOfDer(const ASN1_STRING* value) {
  // An ASN1_STRING alone does not know its encoding; an ASN1_TYPE around it does.
  ASN1_TYPE type;
  type.type = ASN1_STRING_type(value);
  type.value.asn1_string = const_cast<ASN1_STRING*>(value);
  unsigned char* out = nullptr;
  int size = i2d_ASN1_TYPE(&type, &out);
  if (size < 0) {
    ERR_clear_error();
    return "#";
  }
  std::string hex =
      absl::StrCat("#", absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(out),
                                                                 static_cast<size_t>(size))));
  OPENSSL_free(out);
  return hex;
}

// RFC 4514 section 2.4; controls, which it leaves alone, are escaped too.
std::string EscapeRfc4514(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto u = static_cast<unsigned char>(c);
    const bool edge_space = c == ' ' && (i == 0 || i + 1 == text.size());
    if (u < 0x20 || u == 0x7f) {
      absl::StrAppend(&out, "\\", absl::Hex(u, absl::kZeroPad2));
    } else if (edge_space || (c == '#' && i == 0) ||
               absl::string_view("\"+,;<>\\").find(c) != absl::string_view::npos) {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string QuoteDotNet(absl::string_view text) {
  const bool quote = text.empty() ||
                     absl::ascii_isspace(static_cast<unsigned char>(text.front())) ||
                     absl::ascii_isspace(static_cast<unsigned char>(text.back())) ||
                     text.find_first_of(",+=\"\n<>#;") != absl::string_view::npos;
  if (!quote) return std::string(text);
  std::string out = "\"";
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

// C0, DEL and C1 (U+0080 to U+009F, 0xc2 0x80 to 0xc2 0x9f).
bool HasControl(absl::string_view utf8) {
  for (size_t i = 0; i < utf8.size(); ++i) {
    const auto u = static_cast<unsigned char>(utf8[i]);
    if (u < 0x20 || u == 0x7f) return true;
    if (u == 0xc2 && i + 1 < utf8.size() && static_cast<unsigned char>(utf8[i + 1]) < 0xa0) return true;
  }
  return false;
}

struct ShortName {
  int nid;
  const char* rfc4514;
  const char* dotnet;
};
constexpr ShortName kShortNames[] = {
    {NID_commonName, "CN", "CN"},
    {NID_organizationName, "O", "O"},
    {NID_organizationalUnitName, "OU", "OU"},
    {NID_countryName, "C", "C"},
    {NID_localityName, "L", "L"},
    {NID_stateOrProvinceName, "ST", "S"},
    {NID_streetAddress, "STREET", "STREET"},
    {NID_domainComponent, "DC", "DC"},
    {NID_userId, "UID", nullptr},
    {NID_serialNumber, "serialNumber", "SERIALNUMBER"},
    {NID_title, "title", "T"},
    {NID_givenName, "givenName", "G"},
    {NID_surname, "SN", "SN"},
    {NID_initials, "initials", "I"},
    {NID_dnQualifier, "dnQualifier", nullptr},
    {NID_pkcs9_emailAddress, "emailAddress", "E"},
};

const ShortName* FindShortName(const ASN1_OBJECT* object) {
  const int nid = OBJ_obj2nid(object);
  for (const ShortName& name : kShortNames) {
    if (name.nid == nid) return &name;
  }
  return nullptr;
}

// Calls print(entry) from the last RDN to the first, with the separators between.
template <typename Print>
std::string PrintName(const X509_NAME* name, const char* rdn_separator, const char* value_separator,
                      Print print) {
  std::string out;
  const int count = X509_NAME_entry_count(name);
  int previous_set = -1;
  for (int i = count - 1; i >= 0; --i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const int set = X509_NAME_ENTRY_set(entry);
    if (i != count - 1) out += set == previous_set ? value_separator : rdn_separator;
    previous_set = set;
    out += print(X509_NAME_ENTRY_get_object(entry), X509_NAME_ENTRY_get_data(entry));
  }
  return out;
}

}  // namespace

std::string DottedOid(const ASN1_OBJECT* object) {
  char small[128];
  const int size = OBJ_obj2txt(small, sizeof small, object, 1);
  if (size < 0) {
    ERR_clear_error();
    return "";
  }
  if (static_cast<size_t>(size) < sizeof small) return small;
  std::string big(static_cast<size_t>(size) + 1, '\0');
  OBJ_obj2txt(big.data(), size + 1, object, 1);
  big.pop_back();
  return big;
}

std::string NameRfc4514(const X509_NAME* name) {
  return PrintName(name, ",", "+", [](const ASN1_OBJECT* type, const ASN1_STRING* value) {
    const ShortName* known = FindShortName(type);
    std::optional<std::string> text = Utf8(value);
    if (known == nullptr) return absl::StrCat(DottedOid(type), "=", HexOfDer(value));
    return absl::StrCat(known->rfc4514, "=", text ? EscapeRfc4514(*text) : HexOfDer(value));
  });
}

std::string NameDotNet(const X509_NAME* name) {
  return PrintName(name, ", ", " + ", [](const ASN1_OBJECT* type, const ASN1_STRING* value) {
    const ShortName* known = FindShortName(type);
    std::optional<std::string> text = Utf8(value);
    const std::string word = known != nullptr && known->dotnet != nullptr
                                 ? known->dotnet
                                 : absl::StrCat("OID.", DottedOid(type));
    return absl::StrCat(word, "=", text ? QuoteDotNet(*text) : HexOfDer(value));
  });
}

std::vector<NameAttribute> TextAttributes(const X509_NAME* name) {
  std::vector<NameAttribute> out;
  const int count = X509_NAME_entry_count(name);
  for (int i = 0; i < count; ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    std::optional<std::string> text = Utf8(X509_NAME_ENTRY_get_data(entry));
    if (text) out.push_back({DottedOid(X509_NAME_ENTRY_get_object(entry)), *std::move(text)});
  }
  return out;
}

std::string NameDefect(const X509_NAME* name) {
  const int count = X509_NAME_entry_count(name);
  if (count > kMaxAttributes) return absl::StrCat("more than ", kMaxAttributes, " attributes");
  std::vector<std::pair<int, std::string>> seen;  // RDN and attribute
  for (int i = 0; i < count; ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(entry);
    const std::string oid = DottedOid(X509_NAME_ENTRY_get_object(entry));
    std::pair<int, std::string> here(X509_NAME_ENTRY_set(entry), oid);
    if (std::find(seen.begin(), seen.end(), here) != seen.end()) {
      return absl::StrCat("attribute ", oid, " twice in one relative distinguished name");
    }
    seen.push_back(std::move(here));
    if (!IsTextType(ASN1_STRING_type(value))) {
      // Left out where attributes are compared, it would let another one pass for it.
      if (FindShortName(X509_NAME_ENTRY_get_object(entry)) != nullptr) return absl::StrCat("attribute ", oid, " is no text");
      continue;
    }
    std::optional<std::string> text = Utf8(value);
    if (!text) return absl::StrCat("attribute ", oid, " is not text in its own encoding");
    if (HasControl(*text)) return absl::StrCat("attribute ", oid, " holds a control character");
  }
  return "";
}

absl::string_view NameDer(const X509_NAME* name) {
  const unsigned char* der = nullptr;
  size_t size = 0;
  X509_NAME_get0_der(name, &der, &size);
  return absl::string_view(reinterpret_cast<const char*>(der), size);
}

UniqueName NameFromDer(absl::string_view der) {
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  UniqueName name(d2i_X509_NAME(nullptr, &p, static_cast<long>(der.size())));
  ERR_clear_error();
  if (name != nullptr && reinterpret_cast<const char*>(p) != der.data() + der.size()) return nullptr;
  return name;
}

std::vector<std::string> CanonicalRdns(const X509_NAME* name) {
  std::vector<std::vector<std::string>> rdns;
  const int count = X509_NAME_entry_count(name);
  int previous_set = -1;
  for (int i = 0; i < count; ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(entry);
    const int set = X509_NAME_ENTRY_set(entry);
    if (set != previous_set) rdns.emplace_back();
    previous_set = set;
    std::optional<std::string> text;
    if (ASN1_STRING_type(value) != V_ASN1_NUMERICSTRING) text = Utf8(value);
    std::string folded = DottedOid(X509_NAME_ENTRY_get_object(entry));
    if (text) {
      absl::RemoveExtraAsciiWhitespace(&*text);
      absl::AsciiStrToLower(&*text);
      absl::StrAppend(&folded, "=", *text);
    } else {
      absl::StrAppend(&folded, "=", HexOfDer(value));
    }
    rdns.back().push_back(std::move(folded));
  }
  std::vector<std::string> out;
  for (std::vector<std::string>& rdn : rdns) {
    std::sort(rdn.begin(), rdn.end());
    std::string& text = out.emplace_back();
    for (const std::string& attribute : rdn) AppendField(&text, attribute);
  }
  return out;
}

uint64_t NameHash(const X509_NAME* name) {
  // X509_NAME_cmp's canonical form is not public: this one folds at least as much.
  std::string folded;
  const int count = X509_NAME_entry_count(name);
  for (int i = 0; i < count; ++i) {
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i));
    const std::optional<std::string> text = Utf8(value);
    if (!text) {
      folded += "#;";
      continue;
    }
    for (char c : *text) {
      if (!absl::ascii_isspace(static_cast<unsigned char>(c))) {
        folded += absl::ascii_tolower(static_cast<unsigned char>(c));
      }
    }
    folded += ';';
  }
  return Epoch(Sha256(folded));
}

namespace {

// Splits at unescaped separators and undoes RFC 4514 escapes.
struct Reader {
  absl::string_view rest;

  absl::StatusOr<std::string> Value() {
    std::string out;
    size_t unescaped_end = 0;  // trailing unescaped spaces are not part of the value
    while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
    if (!rest.empty() && rest.front() == '#') {
      return absl::InvalidArgumentError("hexadecimal values (#...) are not supported");
    }
    while (!rest.empty() && rest.front() != ',' && rest.front() != '+' && rest.front() != ';') {
      char c = rest.front();
      rest.remove_prefix(1);
      if (c == '"' || c == '<' || c == '>') {
        return absl::InvalidArgumentError(
            absl::StrCat("character ", std::string(1, c), " must be escaped"));
      }
      if (c != '\\') {
        out += c;
        if (c != ' ') unescaped_end = out.size();
        continue;
      }
      if (rest.size() >= 2 && absl::ascii_isxdigit(static_cast<unsigned char>(rest[0])) &&
          absl::ascii_isxdigit(static_cast<unsigned char>(rest[1]))) {
        out += absl::HexStringToBytes(rest.substr(0, 2));
        rest.remove_prefix(2);
      } else if (!rest.empty() &&
                 absl::string_view(" \"#+,;<=>\\").find(rest.front()) != absl::string_view::npos) {
        out += rest.front();
        rest.remove_prefix(1);
      } else {
        return absl::InvalidArgumentError("a backslash escapes nothing");
      }
      unescaped_end = out.size();
    }
    out.resize(unescaped_end);
    return out;
  }
};

int AttributeNid(absl::string_view word) {
  for (const ShortName& name : kShortNames) {
    if (absl::AsciiStrToLower(name.rfc4514) == absl::AsciiStrToLower(word)) return name.nid;
  }
  const std::string text(word);
  int nid = OBJ_txt2nid(text.c_str());
  ERR_clear_error();
  return nid;
}

}  // namespace

absl::StatusOr<UniqueName> ParseName(absl::string_view text) {
  struct Attribute {
    std::string type, value;
    bool joins_previous;
  };
  std::vector<Attribute> attributes;
  Reader reader{text};
  bool joins = false;
  while (true) {
    const size_t equals = reader.rest.find('=');
    if (equals == absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          "name \"", EscapeText(text), "\": expected TYPE=value, such as CN=alice,O=Example"));
    }
    std::string type(absl::StripAsciiWhitespace(reader.rest.substr(0, equals)));
    reader.rest.remove_prefix(equals + 1);
    absl::StatusOr<std::string> value = reader.Value();
    if (!value.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("name \"", EscapeText(text), "\": ", value.status().message()));
    }
    attributes.push_back({std::move(type), *std::move(value), joins});
    if (reader.rest.empty()) break;
    joins = reader.rest.front() == '+';
    reader.rest.remove_prefix(1);
  }
  UniqueName name(X509_NAME_new());
  // Text is most specific first, the encoding is least specific first.
  for (size_t i = attributes.size(); i-- > 0;) {
    const Attribute& a = attributes[i];
    const int nid = AttributeNid(a.type);
    const std::string where = absl::StrCat("name \"", EscapeText(text), "\": ");
    if (nid == NID_undef) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, "unknown attribute \"", EscapeText(a.type), "\""));
    }
    if (a.value.empty() || !IsValidUtf8(a.value)) {
      return absl::InvalidArgumentError(absl::StrCat(where, a.type, " is empty or not UTF-8"));
    }
    const bool same_rdn = i + 1 < attributes.size() && attributes[i + 1].joins_previous;
    if (X509_NAME_add_entry_by_NID(name.get(), nid, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(a.value.data()),
                                   static_cast<int>(a.value.size()), -1, same_rdn ? -1 : 0) != 1) {
      return OpenSslError(absl::StrCat(where, a.type));
    }
  }
  return name;
}

}  // namespace gatehouse::certs
