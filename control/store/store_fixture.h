// What the stores' tests share: small resources and transactions, and a directory of their own.
#pragma once

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include <map>
#include <string>

#include "control/store/store.h"
#include "gtest/gtest.h"

namespace gatehouse::store {

inline std::shared_ptr<const v1::Resource> Policy(const std::string& name, const std::string& message = "") {
  auto resource = std::make_shared<v1::Resource>();
  resource->mutable_policy()->set_name(name);
  resource->mutable_policy()->set_public_message(message);
  return resource;
}

inline std::shared_ptr<const v1::Resource> Certificate(const std::string& name, const std::string& key) {
  auto resource = std::make_shared<v1::Resource>();
  resource->mutable_server_certificate()->set_name(name);
  resource->mutable_server_certificate()->set_private_key_pem(key);
  return resource;
}

inline Transaction Write(uint64_t expected, std::vector<std::shared_ptr<const v1::Resource>> upserts,
                         std::vector<ResourceKey> deletions = {}) {
  Transaction transaction;
  transaction.expected_revision = expected;
  transaction.upserts = std::move(upserts);
  transaction.deletions = std::move(deletions);
  transaction.time = absl::FromUnixNanos(1'800'000'000'123'456'789);
  transaction.actor = "uid:7";
  transaction.message = "why";
  return transaction;
}

// Revision and every resource's octets: equal if and only if the states are.
inline std::string Print(const State& state) {
  std::string text = std::to_string(state.revision) + ":";
  for (const auto& [key, resource] : state.resources) {
    text += std::to_string(key.first) + "/" + key.second + "=" + resource->SerializeAsString() + ";";
  }
  return text;
}
inline std::string PrintHead(Store& store) {
  auto state = store.Load(0);
  return state.ok() ? Print(**state) : std::string(state.status().message());
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/gatehouse-store-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TemporaryFolder() {
    nftw(path_.c_str(), [](const char* path, const struct stat*, int, struct FTW*) { return remove(path); }, 8,
         FTW_DEPTH | FTW_PHYS);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace gatehouse::store
