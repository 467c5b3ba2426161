"""The clients people write and use: the examples in C++ (against an installed package), Python and Go, the shells' completion,
the manual pages, and gatehousectl's commands for the whole configuration, all against a real gatehouse."""
import os
import pathlib
import re
import subprocess
import sys
import unittest

import harness

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GATEHOUSE_BUILD", "build/dev")).resolve()

CONFIG = """
kind: TrustStore
name: partners
anchors: [{file: %(ca)s}]
labels: {app: shop}
---
kind: ServerCertificate
name: localhost
certificate_chain_file: %(server)s
private_key_file: %(server_key)s
---
kind: UserStore
name: staff
---
kind: Scheme
name: Certificate
client_certificate: {trust_store: partners, allowed_certificate_types: CHAINED}
---
kind: Scheme
name: Basic
basic: {realm: shop, user_store: staff}
---
kind: Policy
name: buyers
condition:
  any_of: [{claim: {type: role, exact: "yes"}}, {none_of: [{address: {ranges: ["10.0.0.0/8"]}}]}]
---
kind: Listener
name: edge
address: 127.0.0.1:%(port)d
server_certificates: [localhost]
limits: {idle_timeout: 90s, max_header_count: 50}
---
kind: Route
name: hello
labels: {app: shop, "odd \\u202e": "x: {y}\\n"}
match: {path: /hello, methods: [GET]}
require: {any_of: [Certificate, Basic], policies: [buyers]}
identity_response: {message: "hi there # and ~ null"}
---
kind: Route
name: open
match: {path: "/open/{rest...}"}
anonymous: true
fixed_response: {status: 202, content_type: "text/x: \\"quoted\\"", body: " leading space"}
"""


