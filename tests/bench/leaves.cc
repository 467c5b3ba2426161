#include "tests/bench/leaves.h"

#include <openssl/pem.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"

namespace gatehouse::bench {
namespace {

absl::StatusOr<UniqueBio> Open(const std::string& path) {
  UniqueBio bio(BIO_new_file(path.c_str(), "r"));
  if (bio == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", TakeOpenSslError()));
  }
  return bio;
}

}  // namespace

absl::StatusOr<Leaves> Leaves::Load(const std::string& bundle, const std::string& chain, size_t limit) {
  Leaves result;
  if (bundle.empty()) {
    result.leaves_.emplace_back();
    return result;
  }
  GH_ASSIGN_OR_RETURN(UniqueBio leaves, Open(bundle));
  while (limit == 0 || result.size() < limit) {
    Leaf leaf;
    leaf.certificate.reset(PEM_read_bio_X509(leaves.get(), nullptr, nullptr, nullptr));
    if (leaf.certificate == nullptr) break;  // the end of the file
    leaf.key.reset(PEM_read_bio_PrivateKey(leaves.get(), nullptr, nullptr, nullptr));
    if (leaf.key == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(bundle, ": certificate ", result.size(), " has no key"));
    }
    result.leaves_.push_back(std::move(leaf));
  }
  TakeOpenSslError();
  if (result.leaves_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(bundle, ": no certificate"));
  }
  if (!chain.empty()) {
    GH_ASSIGN_OR_RETURN(UniqueBio more, Open(chain));
    while (X509* certificate = PEM_read_bio_X509(more.get(), nullptr, nullptr, nullptr)) {
      sk_X509_push(result.chain_.get(), certificate);
    }
    TakeOpenSslError();
  }
  return result;
}

Leaf& Leaves::Next() {
  Leaf& leaf = leaves_[next_];
  next_ = (next_ + 1) % leaves_.size();
  return leaf;
}

}  // namespace gatehouse::bench
