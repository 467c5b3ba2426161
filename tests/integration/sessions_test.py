#!/usr/bin/python3
"""Which sessions resume and which do not, with openssl's client; tickets over two gateways; connections shared by names."""
import concurrent.futures
import itertools
import pathlib
import re
import socket
import subprocess
import unittest

from harness import BIN, GatehouseTest, client_context, free_port, wait_for

STORES = """
kind: TrustStore
name: partners
anchors: [{anchors}]
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
{{kind: UserStore, name: staff}}
---
{{kind: Scheme, name: Basic, basic: {{user_store: staff}}}}
---
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Route, name: secure, match: {{path: /secure}}, require: {{any_of: [Certificate, Basic]}}, fixed_response: {{body: ok}}}}
"""
LISTENER = """
---
kind: Listener
name: {name}
address: "127.0.0.1:{port}"
server_certificates: [server]
session_tickets: {tickets}
server_names:
  - {{name: none.test, client_certificate: {none}}}
  - {{name: allow.test, client_certificate: {allow}}}
  - {{name: require.test, client_certificate: {require}}}
"""
NAMES = ("none.test", "allow.test", "require.test")
MODES = {"none": "NONE", "allow": "ALLOW", "require": "REQUIRE"}
VERSIONS = ("-tls1_2", "-tls1_3")


class Answer:
    """What openssl's client saw: whether the session was reused, and the status (None: no answer)."""

    def __init__(self, text):
        self.reused = "\nReused, " in text
        status = re.search(r"HTTP/1\.1 (\d{3})", text)
        self.status = int(status[1]) if status else None


def ask(pki, port, name, version, cert=None, session_in=None, session_out=None):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, version, "-ign_eof"]
    if cert:
        command += ["-cert", pki.pem(cert), "-key", pki.key(cert)]
    if session_in:
        command += ["-sess_in", session_in]
    if session_out:
        command += ["-sess_out", session_out]
    request = f"GET /secure HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
    done = subprocess.run(command, input=request, capture_output=True, timeout=60)
    return Answer(done.stdout.decode("latin-1"))


