#include "gateway/server/revocation_desk.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/digest.h"
#include "gateway/base/status.h"

namespace gatehouse::server {
namespace {

constexpr size_t kHistory = 10'000;
constexpr size_t kSources = 1000;
constexpr size_t kExecutorQueue = 1024;
constexpr size_t kRefreshesAtOnce = 64;
constexpr absl::Duration kCrlTimeout = absl::Minutes(1);
constexpr size_t kNonceSize = 16;

}  // namespace

absl::string_view RevocationDesk::OutcomeName(Outcome outcome) {
  static constexpr const char* kNames[kOutcomes] = {"ok",         "not_permitted", "unreachable", "timed_out",
                                                    "too_large",  "bad_answer",    "overloaded",  "try_later",
                                                    "refused",    "older",         "stale"};
  return kNames[static_cast<size_t>(outcome)];
}

absl::StatusOr<std::unique_ptr<RevocationDesk>> RevocationDesk::Open(Options options) {
  std::unique_ptr<RevocationFiles> files;
  if (!options.directory.empty()) {
    GH_ASSIGN_OR_RETURN(files, RevocationFiles::Open(options.directory, options.max_file_bytes));
  }
  std::unique_ptr<RevocationDesk> desk(new RevocationDesk(std::move(options)));
  desk->files_ = std::move(files);
  if (desk->files_ != nullptr) desk->LoadFiles();
  RevocationDesk* self = desk.get();
  desk->watched_ = std::make_unique<WatchedCrls>(
      [self](const std::string& file, std::vector<certs::CrlRef> lists) { self->OnWatched(file, std::move(lists)); },
      [self](const std::string& text) { self->Notice(text, true); });
  if (desk->options_.period > absl::ZeroDuration()) {
    desk->thread_ = std::thread([self] {
      for (;;) {
        {
          MutexLock lock(&self->mutex_);
          if (!self->stopping_) self->wake_.WaitFor(&self->mutex_, self->options_.period);
          if (self->stopping_) return;
        }
        self->Tick();
      }
    });
  }
  return desk;
}

RevocationDesk::RevocationDesk(Options options)
    : options_(std::move(options)),
      clock_(*options_.clock),
      crls_(options_.max_crl_bytes),
      answers_(options_.max_answers),
      history_(kHistory),
      health_(kSources) {
  if (options_.threads > 0) executor_ = std::make_unique<Executor>(options_.threads, kExecutorQueue);
}

RevocationDesk::~RevocationDesk() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
  watched_.reset();
  options_.fetcher.reset();  // calls nobody back from here on
  executor_.reset();
}

void RevocationDesk::Notice(const std::optional<std::string>& text, bool failed) {
  if (text && options_.on_notice) options_.on_notice(*text, failed);
}

std::string RevocationDesk::KeyOf(const certs::Inquiry& inquiry, absl::string_view terms_id) {
  return absl::StrCat(inquiry.Key(), " ", terms_id);
}

std::vector<certs::HeldCrl> RevocationDesk::Source::CrlsOf(uint64_t issuer_hash) const {
  MutexLock lock(&desk_->mutex_);
  return desk_->crls_.Of(issuer_hash, desk_->clock_.Now(), use_);
}

certs::OcspAnswerRef RevocationDesk::Source::OcspOf(const certs::Certificate& subject,
                                                    const certs::Certificate& issuer) const {
  certs::OcspAnswerRef answer;
  {
    MutexLock lock(&desk_->mutex_);
    answer = desk_->answers_.Of(subject, issuer, options_.revocation.max_age, desk_->clock_.Now(), use_);
    if (answer == nullptr || desk_->answers_.IsVerified(subject, issuer, *answer, options_.strength)) return answer;
  }
  // Another scheme, or the disk, had it verified by other standards. Once for each.
  certs::OcspCheck check;
  check.now = answer->received;
  check.skew = options_.revocation.skew;
  check.strength = options_.strength;
  if (!certs::ReadOcspAnswer(answer->der, subject, issuer, check).ok()) return nullptr;
  MutexLock lock(&desk_->mutex_);
  desk_->answers_.SetVerified(subject, issuer, *answer, options_.strength);
  return answer;
}

