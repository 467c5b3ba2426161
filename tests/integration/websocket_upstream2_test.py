#!/usr/bin/python3
"""WebSockets whose service speaks HTTP/2 (RFC 8441), for clients of HTTP/1.1 and HTTP/2."""
import time
import unittest

import wsproto.events as ws

from harness import EventWatch, GatehouseTest, wait_for
from sockets import Refused, Socket1, Socket2, SocketUpstream2
from websocket_test import ask

BOTH = (Socket1, Socket2)

CONFIG = """
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server]}}
---
{{kind: TrustStore, name: clients, anchors: [{{file: {pki}/ca.pem}}, {{file: {pki}/second.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: clients}}}}
---
{{kind: Upstream, name: app, protocol: HTTP_2, endpoints: ["127.0.0.1:{upstream}"], idle_timeout: 2s}}
---
{{kind: Upstream, name: without, protocol: HTTP_2, endpoints: ["127.0.0.1:{without}"]}}
---
{{kind: Route, name: ws, match: {{path: "/ws/{{rest...}}"}}, require: {{any_of: [Certificate]}}, upstream: app, websocket: true,
  identity_headers: {{claims: {{X-User: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"}}}}}}
---
{{kind: Route, name: without, match: {{path: "/without/{{rest...}}"}}, anonymous: true, upstream: without, websocket: true}}
---
{{kind: Route, name: plain, match: {{path: "/plain/{{rest...}}"}}, anonymous: true, upstream: app}}
"""


