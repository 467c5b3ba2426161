// Long revocation lists, and what memory a process has.
//
// Threading:  pure.
// Units:      octets.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/base/openssl.h"

namespace gatehouse::bench {

struct BigList {
  size_t entries = 1'000'000;
  uint64_t seed = 1;                 // of their serial numbers: the first `entries` of NextSerial
  std::vector<std::string> further;  // content octets of serial numbers that are listed too
  std::string issuer_der;            // empty: CN=Root
  absl::Time this_update;            // epoch: an hour ago
};
// Random serial numbers of 16 octets, half of the entries with a reason; signed with P-256. Valid for a day.
std::string MintBigList(const BigList& list, EVP_PKEY* key);
std::string NextSerial(std::mt19937_64& random);

// A line of /proc/PID/status, e.g. "VmRSS"; 0: there is none.
size_t MemoryOf(pid_t pid, const std::string& name);
// Lets VmHWM begin again at what is held now.
void ForgetPeak(pid_t pid);

}  // namespace gatehouse::bench
