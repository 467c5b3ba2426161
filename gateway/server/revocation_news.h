// RevocationNews tells what became known about revocation, and so which verdicts are to be thought over.
//
// Ownership:  does not keep lists alive: one that another took the place of meanwhile is of no interest any more.
// Threading:  immutable once sent.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "gateway/base/digest.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/verdict.h"

namespace gatehouse::server {

struct RevocationNews {
  std::vector<std::weak_ptr<const certs::Crl>> lists;  // new ones: of interest to whom they name
  std::vector<uint64_t> withdrawn;    // name hashes of issuers of whom a list is gone
  std::vector<Sha256Digest> revoked;  // whom an answer calls revoked (certs::StatusIdOf)

  bool empty() const { return lists.empty() && withdrawn.empty() && revoked.empty(); }
  // Whether `verdict` might be another now. What is still refused for want of an answer is always worth a look.
  bool Concerns(const certs::Verdict& verdict) const;
};

}  // namespace gatehouse::server
