#include "gateway/http/field_list.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_split.h"

namespace gatehouse::http {
namespace {

constexpr std::array<bool, 256> MakeTokenTable() {
  std::array<bool, 256> t{};
  for (int c = '0'; c <= '9'; ++c) t[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) t[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) t[static_cast<size_t>(c)] = true;
  for (char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    t[static_cast<unsigned char>(c)] = true;
  }
  return t;
}
constexpr std::array<bool, 256> kToken = MakeTokenTable();

}  // namespace

bool FieldList::HasToken(absl::string_view name, absl::string_view token) const {
  if (!MayHave(name)) return false;
  for (const Entry& e : entries_) {
    if (View(e.name) != name) continue;
    for (absl::string_view part : absl::StrSplit(View(e.value), ',')) {
      if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(part), token)) return true;
    }
  }
  return false;
}

void FieldList::Join(absl::string_view name, absl::string_view separator) {
  if (Count(name) < 2) return;
  std::string joined;
  bool first = true;
  for (const Entry& e : entries_) {
    if (View(e.name) != name) continue;
    if (!first) joined.append(separator.data(), separator.size());
    absl::string_view value = View(e.value);
    joined.append(value.data(), value.size());
    first = false;
  }
  Slice value = Store(joined);
  first = true;
  std::erase_if(entries_, [&](Entry& e) {
    if (View(e.name) != name) return false;
    if (!first) return true;
    e.value = value;
    first = false;
    return false;
  });
}

bool IsToken(absl::string_view text) {
  bool token = !text.empty();
  for (char c : text) token &= kToken[static_cast<unsigned char>(c)];
  return token;
}

bool IsFieldValue(absl::string_view text) {
  if (text.empty()) return true;
  auto blank = [](char c) { return c == ' ' || c == '\t'; };
  if (blank(text.front()) || blank(text.back())) return false;
  if (!HasControl(text)) return true;
  return std::none_of(text.begin(), text.end(), [](char c) { return c != '\t' && HasControl(absl::string_view(&c, 1)); });
}

std::optional<uint64_t> ParseContentLength(absl::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  uint64_t n = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  return n;
}

bool IsHopByHop(absl::string_view name) {
  return name == "connection" || name == "keep-alive" || name == "proxy-connection" || name == "te" ||
         name == "transfer-encoding" || name == "upgrade" || name == "trailer";
}

void RemoveHopByHop(FieldList* fields) {
  std::vector<std::string> named;
  for (size_t i = 0; i < fields->size(); ++i) {
    if ((*fields)[i].name != "connection") continue;
    for (absl::string_view part : absl::StrSplit((*fields)[i].value, ',')) {
      std::string n = absl::AsciiStrToLower(absl::StripAsciiWhitespace(part));
      if (!n.empty() && n != "content-length" && n != "host") named.push_back(std::move(n));
    }
  }
  fields->RemoveIf([&](absl::string_view name, absl::string_view) {
    if (IsHopByHop(name)) return true;
    for (const std::string& n : named) {
      if (name == n) return true;
    }
    return false;
  });
}

}  // namespace gatehouse::http
