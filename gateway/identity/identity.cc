#include "gateway/identity/identity.h"

#include <utility>

namespace gatehouse::identity {

IdentityRef Identity::Of(Part part) {
  return std::make_shared<const Identity>(
      std::vector<PartRef>{std::make_shared<const Part>(std::move(part))});
}

IdentityRef Identity::Merge(absl::Span<const IdentityRef> identities) {
  std::vector<PartRef> parts;
  for (const IdentityRef& identity : identities) {
    if (identity == nullptr) continue;
    parts.insert(parts.end(), identity->parts_.begin(), identity->parts_.end());
  }
  return std::make_shared<const Identity>(std::move(parts));
}

absl::string_view Identity::principal() const {
  return parts_.empty() ? absl::string_view() : parts_.front()->principal;
}

absl::string_view Identity::scheme() const {
  return parts_.empty() ? absl::string_view() : parts_.front()->scheme;
}

const Part* Identity::certificate() const {
  for (const PartRef& part : parts_) {
    if (part->kind == PartKind::kCertificate && part->certificate != nullptr) return part.get();
  }
  return nullptr;
}

}  // namespace gatehouse::identity
