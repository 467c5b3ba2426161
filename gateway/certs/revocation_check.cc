#include "gateway/certs/revocation_check.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/escape.h"
#include "gateway/certs/crl_check.h"

namespace gatehouse::certs {
namespace {

constexpr size_t kMaxUrls = 4;  // of one kind, of one certificate
constexpr size_t kMaxUrlSize = 2048;

using UniqueTexts = std::unique_ptr<STACK_OF(OPENSSL_STRING), OpenSslDeleter<X509_email_free>>;

bool IsWebAddress(absl::string_view url) {
  return url.size() <= kMaxUrlSize &&
         (absl::StartsWithIgnoreCase(url, "http://") ||
          absl::StartsWithIgnoreCase(url, "https://")) &&
         std::all_of(url.begin(), url.end(), [](unsigned char c) { return absl::ascii_isgraph(c); });
}

void AddUrl(std::string url, std::vector<std::string>* urls) {
  if (urls->size() < kMaxUrls && IsWebAddress(url) &&
      std::find(urls->begin(), urls->end(), url) == urls->end()) {
    urls->push_back(std::move(url));
  }
}

std::vector<std::string> OcspUrls(const Certificate& certificate) {
  std::vector<std::string> urls;
  UniqueTexts texts(X509_get1_ocsp(certificate.x509()));
  ERR_clear_error();
  for (int i = 0; i < sk_OPENSSL_STRING_num(texts.get()); ++i) {
    AddUrl(sk_OPENSSL_STRING_value(texts.get(), i), &urls);
  }
  return urls;
}

std::vector<std::string> UrlsOf(const std::vector<DistributionPoint>& points) {
  std::vector<std::string> urls;
  for (const DistributionPoint& point : points) {
    for (std::string& url : WebAddresses(point.names.get())) AddUrl(std::move(url), &urls);
  }
  return urls;
}

// "3 min", "2 d": the largest unit that gives at least one.
std::string Roughly(absl::Duration d) {
  if (d < absl::ZeroDuration()) d = -d;
  if (d >= absl::Hours(48)) return absl::StrCat(absl::ToInt64Hours(d) / 24, " d");
  if (d >= absl::Minutes(120)) return absl::StrCat(absl::ToInt64Hours(d), " h");
  if (d >= absl::Seconds(120)) return absl::StrCat(absl::ToInt64Minutes(d), " min");
  return absl::StrCat(absl::ToInt64Seconds(d), " s");
}
std::string When(absl::Time time, absl::Time now) {
  return time > now ? absl::StrCat("in ", Roughly(time - now))
                    : absl::StrCat(Roughly(now - time), " ago");
}

// What one source says about one certificate.
struct Statement {
  bool revoked = false;
  CrlEntry entry;
  absl::Time this_update;
  absl::Time believed_until = absl::InfiniteFuture();
  std::string source;

  bool for_good() const { return revoked && IsForGood(entry.reason); }
};

struct Status {
  std::optional<Statement> statement;
  // A list made the statement, and deltas of it are found there.
  std::vector<std::string> delta_urls;
  bool by_delta = false;      // one has brought it up to date
  bool ocsp_unknown = false;  // a responder, asked lately, does not know the certificate
  std::string why;            // no statement: why not
};

class Check {
 public:
  Check(const Path& path, const SchemeOptions& options, absl::Time now,
        const RevocationSource* source)
      : path_(path),
        options_(options.revocation),
        now_(now),
        source_(source),
        lists_(path, options, now, source) {}

  RevocationResult Run() {
    for (size_t i = 0; i < path_.size(); ++i) {
      if (IsAskedAbout(i) && !Decide(i)) break;
    }
    if (result_.decision != RevocationResult::Decision::kUndecided) result_.inquiries.clear();
    return std::move(result_);
  }

 private:
  using Decision = RevocationResult::Decision;

  bool IsAskedAbout(size_t i) const {
    const bool anchor = i + 1 == path_.size();
    switch (options_.scope) {
      case RevocationScope::kEndCertificateOnly:
        return i == 0;
      case RevocationScope::kExcludeRoot:
        return !anchor;
      case RevocationScope::kEntireChain:
        // An anchor is trusted by configuration; it is asked about only where it says where.
        return !anchor || !OcspUrls(*path_[i]).empty() || !DistributionPointsOf(*path_[i]).empty();
    }
    return true;
  }

