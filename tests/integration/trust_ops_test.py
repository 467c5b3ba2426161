#!/usr/bin/python3
"""Trust stores and server certificates as people look after them: gatehousectl, openssl's files, files on the gateway's disk."""
import hashlib
import json
import os
import pathlib
import ssl
import subprocess
import threading
import time
import unittest

from harness import BIN, EDGE, EventWatch, GatehouseTest, RawClient, client_context, wait_for

BASE = EDGE + """---
{{kind: TrustStore, name: partners, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: partners}}}}
---
{{kind: Route, name: open, match: {{path: /open}}, anonymous: true, fixed_response: {{body: one}}}}
---
{{kind: Route, name: secure, match: {{path: /secure}}, require: {{any_of: [Certificate]}}, identity_response: {{}}}}
"""


def sha256_first(pem):
    """Of the first certificate of a chain."""
    end = "-----END CERTIFICATE-----"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pathlib.Path(pem).read_text().split(end)[0] + end)).hexdigest()


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

    def serves(self, name):
        try:
            return self.served() == sha256(self.pki.pem(name))
        except OSError:
            return False

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
        # Once they are there they are found, and nobody has to say so.
        self.pair("one")
        wait_for("the pair is served", lambda: self.serves("one"))
        gateway = wait_for("the revision is acknowledged", lambda: next((
            g for g in json.loads(self.gatehouse.ctl("status", "--json").stdout)["gateways"]
            if int(g.get("acknowledged_revision", 0)) == self.gatehouse.revision()), None))
        self.assertEqual(int(gateway.get("refused_revision", 0)), 0)

    def test_a_gateway_that_starts_before_its_files_are_there_waits_for_them(self):
        self.make("one")
        self.pair("one")
        self.gatehouse.apply(self.files())
        self.gatehouse.stop()
        (self.live / "..data").unlink()
        self.gatehouse.start()
        self.assertFalse(self.serves("one"))
        self.pair("one")
        wait_for("the pair is served", lambda: self.serves("one"))

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


class RemoteServerFilesTest(ServerFilesTest):
    """The same where the gateway is a process of its own."""

    options = ("--no-gateway",)
    # What does not depend on where the gateway is.
    test_a_swapped_pair_is_served_without_a_failed_request = None
    test_a_pair_that_does_not_fit_leaves_the_one_before_and_an_event_says_so = None
    test_the_key_is_nowhere_but_in_its_file = None

    def setUp(self):
        super().setUp()
        self.far = self.start_gateway()

    def tearDown(self):
        self.far.kill()
        self.far.wait()

    def start_gateway(self, *options):
        out = self.live / f"far-{time.monotonic_ns()}.out"
        with open(out, "w") as said, open(self.folder / "far.log", "a") as log:
            far = subprocess.Popen([BIN / "gatehouse-gateway", "--control", self.gatehouse.control, "--name", "far", "--workers",
                                    "1", "--state-dir", self.folder / "far", *options], stdout=said, stderr=log)
        wait_for("the gateway is ready", lambda: "ready" in out.read_text() or far.poll() is not None, 30)
        return far

    def test_a_gateway_that_starts_before_its_files_are_there_waits_for_them(self):
        self.make("one")
        self.pair("one")
        self.gatehouse.apply(self.files())
        wait_for("the pair is served", lambda: self.serves("one"))
        # Alone, from what it saved.
        self.gatehouse.stop()
        self.tearDown()
        (self.live / "..data").unlink()
        self.far = self.start_gateway("--startup-wait", "0.2")
        self.assertFalse(self.serves("one"))
        self.pair("one")
        wait_for("the pair is served", lambda: self.serves("one"))
        self.gatehouse.start()


