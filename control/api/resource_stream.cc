#include "control/api/resource_stream.h"

#include <utility>

#include "control/api/resource_fields.h"

namespace gatehouse::api {
namespace {

constexpr size_t kMessageBytes = size_t{1024} * 1024;

}  // namespace

ResourceStream::ResourceStream(const v1::WatchResourcesRequest& request, store::StateRef current, const Etags& etags)
    : etags_(etags),
      kind_(request.kind()),
      labels_(request.labels()),
      name_(request.name()),
      told_(request.only_changes() ? std::move(current) : std::make_shared<const store::State>()) {}

bool ResourceStream::Next(const store::StateRef& current, v1::WatchResourcesResponse* message) {
  if (telling_ == nullptr) {
    if (synced_ && current == told_) return false;
    telling_ = current;
    Collect();
  }
  message->Clear();
  message->set_revision(telling_->revision);
  if (!Tell(message)) return true;
  told_ = std::move(telling_);
  telling_ = nullptr;
  if (!synced_) {
    synced_ = true;
    message->set_synced(true);
    return true;
  }
  return message->resources_size() > 0 || message->removed_size() > 0;
}

void ResourceStream::Collect() {
  differences_.clear();
  next_ = 0;
  config::ResourceMap::Compare(
      told_->resources, telling_->resources,
      [this](const store::ResourceKey& key, const config::ResourceRef* from, const config::ResourceRef* to) {
        if (key.first != kind_ || (!name_.empty() && key.second != name_)) return;
        const bool had = from != nullptr && Bears(**from, labels_);
        const bool has = to != nullptr && Bears(**to, labels_);
        if (had || has) differences_.push_back({key.second, has ? *to : nullptr});
      });
}

bool ResourceStream::Tell(v1::WatchResourcesResponse* message) {
  size_t bytes = 0;
  for (; next_ < differences_.size(); ++next_) {
    if (bytes > kMessageBytes) return false;
    Difference& difference = differences_[next_];
    if (difference.now == nullptr) {
      bytes += difference.name.size();
      message->add_removed(std::move(difference.name));
    } else {
      bytes += difference.now->ByteSizeLong();
      *message->add_resources() = Shown(*difference.now, etags_);
      difference.now.reset();
    }
  }
  differences_.clear();
  return true;
}

}  // namespace gatehouse::api
