// Etags makes the etags of what is stored: a digest of all of it, secrets too. It takes a key of the store, since against a digest that
// anybody can make, whoever is shown a user could try passwords.
//
// Threading:  thread-safe.
// Errors:     none.
#pragma once

#include <string>

#include "gateway/base/digest.h"
#include "gateway/base/secret.h"
#include "gatehouse/v1/config_set.pb.h"

namespace gatehouse::api {

class Etags {
 public:
  // Etags that are good for as long as this lives.
  Etags() : key_(RandomBytes(32)) {}
  // Those of a store: `key` is its KeyFor("etags").
  explicit Etags(Secret key) : key_(std::move(key)) {}

  // Its own etag field is left out.
  std::string Of(const v1::Resource& resource) const;
  std::string Of(const v1::User& user) const;

 private:
  std::string Digest(const std::string& bytes) const;

  Secret key_;
};

}  // namespace gatehouse::api
