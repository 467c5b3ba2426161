// ApplyChunks cuts a set into the messages of one Apply: each below 1 MiB, or one resource that is larger by itself.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "gatehouse/v1/config_service.pb.h"

namespace gatehouse::client {

inline constexpr size_t kApplyChunkBytes = 1u << 20;

// The options are in the first message; there is always one.
std::vector<v1::ApplyRequest> ApplyChunks(const v1::ApplyOptions& options, const v1::ConfigSet& set,
                                          absl::Span<const v1::ResourceId> deletions);

}  // namespace gatehouse::client