class TrustStoreTest(GatehouseTest):
    """trust-store …, describe, and what the gateways count."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("ca", "old", "new", "third"):
            cls.pki.ca(name, f"CN={name} root")
        cls.pki.make("intermediate", "issuing", "CN=issuing", "--ca", cls.pki.pem("ca"), "--ca-key", cls.pki.key("ca"))
        cls.pki.leaf("alice", "ca")
        cls.pki.leaf("bob", "new")
        cls.pki.leaf("carol", "old")
        cls.pki.leaf("below", "issuing")
        cls.pki.self_signed("device")
        cls.pki.server()

    def setUp(self):
        self.gatehouse.apply(BASE.format(pki=self.pki.folder, port=self.port), "--replace-all")

    def store(self, *args, check=True, stdin=None):
        return self.gatehouse.ctl("trust-store", args[0], "partners", *args[1:], check=check, stdin=stdin)

    def held(self):
        return json.loads(self.gatehouse.ctl("get", "trust-store", "partners", "-o", "json").stdout)

    def openssl(self, *args):
        return subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=self.pki.folder).stdout

    def test_each_role_can_be_added_and_removed_by_file_or_digest(self):
        for role, name in (("anchor", "new"), ("pin", "device"), ("intermediate", "issuing")):
            out = self.store("add-cert", self.pki.pem(name), "--as", role).stdout
            self.assertIn(f"+ trustStores/partners   {role} CN=", out)
            self.assertIn("in force on 1 of 1 gateway", out)
        self.assertEqual(self.status("/secure", cert="bob"), 200)
        self.assertEqual(self.status("/secure", cert="device"), 200)
        self.assertIn("already", self.store("add-cert", self.pki.pem("issuing"), "--as", "intermediate").stdout)
        self.store("remove-cert", self.pki.pem("new"), self.pki.pem("device"))
        out = self.store("remove-cert", "--sha256", sha256(self.pki.pem("issuing"))).stdout
        self.assertIn("- trustStores/partners   intermediate CN=issuing", out)
        self.assertEqual(self.status("/secure", cert="bob"), 401)
        self.assertEqual(self.status("/secure", cert="device"), 401)
        self.assertEqual(self.store("remove-cert", "--sha256", "00" * 32, check=False).returncode, 3)

    def test_an_intermediate_lets_clients_send_their_leaf_alone(self):
        leaf = pathlib.Path(self.pki.pem("below"))
        alone = leaf.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
        pathlib.Path(self.pki.pem("alone")).write_text(alone)
        pathlib.Path(self.pki.key("alone")).write_text(pathlib.Path(self.pki.key("below")).read_text())
        self.assertEqual(self.status("/secure", cert="alone"), 401)
        self.store("add-cert", self.pki.pem("issuing"), "--as", "intermediate")
        self.assertEqual(self.status("/secure", cert="alone"), 200)

    def test_openssls_pkcs7_and_pfx_are_imported_and_no_key_travels(self):
        self.openssl("crl2pkcs7", "-nocrl", "-certfile", "new.pem", "-certfile", "old.pem", "-outform", "DER", "-out", "two.p7b")
        out = self.store("add-cert", "--as", "anchor", "--from", str(self.pki.folder / "two.p7b")).stdout
        self.assertIn("CN=new root", out)
        self.assertIn("CN=old root", out)
        self.assertEqual(self.status("/secure", cert="bob"), 200)
        self.assertEqual(self.status("/secure", cert="carol"), 200)
        self.openssl("pkcs12", "-export", "-in", "third.pem", "-inkey", "third.key", "-out", "third.pfx", "-passout", "pass:sesame")
        pfx = str(self.pki.folder / "third.pfx")
        wrong = self.store("add-cert", pfx, "--as", "anchor", "--password-stdin", check=False, stdin="wrong\n")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("the password is wrong", wrong.stderr)
        done = self.store("add-cert", pfx, "--as", "anchor", "--password-stdin", stdin="sesame\n")
        self.assertIn("CN=third root", done.stdout)
        self.assertIn("holds a private key too, which is not read", done.stderr)
        self.assertNotIn("PRIVATE KEY", json.dumps(self.held()))
        # A bundle as p7b text, as openssl writes it by default.
        self.openssl("crl2pkcs7", "-nocrl", "-certfile", "new.pem", "-out", "text.p7b")
        self.assertIn("already", self.store("add-cert", str(self.pki.folder / "text.p7b"), "--as", "anchor").stdout)

    def test_replace_swaps_at_once_and_keep_old_rolls_over(self):
        self.store("add-cert", self.pki.pem("old"), "--as", "anchor")
        out = self.store("replace-cert", self.pki.pem("old"), self.pki.pem("new"), "--keep-old").stdout
        self.assertIn(f"trust-store remove-cert partners --sha256 {sha256(self.pki.pem('old'))}", out)
        self.assertEqual(self.status("/secure", cert="bob"), 200)
        self.assertEqual(self.status("/secure", cert="carol"), 200, "side by side")
        self.assertIn("already", self.store("replace-cert", self.pki.pem("old"), self.pki.pem("new"), "--keep-old").stdout)
        out = self.store("replace-cert", sha256(self.pki.pem("old")), self.pki.pem("third")).stdout
        self.assertIn("+ trustStores/partners   anchor CN=third root", out)
        self.assertIn("- trustStores/partners   anchor CN=old root", out)
        self.assertEqual(self.status("/secure", cert="carol"), 401)
        self.assertEqual(self.status("/secure", cert="bob"), 200)
        before = self.gatehouse.revision()
        self.assertEqual(self.store("replace-cert", self.pki.pem("old"), self.pki.pem("new"), check=False).returncode, 3)
        self.assertEqual(self.gatehouse.revision(), before, "nothing was changed")

    def test_lists_are_added_replaced_and_removed_and_explained(self):
        (self.pki.folder / "index").write_text("")
        (self.pki.folder / "number").write_text("01\n")
        (self.pki.folder / "ca.cnf").write_text("[ca]\ndefault_ca=x\n[x]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n"
                                                "default_crl_days=30\ncertificate=ca.pem\nprivate_key=ca.key\n")
        first, second = str(self.pki.folder / "first.crl"), str(self.pki.folder / "second.crl")
        self.openssl("ca", "-config", "ca.cnf", "-gencrl", "-out", first)
        self.openssl("ca", "-config", "ca.cnf", "-revoke", "alice.pem", "-crl_reason", "keyCompromise")
        self.openssl("ca", "-config", "ca.cnf", "-gencrl", "-out", second)
        self.gatehouse.apply("{kind: Scheme, name: Certificate, client_certificate: {trust_store: partners, "
                             "revocation: {mode: OFFLINE}}}")
        self.assertEqual(self.status("/secure", cert="alice"), 401, "nobody knows")
        self.store("add-crl", first)
        self.assertEqual(self.status("/secure", cert="alice"), 200)
        out = self.store("add-crl", second).stdout
        self.assertIn("- trustStores/partners   CRL CN=ca root   0 entries", out)
        self.assertIn("+ trustStores/partners   CRL CN=ca root   1 entry", out)
        self.assertEqual(self.status("/secure", cert="alice"), 401)
        older = self.store("add-crl", first, check=False)
        self.assertEqual(older.returncode, 1)
        self.assertIn("has a newer list of CN=ca root", older.stderr)
        shown = self.gatehouse.ctl("cert", "explain", "--chain", self.pki.pem("alice"), check=False)
        self.assertEqual(shown.returncode, 1)
        self.assertRegex(shown.stdout, r"revocation +REVOKED +CRL of CN=ca root from the trust store, revoked .* \(keyCompromise\)")
        self.assertRegex(self.gatehouse.ctl("describe", "trust-store", "partners").stdout, r"CRL +CN=ca root \(1 revoked\) +expires in")
        self.store("remove-crl", second)
        self.assertNotIn("crls", self.held())
        self.assertEqual(self.store("remove-crl", second, check=False).returncode, 3)

    def test_writers_at_once_lose_nothing(self):
        names = ["old", "new", "third"]
        threads = [threading.Thread(target=self.store, args=("add-cert", self.pki.pem(n), "--as", "anchor")) for n in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(self.held()["anchors"]), 4)

    def test_system_roots_are_switched(self):
        self.assertIn("system_roots on", self.store("system-roots", "on").stdout)
        self.assertTrue(self.held()["system_roots"])
        self.assertIn("already", self.store("system-roots", "on").stdout)
        self.store("system-roots", "off")
        self.assertNotIn("system_roots", self.held())

    def test_describe_counts_uses_at_the_gateway(self):
        self.store("add-cert", self.pki.pem("device"), "--as", "pin", "--comment", "lab 7")

        def row(word):
            lines = self.gatehouse.ctl("describe", "trust-store", "partners").stdout.splitlines()
            return next(line for line in lines if line.startswith(word + " "))

        self.assertRegex(row("pin"), r"pin +CN=device +“lab 7” +expires in \d+ d .* 0 +never")
        before = int(row("anchor").split()[-4] if "ago" in row("anchor") else 0)
        for _ in range(3):
            client = self.client("alice")
            for _ in range(4):
                self.assertEqual(client.get("/secure")[0], 200)
        self.assertRegex(row("anchor"), rf"anchor +CN=ca root +expires in [\d,]+ d .* {before + 3} +0 min ago")
        self.assertEqual(self.status("/secure", cert="device"), 200)
        self.assertRegex(row("pin"), r" 1 +0 min ago")

    def test_an_anchor_that_is_about_to_expire_is_warned_of_and_told_as_an_event(self):
        self.pki.make("ca", "brief", "CN=brief root", "--days", "5")
        self.pki.leaf("short", "ca", "CN=short", "--days", "1")
        with EventWatch(self.gatehouse, "--type", "expiry") as watch:
            done = self.store("add-cert", self.pki.pem("brief"), "--as", "anchor")
            self.assertRegex(done.stderr, r"warning: .*CN=brief root expires in \d d")
            event = watch.wait(lambda e: e["certificate"]["subject"] == "CN=brief root")
            self.assertRegex(event["detail"], r"anchor of trustStores/partners: expires in \d d")
            self.assertEqual(self.status("/secure", cert="short"), 200)
            event = watch.wait(lambda e: e["certificate"]["subject"] == "CN=short")
            self.assertEqual(event["detail"], "client certificate, accepted by schemes/Certificate: expires within a day")
            for _ in range(3):
                self.assertEqual(self.status("/secure", cert="short"), 200)
            self.gatehouse.apply("{kind: Route, name: extra, match: {path: /extra}, anonymous: true, fixed_response: {body: x}}")
            self.assertEqual(len([e for e in watch.all() if e["certificate"]["subject"] in ("CN=short", "CN=brief root")]), 2)

    def test_a_server_certificate_comes_from_a_pfx(self):
        self.pki.make("leaf", "site", "CN=localhost", "--ca", self.pki.pem("issuing"), "--ca-key", self.pki.key("issuing"),
                      "--eku", "server", "--san", "dns:localhost")
        self.openssl("pkcs12", "-export", "-in", "site.pem", "-inkey", "site.key", "-out", "site.pfx", "-passout", "pass:sesame")
        pfx = str(self.pki.folder / "site.pfx")
        out = self.gatehouse.ctl("server-certificate", "set", "server", "--pfx", pfx, "--password-stdin", stdin="sesame\n").stdout
        self.assertIn("~ serverCertificates/server   CN=localhost", out)
        client = self.client()
        self.assertEqual(hashlib.sha256(client.sock.getpeercert(binary_form=True)).hexdigest(),
                         sha256_first(self.pki.pem("site")))
        wrong = self.gatehouse.ctl("server-certificate", "set", "server", "--pfx", pfx, "--password-stdin", stdin="no\n", check=False)
        self.assertEqual(wrong.returncode, 1)
        mismatch = self.gatehouse.ctl("server-certificate", "set", "fresh", "--chain", self.pki.pem("site"), "--private-key",
                                      self.pki.key("server"), check=False)
        self.assertEqual(mismatch.returncode, 1)
        self.assertIn("private key does not match", mismatch.stderr)
        made = self.gatehouse.ctl("server-certificate", "set", "fresh", "--chain", self.pki.pem("site"), "--private-key",
                                  self.pki.key("site"))
        self.assertIn("+ serverCertificates/fresh", made.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