bool RevocationDesk::Source::MayAsk(const certs::Inquiry& inquiry) const {
  if (!ask_ || options_.revocation.mode != certs::RevocationMode::kOnline) return false;
  const std::string host = fetch::HostOf(inquiry.url);
  const std::string key = KeyOf(inquiry, TermsId(options_));
  MutexLock lock(&desk_->mutex_);
  return desk_->OpenLocked(inquiry, key, host, options_, desk_->clock_.Now());
}

bool RevocationDesk::OpenLocked(const certs::Inquiry& inquiry, const std::string& key, const std::string& host,
                                const certs::SchemeOptions& options, absl::Time now) {
  if (host.empty()) return false;
  if (auto flight = flights_.find(key); flight != flights_.end()) {
    // A fetch that takes longer than anybody would wait is not waited for by those who come later.
    return now < flight->second->begun + options.revocation.timeout;
  }
  if (history_.Closed(key, host, now)) return false;
  // What is held and did not decide will not do so when it is asked for once more.
  return !FreshLocked(inquiry, options.strength, options.revocation.max_age, now);
}

bool RevocationDesk::FreshLocked(const certs::Inquiry& inquiry, const certs::Strength& strength,
                                 absl::Duration max_age, absl::Time now) {
  return inquiry.kind == certs::Inquiry::Kind::kOcsp
             ? answers_.Fresh(*inquiry.subject, *inquiry.issuer, strength, max_age, now)
             : crls_.Fresh(inquiry, max_age, now);
}

RevocationDesk::Ticket RevocationDesk::Ask(absl::Span<const certs::Inquiry> inquiries,
                                           const certs::SchemeOptions& options, bool all, Post post,
                                           absl::AnyInvocable<void()> done) {
  const InquiryTermsRef terms = TermsOf(options);
  auto waiter = std::make_shared<Waiter>();
  waiter->done = std::move(done);
  std::vector<std::string> started;
  bool joined = false;
  {
    MutexLock lock(&mutex_);
    if (stopping_) return nullptr;
    const absl::Time now = clock_.Now();
    std::vector<Sha256Digest> asked;  // of whom a source is
    for (const certs::Inquiry::Kind kind : {certs::Inquiry::Kind::kOcsp, certs::Inquiry::Kind::kCrl}) {
      for (const certs::Inquiry& inquiry : inquiries) {
        if (inquiry.kind != kind) continue;
        const Sha256Digest whom = certs::StatusIdOf(*inquiry.subject, *inquiry.issuer);
        if (!all && absl::c_linear_search(asked, whom)) continue;
        const std::string key = KeyOf(inquiry, terms->id);
        if (!OpenLocked(inquiry, key, fetch::HostOf(inquiry.url), options, now)) continue;
        auto found = flights_.find(key);
        Flight* flight =
            found != flights_.end() ? found->second.get() : StartLocked(inquiry, key, terms, now, &started);
        if (flight == nullptr) continue;
        // Who gave up takes no room for as long as the flight takes.
        auto& waiters = flight->waiters;
        if (waiters.size() == waiters.capacity()) {
          std::erase_if(waiters, [](const auto& w) { return w.first.expired(); });
          waiters.reserve(2 * waiters.size() + 8);
        }
        waiters.emplace_back(waiter, post);
        asked.push_back(whom);
        joined = true;
      }
    }
  }
  Launch(started);
  return joined ? waiter : nullptr;
}

RevocationDesk::Flight* RevocationDesk::StartLocked(const certs::Inquiry& inquiry, const std::string& key,
                                                    InquiryTermsRef terms, absl::Time now,
                                                    std::vector<std::string>* started) {
  if (flights_.size() >= options_.max_flights) return nullptr;
  auto flight = std::make_shared<Flight>();
  flight->inquiry = inquiry;
  flight->terms = std::move(terms);
  flight->host = fetch::HostOf(inquiry.url);
  if (inquiry.kind == certs::Inquiry::Kind::kOcsp && inquiry.nonce) flight->nonce = RandomBytes(kNonceSize);
  flight->begun = now;
  started->push_back(key);
  return (flights_[key] = std::move(flight)).get();
}

