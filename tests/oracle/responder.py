"""OCSP responders on loopback: one that says what the model says of a certificate, and addresses where nobody ever answers."""
import base64
import datetime
import http.server
import socket
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

SLOW = 0.12  # seconds that a slow answer takes; less than the scheme's timeout


class Responder:
    def __init__(self, authority):
        self.leaves = {}  # by serial number
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self):
                self.answer(base64.b64decode(urllib.parse.unquote(self.path[1:])))

            def answer(self, der):
                leaf = outer.leaves[ocsp.load_der_ocsp_request(der).serial_number]
                outer.asked += 1
                if leaf.revocation == "slow":
                    time.sleep(SLOW)  # the point of it
                body = outer.make(authority, leaf)
                self.send_response(200)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, address):
                pass  # a gateway that does not wait any longer

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def make(authority, leaf):
        now = datetime.datetime.utcnow().replace(microsecond=0)
        revoked = leaf.revocation == "revoked"
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=leaf.certificate, issuer=authority.certificate, algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD, this_update=now,
            next_update=now + datetime.timedelta(hours=1), revocation_time=now if revoked else None, revocation_reason=None)
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, authority.certificate)
        return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Silence:
    """Listens at many addresses and never says a word: a gateway that finds one silent soon leaves it alone."""

    def __init__(self, count):
        self.sockets = []
        for n in range(count):
            listening = socket.socket()
            listening.bind((f"127.250.{n // 250}.{1 + n % 250}", 0))
            listening.listen(16)
            listening.setblocking(False)
            self.sockets.append(listening)

    def url(self, n):
        address, port = self.sockets[n % len(self.sockets)].getsockname()
        return f"http://{address}:{port}/"

    def callers(self):
        """How many connections came."""
        count = 0
        for listening in self.sockets:
            while True:
                try:
                    listening.accept()[0].close()
                    count += 1
                except BlockingIOError:
                    break
        return count

    def close(self):
        for listening in self.sockets:
            listening.close()
