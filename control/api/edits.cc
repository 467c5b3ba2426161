#include "control/api/edits.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "control/api/labels.h"
#include "control/api/resource_fields.h"
#include "gateway/base/status.h"
#include "google/protobuf/util/field_mask_util.h"

namespace gatehouse::api {
namespace {

using google::protobuf::util::FieldMaskUtil;
using store::ResourceKey;
using validate::PathOf;

std::string PathOfKey(const ResourceKey& key) { return PathOf(static_cast<v1::Kind>(key.first), key.second); }

v1::Violation MakeViolation(std::string path, std::string message) {
  v1::Violation violation;
  violation.set_path(std::move(path));
  violation.set_message(std::move(message));
  return violation;
}

absl::Status NotFound(const ResourceKey& key) {
  return absl::NotFoundError(absl::StrCat("there is no ", PathOfKey(key)));
}

absl::Status CheckEtag(const Draft& draft, const ResourceKey& key, const std::string& given) {
  if (given.empty()) return absl::OkStatus();
  const v1::Resource* current = draft.Find(key);
  if (current != nullptr && draft.etags().Of(*current) == given) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(PathOfKey(key), " was changed meanwhile (etag): read it again"));
}

// A resource as it came in a request: it says what it is, and holds nothing that we do not know.
absl::Status CheckResource(const v1::Resource& resource, ResourceKey* key) {
  *key = store::KeyOf(resource);
  std::vector<v1::Violation> violations;
  if (!resource.GetReflection()->GetUnknownFields(resource).empty()) {
    violations.push_back(MakeViolation("resource", "is of a kind that is not known to this server"));
  } else if (key->first == 0) {
    violations.push_back(MakeViolation("resource", "one kind of resource must be set"));
  } else if (key->second.empty()) {
    violations.push_back(MakeViolation("resource.name", "required"));
  }
  if (key->first != 0) validate::FindUnknownFields(*BodyOf(resource), PathOfKey(*key), &violations);
  return violations.empty() ? absl::OkStatus() : validate::Refusal(violations);
}

absl::Status MergeMasked(const v1::Resource& from, const google::protobuf::FieldMask& mask, v1::Resource* to) {
  const google::protobuf::Message& source = *BodyOf(from);
  std::vector<v1::Violation> violations;
  for (const std::string& path : mask.paths()) {
    if (!FieldMaskUtil::GetFieldDescriptors(source.GetDescriptor(), path, nullptr)) {
      violations.push_back(MakeViolation("update_mask", absl::StrCat("\"", path, "\" is no field of ",
                                                                     source.GetDescriptor()->name())));
    } else if (path == "name" || path == "etag") {
      violations.push_back(MakeViolation("update_mask", absl::StrCat("\"", path, "\" cannot be changed")));
    }
  }
  if (!violations.empty()) return validate::Refusal(violations);
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(source, mask, options, MutableBodyOf(to));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckId(const v1::ResourceId& id) {
  if (!v1::Kind_IsValid(id.kind()) || id.kind() == v1::KIND_UNSPECIFIED) {
    return absl::InvalidArgumentError("id.kind: required, one of the known kinds");
  }
  if (id.name().empty()) return absl::InvalidArgumentError("id.name: required");
  return absl::OkStatus();
}

absl::Status EditCreate(const v1::CreateRequest& request, Draft& draft) {
  ResourceKey key;
  GH_RETURN_IF_ERROR(CheckResource(request.resource(), &key));
  if (draft.Find(key) != nullptr) return absl::AlreadyExistsError(absl::StrCat(PathOfKey(key), " exists"));
  draft.Put(request.resource());
  return absl::OkStatus();
}

absl::Status EditUpdate(const v1::UpdateRequest& request, Draft& draft) {
  ResourceKey key;
  GH_RETURN_IF_ERROR(CheckResource(request.resource(), &key));
  const v1::Resource* current = draft.Find(key);
  if (current == nullptr) return NotFound(key);
  GH_RETURN_IF_ERROR(CheckEtag(draft, key, GetEtag(request.resource())));
  if (request.update_mask().paths().empty()) {
    draft.Put(request.resource());
    return absl::OkStatus();
  }
  v1::Resource merged = *current;
  GH_RETURN_IF_ERROR(MergeMasked(request.resource(), request.update_mask(), &merged));
  draft.Put(std::move(merged));
  return absl::OkStatus();
}

absl::Status EditDelete(const v1::DeleteRequest& request, Draft& draft) {
  GH_RETURN_IF_ERROR(CheckId(request.id()));
  const ResourceKey key(request.id().kind(), request.id().name());
  if (draft.Find(key) == nullptr) return NotFound(key);
  GH_RETURN_IF_ERROR(CheckEtag(draft, key, request.etag()));
  draft.Remove(key);
  return absl::OkStatus();
}

absl::Status EditApply(const ApplySet& set, Draft& draft) {
  std::vector<v1::Violation> violations;
  std::set<ResourceKey> named;
  absl::Status stale;
  const Labels& prune = set.options.prune_labels();
  if (!prune.empty() && set.options.replace_all()) {
    violations.push_back(MakeViolation("options.prune_labels", "not together with replace_all"));
  }
  for (const v1::Resource& resource : set.upserts) {
    ResourceKey key;
    const absl::Status checked = CheckResource(resource, &key);
    for (v1::Violation& violation : validate::ViolationsOf(checked)) violations.push_back(std::move(violation));
    if (key.second.empty()) continue;
    if (!named.insert(key).second) violations.push_back(MakeViolation(PathOfKey(key), "named twice in the set"));
    if (stale.ok()) stale = CheckEtag(draft, key, GetEtag(resource));
    if (!Bears(resource, prune)) {
      violations.push_back(MakeViolation(PathOfKey(key) + ".labels", absl::StrCat("must have ", LabelsText(prune),
                                                                                  ", the labels of prune_labels: the next call would not find it")));
    }
  }
  for (const v1::ResourceId& id : set.deletions) {
    const ResourceKey key(id.kind(), id.name());
    if (!CheckId(id).ok()) {
      violations.push_back(MakeViolation("deletions", "kind and name are required"));
    } else if (!named.insert(key).second) {
      violations.push_back(MakeViolation(PathOfKey(key), "to be deleted, and named before"));
    } else if (draft.Find(key) == nullptr) {
      violations.push_back(MakeViolation(PathOfKey(key), "to be deleted, but there is none"));
    }
  }
  if (!violations.empty()) return validate::Refusal(violations);
  GH_RETURN_IF_ERROR(stale);
  if (set.options.replace_all()) {
    // A set that says nothing of bindings is not the place where they are kept.
    const bool bindings_too = std::any_of(set.upserts.begin(), set.upserts.end(),
                                          [](const v1::Resource& resource) { return resource.has_binding(); });
    draft.Clear(bindings_too);
  }
  if (!prune.empty()) {
    for (const auto& [key, resource] : draft.base().resources) {
      if (named.count(key) == 0 && Bears(*resource, prune)) draft.Remove(key);
    }
  }
  for (const v1::ResourceId& id : set.deletions) draft.Remove({id.kind(), id.name()});
  for (const v1::Resource& resource : set.upserts) {
    auto stored = draft.base().resources.find(store::KeyOf(resource));
    if (resource.has_user_store() && resource.user_store().users().empty() && stored != draft.base().resources.end()) {
      // A file that says nothing of users is not the place where they are kept: those of `user add` stay.
      v1::Resource kept = resource;
      *kept.mutable_user_store()->mutable_users() = stored->second->user_store().users();
      draft.Put(std::move(kept));
    } else {
      draft.Put(resource);
    }
  }
  return absl::OkStatus();
}

}  // namespace gatehouse::api
