// Prefetch has octets brought into the processor's cache while it does something else, such as a system call. Any address
// may be given: it is a hint, and reads nothing.
#pragma once

#include <cstddef>

namespace gatehouse {

inline void Prefetch(const void* from, size_t octets) {
  constexpr size_t kLine = 64;
  const char* at = static_cast<const char*>(from);
  for (size_t i = 0; i < octets; i += kLine) __builtin_prefetch(at + i, 1);
}

}  // namespace gatehouse
