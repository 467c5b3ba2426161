#!/usr/bin/python3
"""The control plane with an independent gRPC client (Python's), and what it does with bad input."""
import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import BIN, EDGE, EventWatch, GatehouseTest, use_stubs, wait_for

use_stubs()
import grpc  # noqa: E402
from gatehouse.v1 import config_service_pb2, config_service_pb2_grpc, config_set_pb2, event_service_pb2, event_service_pb2_grpc  # noqa: E402
from gatehouse.v1 import status_service_pb2, status_service_pb2_grpc  # noqa: E402

BASE = EDGE + """---
{{kind: TrustStore, name: partners, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
{{kind: Route, name: open, match: {{path: /open}}, anonymous: true, fixed_response: {{body: one}}}}
"""


class ControlTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.leaf("alice", "ca")
        cls.pki.server()
        cls.base = BASE.format(pki=cls.pki.folder, port=cls.port)
        cls.gatehouse.apply(cls.base)
        cls.channel = grpc.insecure_channel(cls.gatehouse.control)
        cls.config = config_service_pb2_grpc.ConfigServiceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        super().tearDownClass()

    def test_texts_of_any_alphabet_and_length_make_no_answer_and_no_event_unreadable(self):
        scheme = '{{kind: UserStore, name: staff}}\n---\n{{kind: Scheme, name: Basic, basic: {{realm: "{}", user_store: staff}}}}\n'
        with EventWatch(self.gatehouse) as watch:
            for before in ("", "a", "aa"):  # wherever what is told of the realm is cut
                done = self.gatehouse.apply(scheme.format(before + "\u20ac" * 40))
                self.assertIn("\u20ac...", done.stdout)
            self.gatehouse.ctl("history", "--json")
            for before in ("", "a", "aa"):
                self.assertEqual(self.gatehouse.apply(scheme.format("x"), "--message", before + "\u20ac" * 1000, check=False).returncode, 1)
            nobody = "\u20ac" * 100
            wrong = "\n---\n".join(f"{{kind: Scheme, name: S{i}, basic: {{realm: a, user_store: {nobody}}}}}" for i in range(20))
            self.assertIn("no user store named", self.gatehouse.apply(wrong, check=False).stderr)
            self.gatehouse.apply(self.base, "--replace-all", "--message", "the end")
            watch.wait(lambda e: e.get("audit", {}).get("message") == "the end")
            self.assertEqual(len([e for e in watch.all() if e["outcome"] == "REFUSED" and "3000 octets" in e.get("detail", "")]), 1)

    def test_python_applies_a_configuration_and_watches_what_it_does(self):
        events = event_service_pb2_grpc.EventServiceStub(self.channel).Watch(event_service_pb2.WatchRequest())
        events.initial_metadata()
        seen = []

        def read():
            try:
                for message in events:
                    seen.extend(message.events)
            except grpc.RpcError:
                pass

        threading.Thread(target=read, daemon=True).start()
        request = config_service_pb2.ApplyRequest()
        request.options.wait.wait = True
        route = request.resources.routes.add(name="from-python", anonymous=True)
        route.match.path = "/from-python"
        route.fixed_response.body = "hi"
        answer = self.config.Apply(iter([request]))
        self.assertEqual(answer.force.in_force, 1)
        self.assertEqual([(c.id.name, c.action) for c in answer.changes], [("from-python", config_service_pb2.Change.ADDED)])
        self.assertEqual(self.status("/from-python"), 200)
        wait_for("the decision is streamed", lambda: any(e.request.route == "from-python" for e in seen))
        events.cancel()

    def test_a_resumed_watch_gets_what_it_missed(self):
        stub = event_service_pb2_grpc.EventServiceStub(self.channel)
        first = stub.Watch(event_service_pb2.WatchRequest())
        first.initial_metadata()
        self.status("/open")
        cursor = next(first).events[-1].cursor
        first.cancel()
        self.status("/open", method="HEAD")
        again = stub.Watch(event_service_pb2.WatchRequest(after=cursor))
        found = False
        for message in again:
            found = any(e.request.method == "HEAD" for e in message.events)
            self.assertTrue(all(e.cursor.sequence > cursor.sequence for e in message.events))
            if found:
                break
        again.cancel()
        self.assertTrue(found)
        other = event_service_pb2.WatchRequest()
        other.after.incarnation = "another"
        with self.assertRaises(grpc.RpcError) as caught:
            next(stub.Watch(other))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.OUT_OF_RANGE)

    def test_secrets_are_never_returned(self):
        got = self.gatehouse.ctl("get", "server-certificate", "server", "-o", "json").stdout
        self.assertIn("BEGIN CERTIFICATE", got)
        self.assertNotIn("PRIVATE KEY", got)
        database = (self.gatehouse.state).rglob("*")
        for path in database:
            if path.is_file():
                self.assertNotIn(b"PRIVATE KEY", path.read_bytes(), path)

    def test_etags_and_masks_guard_updates(self):
        get = config_service_pb2.GetRequest()
        get.id.kind = config_set_pb2.ROUTE
        get.id.name = "open"
        resource = self.config.Get(get)
        update = config_service_pb2.UpdateRequest(resource=resource)
        update.resource.route.fixed_response.body = "two"
        update.resource.route.anonymous = False  # not in the mask: must not count
        update.update_mask.paths.append("fixed_response")
        update.wait.wait = True
        changed = self.config.Update(update)
        self.assertTrue(changed.resource.route.anonymous)
        self.assertEqual(self.client().get("/open")[2], b"two")
        with self.assertRaises(grpc.RpcError) as caught:
            self.config.Update(update)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.ABORTED)

    def test_everything_wrong_is_told_at_once_and_nothing_changes(self):
        before = self.gatehouse.revision()
        bad = """
{kind: Route, name: a, match: {path: /a}, require: {any_of: [Basci]}, identity_response: {}}
---
{kind: Route, name: b, match: {path: /b}, identity_response: {}}
---
{kind: Route, name: c, match: {path: /c}, require: {any_of: []}, identity_response: {}}
---
{kind: TrustStore, name: empty}
---
{kind: TrustStore, name: broken, anchors: [{pem: nonsense}]}
---
{kind: Scheme, name: online, client_certificate: {trust_store: partners, revocation: {mode: ONLINE, ocsp_url: "ftp://x"}}}
---
{kind: Listener, name: second, address: "127.0.0.1:%d", server_certificates: [missing]}
---
{kind: Upstream, name: u, endpoints: ["nowhere"]}
""" % self.port
        done = self.gatehouse.apply(bad, check=False)
        self.assertEqual(done.returncode, 1)
        text = done.stdout + done.stderr
        for expected in ('routes["a"].require.any_of[0]', 'routes["b"]', 'routes["c"].require', 'trustStores["empty"]', 'trustStores["broken"].anchors[0]',
                         'schemes["online"].client_certificate.revocation.ocsp_url', 'listeners["second"].server_certificates[0]',
                         'listeners["second"].address', 'upstreams["u"].endpoints[0]'):
            self.assertIn(expected.lower(), text.lower())
        self.assertEqual(self.gatehouse.revision(), before)
        self.assertEqual(self.status("/open"), 200)

    def test_a_mismatched_key_unknown_fields_and_duplicates_are_refused(self):
        before = self.gatehouse.revision()
        for text in (f"kind: ServerCertificate\nname: server\ncertificate_chain_file: {self.pki.pem('server')}\nprivate_key_file: {self.pki.key('ca')}\n",
                     "{kind: Route, name: x, match: {path: /x, colour: red}, anonymous: true, fixed_response: {}}",
                     "{kind: Route, name: x, match: {path: /x}, anonymous: true, fixed_response: {}}\n---\n"
                     "{kind: Route, name: x, match: {path: /y}, anonymous: true, fixed_response: {}}",
                     "{kind: Nonsense, name: x}", "kind: [", "{kind: Route}"):
            done = self.gatehouse.apply(text, check=False)
            self.assertEqual(done.returncode, 1, text + done.stdout + done.stderr)
            self.assertIn("error", done.stderr + done.stdout)
        self.assertEqual(self.gatehouse.revision(), before)

    def test_a_port_that_another_process_holds_is_told_and_the_old_configuration_stays_until_it_is_free(self):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()
            port = held.getsockname()[1]
            busy = f'{{kind: Listener, name: busy, address: "127.0.0.1:{port}", server_certificates: [server]}}'
            for _ in range(2):  # nothing is changed by the second, and nothing is in force
                done = self.gatehouse.apply(busy, check=False)
                self.assertIn(str(port), done.stdout + done.stderr)
                self.assertEqual(done.returncode, 7)
            self.assertEqual(self.status("/open"), 200)
        wait_for("the port is taken", lambda: self.opens(port))
        self.assertEqual(self.gatehouse.apply(busy).returncode, 0)
        self.gatehouse.ctl("delete", "listener", "busy")

    @staticmethod
    def opens(port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def test_dry_run_changes_nothing_and_apply_again_makes_no_revision(self):
        before = self.gatehouse.revision()
        done = self.gatehouse.apply("{kind: Route, name: dry, match: {path: /dry}, anonymous: true, fixed_response: {}}", "--dry-run")
        self.assertIn("routes/dry", done.stdout)
        self.assertEqual(self.gatehouse.revision(), before)
        self.assertEqual(self.status("/dry"), 404)
        text = "{kind: Route, name: twice, match: {path: /twice}, anonymous: true, fixed_response: {}}"
        self.gatehouse.apply(text)
        after = self.gatehouse.revision()
        self.gatehouse.apply(text)
        self.assertEqual(self.gatehouse.revision(), after)

    def test_a_rollback_is_in_force_at_once_and_lets_nobody_back_in_by_itself(self):
        alice = lambda path: self.status(path, "alice")
        self.gatehouse.apply("{kind: Route, name: mine, match: {path: /mine}, require: {any_of: [Certificate]}, fixed_response: {}}")
        before = self.gatehouse.revision()
        self.addCleanup(lambda: self.gatehouse.apply(self.base, "--replace-all"))
        self.assertEqual(alice("/mine"), 200)
        # Somebody is kept out, and a route is spoilt.
        self.pki.ca("other")
        self.gatehouse.ctl("trust-store", "add-cert", "partners", self.pki.pem("other"), "--as", "anchor")
        self.gatehouse.ctl("trust-store", "remove-cert", "partners", self.pki.pem("ca"))
        self.gatehouse.apply("{kind: Route, name: open, match: {path: /open}, anonymous: true, fixed_response: {status: 500}}")
        self.assertEqual((alice("/mine"), alice("/open")), (401, 500))

        shown = self.gatehouse.ctl("rollback", str(before), "--dry-run")
        self.assertIn("dry run", shown.stdout)
        self.assertEqual(alice("/open"), 500)
        done = self.gatehouse.ctl("rollback", str(before))
        self.assertIn("in force on 1 of 1", done.stdout)
        self.assertIn("trust comes back only with restore_trust", done.stderr)
        self.assertEqual((alice("/mine"), alice("/open")), (401, 200))
        self.gatehouse.ctl("rollback", str(before), "--restore-trust")
        self.assertEqual((alice("/mine"), alice("/open")), (200, 200))
        self.assertIn(f"rollback to revision {before}", self.gatehouse.ctl("history").stdout)
        self.assertEqual(self.gatehouse.ctl("rollback", "99999", check=False).returncode, 3)

    def test_what_is_exported_can_be_applied_again(self):
        exported = self.gatehouse.ctl("get", "route", "open", "-o", "yaml").stdout
        before = self.gatehouse.revision()
        self.gatehouse.apply(exported)
        self.assertEqual(self.gatehouse.revision(), before)

    def test_other_users_cannot_reach_the_control_socket(self):
        path = str(self.gatehouse.state / "run" / "control.sock")
        self.assertEqual(os.stat(os.path.dirname(path)).st_mode & 0o777, 0o700)
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", BIN / "gatehousectl", "--server",
                               self.gatehouse.control, "status"], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)

    def test_attacker_text_does_not_reach_a_terminal_raw(self):
        # Not with `cert new`, which makes none that no gateway would accept.
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=evil\x1b[2Jname", "-out", self.pki.pem("esc"), "-keyout", self.pki.key("esc")], check=True, capture_output=True)
        with EventWatch(self.gatehouse) as watch:
            self.client("esc").get("/nowhere")
            watch.wait(lambda e: e["type"] == "DECISION" and e["request"]["path"] == "/nowhere")
            self.assertNotIn("\x1b", watch.path.read_text())
        shown = subprocess.run([BIN / "gatehousectl", "cert", "show", self.pki.pem("esc")], capture_output=True).stdout
        self.assertNotIn(b"\x1b[2J", shown)

    def test_status_tells_the_gateway_and_its_revision(self):
        status = status_service_pb2_grpc.StatusServiceStub(self.channel).GetStatus(status_service_pb2.GetStatusRequest())
        self.assertEqual(len(status.gateways), 1)
        self.assertEqual(status.gateways[0].acknowledged_revision, status.revision)


class RestartTest(GatehouseTest):
    def test_the_configuration_survives_a_kill(self):
        self.pki.ca("ca")
        self.pki.server()
        self.gatehouse.apply(BASE.format(pki=self.pki.folder, port=self.port))
        revision = self.gatehouse.revision()
        self.gatehouse.process.kill()
        self.gatehouse.process.wait()
        self.gatehouse.start()
        self.assertEqual(self.gatehouse.revision(), revision)
        self.assertEqual(self.status("/open"), 200)

    def test_a_second_process_on_the_same_state_is_refused(self):
        done = subprocess.run([BIN / "gatehouse", "--state-dir", self.gatehouse.state], capture_output=True, text=True, timeout=20)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("gatehouse", done.stderr)
        self.assertIsNone(self.gatehouse.process.poll())


class RemoteGatewayTest(GatehouseTest):
    """`gatehouse --no-gateway` with a `gatehouse-gateway` apart."""

    options = ("--no-gateway",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.ca("second")
        cls.pki.leaf("alice", "ca")
        cls.pki.leaf("bob", "second")
        cls.pki.server()

    def start_gateway(self, *options):
        self.out = self.folder / f"gateway-{time.monotonic_ns()}.out"
        self.log = self.folder / "gateway.log"
        process = subprocess.Popen([BIN / "gatehouse-gateway", "--control", self.gatehouse.control, "--name", "far", "--workers", "2",
                                    "--state-dir", self.folder / "far", *options], stdout=open(self.out, "w"), stderr=open(self.log, "a"),
                                   env=dict(os.environ, MALLOC_PERTURB_="170"))  # what is freed is overwritten
        self.addCleanup(lambda: (process.kill(), process.wait()))
        wait_for("the gateway is ready", lambda: process.poll() is not None or "ready" in self.out.read_text(), 30)
        self.assertIsNone(process.poll(), self.log.read_text())
        return process

    def far(self):
        return next(g for g in json.loads(self.gatehouse.ctl("status", "--json").stdout)["gateways"] if g["name"] == "far")

    def test_a_question_that_waits_for_a_responder_holds_up_no_change(self):
        with socket.socket() as responder:  # takes connections, never answers
            responder.bind(("127.0.0.1", 0))
            responder.listen()
            responder.settimeout(10)
            self.gatehouse.apply(BASE.format(pki=self.pki.folder, port=self.port) + f"""
---
{{kind: Scheme, name: slow, client_certificate: {{trust_store: partners, revocation: {{mode: ONLINE, timeout: 20s,
  ocsp_url: "http://127.0.0.1:{responder.getsockname()[1]}/", fetch: {{allowed_ranges: ["127.0.0.1"]}}}}}}}}
""")
            self.start_gateway()
            asking = subprocess.Popen(
                [BIN / "gatehousectl", "--server", self.gatehouse.control, "cert", "explain", "--chain",
                 self.pki.pem("alice"), "--scheme", "slow", "--gateway", "far"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                held, _ = responder.accept()  # the gateway asks
                self.addCleanup(held.close)
                self.gatehouse.ctl("trust-store", "add-cert", "partners", "--as", "anchor", self.pki.pem("second"))
                self.assertEqual(int(self.far()["acknowledged_revision"]), self.gatehouse.revision())
                self.assertIsNone(asking.poll(), "it was answered before the change")
            finally:
                asking.kill()
                asking.wait()

    def test_signals_end_it_while_it_waits_for_a_control_plane(self):
        process = subprocess.Popen([BIN / "gatehouse-gateway", "--control", f"unix:{self.folder}/nowhere", "--state-dir", self.folder / "waiting",
                                    "--startup-wait", "600", "--drain", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stderr.close()))
        self.assertIn("nowhere", process.stderr.readline())  # it looks for one
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)

    def test_files_that_change_while_it_ends_do_no_harm(self):
        self.pki.server("files")
        self.pki.server("next")
        self.gatehouse.apply(f"""
kind: ServerCertificate
name: files
files: {{certificate_chain_path: {self.pki.pem("files")}, private_key_path: {self.pki.key("files")}}}
---
{{kind: Listener, name: files, address: "127.0.0.1:0", server_certificates: [files]}}
""", "--no-wait")
        process = self.start_gateway("--drain", "0")
        self.gatehouse.kill()  # its last events keep the gateway for a while
        for kind in (self.pki.key, self.pki.pem):
            os.replace(kind("next"), kind("files"))
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
        self.gatehouse.start()
        self.assertEqual(code, 0, self.log.read_text()[-600:])
        self.gatehouse.ctl("delete", "listener", "files")
        self.gatehouse.ctl("delete", "server-certificate", "files")

    def test_a_gateway_apart_follows_goes_on_alone_and_comes_back(self):
        secure = """
---
{kind: Route, name: secure, match: {path: /secure}, require: {any_of: [Certificate]}, identity_response: {}}
"""
        self.gatehouse.apply(BASE.format(pki=self.pki.folder, port=self.port) + secure)
        process = self.start_gateway()
        self.assertEqual(self.status("/secure", "alice"), 200)

        # a delta, in force when apply returned; events come up
        with EventWatch(self.gatehouse) as watch:
            self.gatehouse.ctl("trust-store", "add-cert", "partners", "--as", "anchor", self.pki.pem("second"))
            self.assertEqual(self.status("/secure", "bob"), 200)
            event = watch.wait(lambda e: e["type"] == "DECISION" and e["outcome"] == "ALLOWED")
            self.assertEqual(event["gateway"], "far")
        self.assertEqual(int(self.far()["acknowledged_revision"]), self.gatehouse.revision())

        # what it cannot take is refused with the path, and the old one stays
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()
            busy = held.getsockname()[1]
            self.gatehouse.apply(f'{{kind: Listener, name: busy, address: "127.0.0.1:{busy}", server_certificates: [server]}}', check=False)
            wait_for("the refusal is told", lambda: self.far().get("violations"))
            self.assertIn("busy", json.dumps(self.far()["violations"]))
            self.assertEqual(self.status("/secure", "alice"), 200)
        wait_for("it is taken when the port is free", lambda: int(self.far()["acknowledged_revision"]) == self.gatehouse.revision())
        self.gatehouse.ctl("delete", "listener", "busy")

        explained = json.loads(self.gatehouse.ctl("cert", "explain", "--chain", self.pki.pem("alice"), "--gateway", "far", "-o", "json").stdout)
        self.assertTrue(explained["verdicts"][0]["accepted"])

        # the control plane goes: the gateway goes on, and starts again from disk
        self.gatehouse.process.kill()
        self.gatehouse.process.wait()
        self.assertEqual(self.status("/secure", "alice"), 200)
        sealed = self.folder / "far" / "snapshot.sealed"
        self.assertEqual(sealed.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(b"CERTIFICATE", sealed.read_bytes())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)
        process = self.start_gateway("--startup-wait", "1")
        self.assertEqual(self.status("/secure", "alice"), 200)

        # it comes back with something new
        self.gatehouse.start()
        wait_for("it follows again", lambda: self.far_connected())
        self.gatehouse.ctl("trust-store", "remove-cert", "partners", self.pki.pem("second"))
        self.assertEqual(self.status("/secure", "bob"), 401)
        self.assertEqual(self.status("/secure", "alice"), 200)

        # a damaged file is not used, and nothing is served from it
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)
        self.gatehouse.process.kill()
        self.gatehouse.process.wait()
        data = bytearray(sealed.read_bytes())
        data[len(data) // 2] ^= 1
        sealed.write_bytes(data)
        process = self.start_gateway("--startup-wait", "0.5")
        with self.assertRaises(OSError):
            self.client()
        self.assertIn("sealed", self.log.read_text())
        self.gatehouse.start()
        wait_for("it serves what the control plane says", self.serves)

    def far_connected(self):
        try:
            return self.far().get("connected")
        except (StopIteration, KeyError):
            return False

    def serves(self):
        try:
            return self.status("/secure", "alice") == 200
        except OSError:
            return False


class DrainTest(GatehouseTest):
    def config(self):
        self.pki.ca("ca")
        self.pki.server()
        self.gatehouse.apply(BASE.format(pki=self.pki.folder, port=self.port) + f"""
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{self.upstream.port}"]}}
---
{{kind: Route, name: app, match: {{path: "/app/{{rest...}}"}}, anonymous: true, upstream: app}}
""")

    def setUp(self):
        if self.gatehouse.process is None:
            self.gatehouse.start()
        else:
            self.config()

    def test_a_request_that_runs_is_answered_and_the_exit_is_clean(self):
        client = self.client()
        client.send(b"GET /app/slow/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for("the upstream has it", lambda: any("slow" in r["path"] for r in self.upstream.requests))
        self.gatehouse.process.send_signal(signal.SIGTERM)
        status, headers, _ = client.answer()
        self.assertEqual(status, 200)
        self.assertEqual(self.gatehouse.process.wait(15), 0)
        self.gatehouse.stop()
        with self.assertRaises(OSError):
            self.client()

    def test_a_second_signal_forces(self):
        client = self.client()
        client.send(b"GET /app/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for("the stream runs", lambda: b"tick" in client.buffer or client._fill())
        self.gatehouse.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        self.assertIsNone(self.gatehouse.process.poll())
        self.gatehouse.process.send_signal(signal.SIGTERM)
        self.assertNotEqual(self.gatehouse.process.wait(5), 0)
        self.gatehouse.stop()


if __name__ == "__main__":
    unittest.main()