class SessionsFixture(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for ca in ("kept", "withdrawn"):
            cls.pki.ca(ca)
            cls.pki.leaf(f"of-{ca}", ca)
        cls.pki.server("server", "localhost", *NAMES)
        cls.pool = concurrent.futures.ThreadPoolExecutor(4)
        cls.sessions = cls.folder / "sessions"
        cls.sessions.mkdir()
        cls.numbers = itertools.count()
        cls.ports = {"edge": cls.port, "other": free_port()}

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown()
        super().tearDownClass()

    def config(self, cas=("kept", "withdrawn"), tickets="false", ports=None, **modes):
        anchors = ", ".join(f"{{file: {self.pki.folder}/{ca}.pem}}" for ca in cas)
        text = STORES.format(anchors=anchors, pki=self.pki.folder)
        for name, port in (ports or self.ports).items():
            text += LISTENER.format(name=name, port=port, tickets=tickets, **{**MODES, **modes})
        return text

    def first(self, port, name, version, cert):
        """A session's file; None when there is none, as where a certificate is required and not sent."""
        path = self.sessions / f"{next(self.numbers)}"
        answer = ask(self.pki, port, name, version, cert, session_out=path)
        if answer.status is None:
            return None
        return path if path.exists() and path.stat().st_size else None


class SessionMatrixTest(SessionsFixture):
    def expect(self, name, modes, with_cert, reused, first_cert, trusted=True):
        """The status that the second connection must get."""
        mode = modes[name.split(".")[0]]
        if reused:
            return 200 if first_cert and mode != "NONE" else 401
        if mode == "NONE":
            return 401
        if with_cert:
            return 200 if trusted else 401
        return None if mode == "REQUIRE" else 401

    def run_case(self, case):
        version, name, first_cert, to, listener, then_cert, ca, change, resumes, modes, trusted = case
        session = change["sessions"][(version, name, first_cert, to, listener, then_cert)]
        if session is None:
            return None
        answer = ask(self.pki, self.ports[listener], to, version, f"of-{ca}" if then_cert else None, session_in=session)
        same = name == to and listener == "edge"
        asks = MODES[name.split(".")[0]] != "NONE"
        expected = resumes and same and (first_cert or not asks)
        status = self.expect(to, modes, then_cert, answer.reused, first_cert, trusted)
        if answer.reused == expected and answer.status == status:
            return None
        return f"{case[:7]}: reused {answer.reused} (expected {expected}), status {answer.status} (expected {status})"

    def matrix(self, change, ca="kept", targets=((None, "edge"),), resumes=True, modes=MODES, trusted=True):
        """Makes a session of every kind, changes something, and comes back with each."""
        self.gatehouse.apply(self.config())
        kinds = [(version, name, first, to or name, listener, then)
                 for version, name, first, (to, listener), then in
                 itertools.product(VERSIONS, NAMES, (False, True), targets, (False, True))]
        # One session each: a TLS 1.3 session of ours is good once.
        made = self.pool.map(lambda k: self.first(self.port, k[1], k[0], f"of-{ca}" if k[2] else None), kinds)
        sessions = dict(zip(kinds, made))
        # ALLOW gives none to who sent no certificate; TLS 1.2's client keeps the id that the hello named all the same.
        self.assertTrue(all(sessions[k] is not None for k in kinds if k[2] or k[1] == "none.test"))
        change()
        wrong = self.pool.map(self.run_case, [(*k, ca, {"sessions": sessions}, resumes, modes, trusted) for k in kinds])
        self.assertEqual([w for w in wrong if w], [])

    def test_nothing_changed_and_every_pair_of_names_and_listeners(self):
        self.matrix(lambda: None, targets=[(to, listener) for to in NAMES for listener in ("edge", "other")])

    def test_who_is_still_trusted_resumes_across_a_change_of_trust(self):
        self.matrix(lambda: self.gatehouse.apply(self.config(cas=("kept",))))

    def test_whose_authority_is_withdrawn_does_not(self):
        def withdraw():
            self.gatehouse.apply(self.config(cas=("kept",)))
        # Where no certificate is asked for none was the reason to resume.
        self.gatehouse.apply(self.config())
        for version, name in itertools.product(VERSIONS, ("allow.test", "require.test")):
            self.gatehouse.apply(self.config())
            session = self.first(self.port, name, version, "of-withdrawn")
            self.assertIsNotNone(session)
            withdraw()
            answer = ask(self.pki, self.port, name, version, "of-withdrawn", session_in=session)
            self.assertEqual((answer.reused, answer.status), (False, 401), (version, name))

    def test_a_session_does_not_cross_what_the_name_asks_for(self):
        modes = {"none": "ALLOW", "allow": "REQUIRE", "require": "ALLOW"}
        self.matrix(lambda: self.gatehouse.apply(self.config(**modes)), resumes=False, modes=modes)

    def test_a_replaced_server_certificate_costs_no_session(self):
        def replace():
            for path in (self.pki.pem("server"), self.pki.key("server")):
                pathlib.Path(path).unlink()
            self.pki.server("server", "localhost", *NAMES)
            self.gatehouse.apply(self.config())
        self.matrix(replace)

    def test_a_restart_costs_a_full_handshake(self):
        def restart():
            self.gatehouse.stop()
            self.gatehouse.start()
        self.matrix(restart, resumes=False)

    def test_a_session_resumes_on_every_worker(self):
        self.gatehouse.apply(self.config())
        for version in VERSIONS:
            path = self.sessions / f"chain{version}"
            ask(self.pki, self.port, "require.test", version, "of-kept", session_out=path)
            for _ in range(12):  # each by the kernel's choice of one of two workers
                answer = ask(self.pki, self.port, "require.test", version, "of-kept", session_in=path, session_out=path)
                self.assertEqual((answer.reused, answer.status), (True, 200))


class TicketsTest(SessionsFixture):
    """Two gateways that follow one control plane and share its ticket keys."""

    options = ("--no-gateway", "--session-ticket-period", "5")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gatehouse.apply(cls.config(cls, tickets="true", ports={"edge": 0}))
        cls.gateways = [cls.start_gateway(name) for name in ("a", "b")]

    @classmethod
    def tearDownClass(cls):
        for process, _ in cls.gateways:
            process.terminate()
            process.wait(20)
        super().tearDownClass()

    @classmethod
    def start_gateway(cls, name):
        out = cls.folder / f"{name}.out"
        with open(out, "w") as stdout, open(cls.folder / f"{name}.log", "w") as stderr:
            process = subprocess.Popen([BIN / "gatehouse-gateway", "--control", cls.gatehouse.control, "--name", name,
                                        "--workers", "2", "--state-dir", cls.folder / name], stdout=stdout, stderr=stderr)
        wait_for("the gateway is ready", lambda: process.poll() is not None or "ready" in out.read_text(), 30)
        return process, int(re.search(r"listener edge 127\.0\.0\.1:(\d+)", out.read_text())[1])

    def apply(self, **options):
        self.gatehouse.apply(self.config(tickets="true", ports={"edge": 0}, **options))

    def test_a_session_of_one_gateway_resumes_at_the_other_until_trust_is_withdrawn(self):
        (_, a), (_, b) = self.gateways
        for version, name in itertools.product(VERSIONS, ("allow.test", "require.test")):
            with self.subTest(version=version, name=name):
                self.apply()
                for ca in ("kept", "withdrawn"):
                    session = self.first(a, name, version, f"of-{ca}")
                    answer = ask(self.pki, b, name, version, f"of-{ca}", session_in=session)
                    self.assertEqual((answer.reused, answer.status), (True, 200))
                    if ca == "kept":
                        # Not under another name, and nowhere without the session's own certificate behind it.
                        other = "require.test" if name == "allow.test" else "allow.test"
                        self.assertFalse(ask(self.pki, b, other, version, f"of-{ca}", session_in=session).reused)
                kept = self.first(a, name, version, "of-kept")
                self.apply(cas=("kept",))
                for port in (a, b):
                    answer = ask(self.pki, port, name, version, "of-withdrawn", session_in=session)
                    self.assertEqual((answer.reused, answer.status), (False, 401))
                answer = ask(self.pki, b, name, version, "of-kept", session_in=kept)
                self.assertEqual((answer.reused, answer.status), (True, 200))

    def test_a_client_without_a_certificate_is_asked_again(self):
        (_, a), (_, b) = self.gateways
        self.apply()
        for version in VERSIONS:
            session = self.first(a, "allow.test", version, None)
            if session is not None:
                answer = ask(self.pki, b, "allow.test", version, "of-kept", session_in=session)
                self.assertEqual((answer.reused, answer.status), (False, 200))

    def test_a_ticket_ends_with_its_key(self):
        (_, a), (_, b) = self.gateways
        self.apply()
        sessions = {version: self.first(a, "require.test", version, "of-kept") for version in VERSIONS}
        for version, session in sessions.items():
            def rotated_out():
                answer = ask(self.pki, b, "require.test", version, "of-kept", session_in=session)
                self.assertEqual(answer.status, 200)
                return not answer.reused
            wait_for("two periods are over", rotated_out, 30)
            # New sessions come under the new key.
            again = ask(self.pki, b, "require.test", version, "of-kept", session_in=self.first(a, "require.test", version, "of-kept"))
            self.assertEqual((again.reused, again.status), (True, 200))

    def test_no_ticket_from_before_a_gateway_was_removed_resumes(self):
        (_, a), (_, b) = self.gateways
        self.apply()
        process, _ = self.start_gateway("removed")
        process.terminate()
        process.wait(20)
        sessions = {version: self.first(a, "require.test", version, "of-kept") for version in VERSIONS}
        for version, session in sessions.items():
            self.assertTrue(ask(self.pki, b, "require.test", version, "of-kept", session_in=session).reused)
        self.gatehouse.ctl("gateway", "remove", "removed")
        for version, session in sessions.items():
            def withdrawn():
                answer = ask(self.pki, b, "require.test", version, "of-kept", session_in=session)
                self.assertEqual(answer.status, 200)
                return not answer.reused
            wait_for("its keys are withdrawn", withdrawn, 3)  # sooner than by their period

    def test_no_key_is_on_a_disk_or_in_a_log(self):
        import grpc
        import sys
        stubs = self.folder / "stubs"
        stubs.mkdir(exist_ok=True)
        proto = pathlib.Path(__file__).resolve().parents[2] / "proto"
        subprocess.run(["protoc", f"-I{proto}", f"--python_out={stubs}", f"--grpc_python_out={stubs}",
                        "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
                        *sorted(str(p) for p in proto.glob("gatehouse/v1/*.proto"))], check=True)
        sys.path.insert(0, str(stubs))
        from gatehouse.v1 import snapshot_service_pb2, snapshot_service_pb2_grpc
        with grpc.insecure_channel(self.gatehouse.control) as channel:
            hello = snapshot_service_pb2.SubscribeRequest(hello={"gateway": "spy", "version": "1"})
            stream = snapshot_service_pb2_grpc.SnapshotServiceStub(channel).Subscribe(iter([hello]))
            keys = next(m.ticket_keys.keys for m in stream if m.HasField("ticket_keys"))
            stream.cancel()
        self.assertGreaterEqual(len(keys), 1)
        for path in self.folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                for key in keys:
                    self.assertNotIn(key.secret[:32], content, path)
                    self.assertNotIn(key.secret[32:], content, path)


class SharedConnectionTest(SessionsFixture):
    """An HTTP/2 client may ask for any name that the certificate covers on one connection (RFC 9113 9.1.1)."""

    def statuses(self, sni, authorities, cert):
        import h2.connection
        context = client_context(self.pki, cert, alpn=["h2"])
        connection = h2.connection.H2Connection()
        seen = {}
        with context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=10), server_hostname=sni) as sock:
            connection.initiate_connection()
            streams = {}
            for authority in authorities:
                stream = connection.get_next_available_stream_id()
                streams[stream] = authority
                connection.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":authority", authority),
                                                 (":path", "/secure")], end_stream=True)
            sock.sendall(connection.data_to_send())
            while len(seen) < len(authorities):
                for event in connection.receive_data(sock.recv(65536)):
                    if type(event).__name__ == "ResponseReceived":
                        fields = {str(k, "ascii") if isinstance(k, bytes) else k: v for k, v in event.headers}
                        seen[streams[event.stream_id]] = int(fields[":status"])
        return seen

    def test_misdirected_is_only_what_another_configuration_would_have_asked(self):
        # `allow` asks as the default does, so those share; `none` and `require` ask otherwise.
        self.gatehouse.apply(self.config())
        self.assertEqual(self.statuses("allow.test", ("allow.test", "localhost", "unknown.test", "none.test", "require.test"), "of-kept"),
                         {"allow.test": 200, "localhost": 200, "unknown.test": 200, "none.test": 421, "require.test": 421})
        # In the other direction too: a connection that never was asked does not open what asks, nor one without SNI's name.
        self.assertEqual(self.statuses("none.test", ("none.test", "allow.test", "require.test", "localhost"), None),
                         {"none.test": 401, "allow.test": 421, "require.test": 421, "localhost": 421})
        self.assertEqual(self.statuses("require.test", ("require.test", "allow.test"), "of-kept"),
                         {"require.test": 200, "allow.test": 421})
        # Names that begin to ask the same share from the next request on.
        self.gatehouse.apply(self.config(require="ALLOW"))
        self.assertEqual(self.statuses("require.test", ("require.test", "allow.test"), "of-kept"),
                         {"require.test": 200, "allow.test": 200})


if __name__ == "__main__":
    unittest.main()
