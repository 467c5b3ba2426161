// Pages walks a list that the server gives in pages: one item at a time, one page in memory.
//
// Ownership:  shares the channel; may outlive the Client.
// Threading:  thread-compatible. Next may block for one call.
// Errors:     Next returns the status once and std::nullopt from then on.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace gatehouse::client {

template <typename Item>
class Pages {
 public:
  struct Page {
    std::deque<Item> items;
    std::string next_token;  // empty: this is the last one
  };
  using Fetch = std::function<absl::StatusOr<Page>(const std::string& token)>;

  explicit Pages(Fetch fetch) : fetch_(std::move(fetch)) {}

  // Next returns the next item, std::nullopt after the last.
  absl::StatusOr<std::optional<Item>> Next() {
    while (items_.empty() && !done_) {
      absl::StatusOr<Page> page = fetch_(token_);
      if (!page.ok()) {
        done_ = true;
        return page.status();
      }
      // A server that repeats its token would keep us here for ever.
      if (!page->next_token.empty() && page->next_token == token_) {
        done_ = true;
        return absl::InternalError("the server returned the same page token twice");
      }
      items_ = std::move(page->items);
      token_ = std::move(page->next_token);
      done_ = token_.empty();
    }
    if (items_.empty()) return std::optional<Item>();
    std::optional<Item> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

 private:
  Fetch fetch_;
  std::deque<Item> items_;
  std::string token_;
  bool done_ = false;
};

}  // namespace gatehouse::client
