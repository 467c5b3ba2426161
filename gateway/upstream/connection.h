// Connection is one connection to an endpoint, as the pool sees it: it carries requests, as many as it can take at a time,
// and is kept between them. HTTP/1.1 (http1_connection.h) takes one, HTTP/2 (http2_connection.h) many.
//
//   connecting --> up, with or without requests --> closed (then deleted by Loop::DeferDelete)
//
// Ownership:  the pool's.
// Threading:  the pool's loop.
// Errors:     a failed connect goes to the pool, what happens later to the requests.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "gateway/http/field_list.h"

namespace gatehouse::upstream {

class Pool;
class Request;
struct Site;

class Connection {
 public:
  // Of the kind that the pool's options ask for.
  static std::unique_ptr<Connection> Create(Pool* pool, std::shared_ptr<Site> site);
  virtual ~Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Connect begins; its failure is reported to the pool in a later call from the loop.
  virtual void Connect() = 0;
  // One more request can be attached now.
  virtual bool CanTake() const = 0;
  // Requests that are attached.
  virtual size_t active() const = 0;
  // Attach takes on `request`, which is sent once connected, at the end of the turn. REQUIRES: CanTake().
  virtual void Attach(Request* request) = 0;
  // Lets go of one of its requests without a word to it; null when there is none.
  virtual Request* TakeRequest() = 0;
  // Nothing is known to be wrong with this connection, which is up.
  virtual bool Healthy() = 0;
  // Takes nothing more, closes and reports to the pool: at once, or when what it is reading at this moment is read. Requests must have been taken.
  virtual void Close() = 0;
  // Retire: it takes nothing more (the endpoint is gone, or its proof is asked for anew) and closes with its last request.
  void Retire() {
    retired_ = true;
    if (active() == 0) Close();
  }

  // From a request that is attached.
  virtual void Abandon(Request* request) = 0;
  virtual void SendBody(Request* request, absl::string_view bytes, bool end) = 0;
  virtual void UpdateReading(Request* request) = 0;

  Site& site() { return *site_; }
  // Where the pool keeps this, and whether it is among its site's.
  size_t pool_index = 0;
  bool listed = false;
  bool counted_idle = false;

 protected:
  Connection(Pool* pool, std::shared_ptr<Site> site) : pool_(pool), site_(std::move(site)) {}
  // "127.0.0.1:8080: what".
  std::string Named(absl::string_view what) const;

  Pool* const pool_;
  const std::shared_ptr<Site> site_;
  bool retired_ = false;
};

}  // namespace gatehouse::upstream
