#!/usr/bin/python3
"""Passwords decided by a service of one's own: both examples of client/examples, and one that misbehaves."""
import base64
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import unittest
import urllib.request

import grpc

from harness import BIN, EventWatch, GatehouseTest, RawClient, client_context, free_port, wait_for, use_stubs

STUBS = use_stubs()
from gatehouse.v1 import credential_validator_pb2 as pb  # noqa: E402
from gatehouse.v1 import credential_validator_pb2_grpc as pb_grpc  # noqa: E402

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "client/examples/validator"
COMMANDS = {"Cpp": [BIN / "example-validator"], "Python": ["/usr/bin/python3", EXAMPLES / "validator.py"]}
SECRETS = ("correct horse", "battery-staple", "wrong-horse-1", "hang-horse", "garbage-horse", "stream-horse")

CONFIG = """
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server], client_certificate: ALLOW}}
---
{{kind: TrustStore, name: clients, anchors: [{{file: {pki}/clients.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: clients}}}}
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
kind: Scheme
name: Cpp
basic: {{validator: {{endpoints: ["127.0.0.1:{cpp}"], allow_plaintext: true, circuit_breaker: {{open_for: 500ms}}}}}}
---
kind: Scheme
name: Python
basic: {{validator: {{endpoints: ["127.0.0.1:{python}"], allow_plaintext: true, circuit_breaker: {{open_for: 500ms}}}}}}
---
kind: Scheme
name: Mutual
basic:
  validator:
    endpoints: ["127.0.0.1:{mutual}"]
    tls: {{ca_file: {pki}/services.pem, certificate_chain_file: {pki}/gateway.pem, private_key_file: {pki}/gateway.key}}
---
kind: Scheme
name: Foreign
basic:
  validator:
    endpoints: ["127.0.0.1:{mutual}"]
    deadline: 1s
    tls: {{ca_file: {pki}/services.pem, certificate_chain_file: {pki}/stranger.pem, private_key_file: {pki}/stranger.key}}
---
kind: Scheme
name: Faulty
basic:
  validator:
    endpoints: ["127.0.0.1:{faulty}"]
    allow_plaintext: true
    deadline: 1s
    circuit_breaker: {{failures: 3, open_for: 1s}}
    send: [HOST, PATH, METHOD, CLIENT_ADDRESS, LISTENER, ROUTE, REQUEST_ID, CERTIFICATE]
---
{{kind: UserStore, name: staff, users: [{{name: ann, password_hash: "{hash}"}}]}}
---
{{kind: Scheme, name: Staff, basic: {{user_store: staff}}}}
---
{{kind: Route, name: cpp, match: {{path: /Cpp}}, require: {{any_of: [Cpp]}}, identity_response: {{}}}}
---
{{kind: Route, name: python, match: {{path: /Python}}, require: {{any_of: [Python]}}, identity_response: {{}}}}
---
{{kind: Route, name: cpp-app, match: {{path: /Cpp/app}}, require: {{any_of: [Cpp]}}, upstream: app, identity_headers: {{claims: {{X-Auth-Role: role}}}}}}
---
{{kind: Route, name: python-app, match: {{path: /Python/app}}, require: {{any_of: [Python]}}, upstream: app, identity_headers: {{claims: {{X-Auth-Role: role}}}}}}
---
{{kind: Route, name: mutual, match: {{path: /mutual}}, require: {{any_of: [Mutual]}}, identity_response: {{}}}}
---
{{kind: Route, name: foreign, match: {{path: /foreign}}, require: {{any_of: [Foreign]}}, identity_response: {{}}}}
---
{{kind: Route, name: faulty, match: {{path: "/faulty/{{rest...}}"}}, require: {{any_of: [Faulty]}}, identity_response: {{}}}}
---
{{kind: Route, name: stream, match: {{path: /stream-own}}, require: {{any_of: [Faulty]}}, upstream: app}}
---
{{kind: Route, name: both, match: {{path: /both}}, require: {{any_of: [Faulty, Staff]}}, identity_response: {{}}}}
---
{{kind: Route, name: all, match: {{path: /all}}, require: {{all_of: [Certificate, Faulty]}}, identity_response: {{}}}}
---
{{kind: Route, name: open, match: {{path: /open}}, anonymous: true, fixed_response: {{body: ok}}}}
"""


