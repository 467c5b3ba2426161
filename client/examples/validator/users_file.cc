#include "client/examples/validator/users_file.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <fstream>
#include <sstream>

namespace example {
namespace {

constexpr size_t kSaltBytes = 16, kHashBytes = 32;

std::string Hash(const std::string& password, const std::string& salt) {
  std::string hash(kHashBytes, '\0');
  if (EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()), salt.size(),
                     16384, 8, 1, 64 << 20, reinterpret_cast<unsigned char*>(hash.data()), hash.size()) != 1) {
    return "";
  }
  return hash;
}

std::string ToHex(const std::string& octets) {
  static const char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned char c : octets) hex += {kDigits[c >> 4], kDigits[c & 15]};
  return hex;
}

// "" when it is no hex.
std::string FromHex(const std::string& hex) {
  std::string octets;
  if (hex.size() % 2 != 0 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) return "";
  for (size_t i = 0; i < hex.size(); i += 2) octets += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return octets;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

}  // namespace

std::optional<UsersFile> UsersFile::Read(const std::string& path, std::string* problem) {
  std::ifstream in(path);
  if (!in) {
    *problem = path + " cannot be read";
    return std::nullopt;
  }
  UsersFile file;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> parts = Split(line, ':');
    User user;
    if (parts.size() == 3 || parts.size() == 4) {
      user.salt = FromHex(parts[1]);
      user.hash = FromHex(parts[2]);
      if (parts.size() == 4) user.roles = Split(parts[3], ',');
    }
    // One wrong line must not become a user without a password.
    if (parts.empty() || parts[0].empty() || user.salt.size() != kSaltBytes || user.hash.size() != kHashBytes) {
      *problem = path + ", line " + std::to_string(number) + ": must be user:salt:hash:role,role";
      return std::nullopt;
    }
    file.users_[parts[0]] = user;
  }
  return file;
}

UsersFile::Answer UsersFile::Check(const std::string& user, const std::string& password,
                                   std::vector<std::string>* roles) const {
  const auto found = users_.find(user);
  const bool known = found != users_.end();
  const std::string hash = Hash(password, known ? found->second.salt : std::string(kSaltBytes, '\0'));
  if (!known) return Answer::kUnknownUser;
  if (hash.size() != kHashBytes || CRYPTO_memcmp(hash.data(), found->second.hash.data(), kHashBytes) != 0) {
    return Answer::kWrongPassword;
  }
  *roles = found->second.roles;
  return Answer::kAllow;
}

std::string UsersFile::Line(const std::string& user, const std::string& password, const std::string& roles) {
  std::string salt(kSaltBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(salt.data()), static_cast<int>(salt.size())) != 1) return "";
  return user + ":" + ToHex(salt) + ":" + ToHex(Hash(password, salt)) + ":" + roles;
}

}  // namespace example
