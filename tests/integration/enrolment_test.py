#!/usr/bin/python3
"""Gateways that join by a token, are removed, and live without their control plane for a while."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from harness import BIN, EDGE, EventWatch, Gatehouse, Pki, RawClient, client_context, free_port, use_stubs, wait_for

use_stubs()
import grpc  # noqa: E402
from gatehouse.v1 import gateway_service_pb2, gateway_service_pb2_grpc  # noqa: E402

SECONDS = int(os.environ.get("GATEHOUSE_RESTART_SECONDS", "20"))  # of a control plane that is restarted again and again

CONFIG = EDGE + """---
{{kind: TrustStore, name: partners, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
{{kind: Route, name: secure, match: {{path: /secure}}, require: {{any_of: [Certificate]}}, fixed_response: {{body: one}}}}
"""


def limit_files(octets):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets))


class EnrolmentTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.pki = Pki(self.folder / "pki")
        self.pki.ca("ca")
        self.pki.leaf("alice", "ca")
        self.pki.server()
        self.pki.server("control", "localhost")
        self.control_port = free_port()
        self.gatehouse = Gatehouse(
            self.folder, "--no-gateway", "--listen", f"127.0.0.1:{self.control_port}", "--allow-san", "spiffe://ops/alice",
            "--tls-cert", self.pki.pem("control"), "--tls-key", self.pki.key("control"), "--client-ca", self.pki.pem("ca"))
        self.addCleanup(self.gatehouse.stop)
        self.port = free_port()
        self.gatehouse.apply(CONFIG.format(pki=self.pki.folder, port=self.port), "--no-wait")
        self.gateways = []
        self.addCleanup(self.stop_gateways)

    def stop_gateways(self):
        for process in self.gateways:
            if process.poll() is None:
                process.terminate()
                process.wait(20)

    def token(self, *options):
        return self.gatehouse.ctl("gateway", "token", "create", *options).stdout.strip()

    def gateway(self, name, *options, control=None, file_size=None, ready=True):
        out = self.folder / f"{name}-{len(self.gateways)}.out"
        log = open(self.folder / f"{name}.log", "a")
        with open(out, "w") as stdout:
            process = subprocess.Popen(
                [BIN / "gatehouse-gateway", "--control", f"localhost:{control or self.control_port}", "--name", name, "--workers", "1",
                 "--state-dir", self.folder / name, *options], stdout=stdout, stderr=log,
                preexec_fn=file_size and (lambda: limit_files(file_size)))
        log.close()
        self.gateways.append(process)
        if ready:
            wait_for("the gateway is ready", lambda: process.poll() is not None or "ready" in out.read_text(), 20)
        return process

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def status(self, name):
        all_ = json.loads(self.gatehouse.ctl("status", "--json").stdout).get("gateways", [])
        return next((g for g in all_ if g["name"] == name), {})

    def connected(self, name):
        return self.status(name).get("connected", False)

    def get(self):
        client = RawClient(self.port, client_context(self.pki, "alice"))
        try:
            return client.get("/secure")[0]
        finally:
            client.close()

    def test_a_token_lets_one_gateway_in_which_keeps_its_certificate(self):
        token = self.token()
        with EventWatch(self.gatehouse, "--type", "audit") as audit:
            process = self.gateway("edge-1", "--join", token)
            self.assertIsNone(process.poll(), self.log("edge-1"))
            event = audit.wait(lambda e: "gateway edge-1 joined" in e["detail"])
            self.assertNotIn(token.split(".")[2], json.dumps(event))
            self.assertEqual((event["audit"]["method"], event["actor"]), ("GatewayService/Join", "token:" + token.split(".")[1]))
            self.assertTrue(event["peer"].startswith("127.0.0.1:"), event)
        wait_for("it follows", lambda: self.status("edge-1").get("acknowledged_revision") == "1")
        self.assertIn("certificate_not_after", self.status("edge-1"))
        self.assertEqual(self.get(), 200)
        self.assertEqual((self.folder / "edge-1/gateway.pem").stat().st_mode & 0o777, 0o600)
        # A second time, by what it kept; the token in its command line is not asked for.
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        self.gateway("edge-1", "--join", token)
        wait_for("it is back", lambda: self.connected("edge-1"))
        # Nobody else by that token; the audit says why, the caller is not told.
        with EventWatch(self.gatehouse, "--type", "audit") as audit:
            other = self.gateway("edge-2", "--join", token)
            self.assertEqual(other.wait(20), 1)
            self.assertIn("unknown, used, expired", self.log("edge-2"))
            event = audit.wait(lambda e: e["outcome"] == "REFUSED")
            self.assertIn(f"GatewayService/Join: as edge-2: join token {token.split('.')[1]} was used, deleted or never made", event["detail"])
            self.assertEqual(event["actor"], "unknown")
        history = [json.loads(line) for line in self.gatehouse.ctl("history", "-o", "json").stdout.splitlines()]
        self.assertEqual([entry["method"] for entry in history],
                         ["GatewayService/Join", "GatewayService/CreateJoinToken", "ConfigService/Apply"])
        self.assertEqual([entry["revision"] for entry in history], ["1", "1", "1"])
        self.assertEqual(len(self.gatehouse.ctl("history", "--config", "--json").stdout.splitlines()), 1)
        refused = wait_for("the history tells of the refusal", lambda: [
            json.loads(line) for line in self.gatehouse.ctl("history", "--refused", "--json").stdout.splitlines()])[-1]
        self.assertEqual(refused["method"], "GatewayService/Join")
        self.assertIn(f"as edge-2: join token {token.split('.')[1]} was used", refused["refusal"])
        self.assertNotIn(token.split(".")[2], json.dumps(history))
        # Nor under another name by that certificate.
        shutil.copytree(self.folder / "edge-1", self.folder / "edge-3")
        other = self.gateway("edge-3")
        self.assertEqual(other.wait(20), 1)
        self.assertIn("is not of a gateway named edge-3", self.log("edge-3"))

    def test_a_disk_without_room_does_not_cost_the_token(self):
        token = self.token()
        process = self.gateway("edge-1", "--join", token, file_size=1024)
        self.assertEqual(process.wait(20), 1)
        self.assertIn("cannot write", self.log("edge-1"))
        process = self.gateway("edge-1", "--join", token)
        self.assertIsNone(process.poll(), self.log("edge-1"))
        wait_for("it follows", lambda: self.connected("edge-1"))

    def test_a_control_plane_that_the_token_does_not_name_never_sees_it(self):
        token = self.token()
        anchor = "0" * 64
        process = self.gateway("edge-1", "--join", token.rsplit(".", 1)[0] + "." + anchor)
        self.assertEqual(process.wait(20), 1)
        self.assertIn("the token was not sent", self.log("edge-1"))
        self.assertEqual(len(json.loads(self.gatehouse.ctl("gateway", "token", "list", "--json").stdout)["tokens"]), 1)

    def test_a_removed_gateway_is_cut_off_and_stays_out(self):
        self.gateway("edge-1", "--join", self.token("--gateway", "edge-1"))
        wait_for("it follows", lambda: self.connected("edge-1"))
        self.gatehouse.ctl("gateway", "remove", "edge-1")
        self.assertEqual(self.status("edge-1"), {})
        wait_for("it is told so", lambda: "removed" in self.log("edge-1"), 20)
        wait_for("it tried again", lambda: self.log("edge-1").count("the stream ended") > 2, 20)
        self.assertEqual(self.status("edge-1"), {})
        # Less and less often.
        before = self.log("edge-1").count("the stream ended")
        time.sleep(3)
        self.assertLess(self.log("edge-1").count("the stream ended") - before, 6)
        self.assertEqual(self.get(), 200)  # it goes on with what it has
        self.assertEqual(self.gatehouse.ctl("gateway", "remove", "edge-1", check=False).returncode, 3)

    def test_a_gateway_whose_name_was_given_to_another_is_cut_off_at_once(self):
        self.gateway("edge-1", "--join", self.token())
        wait_for("it follows", lambda: self.connected("edge-1"))
        before = self.log("edge-1").count("the stream ended")
        shutil.move(self.folder / "edge-1", self.folder / "stolen")
        # The second cannot listen beside the first; it joins all the same.
        self.gateway("edge-1", "--join", self.token("--gateway", "edge-1"), ready=False)
        wait_for("the first is told so", lambda: "its certificate was replaced" in self.log("edge-1"), 10)
        self.assertGreater(self.log("edge-1").count("the stream ended"), before)

    def test_it_goes_on_to_the_next_control_plane_of_its_list(self):
        dead = free_port()
        self.gateway("edge-1", "--control", f"localhost:{self.control_port}", "--join", self.token(), control=dead)
        wait_for("it follows the second", lambda: self.status("edge-1").get("acknowledged_revision") == "1")
        # The same control plane comes back under the address of the first.
        self.gatehouse.stop()
        self.assertEqual(self.get(), 200)
        at = self.gatehouse.options.index(f"127.0.0.1:{self.control_port}")
        self.gatehouse.options = (*self.gatehouse.options[:at], f"127.0.0.1:{dead}", *self.gatehouse.options[at + 1:])
        self.gatehouse.start()
        wait_for("it follows the first", lambda: self.connected("edge-1"))
        self.gatehouse.ctl("delete", "route", "secure", "--wait")
        self.assertEqual(self.get(), 404)

    def test_a_gateway_that_was_renewed_after_the_backup_is_told_how_to_come_back(self):
        process = self.gateway("edge-1", "--join", self.token())
        wait_for("it follows", lambda: self.status("edge-1").get("acknowledged_revision") == "1")
        self.gatehouse.stop()
        shutil.copytree(self.gatehouse.state, self.folder / "backup", ignore=shutil.ignore_patterns("run"))
        time.sleep(1.1)  # certificates tell whole seconds
        self.gatehouse.start()
        identity = self.folder / "edge-1/gateway.pem"
        renewed, key = self.renew(identity.read_bytes())
        process.terminate()
        process.wait(20)
        identity.write_text(key + renewed)
        self.gatehouse.stop()
        shutil.rmtree(self.gatehouse.state)
        shutil.copytree(self.folder / "backup", self.gatehouse.state)
        self.gatehouse.start()

        process = self.gateway("edge-1", "--startup-wait", "1")
        told = "its certificate was issued after the backup that the control plane was restored from; to let it in, make a token"
        wait_for("its log says so", lambda: told in self.log("edge-1"), 20)
        refused = wait_for("the history says so", lambda: self.gatehouse.ctl("history", "--refused", "--json").stdout)
        self.assertIn("gateway edge-1: " + told, refused)
        self.assertEqual(self.get(), 200)  # it goes on with what it has
        # What it says.
        process.terminate()
        process.wait(20)
        identity.unlink()
        self.gateway("edge-1", "--join", self.token("--gateway", "edge-1"))
        wait_for("it is back", lambda: self.connected("edge-1"))

    def renew(self, identity):
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        self.folder / "k", "-subj", "/CN=whatever", "-outform", "DER", "-out", self.folder / "r"],
                       check=True, capture_output=True)
        credentials = grpc.ssl_channel_credentials(pathlib.Path(self.pki.pem("control")).read_bytes(), identity, identity)
        with grpc.secure_channel(f"localhost:{self.control_port}", credentials) as channel:
            answer = gateway_service_pb2_grpc.GatewayServiceStub(channel).RenewCertificate(
                gateway_service_pb2.RenewCertificateRequest(signing_request=(self.folder / "r").read_bytes()), timeout=20)
        return answer.certificate_chain, (self.folder / "k").read_text()

    def test_a_certificate_is_renewed_over_the_api(self):
        self.gateway("edge-1", "--join", self.token())
        wait_for("it follows", lambda: self.connected("edge-1"))
        identity = (self.folder / "edge-1/gateway.pem").read_bytes()
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        self.folder / "k", "-subj", "/CN=whatever", "-outform", "DER", "-out", self.folder / "r"],
                       check=True, capture_output=True)
        credentials = grpc.ssl_channel_credentials(pathlib.Path(self.pki.pem("control")).read_bytes(), identity, identity)
        with grpc.secure_channel(f"localhost:{self.control_port}", credentials) as channel:
            stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
            answer = stub.RenewCertificate(gateway_service_pb2.RenewCertificateRequest(
                signing_request=(self.folder / "r").read_bytes()), timeout=20)
            self.assertEqual(answer.certificate_chain.count("BEGIN CERTIFICATE"), 2)
            with self.assertRaises(grpc.RpcError) as refused:
                stub.CreateJoinToken(gateway_service_pb2.CreateJoinTokenRequest(), timeout=20)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.PERMISSION_DENIED)

    def test_a_control_plane_that_is_restarted_again_and_again_costs_no_request(self):
        self.gateway("edge-1", "--join", self.token())
        wait_for("it follows", lambda: self.status("edge-1").get("acknowledged_revision") == "1")
        stop = threading.Event()
        counts = {"ok": 0, "failed": []}

        def load():
            client = RawClient(self.port, client_context(self.pki, "alice"))
            while not stop.is_set():
                try:
                    status = client.get("/secure")[0]
                    if status != 200:
                        counts["failed"].append(status)
                    counts["ok"] += status == 200
                except (OSError, ConnectionError) as e:
                    counts["failed"].append(repr(e))
                    client = RawClient(self.port, client_context(self.pki, "alice"))
            client.close()

        thread = threading.Thread(target=load)
        thread.start()
        end = time.monotonic() + SECONDS
        restarts = 0
        try:
            while time.monotonic() < end:
                self.gatehouse.kill()
                self.gatehouse.start()
                restarts += 1
                time.sleep(1)
        finally:
            stop.set()
            thread.join()
        self.assertEqual(counts["failed"], [])
        self.assertGreater(counts["ok"], 100)
        self.assertGreater(restarts, 2)
        wait_for("it follows again", lambda: self.connected("edge-1"), 30)
        self.gatehouse.apply(CONFIG.format(pki=self.pki.folder, port=self.port).replace("body: one", "body: two"))
        self.assertEqual(self.status("edge-1")["acknowledged_revision"], "2")

    def test_a_gateway_that_is_cut_off_too_long_ceases_to_authenticate_until_it_is_told_that_all_is_well(self):
        self.gateway("edge-1", "--join", self.token(), "--max-snapshot-age", "6")
        wait_for("it follows", lambda: self.status("edge-1").get("acknowledged_revision") == "1")
        self.assertEqual(self.get(), 200)
        self.gatehouse.kill()
        wait_for("it refuses", lambda: self.get() == 503, 20)
        self.gatehouse.start()
        wait_for("it authenticates again", lambda: self.get() == 200, 30)


if __name__ == "__main__":
    unittest.main()
