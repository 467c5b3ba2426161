// RevocationDesk is what a gateway knows about revocation, and where its workers have further questions asked.
//
//   worker: Judge --memory--> kIndeterminate + inquiries --> Ask --> fetch --> verify --> shelf --> done: judge again
//
// One fetch an inquiry, however many wait for it; one that failed is left alone for a while. What is in use is asked for
// again before it runs out. What was fetched is kept on disk, and verified anew when it is read from there.
//
// Ownership:  owns the fetcher, its threads and the files. Tickets are the askers'.
// Threading:  thread-safe; reads are short and never wait for a fetch, a parse or the disk. Callbacks of Options run on
//             threads of the desk. A source is used on one thread.
// Units:      bounds as named; times are wall-clock of the given Clock.
// Errors:     Open: what the directory lacks. Sources that fail are told through `on_notice`.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "gateway/base/clock.h"
#include "gateway/base/executor.h"
#include "gateway/base/mutex.h"
#include "gateway/certs/options.h"
#include "gateway/certs/revocation.h"
#include "gateway/fetch/fetcher.h"
#include "gateway/server/crl_shelf.h"
#include "gateway/server/inquiry_history.h"
#include "gateway/server/ocsp_shelf.h"
#include "gateway/server/retired_crls.h"
#include "gateway/server/revocation_files.h"
#include "gateway/server/revocation_news.h"
#include "gateway/server/source_health.h"
#include "gateway/server/watched_crls.h"

namespace gatehouse::server {

class RevocationDesk {
 public:
  struct Options {
    const Clock* clock = nullptr;  // outlives the desk
    std::unique_ptr<fetch::Fetcher> fetcher;
    std::string directory;  // of the cache on disk; empty: none
    // Any thread, under no lock. May be null.
    std::function<void(const RevocationNews&)> on_news;
    // A source failed or recovered, a file cannot be read. `failed` says which kind.
    std::function<void(const std::string& text, bool failed)> on_notice;
    int threads = 2;                          // that verify and parse; 0: whoever brings something does, for tests
    absl::Duration period = absl::Seconds(1);  // between calls of Tick by a thread of the desk; zero: none
    size_t max_crl_bytes = size_t{512} << 20;   // fetched lists in memory
    size_t max_file_bytes = size_t{512} << 20;  // on disk
    size_t max_answers = 10'000;
    size_t max_flights = 4096;
  };

  // What became of a fetch, for the metrics.
  enum class Outcome : uint8_t {
    kOk,
    kNotPermitted,
    kUnreachable,
    kTimedOut,
    kTooLarge,
    kBadAnswer,
    kOverloaded,
    kTryLater,  // the responder says so
    kRefused,   // it is not what was asked for, or not signed by whom it should be
    kOlder,     // a replay
    kStale,     // its time is over already
  };
  static constexpr size_t kOutcomes = 11;
  static absl::string_view OutcomeName(Outcome outcome);

  static absl::StatusOr<std::unique_ptr<RevocationDesk>> Open(Options options);
  ~RevocationDesk();
  RevocationDesk(const RevocationDesk&) = delete;
  RevocationDesk& operator=(const RevocationDesk&) = delete;

  // Source is what Judge asks, for one scheme. Cheap to make.
  class Source final : public certs::RevocationSource {
   public:
    // `options` outlive this. `ask` false: everything that is not known is unknown. `use` false: leaves no trace, as
    // long as possession is not proven.
    Source(RevocationDesk* desk, const certs::SchemeOptions& options, bool ask, bool use)
        : desk_(desk), options_(options), ask_(ask), use_(use) {}

    std::vector<certs::HeldCrl> CrlsOf(uint64_t issuer_hash) const override;
    certs::OcspAnswerRef OcspOf(const certs::Certificate& subject, const certs::Certificate& issuer) const override;
    bool MayAsk(const certs::Inquiry& inquiry) const override;

   private:
    RevocationDesk* const desk_;
    const certs::SchemeOptions& options_;
    const bool ask_, use_;
  };

  // Waiter is somebody who wants to know; dropping the ticket detaches the callback.
  struct Waiter {
    absl::AnyInvocable<void()> done;
  };
  using Ticket = std::shared_ptr<Waiter>;
  using Post = std::function<void(absl::AnyInvocable<void()>)>;