  // The certificate whose key signed path_[i]; null for an anchor that another one signed.
  CertificateRef IssuerOf(size_t i) const {
    if (i + 1 < path_.size()) return path_[i + 1];
    return path_[i]->self_signed() ? path_[i] : nullptr;
  }

  // False when the path is refused, whatever may be said of its other certificates.
  bool Decide(size_t i) {
    const CertificateRef& subject = path_[i];
    const CertificateRef issuer = IssuerOf(i);
    Status status;
    if (issuer != nullptr) {
      status = StatusOf(subject, issuer);
    } else {
      status.why = "the issuer of this anchor is not known";
    }
    if (status.statement && !status.statement->for_good() && AwaitsDelta(subject, issuer, &status)) return true;
    if (status.statement && status.statement->revoked) {
      return Refuse(Reason::kRevoked, subject, Text(*status.statement));
    }
    if (status.statement) {
      result_.believed_until =
          std::min(result_.believed_until, status.statement->believed_until);
      result_.findings.push_back({Reason::kNone, subject, Text(*status.statement)});
      return true;
    }
    if (issuer != nullptr && options_.mode == RevocationMode::kOnline) {
      if (const size_t open = Inquire(subject, issuer, status.ocsp_unknown); open > 0) {
        result_.decision = Decision::kUndecided;
        result_.findings.push_back({Reason::kRevocationUnknown, subject,
                                    absl::StrCat("not known yet, ", open, " to be asked",
                                                 status.why.empty() ? "" : ": ", status.why)});
        return true;
      }
    }
    if (status.ocsp_unknown || options_.on_unknown == OnUnknown::kRefuse) {
      return Refuse(Reason::kRevocationUnknown, subject, status.why);
    }
    if (result_.decision == Decision::kPassed) result_.decision = Decision::kAllowed;
    result_.findings.push_back(
        {Reason::kNone, subject,
         absl::StrCat("unknown, accepted because on_unknown is ALLOW: ", status.why)});
    return true;
  }

  bool Refuse(Reason reason, const CertificateRef& subject, std::string detail) {
    result_.decision = Decision::kRefused;
    result_.findings.push_back({reason, subject, std::move(detail)});
    return false;
  }

  Status StatusOf(const CertificateRef& subject, const CertificateRef& issuer) {
    Status status;
    if (source_ != nullptr) {
      if (const OcspAnswerRef answer = source_->OcspOf(*subject, *issuer)) {
        ReadAnswer(*answer, issuer, &status);
      }
    }
    const CrlFinding lists = lists_.Check(subject, issuer);
    if (lists.status == CrlFinding::Status::kUnknown) {
      if (!lists.note.empty()) {
        absl::StrAppend(&status.why, status.why.empty() ? "" : "; ", lists.note);
      }
      if (status.why.empty()) status.why = "no CRL and no OCSP answer is at hand";
      return status;
    }
    Statement said{lists.status == CrlFinding::Status::kRevoked, lists.entry, lists.this_update,
                   lists.believed_until, lists.source};
    if (!status.statement || Counts(said, *status.statement)) {
      status.statement = std::move(said);
      status.by_delta = lists.by_delta;
      for (std::string& url : UrlsOf(FreshestPointsOf(*subject))) AddUrl(std::move(url), &status.delta_urls);
      for (const std::string& url : lists.freshest_urls) AddUrl(url, &status.delta_urls);
    }
    return status;
  }

  // Whether `a` counts and not `b`: a revocation that is no hold, whatever is said later (decision 32); else what is
  // newer, and of equally new ones the worse.
  static bool Counts(const Statement& a, const Statement& b) {
    if (a.for_good() != b.for_good()) return a.for_good();
    return a.this_update > b.this_update || (a.this_update == b.this_update && a.revoked);
  }

