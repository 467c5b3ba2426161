// Leaves are the client certificates that the load comes from, one after the other.
//
// Ownership:  holds certificates, keys and the last TLS session of each leaf.
// Threading:  thread-compatible.
// Errors:     kInvalidArgument naming the file.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/base/openssl.h"

namespace gatehouse::bench {

struct Leaf {
  UniqueX509 certificate;
  UniqueKey key;
  UniqueSession session;  // the newest that a server gave
};

class Leaves {
 public:
  // `bundle` is PEM: a certificate, its key, the next certificate, its key …; `chain` is PEM: what is sent after a leaf.
  // An empty `bundle` is one leaf without certificate.
  static absl::StatusOr<Leaves> Load(const std::string& bundle, const std::string& chain, size_t limit);

  size_t size() const { return leaves_.size(); }
  void Seek(size_t position) { next_ = position % leaves_.size(); }
  // Next goes round: with fewer connections than leaves no two connections have the same leaf at one time.
  Leaf& Next();
  STACK_OF(X509) * chain() const { return chain_.get(); }

 private:
  std::vector<Leaf> leaves_;
  UniqueX509Stack chain_{sk_X509_new_null()};
  size_t next_ = 0;
};

}  // namespace gatehouse::bench
