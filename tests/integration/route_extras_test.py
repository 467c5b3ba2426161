#!/usr/bin/python3
"""What routes do besides asking for proof: redirects, rewriting, fields of answers, limits, logs, the way a request came."""
import base64
import json
import os
import re
import subprocess
import unittest
import urllib.parse

from harness import EventWatch, GatehouseTest, free_port, wait_for

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

CONFIG = """
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
kind: Listener
name: edge
address: "127.0.0.1:{port}"
server_certificates: [server]
access_log: {{file: {folder}/edge.log}}
---
kind: Listener
name: inner
address: "127.0.0.1:{inner}"
server_certificates: [server]
trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
{{kind: Upstream, name: rfc7239, endpoints: ["127.0.0.1:{upstream}"], forwarded: X_FORWARDED_AND_FORWARDED}}
---
{{kind: Upstream, name: silent, endpoints: ["127.0.0.1:{upstream}"], forwarded: NO_FORWARDED}}
---
kind: TrustStore
name: t
anchors: [{{file: {pki}/ca.pem}}]
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: t}}}}
---
kind: Policy
name: office
condition: {{address: {{ranges: [192.0.2.0/24]}}}}
---
{{kind: Route, name: office, match: {{path: /office}}, require: {{any_of: [Certificate], policies: [office]}}, fixed_response: {{body: in}}}}
---
{{kind: Route, name: old, match: {{path: "/old/{{id}}/{{rest...}}"}}, anonymous: true, redirect: {{status: 308, location: "https://{{host}}/new/{{id}}?p={{rest}}", keep_query: true}}}}
---
{{kind: Route, name: api, match: {{path: "/api/{{rest...}}"}}, anonymous: true, upstream: app, rewrite: {{prefix: /v1/, host: "inner.example:81"}}, response_headers: {{set: {{Strict-Transport-Security: max-age=1}}, remove: [Content-Type]}}}}
---
{{kind: Route, name: fixed, match: {{path: /fixed}}, anonymous: true, fixed_response: {{body: hello}}, response_headers: {{set: {{X-Frame-Options: DENY}}}}, access_log: {{off: true}}}}
---
{{kind: Route, name: small, match: {{path: /small}}, anonymous: true, upstream: app, max_body_bytes: 1000}}
---
{{kind: Route, name: both, match: {{path: /both}}, anonymous: true, upstream: rfc7239}}
---
{{kind: Route, name: silent, match: {{path: /silent}}, anonymous: true, upstream: silent}}
---
{{kind: Route, name: combined, match: {{path: "/combined/{{rest...}}"}}, require: {{any_of: [Certificate]}}, identity_response: {{}}, access_log: {{format: COMBINED, file: {folder}/combined.log}}}}
---
{{kind: Route, name: sampled, match: {{path: /sampled}}, anonymous: true, fixed_response: {{}}, events: {{sample_one_in: 10}}, access_log: {{file: {folder}/sampled.log, sample_one_in: 10}}}}
---
{{kind: Route, name: audited, match: {{path: /audited}}, anonymous: true, upstream: app, events: {{on_loss: REFUSE}}}}
---
{{kind: Route, name: told, match: {{path: /told}}, require: {{any_of: [Certificate]}}, upstream: app, identity_headers: {{xfcc: true, xfcc_cert: true, xfcc_chain: true, rfc9440: true, rfc9440_chain: true, claims: {{X-Who: name}}, claim_encoding: BASE64, max_value_bytes: 65536}}}}
"""


class RouteExtrasTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.server()
        cls.pki.ca("ca")
        cls.pki.leaf("alice", "ca", "CN=J\u00f6rg \\\"x\\;y\\\",O=Our Staff", "--san", "uri:urn:a;b=c", "--san", "dns:a.example")
        cls.inner = free_port()
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, inner=cls.inner, upstream=cls.upstream.port,
                                          folder=cls.folder))

    def lines(self, name, predicate=lambda line: True):
        path = self.folder / name
        if not path.exists():
            return []
        return [line for line in map(json.loads, path.read_text().splitlines()) if predicate(line)]

    def told(self, path, headers="", cert=None, port=None):
        """The fields that the upstream got, by name."""
        status, _, body = self.client(cert, port=port or self.port).get(path, headers=headers)
        self.assertEqual(status, 200, body)
        fields = {}
        for name, value in json.loads(body)["headers"]:
            self.assertNotIn(name.lower(), fields, "a field is there twice")
            fields[name.lower()] = value
        return fields

    def test_redirects_with_what_the_request_said(self):
        client = self.client()
        status, headers, body = client.get("/old/7%20x/a/b&c?q=1", host="shop.example")
        self.assertEqual((status, dict(headers)["location"], body), (308, "https://shop.example/new/7%20x?p=a/b%26c&q=1", b""))
        status, headers, _ = client.get("/old/@evil.example/%0D%0AX", host="shop.example")
        self.assertEqual(status, 400, "encoded controls pass no perimeter")
        self.assertEqual(self.curl("--http2", f"https://127.0.0.1:{self.port}/old/1/")[0], "308 2")

    def test_rewrites_path_and_host_and_tells_the_client_s(self):
        client = self.client()
        status, headers, body = client.get("/api/x/y?q=1")
        told = json.loads(body)
        fields = {k.lower(): v for k, v in told["headers"]}
        self.assertEqual((status, told["path"], fields["host"], fields["x-forwarded-host"]),
                         (200, "/v1/x/y?q=1", "inner.example:81", "localhost"))
        self.assertEqual(dict(headers).get("strict-transport-security"), "max-age=1")
        self.assertNotIn("content-type", dict(headers))
        self.assertEqual(dict(client.get("/fixed")[1]).get("x-frame-options"), "DENY")
        status, headers, _ = client.get("/api")
        self.assertEqual((status, dict(headers).get("strict-transport-security")), (404, None), "a refusal is left alone")

    def test_refuses_bodies_that_are_too_large_however_they_come(self):
        before = len(self.upstream.requests)
        self.assertEqual(self.client().get("/small", method="POST", body=b"x" * 1000)[0], 200)
        self.assertEqual(len(self.upstream.requests), before + 1)
        self.assertEqual(self.client().get("/small", method="POST", body=b"x" * 1001)[0], 413)
        client = self.client()
        client.send(b"POST /small HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1f4\r\n" + b"x" * 500 + b"\r\n" +
                    b"1f5\r\n" + b"x" * 501 + b"\r\n0\r\n\r\n")
        self.assertEqual(client.answer()[0], 413)
        data = self.folder / "large"
        data.write_bytes(b"x" * 300_000)
        url = f"https://127.0.0.1:{self.port}/small"
        self.assertEqual(self.curl("--http1.1", "-T", str(data), "-H", "Transfer-Encoding: chunked", url)[0].split()[0], "413")
        # curl 7.88 gives an answer up that comes before its request's end (RFC 9113 section 8.1).
        done = subprocess.run(["nghttp", "-v", "-n", "--no-content-length", "-d", str(data), url], capture_output=True, text=True, timeout=20)
        self.assertIn(":status: 413", re.sub(r"\x1b\[[0-9;]*m", "", done.stdout))
        self.assertEqual(len(self.upstream.requests), before + 1, "the upstream saw no whole request")

    def test_logs_each_request_once_and_no_secrets(self):
        self.assertEqual(self.client().get("/api/log-me?token=secret", headers=f"Traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n")[0], 200)
        line = wait_for("the line", lambda: self.lines("edge.log", lambda l: l.get("path") == "/api/log-me"))
        self.assertEqual(len(line), 1)
        line = line[0]
        self.assertEqual({k: line[k] for k in ("client", "method", "host", "status", "protocol", "tls", "route", "listener", "upstream", "trace_id")},
                         {"client": "127.0.0.1", "method": "GET", "host": "localhost", "status": 200, "protocol": "HTTP/1.1", "tls": "TLSv1.3",
                          "route": "api", "listener": "edge", "upstream": "app", "trace_id": TRACE})
        self.assertEqual(len(line["request_id"]), 24)
        self.assertGreater(line["bytes_out"], 0)
        self.assertNotIn("secret", (self.folder / "edge.log").read_text())
        self.assertEqual(self.status("/nothing-here"), 404)
        refused = wait_for("the refusal", lambda: self.lines("edge.log", lambda l: l.get("path") == "/nothing-here"))[0]
        self.assertEqual((refused["status"], refused["reason"], "route" in refused), (404, "NO_ROUTE", False))
        self.assertGreater(refused["bytes_out"], 0)
        self.assertEqual(self.status("/nor-here", method="HEAD"), 404)
        headless = wait_for("the refusal of a HEAD", lambda: self.lines("edge.log", lambda l: l.get("path") == "/nor-here"))[0]
        self.assertEqual(headless["bytes_out"], 0, "its answer has no body")
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        self.assertEqual(client.answer()[0], 400)
        wait_for("what could not be read", lambda: self.lines("edge.log", lambda l: l.get("reason") == "MALFORMED_REQUEST"))
        self.assertEqual(self.status("/fixed"), 200)
        self.assertEqual(self.lines("edge.log", lambda l: l.get("route") == "fixed"), [], "off")
        self.assertEqual(os.stat(self.folder / "edge.log").st_mode & 0o777, 0o640)

    def test_goes_on_in_a_new_file_when_the_log_is_moved(self):
        self.assertEqual(self.status("/api/before-move"), 200)
        wait_for("the line", lambda: self.lines("edge.log", lambda l: l.get("path") == "/api/before-move"))
        os.rename(self.folder / "edge.log", self.folder / "edge.log.1")
        self.assertEqual(self.status("/api/after-move"), 200)
        wait_for("the line", lambda: self.lines("edge.log", lambda l: l.get("path") == "/api/after-move"))
        self.assertEqual(self.lines("edge.log.1", lambda l: l.get("path") == "/api/after-move"), [])

    def test_writes_the_combined_format_and_escapes_what_callers_chose(self):
        self.assertEqual(self.status("/combined/x", "alice", headers="User-Agent: a\"b\\\r\nReferer: https://r.example/p?secret=1\r\n"), 200)
        text = wait_for("the line", lambda: (self.folder / "combined.log").read_text() if (self.folder / "combined.log").exists() else "")
        self.assertRegex(text, r'^127\.0\.0\.1 - CN=J\S+ \[[^]]+\] "GET /combined/x HTTP/1\.1" 200 \d+ "https://r\.example/p" "a\\x22b\\x5C" "[0-9a-f]{24}"\n$')

    def test_samples_events_and_lines_of_what_was_let_in(self):
        client = self.client()
        with EventWatch(self.gatehouse, "--route", "sampled") as watch:
            for _ in range(30):
                self.assertEqual(client.get("/sampled")[0], 200)
            wait_for("three events", lambda: len([e for e in watch.all() if e.get("request", {}).get("route") == "sampled"]) >= 3)
            events = [e for e in watch.all() if e.get("request", {}).get("route") == "sampled"]
        self.assertEqual([e["sampled"] for e in events], [10, 10, 10])
        self.assertEqual(len(wait_for("three lines", lambda: self.lines("sampled.log") if len(self.lines("sampled.log")) >= 3 else None)), 3)

    def test_audited_routes_answer_while_their_events_are_kept(self):
        self.assertEqual(self.status("/audited"), 200)

    def test_passes_traces_on_and_begins_them(self):
        fields = self.told("/api/trace", f"Traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\nTracestate: a=1,b=2\r\nX-Request-Id: mine\r\n")
        self.assertRegex(fields["traceparent"], f"^00-{TRACE}-[0-9a-f]{{16}}-01$")
        self.assertNotIn("00f067aa0ba902b7", fields["traceparent"])
        self.assertEqual(fields["tracestate"], "a=1,b=2")
        self.assertRegex(fields["x-request-id"], "^[0-9a-f]{24}$")
        fields = self.told("/api/trace", "Traceparent: 00-nonsense\r\nTracestate: a=1\r\n")
        self.assertRegex(fields["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")
        self.assertNotIn("tracestate", fields)

    def test_believes_no_stranger_about_where_a_request_comes_from(self):
        fields = self.told("/both", "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Real-Ip: 192.0.2.1\r\n")
        self.assertEqual((fields["x-forwarded-for"], fields["x-forwarded-proto"]), ("127.0.0.1", "https"))
        self.assertEqual(fields["forwarded"], 'for=127.0.0.1;host="localhost";proto=https')
        self.assertNotIn("x-real-ip", fields)
        forged = ("X_Forwarded_For", "X-Forwarded_Proto", "X-Forwarded-Prefix", "X_Real_IP", "X_Request_Id", "X-Original-URL", "X_Rewrite_URL",
                  "Transfer_Encoding", "Content_Length", "Proxy")
        fields = self.told("/both", "".join(f"{name}: forged\r\n" for name in forged))
        self.assertNotIn("forged", str(fields))
        fields = self.told("/silent", "X-Forwarded-For: 192.0.2.1\r\n")
        self.assertEqual([f for f in fields if "forwarded" in f], [])
        self.assertEqual(self.status("/office", "alice", "X-Forwarded-For: 192.0.2.1\r\n"), 403)

    def test_believes_trusted_proxies_as_far_as_they_are_trusted(self):
        fields = self.told("/both", "X-Forwarded-For: 8.8.8.8, 192.0.2.1, 10.0.0.2\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Prefix: /shop\r\n",
                           port=self.inner)
        self.assertEqual(fields["x-forwarded-prefix"], "/shop")
        self.assertEqual(fields["x-forwarded-for"], "192.0.2.1, 10.0.0.2, 127.0.0.1")
        self.assertEqual(fields["forwarded"], 'for=192.0.2.1;host="localhost";proto=http, for=10.0.0.2, for=127.0.0.1')
        with EventWatch(self.gatehouse) as watch:
            self.assertEqual(self.status("/office", "alice", "X-Forwarded-For: 192.0.2.1\r\n", port=self.inner), 200)
            self.assertEqual(self.status("/office", "alice", "X-Forwarded-For: 192.0.2.1, 198.51.100.1\r\n", port=self.inner), 403)
            self.assertEqual(self.status("/office", "alice", "X-Forwarded-For: 198.51.100.1\r\nForwarded: for=192.0.2.1\r\n", port=self.inner), 400)
            event = watch.wait(lambda e: e.get("request", {}).get("status") == 200)
            self.assertEqual(event["peer"], "192.0.2.1")
            self.assertRegex(event["detail"], r"^by way of 127\.0\.0\.1:\d+$")
            watch.wait(lambda e: e.get("request", {}).get("status") == 400 and "name different clients" in e.get("detail", ""))

    def test_tells_the_upstream_who_the_caller_is_in_every_syntax(self):
        fields = self.told("/told", cert="alice")
        with open(self.pki.pem("alice")) as f:
            leaf = f.read()
        with open(self.pki.pem("ca")) as f:
            anchor = f.read()
        der = base64.b64decode("".join(leaf.split("-----")[2].split()))
        self.assertEqual(fields["client-cert"], ":" + base64.b64encode(der).decode() + ":")
        self.assertEqual(fields["client-cert-chain"], ":" + "".join(anchor.split("-----")[2].split()) + ":")
        self.assertIn("CN=J\u00f6rg", base64.b64decode(fields["x-who"]).decode())
        # Envoy's syntax: pairs apart by semicolons outside of quotes.
        pairs = re.findall(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)(?:;|$)', fields["x-forwarded-client-cert"])
        self.assertEqual("".join(f"{k}={v};" for k, v in pairs).rstrip(";"), fields["x-forwarded-client-cert"], "every octet is part of a pair")
        self.assertEqual([k for k, _ in pairs], ["Hash", "Cert", "Chain", "Subject", "URI", "DNS"])
        values = {k: v.strip('"') for k, v in pairs}
        self.assertEqual(urllib.parse.unquote(values["Cert"]).split(), leaf.split())
        self.assertEqual(urllib.parse.unquote(values["Chain"]).split(), (leaf + anchor).split())
        self.assertEqual(values["URI"], "urn:a;b=c")


if __name__ == "__main__":
    unittest.main()
