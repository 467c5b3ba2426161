#include "gateway/credentials/base64.h"

#include <openssl/crypto.h>

#include <array>
#include <cstdint>

namespace gatehouse::credentials {
namespace {

constexpr std::array<int8_t, 256> MakeTable() {
  std::array<int8_t, 256> table{};
  for (auto& v : table) v = -1;
  for (int i = 0; i < 26; ++i) {
    table[static_cast<size_t>('A' + i)] = static_cast<int8_t>(i);
    table[static_cast<size_t>('a' + i)] = static_cast<int8_t>(26 + i);
  }
  for (int i = 0; i < 10; ++i) table[static_cast<size_t>('0' + i)] = static_cast<int8_t>(52 + i);
  table['+'] = 62;
  table['/'] = 63;
  return table;
}
constexpr std::array<int8_t, 256> kTable = MakeTable();

bool Decode(absl::string_view text, Base64Padding padding, std::string* out) {
  if (padding == Base64Padding::kRequired) {
    if (text.size() % 4 != 0) return false;
    for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  }
  const size_t tail = text.size() % 4;
  if (tail == 1) return false;
  out->reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int have = 0;
  for (char c : text) {
    int8_t v = kTable[static_cast<uint8_t>(c)];
    if (v < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(v);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out->push_back(static_cast<char>(bits >> have));
      bits &= (1u << have) - 1;
    }
  }
  return bits == 0;  // RFC 4648 section 3.5: the unused bits are zero
}

}  // namespace

bool DecodeBase64(absl::string_view text, Base64Padding padding, std::string* out) {
  out->clear();
  if (Decode(text, padding, out)) return true;
  OPENSSL_cleanse(out->data(), out->size());
  out->clear();
  return false;
}

}  // namespace gatehouse::credentials
