#!/usr/bin/python3
"""Everything at once, for long: full load over both protocols, direct and proxied in every way, handshakes, passwords, WebSockets, bodies,
refused clients, watchers, and a configuration that changes all the while. Memory comes to rest, no descriptor is left, and what the clients
counted is what the gateway counted.

GATEHOUSE_SOAK_SECONDS says how long, 20 unless set. From six minutes on, memory must grow by less than 1 MiB a minute after the third;
for that the cache of TLS sessions, which is the largest of what is bounded and the slowest to fill, is filled before.
"""
import json
import os
import pathlib
import re
import subprocess
import threading
import time
import unittest
import urllib.request

import wsproto.events as ws

from harness import BIN, EDGE, Gatehouse, GatehouseTest, free_port, wait_for
from metrics_test import parse
from sockets import Socket1, Socket2, SocketUpstream

SECONDS = float(os.environ.get("GATEHOUSE_SOAK_SECONDS", "20"))
LONG = 360         # seconds from which on the slope is what is judged
SETTLED = 180      # seconds after which it is measured then
SLOPE = 1 << 20    # octets a minute that memory may grow by then
MOST = 192 << 20   # octets at any time of a shorter run, while what is bounded still fills
SESSIONS = 100_000  # that a gateway remembers
CHANGE_EVERY = 2 if SECONDS < LONG else 5
USER = "u:secret123"
BCRYPT = "$2y$10$gkDJkcG1mf74N6qzelMgduF8ip3Y3i9a/4.lbjEY2gIUpZcCDCApG"

CONFIG = EDGE + """---
{{kind: TrustStore, name: clients, anchors: [{{file: {clients}/root.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: clients}}}}
---
{{kind: TrustStore, name: guests, anchors: [{{file: {guests}}}]}}
---
{{kind: Scheme, name: Guests, client_certificate: {{trust_store: guests}}}}
---
{{kind: UserStore, name: users, users: [{{name: u, password_hashes: ["{bcrypt}"]}}]}}
---
{{kind: Scheme, name: Basic, basic: {{user_store: users, realm: soak}}}}
---
{{kind: Upstream, name: plain, endpoints: ["127.0.0.1:{plain}"], response_timeout: {timeout}}}
---
{{kind: TrustStore, name: inside, anchors: [{{file: {pki}/inside.pem}}]}}
---
{{kind: Upstream, name: tls1, endpoints: ["127.0.0.1:{backend}"], tls: {{trust_store: inside, server_name: backend.test}}}}
---
{{kind: Upstream, name: tls2, protocol: HTTP_2, endpoints: ["127.0.0.1:{backend}"], tls: {{trust_store: inside, server_name: backend.test}}}}
---
{{kind: Upstream, name: sockets, endpoints: ["127.0.0.1:{sockets}"]}}
---
{{kind: Route, name: h1, match: {{path: /h1}}, require: {{any_of: [Certificate]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: h2, match: {{path: /h2}}, require: {{any_of: [Certificate]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: full, match: {{path: /full}}, require: {{any_of: [Certificate]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: filled, match: {{path: /filled}}, require: {{any_of: [Certificate]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: resumed, match: {{path: /resumed}}, require: {{any_of: [Certificate]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: basic, match: {{path: /basic}}, require: {{any_of: [Basic]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: refused, match: {{path: /refused}}, require: {{any_of: [Certificate]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: guests, match: {{path: /guests}}, require: {{any_of: [Guests]}}, fixed_response: {{body: ok}}}}
---
{{kind: Route, name: proxied, match: {{path: /proxied}}, require: {{any_of: [Certificate]}}, upstream: plain, identity_headers: {{xfcc: true}}}}
---
{{kind: Route, name: large, match: {{path: /large}}, require: {{any_of: [Certificate]}}, upstream: plain}}
---
{{kind: Route, name: upload, match: {{path: /upload}}, require: {{any_of: [Certificate]}}, upstream: plain}}
---
{{kind: Route, name: tls1, match: {{path: /tls1}}, require: {{any_of: [Certificate]}}, upstream: tls1}}
---
{{kind: Route, name: tls2, match: {{path: /tls2}}, require: {{any_of: [Certificate]}}, upstream: tls2}}
---
{{kind: Route, name: sockets, match: {{path: "/ws/{{rest...}}"}}, require: {{any_of: [Guests, Insiders]}}, upstream: sockets, websocket: true}}
---
{{kind: TrustStore, name: insiders, anchors: [{{file: {pki}/inside.pem}}]}}
---
{{kind: Scheme, name: Insiders, client_certificate: {{trust_store: insiders}}}}
"""

