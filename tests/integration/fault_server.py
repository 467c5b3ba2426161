"""An authority's revocation services: `openssl ocsp` and `openssl ca -gencrl` where they tell the truth, and every way in
which a responder or a distribution point can fail, where they do not.

  http://127.0.0.1:PORT/ocsp/MODE     answers OCSP requests; MODE is one of FaultServer.modes
  http://127.0.0.1:PORT/crl/MODE      serves the list of the authority
"""
import datetime
import http.server
import os
import pathlib
import socket
import subprocess
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

CA_CONFIG = """
[ca]
default_ca = it
[it]
database = {folder}/index.txt
crlnumber = {folder}/crlnumber
default_md = sha256
default_crl_days = 7
crl_extensions = ext
[ext]
authorityKeyIdentifier = keyid
"""


def run(*args, **options):
    done = subprocess.run([str(a) for a in args], capture_output=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, args))}: {done.stderr.decode()}")
    return done.stdout


class Authority:
    """A CA of the harness's PKI with an index of what it issued, for openssl's ca and ocsp."""

    def __init__(self, pki, name):
        self.pki, self.name = pki, name
        self.folder = pathlib.Path(pki.folder) / f"{name}-authority"
        self.folder.mkdir(exist_ok=True)
        self.entries = {}
        self.revoked = []
        self.config = self.folder / "ca.cnf"
        self.config.write_text(CA_CONFIG.format(folder=self.folder))
        (self.folder / "crlnumber").write_text("1000\n")
        self.certificate = x509.load_pem_x509_certificate(pathlib.Path(pki.pem(name)).read_bytes())
        self.key = serialization.load_pem_private_key(pathlib.Path(pki.key(name)).read_bytes(), None)
        self._write()

    def leaf(self, name, urls=(), known=True):
        """Issues a client certificate by openssl; `urls` are its extensions' lines."""
        csr, ext = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            self.pki.key(name), "-out", csr, "-subj", f"/CN={name}")
        ext.write_text("\n".join(["basicConstraints=CA:FALSE", "keyUsage=digitalSignature", "extendedKeyUsage=clientAuth",
                                  "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid", *urls]))
        run("openssl", "x509", "-req", "-in", csr, "-CA", self.pki.pem(self.name), "-CAkey", self.pki.key(self.name),
            "-set_serial", "0x" + os.urandom(8).hex().replace("00", "01").replace("8", "7", 1).lstrip("0"), "-days", "30",
            "-extfile", ext, "-out", self.pki.pem(name))
        if known:
            self.know(name)
        return name

    def load(self, name):
        return x509.load_pem_x509_certificate(pathlib.Path(self.pki.pem(name)).read_bytes())

    def know(self, name, revoked=False):
        certificate = self.load(name)
        serial = f"{certificate.serial_number:X}"
        if len(serial) % 2:
            serial = "0" + serial
        expiry = certificate.not_valid_after.strftime("%y%m%d%H%M%SZ")
        when = datetime.datetime.utcnow().strftime("%y%m%d%H%M%SZ") + ",keyCompromise" if revoked else ""
        self.entries[serial] = f"{'R' if revoked else 'V'}\t{expiry}\t{when}\t{serial}\tunknown\t/CN={name}\n"
        self._write()

    def revoke(self, name):
        self.revoked.append(self.load(name).serial_number)
        self.know(name, revoked=True)

    def _write(self):
        new = self.folder / "index.new"
        new.write_text("".join(self.entries.values()))
        new.rename(self.folder / "index.txt")
        (self.folder / "index.txt.attr").write_text("unique_subject = no\n")

    def crl(self, *options):
        """PEM of a new list."""
        return run("openssl", "ca", "-gencrl", "-config", self.config, "-cert", self.pki.pem(self.name), "-keyfile",
                   self.pki.key(self.name), *options).decode()

    def ocsp(self, request, signer=None, *options):
        """DER of openssl's answer to a DER request."""
        signer = signer or self.name
        path = self.folder / f"request-{threading.get_ident()}-{time.monotonic_ns()}"
        path.write_bytes(request)
        answer = pathlib.Path(str(path) + ".answer")
        try:
            run("openssl", "ocsp", "-index", self.folder / "index.txt", "-CA", self.pki.pem(self.name), "-rsigner",
                self.pki.pem(signer), "-rkey", self.pki.key(signer), "-reqin", path, "-respout", answer, "-ndays", "1",
                *options)
            return answer.read_bytes()
        finally:
            path.unlink(missing_ok=True)
            answer.unlink(missing_ok=True)


