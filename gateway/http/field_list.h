// FieldList is the header (or trailer) fields of a message: names in lower case, order kept, repeats kept.
//
// Ownership:  one string holds all bytes; the views that it hands out live until the next Add, Clear or destruction.
// Threading:  thread-compatible.
// Units:      at most 4 GiB of bytes together; the codecs' limits are far lower.
// Errors:     none; it checks nothing. IsToken and IsFieldValue say what may go on the wire.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gateway/base/octets.h"

namespace gatehouse::http {

class FieldList {
 public:
  struct Field {
    absl::string_view name;
    absl::string_view value;
  };
  // A piece of the list's own bytes; stays right when they move.
  struct Slice {
    uint32_t offset = 0;
    uint32_t length = 0;
  };

  void Add(absl::string_view name, absl::string_view value) {
    const Slice stored = StoreLower(name);
    AddStored(stored, Store(value));
  }
  // The same for a name that is in lower case already, as in HTTP/2. `name` and `value` are not the list's own.
  void AddLower(absl::string_view name, absl::string_view value) {
    const Slice stored = Store(name);
    AddStored(stored, Store(value));
  }
  // The same for what is among the list's octets already.
  void AddStored(Slice name, Slice value) {
    marks_ |= MarkOf(View(name));
    entries_.push_back(Entry{name, value});
  }
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  Field operator[](size_t i) const { return Field{View(entries_[i].name), View(entries_[i].value)}; }

  // The first field of that name (lower case), or nullopt.
  std::optional<absl::string_view> Find(absl::string_view name) const {
    if (!MayHave(name)) return std::nullopt;
    for (const Entry& e : entries_) {
      if (View(e.name) == name) return View(e.value);
    }
    return std::nullopt;
  }
  size_t Count(absl::string_view name) const {
    if (!MayHave(name)) return 0;
    size_t n = 0;
    for (const Entry& e : entries_) n += View(e.name) == name;
    return n;
  }
  bool Has(absl::string_view name) const { return Find(name).has_value(); }
  // Remove returns how many went.
  size_t Remove(absl::string_view name) {
    return RemoveIf([name](absl::string_view n, absl::string_view) { return n == name; });
  }
  // `predicate(name, value) -> bool`.
  template <typename Predicate>
  size_t RemoveIf(Predicate predicate) {
    return std::erase_if(entries_, [&](const Entry& e) { return predicate(View(e.name), View(e.value)); });
  }
  // True when some comma-separated list field `name` contains `token` (any case).
  bool HasToken(absl::string_view name, absl::string_view token) const;

  // Joins all fields of `name` into one, values separated by `separator`, in the first one's place.
  void Join(absl::string_view name, absl::string_view separator);

  Slice Store(absl::string_view bytes) {
    Slice s{static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(bytes.size())};
    bytes_.append(bytes.data(), bytes.size());
    return s;
  }
  Slice StoreLower(absl::string_view bytes) {
    const Slice s = Store(bytes);
    ToLowerAscii(bytes_.data() + s.offset, s.length);
    return s;
  }
  // Whether `bytes` are a view of the list's own; then `to` says where.
  bool Locate(absl::string_view bytes, Slice* to) const {
    const uintptr_t offset = reinterpret_cast<uintptr_t>(bytes.data()) - reinterpret_cast<uintptr_t>(bytes_.data());
    if (offset > bytes_.size() || bytes.size() > bytes_.size() - offset) return false;
    to->offset = static_cast<uint32_t>(offset);
    to->length = static_cast<uint32_t>(bytes.size());
    return true;
  }
  absl::string_view View(Slice s) const { return absl::string_view(bytes_.data() + s.offset, s.length); }
  void Clear() {
    bytes_.clear();
    entries_.clear();
    marks_ = 0;
  }
  size_t capacity() const { return bytes_.capacity(); }  // octets
  void Reserve(size_t bytes, size_t fields) {
    bytes_.reserve(bytes);
    entries_.reserve(fields);
  }

 private:
  struct Entry {
    Slice name;
    Slice value;
  };
  // A request is asked for a dozen names that most do not have: one bit of 64 a name tells nearly all of them apart.
  static uint64_t MarkOf(absl::string_view name) {
    if (name.empty()) return 1;
    const auto first = static_cast<unsigned char>(name.front());
    const auto last = static_cast<unsigned char>(name.back());
    return uint64_t{1} << ((name.size() + 7u * first + 13u * last) & 63);
  }
  bool MayHave(absl::string_view name) const { return (marks_ & MarkOf(name)) != 0; }

  std::string bytes_;
  std::vector<Entry> entries_;
  uint64_t marks_ = 0;  // of the names that were added; those that were removed may still be in it
};

// RFC 9110 token; non-empty.
bool IsToken(absl::string_view text);
// RFC 9110 field value: no CR, LF, NUL, other controls (HTAB is allowed) or DEL; no white space at either end.
bool IsFieldValue(absl::string_view text);
// A plain decimal number without sign or white space that fits 63 bits.
std::optional<uint64_t> ParseContentLength(absl::string_view text);
// Fields that belong to one connection and never pass a gateway: connection, keep-alive, proxy-connection, te,
// transfer-encoding, upgrade, trailer. `name` in lower case.
bool IsHopByHop(absl::string_view name);
// Removes the hop-by-hop fields and those that Connection names. Never content-length or host.
void RemoveHopByHop(FieldList* fields);

}  // namespace gatehouse::http
