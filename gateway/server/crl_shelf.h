// CrlShelf holds the revocation lists that were fetched, by URL and issuer's key, and those that are watched on disk, by
// file.
//
// A fetched list takes the place of the one before only when it is not older. Where the signature could be checked with
// the issuer's own key, what fails that check never takes the place of what passed it: else whoever sits on the way to a
// distribution point could put a forged "newest" list there for good. A list signed by another key (indirect, a key of
// its own for lists) cannot be checked here; then the newest and the latest are both held, and Judge chooses.
//
// A list of another scope, or a delta, takes no other's place but stands beside it: else whoever sits on the way could
// have any list of the authority push out the one that revokes, and an older one of that scope in after it.
//
// Ownership:  shares lists.
// Threading:  thread-compatible.
// Units:      octets of DER and index; fetched lists beyond the bound go, the least recently used first. Watched ones are
//             somebody's configuration and stay.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "gateway/certs/revocation.h"
#include "gateway/server/inquiry_terms.h"

namespace gatehouse::server {

class CrlShelf {
 public:
  enum class Put : uint8_t {
    kSame,      // held already
    kNew,       // in force from now on
    kOlder,     // refused: what is held is newer
    kUnsigned,  // refused: the signature does not verify, that of the list held does
    kCrowded,   // refused: of another scope than the many that are held, whose time is not over
  };

  explicit CrlShelf(size_t max_bytes) : max_bytes_(max_bytes) {}

  // PutFetched files `list`, which came for `inquiry`. `verified`: its signature, with the inquiry's issuer.
  // What has to go is moved to `garbage`: a million entries are better freed outside of a lock.
  Put PutFetched(const certs::Inquiry& inquiry, certs::CrlRef list, bool verified, absl::Time received,
                 InquiryTermsRef terms, std::vector<certs::CrlRef>* garbage);
  // PutWatched replaces all that `file` held; an empty list removes it. What was there before is returned; of a list that
  // stays, the keeper does too: who was told of it with a weak pointer shall find it.
  std::vector<certs::CrlRef> PutWatched(const std::string& file, std::vector<certs::CrlRef> lists);

  // Of an issuer, found by hash; `use` marks what is fetched as in use.
  std::vector<certs::HeldCrl> Of(uint64_t issuer_hash, absl::Time now, bool use);
  // Whether what came last for this inquiry is verified, and nobody needs to ask again before `max_age` has passed.
  bool Fresh(const certs::Inquiry& inquiry, absl::Duration max_age, absl::Time now) const;

  // Those in use whose time is nearly over, to be asked for again.
  struct Due {
    certs::Inquiry inquiry;
    InquiryTermsRef terms;
  };
  void AppendDue(absl::Time now, std::vector<Due>* out) const;

  size_t size() const { return fetched_.size() + watched_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  // Lists that replace each other.
  struct Series {
    certs::CrlRef list;    // the newest
    certs::CrlRef latest;  // null: `list` is
    bool verified = false;
    absl::Time received;
  };
  struct Fetched {
    certs::Inquiry inquiry;
    std::vector<Series> series;  // what came last is the first; more than one only where all are verified
    absl::Time used;      // last
    bool in_use = false;  // since it came
    InquiryTermsRef terms;
  };
  // A new place in front for a list that is like none held; null: there is none.
  Series* PlaceFor(bool verified, absl::Time received, Fetched* held, std::vector<certs::CrlRef>* garbage);
  void Drop(Series series, std::vector<certs::CrlRef>* garbage);
  void MakeRoom(const Fetched* keep, std::vector<certs::CrlRef>* garbage);

  // What is held of one issuer.
  struct Place {
    std::vector<certs::HeldCrl> watched;
    std::vector<Fetched*> fetched;
  };
  void Index();

  const size_t max_bytes_;
  size_t bytes_ = 0;  // of fetched lists
  std::map<std::string, Fetched> fetched_;  // by Inquiry::Key
  std::map<std::string, std::vector<certs::CrlRef>> watched_;  // by file
  absl::flat_hash_map<uint64_t, Place> by_issuer_;  // of both; made anew after a change when it is next asked
  bool indexed_ = true;
};

}  // namespace gatehouse::server
