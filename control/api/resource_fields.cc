#include "control/api/resource_fields.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "gateway/base/digest.h"
#include "google/protobuf/message.h"

namespace gatehouse::api {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

const FieldDescriptor* EtagField(const Message& body) { return body.GetDescriptor()->FindFieldByName("etag"); }

}  // namespace

const Message* BodyOf(const v1::Resource& resource) {
  const google::protobuf::OneofDescriptor* kind = v1::Resource::descriptor()->oneof_decl(0);
  const FieldDescriptor* field = resource.GetReflection()->GetOneofFieldDescriptor(resource, kind);
  return field == nullptr ? nullptr : &resource.GetReflection()->GetMessage(resource, field);
}

Message* MutableBodyOf(v1::Resource* resource) {
  const google::protobuf::OneofDescriptor* kind = v1::Resource::descriptor()->oneof_decl(0);
  const FieldDescriptor* field = resource->GetReflection()->GetOneofFieldDescriptor(*resource, kind);
  return field == nullptr ? nullptr : resource->GetReflection()->MutableMessage(resource, field);
}

void SetEtag(const std::string& etag, v1::Resource* resource) {
  Message* body = MutableBodyOf(resource);
  if (body != nullptr) body->GetReflection()->SetString(body, EtagField(*body), etag);
}

const std::string& GetEtag(const v1::Resource& resource) {
  static const std::string none;
  thread_local std::string scratch;
  const Message* body = BodyOf(resource);
  if (body == nullptr) return none;
  return body->GetReflection()->GetStringReference(*body, EtagField(*body), &scratch);
}

namespace {

// Where a scheme keeps a private key; null: nowhere.
v1::ValidatorService::Tls* ServiceTls(v1::Resource* resource) {
  if (!resource->has_scheme() || !resource->scheme().basic().validator().has_tls()) return nullptr;
  return resource->mutable_scheme()->mutable_basic()->mutable_validator()->mutable_tls();
}

}  // namespace

void ClearSecrets(v1::Resource* resource) {
  if (v1::ValidatorService::Tls* tls = ServiceTls(resource)) tls->clear_private_key_pem();
  if (resource->has_server_certificate()) resource->mutable_server_certificate()->clear_private_key_pem();
  if (resource->has_user_store()) {
    for (v1::User& user : *resource->mutable_user_store()->mutable_users()) ClearSecrets(&user);
  }
}

void ClearSecrets(v1::User* user) {
  user->clear_password_hashes();
  user->clear_renewed();
}

void KeepRenewed(const v1::User* old, v1::User* user) {
  user->clear_renewed();
  if (old == nullptr) return;
  for (const v1::RenewedHash& renewed : old->renewed()) {
    const auto& hashes = user->password_hashes();
    const bool there = std::any_of(hashes.begin(), hashes.end(), [&](const std::string& hash) {
      return AsView(Sha256(hash)) == renewed.hash_sha256();
    });
    if (there) *user->add_renewed() = renewed;
  }
}

void KeepSecrets(const v1::Resource* old, v1::Resource* resource) {
  // Of a service that no longer is told who asks, no key is kept.
  v1::ValidatorService::Tls* tls = ServiceTls(resource);
  if (old != nullptr && tls != nullptr && !tls->certificate_chain_pem().empty() && tls->private_key_pem().empty()) {
    tls->set_private_key_pem(old->scheme().basic().validator().tls().private_key_pem());
  }
  if (old != nullptr && resource->has_server_certificate() && !resource->server_certificate().has_files() &&
      resource->server_certificate().private_key_pem().empty()) {
    resource->mutable_server_certificate()->set_private_key_pem(old->server_certificate().private_key_pem());
  }
  if (!resource->has_user_store()) return;
  absl::flat_hash_map<absl::string_view, const v1::User*> users;
  if (old != nullptr) {
    for (const v1::User& user : old->user_store().users()) users.emplace(user.name(), &user);
  }
  for (v1::User& user : *resource->mutable_user_store()->mutable_users()) {
    auto it = users.find(user.name());
    const v1::User* before = it == users.end() ? nullptr : it->second;
    if (before != nullptr && user.password_hashes().empty()) {
      *user.mutable_password_hashes() = before->password_hashes();
    }
    KeepRenewed(before, &user);
  }
}

v1::Resource Shown(const v1::Resource& resource, const Etags& etags) {
  v1::Resource shown = resource;
  ClearSecrets(&shown);
  SetEtag(etags.Of(resource), &shown);
  return shown;
}

}  // namespace gatehouse::api