BACKEND = """
kind: ServerCertificate
name: backend
certificate_chain_file: {pki}/backend.pem
private_key_file: {pki}/backend.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [backend]}}
---
{{kind: Route, name: all, match: {{path: "/{{rest...}}"}}, anonymous: true, fixed_response: {{body: behind}}}}
"""

KEEP = ("--mode", "keep-alive", "--connections")
H2 = ("--http2", "--streams", 10)
# What asks for each route, with whose certificates.
LOADS = {
    "h1": ("clients", *KEEP, 20),
    "h2": ("clients", *KEEP, 10, *H2),
    "full": ("clients", "--mode", "handshake", "--connections", 8),
    "resumed": ("clients", "--mode", "handshake", "--resume", "--connections", 8),
    "basic": (None, *KEEP, 10, *H2, "--basic", USER),
    "refused": (None, *KEEP, 4),
    "guests": ("guests", *KEEP, 10),
    "proxied": ("clients", *KEEP, 10, *H2),
    "large": ("clients", *KEEP, 2, "--http2", "--streams", 2),
    "upload": ("clients", *KEEP, 2, "--body", 1 << 20),
    "tls1": ("clients", *KEEP, 10),
    "tls2": ("clients", *KEEP, 10, *H2),
}


def slope(samples):
    """Octets a minute, by least squares over (seconds, octets)."""
    n = len(samples)
    middle, level = sum(t for t, _ in samples) / n, sum(b for _, b in samples) / n
    spread = sum((t - middle) ** 2 for t, _ in samples)
    return 60 * sum((t - middle) * (b - level) for t, b in samples) / spread