class OpensslResponder:
    """`openssl ocsp` as a server of its own."""

    def __init__(self, authority):
        # It takes a number, so that the port found free may be somebody's by then: tried again with another.
        said = b""
        for _ in range(5):
            if self._listens(authority):
                break
            said = self.said
            self.process.wait()
            self.process.stderr.close()
        else:
            raise AssertionError(f"openssl ocsp does not listen: {said.decode(errors='replace')}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def _listens(self, authority):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(
            ["openssl", "ocsp", "-port", str(self.port), "-index", str(authority.folder / "index.txt"), "-CA",
             authority.pki.pem(authority.name), "-rsigner", authority.pki.pem(authority.name), "-rkey",
             authority.pki.key(authority.name), "-ndays", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # Not tried out by a connection: one that asks nothing holds it up.
        self.said = b""
        for line in self.process.stderr:
            self.said += line
            if b"waiting for OCSP client connections" in line:
                return True
        return False

    def close(self):
        self.process.kill()
        self.process.wait()


class FaultServer:
    """Serves /ocsp/MODE and /crl/MODE; counts what it was asked."""

    ocsp_faults = ("hang", "crawl", "garbage", "empty", "other", "wrong-signer", "stale", "wrong-nonce", "500", "try-later",
                   "redirect-file", "redirect-metadata", "redirect-loopback", "redirect-loop", "huge", "truncated")
    crl_faults = ("hang", "crawl", "garbage", "wrong-signer", "500", "redirect-file", "redirect-metadata", "huge", "stale",
                  "wrong-issuer")

    def __init__(self, authority, rogue, other):
        self.authority, self.rogue, self.other = authority, rogue, other
        self.asked = []
        self.down = False
        self.stopping = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def log_message(self, *args):
                pass

            def do_POST(self):
                self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def do_GET(self):
                self.answer(b"")

            def answer(self, body):
                outer.asked.append(self.path)
                _, kind, mode = self.path.split("/", 2)
                try:
                    outer.serve(self, kind, mode if not outer.down else "500", body)
                except (OSError, ValueError):
                    pass

            def reply(self, body, status=200, headers=()):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, kind, mode):
        return f"http://127.0.0.1:{self.port}/{kind}/{mode}"

    def count(self, kind, mode):
        return sum(1 for path in self.asked if path == f"/{kind}/{mode}")

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def serve(self, handler, kind, mode, body):
        if mode == "hang":
            self.stopping.wait(60)
        elif mode == "crawl":
            handler.send_response(200)
            handler.send_header("Content-Length", "4096")
            handler.end_headers()
            for _ in range(60):
                handler.wfile.write(b"0")
                handler.wfile.flush()
                if self.stopping.wait(1):
                    return
        elif mode == "garbage":
            handler.reply(os.urandom(2000))
        elif mode == "empty":
            handler.reply(b"")
        elif mode == "500":
            handler.reply(b"no", 500)
        elif mode == "redirect-file":
            handler.reply(b"", 302, [("Location", "file:///etc/passwd")])
        elif mode == "redirect-metadata":
            handler.reply(b"", 302, [("Location", "http://169.254.169.254/latest/meta-data/")])
        elif mode == "redirect-loopback":
            handler.reply(b"", 302, [("Location", f"http://127.0.0.2:{self.port}/{kind}/good")])
        elif mode == "redirect-loop":
            handler.reply(b"", 302, [("Location", handler.path)])
        elif mode == "redirect-good":
            handler.reply(b"", 307, [("Location", f"/{kind}/good")])
        elif mode == "huge":
            handler.send_response(200)
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(b"\0" * (1 << 20))
        elif kind == "ocsp":
            handler.reply(self.ocsp(mode, body))
        else:
            handler.reply(self.crl(mode))

    def ocsp(self, mode, body):
        if mode.split("?")[0] == "good":
            return self.authority.ocsp(body)
        if mode == "truncated":
            return self.authority.ocsp(body)[:-20]
        if mode == "try-later":
            return ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
                serialization.Encoding.DER)
        request = ocsp.load_der_ocsp_request(body)
        subject = next(c for c in (self.authority.load(n) for n in self.leaves) if c.serial_number == request.serial_number)
        if mode == "other":
            subject = self.authority.load(self.other)
        signer = self.rogue if mode == "wrong-signer" else self.authority
        now = datetime.datetime.utcnow()
        begin, end = now - datetime.timedelta(hours=1), now + datetime.timedelta(hours=23)
        if mode == "stale":
            begin, end = now - datetime.timedelta(days=9), now - datetime.timedelta(days=2)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=subject, issuer=self.authority.certificate, algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD, this_update=begin, next_update=end, revocation_time=None,
            revocation_reason=None).responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        if mode == "wrong-nonce":
            builder = builder.add_extension(x509.OCSPNonce(os.urandom(16)), False)
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def crl(self, mode):
        if mode == "good":
            return run("openssl", "crl", "-outform", "DER", input=self.authority.crl().encode())
        if mode == "wrong-issuer":
            return run("openssl", "crl", "-outform", "DER", input=self.rogue.crl().encode())
        signer = self.rogue if mode == "wrong-signer" else self.authority
        now = datetime.datetime.utcnow()
        if mode in ("base", "delta"):  # of one authority: a list of nobody, and what was revoked since
            builder = x509.CertificateRevocationListBuilder().issuer_name(self.authority.certificate.subject).last_update(
                now - datetime.timedelta(minutes=1)).next_update(now + datetime.timedelta(days=1)).add_extension(
                x509.CRLNumber(10 if mode == "base" else int(now.timestamp())), False).add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.key.public_key()), False)
            if mode == "delta":
                builder = builder.add_extension(x509.DeltaCRLIndicator(10), True)
                for serial in self.authority.revoked:
                    builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(
                        serial).revocation_date(now - datetime.timedelta(minutes=1)).build())
            return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        end = now + datetime.timedelta(days=-2 if mode == "stale" else 7)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.authority.certificate.subject).last_update(
            now - datetime.timedelta(days=9)).next_update(end).add_extension(x509.CRLNumber(1), False)
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