  // What a complete list says stands only once the deltas that it or the certificate names were asked for: it may be days
  // old. Where they cannot be had it is what the authority says, and is believed for minutes, until they are asked for again.
  bool AwaitsDelta(const CertificateRef& subject, const CertificateRef& issuer, Status* status) {
    if (options_.mode != RevocationMode::kOnline || status->by_delta || status->delta_urls.empty()) return false;
    if (const size_t open = Inquire(Inquiry::Kind::kCrl, status->delta_urls, subject, issuer); open > 0) {
      result_.decision = Decision::kUndecided;
      result_.findings.push_back({Reason::kRevocationUnknown, subject,
                                  absl::StrCat(Text(*status->statement), ", ", open, " to be asked for a delta")});
      return true;
    }
    status->statement->believed_until =
        std::min(status->statement->believed_until, now_ + kBeliefWithoutNextUpdate);
    return false;
  }

  void ReadAnswer(const OcspAnswer& answer, const CertificateRef& issuer, Status* status) {
    const std::string source =
        absl::StrCat("OCSP ", answer.url.empty() ? "" : absl::StrCat(EscapeText(answer.url), ", "),
                     "produced ", When(answer.produced_at, now_));
    absl::Time until = BelievedUntil(answer.made(), answer.next_update, answer.received, options_);
    if (answer.delegate != nullptr && !answer.nocheck) {
      // RFC 6960 section 4.2.2.2.1 leaves it to us: minutes of belief, unless a list says that it is fine.
      const CrlFinding delegate = lists_.Check(answer.delegate, issuer);
      if (delegate.status == CrlFinding::Status::kRevoked) {
        status->why = absl::StrCat(source, ": the responder's certificate is revoked");
        return;
      }
      if (delegate.status == CrlFinding::Status::kUnknown) {
        until = std::min(until, answer.produced_at + kBeliefWithoutNextUpdate);
      }
    }
    const bool current = now_ <= until && answer.this_update <= now_ + options_.skew;
    if (answer.status == OcspStatus::kRevoked) {
      status->statement = Statement{true, {answer.revoked, answer.reason}, answer.this_update,
                                    until, source};
    } else if (!current) {
      status->why = absl::StrCat(source, ", is too old");
    } else if (answer.status == OcspStatus::kUnknown) {
      status->ocsp_unknown = true;
      status->why = absl::StrCat(source, ": the responder does not know the certificate");
    } else {
      status->statement = Statement{false, {}, answer.this_update, until, source};
    }
  }

  std::string Text(const Statement& said) const {
    if (said.revoked) {
      return absl::StrCat(said.source, ", revoked ", When(said.entry.revoked, now_), " (",
                          RevocationReasonName(said.entry.reason), ")");
    }
    return absl::StrCat("good: ", said.source, ", as of ", When(said.this_update, now_),
                        ", believed for ", Roughly(said.believed_until - now_));
  }

  // Adds the open inquiries about a certificate: its responders, and its lists once no responder is left to be asked.
  size_t Inquire(const CertificateRef& subject, const CertificateRef& issuer, bool responder_told) {
    size_t open = 0;
    if (!responder_told) {
      open = Inquire(Inquiry::Kind::kOcsp,
                     options_.ocsp_url.empty() ? OcspUrls(*subject)
                                               : std::vector<std::string>{options_.ocsp_url},
                     subject, issuer);
    }
    if (open == 0) open = Inquire(Inquiry::Kind::kCrl, UrlsOf(DistributionPointsOf(*subject)), subject, issuer);
    return open;
  }
  size_t Inquire(Inquiry::Kind kind, std::vector<std::string> urls, const CertificateRef& subject,
                 const CertificateRef& issuer) {
    if (source_ == nullptr) return 0;
    const size_t before = result_.inquiries.size();
    for (std::string& url : urls) {
      Inquiry inquiry{kind, std::move(url), subject, issuer, options_.ocsp_nonce};
      if (source_->MayAsk(inquiry)) result_.inquiries.push_back(std::move(inquiry));
    }
    return result_.inquiries.size() - before;
  }

  const Path& path_;
  const RevocationOptions& options_;
  const absl::Time now_;
  const RevocationSource* const source_;
  CrlCheck lists_;
  RevocationResult result_;
};

}  // namespace

RevocationResult CheckRevocation(const Path& path, const SchemeOptions& options, absl::Time now,
                                 const RevocationSource* source) {
  return Check(path, options, now, source).Run();
}

}  // namespace gatehouse::certs
