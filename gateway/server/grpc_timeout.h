// The deadline that a gRPC client sends along ("gRPC over HTTP/2": Timeout).
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace gatehouse::server {

// ParseGrpcTimeout reads one to eight digits and a unit: H, M, S, m, u or n. nullopt: malformed.
std::optional<absl::Duration> ParseGrpcTimeout(absl::string_view text);

// FormatGrpcTimeout writes it as precisely as eight digits allow, rounded up. REQUIRES: positive, at most 24 h.
std::string FormatGrpcTimeout(absl::Duration timeout);

}  // namespace gatehouse::server
