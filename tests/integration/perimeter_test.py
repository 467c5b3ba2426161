#!/usr/bin/python3
"""Our own attack corpus against the real gateway: framing, paths, names and floods. The upstream must see none of it."""
import contextlib
import json
import signal
import socket
import ssl
import struct
import time
import unittest
import urllib.parse

import hpack

from harness import BIN, EventWatch, GatehouseTest, RawClient, client_context, free_port

CONFIG = """
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server], limits: {{max_body_bytes: 100000, header_timeout: 1s}}}}
---
{{kind: Listener, name: brisk, address: "127.0.0.1:{brisk}", server_certificates: [server], limits: {{idle_timeout: 1s, body_timeout: 1s}}}}
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

PATHS += ["/public/%252e%252e/admin/x", "/public/x;/../../admin/x", "/public/%c0%ae%c0%ae/admin/x", "/public/..%c0%af..%c0%afadmin/x",
          "/public/\t/x", "/public/x%3f/../../admin", "/ADMIN/x", "/admin%2fx", "/admin;x/y", "/admin/x/..;/", "/public/%u002e%u002e/admin/x",
          "https://a/public/../admin/x", "https://a/admin/x", "/public/x?/../../admin/x", "/public/.../admin/x", "/public/%2E%2E;/admin/x"]

GOOD = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/public/x")]
HPACK = hpack.Encoder()
HPACK.header_table_size = 0  # what is encoded refers to no table: every block stands alone

# Names that an upstream might take for who the caller is, in spellings that CGI, Java or a careless proxy folds into them.
SPOOFS = ["X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-Forwarded_Client-Cert", "Client-Cert", "Client_Cert", "Client-Cert-Chain",
          "X-Auth-Subject", "X_Auth_Subject", "X-Client-Cert-Dn", "X-SSL-Client-S-Dn", "Ssl-Client-Verify", "SSL_CLIENT_VERIFY", "X-ARR-ClientCert",
          "Remote-User", "REMOTE_USER", "X-Remote-User", "X_Remote_User", "X-Forwarded-User", "X-Forwarded-Tls-Client-Cert-Info"]

REFUSED = range(400, 506)
MEMORY = (500 if BIN.parent.name == "asan" else 20) * 1024  # KiB; asan keeps what was freed for a while


class PerimeterTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.server("server", "localhost", "a", "b")
        cls.brisk = free_port()
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, brisk=cls.brisk, upstream=cls.upstream.port))

    def setUp(self):
        self.upstream.requests.clear()

    def test_the_handshakes_time_does_not_run_on_for_a_request_that_came_with_its_last_message(self):
        port = free_port()
        self.gatehouse.apply(f"{{kind: Listener, name: hasty, address: '127.0.0.1:{port}', server_certificates: [server], "
                             "limits: {handshake_timeout: 1s}}")
        self.addCleanup(self.gatehouse.ctl, "delete", "listener", "hasty")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context(self.pki).wrap_bio(incoming, outgoing, server_hostname="a")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            while True:
                try:
                    tls.do_handshake()
                    break  # the last message is not sent yet
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            tls.write(b"GET /public/slow/2.5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            sock.sendall(outgoing.read())
            answer = b""
            while data := sock.recv(65536):
                incoming.write(data)
                try:
                    answer += tls.read(65536)
                except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                    pass
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:100])

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
                    # As the laxest upstream reads it: decoded once, parameters dropped, dots resolved.
                    segments = [segment.split(";")[0] for segment in urllib.parse.unquote(seen["path"].split("?")[0]).split("/")]
                    self.assertEqual(segments[:2], ["", "public"], seen["path"])
                    self.assertNotIn("..", segments, seen["path"])
                    self.assertNotIn("\\", seen["path"])
                self.upstream.requests.clear()

    def test_the_path_that_decided_is_the_path_that_is_passed_on(self):
        client = self.client(sni="a")
        self.assertEqual(client.get("/public/%7Euser/./b/../c//d?x=%2e", host="a")[0], 200)
        self.assertEqual(self.upstream.requests[0]["path"], "/public/~user/c/d?x=%2e")

    def test_no_spelling_of_an_identity_header_reaches_an_upstream(self):
        spoofed = "".join(f"{name}: forged\r\n{name.upper()}: forged\r\n" for name in SPOOFS)
        named = "Connection: x-real-thing, " + ", ".join(SPOOFS) + "\r\n"
        trailers = "".join(f"{name}: forged\r\n" for name in SPOOFS)
        client = self.client(sni="a")
        client.send(f"POST /public/h1 HTTP/1.1\r\nHost: a\r\n{spoofed}{named}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{trailers}\r\n".encode())
        self.assertEqual(client.answer()[0], 200)
        fields = [(name.lower(), "forged") for name in SPOOFS]
        self.assertEqual(self.h2_request(GOOD + fields), 200)
        self.assertEqual(len(self.upstream.requests), 2)
        for seen in self.upstream.requests:
            self.assertNotIn("forged", str(seen))

    def test_hop_by_hop_names_cannot_take_the_framing_away(self):
        behind = b"GET /public/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        for names in ("content-length", "host", "transfer-encoding", "keep-alive, content-length, host", "close, content-length"):
            with self.subTest(names):
                self.upstream.requests.clear()
                client = self.client(sni="a")
                client.send(f"POST /public/x HTTP/1.1\r\nHost: a\r\nConnection: {names}\r\nContent-Length: {len(behind)}\r\n\r\n".encode() + behind)
                status = client.answer()[0]
                self.assertIn(status, (200, 400))
                self.assertEqual([r["body"] for r in self.upstream.requests], [behind] if status == 200 else [])
                self.assertTrue(all(k.lower() not in ("connection", "upgrade") or v.lower() in ("keep-alive", "close")
                                    for r in self.upstream.requests for k, v in r["headers"]))

    def test_a_protocol_is_not_switched_and_the_wish_is_not_passed_on(self):
        client = self.client(sni="a")
        status, _, body = client.get("/public/x", host="a", headers="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")
        self.assertEqual(status, 200)
        self.assertNotIn("upgrade", str(self.upstream.requests[0]["headers"]).lower())
        self.assertNotIn("http2-settings", str(self.upstream.requests[0]["headers"]).lower())

    def test_the_body_of_a_refused_request_is_never_a_request(self):
        behind = b"GET /public/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        for expect in ("", "Expect: 100-continue\r\n"):
            for framing, body in ((f"Content-Length: {len(behind)}", behind), ("Content-Length: 90000", behind),
                                  ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(behind), behind))):
                with self.subTest(framing + expect):
                    client = self.client(sni="a")
                    client.send(f"POST /admin/x HTTP/1.1\r\nHost: a\r\n{expect}{framing}\r\n\r\n".encode() + body)
                    self.assertEqual(client.answer()[0], 401)
                    with contextlib.suppress(OSError):  # ConnectionError, or nothing more within the time
                        client.sock.settimeout(0.3)
                        self.fail(f"a second answer: {client.answer()}")
        self.assertEqual(self.upstream.requests, [])

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

    def h2(self, port=None, settings=b""):
        context = client_context(self.pki, alpn=["h2"])
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port or self.port), timeout=5), server_hostname="a")
        self.addCleanup(sock.close)
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, settings))
        return sock

    def pinging(self, sock, seconds):
        """Whether the connection or its stream 1 ends in the time, though it is pinged."""
        heard = b""
        now = next_ping = time.monotonic()
        end = now + seconds
        sock.settimeout(0.05)
        with contextlib.suppress(OSError):
            while now < end:
                if now >= next_ping:
                    sock.sendall(frame(6, 0, 0, b"12345678"))
                    next_ping = now + 0.2
                with contextlib.suppress(TimeoutError):
                    data = sock.recv(65536)
                    if not data:
                        return True
                    heard += data
                    while len(heard) >= 9 and len(heard) >= 9 + int.from_bytes(heard[:3], "big"):
                        if heard[3] == 3:  # RST_STREAM
                            return True
                        heard = heard[9 + int.from_bytes(heard[:3], "big"):]
                now = time.monotonic()
            return False
        return True

    def test_what_came_while_the_gateway_stood_still_is_answered_though_the_idle_time_is_over(self):
        clients = [RawClient(self.brisk, client_context(self.pki), sni="a") for _ in range(5)]
        for client in clients:
            self.addCleanup(client.close)
            self.assertEqual(client.get("/public/x", host="a")[0], 200)
        self.gatehouse.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(1.5)
            for client in clients:
                client.send(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
        finally:
            self.gatehouse.process.send_signal(signal.SIGCONT)
        self.assertEqual([client.answer()[0] for client in clients], [200] * len(clients))
        for client in clients:
            self.assertEqual(client.sock.recv(1), b"", "and one that says nothing is still let go")

    def test_an_answer_that_nobody_takes_and_a_body_that_does_not_come_are_not_waited_for_though_pings_come(self):
        head = [(":scheme", "https"), (":authority", "a"), (":path", "/public/stream")]
        shut = self.h2(self.brisk, struct.pack(">HI", 4, 0))
        shut.sendall(frame(1, 5, 1, HPACK.encode([(":method", "GET")] + head)))
        self.assertTrue(self.pinging(shut, 5), "windows that stay shut")
        bodiless = self.h2(self.brisk)
        bodiless.sendall(frame(1, 4, 1, HPACK.encode([(":method", "POST")] + head)))
        self.assertTrue(self.pinging(bodiless, 5), "a body that does not come")
        reading = self.h2(self.brisk)
        reading.sendall(frame(1, 5, 1, HPACK.encode([(":method", "GET")] + head)))
        self.assertFalse(self.pinging(reading, 2.5), "an answer that is taken may last")

    def h2_request(self, fields, body=b"", trailers=None):
        """The status that a request gets, or the word for how it ended instead."""
        import h2.config
        import h2.connection
        config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        connection = h2.connection.H2Connection(config)
        context = client_context(self.pki, alpn=["h2"])
        with context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=5), server_hostname="a") as sock:
            connection.initiate_connection()
            connection.send_headers(1, fields, end_stream=not body and trailers is None)
            if body or trailers is not None:
                connection.send_data(1, body, end_stream=trailers is None)
            if trailers is not None:
                connection.send_headers(1, trailers, end_stream=True)
            sock.sendall(connection.data_to_send())
            while True:
                data = sock.recv(65536)
                if not data:
                    return "closed"
                for event in connection.receive_data(data):
                    kind = type(event).__name__
                    if kind == "ResponseReceived":
                        return int(dict(event.headers).get(b":status", dict(event.headers).get(":status")))
                    if kind in ("StreamReset", "ConnectionTerminated"):
                        return kind

    def test_http2_requests_that_contradict_themselves_are_reset(self):
        good = GOOD
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
            "two paths": good + [(":path", "/admin/x")],
            "two authorities": good + [(":authority", "b")],
            "a response's field": good + [(":status", "200")],
            "unknown pseudo field": good + [(":user", "root")],
            "pseudo field behind a field": [("x", "y")] + good,
            "empty method": [(":method", "")] + good[1:],
            "method with a space": [(":method", "GET /admin/x HTTP/1.1")] + good[1:],
            "path with a line": good[:3] + [(":path", "/public/x HTTP/1.1\r\nX: y")],
            "authority with a line": [good[0], good[1], (":authority", "a\r\nX: y"), good[3]],
            "name with a colon": good + [("x:y", "z")],
            "name with a space": good + [("x y", "z")],
            "name with a line": good + [("x\r\ny", "z")],
            "empty name": good + [("", "z")],
            "NUL in a value": good + [("x", "a\0b")],
            "keep-alive": good + [("keep-alive", "5")],
            "upgrade": good + [("upgrade", "h2c")],
            "proxy-connection": good + [("proxy-connection", "close")],
            "websocket": [(":method", "CONNECT"), (":protocol", "websocket"), *good[1:]],
        }
        for name, fields in attacks.items():
            with self.subTest(name):
                outcome = self.h2_request(fields)
                self.assertTrue(outcome in ("closed", "StreamReset", "ConnectionTerminated") or outcome >= 400, (name, outcome))
        self.assertEqual(self.upstream.requests, [])

    def test_http2_bodies_and_trailers_that_lie_do_not_reach_an_upstream_whole(self):
        post = [(":method", "POST"), *GOOD[1:]]
        for name, fields, body, trailers in (
                ("too short", post + [("content-length", "5")], b"abc", None),
                ("too long", post + [("content-length", "2")], b"abc", None),
                ("pseudo field in trailers", post, b"abc", [(":path", "/admin/x")]),
                ("length in trailers", post + [("content-length", "3")], b"abcd", [("content-length", "4")])):
            with self.subTest(name):
                outcome = self.h2_request(fields, body, trailers)
                self.assertTrue(outcome in ("closed", "StreamReset", "ConnectionTerminated") or outcome >= 400, outcome)
                # Streamed as it comes, it may have begun to arrive; then it ends short of what was announced.
                self.assertEqual(self.upstream.requests, [])

    def test_frames_that_break_http2_end_the_connection_and_nothing_else(self):
        head = HPACK.encode([(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/public/slow/1")])
        setting = lambda key, value: frame(4, 0, 0, struct.pack(">HI", key, value))
        attacks = {
            "DATA on stream 0": frame(0, 0, 0, b"x"),
            "DATA on an idle stream": frame(0, 0, 5, b"x"),
            "HEADERS on stream 0": frame(1, 5, 0, head),
            "HEADERS on an even stream": frame(1, 5, 2, head),
            "PUSH_PROMISE": frame(1, 5, 1, head) + frame(5, 4, 1, struct.pack(">I", 2) + head),
            "CONTINUATION out of nowhere": frame(9, 4, 1, head),
            "another frame inside a header block": frame(1, 1, 1, head[:2]) + frame(6, 0, 0, b"12345678"),
            "padding longer than the frame": frame(1, 0x0D, 1, b"\xff" + head),
            "a frame over the size": frame(1, 5, 1, b"x" * 20000),
            "SETTINGS of a bad length": frame(4, 0, 0, b"12345"),
            "SETTINGS acknowledged with content": frame(4, 1, 0, b"123456"),
            "an initial window over 2^31-1": setting(4, 1 << 31),
            "a frame size below 2^14": setting(5, 100),
            "push neither on nor off": setting(2, 2),
            "WINDOW_UPDATE of 0": frame(8, 0, 0, struct.pack(">I", 0)),
            "a window over 2^31-1": frame(8, 0, 0, struct.pack(">I", 0x7FFFFFFF)),
            "RST_STREAM of an idle stream": frame(3, 0, 9, struct.pack(">I", 8)),
            "PING of a bad length": frame(6, 0, 0, b"1234"),
            "HPACK index out of range": frame(1, 5, 1, b"\xff\xff\xff\xff\x0f"),
            "HPACK integer without end": frame(1, 5, 1, b"\x7f" + b"\xff" * 60),
            "HPACK table over its size": frame(1, 5, 1, b"\x3f\xe1\xff\x7f" + head),
            "HPACK string longer than the block": frame(1, 5, 1, b"\x40\x7f\xff\x7f"),
            "HPACK bad Huffman code": frame(1, 5, 1, b"\x40\x84\xff\xff\xff\xff\x01x"),
        }
        bystander = self.client(sni="a")
        for name, attack in attacks.items():
            with self.subTest(name):
                sock = self.h2()
                with contextlib.suppress(OSError):
                    sock.sendall(attack)
                self.assertTrue(ends(sock), "the connection stays open")
                self.assertEqual(bystander.get("/public/x", host="a")[0], 200)

    def test_header_blocks_without_end_or_measure_cost_little(self):
        def endless():  # CONTINUATION frames that never say END_HEADERS
            yield frame(1, 1, 1, HPACK.encode([(":method", "GET")]))
            for i in range(100000):
                yield frame(9, 0, 1, b"\x00\x01a\x7f\x80\x3f" + b"y" * 8191)

        def bomb():  # one entry of 4,000 octets in the table, said 16,000 times an octet each
            first = b"\x40\x01a\x7f\xa1\x1e" + b"y" * 4000
            for i in range(500):
                yield frame(1, 5, 2 * i + 1, HPACK.encode([(":method", "GET")]) + first + b"\xbe" * 12000)

        def resets():  # the gateway itself is made to reset: WINDOW_UPDATE of 0 on each stream
            block = HPACK.encode([(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/public/slow/1")])
            for i in range(20000):
                yield frame(1, 5, 2 * i + 1, block) + frame(8, 0, 2 * i + 1, struct.pack(">I", 0))

        def short():  # likewise: bodies that are not as long as they say
            block = HPACK.encode([(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/public/slow/1"), ("content-length", "1")])
            for i in range(20000):
                yield frame(1, 4, 2 * i + 1, block) + frame(0, 0, 2 * i + 1, b"xx")

        def dependencies():
            for i in range(200000):
                yield frame(2, 0, 2 * i + 1, struct.pack(">IB", 2 * i + 3, 255))

        for name, attack in {"endless": endless, "bomb": bomb, "resets": resets, "short": short, "dependencies": dependencies}.items():
            with self.subTest(name):
                before = resident(self.gatehouse.process.pid)
                sock = self.h2()
                sent = 0
                with contextlib.suppress(OSError):
                    for piece in attack():
                        sock.sendall(piece)
                        sent += len(piece)
                self.assertTrue(ends(sock), f"the connection stays open after {sent} octets")
                self.assertLess(resident(self.gatehouse.process.pid) - before, MEMORY, "KiB more")
                self.assertLess(len(self.upstream.requests), 300)
                self.upstream.requests.clear()
                self.assertEqual(self.status("/public/x", host="a", sni="a"), 200)
                self.upstream.requests.clear()

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

    def test_answers_that_nobody_reads_wait_outside_of_memory_however_many_and_large_they_are(self):
        body = "x" * 65536
        self.gatehouse.apply(f"{{kind: Route, name: large, match: {{path: /large}}, anonymous: true, fixed_response: {{body: '{body}'}}}}", "--wait")
        self.addCleanup(self.gatehouse.ctl, "delete", "route", "large")
        head = HPACK.encode([(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/large")])
        # Windows that never close.
        clients = [self.h2(settings=struct.pack(">HI", 4, 0x7FFFFFFF)) for _ in range(50)]
        for client in clients:
            client.sendall(frame(8, 0, 0, struct.pack(">I", 0x7FFF0000)))
        before = resident(self.gatehouse.process.pid)
        for client in clients:
            client.sendall(b"".join(frame(1, 5, 1 + 2 * i, head) for i in range(90)))
        most = 0
        end = time.monotonic() + 2
        while time.monotonic() < end:
            most = max(most, resident(self.gatehouse.process.pid) - before)
            time.sleep(0.02)
        self.assertLess(most, 30 * 1024 + MEMORY, "KiB; 90 answers to each would be 5,760 a connection")
        for client in clients[:5]:
            data = self.read_for(client, 90 * 65536)
            self.assertGreater(data, 90 * 65536, "and all of it is there for whoever reads")

    def read_for(self, sock, enough):
        """Reads until there were so many octets; how many."""
        sock.settimeout(20)
        got = 0
        while got <= enough:
            data = sock.recv(1 << 20)
            if not data:
                break
            got += len(data)
        return got

    def test_plain_http_on_the_tls_port_gets_nothing_done(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
            data = sock.recv(1000)
            self.assertFalse(data.startswith(b"HTTP/1.1 200"))
        self.assertEqual(self.upstream.requests, [])


def ends(sock, seconds=5):
    """True when the peer ends the connection in time; what it still says is read."""
    sock.settimeout(seconds)
    try:
        while sock.recv(65536):
            pass
        return True
    except (TimeoutError, socket.timeout):
        return False
    except OSError:
        return True


def resident(pid):
    """KiB."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


if __name__ == "__main__":
    unittest.main()
