#!/usr/bin/python3
"""Who may do what, with real processes: bindings of other users of the machine, streams that end, the audit, a new key."""
import json
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tempfile
import unittest

import h2.connection
from harness import BIN, Gatehouse, wait_for

NOBODY = 65534
BINDING = """
kind: Binding
name: guest
role: {role}
callers: ["uid:65534"]
"""


class AccessTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o711)
        self.socket = self.folder / "run" / "control.sock"
        self.options = ["--no-gateway", "--socket", str(self.socket)]
        if os.geteuid() == 0:
            self.options += ["--socket-group", "nogroup"]
        self.gatehouse = Gatehouse(self.folder, *self.options)
        self.addCleanup(self.gatehouse.stop)
        self.gatehouse.control = f"unix:{self.socket}"

    def guest(self, *args, background=False, stdin=None):
        command = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", str(BIN / "gatehousectl"), "--server",
                   self.gatehouse.control, *args]
        if background:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, input=stdin)

    def bind(self, role):
        self.gatehouse.apply(BINDING.format(role=role))

    def history(self):
        return [json.loads(line) for line in self.gatehouse.ctl("history", "--json").stdout.splitlines()]

    def refused(self):
        return [json.loads(line) for line in self.gatehouse.ctl("history", "--refused", "--json").stdout.splitlines()]

    def test_the_sockets_owner_has_every_role(self):
        who = json.loads(self.gatehouse.ctl("whoami", "--json").stdout)
        self.assertEqual(who["caller"], f"uid:{os.geteuid()}")
        self.assertEqual(who["peer"], "unix")
        self.assertEqual(who["roles"], ["VIEWER", "EDITOR", "USER_ADMIN", "OWNER", "GATEWAY"])
        self.assertIn("VIEWER EDITOR", self.gatehouse.ctl("whoami").stdout)

    def test_pings_without_end_are_the_end_of_the_connection(self):
        caller = socket.socket(socket.AF_UNIX)
        self.addCleanup(caller.close)
        caller.settimeout(20)
        caller.connect(str(self.socket))
        http2 = h2.connection.H2Connection()
        http2.initiate_connection()
        for i in range(50):
            http2.ping(i.to_bytes(8, "big"))
        caller.sendall(http2.data_to_send())
        data = b""
        while True:
            data += caller.recv(65536) or self.fail("closed without a word")
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big") and data[3] != 7:
                data = data[9 + int.from_bytes(data[:3], "big"):]
            if len(data) >= 17 and data[3] == 7:  # GOAWAY
                break
        self.assertEqual(int.from_bytes(data[13:17], "big"), 11, "ENHANCE_YOUR_CALM")
        self.gatehouse.ctl("whoami")

    def test_another_user_may_what_a_binding_says_and_as_long_as_it_says_so(self):
        self.assertEqual(os.geteuid(), 0, "only root can be somebody else: run this test as root")
        self.assertEqual(stat.S_IMODE((self.folder / "run").stat().st_mode), 0o710)
        self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o660)
        self.assertNotEqual(self.guest("whoami").returncode, 0)
        self.bind("VIEWER")
        who = self.guest("whoami")
        self.assertEqual(who.returncode, 0, who.stderr)
        self.assertIn("uid:65534 from unix\nroles    VIEWER\nbindings guest\n", who.stdout)
        self.assertIn("guest", self.guest("get", "bindings").stdout)
        refused = self.guest("apply", "-f", "-", stdin="kind: Policy\nname: p\n")
        self.assertEqual(refused.returncode, 6, refused.stderr)
        self.assertIn("the role EDITOR is needed, VIEWER given", refused.stderr)
        self.guest("apply", "-f", "-", stdin="kind: Policy\nname: p\n")
        entry = wait_for("the history tells both", lambda: [e for e in self.refused() if e["actor"] == "uid:65534" and e["times"] == "2"])[0]
        self.assertEqual((entry["peer"], entry["method"], entry["revision"]), ("unix", "ConfigService/Apply", "1"))
        self.assertIn("the role EDITOR is needed, VIEWER given", entry["refusal"])
        self.assertIn("refused ConfigService/Apply: ", self.guest("history", "--refused").stdout)

        watch = self.guest("events", "watch", background=True)
        self.addCleanup(watch.kill)
        wait_for("the guest watches", lambda: json.loads(self.gatehouse.ctl("status", "--json").stdout).get("watchers", 0) >= 1)
        self.bind("EDITOR")
        _, error = watch.communicate(timeout=20)
        self.assertEqual(watch.returncode, 6, error)
        self.assertIn("the role VIEWER is needed, EDITOR given", error)
        # An editor makes no owner of himself, by whichever door.
        for options in ([], ["--replace-all"]):
            done = self.guest("apply", "-f", "-", "--no-wait", *options, stdin=BINDING.format(role="OWNER"))
            self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertEqual(len(self.history()), 2)

    def test_the_history_says_who_where_and_how(self):
        self.bind("VIEWER")
        first = self.history()[0]
        self.assertEqual((first["actor"], first["peer"], first["method"]), (f"uid:{os.geteuid()}", "unix", "ConfigService/Apply"))
        self.assertEqual(first["changes"][0]["id"], {"kind": "BINDING", "name": "guest"})

    def test_a_new_key_takes_over_and_nothing_secret_is_told_on_the_way(self):
        self.gatehouse.apply("kind: UserStore\nname: staff\n")
        self.gatehouse.ctl("user", "add", "staff", "ann", "--password-stdin", stdin="marked-Secret-9081\n")
        waiting = self.gatehouse.state / "secret.key.new"
        none = self.gatehouse.ctl("rotate-key", check=False)
        self.assertNotEqual(none.returncode, 0)
        self.assertIn("put 32 random octets into", none.stderr)
        old = (self.gatehouse.state / "secret.key").read_bytes()
        new = os.urandom(32)
        waiting.touch(mode=0o600)
        waiting.write_bytes(new)
        done = self.gatehouse.ctl("rotate-key")
        self.assertIn("secrets are sealed under key", done.stdout)
        self.assertEqual((self.gatehouse.state / "secret.key").read_bytes(), new)
        for text in ("{kind: ServerCertificate, name: c, certificate_chain_pem: x, private_key_pem: marked-Secret-9081}",
                     "{kind: UserStore, name: staff, users: [{name: bob, password_hashes: [marked-Secret-9081]}]}",
                     "{kind: Scheme, name: b, basic: {user_store: none, validator: {tls: {private_key_pem: marked-Secret-9081}}}}"):
            done = subprocess.run([BIN / "gatehousectl", "--server", self.gatehouse.control, "apply", "-f", "-"], capture_output=True,
                                  text=True, timeout=30, input=text)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertNotIn("marked-Secret", done.stdout + done.stderr)
        wait_for("the history tells of the refusals", lambda: len(self.refused()) >= 3)
        told = "".join(self.gatehouse.ctl(*command).stdout for command in (
            ["get", "all", "-o", "yaml"], ["get", "user-stores", "-o", "json"], ["history", "--all", "--json"], ["status", "--json"],
            ["user", "list", "staff"]))
        self.gatehouse.stop()
        (self.gatehouse.state / "secret.key").write_bytes(old)
        failed = subprocess.run([BIN / "gatehouse", "--state-dir", self.gatehouse.state, *self.options], capture_output=True, text=True, timeout=30)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("sealed with another secret key", failed.stderr)
        (self.gatehouse.state / "secret.key").write_bytes(new)
        self.gatehouse.start()
        self.gatehouse.control = f"unix:{self.socket}"
        self.assertIn("ann", self.gatehouse.ctl("user", "list", "staff").stdout)
        told += failed.stderr + (self.folder / "gatehouse.log").read_text()
        for secret in ("marked-Secret-9081", "$argon2id$", new.hex(), old.hex()):
            self.assertNotIn(secret, told)


if __name__ == "__main__":
    unittest.main()
