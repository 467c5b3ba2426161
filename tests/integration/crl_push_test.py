#!/usr/bin/python3
"""A list of a million entries, pushed through Apply: to the gateway inside of the control plane and to one apart."""
import base64
import datetime
import os
import pathlib
import subprocess
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import BIN, GatehouseTest, wait_for

ENTRIES = 1_000_000


def element(tag, content):
    n = len(content)
    size = bytes([n]) if n < 128 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + content


def utc(time):
    return element(0x17, time.strftime("%y%m%d%H%M%SZ").encode())


def big_list(issuer, key, revoked, strangers=ENTRIES):
    """DER of a list by this authority: of a million strangers, and of `revoked`."""
    now = datetime.datetime.utcnow()
    when = utc(now - datetime.timedelta(hours=1))
    serials = os.urandom(15 * strangers)
    # INTEGERs of 16 octets, the first of which is plain.
    entries = [b"\x30\x21\x02\x10\x40" + serials[15 * i:15 * i + 15] + when for i in range(strangers)]
    for certificate in revoked:
        serial = certificate.serial_number
        entries.append(element(0x30, element(2, serial.to_bytes(serial.bit_length() // 8 + 1, "big")) + when))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    tbs = element(0x30, element(2, b"\x01") + algorithm + issuer.subject.public_bytes() + utc(now - datetime.timedelta(minutes=5)) +
                  utc(now + datetime.timedelta(days=1)) + element(0x30, b"".join(entries)))
    return element(0x30, tbs + algorithm + element(3, b"\0" + key.sign(tbs, ec.ECDSA(hashes.SHA256()))))


def pem(der):
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[i:i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN X509 CRL-----\n{lines}\n-----END X509 CRL-----\n"


class CrlPushTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.server()
        for name in ("alice", "bob"):
            cls.pki.leaf(name, "ca")

    def load(self, name):
        return x509.load_pem_x509_certificate(pathlib.Path(self.pki.pem(name)).read_bytes())

    def key(self):
        return serialization.load_pem_private_key(pathlib.Path(self.pki.key("ca")).read_bytes(), None)

    def config(self, port, crls=""):
        return f"""
kind: TrustStore
name: ca
anchors: [{{file: {self.pki.pem("ca")}}}]
{crls}
---
kind: ServerCertificate
name: server
certificate_chain_file: {self.pki.pem("server")}
private_key_file: {self.pki.key("server")}
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server]}}
---
{{kind: Scheme, name: S, client_certificate: {{trust_store: ca, allowed_certificate_types: CHAINED, revocation: {{mode: OFFLINE}}}}}}
---
{{kind: Route, name: s, match: {{path: /s}}, require: {{any_of: [S]}}, fixed_response: {{body: ok}}}}
"""

    def test_a_list_of_a_million_entries_is_pushed_and_obeyed_by_every_gateway(self):
        der = big_list(self.load("ca"), self.key(), [self.load("bob")])
        path = self.folder / "big.crl"
        path.write_text(pem(der))
        print(f"a list of {len(der) >> 20} MiB, {path.stat().st_size >> 20} MiB of PEM")
        self.gatehouse.apply(self.config(self.port))
        self.assertEqual((self.status("/s", "alice"), self.status("/s", "bob")), (401, 401), "nothing is known of anybody")

        begun = time.monotonic()
        self.gatehouse.apply(self.config(self.port, f"crls: [{{file: {path}}}]"), "--wait-timeout", "60")
        print(f"in force after {time.monotonic() - begun:.1f} s")
        self.assertEqual((self.status("/s", "alice"), self.status("/s", "bob")), (200, 401))
        # A later change that is small says nothing of the list, and keeps it.
        self.gatehouse.apply("{kind: Route, name: t, match: {path: /t}, require: {any_of: [S]}, fixed_response: {body: ok}}",
                             "--wait-timeout", "60")
        self.assertEqual((self.status("/t", "alice"), self.status("/t", "bob")), (200, 401))

    def test_what_is_too_long_is_refused_with_its_limit(self):
        path = self.folder / "endless.crl"
        path.write_bytes(b"\n" * ((128 << 20) + 1))
        done = self.gatehouse.apply(self.config(self.port, f"crls: [{{file: {path}}}]"), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("endless.crl has more than 134217728 bytes", done.stderr)
        half = self.folder / "half.crl"
        half.write_bytes(b"\n" * (70 << 20) + pem(big_list(self.load("ca"), self.key(), [], 1)).encode())
        done = self.gatehouse.apply(self.config(self.port, f"crls: [{{file: {half}}}, {{file: {half}}}]"), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("bytes together, at most 134217728", done.stderr)
        self.assertIsNone(self.gatehouse.process.poll())


class RemoteCrlPushTest(CrlPushTest):
    """The same with a gateway apart: the list travels in chunks, and lies in its saved snapshot."""

    options = ("--no-gateway",)
    test_what_is_too_long_is_refused_with_its_limit = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start_gateway()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.kill()
        cls.gateway.wait()
        super().tearDownClass()

    @classmethod
    def start_gateway(cls):
        out = cls.folder / f"far-{time.monotonic_ns()}.out"
        with open(out, "w") as said, open(cls.folder / "far.log", "a") as log:
            cls.gateway = subprocess.Popen([BIN / "gatehouse-gateway", "--control", cls.gatehouse.control, "--name", "far",
                                            "--workers", "2", "--state-dir", cls.folder / "far"], stdout=said, stderr=log)
        wait_for("the gateway is ready", lambda: "ready" in out.read_text() or cls.gateway.poll() is not None, 60)

    def test_a_list_of_a_million_entries_is_pushed_and_obeyed_by_every_gateway(self):
        super().test_a_list_of_a_million_entries_is_pushed_and_obeyed_by_every_gateway()
        # It starts from what it saved, and is sent the whole anew.
        self.gateway.kill()
        self.gateway.wait()
        self.start_gateway()
        self.assertEqual((self.status("/s", "alice"), self.status("/s", "bob")), (200, 401))


if __name__ == "__main__":
    unittest.main(verbosity=2)
