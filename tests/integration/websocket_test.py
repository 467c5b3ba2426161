#!/usr/bin/python3
"""WebSockets through the gateway, over HTTP/1.1 and HTTP/2: who gets one, what the upstream is told, how one ends, and what never passes."""
import asyncio
import base64
import re
import signal
import socket
import struct
import time
import unittest
import urllib.request

import websockets
import wsproto.events as ws

from harness import EDGE, Acceptor, EventWatch, GatehouseTest, client_context, wait_for
from sockets import Refused, Socket1, Socket2, SocketUpstream, accept_of

BOTH = (Socket1, Socket2)

CONFIG = EDGE + """---
{{kind: TrustStore, name: clients, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: clients}}}}
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"], idle_timeout: 2s}}
---
{{kind: Upstream, name: raw, endpoints: ["127.0.0.1:{raw}"], idle_timeout: 20s}}
---
{{kind: Route, name: ws, match: {{path: "/ws/{{rest...}}"}}, require: {{any_of: [Certificate]}}, upstream: app, websocket: true,
  identity_headers: {{claims: {{X-User: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"}}}}}}
---
{{kind: Route, name: raw, match: {{path: "/raw/{{rest...}}"}}, anonymous: true, upstream: raw, websocket: true}}
---
{{kind: Route, name: plain, match: {{path: "/plain/{{rest...}}"}}, anonymous: true, upstream: app}}
---
{{kind: Route, name: fixed, match: {{path: /fixed}}, anonymous: true, fixed_response: {{body: here}}}}
"""

ASK = ("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: {version}\r\n"
       "Sec-WebSocket-Key: {key}\r\n{more}\r\n")


def ask(path, key="dGhlIHNhbXBsZSBub25jZQ==", version="13", more=""):
    return ASK.format(path=path, key=key, version=version, more=more).encode()


class RawUpstream(Acceptor):
    """Answers each connection's first request with `answer`, and hands its socket to the test."""

    def __init__(self):
        self.heads, self.sockets = [], []
        self.answer = lambda fields: b""
        super().__init__()

    def accepted(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                return
            head += data
        self.heads.append(head)
        lines = head.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        answer = self.answer({k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)})
        if answer:
            sock.sendall(answer)
        self.sockets.append(sock)

    def switch(self, fields):
        return ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept_of(fields['sec-websocket-key'])}\r\n\r\n").encode()


