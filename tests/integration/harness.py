"""What the integration tests share: real programs in a temporary directory, certificates, raw TLS clients, an upstream.

The programs are found through GATEHOUSE_BIN (ctest sets it). Everything listens on loopback.
"""
import atexit
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = pathlib.Path(os.environ.get("GATEHOUSE_BIN", "build/dev/bin")).resolve()
PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"

# What most configurations begin with; `pki` is the folder of a Pki that has made a server certificate.
EDGE = """
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server]}}
"""


def use_stubs():
    """Makes Python's classes of the protos, for as long as this process runs, and lets `import gatehouse.v1` find them."""
    folder = tempfile.mkdtemp(prefix="gatehouse-stubs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["protoc", "-I", PROTO, f"--python_out={folder}", f"--grpc_out={folder}",
                    "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin", *sorted(PROTO.glob("gatehouse/v1/*.proto"))], check=True)
    sys.path.insert(0, folder)
    return folder


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"timed out after {seconds} s: {what}")


class Pki:
    """Certificates made with gatehousectl cert new."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def make(self, kind, name, subject, *options):
        self._run("cert", "new", kind, "--subject", subject, "--out", self.pem(name), "--key-out", self.key(name), *options)
        return name

    def ca(self, name, subject=None):
        return self.make("ca", name, subject or f"CN={name}")

    def leaf(self, name, ca, subject=None, *options):
        return self.make("leaf", name, subject or f"CN={name}", "--ca", self.pem(ca), "--ca-key", self.key(ca),
                         "--eku", "client", *options)

    def self_signed(self, name, subject=None, *options):
        return self.make("self-signed", name, subject or f"CN={name}", "--eku", "client", *options)

    def server(self, name="server", *dns):
        sans = [o for d in (dns or ("localhost",)) for o in ("--san", f"dns:{d}")]
        return self.make("self-signed", name, f"CN={(dns or ('localhost',))[0]}", "--eku", "server",
                         "--san", "ip:127.0.0.1", *sans)

    def pem(self, name):
        return str(self.folder / f"{name}.pem")

    def key(self, name):
        return str(self.folder / f"{name}.key")

    @staticmethod
    def _run(*args):
        done = subprocess.run([BIN / "gatehousectl", *args], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"gatehousectl {' '.join(args)}: {done.stderr}{done.stdout}")


class Upstream:
    """An HTTP/1.1 server that tells what it was sent whole. Paths: /slow/N answers after N seconds, /stream for ever."""

    def __init__(self):
        self.requests = []
        self.stop_streams = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                trailers = []
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else b""
                if len(body) < length:  # cut off: nothing that an upstream would act on
                    self.close_connection = True
                    return
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while True:
                        line = self.rfile.readline()
                        if not line:
                            self.close_connection = True
                            return
                        size = int(line.split(b";")[0], 16)
                        if size == 0:
                            break
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    while (line := self.rfile.readline()) not in (b"\r\n", b""):
                        trailers.append(line.decode("latin-1").strip())
                outer.requests.append({"method": self.command, "path": self.path, "headers": self.headers.items(), "body": body,
                                       "trailers": trailers})
                if "/slow/" in self.path:
                    time.sleep(float(self.path.rsplit("/", 1)[1]))
                if "/stream" in self.path:
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    try:
                        while not outer.stop_streams.is_set():
                            self.wfile.write(b"5\r\ntick\n\r\n")
                            self.wfile.flush()
                            time.sleep(0.02)
                        self.wfile.write(b"0\r\n\r\n")
                    except OSError:
                        self.close_connection = True
                    return
                answer = json.dumps({"method": self.command, "path": self.path, "headers": self.headers.items(),
                                     "length": len(body)}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.stop_streams.set()
        self.server.shutdown()
        self.server.server_close()


class Acceptor:
    """Listens on a port of 127.0.0.1. Each connection has a thread of its own, which calls `serve(sock)` and closes it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.accepted, args=(sock,), daemon=True).start()

    def accepted(self, sock):
        try:
            with sock:
                self.serve(sock)
        except OSError:
            pass  # the other side has gone

    def serve(self, sock):
        raise NotImplementedError

    def close(self):
        self.listener.close()