class ClientsTest(harness.GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.ca("other")
        cls.pki.server()
        cls.text = CONFIG % {"ca": cls.pki.pem("ca"), "server": cls.pki.pem("server"), "server_key": cls.pki.key("server"), "port": cls.port}
        cls.gatehouse.apply(cls.text)
        cls.gatehouse.ctl("user", "add", "staff", "ann", "--password-stdin", stdin="correct horse battery\n")

    def ctl(self, *args, **options):
        return self.gatehouse.ctl(*args, **options)

    # --- examples

    def run_example(self, *command, env=None):
        """Lists routes, applies a trust store, and watches an event, as each example does."""
        def call(*arguments):
            return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, env=env)
        routes = call("routes")
        self.assertEqual(routes.returncode, 0, routes.stderr)
        self.assertRegex(routes.stdout, r"hello\W+/hello")
        self.assertIn("/open/{rest...}", routes.stdout)

        before = self.gatehouse.revision()
        name = f"store-{before}"
        applied = call("trust", name, self.pki.pem("other"))
        self.assertEqual(applied.returncode, 0, applied.stderr)
        self.assertEqual(applied.stdout, f"revision {before + 1}, 1 changes, in force on 1 of 1 gateways\n")
        self.assertIn("CN=other", self.ctl("describe", "trust-store", name).stdout)
        key = call("trust", name, self.pki.key("other"))
        self.assertEqual(key.returncode, 1, "a private key is no certificate")
        self.assertEqual(self.gatehouse.revision(), before + 1)

        watcher = subprocess.Popen([*command, "watch", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        try:
            self.assertEqual(watcher.stdout.readline(), "watching\n")
            self.assertEqual(self.status("/open/x"), 202)
            out, err = watcher.communicate(timeout=20)
            self.assertEqual(watcher.returncode, 0, err)
            self.assertRegex(out, r"^[A-Z]+ [A-Z]+ ")
        finally:
            watcher.kill()

    def test_the_python_example(self):
        stubs = harness.use_stubs()
        self.run_example(sys.executable, str(ROOT / "client/examples/python/example.py"), "--server", self.gatehouse.control,
                         env={**os.environ, "PYTHONPATH": stubs})

    def test_the_go_example(self):
        program = self.folder / "go-example"
        cache = BUILD / "go-cache"
        subprocess.run([ROOT / "client/examples/go/build.sh", program], check=True, timeout=280, capture_output=True,
                       env={**os.environ, "GOCACHE": str(cache)})
        self.run_example(str(program), env={**os.environ, "GATEHOUSE_SOCKET": self.gatehouse.control.removeprefix("unix:")})

    def test_the_cpp_example_is_built_from_the_installed_package(self):
        prefix, build = self.folder / "prefix", self.folder / "cpp"
        for command in (["cmake", "--install", BUILD, "--prefix", prefix, "--component", "development"],
                        ["cmake", "-S", ROOT / "client/examples/cpp", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", "-G", "Ninja"],
                        ["cmake", "--build", build]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=280)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual([str(p) for p in prefix.rglob("*.h") if str(ROOT) in p.read_text()], [], "headers name the source tree")
        self.run_example(str(build / "example"), self.gatehouse.control)

    # --- the whole configuration

    def test_an_export_applied_again_changes_nothing_and_has_the_same_digest(self):
        exported = self.ctl("export").stdout
        self.assertNotIn("PRIVATE KEY", exported)
        self.assertNotIn("$2", exported)
        self.assertNotIn("$y$", exported)
        again = self.ctl("apply", "--replace-all", "-f", "-", stdin=exported)
        self.assertIn("nothing to change", again.stdout)
        digest = lambda text: re.search(r"SHA-256 ([0-9a-f]{64})", text)[1]
        self.assertEqual(digest(self.ctl("export").stdout), digest(exported))
        folder = self.folder / "git"
        told = self.ctl("export", "--directory", folder).stdout
        self.assertEqual(digest(told), digest(exported))
        self.assertIn("nothing to change", self.ctl("apply", "--replace-all", "-f", folder).stdout)
        self.assertEqual(self.ctl("diff", "--replace-all", "-f", folder).returncode, 0)
        self.assertIn("status: 202", (folder / "routes/open.yaml").read_text())

    def test_labels_select_prune_and_compare(self):
        names = self.ctl("get", "routes", "-l", "app=shop", "-o", "name").stdout
        self.assertEqual(names, "routes/hello\n")
        before = self.gatehouse.revision()
        route = "kind: Route\nname: %s\nlabels: {team: a}\nmatch: {path: /%s}\nanonymous: true\nidentity_response: {}\n---\n"
        self.gatehouse.apply(route % ("one", "one") + route % ("two", "two"))
        self.assertEqual(self.status("/two"), 200)
        plan = self.ctl("diff", "--prune", "-l", "team=a", "-f", "-", stdin=route % ("one", "one"), check=False)
        self.assertEqual((plan.returncode, plan.stdout), (1, "- routes/two   removed\n"))
        self.gatehouse.apply(route % ("one", "one"), "--prune", "-l", "team=a")
        self.assertEqual(self.status("/two"), 404)
        self.assertEqual(self.status("/one"), 200)
        refused = self.gatehouse.apply((route % ("three", "three")).replace("labels: {team: a}\n", ""), "--prune", "-l", "team=a", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn('routes["three"].labels: must have team=a', refused.stderr)
        changes = self.ctl("diff", "--revision", str(before), check=False).stdout
        self.assertIn("+ routes/one", changes)
        self.assertNotIn("routes/two", changes)
        one = self.ctl("history", str(before + 1)).stdout
        self.assertIn("+ routes/one", one)
        self.assertIn("uid:", one)
        self.ctl("delete", "routes/one")

    def test_a_watch_tells_each_change(self):
        out = self.folder / "watched"
        with open(out, "w") as file:
            watcher = subprocess.Popen([harness.BIN / "gatehousectl", "--server", self.gatehouse.control, "get", "upstreams", "-w", "-o", "name"],
                                       stdout=file, stderr=subprocess.DEVNULL)
        try:
            upstream = "kind: Upstream\nname: watched\nendpoints: [\"127.0.0.1:%d\"]\n"
            self.gatehouse.apply(upstream % 1)
            harness.wait_for("the first line", lambda: out.read_text() == "upstreams/watched\n")
            self.gatehouse.apply(upstream % 2)
            harness.wait_for("the change", lambda: out.read_text() == "upstreams/watched\n" * 2)
            self.ctl("delete", "upstream", "watched")
            harness.wait_for("the end of it", lambda: out.read_text().endswith("-upstreams/watched\n"))
        finally:
            watcher.kill()
            watcher.wait()

    def test_describe_tells_what_uses_it(self):
        text = self.ctl("describe", "scheme", "Basic").stdout
        self.assertIn("refers to:   userStores/staff", text)
        self.assertIn("used by:     routes/hello", text)
        self.assertIn("events of the last hour", text)

    # --- shells and manual

    def shell_env(self):
        return {**os.environ, "PATH": f"{harness.BIN}:{os.environ['PATH']}", "GATEHOUSE_SERVER": self.gatehouse.control, "TERM": "dumb",
                "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "xdg")}

    def test_bash_completes_names_from_the_control_plane(self):
        script = ("source <(gatehousectl completion bash); COMP_LINE='gatehousectl get route h'; COMP_WORDS=(gatehousectl get route h); COMP_CWORD=3; _gatehousectl; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=self.shell_env(), timeout=30)
        self.assertEqual((done.stdout, done.stderr), ("hello\n", ""))

    def test_fish_completes_names_from_the_control_plane(self):
        script = "gatehousectl completion fish | source; complete -C 'gatehousectl get route h'; complete -C 'gatehousectl expo'"
        done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, env=self.shell_env(), timeout=30)
        self.assertEqual([line.split("\t")[0] for line in done.stdout.splitlines()], ["hello", "export"], done.stderr)

    def test_zsh_completes_names_from_the_control_plane(self):
        script = ("autoload -Uz compinit && compinit -u -D; source <(gatehousectl completion zsh); "
                  "_describe() { print -l -- ${(P)2} }; _files() { print files }; "
                  "words=(gatehousectl get route h) CURRENT=4; _gatehousectl; words=(gatehousectl apply -f '') CURRENT=4; _gatehousectl")
        done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, env=self.shell_env(), timeout=30)
        self.assertEqual([line.split(":")[0] for line in done.stdout.splitlines()], ["hello", "files"], done.stderr)

    def test_the_manual_pages_are_clean(self):
        pages = self.folder / "man"
        pages.mkdir()
        self.ctl("man", pages, "--date", "2026-01-31")
        files = sorted(pages.iterdir())
        self.assertGreater(len(files), 25)
        done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *files], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.stdout, done.returncode), ("", 0))
        shown = subprocess.run(["mandoc", "-Tutf8", pages / "gatehouse-route.5"], capture_output=True, text=True, timeout=60)
        self.assertIn("any_of", shown.stdout)


if __name__ == "__main__":
    unittest.main()
