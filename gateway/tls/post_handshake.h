// PostHandshake bounds what a peer has OpenSSL do beside carrying data: KeyUpdate, session tickets, attempts to renegotiate. Each
// costs as much as many kilobytes of data, some owe an answer, and SSL_read does not return before data comes. A peer that
// has more of them than its data explains is ended.
//
// Ownership:  a part of its session.
// Threading:  the session's.
// Units:      octets of data, both ways.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>

namespace gatehouse::tls {

class PostHandshake {
 public:
  static constexpr uint32_t kFree = 32;                   // messages that no data need explain
  static constexpr uint64_t kOctetsEach = 64 * 1024;  // of data explain one more

  void Carried(size_t octets) { carried_ += octets; }
  // From the SSL's message callback, when the handshake is over. Once too much has come, SSL_read returns at the next record.
  void Note(SSL* ssl, int write, int type) {
    // An attempt to renegotiate over TLS 1.2 is seen by the alert that answers it.
    if (type != (write != 0 ? SSL3_RT_ALERT : SSL3_RT_HANDSHAKE) || ++messages_ <= kFree + carried_ / kOctetsEach) return;
    exceeded_ = true;
    SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
  }
  bool exceeded() const { return exceeded_; }
  static constexpr char kText[] = "key updates or attempts to renegotiate without end";

 private:
  uint64_t carried_ = 0;
  uint32_t messages_ = 0;
  bool exceeded_ = false;
};

}  // namespace gatehouse::tls
