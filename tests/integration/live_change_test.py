#!/usr/bin/python3
"""Trust changes while requests flow, counted on the client's side."""
import ssl
import threading
import time
import unittest

from harness import EventWatch, GatehouseTest, RawClient, client_context, wait_for

CONFIG = """
kind: TrustStore
name: partners
anchors: [{{file: {pki}/kept.pem}}, {{file: {pki}/withdrawn.pem}}]
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
{{kind: UserStore, name: staff}}
---
{{kind: Scheme, name: Basic, basic: {{user_store: staff}}}}
---
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server]}}
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
{{kind: Route, name: direct, match: {{path: /direct}}, require: {{any_of: [Certificate]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: app, match: {{path: "/app/{{rest...}}"}}, require: {{any_of: [Certificate]}}, upstream: app}}
---
{{kind: Route, name: staff, match: {{path: /stream-staff}}, require: {{any_of: [Basic]}}, upstream: app}}
"""


class Caller(threading.Thread):
    """Asks without pause on one kept connection, reconnecting when it ends; counts what it sees with the time."""

    def __init__(self, test, cert, path):
        super().__init__(daemon=True)
        self.test, self.cert, self.path = test, cert, path
        self.context = client_context(test.pki, cert)
        self.stop = threading.Event()
        self.results = []  # (sent at, status or None when the connection ended instead)

    def run(self):
        client = None
        while not self.stop.is_set():
            sent = time.monotonic()
            try:
                if client is None:
                    client = RawClient(self.test.port, self.context)
                    sent = time.monotonic()
                self.results.append((sent, client.get(self.path)[0]))
            except (OSError, ssl.SSLError):
                self.results.append((sent, None))
                if client:
                    client.close()
                client = None
        if client:
            client.close()


class LiveChangeTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for ca in ("kept", "withdrawn"):
            cls.pki.ca(ca)
            cls.pki.leaf(f"of-{ca}", ca)
        cls.pki.server()
        cls.config = CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port)
        cls.gatehouse.apply(cls.config)

    def setUp(self):
        self.gatehouse.apply(self.config)

    def withdraw(self):
        self.gatehouse.ctl("trust-store", "remove-cert", "partners", self.pki.pem("withdrawn"))

    def test_under_load_nobody_trusted_loses_a_request_and_nobody_distrusted_gets_one(self):
        callers = [Caller(self, f"of-{ca}", path) for ca in ("kept", "withdrawn") for path in ("/direct", "/app/x") for _ in range(3)]
        for caller in callers:
            caller.start()
        time.sleep(1)
        for _ in range(3):
            self.withdraw()
            in_force = time.monotonic()
            time.sleep(0.5)
            back = time.monotonic()
            self.gatehouse.apply(self.config)
            returned = time.monotonic()
            time.sleep(0.3)
            for caller in callers:
                for sent, status in list(caller.results):
                    if caller.cert == "of-kept":
                        self.assertEqual(status, 200)
                    elif in_force < sent < back:
                        self.assertIn(status, (401, None), f"sent {sent - in_force:.4f} s after the change was in force")
            self.assertTrue(any(sent > returned and status == 200 for c in callers if c.cert == "of-withdrawn"
                                for sent, status in c.results))
        for caller in callers:
            caller.stop.set()
        for caller in callers:
            caller.join(10)
        kept = sum(len(c.results) for c in callers if c.cert == "of-kept")
        refused = sum(s in (401, None) for c in callers if c.cert == "of-withdrawn" for _, s in c.results)
        print(f"kept clients: {kept} requests, all answered 200; withdrawn clients: {refused} refused or cut")
        self.assertGreater(kept, 100)
        self.assertGreater(refused, 0)

    def test_a_running_stream_of_the_distrusted_is_cut_within_a_second_and_others_run_on(self):
        streams = {}
        for ca in ("kept", "withdrawn"):
            client = self.client(f"of-{ca}")
            client.send(b"GET /app/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_for("the stream runs", lambda: b"tick" in client.buffer or client._fill())
            streams[ca] = client
        with EventWatch(self.gatehouse, "--type", "TRUST") as watch:
            self.withdraw()
            began = time.monotonic()
            self.assertTrue(streams["withdrawn"].closed(5))
            self.assertLess(time.monotonic() - began, 1)
            event = watch.wait(lambda e: e.get("reason") == "TRUST_WITHDRAWN")
            self.assertEqual(event["outcome"], "CUT")
        streams["kept"].buffer = b""
        for _ in range(20):
            streams["kept"]._fill()

    def test_a_session_from_before_does_not_bring_the_distrusted_in(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.gatehouse.apply(self.config)
            context = client_context(self.pki, "of-withdrawn", version=version)
            first = RawClient(self.port, context)
            self.assertEqual(first.get("/direct")[0], 200)
            session = first.sock.session
            again = RawClient(self.port, context, session=session)
            self.assertEqual(again.get("/direct")[0], 200)
            self.assertTrue(again.sock.session_reused, version)
            session = again.sock.session
            self.withdraw()
            after = RawClient(self.port, context, session=session)
            self.assertEqual(after.get("/direct")[0], 401)
            self.assertFalse(after.sock.session_reused)
            for client in (first, again, after):
                client.close()

    def test_a_session_without_a_certificate_is_not_stored_where_one_could_be_sent(self):
        context = client_context(self.pki)
        first = RawClient(self.port, context)
        self.assertEqual(first.get("/direct")[0], 401)
        session = first.sock.session
        second = RawClient(self.port, context, session=session)
        self.assertEqual(second.get("/direct")[0], 401)
        self.assertFalse(second.sock.session_reused)

    def test_a_disabled_user_and_a_changed_password_cut_the_users_streams(self):
        import base64
        for change in (["user", "set-password", "staff", "carol", "--password-stdin"], ["user", "remove", "staff", "carol"]):
            self.gatehouse.ctl("user", "add", "staff", "carol", "--password-stdin", stdin="pass word one", check=False)
            self.gatehouse.ctl("user", "set-password", "staff", "carol", "--password-stdin", stdin="pass word one")
            client = self.client()
            credentials = base64.b64encode(b"carol:pass word one").decode()
            client.send(f"GET /stream-staff HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\r\n".encode())
            wait_for("the stream runs", lambda: b"tick" in client.buffer or client._fill())
            self.gatehouse.ctl(*change, stdin="pass word two")
            self.assertTrue(client.closed(3), change)
            client.close()

    def test_a_server_certificate_is_replaced_live(self):
        before = ssl.get_server_certificate(("127.0.0.1", self.port))
        held = self.client("of-kept")
        self.assertEqual(held.get("/direct")[0], 200)
        self.pki.server("server2")
        self.gatehouse.apply(f"kind: ServerCertificate\nname: server\ncertificate_chain_file: {self.pki.pem('server2')}\n"
                             f"private_key_file: {self.pki.key('server2')}\n")
        self.assertNotEqual(ssl.get_server_certificate(("127.0.0.1", self.port)), before)
        self.assertEqual(held.get("/direct")[0], 200)


if __name__ == "__main__":
    unittest.main()
