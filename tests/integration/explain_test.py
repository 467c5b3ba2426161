#!/usr/bin/python3
"""Why a certificate is not sent, or refused: every case of the troubleshooting page, by `gatehousectl cert explain` and by the RPC."""
import json
import pathlib
import subprocess
import unittest

from harness import EDGE, EventWatch, GatehouseTest, free_port, use_stubs

use_stubs()
import grpc  # noqa: E402
from gatehouse.v1 import certificate_service_pb2, certificate_service_pb2_grpc, reason_pb2  # noqa: E402

BASE = EDGE + """---
{{kind: Listener, name: deaf, address: "127.0.0.1:{deaf}", server_certificates: [server], client_certificate: NONE}}
---
{{kind: TrustStore, name: partners, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
{{kind: UserStore, name: staff}}
---
{{kind: Scheme, name: Basic, basic: {{user_store: staff}}}}
---
{{kind: Route, name: secure, listeners: [edge], match: {{path: /secure}}, require: {{any_of: [Certificate]}}, identity_response: {{}}}}
---
{{kind: Route, name: either, match: {{path: /either}}, require: {{any_of: [Certificate, Basic]}}, identity_response: {{}}}}
---
{{kind: Route, name: password, listeners: [deaf], match: {{path: /password}}, require: {{any_of: [Basic]}}, identity_response: {{}}}}
"""


class ExplainTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.deaf = free_port()
        cls.pki.ca("ca", "CN=Partners Root")
        cls.pki.ca("stranger", "CN=Stranger Root")
        cls.pki.make("intermediate", "issuing", "CN=Issuing", "--ca", cls.pki.pem("ca"), "--ca-key", cls.pki.key("ca"))
        cls.pki.leaf("alice", "ca", "CN=alice,O=Partner A")
        cls.pki.leaf("below", "issuing", "CN=below")
        cls.pki.leaf("foreign", "stranger", "CN=foreign")
        cls.pki.self_signed("device", "CN=device")
        cls.pki.make("leaf", "wrong", "CN=wrong", "--ca", cls.pki.pem("ca"), "--ca-key", cls.pki.key("ca"), "--eku", "server")
        cls.pki.server()
        cls.gatehouse.apply(BASE.format(pki=cls.pki.folder, port=cls.port, deaf=cls.deaf))

    def explain(self, *args, stdin=None):
        done = self.gatehouse.ctl("cert", "explain", *args, check=False, stdin=stdin)
        return done.returncode, done.stdout, done.stderr

    # ---- the certificate is not sent -------------------------------------------------------------------------------
    def test_a_listener_that_never_asks_is_told(self):
        code, out, _ = self.explain("--listener", "deaf")
        self.assertEqual(code, 1, out)
        self.assertIn("NONE", out)
        self.assertIn("verdict: no client is ever asked for its certificate.", out)
        code, out, _ = self.explain("--route", "password")
        self.assertEqual(code, 1, out)

    def test_how_a_route_asks_is_told_with_a_way_to_try_that_works(self):
        code, out, _ = self.explain("--route", "secure")
        self.assertEqual(code, 0, out)
        self.assertIn(f"edge 127.0.0.1:{self.port}", out)
        self.assertIn("hints: a certificate issued by CN=Partners Root", out)
        command = next(line.split("try", 1)[1] for line in out.splitlines() if line.startswith("try"))
        command = command.replace("client.pem", self.pki.pem("alice")).replace("client.key", self.pki.key("alice"))
        shown = subprocess.run(command, shell=True, capture_output=True, text=True)
        self.assertIn("Acceptable client certificate CA names\nCN = Partners Root", shown.stdout)
        mismatch = subprocess.run(command.replace("alice.key", "foreign.key"), shell=True, capture_output=True, text=True)
        self.assertIn("key values mismatch", mismatch.stderr)

    def test_a_chain_that_no_hint_names_would_not_be_sent(self):
        code, out, _ = self.explain("--chain", self.pki.pem("foreign"), "--route", "secure")
        self.assertEqual(code, 1)
        self.assertIn("most clients would not send this certificate", out)
        code, out, _ = self.explain("--chain", self.pki.pem("alice"), "--route", "secure")
        self.assertEqual(code, 0)
        self.assertNotIn("would not send", out)

    def test_a_certificate_without_its_key_is_told_here_and_no_key_is_sent(self):
        code, out, _ = self.explain("--chain", self.pki.pem("alice"), "--key", self.pki.key("alice"))
        self.assertEqual(code, 0, out)
        self.assertIn("is the certificate's key", out)
        code, out, _ = self.explain("--chain", self.pki.pem("alice"), "--key", self.pki.key("foreign"))
        self.assertEqual(code, 1, out)
        self.assertIn("is the key of another certificate", out)
        bare = str(self.pki.folder / "bare.p12")
        subprocess.run(["openssl", "pkcs12", "-export", "-nokeys", "-in", self.pki.pem("alice"), "-out", bare, "-passout", "pass:x"],
                       check=True)
        code, out, _ = self.explain("--chain", bare, "--password-stdin", stdin="x\n")
        self.assertEqual(code, 1, out)
        self.assertIn("holds no private key", out)
        both = pathlib.Path(self.pki.folder / "both.pem")
        both.write_text(pathlib.Path(self.pki.key("alice")).read_text() + pathlib.Path(self.pki.pem("alice")).read_text())
        self.assertEqual(self.explain("--chain", str(both))[0], 0, "the key in it stays here")

    def test_a_request_without_a_certificate_is_explained_from_its_event(self):
        with EventWatch(self.gatehouse, "--outcome", "refused") as watch:
            self.assertEqual(self.status("/secure"), 401)
            event = watch.wait(lambda e: e["type"] == "DECISION")
        code, out, _ = self.explain("--from-event", event["request"]["request_id"])
        self.assertEqual(code, 0, out)
        self.assertIn("NO_CERTIFICATE", out)
        self.assertIn("clients are asked, and may send none", out)

    # ---- the certificate is refused --------------------------------------------------------------------------------
    def test_each_step_that_refuses_names_certificate_and_cause(self):
        self.pki.leaf("brief", "ca", "CN=brief", "--days", "1")
        cases = [
            (["alice", "--at", "2099-01-01T00:00:00Z"], "EXPIRED", "expired at"),
            (["alice", "--at", "2020-01-01T00:00:00Z"], "NOT_YET_VALID", "valid from"),
            (["wrong"], "WRONG_USE", "does not contain clientAuth"),
            (["foreign"], "UNKNOWN_ISSUER", "CN=Stranger Root"),
            (["device"], "NOT_PINNED", "self-signed and not pinned"),
        ]
        for (name, *args), reason, detail in cases:
            code, out, _ = self.explain("--chain", self.pki.pem(name), *args)
            self.assertEqual(code, 1, out)
            self.assertIn(f"verdict: REFUSED, {reason}.", out)
            self.assertIn(detail, out)

    def test_an_accepted_one_comes_with_path_claims_and_routes(self):
        code, out, _ = self.explain("--chain", self.pki.pem("alice"))
        self.assertEqual(code, 0, out)
        self.assertIn("leaf <- CN=Partners Root (anchor of trustStores/partners)", out)
        self.assertIn("nameidentifier = CN=alice,O=Partner A", out)
        self.assertIn("opens           either, secure", out)
        self.assertIn("verdict: ACCEPTED.", out)
        code, out, _ = self.explain("--chain", self.pki.pem("wrong"), "--route", "either")
        self.assertIn("The route also accepts Basic.", out)

    def test_a_missing_intermediate_is_seen_by_what_was_sent(self):
        leaf_only = pathlib.Path(self.pki.folder / "leaf-only.pem")
        leaf_only.write_text(pathlib.Path(self.pki.pem("below")).read_text().split("-----END CERTIFICATE-----")[0] +
                             "-----END CERTIFICATE-----\n")
        code, out, _ = self.explain("--chain", str(leaf_only))
        self.assertEqual(code, 1)
        self.assertIn("REFUSED, UNKNOWN_ISSUER", out)
        self.assertNotIn("sent with it", out)
        code, out, _ = self.explain("--chain", self.pki.pem("below"))
        self.assertEqual(code, 0)
        self.assertIn("sent with it    CN=Issuing", out)

    def test_pkcs7_and_pfx_are_explained_too(self):
        p7b, pfx = str(self.pki.folder / "below.p7b"), str(self.pki.folder / "below.pfx")
        subprocess.run(["openssl", "crl2pkcs7", "-nocrl", "-certfile", self.pki.pem("issuing"), "-certfile", self.pki.pem("below"),
                        "-outform", "DER", "-out", p7b], check=True)
        subprocess.run(["openssl", "pkcs12", "-export", "-in", self.pki.pem("below"), "-inkey", self.pki.key("below"), "-out", pfx,
                        "-passout", "pass:sesame"], check=True)
        code, out, err = self.explain("--chain", p7b)
        self.assertEqual(code, 0, out + err)
        code, out, err = self.explain("--chain", pfx, "--password-stdin", stdin="sesame\n")
        self.assertEqual(code, 0, out + err)
        code, out, err = self.explain("--chain", pfx, "--password-stdin", stdin="wrong\n")
        self.assertEqual(code, 1)
        self.assertIn("the password is wrong", err)

    def test_a_refused_request_is_explained_from_its_event(self):
        with EventWatch(self.gatehouse, "--outcome", "refused") as watch:
            self.assertEqual(self.status("/either", cert="wrong"), 401)
            event = watch.wait(lambda e: e.get("certificate", {}).get("subject") == "CN=wrong")
        cursor = f'{event["cursor"]["incarnation"]}:{event["cursor"]["sequence"]}'
        for name in (cursor, event["request"]["request_id"]):
            code, out, err = self.explain("--from-event", name)
            self.assertEqual(code, 1, out + err)
            self.assertIn("event           ", out)
            self.assertIn("WRONG_USE", out)
            self.assertIn("CN=wrong", out)
            self.assertIn("The route also accepts Basic.", out)

    def test_what_is_no_longer_known_is_said(self):
        code, _, err = self.explain("--from-event", "0123456789abcdef:1")
        self.assertEqual(code, 3, err)
        self.assertIn("is not among the events that are kept", err)

    def test_a_request_that_was_let_in_is_explained_from_its_event(self):
        with EventWatch(self.gatehouse, "--outcome", "allowed") as watch:
            self.assertEqual(self.status("/secure", cert="below"), 200)
            event = watch.wait(lambda e: e["type"] == "DECISION")
        code, out, err = self.explain("--from-event", event["request"]["request_id"])
        self.assertEqual(code, 0, out + err)
        self.assertIn("leaf <- CN=Issuing <- CN=Partners Root (anchor of trustStores/partners)", out)
        self.assertIn("sent with it    CN=Issuing", out)
        self.assertIn("verdict: ACCEPTED.", out)

    def test_an_event_of_a_gateway_that_does_not_know_the_chain_any_more_says_so(self):
        with EventWatch(self.gatehouse, "--outcome", "allowed") as watch:
            self.assertEqual(self.status("/secure", cert="alice"), 200)
            event = watch.wait(lambda e: e["type"] == "DECISION")
        with grpc.insecure_channel(self.gatehouse.control) as channel:
            stub = certificate_service_pb2_grpc.CertificateServiceStub(channel)
            request = certificate_service_pb2.ExplainRequest(event=event["request"]["request_id"])
            self.assertEqual(stub.Explain(request).verdicts[0].accepted, True)
        anonymous = "{kind: Route, name: open, match: {path: /open}, anonymous: true, fixed_response: {body: ok}}"
        self.gatehouse.apply(anonymous)
        with EventWatch(self.gatehouse, "--outcome", "allowed") as watch:
            self.assertEqual(self.status("/open"), 200)
            event = watch.wait(lambda e: e["type"] == "DECISION")
        code, out, err = self.explain("--from-event", event["request"]["request_id"])
        self.assertEqual(code, 0, out + err)

    def test_wrong_usage_is_told(self):
        self.assertEqual(self.explain()[0], 2)
        self.assertEqual(self.explain("--chain", self.pki.pem("alice"), "--at", "tomorrow")[0], 2)
        self.assertEqual(self.explain("--chain", self.pki.pem("alice"), "--route", "secur")[0], 3)
        code, _, err = self.explain("--chain", self.pki.pem("alice"), "--gateway", "absent")
        self.assertEqual(code, 5)
        self.assertIn("gateway absent is not connected", err)

    def test_json_in_a_pipe_and_the_rpc_say_the_same(self):
        code, out, _ = self.explain("--chain", self.pki.pem("wrong"), "--route", "secure", "-o", "json")
        self.assertEqual(code, 1)
        shown = json.loads(out)
        self.assertEqual(shown["verdicts"][0]["reason"], "WRONG_USE")
        with grpc.insecure_channel(self.gatehouse.control) as channel:
            stub = certificate_service_pb2_grpc.CertificateServiceStub(channel)
            request = certificate_service_pb2.ExplainRequest(chain_pem=pathlib.Path(self.pki.pem("wrong")).read_text(), route="secure")
            answer = stub.Explain(request)
            self.assertEqual(answer.verdicts[0].reason, reason_pb2.WRONG_USE)
            self.assertEqual([s.step for s in answer.verdicts[0].steps], [s["step"] for s in shown["verdicts"][0]["steps"]])
            self.assertEqual(list(answer.verdicts[0].candidates[0].subjects), ["CN=wrong", "CN=Partners Root"])
            # What only the control plane may set does nothing.
            with self.assertRaises(grpc.RpcError) as caught:
                stub.Explain(certificate_service_pb2.ExplainRequest(leaf_sha256="00" * 32))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            for bad in (b"\0" * 100, b"-----BEGIN CERTIFICATE-----\n" + b"A" * 5000 + b"\n-----END CERTIFICATE-----\n"):
                with self.assertRaises(grpc.RpcError) as caught:
                    stub.Explain(certificate_service_pb2.ExplainRequest(chain_pem=bad))
                self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_attacker_text_reaches_no_terminal(self):
        nasty = str(self.pki.folder / "nasty.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        "/dev/null", "-out", nasty, "-utf8", "-subj", "/CN=\x1b]0;owned\x07\u202eevil"], check=True, capture_output=True)
        _, out, _ = self.explain("--chain", nasty)
        self.assertNotIn("\x1b", out)
        self.assertNotIn("\u202e", out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