  // Ask has inquiries of one verdict asked, under the options of the scheme that it is of: for each certificate the
  // first that is open, OCSP before CRLs; with `all` every one. `done` is posted once, when the first of them is
  // answered or has failed: judge again then. Null: nobody can be asked.
  // REQUIRES: possession is proven; tickets are dropped on the thread that `post` posts to.
  Ticket Ask(absl::Span<const certs::Inquiry> inquiries, const certs::SchemeOptions& options, bool all, Post post,
             absl::AnyInvocable<void()> done);

  // Lists in files and directories: see WatchedCrls. Their signatures are verified with the keys of those `authorities`
  // that bear their issuer's name before they are in force: no judgement has to. Replaces the authorities given before.
  void Watch(const std::vector<std::string>& paths, std::vector<certs::CertificateRef> authorities);
  void KeepWatching(const std::vector<std::string>& paths) { watched_->Keep(paths); }

  // Tick asks anew for what is in use and will run out, and frees lists that are in use no more.
  void Tick();

  // For the metrics.
  int64_t fetches(certs::Inquiry::Kind kind, Outcome outcome) const {
    return fetches_[static_cast<size_t>(kind)][static_cast<size_t>(outcome)];
  }
  double fetch_seconds() const { return static_cast<double>(fetch_nanos_) / 1e9; }
  struct Sizes {
    size_t flights = 0, answers = 0, lists = 0, list_bytes = 0, file_bytes = 0;
    size_t retired = 0;  // lists that are freed at the next tick
  };
  Sizes sizes() const;

 private:
  struct Flight {
    certs::Inquiry inquiry;
    InquiryTermsRef terms;
    std::string host, nonce;
    absl::Time begun;
    std::vector<std::pair<std::weak_ptr<Waiter>, Post>> waiters;
  };
  // What came of a flight, besides its outcome.
  struct Landing {
    Outcome outcome = Outcome::kOk;
    std::string cause;
    bool save = false;   // new: to be written to disk
    bool renew = false;  // the same as before
    std::string der;
    std::string series;  // see StoredAnswer
    RevocationNews news;
    std::vector<certs::CrlRef> garbage;
  };

  explicit RevocationDesk(Options options);
  void LoadFiles();
  void OnWatched(const std::string& file, std::vector<certs::CrlRef> lists);
  static std::string KeyOf(const certs::Inquiry& inquiry, absl::string_view terms_id);
  bool OpenLocked(const certs::Inquiry& inquiry, const std::string& key, const std::string& host,
                  const certs::SchemeOptions& options, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is held need not be asked for.
  bool FreshLocked(const certs::Inquiry& inquiry, const certs::Strength& strength, absl::Duration max_age,
                   absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Null: too many are under way.
  Flight* StartLocked(const certs::Inquiry& inquiry, const std::string& key, InquiryTermsRef terms, absl::Time now,
                      std::vector<std::string>* started) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Launch(const std::vector<std::string>& keys);
  void Land(const std::string& key, fetch::FetchResult result);
  Landing Examine(const certs::Inquiry& inquiry, const InquiryTerms& terms, InquiryTermsRef keep,
                  const std::string& nonce, std::string body, absl::Time received);
  Landing ExamineOcsp(const certs::Inquiry& inquiry, const InquiryTerms& terms, InquiryTermsRef keep,
                      const std::string& nonce, const std::string& body, absl::Time received);
  Landing ExamineCrl(const certs::Inquiry& inquiry, const InquiryTerms& terms, InquiryTermsRef keep, std::string body,
                     absl::Time received);
  void Notice(const std::optional<std::string>& text, bool failed);

  Options options_;
  const Clock& clock_;
  std::unique_ptr<RevocationFiles> files_;  // null: none

  mutable Mutex mutex_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  const std::shared_ptr<RetiredCrls> retired_ = std::make_shared<RetiredCrls>();
  CrlShelf crls_ ABSL_GUARDED_BY(mutex_);
  OcspShelf answers_ ABSL_GUARDED_BY(mutex_);
  InquiryHistory history_ ABSL_GUARDED_BY(mutex_);
  SourceHealth health_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mutex_);

  std::array<std::array<std::atomic<int64_t>, kOutcomes>, 2> fetches_{};
  std::atomic<int64_t> fetch_nanos_{0};

  std::vector<certs::CertificateRef> authorities_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<WatchedCrls> watched_;
  std::unique_ptr<Executor> executor_;
  std::thread thread_;
};

}  // namespace gatehouse::server
