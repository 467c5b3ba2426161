#!/usr/bin/python3
"""Our own attack corpus against the real gateway: framing, paths, names and floods. The upstream must see none of it."""
import json
import socket
import ssl
import struct
import time
import unittest

from harness import EventWatch, GatehouseTest, RawClient, client_context

CONFIG = """
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server], limits: {{max_body_bytes: 100000, header_timeout: 1s}}}}
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
{{kind: Route, name: public, match: {{path: "/public/{{rest...}}"}}, anonymous: true, upstream: app}}
---
kind: TrustStore
name: t
anchors: [{{file: {pki}/ca.pem}}]
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: t}}}}
---
{{kind: Route, name: admin, match: {{path: "/admin/{{rest...}}"}}, require: {{any_of: [Certificate]}}, upstream: app}}
"""

# Requests that must be refused and end the connection, so that no byte behind them is read as another request.
FRAMING = {
    "content-length and transfer-encoding": b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "two content-lengths": b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "equal content-lengths in a list": b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
    "repeated equal content-length": b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "signed content-length": b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    "hex content-length": b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
    "xchunked": b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity, chunked": b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST /public/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size with 0x": b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "negative chunk size": b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
    "chunk size that overflows": b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n",
    "bare line feeds": b"GET /public/x HTTP/1.1\nHost: a\n\n",
    "obs-fold": b"GET /public/x HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "space before the colon": b"GET /public/x HTTP/1.1\r\nHost : a\r\n\r\n",
    "space before the first field": b"GET /public/x HTTP/1.1\r\n Host: a\r\n\r\n",
    "no host": b"GET /public/x HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /public/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "host with userinfo": b"GET /public/x HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "absolute form with another host": b"GET https://b/public/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute form with http": b"GET http://a/public/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL in a value": b"GET /public/x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "CR in a value": b"GET /public/x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "version 2.0": b"GET /public/x HTTP/2.0\r\nHost: a\r\n\r\n",
    "version 1.2": b"GET /public/x HTTP/1.2\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    "TRACE": b"TRACE /public/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method that is no token": b"G(T /public/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2 preface without ALPN": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "too many fields": b"GET /public/x HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 300 + b"\r\n",
    "a giant field": b"GET /public/x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
    "a giant target": b"GET /public/" + b"y" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}

# Ways to write a path that might reach /admin through the anonymous /public, or be read in two ways.
PATHS = ["/public/../admin/x", "/public/%2e%2e/admin/x", "/public/.%2E/admin/x", "//admin/x", "/public/..;/admin/x", "/./admin/x",
         "/admin//x", "/public/%2e%2e%2fadmin/x", "/public/..%2fadmin/x", "/public/..%5cadmin/x", "/public/..\\admin/x",
         "/public/%00/x", "/public/a%0d%0ab", "/public/x#/admin", "/%61dmin/x", "/public/\x80", "/public/%zz", "/public/%"]

REFUSED = range(400, 506)


class PerimeterTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.server("server", "localhost", "a", "b")
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port))

    def setUp(self):
        self.upstream.requests.clear()

    def test_ambiguous_framing_is_refused_and_ends_the_connection(self):
        behind = b"GET /public/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        for name, attack in FRAMING.items():
            with self.subTest(name):
                client = self.client(sni="a")
                client.send(attack + behind)
                try:
                    status = client.answer()[0]
                    self.assertIn(status, REFUSED)
                except ConnectionError:
                    pass
                self.assertTrue(client.closed(3))
                self.assertEqual([r["path"] for r in self.upstream.requests if "smuggled" in r["path"]], [])
        self.assertEqual(self.upstream.requests, [])

    def test_no_spelling_of_a_path_reaches_what_needs_a_certificate(self):
        for path in PATHS:
            with self.subTest(path):
                client = self.client(sni="a")
                client.send(b"GET " + path.encode("latin-1") + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                try:
                    status = client.answer()[0]
                except ConnectionError:
                    status = 400
                self.assertIn(status, (200, 400, 401, 404))
                for seen in self.upstream.requests:
                    self.assertTrue(seen["path"].startswith("/public/"), seen["path"])
                    self.assertNotIn("..", seen["path"])
                    self.assertNotIn("admin", seen["path"])

    def test_the_path_that_decided_is_the_path_that_is_passed_on(self):
        client = self.client(sni="a")
        self.assertEqual(client.get("/public/%7Euser/./b/../c//d?x=%2e", host="a")[0], 200)
        self.assertEqual(self.upstream.requests[0]["path"], "/public/~user/c/d?x=%2e")

    def test_a_body_over_the_limit_is_refused(self):
        client = self.client(sni="a")
        client.send(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
        self.assertEqual(client.answer()[0], 413)

    def test_what_the_codec_refuses_is_a_problem_with_the_request_id_of_its_event(self):
        with EventWatch(self.gatehouse) as events:
            for attack, status in ((b"GET /%zz-evil HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                                   (b"GET /" + b"evil" * 4000, 414),
                                   (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"evil" * 20000, 431),
                                   (b"TRACE /evil HTTP/1.1\r\nHost: a\r\n\r\n", 501),
                                   (b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n", 413),
                                   (b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nevil\r\n", 400)):
                with self.subTest(status):
                    client = self.client(sni="a")
                    client.send(attack)
                    answer = client.answer()
                    self.assertEqual(answer[0], status)
                    self.assertEqual(dict(answer[1])["content-type"], "application/problem+json")
                    problem = json.loads(answer[2])
                    self.assertEqual(problem["status"], status)
                    self.assertNotIn(b"evil", answer[2])
                    event = events.wait(lambda e: e.get("request", {}).get("request_id") == problem["request_id"])
                    self.assertIn(event["reason"], ("MALFORMED_REQUEST", "LIMIT_EXCEEDED"))

    def test_a_header_that_does_not_come_ends_the_connection_in_time(self):
        client = self.client(sni="a")
        client.send(b"GET /public/x HTTP/1.1\r\nHost")
        began = time.monotonic()
        self.assertEqual(client.answer()[0], 408)
        self.assertTrue(client.closed(5))
        self.assertLess(time.monotonic() - began, 3)

    def h2(self):
        context = client_context(self.pki, alpn=["h2"])
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=5), server_hostname="a")
        self.addCleanup(sock.close)
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        return sock

    def test_http2_requests_that_contradict_themselves_are_reset(self):
        import h2.connection
        import h2.config
        good = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/public/x")]
        attacks = {
            "http over TLS": [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/public/x")],
            "userinfo": [(":method", "GET"), (":scheme", "https"), (":authority", "u@a"), (":path", "/public/x")],
            "fragment": [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/public/x#y")],
            "another host": good + [("host", "b")],
            "no authority": [good[0], good[1], good[3]],
            "connection field": good + [("connection", "close")],
            "transfer-encoding": good + [("transfer-encoding", "chunked")],
            "upper-case name": good + [("X-A", "b")],
            "CR LF in a value": good + [("x", "a\r\nb: c")],
            "CONNECT": [(":method", "CONNECT"), (":authority", "a:443")],
            "relative path": [good[0], good[1], good[2], (":path", "public")],
            "content-length that lies": good + [("content-length", "5")],
        }
        for name, fields in attacks.items():
            with self.subTest(name):
                config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
                connection = h2.connection.H2Connection(config)
                context = client_context(self.pki, alpn=["h2"])
                with context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=5), server_hostname="a") as sock:
                    connection.initiate_connection()
                    connection.send_headers(1, fields, end_stream=True)
                    sock.sendall(connection.data_to_send())
                    outcome = None
                    while outcome is None:
                        data = sock.recv(65536)
                        if not data:
                            outcome = "closed"
                        for event in connection.receive_data(data) if data else []:
                            kind = type(event).__name__
                            if kind == "ResponseReceived":
                                outcome = int(dict(event.headers).get(b":status", dict(event.headers).get(":status")))
                            elif kind in ("StreamReset", "ConnectionTerminated"):
                                outcome = kind
                    self.assertTrue(outcome in ("closed", "StreamReset", "ConnectionTerminated") or outcome >= 400, (name, outcome))
        self.assertEqual(self.upstream.requests, [])

    def test_rapid_resets_end_the_connection(self):
        import h2.connection
        connection = h2.connection.H2Connection()
        context = client_context(self.pki, alpn=["h2"])
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=5), server_hostname="a")
        self.addCleanup(sock.close)
        connection.initiate_connection()
        sent = 0
        try:
            for i in range(20000):
                stream = 2 * i + 1
                connection.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/public/slow/5")],
                                        end_stream=True)
                connection.reset_stream(stream)
                sent += 1
                if i % 50 == 49:
                    sock.sendall(connection.data_to_send())
        except OSError:
            pass
        self.assertLess(len(self.upstream.requests), 500)
        with self.assertRaises(OSError):
            for _ in range(100):
                sock.sendall(frame(6, 0, 0, b"12345678"))
                time.sleep(0.05)
        self.assertEqual(self.status("/public/x", host="a", sni="a"), 200)

    def test_floods_of_control_frames_end_the_connection(self):
        for name, flood in {"ping": frame(6, 0, 0, b"12345678"), "settings": frame(4, 0, 0, b""),
                            "empty data": None}.items():
            if flood is None:
                continue
            with self.subTest(name):
                sock = self.h2()
                with self.assertRaises(OSError):
                    for _ in range(200):
                        sock.sendall(flood * 500)
                    time.sleep(0.2)
                    sock.sendall(flood * 500)
                    sock.settimeout(3)
                    while True:
                        if not sock.recv(65536):
                            raise ConnectionError("closed")
        self.assertEqual(self.status("/public/x", host="a", sni="a"), 200)

    def test_plain_http_on_the_tls_port_gets_nothing_done(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
            data = sock.recv(1000)
            self.assertFalse(data.startswith(b"HTTP/1.1 200"))
        self.assertEqual(self.upstream.requests, [])


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


if __name__ == "__main__":
    unittest.main()
