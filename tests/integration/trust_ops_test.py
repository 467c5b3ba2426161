#!/usr/bin/python3
"""Trust stores and server certificates as people look after them: gatehousectl, openssl's files, files on the gateway's disk."""
import hashlib
import json
import os
import pathlib
import ssl
import threading
import time
import unittest

from harness import EventWatch, GatehouseTest, RawClient, client_context, wait_for

BASE = """
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
{{kind: Listener, name: edge, address: "127.0.0.1:{port}", server_certificates: [server]}}
---
{{kind: TrustStore, name: partners, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
{{kind: Route, name: open, match: {{path: /open}}, anonymous: true, fixed_response: {{body: one}}}}
---
{{kind: Route, name: secure, match: {{path: /secure}}, require: {{any_of: [Certificate]}}, identity_response: {{}}}}
"""


def sha256(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pathlib.Path(pem).read_text())).hexdigest()


class ServerFilesTest(GatehouseTest):
    """ServerCertificate.files: the gateway reads and watches them; the control plane never sees the key."""

    def setUp(self):
        self.live = self.folder / self.id().rsplit(".", 1)[1]
        self.live.mkdir()
        self.pairs = 0

    def pair(self, name):
        """Puts a pair into force as Kubernetes does: a new directory, and a link swapped to it."""
        self.pairs += 1
        folder = self.live / f"..{self.pairs}"
        folder.mkdir()
        cert, key = (name, name) if isinstance(name, str) else name
        (folder / "tls.crt").write_bytes(pathlib.Path(self.pki.pem(cert)).read_bytes())
        (folder / "tls.key").write_bytes(pathlib.Path(self.pki.key(key)).read_bytes())
        (self.live / "..new").symlink_to(folder.name)
        os.rename(self.live / "..new", self.live / "..data")
        for file in ("tls.crt", "tls.key"):
            if not (self.live / file).is_symlink():
                (self.live / file).symlink_to(f"..data/{file}")

    def files(self, name="web"):
        return (f"kind: ServerCertificate\nname: {name}\nfiles: {{certificate_chain_path: {self.live}/tls.crt, "
                f"private_key_path: {self.live}/tls.key}}\n---\n"
                f'{{kind: Listener, name: edge, address: "127.0.0.1:{self.port}", server_certificates: [{name}]}}\n---\n'
                "{kind: Route, name: open, match: {path: /open}, anonymous: true, fixed_response: {body: one}}\n")

    def served(self):
        client = RawClient(self.port, client_context(self.pki))
        try:
            return hashlib.sha256(client.sock.getpeercert(binary_form=True)).hexdigest()
        finally:
            client.close()

    def make(self, *names):
        for name in names:
            if not pathlib.Path(self.pki.pem(name)).exists():
                self.pki.server(name)

    def test_a_swapped_pair_is_served_without_a_failed_request(self):
        self.make("one", "two", "three")
        self.pair("one")
        self.gatehouse.apply(self.files())
        self.assertEqual(self.served(), sha256(self.pki.pem("one")))
        stop, failures, done = threading.Event(), [], [0]

        def load():
            kept = RawClient(self.port, client_context(self.pki))
            while not stop.is_set():
                try:
                    fresh = RawClient(self.port, client_context(self.pki))
                    for client in (kept, fresh):
                        if client.get("/open")[0] != 200:
                            failures.append("status")
                    fresh.close()
                    done[0] += 2
                except OSError as error:
                    failures.append(repr(error))
            kept.close()

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for name in ("two", "three"):
                self.pair(name)
                wait_for(f"{name} is served", lambda: self.served() == sha256(self.pki.pem(name)))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(done[0], 50)

    def test_a_pair_that_does_not_fit_leaves_the_one_before_and_an_event_says_so(self):
        self.make("one", "two")
        self.pair("one")
        self.gatehouse.apply(self.files())
        revision = self.gatehouse.revision()
        with EventWatch(self.gatehouse, "--type", "config") as watch:
            self.pair(("two", "one"))
            event = watch.wait(lambda e: e["outcome"] == "REFUSED")
            self.assertEqual(event["detail"], f'serverCertificates["web"].files.private_key_path: {self.live}/tls.key: '
                                              "private key does not match the certificate; the pair before stays")
            self.assertEqual(self.served(), sha256(self.pki.pem("one")))
            # Meanwhile other changes are taken.
            self.gatehouse.apply("{kind: Route, name: more, match: {path: /more}, anonymous: true, fixed_response: {body: x}}")
            self.assertEqual(self.status("/more"), 200)
            self.pair("two")
            event = watch.wait(lambda e: "renewed" in e.get("detail", ""))
            self.assertEqual(event["certificate"]["sha256"], sha256(self.pki.pem("two")))
        self.assertEqual(self.served(), sha256(self.pki.pem("two")))
        self.assertEqual(self.gatehouse.revision(), revision + 1)

    def test_without_readable_files_the_gateway_refuses_and_names_the_field(self):
        self.make("one")
        done = self.gatehouse.apply(self.files("absent"), check=False)
        self.assertEqual(done.returncode, 7, done.stderr + done.stdout)
        status = json.loads(self.gatehouse.ctl("status", "--json").stdout)
        violations = status["gateways"][0]["violations"]
        self.assertEqual([v["path"] for v in violations], ['serverCertificates["absent"].files.certificate_chain_path'])
        self.assertIn("No such file or directory", violations[0]["message"])
        self.pair("one")
        # The same once more, touched: now it is there.
        self.gatehouse.apply(self.files("absent").replace("name: absent\n", "name: absent\nlabels: {again: yes}\n"))
        self.assertEqual(self.served(), sha256(self.pki.pem("one")))

    def test_the_key_is_nowhere_but_in_its_file(self):
        self.make("one")
        self.pair("one")
        self.gatehouse.apply(self.files())
        secret = pathlib.Path(self.pki.key("one")).read_text().splitlines()[1].encode()
        for path in self.gatehouse.state.rglob("*"):
            if path.is_file():
                self.assertNotIn(secret, path.read_bytes(), path)
        shown = json.loads(self.gatehouse.ctl("get", "server-certificate", "web", "-o", "json").stdout)
        self.assertEqual(shown["files"]["private_key_path"], f"{self.live}/tls.key")


if __name__ == "__main__":
    unittest.main(verbosity=2)