class SoakTest(GatehouseTest):
    options = ("--metrics-address", "127.0.0.1:0", "--event-archive-size", "64MiB")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sockets = SocketUpstream()
        cls.pki.ca("inside")
        cls.pki.server()
        cls.pki.leaf("alice", "inside")
        cls.pki.make("leaf", "backend", "CN=backend", "--ca", cls.pki.pem("inside"), "--ca-key", cls.pki.key("inside"), "--eku", "server",
                     "--san", "dns:backend.test")
        for kind, leaves in (("clients", 200), ("guests", 20)):
            (cls.folder / kind).mkdir()
            subprocess.run([BIN / "bench_pki", cls.folder / kind, str(leaves)], check=True)
        plain = free_port()
        cls.plain = subprocess.Popen([BIN / "bench_upstream", str(plain)], stdout=subprocess.PIPE, text=True)
        assert cls.plain.stdout.readline() == "ready\n"
        backend = free_port()
        (cls.folder / "behind").mkdir()
        cls.backend = Gatehouse(cls.folder / "behind", "--metrics-address", "127.0.0.1:0", "--event-archive-size", "0")
        cls.backend.apply(BACKEND.format(pki=cls.pki.folder, port=backend))
        cls.values = {"pki": cls.pki.folder, "port": cls.port, "clients": cls.folder / "clients", "bcrypt": BCRYPT, "plain": plain,
                      "backend": backend, "sockets": cls.sockets.port}

    @classmethod
    def tearDownClass(cls):
        cls.plain.kill()
        cls.plain.wait()
        cls.plain.stdout.close()
        cls.sockets.close()
        code = cls.backend.stop()
        super().tearDownClass()
        assert code == 0, f"the gatehouse behind exited with {code}"

    def configure(self, turn):
        """With another trust in guests each time, and another upstream."""
        anchors = self.folder / "guests" / "root.pem" if turn % 2 == 0 else self.pki.pem("inside")
        self.gatehouse.apply(CONFIG.format(guests=anchors, timeout=f"{30 + turn % 3}s", **self.values), "--wait-timeout", "60")

    @staticmethod
    def metrics(gatehouse):
        url = re.search(r"gatehouse: metrics (http://\S+)/metrics", (gatehouse.folder / "gatehouse.out").read_text())[1]
        with urllib.request.urlopen(url + "/metrics", timeout=30) as answer:
            return parse(answer.read().decode())

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.gatehouse.process.pid}/fd").iterdir()))

    def resident(self):
        status = pathlib.Path(f"/proc/{self.gatehouse.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024

    def load(self, route, who, *options, seconds=SECONDS):
        command = [BIN / "bench_load", "--port", self.port, "--path", f"/{route}", "--warm", 0, "--time", seconds, *options]
        if who:
            command += ["--leaves", self.folder / who / "leaves.pem", "--chain", self.folder / who / "intermediate.pem"]
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def fill(self):
        """As many sessions as are remembered; returns how many clients made one."""
        made, end = 0, time.monotonic() + 1200
        while made < SESSIONS:
            self.assertLess(time.monotonic(), end, f"{made} handshakes")
            out, _ = self.load("filled", *LOADS["full"], seconds=5).communicate(timeout=60)
            made += json.loads(out)["answers"]["200"]
        return made

    def talk(self, kind, end, talked):
        """WebSockets one after the other that say something and hear it back."""
        while time.monotonic() < end:
            socket = kind(self, "alice", "/ws/echo")
            try:
                socket.client.sock.settimeout(60)
                for size in (5, 3000, 70_000):
                    socket.send(ws.BytesMessage(b"x" * size))
                    if socket.message() != b"x" * size:
                        raise AssertionError("another echo")
            finally:
                socket.close()
            talked.append(kind.__name__)
            time.sleep(0.05)

    def guarded(self, f, *args):
        def run():
            try:
                f(*args)
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(f"{f.__name__}: {error!r}")
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def change(self, end):
        while time.monotonic() < end:
            self.changes += 1
            self.configure(self.changes)
            time.sleep(CHANGE_EVERY)

    def measure(self, end):
        began = time.monotonic()
        while (now := time.monotonic()) < end:
            self.samples.append((now - began, self.resident()))
            time.sleep(min(5, SECONDS / 40))

    def test_everything_at_once_for_long(self):
        self.failures, self.samples, self.changes, talked = [], [], 0, []
        self.gatehouse.apply(EDGE.format(**self.values))
        descriptors = self.descriptors()
        self.configure(0)
        filled = self.fill() if SECONDS >= LONG else 0
        slow = subprocess.Popen([BIN / "gatehousectl", "--server", self.gatehouse.control, "events", "watch", "-o", "json"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # nobody reads what it says
        self.addCleanup(slow.stdout.close)
        watchers = subprocess.Popen([BIN / "bench_watchers", str(self.gatehouse.control).removeprefix("unix:"), "3"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True)
        self.assertEqual(watchers.stdout.readline(), "subscribed\n")

        end = time.monotonic() + SECONDS
        loads = {route: self.load(route, *options) for route, options in LOADS.items()}
        threads = [self.guarded(self.talk, kind, end, talked) for kind in (Socket1, Socket2)]
        threads += [self.guarded(self.change, end), self.guarded(self.measure, end)]
        counted = {}
        for route, process in loads.items():
            out, errors = process.communicate(timeout=SECONDS + 120)
            self.assertEqual((process.returncode, errors), (0, ""), route)
            counted[route] = json.loads(out)
        for thread in threads:
            thread.join()
        self.assertEqual(self.failures, [])

        self.clients_got_what_they_should(counted, talked)
        self.counts_agree(counted, talked, filled)
        self.watchers_saw_all(watchers)
        slow.kill()
        slow.wait()
        self.nothing_is_left(descriptors)
        self.memory_is_at_rest()

    def clients_got_what_they_should(self, counted, talked):
        """Nobody lost anything but guests, whose trust came and went."""
        for route, result in counted.items():
            print(f"{route}: {result['answers']}, {result['full']} full and {result['resumed']} resumed handshakes, {result['failures']} ended")
            if route == "guests":
                self.assertEqual(set(result["answers"]), {"200", "401"})
                continue
            self.assertEqual(set(result["answers"]), {"401" if route == "refused" else "200"}, (route, result["reasons"]))
            self.assertEqual(result["failures"], 0, (route, result["reasons"]))
        self.assertEqual(counted["full"]["resumed"], 0)
        self.assertGreater(counted["resumed"]["resumed"], counted["resumed"]["full"])
        self.assertGreater(self.changes, 2)
        self.assertEqual(set(talked), {"Socket1", "Socket2"})
        print(f"{self.changes} changes, {len(talked)} WebSockets")

    def counts_agree(self, counted, talked, filled):
        wait_for("all requests have ended", lambda: self.metrics(self.gatehouse)["gatehouse_streams_open"] == 0, 30)
        metrics, behind = self.metrics(self.gatehouse), self.metrics(self.backend)
        of = lambda route, outcome: int(metrics.get(f'gatehouse_requests_total{{route="{route}",outcome="{outcome}"}}', 0))
        for route, result in counted.items():
            got = result["answers"]
            if route == "guests":
                # An answer may be lost with the connection that is cut: one at most, for each has one request under way.
                for outcome, status in (("allowed", "200"), ("refused", "401")):
                    self.assertGreaterEqual(of(route, outcome), got[status])
                self.assertLessEqual(of(route, "allowed") + of(route, "refused"), sum(got.values()) + result["failures"])
                continue
            self.assertEqual((of(route, "allowed"), of(route, "refused")), (got.get("200", 0), got.get("401", 0)), route)
        self.assertEqual((of("sockets", "allowed"), of("filled", "allowed")), (len(talked), filled))
        self.assertEqual(metrics["gatehouse_websockets_total"], len(talked))
        for upstream, routes in {"plain": ("proxied", "large", "upload"), "tls1": ("tls1",), "tls2": ("tls2",), "sockets": ("sockets",)}.items():
            asked = metrics[f'gatehouse_upstream_requests_total{{upstream="{upstream}"}}']
            self.assertEqual(asked, sum(of(route, "allowed") for route in routes), upstream)
            self.assertEqual(metrics[f'gatehouse_upstream_failures_total{{upstream="{upstream}"}}'], 0, upstream)
        self.assertEqual(behind['gatehouse_requests_total{route="all",outcome="allowed"}'], of("tls1", "allowed") + of("tls2", "allowed"))
        # Events: each decision is one, unless a ring was full, which is counted too.
        dropped = metrics["gatehouse_events_dropped_total"]
        told = json.loads(self.gatehouse.ctl("events", "summary", "--by", "route,outcome", "-o", "json").stdout)
        sums = {(row["route"], row["outcome"]): int(row["count"]) for row in told["rows"]}
        missing = 0
        for route in (*counted, "sockets", "filled"):
            for outcome in ("allowed", "refused"):
                less = of(route, outcome) - sums.get((route, outcome.upper()), 0)
                self.assertGreaterEqual(less, 0, (route, outcome))
                missing += less
        self.assertLessEqual(missing, dropped)
        print(f"{sum(sums.values())} decisions told, {missing} of {dropped:.0f} lost events were others")

    def watchers_saw_all(self, watchers):
        head = wait_for("no event comes any more", self.quiet, 30)
        out, _ = watchers.communicate(f"{head}\n", timeout=90)
        self.assertEqual(watchers.returncode, 0)
        seen = json.loads(out)
        for watcher in seen["watchers"]:
            self.assertEqual(watcher["holes"], 0)
            self.assertEqual(watcher["events"] + watcher["missed"], head - seen["first"])
        print(f"watchers: {seen}")

    def quiet(self):
        events = [int(json.loads(self.gatehouse.ctl("status", "--json").stdout)["events"]) for _ in range(2)]
        return events[0] == events[1] and events[0]

    def nothing_is_left(self, descriptors):
        self.doCleanups()
        self.gatehouse.apply(EDGE.format(**self.values), "--replace-all")
        wait_for("connections are closed", lambda: self.metrics(self.gatehouse)["gatehouse_connections_open"] == 0, 30)
        wait_for("no descriptor is left", lambda: self.descriptors() <= descriptors, 60)

    def memory_is_at_rest(self):
        later = [s for s in self.samples if s[0] >= (SETTLED if SECONDS >= LONG else 0.3 * SECONDS)]
        self.assertGreater(len(later), 10)
        grew = slope(later)
        print(f"memory: {self.samples[0][1] >> 20} MiB, then {later[0][1] >> 20} to {later[-1][1] >> 20} MiB, {grew / (1 << 20):+.2f} MiB a minute")
        if SECONDS >= LONG:
            self.assertLess(grew, SLOPE)
        else:
            self.assertLess(max(octets for _, octets in self.samples), MOST)


if __name__ == "__main__":
    unittest.main(verbosity=2)
