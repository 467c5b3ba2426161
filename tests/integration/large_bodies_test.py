"""Bodies far larger than memory may be: both ways, over HTTP/1.1 and HTTP/2 on either side, with readers that stop."""
import http.server
import pathlib
import re
import socket
import subprocess
import threading
import time
import unittest

from harness import GatehouseTest, free_port, wait_for

SIZE = 48 << 20
MAY_GROW = 16 << 20
WRITE_TIMEOUT = 30  # seconds that a client may take nothing

CONFIG = """
kind: ServerCertificate
name: site
certificate_chain_file: {site}
private_key_file: {site_key}
---
kind: Listener
name: edge
address: 127.0.0.1:{port}
server_certificates: [site]
---
kind: Upstream
name: one
endpoints: ["127.0.0.1:{one}"]
---
kind: Upstream
name: two
protocol: HTTP_2
endpoints: ["127.0.0.1:{two}"]
---
kind: Route
name: one
match: {{path: "/one/{{rest...}}"}}
anonymous: true
upstream: one
---
kind: Route
name: two
match: {{path: "/two/{{rest...}}"}}
anonymous: true
upstream: two
"""


class Large(http.server.BaseHTTPRequestHandler):
    """Answers GET with SIZE octets, where the path ends in /drops one more each second for longer than WRITE_TIMEOUT, and POST with
    how many came."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.send_response(200)
        drops = WRITE_TIMEOUT + 3 if self.path.endswith("/drops") else 0
        self.send_header("Content-Length", str(SIZE + drops))
        self.end_headers()
        piece = bytes(1 << 20)
        try:
            for _ in range(SIZE >> 20):
                self.wfile.write(piece)
            for _ in range(drops):
                time.sleep(1)
                self.wfile.write(b"x")
        except OSError:
            self.close_connection = True

    def do_POST(self):
        left = int(self.headers["Content-Length"])
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            if not piece:
                self.close_connection = True
                return
            left -= len(piece)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


class LargeBodiesTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.server("site")
        cls.one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Large)
        cls.one.daemon_threads = True
        cls.one.handle_error = lambda *args: None
        threading.Thread(target=cls.one.serve_forever, daemon=True).start()
        files = cls.folder / "files" / "two"
        files.mkdir(parents=True)
        cls.large = files / "large"
        with open(cls.large, "wb") as f:
            f.truncate(SIZE)
        two = free_port()
        cls.two = subprocess.Popen(["nghttpd", "--no-tls", "-d", files.parent, "-a", "127.0.0.1", str(two)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.gatehouse.apply(CONFIG.format(site=cls.pki.pem("site"), site_key=cls.pki.key("site"), port=cls.port,
                                          one=cls.one.server_address[1], two=two))
        wait_for("nghttpd listens", lambda: cls.listens(two))

    @staticmethod
    def listens(port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    @classmethod
    def tearDownClass(cls):
        cls.two.terminate()
        cls.two.wait(10)
        cls.one.shutdown()
        super().tearDownClass()

    def resident(self):
        status = pathlib.Path(f"/proc/{self.gatehouse.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) << 10

    def peak_of(self, work):
        """How much more memory the gateway had at any time of `work` than before it."""
        before, peak, over = self.resident(), [0], threading.Event()

        def sample():
            while not over.wait(0.02):
                peak[0] = max(peak[0], self.resident())

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            work()
        finally:
            over.set()
            sampler.join()
        return peak[0] - before

    def curl(self, *args):
        done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "--cacert", self.pki.pem("site"), "--max-time", "120", "-w",
                               "%{http_code} %{size_download} %{size_upload}", *args], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_downloads_and_uploads_need_no_memory(self):
        for version in ("--http1.1", "--http2"):
            for name in ("one", "two"):
                url = f"https://localhost:{self.port}/{name}/large"
                with self.subTest(version=version, upstream=name):
                    grown = self.peak_of(lambda: self.assertEqual(self.curl(version, url), f"200 {SIZE} 0"))
                    self.assertLess(grown, MAY_GROW, "download")
                    grown = self.peak_of(lambda: self.assertRegex(
                        self.curl(version, "-H", "Expect:", "-X", "POST", "--data-binary", f"@{self.large}", url), rf"200 \d+ {SIZE}"))
                    self.assertLess(grown, MAY_GROW, "upload")

    def test_readers_that_stop_hold_the_upstream_up_and_need_no_memory(self):
        def stop_reading():
            clients = []
            for name in ("one", "two"):
                for _ in range(10):
                    client = self.client(alpn=["http/1.1"])
                    client.send(f"GET /{name}/large HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    while len(client.buffer) < 1 << 16:
                        client._fill()
                    clients.append(client)
            last = -1
            while self.resident() != last:  # until nothing moves any more
                last = self.resident()
                time.sleep(0.3)
            for client in clients:  # and they go on where they were
                had = len(client.buffer)
                while len(client.buffer) < had + (4 << 20):
                    client._fill()
                client.close()

        self.assertLess(self.peak_of(stop_reading), MAY_GROW)

    def test_who_once_took_nothing_for_a_moment_is_not_cut_when_the_time_for_that_is_over(self):
        client = self.client(alpn=["http/1.1"])
        client.send(b"GET /one/drops HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)  # until the socket takes no more
        while b"\r\n\r\n" not in client.buffer:
            client._fill()
        got = len(client.buffer.split(b"\r\n\r\n", 1)[1])
        while got < SIZE + WRITE_TIMEOUT + 3 and (data := client.sock.recv(1 << 20)):
            got += len(data)
        self.assertEqual(got, SIZE + WRITE_TIMEOUT + 3)


if __name__ == "__main__":
    unittest.main()
