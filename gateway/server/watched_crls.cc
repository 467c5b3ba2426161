#include "gateway/server/watched_crls.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"

namespace gatehouse::server {
namespace {

bool SameSeries(const certs::Crl& a, const certs::Crl& b) {
  return a.issuer_der() == b.issuer_der() && a.scope_der() == b.scope_der() && a.is_delta() == b.is_delta();
}

}  // namespace

WatchedCrls::WatchedCrls(Changed changed, Problem problem, absl::Duration period)
    : changed_(std::move(changed)), problem_(std::move(problem)), watch_(period) {}

void WatchedCrls::Add(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    MutexLock lock(&mutex_);
    const auto [it, added] = places_.try_emplace(path);
    if (!added) continue;
    ReloadLocked(path, &it->second);
    watch_.Watch(path, {path}, [this, path] { Reload(path); });
  }
}

void WatchedCrls::Keep(const std::vector<std::string>& paths) {
  MutexLock lock(&mutex_);
  for (auto it = places_.begin(); it != places_.end();) {
    if (absl::c_linear_search(paths, it->first)) {
      ++it;
      continue;
    }
    watch_.Watch(it->first, {}, nullptr);
    const Place gone = std::move(it->second);
    it = places_.erase(it);
    for (const auto& [file, lists] : gone.files) {
      // A file may be watched by its own name and by its directory's.
      const auto other = absl::c_find_if(places_, [&, f = &file](const auto& place) { return place.second.files.contains(*f); });
      changed_(file, other == places_.end() ? std::vector<certs::CrlRef>() : other->second.files.at(file));
    }
  }
}

void WatchedCrls::Reload(const std::string& path) {
  MutexLock lock(&mutex_);
  auto it = places_.find(path);
  if (it != places_.end()) ReloadLocked(path, &it->second);
}

void WatchedCrls::ReloadLocked(const std::string& path, Place* place) {
  absl::StatusOr<std::vector<FileContent>> contents = ReadFiles(path, certs::kMaxCrlSize);
  if (!contents.ok()) {
    Tell(path, contents.status());
    if (!absl::IsNotFound(contents.status())) return;
    contents = std::vector<FileContent>();
  } else {
    Tell(path, absl::OkStatus());
  }
  std::map<std::string, std::vector<certs::CrlRef>> before = std::exchange(place->files, {});
  for (FileContent& file : *contents) {
    std::vector<certs::CrlRef>& held = place->files[file.path];
    if (auto old = before.find(file.path); old != before.end()) {
      held = std::move(old->second);
      before.erase(old);
    }
    if (!file.content.ok()) {
      Tell(file.path, file.content.status());
      continue;
    }
    absl::StatusOr<std::vector<certs::CrlRef>> lists = certs::Crl::ListFromBytes(*std::move(file.content));
    absl::Status status = lists.status();
    bool differs = lists.ok() && lists->size() != held.size();
    for (size_t i = 0; lists.ok() && i < lists->size(); ++i) {
      certs::CrlRef& list = (*lists)[i];
      for (const certs::CrlRef& old : held) {
        if (old->sha256() == list->sha256()) {
          list = old;  // who was told of it may hold on to it
          break;
        }
        if (!SameSeries(*old, *list) || old->MayBeReplacedBy(*list)) continue;
        status = absl::InvalidArgumentError(
            absl::StrCat("list ", i + 1, " is older than the one that is held, which stays in force"));
        list = old;
      }
      differs = differs || list->sha256() != held[i]->sha256();
    }
    if (!status.ok()) {
      status = absl::Status(status.code(), absl::StrCat(file.path, ": ", status.message()));
    }
    if (file.path != path || !status.ok()) Tell(file.path, status);
    if (!differs) continue;
    held = *std::move(lists);
    changed_(file.path, held);
  }
  for (const auto& [file, lists] : before) {
    told_.erase(file);
    changed_(file, {});
  }
}

void WatchedCrls::Tell(const std::string& file, const absl::Status& status) {
  if (status.ok()) {
    told_.erase(file);
    return;
  }
  std::string text = absl::StrCat("revocation lists: ", status.message());
  std::string& told = told_[file];
  if (told == text) return;
  told = text;
  problem_(text);
}

}  // namespace gatehouse::server
