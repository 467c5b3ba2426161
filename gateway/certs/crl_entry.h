// One entry of a CRL's revokedCertificates, and where the index of a Crl keeps it. For crl.cc and crl_parser.cc.
//
// Threading:  pure.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "gateway/certs/crl.h"
#include "gateway/certs/der.h"

namespace gatehouse::certs {

struct CrlEntryReader {
  absl::string_view serial;  // content octets
  int64_t revoked = 0;       // seconds since 1970
  RevocationReason reason = RevocationReason::kUnspecified;
  absl::string_view certificate_issuer;  // DER of the GeneralNames; empty: as the entry before

  // Reads the next entry. Null, or what is wrong with it.
  const char* Read(DerReader& reader, bool extensions_allowed);
};

uint32_t CrlEntryHash(uint64_t issuer_hash, absl::string_view serial);
// The slot that an entry is put into when it is free.
inline size_t CrlEntryHome(uint32_t hash, size_t table_size) {
  return static_cast<size_t>(static_cast<uint64_t>(hash) * table_size >> 32);
}

// The first directory name of a GeneralNames; null: none, or it cannot be read.
UniqueName DirectoryNameOf(absl::string_view general_names_der);

}  // namespace gatehouse::certs
