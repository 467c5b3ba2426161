// The `require` step: what a scheme demands of a leaf beyond a good path.
//
// Threading:  pure.
#pragma once

#include <string>

#include "gateway/certs/certificate.h"
#include "gateway/certs/options.h"

namespace gatehouse::certs {

// The first requirement that `leaf` does not meet, in words; empty when it meets all.
std::string UnmetRequirement(const Certificate& leaf, const Requirements& require);

}  // namespace gatehouse::certs
