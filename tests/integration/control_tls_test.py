#!/usr/bin/python3
"""The control API over mutual TLS: its files are renewed while it runs."""
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

from harness import BIN, Gatehouse, Pki, wait_for

SECONDS = 3  # within which a renewed file is in use


class ControlTlsTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.pki = Pki(self.folder / "pki")
        for name in ("first", "second"):
            self.pki.ca(name)
            self.pki.leaf(f"{name}-ops", name, None, "--san", "uri:spiffe://ops/alice")
        for name in ("old", "new"):
            self.pki.server(name, "localhost")
        self.live = {kind: self.folder / f"{kind}.pem" for kind in ("cert", "key", "ca")}
        self.put(cert=self.pki.pem("old"), key=self.pki.key("old"), ca=[self.pki.pem("first"), self.pki.pem("second")])
        self.gatehouse = Gatehouse(self.folder, "--no-gateway", "--listen", "127.0.0.1:0", "--allow-san", "spiffe://ops/alice",
                                   "--tls-cert", self.live["cert"], "--tls-key", self.live["key"], "--client-ca", self.live["ca"])
        self.addCleanup(self.gatehouse.stop)
        out = (self.folder / "gatehouse.out").read_text()
        self.port = int(re.search(r"control 127\.0\.0\.1:(\d+)", out)[1])

    def put(self, **files):
        for kind, sources in files.items():
            text = "".join(pathlib.Path(s).read_text() for s in ([sources] if isinstance(sources, str) else sources))
            (self.folder / "incoming").write_text(text)
            os.rename(self.folder / "incoming", self.live[kind])

    def log(self):
        return (self.folder / "gatehouse.log").read_text()

    def served(self, client="first-ops"):
        """The server certificate that a new connection sees, as PEM; None when the client is not let in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(self.pki.pem(client), self.pki.key(client))
        context.set_alpn_protocols(["h2"])
        try:
            with context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=5)) as sock:
                sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                if not sock.recv(1):
                    return None
                return ssl.DER_cert_to_PEM_cert(sock.getpeercert(True))
        except OSError:
            return None

    def pem(self, name):
        return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(pathlib.Path(self.pki.pem(name)).read_text()))

    def status(self, client, ca):
        return subprocess.run([BIN / "gatehousectl", "--server", f"127.0.0.1:{self.port}", "--ca", self.pki.pem(ca), "--cert",
                               self.pki.pem(client), "--key", self.pki.key(client), "status"], capture_output=True, text=True, timeout=30)

    def test_a_renewed_pair_serves_new_connections(self):
        self.assertEqual(self.served(), self.pem("old"))
        self.put(cert=self.pki.pem("new"), key=self.pki.key("new"))
        wait_for("the new certificate", lambda: self.served() == self.pem("new"), SECONDS)
        self.assertIn("new connections are served with", self.log())
        done = self.status("first-ops", "new")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_pair_that_does_not_fit_keeps_the_old_one_until_it_does(self):
        self.put(cert=self.pki.pem("new"))
        wait_for("the log says so", lambda: "private key does not match" in self.log(), SECONDS)
        self.assertEqual(self.served(), self.pem("old"))
        self.put(key=self.pki.key("new"))
        wait_for("the new certificate", lambda: self.served() == self.pem("new"), SECONDS)

    def test_an_authority_that_is_removed_lets_none_of_its_clients_in_any_more(self):
        self.assertIsNotNone(self.served("first-ops"))
        self.assertIsNotNone(self.served("second-ops"))
        self.put(ca=self.pki.pem("second"))
        wait_for("the first authority's client stays out", lambda: self.served("first-ops") is None, SECONDS)
        self.assertEqual(self.served("second-ops"), self.pem("old"))


class FirstOwnerTest(unittest.TestCase):
    """A container: no Unix socket, nobody but who has a certificate."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.pki = Pki(self.folder / "pki")
        self.pki.ca("ca")
        self.pki.server("server", "localhost")
        for name in ("first", "second"):
            self.pki.leaf(name, "ca", None, "--san", f"dns:{name}.example")

    def start(self, *options):
        self.process = subprocess.Popen(
            [BIN / "gatehouse", "--no-gateway", "--no-socket", "--state-dir", self.folder / "state", "--listen", "127.0.0.1:0", "--tls-cert",
             self.pki.pem("server"), "--tls-key", self.pki.key("server"), "--client-ca", self.pki.pem("ca"), *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.process.kill)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if found := re.search(r"control 127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
            if "ready" in line:
                return
        self.fail("".join(lines))

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=20)

    def ctl(self, name, *args, stdin=None):
        return subprocess.run([BIN / "gatehousectl", "--server", f"127.0.0.1:{self.port}", "--ca", self.pki.pem("server"), "--cert",
                               self.pki.pem(name), "--key", self.pki.key(name), *args], capture_output=True, text=True, timeout=30, input=stdin)

    def test_the_flag_makes_the_first_owner_and_bindings_the_next(self):
        with self.assertRaisesRegex(AssertionError, "nobody may call: name the first owner with --owner-san"):
            self.start()
        self.process.communicate(timeout=20)
        self.start("--owner-san", "first.example")
        self.assertEqual(self.ctl("second", "status").returncode, 6)
        done = self.ctl("first", "apply", "--no-wait", "-f", "-",
                        stdin="kind: Binding\nname: own\nrole: OWNER\ncallers: ['san:second.example']\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.stop()
        self.start()
        self.assertEqual(self.ctl("first", "status").returncode, 6)
        last = self.ctl("second", "delete", "binding", "own", "--no-wait")
        self.assertEqual(last.returncode, 1, last.stderr)
        self.assertIn("bindings[\"own\"]", last.stderr)
        self.assertEqual(self.ctl("second", "status").returncode, 0)
        self.stop()


if __name__ == "__main__":
    unittest.main()