void RevocationDesk::Launch(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    std::shared_ptr<Flight> flight;
    {
      MutexLock lock(&mutex_);
      auto it = flights_.find(key);
      if (it == flights_.end()) continue;
      flight = it->second;
    }
    fetch::FetchRequest request;
    request.url = flight->inquiry.url;
    request.max_redirects = flight->terms->max_redirects;
    request.rules = flight->terms->rules;
    const bool ocsp = flight->inquiry.kind == certs::Inquiry::Kind::kOcsp;
    request.timeout = ocsp ? flight->terms->timeout : std::max(flight->terms->timeout, kCrlTimeout);
    request.max_bytes = ocsp ? certs::kMaxOcspSize : flight->terms->max_crl_bytes;
    if (ocsp) {
      absl::StatusOr<std::string> body =
          certs::MakeOcspRequest(*flight->inquiry.subject, *flight->inquiry.issuer, flight->nonce);
      if (!body.ok()) {
        fetch::FetchResult failed;
        failed.error = fetch::FetchError::kNotPermitted;
        failed.detail = std::string(body.status().message());
        Land(key, std::move(failed));
        continue;
      }
      request.body = *std::move(body);
      request.content_type = "application/ocsp-request";
      request.accept = "application/ocsp-response";
    } else {
      request.accept = "application/pkix-crl, */*;q=0.5";
    }
    options_.fetcher->Fetch(std::move(request), [this, key](fetch::FetchResult result) {
      if (executor_ == nullptr) return Land(key, std::move(result));
      auto shared = std::make_shared<fetch::FetchResult>(std::move(result));
      if (executor_->Submit([this, key, shared] { Land(key, std::move(*shared)); })) return;
      fetch::FetchResult overloaded;
      overloaded.error = fetch::FetchError::kOverloaded;
      overloaded.detail = "too many answers wait to be verified";
      overloaded.took = shared->took;
      Land(key, std::move(overloaded));
    });
  }
}

void RevocationDesk::Land(const std::string& key, fetch::FetchResult result) {
  std::shared_ptr<Flight> flight;
  {
    MutexLock lock(&mutex_);
    auto it = flights_.find(key);
    if (it == flights_.end()) return;
    flight = it->second;
  }
  const certs::Inquiry& inquiry = flight->inquiry;
  const absl::Time now = clock_.Now();
  Landing landing;
  if (result.ok()) {
    landing = Examine(inquiry, *flight->terms, flight->terms, flight->nonce, std::move(result.body), now);
  } else {
    // The kinds of FetchError that are failures stand in Outcome in the same order.
    landing.outcome = static_cast<Outcome>(result.error);
    landing.cause = absl::StrCat(fetch::FetchErrorName(result.error), ": ", result.detail);
  }
  ++fetches_[static_cast<size_t>(inquiry.kind)][static_cast<size_t>(landing.outcome)];
  fetch_nanos_ += absl::ToInt64Nanoseconds(result.took);

  std::vector<std::pair<std::weak_ptr<Waiter>, Post>> waiters;
  std::optional<std::string> notice;
  const bool failed = landing.outcome != Outcome::kOk;
  {
    MutexLock lock(&mutex_);
    if (failed) {
      const bool unreachable = landing.outcome == Outcome::kUnreachable || landing.outcome == Outcome::kTimedOut;
      history_.Failed(key, flight->host, unreachable, now);
      if (landing.outcome != Outcome::kOverloaded) notice = health_.Failed(inquiry.url, landing.cause, now);
    } else {
      if (FreshLocked(inquiry, flight->terms->strength, flight->terms->max_age, now)) {
        history_.Succeeded(key, flight->host);
      } else {
        // Held, and over as soon as it came: were it open again at once, what does not decide would be asked for without end.
        history_.Failed(key, flight->host, false, now);
      }
      notice = health_.Succeeded(inquiry.url, now);
    }
    waiters = std::move(flight->waiters);
    flights_.erase(key);
  }
  if (!landing.news.empty() && options_.on_news) options_.on_news(landing.news);
  for (auto& [waiter, post] : waiters) {
    post([weak = std::move(waiter)] {
      Ticket alive = weak.lock();
      if (alive == nullptr) return;
      absl::AnyInvocable<void()> done = std::exchange(alive->done, nullptr);
      if (done) done();
    });
  }
  Notice(notice, failed);
  if (files_ == nullptr) return;
  if (landing.save) {
    absl::Status saved = files_->Save({inquiry, landing.series, now, std::move(landing.der)});
    if (!saved.ok()) {
      MutexLock lock(&mutex_);
      notice = health_.Failed("cache on disk", saved.message(), now);
    } else {
      MutexLock lock(&mutex_);
      notice = health_.Succeeded("cache on disk", now);
    }
    Notice(notice, !saved.ok());
  } else if (landing.renew) {
    files_->Renew(inquiry, landing.series, now);
  }
}

