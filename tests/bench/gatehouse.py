"""Gatehouse as the benchmark runs it: one process with control plane and gateway on core 0, and one event watcher."""
import json
import shutil
import subprocess
import time

from servers import BCRYPT, HANDSHAKES, LOAD_CORE, USER, Failure, Server

CONFIGURATION = """
kind: TrustStore
name: clients
anchors: [{{file: {pki}/root.pem}}]
---
kind: Scheme
name: Certificate
client_certificate: {{trust_store: clients}}
---
kind: UserStore
name: users
users: [{{name: {user}, password_hashes: ["{bcrypt}"]}}]
---
kind: Scheme
name: Basic
basic: {{user_store: users, realm: bench}}
---
kind: ServerCertificate
name: localhost
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
kind: Listener
name: edge
address: 127.0.0.1:{port}
server_certificates: [localhost]
client_certificate: REQUIRE
limits: {{idle_timeout: 10m}}
---
kind: Upstream
name: upstream
endpoints: ["127.0.0.1:{upstream_port}"]
---
kind: Route
name: direct
match: {{path: /}}
require: {{any_of: [Certificate]}}
fixed_response: {{status: 200, content_type: text/plain, body: "ok\\n"}}
---
kind: Route
name: basic
match: {{path: /basic}}
require: {{any_of: [Basic]}}
fixed_response: {{status: 200, content_type: text/plain, body: "ok\\n"}}
---
kind: Route
name: proxied
match: {{path: /p}}
require: {{any_of: [Certificate]}}
upstream: upstream
identity_headers: {{claims: {{X-Client-Subject: nameidentifier}}}}
---
kind: Route
name: large
match: {{path: /large}}
require: {{any_of: [Certificate]}}
upstream: upstream
identity_headers: {{claims: {{X-Client-Subject: nameidentifier}}}}
---
kind: Route
name: echo
match: {{path: /echo}}
require: {{any_of: [Certificate]}}
upstream: upstream
identity_headers: {{claims: {{X-Client-Subject: nameidentifier}}}}
"""


class Gatehouse(Server):
    name = "gatehouse"
    options = ()

    def __init__(self, bench):
        super().__init__(bench)
        self.program = bench.bin / "gatehouse"
        self.state = self.directory / "state"
        self.socket = self.state / "run" / "control.sock"
        self.watcher = None

    def command(self):
        # The peers log nothing, and the archive is a log: what it costs is bench_events' to tell.
        return [self.program, "--state-dir", self.state, "--workers", "1", "--log-level", "warning", "--event-archive-size", "0",
                *self.options]

    def ctl(self, *arguments):
        return [str(self.bench.bin / "gatehousectl"), "--server", f"unix:{self.socket}", *map(str, arguments)]

    def start(self):
        self.configure()
        self.watch()

    def configure(self):
        shutil.rmtree(self.state, ignore_errors=True)
        self.launch(self.command())
        self.wait_for(self.socket.exists, "opens no control socket")
        conf = self.write("bench.yaml", CONFIGURATION.format(
            pki=self.bench.pki, user=USER, bcrypt=BCRYPT, port=self.port, upstream_port=self.bench.upstream_port))
        applied = subprocess.run(self.ctl("apply", "-f", conf), capture_output=True, text=True, timeout=60)
        if applied.returncode != 0:
            raise Failure(f"the configuration was refused:\n{applied.stdout}{applied.stderr}")

    def watch(self):
        with open(self.directory / "watch.log", "wb") as log:
            self.watcher = subprocess.Popen(["nice", "-n", "19", "taskset", "-c", str(LOAD_CORE), *self.ctl("events", "watch", "--output", "json")],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                                            start_new_session=True)
        self.wait_for(lambda: self.status().get("watchers", 0) == 1, "has no event watcher")

    def status(self):
        done = subprocess.run(self.ctl("status", "--json"), capture_output=True, text=True, timeout=20)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def check_watched(self):
        """Nothing counts that was measured without a watcher, or while events were lost on the way to the control plane."""
        if self.watcher.poll() is not None:
            raise Failure(f"the event watcher ended; see {self.directory}/watch.log")
        status = self.status()
        if "events" not in status:
            raise Failure("does not say how many events there were")
        lost, told = int(status.get("events_lost", 0)), int(status["events"])
        if lost > told / 1000:
            raise Failure(f"{lost} events were lost beside {told} that were told")

    def processes(self):
        return self.pids() + ([self.watcher.pid] if self.watcher is not None else [])

    def stop(self):
        if self.watcher is not None:
            self.watcher.kill()
            self.watcher.wait()
            self.watcher = None
        super().stop()
        time.sleep(0.1)


class GatehouseQuick(Gatehouse):
    """The same with the quick public key decoder, which changes handshakes only."""

    name = "gatehouse-quick"
    rows = HANDSHAKES
    options = ("--quick-spki-decoder",)


OURS = {server.name: server for server in (Gatehouse, GatehouseQuick)}