def receive(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        if not piece:
            break
        data += piece
    return data


class WebSocketTest(GatehouseTest):
    options = ("--drain", "4", "--metrics-address", "127.0.0.1:0")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream.close()
        cls.upstream = SocketUpstream()
        cls.raw = RawUpstream()
        cls.pki.ca("ca")
        cls.pki.ca("other")
        cls.pki.server()
        cls.pki.leaf("alice", "ca")
        cls.pki.leaf("mallory", "other")
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port, raw=cls.raw.port))

    def asked(self, path):
        return [r for r in self.upstream.requests if r["path"] == path]

    def metric(self, name):
        url = re.search(r"gatehouse: metrics (http://\S+)/metrics", (self.folder / "gatehouse.out").read_text())[1]
        with urllib.request.urlopen(url + "/metrics") as answer:
            return next(float(line.split()[1]) for line in answer.read().decode().splitlines() if line.startswith(name + " "))

    def test_messages_go_both_ways(self):
        for kind in BOTH:
            with self.subTest(kind.__name__):
                path = f"/ws/{kind.__name__}/echo"
                socket_ = kind(self, "alice", path + "?a=b")
                for text in ("hello", "ä" * 1000, ""):
                    socket_.send(ws.TextMessage(text))
                    self.assertEqual(socket_.message(), text)
                sent = bytes(range(256)) * 256
                for _ in range(8):
                    socket_.send(ws.BytesMessage(sent))
                    self.assertEqual(bytes(socket_.message()), sent)
                request, = self.asked(path + "?a=b")
                self.assertEqual(request["line"], f"GET {path}?a=b HTTP/1.1")
                fields = request["headers"]
                self.assertEqual((fields["upgrade"], fields["connection"], fields["sec-websocket-version"], fields["x-user"]),
                                 ("websocket", "Upgrade", "13", "CN=alice"))
                self.assertEqual(len(base64.b64decode(fields["sec-websocket-key"])), 16)
                self.assertNotIn("transfer-encoding", fields)
                socket_.send(ws.CloseConnection(1000))
                self.assertTrue(socket_.cut(5))

    def test_an_independent_library_is_content(self):
        async def talk():
            context = client_context(self.pki, "alice")
            async with websockets.connect(f"wss://localhost:{self.port}/ws/library/echo", ssl=context, subprotocols=["chat"]) as client:
                self.assertEqual(client.subprotocol, "chat")
                for n in (1, 1000, 300_000):
                    await client.send(b"z" * n)
                    self.assertEqual(len(await client.recv()), n)
                await (await client.ping())

        asyncio.run(talk())

    def test_who_is_not_admitted_gets_none_and_the_upstream_hears_nothing(self):
        for kind in BOTH:
            for cert in (None, "mallory"):
                with self.subTest(kind=kind.__name__, cert=cert), self.assertRaises(Refused) as refused:
                    kind(self, cert, "/ws/refused/echo")
                self.assertEqual(refused.exception.status, 401)
        self.assertEqual(self.asked("/ws/refused/echo"), [])

    def test_identities_that_a_client_claims_do_not_pass(self):
        for kind in BOTH:
            path = f"/ws/claims-{kind.__name__}/echo"
            kind(self, "alice", path, headers=[(b"x-user", b"root"), (b"x-forwarded-user", b"root")] if kind is Socket1
                 else [("x-user", "root"), ("x-forwarded-user", "root")])
            fields = self.asked(path)[0]["headers"]
            self.assertEqual(fields["x-user"], "CN=alice")
            self.assertNotIn("x-forwarded-user", fields)

    def test_only_where_the_route_allows_it(self):
        client = self.client("alice")
        client.send(ask("/plain/echo"))
        self.assertEqual(client.answer()[::2], (200, b"plain"), "HTTP/1.1: the upgrade is not heeded")
        fields = self.asked("/plain/echo")[0]["headers"]
        self.assertFalse({"upgrade", "connection"} & set(fields))
        for path in ("/plain/echo", "/fixed"):
            with self.assertRaises(Refused) as refused:
                Socket2(self, "alice", path)
            self.assertEqual(refused.exception.status, 501)
        with self.assertRaises(Refused) as refused:
            Socket2(self, "alice", "/ws/x/echo", protocol="connect-udp")
        self.assertEqual(refused.exception.status, 501)

    def test_no_other_upgrade_passes(self):
        for upgrade, more in (("h2c", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"), ("TLS/1.0", ""), ("websocket2", ""), ("foo", "")):
            path = f"/ws/{upgrade.replace('/', '')}/x"
            client = self.client("alice")
            client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n"
                        f"{more}\r\n".encode())
            self.assertEqual(client.answer()[0], 200)
            self.assertFalse({"upgrade", "connection", "http2-settings"} & set(self.asked(path)[0]["headers"]))
        # Not a GET, with a body, without `Connection: upgrade`, or HTTP/1.0: requests like any other.
        for n, head in enumerate(("POST {} HTTP/1.1\r\nConnection: upgrade\r\nContent-Length: 0", "GET {} HTTP/1.1\r\nConnection: close",
                                  "GET {} HTTP/1.0\r\nConnection: upgrade")):
            path = f"/ws/form{n}/x"
            client = self.client("alice")
            client.send((head.format(path) + "\r\nHost: localhost\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
            self.assertEqual(client.answer()[0], 200)
            self.assertNotIn("upgrade", self.asked(path)[0]["headers"])

    def test_a_malformed_handshake_is_400_and_another_version_426(self):
        for status, fields in ((400, {"key": "c2hvcnQ="}), (400, {"key": "%%%"}), (426, {"version": "12"}),
                               (400, {"more": "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"}), (426, {"more": "Sec-WebSocket-Version: 13\r\n"})):
            client = self.client("alice")
            client.send(ask("/ws/malformed/echo", **fields))
            self.assertEqual(client.answer()[0], status, fields)
        self.assertEqual(self.asked("/ws/malformed/echo"), [])

    def test_an_upstream_that_refuses_gives_an_ordinary_answer(self):
        client = self.client("alice")
        client.send(ask("/ws/one/refuse"))
        self.assertEqual(client.answer()[::2], (403, b"no"))
        self.assertEqual(client.get("/ws/next/x")[0], 200, "the client's connection goes on")
        first, after = self.asked("/ws/one/refuse")[0], self.asked("/ws/next/x")[0]
        self.assertNotEqual(first["connection"], after["connection"], "the upstream's is not used again")
        with self.assertRaises(Refused) as refused:
            Socket2(self, "alice", "/ws/two/refuse")
        self.assertEqual((refused.exception.status, refused.exception.body), (403, b"no"))

    def test_an_upgrade_that_failed_smuggles_nothing(self):
        # What comes behind the request is the next request, with all that is asked of one.
        self.raw.answer = lambda fields: b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"
        client = self.client()
        client.send(ask("/raw/smuggle") + b"GET /ws/smuggled/x HTTP/1.1\r\nHost: localhost\r\nX-User: root\r\n\r\n")
        self.assertEqual(client.answer()[::2], (426, b"no"))
        self.assertEqual(client.answer()[0], 401)
        self.assertEqual(self.asked("/ws/smuggled/x"), [])
        for head in self.raw.heads:
            self.assertNotIn(b"smuggled", head)

    def test_a_switch_without_proof_is_502(self):
        switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: %s\r\nSec-WebSocket-Accept: %s\r\n\r\nsecret"
        answers = {
            "a wrong accept": lambda f: switch % (b"websocket", b"upgrade", b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            "no accept": lambda f: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nsecret",
            "another protocol": lambda f: switch % (b"h2c", b"upgrade", accept_of(f["sec-websocket-key"]).encode()),
            "no connection": lambda f: switch % (b"websocket", b"close", accept_of(f["sec-websocket-key"]).encode()),
            "nothing": lambda f: b"HTTP/1.1 101 Switching Protocols\r\n\r\nsecret",
        }
        for name, answer in answers.items():
            with self.subTest(name):
                self.raw.answer = answer
                client = self.client()
                client.send(ask("/raw/bad"))
                status, _, body = client.answer()
                self.assertEqual(status, 502)
                self.assertNotIn(b"secret", body)
                with self.assertRaises(Refused) as refused:
                    Socket2(self, None, "/raw/bad")
                self.assertEqual(refused.exception.status, 502)
        # 200 would tell a client of HTTP/2 that it has a WebSocket.
        self.raw.answer = lambda fields: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        client = self.client()
        client.send(ask("/raw/bad"))
        self.assertEqual(client.answer()[::2], (200, b"hi"))
        with self.assertRaises(Refused) as refused:
            Socket2(self, None, "/raw/bad")
        self.assertEqual(refused.exception.status, 502)

    def test_101_without_an_upgrade_is_502(self):
        self.raw.answer = lambda fields: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        self.assertEqual(self.status("/raw/unasked"), 502)

    def raw_pair(self, kind, path):
        """A switched pair: the client and the upstream's socket."""
        self.raw.answer = self.raw.switch
        before = len(self.raw.sockets)
        client = kind(self, None, path)
        wait_for("the upstream switched", lambda: len(self.raw.sockets) > before)
        sock = self.raw.sockets[-1]
        self.addCleanup(sock.close)
        sock.settimeout(10)
        return client, sock

    def test_each_side_may_end_before_the_other(self):
        with self.subTest("HTTP/1.1, the client ends first"):
            client, upstream = self.raw_pair(Socket1, "/raw/half")
            client.client.sock.settimeout(10)
            client.client.send(b"last words")
            socket.socket.shutdown(client.client.sock, socket.SHUT_WR)
            self.assertEqual(receive(upstream, 100), b"last words", "and then its end")
            upstream.sendall(b"y" * 300_000)
            upstream.close()
            self.assertEqual(receive(client.client.sock, 400_000), b"y" * 300_000)
        with self.subTest("HTTP/1.1, the upstream ends first"):
            client, upstream = self.raw_pair(Socket1, "/raw/half")
            upstream.sendall(b"bye")
            upstream.shutdown(socket.SHUT_WR)
            self.assertEqual(receive(client.client.sock, 100), b"bye")
            client.client.send(b"x" * 300_000)
            self.assertEqual(receive(upstream, 300_000), b"x" * 300_000)
            client.close()
            self.assertEqual(upstream.recv(1), b"")
        with self.subTest("HTTP/2, the client ends first"):
            client, upstream = self.raw_pair(Socket2, "/raw/half")
            client.h2.send_data(client.stream, b"last words", end_stream=True)
            client.client.send(client.h2.data_to_send())
            self.assertEqual(receive(upstream, 100), b"last words")
            upstream.close()
            self.assertTrue(client.cut(5))
            self.assertTrue(client.ended and client.reset is None)
        with self.subTest("HTTP/2, the upstream ends first"):
            client, upstream = self.raw_pair(Socket2, "/raw/half")
            upstream.shutdown(socket.SHUT_WR)
            self.assertTrue(client.cut(5))
            self.assertTrue(client.ended and client.reset is None)
            sent = b""
            while len(sent) < 300_000:
                room = min(client.h2.local_flow_control_window(client.stream), 16384)
                if room == 0:
                    client.h2.receive_data(client.client.sock.recv(65536))
                    continue
                client.h2.send_data(client.stream, b"x" * room)
                client.client.send(client.h2.data_to_send())
                sent += b"x" * room
            client.end()
            self.assertEqual(receive(upstream, len(sent) + 1), sent)

    def test_a_broken_upstream_is_told_as_a_broken_stream(self):
        client, upstream = self.raw_pair(Socket2, "/raw/broken")
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        upstream.close()
        self.assertTrue(client.cut(5))
        self.assertIsNotNone(client.reset)

    def test_what_comes_with_the_answer_or_behind_the_request_is_not_lost(self):
        self.raw.answer = lambda fields: self.raw.switch(fields) + b"early"
        before = len(self.raw.sockets)
        client = self.client()
        client.send(ask("/raw/early") + b"too early")
        wait_for("the upstream switched", lambda: len(self.raw.sockets) > before)
        upstream = self.raw.sockets[-1]
        upstream.settimeout(10)
        self.assertEqual(receive(upstream, 9), b"too early")
        while not client.buffer.endswith(b"early"):
            client._fill()
        self.assertTrue(client.buffer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"))
        self.assertEqual(client.buffer.split(b"\r\n\r\n")[1], b"early")
        upstream.close()

    def test_an_idle_one_is_ended(self):
        for kind in BOTH:
            with self.subTest(kind.__name__):
                idle, busy = kind(self, "alice", "/ws/idle/echo"), kind(self, "alice", "/ws/busy/tick")
                start = time.monotonic()
                self.assertTrue(idle.cut(6))
                self.assertGreater(time.monotonic() - start, 1.5)
                busy.assert_runs()

    def test_who_does_not_read_holds_up_the_other_side_and_nobody_else(self):
        for kind in BOTH:
            with self.subTest(kind.__name__, direction="to the client"):
                before = self.upstream.sent
                socket_ = kind(self, "alice", "/ws/slow/flood")
                reached = wait_for("the upstream is held up", lambda: self.steady(lambda: self.upstream.sent - before), 10)
                self.assertLess(reached, 16 << 20)
                self.assertEqual(self.status("/fixed"), 200)
                socket_.close()
            with self.subTest(kind.__name__, direction="to the upstream"):
                socket_ = kind(self, "alice", "/ws/slow/deaf")
                socket_.client.sock.settimeout(0.5)
                sent = 0
                with self.assertRaises((TimeoutError, OSError)):
                    while sent < 64 << 20:
                        socket_.send(ws.BytesMessage(b"x" * 65536))
                        sent += 65536
                self.assertLess(sent, 32 << 20)
                socket_.close()

    @staticmethod
    def steady(value):
        first = value()
        time.sleep(0.3)
        return first if first and value() == first else None

    def test_it_is_counted_and_told(self):
        before = self.metric("gatehouse_websockets_total"), self.metric("gatehouse_websockets_open")
        with EventWatch(self.gatehouse, "--type", "DECISION") as watch:
            sockets = [kind(self, "alice", f"/ws/told{i}/tick") for i, kind in enumerate(BOTH)]
            for i, status in enumerate((101, 200)):
                event = watch.wait(lambda e: e["request"]["path"] == f"/ws/told{i}/tick")
                self.assertEqual((event["outcome"], event["request"]["status"], event["request"]["method"]), ("ALLOWED", status, "GET"))
        self.assertEqual(self.metric("gatehouse_websockets_total"), before[0] + 2)
        self.assertGreaterEqual(self.metric("gatehouse_websockets_open"), 2)
        for socket_ in sockets:
            socket_.close()
        wait_for("both are gone", lambda: self.metric("gatehouse_websockets_open") <= before[1])

    def test_zz_a_drain_gives_them_time(self):
        sockets = [kind(self, "alice", "/ws/drain/echo") for kind in BOTH]
        left = Socket1(self, "alice", "/ws/drain/tick")
        self.gatehouse.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            for socket_ in sockets:
                socket_.send(ws.TextMessage("still here"))
                self.assertEqual(socket_.message(), "still here")
            time.sleep(0.05)
        for socket_ in sockets:
            socket_.send(ws.CloseConnection(1000))
            self.assertTrue(socket_.cut(5))
        self.assertIsNone(self.gatehouse.process.poll(), "one is left, and the time is not over")
        left.assert_runs()
        self.assertTrue(left.cut(12))
        self.assertEqual(self.gatehouse.process.wait(20), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
