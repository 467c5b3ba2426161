// QuickDecoder makes OpenSSL 3.0 decode public keys by its old, direct way (docs/benchmarks.md says why): the generator
// then needs half the time for a handshake, and the server's core is the one that is busy. In the generator only.
#pragma once

namespace gatehouse::bench {

// REQUIRES: called once, before any certificate is read.
void UseQuickDecoder();

}  // namespace gatehouse::bench