class Gatehouse:
    """A running `gatehouse` with its own state directory."""

    def __init__(self, folder, *options):
        self.folder = pathlib.Path(folder)
        self.state = self.folder / "state"
        self.control = f"unix:{self.state}/run/control.sock"
        self.options = options
        self.process = None
        # A class whose set-up failed is never torn down.
        atexit.register(self.kill)
        self.start()

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self):
        if self.process is not None:
            self.out.close()
            self.log.close()
        self.out = open(self.folder / "gatehouse.out", "w")
        self.log = open(self.folder / "gatehouse.log", "a")
        self.process = subprocess.Popen([BIN / "gatehouse", "--state-dir", self.state, "--workers", "2", *self.options],
                                        stdout=self.out, stderr=self.log)
        wait_for("gatehouse is ready", lambda: self.process.poll() is not None or
                 "ready" in (self.folder / "gatehouse.out").read_text(), 20)
        if self.process.poll() is not None:
            raise AssertionError("gatehouse did not start: " + (self.folder / "gatehouse.log").read_text())

    def stop(self, sig=signal.SIGTERM, seconds=20):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.out.close()
        self.log.close()
        self.process = None
        return code

    def ctl(self, *args, check=True, stdin=None):
        done = subprocess.run([BIN / "gatehousectl", "--server", self.control, *args], capture_output=True, text=True,
                              input=stdin, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"gatehousectl {' '.join(args)} = {done.returncode}:\n{done.stderr}{done.stdout}")
        return done

    def apply(self, text, *options, check=True):
        return self.ctl("apply", "-f", "-", *options, check=check, stdin=text)

    def revision(self):
        return int(json.loads(self.ctl("status", "--json").stdout)["revision"])


class EventWatch:
    """`gatehousectl events watch` in the background."""

    def __init__(self, gatehouse, *filters):
        ready = gatehouse.folder / f"watch-{time.monotonic_ns()}"
        self.path = pathlib.Path(str(ready) + ".log")
        self.file = open(self.path, "w")
        self.errors = open(ready, "w")
        self.process = subprocess.Popen([BIN / "gatehousectl", "--server", gatehouse.control, "events", "watch",
                                         *filters], stdout=self.file, stderr=self.errors)
        wait_for("the event stream opens", lambda: "watching" in ready.read_text())

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def all(self):
        lines = self.path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait(self, predicate, seconds=10):
        return wait_for("an event", lambda: next((e for e in self.all() if predicate(e)), None), seconds)

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.file.close()
        self.errors.close()


def client_context(pki, cert=None, alpn=None, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(pki.pem(cert), pki.key(cert))
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class RawClient:
    """One TLS connection on which bytes are sent and answers read; HTTP/1.1."""

    def __init__(self, port, context, sni="localhost", session=None, timeout=10):
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=timeout),
                                        server_hostname=sni, session=session)
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def get(self, path="/", host="localhost", headers="", method="GET", body=b""):
        length = f"Content-Length: {len(body)}\r\n" if body or method in ("POST", "PUT") else ""
        self.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}{headers}\r\n".encode() + body)
        return self.answer(head_only=method == "HEAD")

    def _fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self.buffer += data

    def answer(self, head_only=False):
        """(status, headers, body) of the next response; ConnectionError when the connection ends before."""
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        headers = [(k.lower(), v.strip()) for k, v in (line.split(":", 1) for line in lines[1:])]
        if status == 100:
            return self.answer(head_only)
        fields = dict(headers)
        body = b""
        if head_only or status in (204, 304):
            pass
        elif fields.get("transfer-encoding") == "chunked":
            while True:
                while b"\r\n" not in self.buffer:
                    self._fill()
                size, self.buffer = self.buffer.split(b"\r\n", 1)
                n = int(size, 16)
                while len(self.buffer) < n + 2:
                    self._fill()
                body += self.buffer[:n]
                self.buffer = self.buffer[n + 2:]
                if n == 0:
                    break
        else:
            n = int(fields.get("content-length", 0))
            while len(self.buffer) < n:
                self._fill()
            body, self.buffer = self.buffer[:n], self.buffer[n:]
        return status, headers, body

    def closed(self, seconds=5):
        """True when the peer ends the connection within the time."""
        self.sock.settimeout(seconds)
        try:
            while True:
                if not self.sock.recv(65536):
                    return True
        except (TimeoutError, socket.timeout):
            return False
        except OSError:
            return True

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


class GatehouseTest(unittest.TestCase):
    """A test class with one gatehouse, a PKI and an upstream for all of its tests."""

    options = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-test-"))
        cls.pki = Pki(cls.folder / "pki")
        cls.upstream = Upstream()
        cls.gatehouse = Gatehouse(cls.folder, *cls.options)
        cls.port = free_port()

    @classmethod
    def tearDownClass(cls):
        code = cls.gatehouse.stop()
        cls.upstream.close()
        shutil.rmtree(cls.folder, ignore_errors=True)
        if code not in (0, None):
            raise AssertionError(f"gatehouse exited with {code}")

    def client(self, cert=None, **options):
        sni = options.pop("sni", "localhost")
        session = options.pop("session", None)
        port = options.pop("port", self.port)
        client = RawClient(port, client_context(self.pki, cert, **options), sni=sni, session=session)
        self.addCleanup(client.close)
        return client

    def status(self, path, cert=None, headers="", host="localhost", method="GET", **options):
        return self.client(cert, **options).get(path, host=host, headers=headers, method=method)[0]

    def curl(self, *args, cert=None):
        command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--cacert",
                   self.pki.pem("server"), "--max-time", "20"]
        if cert:
            command += ["--cert", self.pki.pem(cert), "--key", self.pki.key(cert)]
        done = subprocess.run(command + list(args), capture_output=True, text=True)
        return done.stdout.strip(), done.returncode
