// UsersFile is what the example knows of users: lines of `user:salt:hash:role,role`, salt and hash in hex, the hash by
// scrypt (N=16384, r=8, p=1, 32 octets). validator.py reads the same file.
//
// Threading:  immutable once read.
// Errors:     a file that cannot be read, or one wrong line of it, is a message and no users.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace example {

struct User {
  std::string salt, hash;  // octets
  std::vector<std::string> roles;
};

class UsersFile {
 public:
  // Null after a message in *problem.
  static std::optional<UsersFile> Read(const std::string& path, std::string* problem);

  enum class Answer { kAllow, kWrongPassword, kUnknownUser };
  // Takes as long for an unknown user as for a known one. `roles` is filled with kAllow.
  Answer Check(const std::string& user, const std::string& password, std::vector<std::string>* roles) const;

  // The line for a user who is to be added.
  static std::string Line(const std::string& user, const std::string& password, const std::string& roles);

 private:
  std::map<std::string, User> users_;
};

}  // namespace example
