#include "control/api/etags.h"

#include "control/api/resource_fields.h"
#include "gateway/config/build_resource_map.h"

namespace gatehouse::api {

std::string Etags::Digest(const std::string& bytes) const {
  return HexLower(AsView(HmacSha256(key_.Reveal(), bytes)).substr(0, 12));
}

std::string Etags::Of(const v1::Resource& resource) const {
  if (GetEtag(resource).empty()) return Digest(config::CanonicalBytes(resource));
  v1::Resource bare = resource;
  SetEtag("", &bare);
  return Digest(config::CanonicalBytes(bare));
}

// No maps and no etag within: one serialization for one content.
std::string Etags::Of(const v1::User& user) const { return Digest(user.SerializeAsString()); }

}  // namespace gatehouse::api
