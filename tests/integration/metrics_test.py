#!/usr/bin/python3
"""Metrics, health and readiness of the real programs, as a scraper and a load balancer see them."""
import re
import shutil
import signal
import subprocess
import threading
import unittest

from harness import BIN, EDGE, GatehouseTest, wait_for

CONFIG = EDGE + """---
kind: TrustStore
name: t
anchors: [{{file: {pki}/ca.pem}}]
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: t}}}}
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
{{kind: Route, name: secure, match: {{path: "/secure/{{rest...}}"}}, require: {{any_of: [Certificate]}}, upstream: app}}
"""

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'(?:\{' + NAME + r'="(?:[^"\\\n]|\\[\\"n])*"(?:,' + NAME + r'="(?:[^"\\\n]|\\[\\"n])*")*,?\})?'
SAMPLE = re.compile(rf"({NAME})({LABELS}) ([0-9.eE+-]+|NaN|\+Inf|-Inf)$")


def parse(text):
    """{series: value}; AssertionError where the text is not Prometheus' exposition format, or a family comes twice."""
    values, families = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            family = line.split()[2]
            assert family not in families, line
            families.add(family)
        elif not line.startswith("# HELP "):
            match = SAMPLE.match(line)
            assert match, line
            assert any(match[1] == f or match[1] in (f + "_bucket", f + "_sum", f + "_count") for f in families), line
            assert match[1] + match[2] not in values, line
            values[match[1] + match[2]] = float(match[3])
    return values


def curl(url, *options):
    done = subprocess.run(["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *options, url], capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


class MetricsTest(GatehouseTest):
    options = ("--metrics-address", "127.0.0.1:0")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.leaf("alice", "ca")
        cls.pki.server("server", "localhost")
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port))
        cls.url = re.search(r"gatehouse: metrics (http://\S+)/metrics", (cls.folder / "gatehouse.out").read_text())[1]

    def test_what_happened_is_counted(self):
        before = parse(curl(self.url + "/metrics")[1])
        self.assertEqual(self.status("/secure/x", cert="alice"), 200)
        self.assertEqual(self.status("/secure/x"), 401)
        status, text = curl(self.url + "/metrics")
        self.assertEqual(status, 200)
        after = parse(text)
        for series in ('gatehouse_requests_total{route="secure",outcome="allowed"}', 'gatehouse_requests_total{route="secure",outcome="refused"}',
                       'gatehouse_decisions_total{reason="NO_CERTIFICATE"}'):
            self.assertEqual(after[series] - before.get(series, 0), 1, series)
        self.assertEqual(after["gatehouse_control_revision"], 1)
        self.assertEqual(after["gatehouse_snapshot_revision"], 1)
        self.assertEqual(after['gatehouse_control_gateways{connected="true"}'], 1)
        self.assertEqual(after["gatehouse_control_gateways_behind"], 0)
        self.assertNotIn("PRIVATE", text)
        promtool = shutil.which("promtool")
        if promtool:
            checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_health_and_readiness(self):
        self.assertEqual(curl(self.url + "/healthz"), (200, "ok\n"))
        self.assertEqual(curl(self.url + "/readyz"), (200, "ready\n"))
        self.assertEqual(curl(self.url + "/")[0], 404)
        self.assertEqual(curl(self.url + "/metrics", "-X", "POST", "-d", "x")[0], 413)
        self.assertEqual(curl(self.url + "/metrics", "-X", "DELETE")[0], 405)

    def test_a_port_that_is_taken_is_named(self):
        taken = self.url.removeprefix("http://")
        done = subprocess.run([BIN / "gatehouse", "--state-dir", self.folder / "second", "--metrics-address", taken],
                              capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"--metrics-address: cannot bind {taken}", done.stderr)

    def test_z_is_alive_and_not_ready_while_it_drains(self):
        client = self.client(cert="alice")
        slow = threading.Thread(target=lambda: client.get("/secure/slow/2"))
        slow.start()
        wait_for("the request runs", lambda: any("/slow/" in r["path"] for r in self.upstream.requests))
        self.gatehouse.process.send_signal(signal.SIGTERM)
        wait_for("not ready", lambda: curl(self.url + "/readyz") == (503, "not ready: draining\n"), 2)
        self.assertEqual(curl(self.url + "/healthz")[0], 200)
        slow.join()
        self.assertEqual(self.gatehouse.process.wait(10), 0)


if __name__ == "__main__":
    unittest.main()