void RevocationDesk::LoadFiles() {
  for (StoredAnswer& stored : files_->Load()) {
    // Nobody asked yet: schemes hold it against their own standards when they do, and look at its times. The clock may be
    // behind: what is of the future now need not stay so.
    InquiryTerms terms;
    terms.skew = absl::InfiniteDuration();
    terms.strength = {.min_rsa_bits = 0, .min_ec_bits = 0, .max_rsa_bits = 16 * 1024, .allow_sha1 = true, .allow_dsa = true};
    Landing landing = Examine(stored.inquiry, terms, nullptr, "", std::move(stored.der), stored.received);
    if (!landing.save && !landing.renew) files_->Remove(stored);  // it is not held
  }
}

void RevocationDesk::OnWatched(const std::string& file, std::vector<certs::CrlRef> lists) {
  RevocationNews news;
  std::vector<certs::CertificateRef> authorities;
  {
    MutexLock lock(&mutex_);
    authorities = authorities_;
  }
  for (certs::CrlRef& list : lists) {
    for (const certs::CertificateRef& authority : authorities) {
      if (X509_NAME_cmp(X509_get_subject_name(authority->x509()), list->issuer_name()) != 0) continue;
      list->VerifySignature(*authority, certs::Strength()).IgnoreError();  // remembered, whatever comes of it
    }
    list = retired_->Keep(std::move(list));
  }
  std::vector<certs::CrlRef> before;
  {
    MutexLock lock(&mutex_);
    before = crls_.PutWatched(file, lists);
  }
  for (const certs::CrlRef& list : lists) {
    bool known = false;
    for (const certs::CrlRef& old : before) known = known || old.get() == list.get();
    if (!known) news.lists.push_back(list);
  }
  for (const certs::CrlRef& old : before) {
    bool stays = false;
    for (const certs::CrlRef& list : lists) {
      stays = stays || (list->issuer_der() == old->issuer_der() && list->scope_der() == old->scope_der() &&
                        list->is_delta() == old->is_delta());
    }
    // An indirect list spoke of others' certificates too: of whose, its entries do not say of those who are not on it.
    if (!stays) news.withdrawn.push_back(old->issuer_hash());
  }
  if (!news.empty() && options_.on_news) options_.on_news(news);
  before.clear();
  retired_->Free();
}

void RevocationDesk::Watch(const std::vector<std::string>& paths, std::vector<certs::CertificateRef> authorities) {
  {
    MutexLock lock(&mutex_);
    authorities_.swap(authorities);
  }
  watched_->Add(paths);
}

void RevocationDesk::Tick() {
  retired_->Free();
  std::vector<std::string> started;
  {
    MutexLock lock(&mutex_);
    if (stopping_) return;
    const absl::Time now = clock_.Now();
    std::vector<CrlShelf::Due> lists;
    std::vector<OcspShelf::Due> answers;
    crls_.AppendDue(now, &lists);
    answers_.AppendDue(now, kRefreshesAtOnce, &answers);
    const auto refresh = [&](const certs::Inquiry& inquiry, const InquiryTermsRef& terms) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (started.size() >= kRefreshesAtOnce) return;
      const std::string key = KeyOf(inquiry, terms->id);
      if (flights_.contains(key) || history_.Closed(key, fetch::HostOf(inquiry.url), now)) return;
      StartLocked(inquiry, key, terms, now, &started);
    };
    for (const auto& due : lists) refresh(due.inquiry, due.terms);
    for (const auto& due : answers) refresh(due.inquiry, due.terms);
  }
  Launch(started);
}

RevocationDesk::Sizes RevocationDesk::sizes() const {
  Sizes sizes;
  if (files_ != nullptr) sizes.file_bytes = files_->bytes();
  MutexLock lock(&mutex_);
  sizes.flights = flights_.size();
  sizes.answers = answers_.size();
  sizes.lists = crls_.size();
  sizes.retired = retired_->size();
  sizes.list_bytes = crls_.bytes();
  return sizes;
}

}  // namespace gatehouse::server
