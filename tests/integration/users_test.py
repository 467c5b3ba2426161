#!/usr/bin/python3
"""Users: hashes of other tools both ways, files of htpasswd, the verbs of `gatehousectl user`, renewed hashes."""
import base64
import json
import signal
import subprocess
import unittest

from harness import BIN, GatehouseTest, RawClient, client_context, wait_for

PASSWORD = "correct horse battery"

CONFIG = """
kind: ServerCertificate
name: server
certificate_chain_file: {pki}/server.pem
private_key_file: {pki}/server.key
---
kind: Listener
name: edge
address: 127.0.0.1:{port}
server_certificates: [server]
---
kind: UserStore
name: staff
hashing: {{argon2_memory_mib: 8, argon2_passes: 1}}
---
kind: Scheme
name: Basic
basic:
  realm: staff
  user_store: staff
  # Many wrong passwords are tried from one address here.
  throttle: {{free_failures: 1000, user_free_failures: 100000, address_free_users: 100000}}
---
kind: Upstream
name: up
endpoints: [127.0.0.1:{upstream}]
---
kind: Route
name: hello
match: {{path: /hello}}
require: {{any_of: [Basic]}}
identity_response: {{}}
---
kind: Route
name: stream
match: {{path: /stream}}
require: {{any_of: [Basic]}}
upstream: up
"""


