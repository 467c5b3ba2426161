// FaultDisk is a disk in memory, as an SQLite VFS, on which the n-th I/O fails or the power goes. What was written and
// not synced is then lost, in part or whole. For tests.
//
// Ownership:  registered under its name until destroyed; databases on it must be closed before.
// Threading:  one connection at a time; Arm, Disarm and what tells of them from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct sqlite3_vfs;

namespace gatehouse::store {

class FaultDisk {
 public:
  enum class Fault : uint8_t {
    kIoError,   // the operation fails, later ones do not
    kDiskFull,  // the same with "disk full", for writes; other operations do not count
    kReadOnly,  // the same with "read-only"
    kCrash,     // the operation and all after it fail until Reboot
  };
  // What becomes of writes that were not synced when the power went.
  enum class Survival : uint8_t { kNothing, kEverything, kSome };

  explicit FaultDisk(std::string name);
  ~FaultDisk();
  FaultDisk(const FaultDisk&) = delete;
  FaultDisk& operator=(const FaultDisk&) = delete;

  const std::string& name() const { return name_; }

  // Arm lets the `at`-th operation from now, counted from 1, fail. Disarm takes that back.
  void Arm(Fault fault, uint64_t at);
  void Disarm();
  // Whether the armed fault has happened.
  bool struck() const { return struck_; }
  // Operations since the last Arm.
  uint64_t operations() const { return operations_; }

  // Reboot brings the power back. With kSome a part of the unsynced writes is there, chosen by `seed`, the last of
  // them torn.
  void Reboot(Survival survival, uint64_t seed);

  // The files' synced content, to start from the same disk again.
  using Image = std::map<std::string, std::string>;
  Image Save() const;
  void Restore(const Image& image);

 private:
  friend struct FaultDiskFile;
  friend struct FaultDiskVfs;
  struct Write {
    size_t offset = 0;
    std::string bytes;
    bool truncate = false;  // to `offset`
  };
  struct File {
    std::string current;
    std::string synced;
    std::vector<Write> pending;
  };
  // Counts an operation; false: it fails.
  bool Step(bool writes);
  int Failure() const;
  static void Perform(const Write& write, std::string* content);

  const std::string name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  std::map<std::string, std::shared_ptr<File>> files_;
  std::atomic<Fault> fault_ = Fault::kIoError;
  std::atomic<uint64_t> at_ = 0;  // 0: not armed
  std::atomic<uint64_t> operations_ = 0;
  std::atomic<bool> struck_ = false;
  std::atomic<bool> dead_ = false;
};

}  // namespace gatehouse::store
