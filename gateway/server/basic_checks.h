// BasicChecks is what one request asks about its password: of each scheme of kind Basic once, remembered between two
// decisions, and once more for the user who was let in, for as long as the request runs.
//
//   Check --known at once--> success, failure, no result
//     `----hashing, or a service is asked--> pending --answered--> Request::OnChecked, then Check says what came of it
//
// Ownership:  owned by its request; owns the tickets of what is under way, so that dropping it, or Cancel, detaches them.
// Threading:  the worker's loop only.
// Errors:     SchemeResult.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/authn/decision.h"
#include "gateway/base/recycled.h"
#include "gateway/config/snapshot.h"
#include "gateway/credentials/checker.h"
#include "gateway/delegate/desk.h"
#include "gateway/http/message.h"

namespace gatehouse::server {

class Connection;

class BasicChecks final : public Recycled<BasicChecks> {
 public:
  // Whose password it is.
  class Request {
   public:
    virtual const http::RequestHead& head() const = 0;
    virtual const config::Route& route() const = 0;
    virtual absl::string_view RequestId() = 0;
    // Of the client, which is not the peer behind a trusted proxy.
    virtual std::string client_host() const = 0;
    virtual const std::string& client_key() const = 0;  // credentials::AddressKey
    // What was pending is known. Never called inside Check.
    virtual void OnChecked() = 0;

   protected:
    ~Request() = default;
  };

  // Both outlive this.
  BasicChecks(Connection* connection, Request* request) : connection_(connection), request_(request) {}
  BasicChecks(const BasicChecks&) = delete;
  BasicChecks& operator=(const BasicChecks&) = delete;

  authn::SchemeResult Check(const config::Scheme& scheme);
  // Whether the user whom Check let in may stay.
  authn::SchemeResult Recheck(const config::Scheme& scheme);
  // Drops what is under way and what was answered.
  void Cancel() { checks_.clear(); }

  // Credentials were too large to be any: the answer is 400.
  bool too_large() const { return too_large_; }
  // What the service that decides for the scheme said, for people; empty if nothing.
  absl::string_view DetailOf(uint32_t scheme) const;

 private:
  struct Question {
    uint32_t scheme = 0;
    bool done = false;
    credentials::CheckResult result;
    credentials::Checker::Ticket ticket;
    // Of a scheme that a service decides.
    delegate::Desk::Ticket asked;
    std::string detail;
  };

  void AskChecker(Question* check, const config::Scheme& scheme, absl::string_view authorization);
  // `again`: for a user who was let in; the next sweep, within a second, looks at the answer.
  void AskService(Question* check, const config::Scheme& scheme, absl::string_view authorization, bool again);

  Connection* const connection_;
  Request* const request_;
  std::vector<std::unique_ptr<Question>> checks_;  // one a scheme that was asked
  bool too_large_ = false;
  // Who was let in.
  credentials::UserRef user_;
  std::string user_scheme_;
  uint64_t user_epoch_ = 0;  // of the scheme, as it let the user in
  absl::Time user_until_;    // a service is asked again then
  std::unique_ptr<Question> again_;
  uint64_t again_epoch_ = 0;  // of the scheme that asks
};

}  // namespace gatehouse::server