def run(*args, stdin=None):
    done = subprocess.run(args, capture_output=True, text=True, input=stdin, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{args}: {done.stderr}")
    return done.stdout.strip()


def hash_of(user_colon_hash):
    return user_colon_hash.split(":", 1)[1]


def hashes_of_other_tools():
    """User name -> a hash of PASSWORD, made now by the tool that the name tells."""
    made = {
        "htpasswd-bcrypt": hash_of(run("htpasswd", "-nbB", "-C", "4", "u", PASSWORD)),
        "htpasswd-sha512": hash_of(run("htpasswd", "-nb5", "-r", "1000", "u", PASSWORD)),
        "htpasswd-apr1": hash_of(run("htpasswd", "-nbm", "u", PASSWORD)),
        "htpasswd-sha": hash_of(run("htpasswd", "-nbs", "u", PASSWORD)),
        "openssl-sha512": run("openssl", "passwd", "-6", PASSWORD),
        "openssl-apr1": run("openssl", "passwd", "-apr1", PASSWORD),
        "mkpasswd-yescrypt": run("mkpasswd", "-m", "yescrypt", "-R", "1", PASSWORD),
        "mkpasswd-sha512": run("mkpasswd", "-m", "sha512crypt", "-R", "2000", PASSWORD),
        "mkpasswd-bcrypt": run("mkpasswd", "-m", "bcrypt", "-R", "4", PASSWORD),
        "mkpasswd-bcrypt-a": run("mkpasswd", "-m", "bcrypt-a", "-R", "4", PASSWORD),
        "argon2-id": run("argon2", "saltsalt", "-id", "-t", "2", "-m", "10", "-p", "2", "-e", stdin=PASSWORD),
    }
    return made


class UsersTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.server()
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port))

    def setUp(self):
        listed = self.user("list", "staff", "-o", "json").stdout
        for line in listed.splitlines():
            self.user("delete", "staff", json.loads(line)["user"]["name"])

    def user(self, *args, **options):
        return self.gatehouse.ctl("user", *args, **options)

    def login(self, user, password=PASSWORD):
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return self.status("/hello", headers=f"Authorization: Basic {token}\r\n")

    def claims(self, user, password=PASSWORD):
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return json.loads(self.client().get("/hello", headers=f"Authorization: Basic {token}\r\n")[2])

    def add(self, name, *options, password=PASSWORD):
        self.user("add", "staff", name, "--password-stdin", *options, stdin=password)

    def import_text(self, text, *options, check=True):
        return self.user("import", "staff", "-f", "-", *options, stdin=text, check=check)

    def export(self, *options):
        file = self.folder / "exported"
        done = self.user("export", "staff", "-f", str(file), "--force", *options)
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        return file, done.stderr

    def test_hashes_of_other_tools_let_in_and_go_back_to_them(self):
        made = hashes_of_other_tools()
        text = "".join(f"{user}:{text}\n" for user, text in made.items())
        refused = self.import_text(text, check=False)
        self.assertEqual(refused.returncode, 1)
        for line, user in enumerate(made, 1):
            self.assertEqual(f"line {line}:" in refused.stderr, "apr1" in user or user.endswith("-sha"), refused.stderr)
        self.assertEqual(self.user("list", "staff", "-o", "json").stdout, "", "nothing was applied")

        done = self.import_text(text, "--allow-weak-hashes")
        self.assertIn(f"{len(made)} added", done.stdout)
        self.assertIn("3 users have hashes that a graphics card tries by the million", done.stderr)
        for user in made:
            self.assertEqual(self.login(user), 200, user)
            self.assertEqual(self.login(user, PASSWORD + "!"), 401, user)

        file, notes = self.export()
        self.assertIn("argon2id, which Apache and nginx cannot read", notes)
        self.assertEqual(dict(line.split(":", 1) for line in file.read_text().splitlines()), made)
        for user in made:
            if user == "argon2-id":
                continue
            for password, code in ((PASSWORD, 0), (PASSWORD + "!", 3)):
                verdict = subprocess.run(["htpasswd", "-vb", file, user, password], capture_output=True)
                self.assertEqual(verdict.returncode, code, user)

    def test_a_password_set_here_is_verified_by_htpasswd(self):
        store = "kind: UserStore\nname: staff\nhashing: {{algorithm: {}, bcrypt_cost: 10, argon2_memory_mib: 8, argon2_passes: 1}}\n"
        self.gatehouse.apply(store.format("BCRYPT"))
        self.addCleanup(self.gatehouse.apply, store.format("ARGON2ID"))
        self.add("bea", password="grüße an alle")
        self.assertEqual(self.login("bea", "grüße an alle"), 200)
        file, _ = self.export()
        self.assertTrue(file.read_text().startswith("bea:$2b$10$"))
        self.assertEqual(subprocess.run(["htpasswd", "-vb", file, "bea", "grüße an alle"], capture_output=True).returncode, 0)
        self.assertEqual(subprocess.run(["htpasswd", "-vb", file, "bea", "grüsse an alle"], capture_output=True).returncode, 3)
        long = self.user("add", "staff", "lon", "--password-stdin", stdin="k" * 70 + "xyz", check=False)
        self.assertIn("bcrypt reads only 72 bytes", long.stderr)

    def test_the_history_tells_of_exports_and_imports(self):
        self.add("ann")
        self.export()
        newest = json.loads(self.gatehouse.ctl("history", "--json", "-n", "1").stdout.splitlines()[0])
        self.assertTrue(newest["effects"][0].startswith('export of the password hashes of 1 users of userStores["staff"], as of revision '), newest)
        self.assertEqual(newest["method"], "UserService/ExportUsers")
        self.import_text("bob:" + hash_of(run("htpasswd", "-nbB", "-C", "4", "u", PASSWORD)), "-m", "moved from the old proxy")
        newest = json.loads(self.gatehouse.ctl("history", "--json", "-n", "1").stdout.splitlines()[0])
        self.assertEqual(newest["message"], "moved from the old proxy")
        self.assertNotIn("$2y$", json.dumps(newest))

    def test_an_import_merges_or_replaces_and_a_dry_run_changes_nothing(self):
        line = "{}:" + hash_of(run("htpasswd", "-nbB", "-C", "4", "u", PASSWORD)) + "\n"
        self.add("ann", "--claim", "team=7", password="another one entirely")
        self.user("disable", "staff", "ann")
        dry = self.import_text(line.format("ann") + line.format("bob"), "--dry-run")
        self.assertIn("1 added, 1 changed, 0 unchanged, 0 removed", dry.stdout)
        self.assertEqual(len(self.user("list", "staff", "-o", "json").stdout.splitlines()), 1)
        self.import_text(line.format("ann") + line.format("bob"))
        self.assertEqual(self.login("ann"), 401, "an import enables nobody")
        self.user("enable", "staff", "ann")
        self.assertEqual(self.login("ann"), 200)
        self.assertEqual(self.user("claims", "staff", "ann").stdout, "team=7\n")
        self.assertIn("1 removed", self.import_text(line.format("bob"), "--replace").stdout)
        self.assertEqual(self.login("ann"), 401)
        self.assertEqual(self.import_text("# empty\n", "--replace", check=False).returncode, 1)
        self.assertEqual(self.login("bob"), 200)

    def test_the_verbs_do_what_they_say(self):
        self.add("ann", "--claim", "team=7")
        self.assertEqual(self.login("ann"), 200)
        self.assertIn("team", json.dumps(self.claims("ann")))
        self.user("disable", "staff", "ann")
        self.assertEqual(self.login("ann"), 401)
        self.user("enable", "staff", "ann")
        self.assertEqual(self.login("ann"), 200)
        self.user("expire", "staff", "ann", "2020-01-01T00:00:00Z")
        self.assertEqual(self.login("ann"), 401)
        self.assertIn("expired", self.user("show", "staff", "ann").stdout)
        self.user("expire", "staff", "ann", "never")
        self.user("claims", "staff", "ann", "--remove", "team", "--add", "role=admin")
        self.assertIn("role", json.dumps(self.claims("ann")))
        self.assertNotIn("team", json.dumps(self.claims("ann")))
        self.user("set-password", "staff", "ann", "--keep-old", "--password-stdin", stdin="a second, newer one")
        self.assertEqual((self.login("ann"), self.login("ann", "a second, newer one")), (200, 200))
        self.user("retire-old-password", "staff", "ann")
        self.assertEqual((self.login("ann"), self.login("ann", "a second, newer one")), (401, 200))
        self.assertEqual(self.user("retire-old-password", "staff", "ann", check=False).returncode, 1)
        self.user("delete", "staff", "ann")
        self.assertEqual(self.login("ann", "a second, newer one"), 401)
        self.assertEqual(self.user("disable", "staff", "ann", check=False).returncode, 3)

    def test_bad_passwords_are_refused_and_never_repeated(self):
        for password, cause in (("short 1", "at least 8 characters"), ("p4$$w0rd2026", "attackers try first"),
                                ("Dana2026!", "the user's name"), ("cafe\u0301 au lait", "more than one way")):
            done = self.user("add", "staff", "dana", "--password-stdin", stdin=password, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(cause, done.stderr)
            self.assertNotIn(password, done.stderr + done.stdout)
        self.assertEqual(self.user("show", "staff", "dana", check=False).returncode, 3)

    def test_nothing_that_is_stored_of_a_password_is_ever_printed(self):
        self.import_text("ann:" + hash_of(run("htpasswd", "-nbB", "-C", "4", "u", PASSWORD)))
        seen = ""
        for args in (("user", "list", "staff"), ("user", "list", "staff", "-o", "json"), ("user", "show", "staff", "ann"),
                     ("user", "show", "staff", "ann", "-o", "json"), ("get", "user-store", "staff", "-o", "yaml"),
                     ("describe", "user-store", "staff"), ("history", "--json")):
            seen += self.gatehouse.ctl(*args).stdout
        log = (self.folder / "gatehouse.log").read_text()
        self.assertIn("bcrypt", seen)
        self.assertNotIn("$2y$", seen + log)
        self.assertNotIn(PASSWORD, seen + log)

    def test_many_users_are_changed_one_by_one(self):
        text = hash_of(run("htpasswd", "-nbB", "-C", "4", "u", PASSWORD))
        self.import_text("".join(f"user{i}:{text}\n" for i in range(10_000)))
        self.user("disable", "staff", "user9999")
        self.assertEqual((self.login("user9999"), self.login("user9998")), (401, 200))
        self.assertEqual(len(self.user("list", "staff", "-o", "json").stdout.splitlines()), 10_000)
        self.assertEqual(len(self.export()[0].read_text().splitlines()), 9_999)
        self.import_text(f"user1:{text}\n", "--replace")


def stream(test, port, user, password=PASSWORD):
    client = RawClient(port, client_context(test.pki))
    test.addCleanup(client.close)
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    client.send(f"GET /stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {token}\r\n\r\n".encode())
    wait_for("the stream runs", lambda: b"tick" in client.buffer or client._fill())
    return client


class RenewalTest(GatehouseTest):
    """A hash that is weaker than new ones is replaced after a login, and nobody notices."""

    actor = "gateway:embedded"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.server()
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port))
        cls.start_gateway()

    @classmethod
    def start_gateway(cls):
        pass

    def login(self, user, password=PASSWORD):
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return self.status("/hello", headers=f"Authorization: Basic {token}\r\n")

    def algorithm(self, user):
        shown = json.loads(self.gatehouse.ctl("user", "show", "staff", user, "-o", "json").stdout)
        return [password["algorithm"] for password in shown["passwords"]]

    def renew(self, state):
        self.gatehouse.apply("kind: UserStore\nname: staff\n"
                             f"hashing: {{argon2_memory_mib: 8, argon2_passes: 1, renew_on_login: {state}}}\n")

    def test_a_login_renews_its_hash_and_cuts_nobody(self):
        self.gatehouse.ctl("user", "import", "staff", "-f", "-", stdin="".join(
            f"{user}:{hash_of(run('htpasswd', '-nbB', '-C', '4', 'u', PASSWORD))}\n" for user in ("ann", "bob", "eve")))
        self.assertEqual(self.login("ann"), 200)
        self.renew("true")
        # What is remembered is not hashed again, so it is bob who logs in.
        running = stream(self, self.port, "bob")
        self.assertEqual(self.login("eve", "a wrong password"), 401)
        wait_for("the hash is renewed", lambda: self.algorithm("bob") == ["argon2id"], 20)
        ticks = running.buffer.count(b"tick")
        wait_for("the stream goes on", lambda: running.buffer.count(b"tick") > ticks + 2 or running._fill(), 10)
        self.assertEqual(self.login("bob"), 200)
        self.assertEqual(self.login("bob", "a wrong password"), 401)
        self.assertEqual(self.algorithm("eve"), ["bcrypt"], "a wrong password renews nothing")
        history = [json.loads(line) for line in self.gatehouse.ctl("history", "--json").stdout.splitlines()]
        renewal = [r for r in history if "new hashes for old passwords" in r.get("message", "")]
        self.assertEqual([(r["actor"].startswith(self.actor), r["message"]) for r in renewal],
                         [(True, "new hashes for old passwords on login, 1 user: bob")])
        self.gatehouse.ctl("user", "set-password", "staff", "bob", "--password-stdin", stdin="another one entirely")
        self.assertTrue(running.closed(5), "another password cuts, renewed or not")


class RemoteRenewalTest(RenewalTest):
    options = ("--no-gateway",)
    actor = "uid:"

    @classmethod
    def start_gateway(cls):
        cls.out = open(cls.folder / "gateway.out", "w")
        cls.gateway = subprocess.Popen([BIN / "gatehouse-gateway", "--control", cls.gatehouse.control, "--name", "gw1",
                                        "--state-dir", cls.folder / "gateway", "--workers", "1"], stdout=cls.out, stderr=cls.out)
        wait_for("the gateway is ready", lambda: "ready" in (cls.folder / "gateway.out").read_text(), 20)

    @classmethod
    def tearDownClass(cls):
        cls.gateway.send_signal(signal.SIGTERM)
        code = cls.gateway.wait(20)
        cls.out.close()
        super().tearDownClass()
        if code != 0:
            raise AssertionError(f"gatehouse-gateway exited with {code}")


if __name__ == "__main__":
    unittest.main()
