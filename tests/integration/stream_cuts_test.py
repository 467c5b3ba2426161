#!/usr/bin/python3
"""Streams that run when what admitted them goes: each thing that can go, one at a time. Who is still admitted is left alone."""
import time
import unittest

import h2.connection
import h2.events

from harness import EDGE, EventWatch, GatehouseTest, wait_for
from short_lived import ShortLived

HEAD = EDGE + """---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
{{kind: Route, name: open, match: {{path: "/open/{{rest...}}"}}, anonymous: true, upstream: app}}
"""


class Stream:
    """A response that does not end, over HTTP/1.1."""

    def __init__(self, test, cert, path):
        self.client = test.client(cert)
        self.client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_for(f"the stream of {cert} runs", lambda: b"tick" in self.client.buffer or self.client._fill())

    def assert_runs(self, ticks=10):
        for _ in range(ticks):
            self.client.buffer = b""
            self.client._fill()

    def cut(self, seconds):
        return self.client.closed(seconds)


class Http2Streams:
    """Several responses that do not end, on one connection."""

    def __init__(self, test, cert, *paths):
        self.client = test.client(cert, alpn=["h2"])
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()
        self.ticks, self.resets, self.gone = {}, {}, False
        for path in paths:
            stream = self.h2.get_next_available_stream_id()
            self.h2.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)],
                                 end_stream=True)
            self.ticks[stream] = 0
        self.client.send(self.h2.data_to_send())
        wait_for("every stream runs", lambda: self.read() and all(self.ticks.values()))

    def read(self):
        data = self.client.sock.recv(65536)
        self.gone = self.gone or not data
        for event in self.h2.receive_data(data) if data else []:
            if isinstance(event, h2.events.DataReceived):
                self.ticks[event.stream_id] += 1
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.resets[event.stream_id] = event.error_code
        if not self.gone:
            self.client.send(self.h2.data_to_send())
        return not self.gone


class StreamCutsTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.server()
        cls.short = ShortLived(cls.pki)
        for name in ("alice", "bob"):
            cls.pki.leaf(name, "ca")
        for name in ("pinned", "unpinned"):
            cls.pki.self_signed(name)
        cls.gatehouse.apply(HEAD.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port))

    def scheme(self, name, options="", pins=(), crls=()):
        """A scheme with a trust store of its own, and routes that ask it."""
        pins = ", ".join(f"{{file: {self.pki.pem(pin)}}}" for pin in pins)
        crls = ", ".join(f"{{file: {crl}}}" for crl in crls)
        self.gatehouse.apply(f"""
{{kind: TrustStore, name: {name}, anchors: [{{file: {self.pki.pem("ca")}}}], pins: [{pins}], crls: [{crls}]}}
---
{{kind: Scheme, name: {name}, client_certificate: {{trust_store: {name}{options}}}}}
---
{{kind: Route, name: {name}, match: {{path: "/{name}/{{rest...}}"}}, require: {{any_of: [{name}]}}, upstream: app}}
""")

    def check(self, name, gone, kept, change, seconds=2):
        """`change` cuts the stream of `gone` within the time, and touches nothing of `kept`."""
        path = f"/{name}/stream"
        cut, runs = Stream(self, gone, path), Stream(self, kept, path)
        with EventWatch(self.gatehouse, "--type", "TRUST") as watch:
            change()
            self.assertTrue(cut.cut(seconds))
            event = watch.wait(lambda e: e.get("streams", 0) >= 1)
            self.assertEqual((event["outcome"], event["reason"]), ("CUT", "TRUST_WITHDRAWN"))
            self.assertEqual(event["streams"], 1)
        runs.assert_runs()
        return path

    def test_a_pin_that_is_removed(self):
        self.scheme("pins", pins=["pinned", "unpinned"])
        self.check("pins", "unpinned", "pinned", lambda: self.scheme("pins", pins=["pinned"]))
        self.assertEqual(self.status("/pins/x", "unpinned"), 401)

    def test_a_type_that_is_not_allowed_any_more(self):
        self.scheme("types", pins=["pinned"])
        self.check("types", "pinned", "alice",
                   lambda: self.scheme("types", ", allowed_certificate_types: CHAINED", pins=["pinned"]))
        self.assertEqual(self.status("/types/x", "pinned"), 401)

    def test_an_option_of_the_scheme(self):
        self.scheme("options")
        self.check("options", "bob", "alice",
                   lambda: self.scheme("options", ", require: {subject: [{attribute: CN, value: {exact: alice}}]}"))
        self.assertEqual(self.status("/options/x", "bob"), 401)

    def test_the_life_of_the_certificate(self):
        self.scheme("life")
        self.short.leaf("short", 5)
        self.check("life", "short", "alice", lambda: None, seconds=9)
        with EventWatch(self.gatehouse, "--type", "DECISION") as watch:
            self.assertEqual(self.status("/life/x", "short"), 401)
            watch.wait(lambda e: e.get("reason") == "EXPIRED")

    def test_the_time_of_a_list(self):
        offline = ", allowed_certificate_types: CHAINED, revocation: {mode: OFFLINE, skew: 0s"
        self.scheme("hard", offline + "}", crls=[self.short.crl(1, 5)])
        # The same list where `on_unknown` lets in: there the stream runs on.
        self.scheme("soft", offline + ", on_unknown: ALLOW}", crls=[self.pki.folder / "1.crl"])
        hard, soft = Stream(self, "alice", "/hard/stream"), Stream(self, "alice", "/soft/stream")
        with EventWatch(self.gatehouse, "--type", "TRUST") as watch:
            self.assertTrue(hard.cut(9))
            event = watch.wait(lambda e: e.get("streams", 0) >= 1)
            self.assertEqual((event["outcome"], event["reason"]), ("CUT", "TRUST_WITHDRAWN"))
        soft.assert_runs(60)
        with EventWatch(self.gatehouse, "--type", "DECISION") as watch:
            self.assertEqual(self.status("/hard/x", "alice"), 401)
            watch.wait(lambda e: e.get("reason") == "REVOCATION_UNKNOWN")
        self.scheme("hard", offline + "}", crls=[self.short.crl(2, 3600)])
        self.assertEqual(self.status("/hard/x", "alice"), 200)

    def test_of_several_streams_on_a_connection_the_one_that_was_admitted_by_it(self):
        self.scheme("first", pins=["unpinned"])
        self.scheme("second", pins=["unpinned"])
        streams = Http2Streams(self, "unpinned", "/first/stream", "/second/stream", "/open/stream")
        first, second, third = streams.ticks
        self.scheme("first", pins=["pinned"])
        wait_for("the first is reset", lambda: streams.read() and first in streams.resets, 3)
        self.assertEqual(streams.resets[first], 8, "CANCEL")
        before = dict(streams.ticks)
        wait_for("the others run on", lambda: streams.read() and
                 all(streams.ticks[s] > before[s] + 20 for s in (second, third)))
        self.assertEqual(set(streams.resets), {first})

    def test_a_change_that_concerns_nobody_here(self):
        self.scheme("calm", pins=["pinned"])
        streams = [Stream(self, "alice", "/calm/stream"), Stream(self, "pinned", "/calm/stream")]
        self.scheme("calm", pins=["pinned", "unpinned"])
        self.scheme("calm", ", validate_certificate_use: false", pins=["pinned"])
        end = time.monotonic() + 2.5  # two of the sweeps that look at running streams
        while time.monotonic() < end:
            for stream in streams:
                stream.assert_runs(5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
