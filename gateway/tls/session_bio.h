// SessionBio is the bottom of a session's SSL: what OpenSSL writes is gathered by the session, what it reads comes from there. Nothing
// is copied in between, and a write is never refused.
//
// Session has, open to SessionBio<Session>:
//   void Gather(const char* data, size_t n);
//   int Receive(char* into, int n, bool* again);   as recv; `again`: nothing now
//
// Ownership:  the SSL frees the BIO, and must not outlive the session.
// Threading:  the session's.
#pragma once

#include <openssl/bio.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>

namespace gatehouse::tls {

// Receive of a session over a socket: -1 with `again`, or with the reason in `error`; 0 sets `eof`.
inline int ReceiveFrom(int fd, char* into, int n, bool* again, bool* eof, int* error) {
  const ssize_t r = recv(fd, into, static_cast<size_t>(n), 0);
  if (r < 0) {
    *again = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (!*again) *error = errno;
  }
  if (r == 0) *eof = true;
  return static_cast<int>(r);
}

// What was sent of `output`, which a slow peer may never let run dry, leaves it once it is half of it or much.
inline void DropSent(std::string* output, size_t* sent) {
  if (*sent < std::min(output->size() / 2, size_t{64} * 1024)) return;
  output->erase(0, *sent);
  *sent = 0;
}

template <typename Session>
class SessionBio {
 public:
  // Null: out of memory; then OpenSSL's queue says more.
  static BIO* New(Session* session) {
    BIO* bio = BIO_new(Method());
    if (bio == nullptr) return nullptr;
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    return bio;
  }

 private:
  static BIO_METHOD* Method() {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gatehouse session");
      BIO_meth_set_write(m, Write);
      BIO_meth_set_read(m, Read);
      BIO_meth_set_ctrl(m, Control);
      return m;
    }();
    return method;
  }
  static int Write(BIO* bio, const char* data, int n) {
    BIO_clear_retry_flags(bio);
    static_cast<Session*>(BIO_get_data(bio))->Gather(data, static_cast<size_t>(n));
    return n;
  }
  static int Read(BIO* bio, char* into, int n) {
    BIO_clear_retry_flags(bio);
    bool again = false;
    const int r = static_cast<Session*>(BIO_get_data(bio))->Receive(into, n, &again);
    if (again) BIO_set_retry_read(bio);
    return r;
  }
  static long Control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_PUSH || command == BIO_CTRL_POP;
  }
};

}  // namespace gatehouse::tls