class WebSocketUpstream2Test(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.app, cls.without = SocketUpstream2(), SocketUpstream2(connect=False)
        for ca in ("ca", "second"):
            cls.pki.ca(ca)
        cls.pki.server()
        cls.pki.leaf("alice", "ca")
        cls.pki.leaf("eve", "second")
        cls.config = CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.app.port, without=cls.without.port)
        cls.gatehouse.apply(cls.config)

    @classmethod
    def tearDownClass(cls):
        cls.app.close()
        cls.without.close()
        super().tearDownClass()

    def asked(self, path):
        return [r for r in self.app.requests if r["path"] == path]

    def test_messages_go_both_ways(self):
        for kind in BOTH:
            with self.subTest(kind.__name__):
                path = f"/ws/{kind.__name__}/echo"
                socket_ = kind(self, "alice", path + "?a=b")
                for text in ("hello", "\u00e4" * 1000, ""):
                    socket_.send(ws.TextMessage(text))
                    self.assertEqual(socket_.message(), text)
                sent = bytes(range(256)) * 256
                for _ in range(8):
                    socket_.send(ws.BytesMessage(sent))
                    self.assertEqual(bytes(socket_.message()), sent)
                request, = self.asked(path + "?a=b")
                fields = request["headers"]
                self.assertEqual((fields[":method"], fields[":protocol"], fields[":scheme"], fields["sec-websocket-version"], fields["x-user"]),
                                 ("CONNECT", "websocket", "http", "13", "CN=alice"))
                self.assertFalse({"sec-websocket-key", "upgrade", "connection", "content-length"} & set(fields))
                socket_.send(ws.CloseConnection(1000))
                self.assertTrue(socket_.cut(5))

    def test_many_share_a_connection(self):
        sockets = [kind(self, "alice", f"/ws/many{i}/echo") for i in range(5) for kind in BOTH]
        for i, socket_ in enumerate(sockets):
            socket_.send(ws.TextMessage(str(i)))
        self.assertEqual([socket_.message() for socket_ in sockets], [str(i) for i in range(10)])
        used = {r["connection"] for r in self.app.requests if r["path"].startswith("/ws/many")}
        self.assertLessEqual(len(used), 4, "one a worker")

    def test_identities_that_a_client_claims_do_not_pass(self):
        for kind in BOTH:
            path = f"/ws/claims-{kind.__name__}/echo"
            kind(self, "alice", path, headers=[(b"x-user", b"root"), (b"x-forwarded-user", b"root")] if kind is Socket1
                 else [("x-user", "root"), ("x-forwarded-user", "root")])
            fields = self.asked(path)[0]["headers"]
            self.assertEqual(fields["x-user"], "CN=alice")
            self.assertNotIn("x-forwarded-user", fields)

    def test_who_is_not_admitted_gets_none_and_the_upstream_hears_nothing(self):
        for kind in BOTH:
            with self.assertRaises(Refused) as refused:
                kind(self, None, "/ws/refused/echo")
            self.assertEqual(refused.exception.status, 401)
        self.assertEqual(self.asked("/ws/refused/echo"), [])

    def test_an_upstream_that_refuses_gives_an_ordinary_answer(self):
        client = self.client("alice")
        client.send(ask("/ws/one/refuse"))
        self.assertEqual(client.answer()[::2], (403, b"no"))
        with self.assertRaises(Refused) as refused:
            Socket2(self, "alice", "/ws/two/refuse")
        self.assertEqual((refused.exception.status, refused.exception.body), (403, b"no"))

    def test_without_websocket_on_the_route_it_is_a_request_like_any_other(self):
        client = self.client()
        client.send(ask("/plain/echo"))
        self.assertEqual(client.answer()[::2], (200, b"plain"))
        self.assertEqual(self.asked("/plain/echo")[0]["headers"][":method"], "GET")

    def test_a_service_that_does_not_say_that_it_takes_one_is_not_asked(self):
        with EventWatch(self.gatehouse, "--type", "DECISION") as watch:
            for kind in BOTH:
                path = f"/without/{kind.__name__}/echo"
                with self.assertRaises(Refused) as refused:
                    kind(self, None, path)
                self.assertEqual(refused.exception.status, 502)
                event = watch.wait(lambda e: e["request"]["path"] == path)
                self.assertEqual(event["reason"], "UPSTREAM_UNAVAILABLE")
                self.assertIn("SETTINGS_ENABLE_CONNECT_PROTOCOL", event["detail"])
        self.assertEqual(self.without.requests, [])
        self.assertEqual(self.status("/without/plain"), 200, "its connection serves others")

    def test_another_version_is_told_ours(self):
        client = self.client("alice")
        client.send(ask("/ws/version/echo", version="8"))
        status, fields, _ = client.answer()
        self.assertEqual(status, 426)
        fields = dict(fields)
        self.assertEqual((fields["sec-websocket-version"], fields["upgrade"].lower()), ("13", "websocket"))
        with self.assertRaises(Refused) as refused:
            Socket2(self, "alice", "/ws/version/echo", headers=[("sec-websocket-version", "8")])
        self.assertEqual(refused.exception.status, 400)
        self.assertEqual(self.asked("/ws/version/echo"), [])

    def test_each_side_may_end_before_the_other(self):
        client = Socket2(self, "alice", "/ws/half/end")
        self.assertTrue(client.cut(5))
        self.assertTrue(client.ended and client.reset is None)
        before = len(self.app.ended)
        client.end()
        wait_for("the service has our end", lambda: len(self.app.ended) > before)
        client = Socket1(self, "alice", "/ws/half/end")
        self.assertTrue(client.cut(5))

    def test_a_broken_upstream_is_told_as_a_broken_stream(self):
        client = Socket2(self, "alice", "/ws/broken/reset")
        client.send(ws.TextMessage("x"))
        self.assertTrue(client.cut(5))
        self.assertIsNotNone(client.reset)
        client = Socket1(self, "alice", "/ws/broken/reset")
        client.send(ws.TextMessage("x"))
        self.assertTrue(client.cut(5))

    def test_a_client_that_goes_is_told_to_the_service(self):
        for kind in BOTH:
            socket_ = kind(self, "alice", "/ws/gone/tick")
            socket_.assert_runs(2)
            before = len(self.app.resets)
            socket_.close()
            wait_for("the service's stream is reset", lambda: len(self.app.resets) > before)

    def test_an_idle_one_is_ended(self):
        for kind in BOTH:
            with self.subTest(kind.__name__):
                idle, busy = kind(self, "alice", "/ws/idle/echo"), kind(self, "alice", "/ws/busy/tick")
                start = time.monotonic()
                self.assertTrue(idle.cut(6))
                self.assertGreater(time.monotonic() - start, 1.5)
                busy.assert_runs()

    def test_zz_trust_that_goes_cuts_them_and_no_others(self):
        cut = [kind(self, "eve", "/ws/cut/tick") for kind in BOTH]
        runs = [kind(self, "alice", "/ws/kept/tick") for kind in BOTH]
        for socket_ in cut + runs:
            socket_.assert_runs(2)
        before = len(self.app.resets)
        with EventWatch(self.gatehouse, "--type", "TRUST") as watch:
            self.gatehouse.apply(f"{{kind: TrustStore, name: clients, anchors: [{{file: {self.pki.pem('ca')}}}]}}")
            for socket_ in cut:
                self.assertTrue(socket_.cut(4))
            self.assertEqual(cut[1].reset, 8)
            watch.wait(lambda e: (e["outcome"], e["reason"]) == ("CUT", "TRUST_WITHDRAWN"))
        wait_for("the service is told", lambda: len(self.app.resets) >= before + 2)
        for socket_ in runs:
            socket_.assert_runs()


if __name__ == "__main__":
    unittest.main(verbosity=2)