def basic(user, password):
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"


class Example:
    """One of the examples as a process."""

    def __init__(self, folder, kind, port, users, *options):
        self.log = open(folder / f"example-{kind}-{port}.log", "a")
        self.path = pathlib.Path(self.log.name)
        begun = self.path.stat().st_size
        self.process = subprocess.Popen([*COMMANDS[kind], "--listen", f"127.0.0.1:{port}", "--users", users, *options],
                                        stdout=self.log, stderr=self.log, env={**os.environ, "PYTHONPATH": STUBS})
        wait_for(f"{kind} listens", lambda: "listening on" in self.path.read_text()[begun:] or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(self.path.read_text())

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        code = self.process.wait(20)
        self.log.close()
        return code


class Faulty(pb_grpc.CredentialValidatorServicer):
    """What a test wants a service to do: `answer` gets each request and returns the response, or None to hang."""

    def __init__(self, port):
        self.requests = []
        self.answer = self.allow
        self.released = threading.Event()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=32), options=[("grpc.so_reuseport", 0)])
        pb_grpc.add_CredentialValidatorServicer_to_server(self, self.server)
        assert self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    @staticmethod
    def allow(request, lifetime=0, **fields):
        response = pb.ValidateCredentialsResponse(verdict=pb.ValidateCredentialsResponse.ALLOW, **fields)
        response.lifetime.FromNanoseconds(int(lifetime * 1e9))
        return response

    @staticmethod
    def deny(request):
        return pb.ValidateCredentialsResponse(verdict=pb.ValidateCredentialsResponse.WRONG_PASSWORD)

    def Validate(self, request, context):
        self.requests.append(request)
        response = self.answer(request)
        if response is None:
            self.released.wait(30)
            context.abort(grpc.StatusCode.ABORTED, "")
        return response

    def stop(self):
        self.released.set()
        self.server.stop(grace=0).wait()


class ValidatorTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        cls.metrics_port = free_port()
        cls.options = ("--metrics-address", f"127.0.0.1:{cls.metrics_port}")
        super().setUpClass()
        cls.pki.server()
        for ca in ("services", "gateways", "strangers", "clients"):
            cls.pki.ca(ca)
        cls.pki.make("leaf", "service", "CN=service", "--ca", cls.pki.pem("services"), "--ca-key", cls.pki.key("services"),
                     "--eku", "server", "--san", "ip:127.0.0.1")
        cls.pki.leaf("gateway", "gateways")
        cls.pki.leaf("stranger", "strangers")
        cls.pki.leaf("client", "clients")
        cls.users = cls.folder / "users"
        with open(cls.users, "w") as users:
            # Each example reads what the other wrote.
            for kind, user, password, roles in (("Cpp", "ann", "correct horse", "buyer,clerk"), ("Python", "bob", "battery-staple", "")):
                line = subprocess.run([*COMMANDS[kind], "--add", user, "--roles", roles], input=password + "\n", text=True,
                                      capture_output=True, check=True, env={**os.environ, "PYTHONPATH": STUBS}).stdout
                users.write(line)
        cls.ports = {name: free_port() for name in ("cpp", "python", "mutual", "faulty")}
        cls.examples = {"Cpp": Example(cls.folder, "Cpp", cls.ports["cpp"], cls.users, "--lifetime", "0"),
                        "Python": Example(cls.folder, "Python", cls.ports["python"], cls.users, "--lifetime", "0"),
                        "Mutual": Example(cls.folder, "Cpp", cls.ports["mutual"], cls.users, "--ca", cls.pki.pem("gateways"),
                                          "--certificate", cls.pki.pem("service"), "--key", cls.pki.key("service"))}
        cls.faulty = Faulty(cls.ports["faulty"])
        # A cheap one: hashing yields to everything else that the machine does.
        cheap = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input="battery-staple\n", text=True, capture_output=True,
                               check=True).stdout.strip()
        cls.config = CONFIG.format(hash=cheap, pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port, **cls.ports)
        cls.applied = cls.gatehouse.apply(cls.config)
        cls.watch = EventWatch(cls.gatehouse)

    @classmethod
    def tearDownClass(cls):
        cls.watch.close()
        for example in cls.examples.values():
            if example.stop() != 0:
                raise AssertionError(example.path.read_text())
        cls.faulty.stop()
        super().tearDownClass()

    def setUp(self):
        self.faulty.answer = Faulty.allow
        self.faulty.requests.clear()
        self.addCleanup(self.settle)

    def settle(self):
        """The circuit breaker of the faulty service is closed again."""
        self.faulty.answer = Faulty.allow
        wait_for("the faulty service is asked", lambda: self.ask("/faulty/settle", "settle", "x")[0] == 200)

    def ask(self, path, user=None, password=None, cert=None):
        client = RawClient(self.port, client_context(self.pki, cert), timeout=60)
        self.addCleanup(client.close)
        return client.get(path, headers=basic(user, password) if user else "")

    def refusal(self, path):
        """The event of the last refusal on the path."""
        return wait_for("the event", lambda: next((e for e in reversed(self.watch.all()) if e.get("type") == "DECISION" and
                                                   e.get("request", {}).get("path") == path and e.get("outcome") == "REFUSED"), None))

    def metric(self, name):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics").read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def test_who_is_allowed_comes_in_with_the_services_claims(self):
        for kind in ("Cpp", "Python"):
            status, _, body = self.ask(f"/{kind}", "ann", "correct horse")
            self.assertEqual(status, 200)
            identity = json.loads(body)
            self.assertEqual(identity["subject"], "ann")
            self.assertEqual([(c["value"], c["issuer"], c["scheme"]) for c in identity["claims"] if c["type"] == "role"],
                             [("buyer", kind, kind), ("clerk", kind, kind)])
            self.assertEqual(self.ask(f"/{kind}", "bob", "battery-staple")[0], 200)
            self.assertIn("ALLOW ann route=", self.examples[kind].path.read_text())

    def test_http2_is_told_the_same(self):
        for password, answer in (("correct horse", "200 2"), ("wrong-horse-1", "401 2")):
            self.assertEqual(self.curl("--http2", "-u", f"ann:{password}", f"https://localhost:{self.port}/Cpp",
                                       "--resolve", f"localhost:{self.port}:127.0.0.1"), (answer, 0))

    def test_the_upstream_gets_the_claims_and_never_the_password(self):
        for kind in ("Cpp", "Python"):
            self.assertEqual(self.ask(f"/{kind}/app", "ann", "correct horse")[0], 200)
            headers = [(k.lower(), v) for k, v in self.upstream.requests[-1]["headers"]]
            self.assertIn("buyer", dict(headers)["x-auth-role"])
            self.assertNotIn("authorization", dict(headers))

    def test_who_is_not_is_answered_alike_whatever_the_reason(self):
        for kind in ("Cpp", "Python"):
            answers = []
            for user, password, reason in (("ann", "wrong-horse-1", "WRONG_PASSWORD"), ("nobody", "x", "UNKNOWN_USER"), ("ann", "", "WRONG_PASSWORD")):
                status, headers, body = self.ask(f"/{kind}", user, password)
                self.assertEqual(status, 401)
                problem = json.loads(body)
                problem.pop("request_id")
                answers.append((sorted(h for h in headers if h[0] != "date"), problem))
                wait_for("the reason", lambda: self.refusal(f"/{kind}")["reason"] == reason)
            self.assertEqual(answers[0][1], answers[1][1])
            self.assertEqual(answers[0][1], answers[2][1])
            self.assertEqual([h for h in answers[0][0] if h[0] == "www-authenticate"], [("www-authenticate", f'Basic realm="{kind}", charset="UTF-8"')])

    def test_a_killed_service_refuses_and_one_that_comes_back_is_found(self):
        for kind in ("Cpp", "Python"):
            self.examples[kind].stop(signal.SIGKILL)
            begun = time.monotonic()
            status, headers, _ = self.ask(f"/{kind}", "ann", "correct horse")
            self.assertEqual(status, 503)
            self.assertLess(time.monotonic() - begun, 4)
            self.assertIn("retry-after", dict(headers))
            event = self.refusal(f"/{kind}")
            self.assertEqual(event["reason"], "VERIFIER_UNAVAILABLE")
            self.assertIn(f"127.0.0.1:{self.ports[kind.lower()]}", event["detail"])
            self.examples[kind] = Example(self.folder, kind, self.ports[kind.lower()], self.users, "--lifetime", "0")
            wait_for("the service is found again", lambda: self.ask(f"/{kind}", "ann", "correct horse")[0] == 200, 15)

    def test_only_the_certificate_that_the_service_trusts_gets_answers(self):
        self.assertEqual(self.ask("/mutual", "ann", "correct horse")[0], 200)
        self.assertEqual(self.ask("/mutual", "ann", "wrong-horse-1")[0], 401)
        asked = lambda: self.examples["Mutual"].path.read_text().count("route=")  # noqa: E731
        before = asked()
        self.assertGreaterEqual(before, 2)
        self.assertEqual(self.ask("/foreign", "ann", "correct horse")[0], 503)
        self.assertEqual(self.refusal("/foreign")["reason"], "VERIFIER_UNAVAILABLE")
        self.assertEqual(asked(), before)

    def test_a_service_that_hangs_holds_up_its_own_requests_alone_and_for_its_deadline(self):
        self.faulty.answer = lambda request: None
        client = self.client()
        begun = time.monotonic()
        client.send(f"GET /faulty/hang HTTP/1.1\r\nHost: localhost\r\n{basic('ann', 'hang-horse')}\r\n".encode())
        self.assertEqual(self.ask("/open")[0], 200)
        self.assertLess(time.monotonic() - begun, 0.95)
        self.assertEqual(client.answer()[0], 503)
        took = time.monotonic() - begun
        self.assertGreater(took, 0.95)
        self.assertLess(took, 4)
        self.assertEqual(self.refusal("/faulty/hang")["detail"], f"127.0.0.1:{self.ports['faulty']}: DEADLINE_EXCEEDED")

    def test_the_circuit_breaker_spares_clients_the_wait_and_tells(self):
        self.faulty.answer = lambda request: None
        opened = self.metric("gatehouse_validator_breakers_opened_total")
        for i in range(3):
            self.assertEqual(self.ask("/faulty/breaker", f"user{i}", "hang-horse")[0], 503)
        self.watch.wait(lambda e: e.get("type") == "GATEWAY" and "does not answer" in e.get("detail", "") and
                        e.get("reason") == "VERIFIER_UNAVAILABLE" and 'schemes["Faulty"]' in e["detail"])
        self.assertEqual(self.metric("gatehouse_validator_breakers_opened_total"), opened + 1)
        self.assertGreaterEqual(self.metric("gatehouse_validator_breakers_open"), 1)
        asked = len(self.faulty.requests)
        begun = time.monotonic()
        status, headers, _ = self.ask("/faulty/breaker", "ann", "hang-horse")
        self.assertEqual(status, 503)
        self.assertEqual(dict(headers)["retry-after"], "1")
        self.assertLess(time.monotonic() - begun, 0.95)
        self.assertEqual(len(self.faulty.requests), asked)
        self.faulty.answer = Faulty.allow
        wait_for("it is asked again", lambda: self.ask("/faulty/breaker", "ann", "hang-horse")[0] == 200)
        self.watch.wait(lambda e: "answers again" in e.get("detail", ""))

    def test_the_service_is_told_what_the_scheme_says_and_nothing_else(self):
        self.ask("/faulty/a/b?token=secret", "ann", "x", cert="client")
        request = self.faulty.requests[-1]
        self.assertEqual((request.user, request.password, request.scheme), ("ann", "x", "Faulty"))
        facts = request.request
        self.assertEqual((facts.host, facts.path, facts.method), ("localhost", "/faulty/a/b", "GET"))
        self.assertEqual((facts.client_address, facts.listener, facts.route), ("127.0.0.1", "edge", "faulty"))
        self.assertEqual(len(facts.request_id), 24)
        event = self.watch.wait(lambda e: e.get("request", {}).get("requestId", e.get("request", {}).get("request_id")) == facts.request_id)
        self.assertEqual(facts.certificate_sha256, event["certificate"]["sha256"])
        self.ask("/faulty/a/b", "ann", "x", cert="stranger")
        self.assertEqual(self.faulty.requests[-1].request.certificate_sha256, "")

    def test_an_answer_counts_for_its_lifetime_and_for_what_it_was_given_for(self):
        self.faulty.answer = lambda request: Faulty.allow(request, lifetime=1.0)
        for path, asked in (("/faulty/life", 1), ("/faulty/life", 1), ("/faulty/other", 2)):
            self.assertEqual(self.ask(path, "ann", "x")[0], 200)
            self.assertEqual(len(self.faulty.requests), asked)
        self.faulty.answer = Faulty.deny
        wait_for("it is asked again", lambda: self.ask("/faulty/life", "ann", "x")[0] == 401, 5)
        self.faulty.answer = Faulty.allow
        self.faulty.requests.clear()
        for asked in (1, 2):
            self.assertEqual(self.ask("/faulty/none", "ann", "x")[0], 200)
            self.assertEqual(len(self.faulty.requests), asked)

    def test_answers_that_cannot_be_believed_refuse(self):
        claim = lambda type, value: pb.ValidatedClaim(type=type, value=value)  # noqa: E731
        cases = {
            "thumbprint": lambda r: Faulty.allow(r, claims=[claim("role", "x"), claim("thumbprint", "00")]),
            "name": lambda r: Faulty.allow(r, claims=[claim("name", "root")]),
            "control": lambda r: Faulty.allow(r, claims=[claim("role", "garbage-horse\r\nX-Admin: 1")]),
            "large": lambda r: Faulty.allow(r, claims=[claim("role", "v" * 4097)]),
            "huge": lambda r: Faulty.allow(r, claims=[claim("role", "v" * (1 << 20))]),
            "many": lambda r: Faulty.allow(r, claims=[claim("role", str(i)) for i in range(65)]),
            "user": lambda r: Faulty.allow(r, user="root"),
            "verdict": lambda r: pb.ValidateCredentialsResponse(),
            "lifetime": lambda r: Faulty.allow(r, lifetime=-1),
        }
        for name, answer in cases.items():
            self.faulty.answer = answer
            self.assertEqual(self.ask(f"/faulty/{name}", "ann", "garbage-horse")[0], 503, name)
            self.assertEqual(self.refusal(f"/faulty/{name}")["reason"], "VERIFIER_UNAVAILABLE")
        self.faulty.answer = Faulty.allow
        self.assertEqual(self.ask("/faulty/thumbprint", "ann", "garbage-horse")[0], 200, "no breaker opened over it")

    def test_another_scheme_may_let_in_whom_a_service_that_is_down_does_not(self):
        self.faulty.answer = lambda request: None
        self.assertEqual(self.ask("/both", "ann", "battery-staple")[0], 200)
        self.assertEqual(self.ask("/both", "ann", "wrong-horse-1")[0], 503)
        self.assertEqual(self.ask("/all", "ann", "x")[0], 401, "the certificate is missing, nobody is asked")
        self.assertEqual(self.ask("/all", "ann", "x", cert="client")[0], 503)
        self.faulty.answer = Faulty.allow
        wait_for("all of it", lambda: self.ask("/all", "ann", "x", cert="client")[0] == 200)

    def test_a_stream_is_asked_about_again_when_the_answer_is_used_up(self):
        self.faulty.answer = lambda request: Faulty.allow(request, lifetime=1.0)
        client = self.client()
        client.send(f"GET /stream-own HTTP/1.1\r\nHost: localhost\r\n{basic('ann', 'stream-horse')}\r\n".encode())
        wait_for("the stream runs", lambda: b"tick" in client.buffer or client._fill())
        wait_for("it is asked about again", lambda: len(self.faulty.requests) >= 3, 10)
        client.buffer = b""
        wait_for("it still runs", lambda: b"tick" in client.buffer or client._fill())
        self.faulty.answer = Faulty.deny
        self.assertTrue(client.closed(5))
        self.watch.wait(lambda e: e.get("type") == "TRUST" and e.get("streams") == 1)

    def test_a_stream_is_cut_when_nobody_can_say_whether_it_may_go_on(self):
        self.faulty.answer = lambda request: Faulty.allow(request, lifetime=1.0)
        client = self.client()
        client.send(f"GET /stream-own HTTP/1.1\r\nHost: localhost\r\n{basic('bob', 'stream-horse')}\r\n".encode())
        wait_for("the stream runs", lambda: b"tick" in client.buffer or client._fill())
        self.faulty.answer = lambda request: None
        self.assertTrue(client.closed(6))

    def test_a_changed_service_is_asked_anew(self):
        self.faulty.answer = lambda request: Faulty.allow(request, lifetime=60)
        for _ in range(2):
            self.assertEqual(self.ask("/faulty/change", "ann", "x")[0], 200)
        self.assertEqual(len(self.faulty.requests), 1)
        self.gatehouse.apply(self.config.replace("failures: 3", "failures: 4"))
        self.assertEqual(self.ask("/faulty/change", "ann", "x")[0], 200)
        self.assertEqual(len(self.faulty.requests), 2)
        self.gatehouse.apply(self.config)

    def test_guesses_are_slowed_whatever_the_service_says(self):
        self.faulty.answer = Faulty.deny
        statuses = [self.ask("/faulty/guess", "victim", f"guess-{i}")[0] for i in range(8)]
        self.assertEqual(statuses[:5], [401] * 5)
        self.assertIn(429, statuses)
        self.assertLess(len(self.faulty.requests), 8)

    def test_identical_credentials_are_asked_about_once_at_a_time(self):
        self.faulty.answer = lambda request: (time.sleep(0.3), Faulty.allow(request))[1]
        clients = [self.client() for _ in range(10)]
        for client in clients:
            client.send(f"GET /faulty/crowd HTTP/1.1\r\nHost: localhost\r\n{basic('ann', 'x')}\r\n".encode())
        self.assertEqual([client.answer()[0] for client in clients], [200] * 10)
        self.assertLess(len(self.faulty.requests), 4)

    def test_the_key_is_never_shown(self):
        shown = self.gatehouse.ctl("get", "scheme", "Mutual", "-o", "yaml").stdout
        self.assertIn("127.0.0.1", shown)
        self.assertNotIn("PRIVATE KEY", shown)
        self.gatehouse.apply(shown)
        self.assertEqual(self.ask("/mutual", "ann", "correct horse")[0], 200)

    def test_apply_warns_of_plaintext_and_refuses_it_over_a_network(self):
        self.assertIn("is asked in plaintext", self.applied.stdout + self.applied.stderr)
        refused = self.gatehouse.apply('{kind: Scheme, name: Far, basic: {validator: {endpoints: ["192.0.2.1:9000"], allow_plaintext: true}}}',
                                       check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn('schemes["Far"].basic.validator.endpoints[0]', refused.stderr + refused.stdout)

    def test_explain_says_whom_it_would_ask_and_asks_nobody(self):
        said = self.gatehouse.ctl("cert", "explain", "--scheme", "Mutual").stdout
        for text in (f"127.0.0.1:{self.ports['mutual']}", "circuit breaker closed", "mutual TLS", "CLIENT_ADDRESS", "the service decides"):
            self.assertIn(text, said)
        self.faulty.answer = lambda request: None
        for i in range(3):
            self.ask("/faulty/explain", f"user{i}", "x")
        asked = len(self.faulty.requests)
        explained = self.gatehouse.ctl("cert", "explain", "--route", "faulty", "-o", "json").stdout
        [delegated] = json.loads(explained)["delegated"]
        self.assertEqual(delegated["scheme"], "Faulty")
        self.assertNotIn("asked", delegated["endpoints"][0])
        self.assertIn("PATH", delegated["sent"])
        self.assertEqual(len(self.faulty.requests), asked)
        self.assertNotEqual(self.gatehouse.ctl("cert", "explain", "--scheme", "Staff", check=False).returncode, 0)

    def test_zz_no_password_is_in_any_log_or_event(self):
        looked_at = 0
        for path in self.folder.rglob("*"):
            if not path.is_file() or path.name.endswith((".pem", ".key")):
                continue
            text = path.read_bytes()
            looked_at += len(text)
            for secret in SECRETS:
                self.assertNotIn(secret.encode(), text, path)
                self.assertNotIn(base64.b64encode(f"ann:{secret}".encode()), text, path)
        self.assertGreater(looked_at, 10_000)


class RemoteGatewayTest(GatehouseTest):
    """A gateway on its own gets the service's key with its configuration, keeps it sealed, and asks from there."""

    options = ("--no-gateway",)

    def test_it_asks_with_the_key_that_it_was_given_also_when_it_starts_alone(self):
        self.pki.server()
        for ca in ("services", "gateways"):
            self.pki.ca(ca)
        self.pki.make("leaf", "service", "CN=service", "--ca", self.pki.pem("services"), "--ca-key", self.pki.key("services"),
                      "--eku", "server", "--san", "ip:127.0.0.1")
        self.pki.leaf("gateway", "gateways")
        users = self.folder / "users"
        users.write_text(subprocess.run([*COMMANDS["Cpp"], "--add", "ann"], input="correct horse\n", text=True, capture_output=True,
                                        check=True).stdout)
        port = free_port()
        service = Example(self.folder, "Cpp", port, users, "--ca", self.pki.pem("gateways"), "--certificate", self.pki.pem("service"),
                          "--key", self.pki.key("service"))
        self.addCleanup(service.stop)
        self.gatehouse.apply(f"""
{{kind: ServerCertificate, name: server, certificate_chain_file: {self.pki.pem("server")}, private_key_file: {self.pki.key("server")}}}
---
{{kind: Listener, name: edge, address: "127.0.0.1:{self.port}", server_certificates: [server]}}
---
kind: Scheme
name: Mutual
basic:
  validator:
    endpoints: ["127.0.0.1:{port}"]
    tls: {{ca_file: {self.pki.pem("services")}, certificate_chain_file: {self.pki.pem("gateway")}, private_key_file: {self.pki.key("gateway")}}}
---
{{kind: Route, name: mutual, match: {{path: /mutual}}, require: {{any_of: [Mutual]}}, identity_response: {{}}}}
""")
        for control in (self.gatehouse.control, f"unix:{self.folder}/nobody"):
            out = self.folder / "gateway.out"
            with open(out, "w") as stdout, open(self.folder / "gateway.log", "a") as stderr:
                gateway = subprocess.Popen([BIN / "gatehouse-gateway", "--control", control, "--name", "edge-1", "--workers", "2",
                                            "--state-dir", self.folder / "gateway"], stdout=stdout, stderr=stderr)
            try:
                wait_for("the gateway is ready", lambda: gateway.poll() is not None or "ready" in out.read_text(), 30)
                for password, status in (("correct horse", 200), ("wrong-horse-1", 401)):
                    self.assertEqual(self.client().get("/mutual", headers=basic("ann", password))[0], status)
            finally:
                gateway.terminate()
                self.assertEqual(gateway.wait(20), 0)
        key = pathlib.Path(self.pki.key("gateway")).read_bytes().splitlines()[1]
        for path in [*(self.folder / "gateway").rglob("*"), *self.gatehouse.state.rglob("*")]:
            if path.is_file():
                self.assertNotIn(key, path.read_bytes(), path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
