#include "client/lib/apply_chunks.h"

#include <utility>

namespace gatehouse::client {
namespace {

// What a length-delimited field costs besides its content, and some to spare.
constexpr size_t kFieldOverhead = 16;

class Chunker {
 public:
  explicit Chunker(const v1::ApplyOptions& options) {
    chunks_.emplace_back();
    *chunks_.back().mutable_options() = options;
    bytes_ = options.ByteSizeLong() + kFieldOverhead;
  }

  v1::ApplyRequest& For(size_t bytes) {
    bytes += kFieldOverhead;
    if (bytes_ + bytes >= kApplyChunkBytes && used_) {
      chunks_.emplace_back();
      bytes_ = 0;
    }
    bytes_ += bytes;
    used_ = true;
    return chunks_.back();
  }

  std::vector<v1::ApplyRequest> Take() {
    chunks_.front().mutable_options()->set_messages(static_cast<uint32_t>(chunks_.size()));
    return std::move(chunks_);
  }

 private:
  std::vector<v1::ApplyRequest> chunks_;
  size_t bytes_ = 0;
  bool used_ = false;
};

}  // namespace

std::vector<v1::ApplyRequest> ApplyChunks(const v1::ApplyOptions& options, const v1::ConfigSet& set,
                                          absl::Span<const v1::ResourceId> deletions) {
  Chunker chunker(options);
  const google::protobuf::Reflection* reflection = set.GetReflection();
  const google::protobuf::Descriptor* type = v1::ConfigSet::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = type->field(i);
    for (int j = 0; j < reflection->FieldSize(set, field); ++j) {
      const google::protobuf::Message& resource = reflection->GetRepeatedMessage(set, field, j);
      v1::ConfigSet& chunk = *chunker.For(resource.ByteSizeLong()).mutable_resources();
      chunk.GetReflection()->AddMessage(&chunk, field)->CopyFrom(resource);
    }
  }
  for (const v1::ResourceId& id : deletions) *chunker.For(id.ByteSizeLong()).add_deletions() = id;
  return chunker.Take();
}

}  // namespace gatehouse::client
