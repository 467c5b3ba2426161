// Prefetch has octets brought into the processor's cache while it does something else, such as a system call. Any address
// may be given: it is a hint, and reads nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gatehouse {

inline void Prefetch(const void* from, size_t octets) {
  constexpr size_t kLine = 64;
  const auto at = reinterpret_cast<uintptr_t>(from);  // null too: a pointer must not go beyond what it points into
  for (size_t i = 0; i < octets; i += kLine) __builtin_prefetch(reinterpret_cast<const void*>(at + i), 1);
}

}  // namespace gatehouse
