#include "control/store/fault_disk.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <random>

namespace gatehouse::store {

struct FaultDiskFile {
  sqlite3_file base;
  FaultDisk* disk;
  std::shared_ptr<FaultDisk::File>* file;
  std::string* name_to_delete;

  static FaultDiskFile* Of(sqlite3_file* f) { return reinterpret_cast<FaultDiskFile*>(f); }

  static int Close(sqlite3_file* f) {
    FaultDiskFile* self = Of(f);
    if (self->name_to_delete != nullptr) self->disk->files_.erase(*self->name_to_delete);
    delete self->name_to_delete;
    delete self->file;
    return SQLITE_OK;
  }
  static int Read(sqlite3_file* f, void* out, int amount, sqlite3_int64 offset) {
    FaultDiskFile* self = Of(f);
    if (!self->disk->Step(false)) return SQLITE_IOERR_READ;
    const std::string& content = (*self->file)->current;
    std::memset(out, 0, static_cast<size_t>(amount));
    if (static_cast<size_t>(offset) >= content.size()) return SQLITE_IOERR_SHORT_READ;
    const size_t n = std::min(static_cast<size_t>(amount), content.size() - static_cast<size_t>(offset));
    std::memcpy(out, content.data() + offset, n);
    return n == static_cast<size_t>(amount) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
  }
  static int Change(sqlite3_file* f, FaultDisk::Write write, int error) {
    FaultDiskFile* self = Of(f);
    if (!self->disk->Step(true)) return self->disk->Failure() == SQLITE_IOERR ? error : self->disk->Failure();
    FaultDisk::File& file = **self->file;
    FaultDisk::Perform(write, &file.current);
    file.pending.push_back(std::move(write));
    return SQLITE_OK;
  }
  static int DoWrite(sqlite3_file* f, const void* data, int amount, sqlite3_int64 offset) {
    FaultDisk::Write write;
    write.offset = static_cast<size_t>(offset);
    write.bytes.assign(static_cast<const char*>(data), static_cast<size_t>(amount));
    return Change(f, std::move(write), SQLITE_IOERR_WRITE);
  }
  static int Truncate(sqlite3_file* f, sqlite3_int64 size) {
    FaultDisk::Write write;
    write.offset = static_cast<size_t>(size);
    write.truncate = true;
    return Change(f, std::move(write), SQLITE_IOERR_TRUNCATE);
  }
  static int Sync(sqlite3_file* f, int) {
    FaultDiskFile* self = Of(f);
    if (!self->disk->Step(false)) return SQLITE_IOERR_FSYNC;
    FaultDisk::File& file = **self->file;
    file.synced = file.current;
    file.pending.clear();
    return SQLITE_OK;
  }
  static int FileSize(sqlite3_file* f, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>((*Of(f)->file)->current.size());
    return SQLITE_OK;
  }
  static int Lock(sqlite3_file*, int) { return SQLITE_OK; }
  static int CheckReservedLock(sqlite3_file*, int* out) {
    *out = 0;
    return SQLITE_OK;
  }
  static int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int SectorSize(sqlite3_file*) { return 512; }
  static int Characteristics(sqlite3_file*) { return 0; }
};

struct FaultDiskVfs {
  static FaultDisk& Of(sqlite3_vfs* vfs) { return *static_cast<FaultDisk*>(vfs->pAppData); }

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* f, int flags, int* out_flags) {
    static const sqlite3_io_methods methods = {1,
                                               FaultDiskFile::Close,
                                               FaultDiskFile::Read,
                                               FaultDiskFile::DoWrite,
                                               FaultDiskFile::Truncate,
                                               FaultDiskFile::Sync,
                                               FaultDiskFile::FileSize,
                                               FaultDiskFile::Lock,
                                               FaultDiskFile::Lock,
                                               FaultDiskFile::CheckReservedLock,
                                               FaultDiskFile::FileControl,
                                               FaultDiskFile::SectorSize,
                                               FaultDiskFile::Characteristics,
                                               nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
    FaultDisk& disk = Of(vfs);
    f->pMethods = nullptr;
    if (!disk.Step(false)) return SQLITE_CANTOPEN;
    const std::string path = name == nullptr ? "(temporary)" : name;
    auto it = disk.files_.find(path);
    if (it == disk.files_.end()) {
      if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
      it = disk.files_.emplace(path, std::make_shared<FaultDisk::File>()).first;
    }
    FaultDiskFile* file = FaultDiskFile::Of(f);
    file->disk = &disk;
    file->file = new std::shared_ptr<FaultDisk::File>(it->second);
    file->name_to_delete = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0 ? new std::string(path) : nullptr;
    if (out_flags != nullptr) *out_flags = flags;
    f->pMethods = &methods;
    return SQLITE_OK;
  }
  static int Delete(sqlite3_vfs* vfs, const char* name, int) {
    if (!Of(vfs).Step(false)) return SQLITE_IOERR_DELETE;
    return Of(vfs).files_.erase(name) == 0 ? SQLITE_IOERR_DELETE_NOENT : SQLITE_OK;
  }
  static int Access(sqlite3_vfs* vfs, const char* name, int, int* out) {
    if (!Of(vfs).Step(false)) return SQLITE_IOERR_ACCESS;
    auto it = Of(vfs).files_.find(name);
    *out = it != Of(vfs).files_.end() ? 1 : 0;
    return SQLITE_OK;
  }
  static int FullPathname(sqlite3_vfs*, const char* name, int size, char* out) {
    sqlite3_snprintf(size, out, "%s", name);
    return SQLITE_OK;
  }
};

FaultDisk::FaultDisk(std::string name) : name_(std::move(name)), vfs_(std::make_unique<sqlite3_vfs>()) {
  // Time, randomness and sleep are the system's.
  *vfs_ = *sqlite3_vfs_find(nullptr);
  vfs_->pNext = nullptr;
  vfs_->szOsFile = sizeof(FaultDiskFile);
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = FaultDiskVfs::Open;
  vfs_->xDelete = FaultDiskVfs::Delete;
  vfs_->xAccess = FaultDiskVfs::Access;
  vfs_->xFullPathname = FaultDiskVfs::FullPathname;
  sqlite3_vfs_register(vfs_.get(), 0);
}

FaultDisk::~FaultDisk() { sqlite3_vfs_unregister(vfs_.get()); }

void FaultDisk::Arm(Fault fault, uint64_t at) {
  at_ = 0;
  fault_ = fault;
  operations_ = 0;
  struck_ = false;
  at_ = at;
}

void FaultDisk::Disarm() { at_ = 0; }

bool FaultDisk::Step(bool writes) {
  if (dead_) return false;
  if (at_ == 0 || ((fault_ == Fault::kDiskFull || fault_ == Fault::kReadOnly) && !writes)) return true;
  if (++operations_ != at_) return true;
  struck_ = true;
  dead_ = fault_ == Fault::kCrash;
  return false;
}

int FaultDisk::Failure() const {
  if (dead_) return SQLITE_IOERR;
  const Fault fault = fault_;
  return fault == Fault::kDiskFull ? SQLITE_FULL : fault == Fault::kReadOnly ? SQLITE_READONLY : SQLITE_IOERR;
}

void FaultDisk::Perform(const Write& write, std::string* content) {
  if (write.truncate) {
    content->resize(write.offset);
    return;
  }
  if (content->size() < write.offset + write.bytes.size()) content->resize(write.offset + write.bytes.size());
  content->replace(write.offset, write.bytes.size(), write.bytes);
}

void FaultDisk::Reboot(Survival survival, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (auto& [path, file] : files_) {
    std::string content = file->synced;
    size_t left = file->pending.size();
    for (Write& write : file->pending) {
      --left;
      if (survival == Survival::kNothing || (survival == Survival::kSome && random() % 2 == 0)) continue;
      if (survival == Survival::kSome && left == 0 && !write.truncate) write.bytes.resize(random() % (write.bytes.size() + 1));
      Perform(write, &content);
    }
    file->current = file->synced = std::move(content);
    file->pending.clear();
  }
  Disarm();
  dead_ = false;
}

FaultDisk::Image FaultDisk::Save() const {
  Image image;
  for (const auto& [path, file] : files_) image[path] = file->current;
  return image;
}

void FaultDisk::Restore(const Image& image) {
  files_.clear();
  for (const auto& [path, content] : image) {
    auto file = std::make_shared<File>();
    file->current = file->synced = content;
    files_[path] = std::move(file);
  }
  Disarm();
  dead_ = false;
}

}  // namespace gatehouse::store
