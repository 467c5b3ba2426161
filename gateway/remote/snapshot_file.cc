#include "gateway/remote/snapshot_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/status.h"
#include "gateway/config/build_set.h"

namespace gatehouse::remote {
namespace {

// Bound to the seals: no other sealed value passes for one.
constexpr char kPlace[] = "gatehouse-gateway snapshot 1";
constexpr char kChangesPlace[] = "gatehouse-gateway snapshot changes 1";
constexpr char kConfirmedPlace[] = "gatehouse-gateway snapshot confirmed 1";
// Changes on disk, as a part of the whole beside them, after which all is written anew.
constexpr uint64_t kMostChanges = 4;
constexpr uint64_t kLeastChanges = 256 * 1024;

absl::Status FileError(absl::string_view doing, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(doing, " ", path, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<SnapshotFile> SnapshotFile::Open(const std::string& folder, const std::string& key_file) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return FileError("cannot make", folder);
  struct stat info;
  if (lstat(folder.c_str(), &info) != 0) return FileError("cannot look at", folder);
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 022) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder, " must be a directory of ours that nobody else may write to"));
  }
  GH_ASSIGN_OR_RETURN(Secret key, LoadOrCreateKey(key_file.empty() ? absl::StrCat(folder, "/snapshot.key") : key_file));
  const auto box = [&key] { return SecretBox(Secret(key.Reveal())); };
  return SnapshotFile(SealedFile(absl::StrCat(folder, "/snapshot.sealed"), kPlace, box()),
                      SealedLog(absl::StrCat(folder, "/snapshot.changes"), kChangesPlace, box()),
                      SealedFile(absl::StrCat(folder, "/snapshot.confirmed"), kConfirmedPlace, box()));
}

absl::StatusOr<SavedSnapshot> SnapshotFile::Load() const {
  GH_ASSIGN_OR_RETURN(const std::string plain, whole_.Load());
  v1::SnapshotChunk chunk;
  v1::ConfigSet set;
  if (!chunk.ParseFromString(plain) || !set.ParseFromString(chunk.data())) {
    return absl::DataLossError(absl::StrCat(whole_.path(), ": is not a snapshot of this version"));
  }
  SavedSnapshot saved{chunk.revision(), chunk.incarnation(), config::ResourceMap(std::move(set))};
  if (chunk.digest() != AsView(saved.resources.digest())) {
    return absl::DataLossError(absl::StrCat(whole_.path(), ": the content does not have the digest that it says"));
  }
  GH_ASSIGN_OR_RETURN(const std::vector<std::string> changes, changes_.Load());
  for (const std::string& change : changes) {
    v1::Delta delta;
    if (!delta.ParseFromString(change)) return absl::DataLossError("a saved change is not one of this version");
    // Left over from before the whole was written.
    if (delta.incarnation() != saved.incarnation || delta.to_revision() <= saved.revision) continue;
    if (delta.from_revision() != saved.revision) return absl::DataLossError("saved changes do not follow each other");
    absl::StatusOr<config::ResourceMap> next = config::ApplyDelta(std::move(saved.resources), delta);
    if (!next.ok()) return absl::DataLossError(next.status().message());
    saved.resources = *std::move(next);
    saved.revision = delta.to_revision();
  }
  return saved;
}

absl::Status SnapshotFile::Save(const SavedSnapshot& snapshot) {
  v1::SnapshotChunk chunk;
  chunk.set_revision(snapshot.revision);
  chunk.set_incarnation(snapshot.incarnation);
  chunk.set_digest(std::string(AsView(snapshot.resources.digest())));
  chunk.set_data(config::WireOf(snapshot.resources));
  chunk.set_last(true);
  whole_bytes_ = 0;
  GH_RETURN_IF_ERROR(whole_.Save(chunk.SerializeAsString()));
  changes_.Drop();
  whole_bytes_ = chunk.data().size();
  saved_revision_ = snapshot.revision;
  saved_incarnation_ = snapshot.incarnation;
  return absl::OkStatus();
}

absl::Status SnapshotFile::SaveChange(const SavedSnapshot& snapshot, const v1::Delta& delta) {
  const bool follows = delta.from_revision() == saved_revision_ && delta.incarnation() == saved_incarnation_;
  if (whole_bytes_ == 0 || !follows || changes_.bytes() > std::max(kLeastChanges, whole_bytes_ / kMostChanges)) return Save(snapshot);
  GH_RETURN_IF_ERROR(changes_.Append(delta.SerializeAsString()));
  saved_revision_ = snapshot.revision;
  return absl::OkStatus();
}

void SnapshotFile::Drop() {
  whole_.Drop();
  changes_.Drop();
  whole_bytes_ = 0;
}

std::optional<absl::Time> SnapshotFile::LoadConfirmed() const {
  absl::StatusOr<std::string> text = confirmed_.Load();
  int64_t seconds = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &seconds)) return std::nullopt;
  return absl::FromUnixSeconds(seconds);
}

// Lost, it makes the configuration older than it is, and no younger.
void SnapshotFile::SaveConfirmed(absl::Time time) const {
  confirmed_.Save(absl::StrCat(absl::ToUnixSeconds(time))).IgnoreError();
}

}  // namespace gatehouse::remote
