// What RevocationDesk makes of bytes that came for an inquiry, from a fetch or from the disk.
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/certs/names.h"
#include "gateway/server/revocation_desk.h"

namespace gatehouse::server {

RevocationDesk::Landing RevocationDesk::Examine(const certs::Inquiry& inquiry, const InquiryTerms& terms,
                                                InquiryTermsRef keep, const std::string& nonce, std::string body,
                                                absl::Time received) {
  return inquiry.kind == certs::Inquiry::Kind::kOcsp
             ? ExamineOcsp(inquiry, terms, std::move(keep), nonce, body, received)
             : ExamineCrl(inquiry, terms, std::move(keep), std::move(body), received);
}

RevocationDesk::Landing RevocationDesk::ExamineOcsp(const certs::Inquiry& inquiry, const InquiryTerms& terms,
                                                    InquiryTermsRef keep, const std::string& nonce,
                                                    const std::string& body, absl::Time received) {
  Landing landing;
  certs::OcspCheck check;
  check.now = received;  // from the disk: a revocation is one after its time, too; for the rest Judge looks at the time
  check.skew = terms.skew;
  check.nonce = nonce;
  check.strength = terms.strength;
  absl::StatusOr<certs::OcspAnswerRef> read =
      certs::ReadOcspAnswer(body, *inquiry.subject, *inquiry.issuer, check);
  if (!read.ok()) {
    landing.outcome = absl::IsUnavailable(read.status()) ? Outcome::kTryLater : Outcome::kRefused;
    landing.cause = std::string(read.status().message());
    return landing;
  }
  auto answer = std::make_shared<certs::OcspAnswer>(**read);
  answer->url = inquiry.url;
  answer->received = received;
  OcspShelf::Put put;
  {
    MutexLock lock(&mutex_);
    put = answers_.PutAnswer(inquiry, answer, received, terms.strength, std::move(keep));
  }
  if (put == OcspShelf::Put::kOlder) {
    landing.outcome = Outcome::kOlder;
    landing.cause = "the answer is older than the one that is held";
    return landing;
  }
  if (put == OcspShelf::Put::kForGood) {
    landing.outcome = Outcome::kRefused;
    landing.cause = "the certificate was revoked before, and only a hold can be taken back";
    return landing;
  }
  if (put == OcspShelf::Put::kRevoked) landing.news.revoked.push_back(certs::StatusIdOf(*inquiry.subject, *inquiry.issuer));
  landing.save = true;
  landing.der = body;
  return landing;
}

RevocationDesk::Landing RevocationDesk::ExamineCrl(const certs::Inquiry& inquiry, const InquiryTerms& terms,
                                                   InquiryTermsRef keep, std::string body, absl::Time received) {
  Landing landing;
  const auto refuse = [&landing](Outcome outcome, std::string cause) {
    landing.outcome = outcome;
    landing.cause = std::move(cause);
  };
  absl::StatusOr<std::vector<certs::CrlRef>> lists = certs::Crl::ListFromBytes(std::move(body));
  if (!lists.ok()) {
    refuse(Outcome::kRefused, std::string(lists.status().message()));
    return landing;
  }
  if (lists->size() != 1) {
    refuse(Outcome::kRefused, absl::StrCat("holds ", lists->size(), " lists, a distribution point has one"));
    return landing;
  }
  const certs::CrlRef list = retired_->Keep(std::move(lists->front()));
  const absl::Time now = clock_.Now();
  if (list->this_update() > now + terms.skew) {
    refuse(Outcome::kRefused, "the list is of the future");
    return landing;
  }
  const bool direct = X509_NAME_cmp(list->issuer_name(), X509_get_subject_name(inquiry.issuer->x509())) == 0;
  if (!direct && !list->indirect()) {
    refuse(Outcome::kRefused, "the list is another authority's");
    return landing;
  }
  const bool verified = direct && list->VerifySignature(*inquiry.issuer, terms.strength).ok();
  // What nobody is known to have signed is one file, whatever its scope.
  if (verified) landing.series = absl::StrCat(list->is_delta() ? "delta " : "", list->scope_der());
  CrlShelf::Put put;
  {
    MutexLock lock(&mutex_);
    put = crls_.PutFetched(inquiry, list, verified, received, std::move(keep), &landing.garbage);
  }
  switch (put) {
    case CrlShelf::Put::kOlder:
      refuse(Outcome::kOlder, "the list is older than the one that is held");
      return landing;
    case CrlShelf::Put::kCrowded:
      refuse(Outcome::kRefused, "lists of many other scopes are held of this place");
      return landing;
    case CrlShelf::Put::kUnsigned:
      refuse(Outcome::kRefused, "the signature does not verify with the issuer's key");
      return landing;
    case CrlShelf::Put::kSame:
      landing.renew = true;
      break;
    case CrlShelf::Put::kNew:
      landing.save = true;
      landing.der = list->der();
      landing.news.lists.push_back(list);
      break;
  }
  if (list->next_update().has_value() && *list->next_update() + terms.skew < now) {
    // Held all the same: whom it lists is revoked.
    refuse(Outcome::kStale, "the list's time is over");
  } else if (!verified && direct) {
    // May be signed by a key of its own for lists, which Judge finds or not. Not to be taken for an answer for long.
    refuse(Outcome::kRefused, "the signature does not verify with the issuer's key");
  }
  return landing;
}

}  // namespace gatehouse::server
