// Footprint tells what a parsed certificate takes of memory: a kilobyte of names in it can become a hundred.
//
// Threading:  pure.
// Units:      octets, about; rather too many.
#pragma once

#include <cstddef>

#include "gateway/certs/certificate.h"

namespace gatehouse::certs {

// What an ordinary certificate takes, generously.
inline constexpr size_t kUsualFootprint = 16 * 1024;

// Walks the DER: microseconds.
size_t Footprint(const Certificate& certificate);

}  // namespace gatehouse::certs
