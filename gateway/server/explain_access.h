// What a request to a route would get that presents a certificate, a user with the right password, or both: by
// authn::Decide, as for a live request.
//
// Ownership:  Presented borrows all it is made with.
// Threading:  one thread that may wait; see explain.h.
// Errors:     none.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/authn/decision.h"
#include "gateway/certs/certificate.h"
#include "gateway/config/snapshot.h"
#include "gateway/server/revocation_desk.h"
#include "gatehouse/v1/certificate_service.pb.h"

namespace gatehouse::server {

// Credentials is what a request presents.
struct Credentials {
  std::vector<certs::CertificateRef> chain;  // leaf first; empty: none
  std::string user_store, user;              // empty: none; the password is that of the user of this store
};

// Presented is the schemes as a request finds them that presents these and nothing else.
class Presented final : public authn::SchemeSource {
 public:
  struct Answer {
    authn::SchemeResult result;
    std::string detail;  // for people
  };
  Presented(const config::Snapshot& snapshot, const Credentials& credentials, absl::Time at, RevocationDesk* revocation)
      : snapshot_(snapshot), credentials_(credentials), at_(at), revocation_(revocation) {}

  authn::SchemeResult Check(uint32_t index) override;
  // What was asked so far.
  const std::map<uint32_t, Answer>& answers() const { return answers_; }

 private:
  Answer Ask(const config::Scheme& scheme) const;
  Answer AskCertificate(const config::Scheme& scheme) const;
  Answer AskBasic(const config::Scheme& scheme, const credentials::BasicScheme& basic) const;

  const config::Snapshot& snapshot_;
  const Credentials& credentials_;
  const absl::Time at_;
  RevocationDesk* const revocation_;
  std::map<uint32_t, Answer> answers_;
};

void FillAccess(const config::Snapshot& snapshot, const config::Route& route, const Credentials& credentials,
                const authn::RequestFacts& facts, RevocationDesk* revocation, v1::AccessVerdict* out);

}  // namespace gatehouse::server
