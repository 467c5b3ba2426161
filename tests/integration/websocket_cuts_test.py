#!/usr/bin/python3
"""WebSockets that run when what admitted them goes, over HTTP/1.1 and HTTP/2: each thing that can go, one at a time. Who is
still admitted is left alone."""
import base64
import datetime
import time
import unittest

from fault_server import Authority, FaultServer
from harness import EDGE, EventWatch, GatehouseTest
from short_lived import ShortLived
from sockets import Socket1, Socket2, SocketUpstream

PASSWORD = "correct-horse-battery"

HEAD = EDGE + """---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
{{kind: UserStore, name: staff, hashing: {{argon2_memory_mib: 8, argon2_passes: 1}}}}
---
{{kind: Scheme, name: Basic, basic: {{user_store: staff}}}}
"""


def route(name, require, more=", websocket: true"):
    return f"""
---
{{kind: Route, name: {name}, match: {{path: "/{name}/{{rest...}}"}}, require: {require}, upstream: app{more}}}
"""


class WebSocketCutsTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream.close()
        cls.upstream = SocketUpstream()
        for name in ("ca", "second"):
            cls.pki.ca(name)
        cls.pki.server()
        cls.short = ShortLived(cls.pki)
        for name in ("alice", "bob"):
            cls.pki.leaf(name, "ca")
        cls.pki.leaf("eve", "second")
        for name in ("pinned", "unpinned"):
            cls.pki.self_signed(name)
        cls.gatehouse.apply(HEAD.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port))

    def scheme(self, name, options="", anchors=("ca",), pins=(), crls=()):
        """A scheme with a trust store of its own, and a route that asks it."""
        files = lambda paths: ", ".join(f"{{file: {path}}}" for path in paths)
        self.gatehouse.apply(f"""
{{kind: TrustStore, name: {name}, anchors: [{files(map(self.pki.pem, anchors))}], pins: [{files(map(self.pki.pem, pins))}],
  crls: [{files(crls)}]}}
---
{{kind: Scheme, name: {name}, client_certificate: {{trust_store: {name}{options}}}}}
""" + route(name, f"{{any_of: [{name}]}}"))

    def user(self, name):
        self.gatehouse.ctl("user", "add", "staff", name, "--password-stdin", stdin=PASSWORD)

    def open(self, kind, who, path):
        """A WebSocket of `who`: a certificate's name, or `user:NAME`."""
        if not who.startswith("user:"):
            socket_ = kind(self, who, path)
        else:
            login = "Basic " + base64.b64encode(f"{who[5:]}:{PASSWORD}".encode()).decode()
            field = ("authorization", login) if kind is Socket2 else (b"authorization", login.encode())
            socket_ = kind(self, None, path, headers=[field])
        socket_.assert_runs(2)
        return socket_

    def check(self, gone, kept, change, seconds=4, reason="TRUST_WITHDRAWN", gone_path=None, kept_path=None):
        """`change` cuts both WebSockets of `gone` within the time, and touches nothing of `kept`."""
        name = self._testMethodName.rsplit("_", 1)[-1]
        gone_path, kept_path = gone_path or f"/{name}/tick", kept_path or gone_path or f"/{name}/tick"
        cut = [self.open(kind, gone, gone_path) for kind in (Socket1, Socket2)]
        runs = [self.open(kind, kept, kept_path) for kind in (Socket1, Socket2)]
        with EventWatch(self.gatehouse, "--type", "TRUST") as watch:
            change()
            for socket_ in cut:
                self.assertTrue(socket_.cut(seconds), f"{type(socket_).__name__} runs on")
            self.assertEqual(cut[1].reset, 8, "CANCEL, and not an end that looks whole")
            streams = lambda: sum(e.get("streams", 0) for e in watch.all() if (e["outcome"], e["reason"]) == ("CUT", reason))
            watch.wait(lambda e: streams() >= 2)
            self.assertEqual(streams(), 2, "and no other")
        end = time.monotonic() + 1.2  # one of the sweeps that look at running streams
        while time.monotonic() < end:
            for socket_ in runs:
                socket_.assert_runs(5)

    def test_an_anchor(self):
        self.scheme("anchor", anchors=("ca", "second"))
        self.check("eve", "alice", lambda: self.scheme("anchor"))

    def test_a_pin(self):
        self.scheme("pin", pins=("pinned", "unpinned"))
        self.check("unpinned", "pinned", lambda: self.scheme("pin", pins=("pinned",)))

    def test_a_list_that_names_it_crl(self):
        offline = ", allowed_certificate_types: CHAINED, revocation: {mode: OFFLINE}"
        self.scheme("crl", offline, crls=[self.short.crl(1)])
        self.check("bob", "alice", lambda: self.scheme("crl", offline, crls=[self.short.crl(2, revoked=["bob"])]))

    def test_the_freshness_of_a_list_freshness(self):
        offline = ", allowed_certificate_types: CHAINED, revocation: {mode: OFFLINE, skew: 0s"
        self.scheme("freshness", offline + "}", crls=[self.short.crl(3, 8)])
        self.scheme("soft", offline + ", on_unknown: ALLOW}", crls=[self.pki.folder / "3.crl"])
        self.check("alice", "alice", lambda: None, seconds=12, gone_path="/freshness/tick", kept_path="/soft/tick")

    def test_an_answer_of_a_responder_ocsp(self):
        self.pki.ca("asked")
        self.pki.ca("rogue")
        authority = Authority(self.pki, "asked")
        faults = FaultServer(authority, Authority(self.pki, "rogue"), "other")
        self.addCleanup(faults.close)
        for name in ("other", "turning", "staying"):
            authority.leaf(name, [f"authorityInfoAccess=OCSP;URI:{faults.url('ocsp', 'good')}"])
        faults.leaves = ["other", "turning", "staying"]
        self.scheme("ocsp", ', allowed_certificate_types: CHAINED, revocation: {mode: ONLINE, max_age: 2s, '
                    'fetch: {allowed_ranges: ["127.0.0.1"]}}', anchors=("asked",))
        self.check("turning", "staying", lambda: authority.revoke("turning"), seconds=8)

    def test_a_type(self):
        self.scheme("type", pins=("pinned",))
        self.check("pinned", "alice", lambda: self.scheme("type", ", allowed_certificate_types: CHAINED", pins=("pinned",)))

    def test_an_option(self):
        self.scheme("option")
        self.check("bob", "alice", lambda: self.scheme("option", ", require: {subject: [{attribute: CN, value: {exact: alice}}]}"))

    def test_the_life_of_a_certificate_life(self):
        self.scheme("life")
        self.short.leaf("short", 8)
        self.check("short", "alice", lambda: None, seconds=12)

    def test_a_user_who_is_disabled(self):
        for name in ("ann", "ben"):
            self.user(name)
        self.gatehouse.apply(route("disabled", "{any_of: [Basic]}"))
        self.check("user:ann", "user:ben", lambda: self.gatehouse.ctl("user", "disable", "staff", "ann"))

    def test_a_password_that_is_changed(self):
        for name in ("cyd", "dan"):
            self.user(name)
        self.gatehouse.apply(route("changed", "{any_of: [Basic]}"))
        self.check("user:cyd", "user:dan", lambda: self.gatehouse.ctl("user", "set-password", "staff", "cyd", "--password-stdin",
                                                                     stdin="another one entirely"))

    def test_a_policy(self):
        subject = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
        policy = ("{{kind: Policy, name: who, condition: {{claim: {{type: \"" + subject + "\", one_of: [{}]}}}}}}").format
        self.scheme("holders")
        self.gatehouse.apply(policy('"CN=alice", "CN=bob"') +
                             route("policy", "{any_of: [holders], policies: [who]}"))
        self.check("bob", "alice", lambda: self.gatehouse.apply(policy('"CN=alice"')))

    def test_a_window(self):
        self.scheme("guests")
        moment = (datetime.datetime.utcnow() + datetime.timedelta(seconds=6)).strftime('"%Y-%m-%dT%H:%M:%SZ"')
        self.gatehouse.apply(f"{{kind: Policy, name: brief, condition: {{time: {{not_after: {moment}}}}}}}" +
                             route("window", "{any_of: [guests], policies: [brief]}") + route("lasting", "{any_of: [guests]}"))
        self.check("alice", "alice", lambda: None, seconds=10, reason="POLICY_NOT_MET", kept_path="/lasting/tick")

    def test_a_route_that_is_removed(self):
        self.scheme("guests")
        self.gatehouse.apply(route("removed", "{any_of: [guests]}") + route("remains", "{any_of: [guests]}"))
        self.check("alice", "alice", lambda: self.gatehouse.ctl("delete", "route", "removed"), kept_path="/remains/tick")

    def test_websocket_that_is_switched_off(self):
        self.scheme("guests")
        self.gatehouse.apply(route("off", "{any_of: [guests]}") + route("on", "{any_of: [guests]}"))
        self.check("alice", "alice", lambda: self.gatehouse.apply(route("off", "{any_of: [guests]}", more="")), kept_path="/on/tick")

    def test_a_scheme_that_the_route_asks_no_more_asked(self):
        self.scheme("one", anchors=("ca", "second"))
        self.scheme("two")
        self.gatehouse.apply(route("asked", "{any_of: [one, two]}"))
        self.check("eve", "alice", lambda: self.gatehouse.apply(route("asked", "{any_of: [two]}")))

    def test_a_change_that_concerns_nobody(self):
        self.scheme("nobody", pins=("pinned",))
        sockets = [self.open(kind, who, "/nobody/tick") for kind in (Socket1, Socket2) for who in ("alice", "pinned")]
        self.scheme("nobody", pins=("pinned", "unpinned"))
        self.scheme("nobody", ", validate_certificate_use: false", pins=("pinned",))
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            for socket_ in sockets:
                socket_.assert_runs(5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
