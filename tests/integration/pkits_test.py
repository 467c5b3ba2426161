#!/usr/bin/python3
"""NIST PKITS through real TLS handshakes: what tests/conformance/pkits says of each test, a client that holds the suite's
private keys must meet at the door of a running gateway."""
import pathlib
import ssl
import sys
import unittest
import warnings

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from harness import EDGE, EventWatch, GatehouseTest, RawClient

SUITE = pathlib.Path("/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data")
TESTS = pathlib.Path(__file__).parent.parent / "conformance/pkits/tests.txt"
POLICY = "2.16.840.1.101.3.2.1.48."

CONFIG = EDGE + """---
{{kind: TrustStore, name: pkits, anchors: [{{file: {pki}/pkits.pem}}]}}
"""
SCHEME = """---
{{kind: Scheme, name: {name}, client_certificate: {{trust_store: pkits, allow_absent_extended_key_usage: true{options}}}}}
---
{{kind: Route, name: {name}, match: {{path: "/{name}/{{rest...}}"}}, require: {{any_of: [{name}]}}, fixed_response: {{}}}}
"""


def tests():
    """(number, leaf, verdict, intermediates, settings) of each line that needs no revocation and no DSA, which TLS 1.3 lacks."""
    for line in TESTS.read_text().splitlines():
        if not line or line.startswith("#") or "crls=" in line or "DSA" in line:
            continue
        words, _, settings = line.partition("|")
        number, leaf, verdict, *intermediates = words.split()
        yield number, leaf, verdict, intermediates, settings.split()


def options_of(settings):
    out = ""
    for word in settings:
        name, _, value = word.partition("=")
        if name == "policies":
            out += ", required_policies: [" + ", ".join(f'"{POLICY}{n}"' for n in value.split(",")) + "]"
        else:
            out += ", " + {"explicit": "require_explicit_policy", "inhibit-mapping": "inhibit_policy_mapping",
                           "inhibit-any": "inhibit_any_policy"}[name] + ": true"
    return out


def pem_of(name):
    return ssl.DER_cert_to_PEM_cert((SUITE / "certs" / f"{name}.crt").read_bytes())


def key_of(leaf):
    """The private key of an end entity. The suite's files say so in odd encodings, of which the library warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key, _, _ = pkcs12.load_key_and_certificates((SUITE / "pkcs12" / f"{leaf}.p12").read_bytes(), b"password")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


class PkitsTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.server()
        folder = cls.folder / "pki"
        (folder / "pkits.pem").write_text(pem_of("TrustAnchorRootCertificate"))
        cls.schemes = {}
        text = CONFIG.format(pki=folder, port=cls.port)
        for _, _, _, _, settings in tests():
            options = options_of(settings)
            if options not in cls.schemes:
                cls.schemes[options] = f"s{len(cls.schemes)}"
                text += SCHEME.format(name=cls.schemes[options], options=options)
        cls.gatehouse.apply(text)

    def present(self, path, leaf, intermediates):
        file = self.folder / "client.pem"
        file.write_text(key_of(leaf) + pem_of(leaf) + "".join(map(pem_of, intermediates)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the client shall show what the suite has
        context.load_cert_chain(file)
        client = RawClient(self.port, context)
        try:
            return client.get(path)[0]
        finally:
            client.close()

    def test_every_verdict_of_the_suite(self):
        seen = 0
        with EventWatch(self.gatehouse, "--type", "DECISION") as watch:
            expected = {}
            for number, leaf, verdict, intermediates, settings in tests():
                path = f"/{self.schemes[options_of(settings)]}/{number}"
                with self.subTest(test=number):
                    status = self.present(path, leaf, intermediates)
                    self.assertEqual(status, 200 if verdict == "VALID" else 401)
                    expected[path] = verdict
                    seen += 1
            watch.wait(lambda e: e["request"]["path"] == path)
            # The client is told nothing; the event has the reason.
            reasons = {e["request"]["path"]: e.get("reason") for e in watch.all()}
            for path, verdict in expected.items():
                with self.subTest(path=path):
                    if verdict != "VALID":
                        self.assertEqual(reasons[path], verdict)
        self.assertGreater(seen, 150)


if __name__ == "__main__":
    if not SUITE.exists():
        sys.exit("NIST PKITS is not installed (Debian: python3-cryptography-vectors)")
    unittest.main(verbosity=2)
