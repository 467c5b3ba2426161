#include "gateway/upstream/connection.h"

#include "absl/strings/str_cat.h"
#include "gateway/upstream/http1_connection.h"
#include "gateway/upstream/http2_connection.h"
#include "gateway/upstream/pool.h"

namespace gatehouse::upstream {

std::unique_ptr<Connection> Connection::Create(Pool* pool, std::shared_ptr<Site> site) {
  if (pool->options().http2) return std::make_unique<Http2Connection>(pool, std::move(site));
  return std::make_unique<Http1Connection>(pool, std::move(site));
}

std::string Connection::Named(absl::string_view what) const { return absl::StrCat(site_->name(), ": ", what); }

}  // namespace gatehouse::upstream
