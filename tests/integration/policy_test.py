#!/usr/bin/python3
"""Policies on the wire: every kind of clause, what a refused caller and an event are told, and what their end does to streams."""
import base64
import collections
import datetime
import json
import time
import unittest

import h2.connection
import h2.events

from harness import EDGE, EventWatch, GatehouseTest, wait_for

BASE = EDGE + """---
{{kind: TrustStore, name: partners, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
{{kind: UserStore, name: staff}}
---
{{kind: Scheme, name: Basic, basic: {{user_store: staff}}}}
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
"""


PASSWORD = "plum-orchard-7"


def moment(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def policy(name, condition, message=""):
    return f"\n---\n{{kind: Policy, name: {name}, condition: {condition}, public_message: \"{message}\"}}"


def route(name, *policies, schemes="any_of: [Basic, Certificate]", path=None, action="identity_response: {}"):
    return (f"\n---\n{{kind: Route, name: {name}, match: {{path: \"{path or '/' + name}\"}}, "
            f"require: {{{schemes}, policies: [{', '.join(policies)}]}}, {action}}}")


class PolicyTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca", "CN=Partners Root")
        cls.pki.leaf("alice", "ca", "CN=alice,OU=Billing,O=Partner A", "--san", "dns:alice.clients.example")
        cls.pki.leaf("bob", "ca", "CN=bob,OU=Sales,O=Partner A", "--key", "rsa2048")
        cls.pki.server()
        cls.base = BASE.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port)
        cls.gatehouse.apply(cls.base)
        for user, *claims in (("ann", "group=buyers", "group=staff"), ("ben", "group=suspended"), ("cyd",)):
            options = [o for c in claims for o in ("--claim", c)]
            cls.gatehouse.ctl("user", "add", "staff", user, "--password-stdin", *options, stdin=f"{PASSWORD}\n")

    def apply(self, *documents):
        self.gatehouse.apply(self.base + "".join(documents))

    @staticmethod
    def login(user):
        return f"Authorization: Basic {base64.b64encode(f'{user}:{PASSWORD}'.encode()).decode()}\r\n"

    def ask(self, path, user=None, cert=None):
        return self.status(path, cert, headers=self.login(user) if user else "")

    def test_every_kind_of_clause_decides(self):
        conditions = {
            "one-of": "{claim: {type: group, scheme: Basic, one_of: [BUYERS, x], ignore_case: true}}",
            "all-values": "{claim: {type: group, scheme: Basic, matches: [{prefix: b}, {suffix: ff}], values: ALL}}",
            "no-value": "{claim: {type: group, scheme: Basic, exact: suspended, values: NONE}}",
            "billing": "{certificate: {match: {subject: [{attribute: OU, value: {exact: Billing}}], san_dns: [.clients.example]}}}",
            "ec": "{certificate: {scheme: Certificate, key_types: [EC], valid_for: 24h, extended_key_usages: [clientAuth]}}",
            "here": "{address: {ranges: [127.0.0.0/8]}}",
            "elsewhere": "{address: {ranges: [10.0.0.0/8, \"::1\"]}}",
            "now": f"{{time: {{not_before: {moment(-60)}, not_after: {moment(3600)}}}}}",
            "past": f"{{time: {{not_after: {moment(-60)}, time_zone: Europe/Berlin}}}}",
            "nested": "{all_of: [{policy: here}, {none_of: [{policy: elsewhere}, {policy: billing}]}]}",
        }
        self.apply(*(policy(n, c) for n, c in conditions.items()), *(route(n, n) for n in conditions))
        expected = {  # ann (buyers, staff), ben (suspended), cyd (no group), alice (EC, Billing), bob (RSA, Sales)
            "one-of": (200, 403, 403, 403, 403), "all-values": (200, 403, 403, 403, 403), "no-value": (200, 403, 200, 200, 200),
            "billing": (403, 403, 403, 200, 403), "ec": (403, 403, 403, 200, 403), "here": (200,) * 5, "elsewhere": (403,) * 5,
            "now": (200,) * 5, "past": (403,) * 5, "nested": (200, 200, 200, 403, 200)}
        for name, statuses in expected.items():
            got = tuple([self.ask(f"/{name}", user=u) for u in ("ann", "ben", "cyd")] +
                        [self.ask(f"/{name}", cert=c) for c in ("alice", "bob")])
            self.assertEqual(got, statuses, name)
        self.assertEqual(self.ask("/past"), 401, "who is not authenticated learns nothing of policies")

    def test_a_certificate_that_no_scheme_was_asked_about_counts_for_nothing(self):
        self.apply(policy("billing", "{certificate: {match: {subject: [{attribute: OU, value: {exact: Billing}}]}}}"),
                   route("first-password", "billing"), route("first-certificate", "billing", schemes="any_of: [Certificate, Basic]"),
                   route("both", "billing", schemes="all_of: [Basic, Certificate]"))
        self.assertEqual(self.ask("/first-password", user="ann", cert="alice"), 403, "the password sufficed")
        self.assertEqual(self.ask("/first-certificate", user="ann", cert="alice"), 200)
        self.assertEqual(self.ask("/both", user="ann", cert="alice"), 200)
        self.assertEqual(self.ask("/both", user="ann", cert="bob"), 403)

    def test_the_event_names_the_clause_and_the_caller_is_not_told(self):
        self.apply(policy("inner", "{claim: {type: group, scheme: Basic, exact: secret-group}}", "inner words"),
                   policy("outer", "{all_of: [{address: {ranges: [127.0.0.1]}}, {policy: inner}]}", "Members only."), route("members", "outer"))
        with EventWatch(self.gatehouse, "--reason", "policy_not_met") as watch:
            status, headers, body = self.client().get("/members", headers=self.login("ann"))
            event = watch.wait(lambda e: e["type"] == "DECISION")
        self.assertEqual(status, 403)
        self.assertEqual(json.loads(body)["detail"], "Members only.")
        for secret in (b"inner", b"group", b"outer", b"claim"):
            self.assertNotIn(secret, body)
        self.assertEqual(event["detail"], "outer: condition.all_of[1].policy inner: condition.claim (claim group of scheme Basic is "
                                          "\"secret-group\") does not hold")
        self.assertEqual(event["principal"], "ann")
        self.assertNotIn("buyers", json.dumps(event), "the caller's own values are not in it")

    def stream(self, path, user):
        client = self.client()
        client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{self.login(user)}\r\n".encode())
        wait_for("the stream runs", lambda: b"tick" in client.buffer or client._fill())
        return client

    def still_runs(self, client):
        client.buffer = b""
        for _ in range(20):
            client._fill()

    def test_a_window_that_closes_cuts_the_streams_that_it_let_in(self):
        closes = time.monotonic() + 3
        self.apply(policy("brief", f"{{time: {{not_after: {moment(3)}}}}}"), policy("here", "{address: {ranges: [127.0.0.1]}}"),
                   route("brief", "brief", path="/brief/{rest...}", action="upstream: app"),
                   route("lasting", "here", path="/lasting/{rest...}", action="upstream: app"))
        brief, lasting = self.stream("/brief/stream", "ann"), self.stream("/lasting/stream", "ann")
        with EventWatch(self.gatehouse, "--type", "TRUST") as watch:
            self.assertTrue(brief.closed(10))
            cut = time.monotonic()
            event = watch.wait(lambda e: e["reason"] == "POLICY_NOT_MET")
        self.assertGreater(cut, closes - 0.1)
        self.assertLess(cut, closes + 2.5)
        self.assertEqual(event["streams"], 1)
        self.assertNotIn("connections", event)
        self.assertIn("brief: condition.time", event["detail"])
        self.still_runs(lasting)
        self.assertEqual(self.ask("/brief/x", user="ann"), 403)

    def test_on_http2_only_the_stream_whose_window_closed_is_reset(self):
        self.apply(policy("brief", f"{{time: {{not_after: {moment(3)}}}}}"), policy("here", "{address: {ranges: [127.0.0.1]}}"),
                   route("brief", "brief", path="/brief/{rest...}", action="upstream: app"),
                   route("lasting", "here", path="/lasting/{rest...}", action="upstream: app"))
        client = self.client(alpn=["h2"])
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        for stream, path in ((1, "/brief/stream"), (3, "/lasting/stream")):
            connection.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path),
                                             ("authorization", self.login("ann").split(": ")[1].strip())], end_stream=True)
        client.send(connection.data_to_send())
        ticks, reset, end = collections.Counter(), None, time.monotonic() + 10
        while time.monotonic() < end and (reset is None or ticks[3] < reset + 20):
            client.buffer = b""
            client._fill()
            for event in connection.receive_data(client.buffer):
                if isinstance(event, h2.events.DataReceived):
                    ticks[event.stream_id] += 1
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    self.assertEqual(event.stream_id, 1)
                    reset = ticks[3]
                self.assertNotIsInstance(event, h2.events.ConnectionTerminated)
            client.send(connection.data_to_send())
        self.assertIsNotNone(reset, "the window closed")
        self.assertGreater(ticks[1], 0, "it was open before")
        self.assertGreaterEqual(ticks[3], reset + 20, "the other stream goes on")

    def test_a_change_of_a_nested_policy_reaches_running_streams(self):
        def with_group(group):
            return (policy("group", f"{{claim: {{type: group, scheme: Basic, exact: {group}}}}}"), policy("outer", "{policy: group}"),
                    route("app", "outer", path="/app/{rest...}", action="upstream: app"))
        self.apply(*with_group("buyers"))
        cut = self.stream("/app/stream", "ann")
        self.apply(*with_group("staff"))
        self.still_runs(cut)
        with EventWatch(self.gatehouse, "--type", "TRUST") as watch:
            self.apply(*with_group("suspended"))
            began = time.monotonic()
            self.assertTrue(cut.closed(5))
            self.assertLess(time.monotonic() - began, 2)
            self.assertEqual(watch.wait(lambda e: e["reason"] == "TRUST_WITHDRAWN")["streams"], 1)
        self.assertEqual(self.ask("/app/x", user="ann"), 403)
        self.assertEqual(self.ask("/app/x", user="ben"), 200)

    def test_a_user_and_a_certificate_are_explained_as_a_request_is_decided(self):
        self.apply(policy("buyers", "{all_of: [{claim: {type: group, scheme: Basic, exact: buyers}}, {address: {ranges: [127.0.0.0/8]}}]}"),
                   policy("billing", "{certificate: {match: {subject: [{attribute: OU, value: {exact: Billing}}]}}}"),
                   route("buy", "buyers"), route("bill", "billing"))
        def explain(*args):
            done = self.gatehouse.ctl(*args, check=False)
            return done.returncode, done.stdout
        for user in ("ann", "ben", "cyd"):
            code, out = explain("user", "explain", f"staff/{user}", "--route", "buy", "--address", "127.0.0.1")
            self.assertEqual(code == 0, self.ask("/buy", user=user) == 200, out)
        code, out = explain("user", "explain", "staff/ann", "--route", "buy", "--address", "127.0.0.1")
        self.assertIn("LET IN, if the password is right", out)
        self.assertIn('claim group of scheme Basic is "buyers"', out)
        code, out = explain("user", "explain", "staff/ann", "--route", "buy", "--address", "192.0.2.1")
        self.assertEqual(code, 1)
        self.assertIn("REFUSED, 403 POLICY_NOT_MET: policy buyers is not met", out)
        code, out = explain("user", "explain", "staff/ann", "--route", "buy")
        self.assertIn("policy buyers cannot be told", out)
        code, out = explain("user", "explain", "staff/nobody", "--route", "buy")
        self.assertIn("UNKNOWN_USER", out)
        for name in ("alice", "bob"):
            code, out = explain("cert", "explain", "--chain", self.pki.pem(name), "--route", "bill")
            self.assertEqual(code == 0, self.ask("/bill", cert=name) == 200, out)
        self.assertIn("On route bill: REFUSED, 403 POLICY_NOT_MET: policy billing is not met.", out)
        self.assertEqual(explain("user", "explain", "staff/ann", "--route", "by")[0], 3)
        self.assertEqual(explain("user", "explain", "stuff/ann", "--route", "buy")[0], 3)

    def test_a_policy_is_tried_out_with_what_an_identity_response_said(self):
        self.apply(policy("buyers", "{claim: {type: group, scheme: Basic, exact: buyers}}"), route("open", "buyers"))
        _, _, body = self.client().get("/open", headers=self.login("ann"))
        claims = self.folder / "claims.json"
        claims.write_bytes(body)
        self.assertEqual(self.gatehouse.ctl("policy", "test", "buyers", "--claims", str(claims), check=False).returncode, 0)
        stricter = self.folder / "stricter.yaml"
        stricter.write_text(policy("buyers", "{claim: {type: group, scheme: Basic, exact: buyers, values: ALL}}").removeprefix("\n---\n"))
        done = self.gatehouse.ctl("policy", "test", "buyers", "-f", str(stricter), "--claims", str(claims), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("every claim group", done.stdout)
        self.assertEqual(self.ask("/open", user="ann"), 200, "nothing was stored")
        done = self.gatehouse.ctl("policy", "test", "-f", "-", "--certificate", self.pki.pem("alice"), check=False,
                                  stdin="kind: Policy\nname: p\ncondition: {certificate: {scheme: Certificate, valid_for: 24h}}\n")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.gatehouse.ctl("policy", "test", "byers", check=False).returncode, 3)
        self.assertEqual(self.gatehouse.ctl("policy", "test", "-f", "-", check=False, stdin="kind: Policy\nname: p\n").returncode, 2)

    def test_what_is_wrong_is_refused_all_at_once_with_paths(self):
        done = self.gatehouse.apply(self.base + policy("a", "{policy: b}") + policy("b", "{any_of: [{policy: a}]}") +
                                    policy("c", "{all_of: [{policy: nobody}, {time: {days: [MONDAY], time_zone: Mars/Olympus}}]}"), check=False)
        self.assertEqual(done.returncode, 1)
        for line in ('policies["b"].condition.any_of[0].policy', "refers to itself: a -> b -> a",
                     'policies["c"].condition.all_of[0].policy', 'no policy named "nobody"',
                     'policies["c"].condition.all_of[1].time.time_zone', '"Mars/Olympus" is no time zone'):
            self.assertIn(line, done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
