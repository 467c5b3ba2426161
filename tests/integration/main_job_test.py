#!/usr/bin/python3
"""The main job with independent clients: who gets in, who stays out, what is passed on, what the events say."""
import base64
import json
import pathlib
import ssl
import subprocess
import unittest

from harness import EventWatch, GatehouseTest

CONFIG = """
kind: TrustStore
name: partners
anchors: [{{file: {pki}/ca.pem}}]
pins: [{{file: {pki}/device.pem}}]
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
kind: UserStore
name: staff
---
{{kind: Scheme, name: Basic, basic: {{realm: staff, user_store: staff}}}}
---
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server],
  server_names: [{{name: strict.test, client_certificate: REQUIRE}}]}}
---
{{kind: Policy, name: partners-only, condition: {{claim: {{type: issuer, scheme: Certificate, exact: CN=ca}}}}, public_message: Partners only.}}
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
{{kind: Route, name: open, match: {{path: /open}}, anonymous: true, fixed_response: {{body: "open\\n"}}}}
---
{{kind: Route, name: hello, match: {{path: /secure/hello, methods: [GET]}}, require: {{any_of: [Certificate]}}, identity_response: {{}}}}
---
{{kind: Route, name: basic, match: {{path: /basic}}, require: {{any_of: [Basic]}}, identity_response: {{}}}}
---
{{kind: Route, name: any, match: {{path: /any}}, require: {{any_scheme: true}}, identity_response: {{}}}}
---
{{kind: Route, name: both, match: {{path: /both}}, require: {{all_of: [Certificate, Basic]}}, identity_response: {{}}}}
---
{{kind: Route, name: partners, match: {{path: /partners}}, require: {{any_of: [Certificate, Basic], policies: [partners-only]}}, identity_response: {{}}}}
---
kind: Route
name: app
match: {{path: "/app/{{rest...}}"}}
require: {{any_of: [Certificate, Basic]}}
upstream: app
identity_headers: {{xfcc: true, rfc9440: true, claims: {{X-Auth-Subject: nameidentifier}}}}
"""

PASSWORD = "correct horse battery staple"


def basic(user, password):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() + "\r\n"


class MainJobTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.ca("other")
        cls.pki.leaf("alice", "ca", "CN=alice,O=Partners")
        cls.pki.leaf("mallory", "other", "CN=mallory")
        cls.pki.self_signed("device")
        cls.pki.self_signed("stranger")
        cls.pki.server()
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port))
        cls.gatehouse.ctl("user", "add", "staff", "bob", "--password-stdin", stdin=PASSWORD)
        cls.url = f"https://localhost:{cls.port}"

    def test_curl_gets_in_with_a_certificate_over_both_versions_of_http(self):
        self.assertEqual(self.curl("--http2", self.url + "/secure/hello", cert="alice"), ("200 2", 0))
        self.assertEqual(self.curl("--http1.1", self.url + "/secure/hello", cert="alice"), ("200 1.1", 0))

    def test_certificates_of_strangers_stay_out_without_telling_why(self):
        answers = set()
        for cert in (None, "mallory", "stranger"):
            status, headers, body = self.client(cert).get("/secure/hello")
            problem = json.loads(body)
            problem.pop("request_id")
            answers.add((status, dict(headers)["www-authenticate"], json.dumps(problem)))
        self.assertEqual(len(answers), 1, answers)
        self.assertEqual(next(iter(answers))[0], 401)
        self.assertIn("ClientCertificate", next(iter(answers))[1])

    def test_a_pinned_self_signed_certificate_gets_in(self):
        self.assertEqual(self.status("/secure/hello", "device"), 200)

    def test_the_identity_response_tells_what_the_certificate_says(self):
        _, _, body = self.client("alice").get("/secure/hello")
        answer = json.loads(body)
        self.assertEqual(answer["subject"], "CN=alice,O=Partners")
        self.assertEqual(answer["issuer"], "CN=ca")
        der = ssl.PEM_cert_to_DER_cert(pathlib.Path(self.pki.pem("alice")).read_text())
        sha1 = subprocess.run(["openssl", "dgst", "-sha1", "-r"], input=der, capture_output=True).stdout.split()[0]
        self.assertEqual(answer["thumbprint"], sha1.decode().upper())
        types = {c["type"] for c in answer["claims"]}
        self.assertLessEqual({"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier",
                              "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name", "thumbprint", "issuer",
                              "serialnumber"}, types)

    def test_basic_lets_in_who_knows_the_password(self):
        self.assertEqual(self.status("/basic", headers=basic("bob", PASSWORD)), 200)
        self.assertEqual(self.status("/basic", headers=basic("bob", "wrong")), 401)
        self.assertEqual(self.status("/basic", headers=basic("nobody", PASSWORD)), 401)
        self.assertEqual(self.status("/basic", headers="Authorization: Basic ???\r\n"), 401)
        self.assertEqual(self.status("/basic"), 401)

    def test_repeated_authorization_fields_are_malformed(self):
        self.assertEqual(self.status("/basic", headers=basic("bob", PASSWORD) * 2), 400)

    def test_any_scheme_takes_either_and_all_of_wants_both(self):
        good = basic("bob", PASSWORD)
        self.assertEqual(self.status("/any", "alice"), 200)
        self.assertEqual(self.status("/any", headers=good), 200)
        self.assertEqual(self.status("/any"), 401)
        self.assertEqual(self.status("/any", "mallory", headers=good), 200)
        self.assertEqual(self.status("/both", "alice", headers=good), 200)
        self.assertEqual(self.status("/both", "alice"), 401)
        self.assertEqual(self.status("/both", headers=good), 401)
        _, _, body = self.client("alice").get("/both", headers=good)
        self.assertEqual(json.loads(body)["schemes"], ["Certificate", "Basic"])

    def test_a_policy_that_does_not_hold_is_403_with_its_public_message(self):
        self.assertEqual(self.status("/partners", "alice"), 200)
        status, _, body = self.client().get("/partners", headers=basic("bob", PASSWORD))
        self.assertEqual(status, 403)
        self.assertEqual(json.loads(body)["detail"], "Partners only.")

    def test_unknown_paths_are_404_and_wrong_methods_405_with_allow(self):
        self.assertEqual(self.status("/nowhere", "alice"), 404)
        status, headers, _ = self.client("alice").get("/secure/hello", method="DELETE")
        self.assertEqual((status, dict(headers)["allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.status("/secure/hello", "alice", method="HEAD"), 200)

    def test_head_has_no_body_and_the_connection_goes_on(self):
        client = self.client("alice")
        self.assertEqual(client.get("/open", method="HEAD")[0], 200)
        self.assertEqual(client.get("/open")[2], b"open\n")

    def test_pipelined_requests_are_answered_in_order(self):
        client = self.client("alice")
        client.send(b"GET /open HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    b"GET /secure/hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual([client.answer()[0] for _ in range(3)], [200, 404, 200])

    def test_the_upstream_is_told_who_calls_and_nothing_that_the_client_made_up(self):
        spoofed = ("X-Forwarded-Client-Cert: Hash=00\r\nX-Auth-Subject: root\r\nx_auth_subject: root\r\n"
                   "Client-Cert: :AA==:\r\nX-SSL-Client-Verify: SUCCESS\r\nRemote-User: root\r\n"
                   "X-Forwarded-For: 10.0.0.1\r\nConnection: keep-alive, X-Auth-Subject\r\n")
        status, _, body = self.client("alice").get("/app/x?q=1", headers=spoofed + basic("bob", PASSWORD))
        self.assertEqual(status, 200)
        seen = json.loads(body)
        self.assertEqual(seen["path"], "/app/x?q=1")
        headers = {}
        for name, value in seen["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        self.assertEqual(headers["x-auth-subject"], ["CN=alice,O=Partners"])
        self.assertEqual(len(headers["x-forwarded-client-cert"]), 1)
        self.assertIn("Subject=\"CN=alice,O=Partners\"", headers["x-forwarded-client-cert"][0])
        self.assertEqual(headers["x-forwarded-for"], ["127.0.0.1"])
        self.assertTrue(headers["client-cert"][0].startswith(":MII"))
        for name in ("x_auth_subject", "x-ssl-client-verify", "remote-user", "authorization"):
            self.assertNotIn(name, headers)

    def test_identity_headers_of_a_basic_user_hold_no_certificate(self):
        _, _, body = self.client("mallory").get("/app/x", headers=basic("bob", PASSWORD))
        headers = {name.lower(): value for name, value in json.loads(body)["headers"]}
        self.assertEqual(headers["x-auth-subject"], "bob")
        self.assertNotIn("x-forwarded-client-cert", headers)
        self.assertNotIn("client-cert", headers)

    def test_bodies_go_through_whole(self):
        client = self.client("alice")
        body = bytes(range(256)) * 8192
        self.assertEqual(json.loads(client.get("/app/up", method="POST", body=body)[2])["length"], len(body))
        self.assertEqual(self.upstream.requests[-1]["body"], body)
        client.send(b"PUT /app/up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        self.assertEqual(json.loads(client.answer()[2])["length"], 11)

    def test_a_refusal_reaches_a_client_that_is_still_sending_its_body(self):
        for _ in range(3):
            self.assertEqual(self.client().get("/app/up", method="POST", body=b"x" * 3_000_000)[0], 401)

    def test_a_name_that_requires_a_certificate_fails_the_handshake_without_one(self):
        with EventWatch(self.gatehouse, "--type", "HANDSHAKE") as watch:
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "strict.test",
                                   "-tls1_3", "-ign_eof"], input=b"GET / HTTP/1.1\r\nHost: strict.test\r\n\r\n", capture_output=True)
            self.assertIn(b"certificate required", done.stdout + done.stderr)
            event = watch.wait(lambda e: e.get("reason") == "NO_CERTIFICATE")
            self.assertEqual(event["server_name"], "strict.test")
        self.assertEqual(self.status("/open", "alice", sni="strict.test", host="strict.test"), 200)

    def test_a_connection_for_one_name_does_not_serve_a_stricter_one(self):
        self.assertEqual(self.status("/open", "alice", sni="localhost", host="strict.test"), 421)

    def test_tls_1_2_works_and_older_ones_do_not(self):
        client = self.client("alice", version=ssl.TLSVersion.TLSv1_2)
        self.assertEqual(client.get("/secure/hello")[0], 200)
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-tls1_1", "-cipher",
                               "ALL:@SECLEVEL=0"], input=b"", capture_output=True)
        self.assertNotEqual(done.returncode, 0)

    def test_nghttp_and_h2load_speak_http2_with_it(self):
        done = subprocess.run(["nghttp", "-v", "--cert", self.pki.pem("alice"), "--key", self.pki.key("alice"),
                               self.url + "/secure/hello"], capture_output=True, text=True)
        self.assertIn(":status: 200", done.stdout)
        done = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "20", self.url + "/open"], capture_output=True, text=True)
        self.assertIn("2000 succeeded, 0 failed", done.stdout)

    def test_grpc_callers_are_refused_in_their_own_language(self):
        status, headers, body = self.client().get("/secure/hello", headers="Content-Type: application/grpc\r\n")
        self.assertEqual((status, dict(headers)["grpc-status"], body), (200, "16", b""))

    def test_every_decision_is_an_event_with_its_reason(self):
        with EventWatch(self.gatehouse, "--type", "DECISION") as watch:
            self.status("/secure/hello", "alice")
            self.status("/secure/hello", "mallory")
            self.status("/basic", headers=basic("bob", "wrong"))
            self.status("/partners", headers=basic("bob", PASSWORD))
            allowed = watch.wait(lambda e: e["outcome"] == "ALLOWED" and e["request"]["path"] == "/secure/hello")
            self.assertEqual(allowed["principal"], "CN=alice,O=Partners")
            self.assertEqual(allowed["request"]["status"], 200)
            for reason, path in (("UNKNOWN_ISSUER", "/secure/hello"), ("WRONG_PASSWORD", "/basic"), ("POLICY_NOT_MET", "/partners")):
                watch.wait(lambda e: e.get("reason") == reason and e["request"]["path"] == path)
            self.assertNotIn(PASSWORD, watch.path.read_text())

    def test_explain_says_what_a_request_would_get(self):
        explained = json.loads(self.gatehouse.ctl("cert", "explain", "--chain", self.pki.pem("alice"), "--route", "hello", "-o", "json").stdout)
        self.assertTrue(explained["verdicts"][0]["accepted"])
        self.assertIn("hello", explained["opens"])
        explained = json.loads(self.gatehouse.ctl("cert", "explain", "--chain", self.pki.pem("mallory"), "--scheme", "Certificate", "-o", "json",
                                                  check=False).stdout)
        self.assertEqual(explained["verdicts"][0]["reason"], "UNKNOWN_ISSUER")


if __name__ == "__main__":
    unittest.main()
