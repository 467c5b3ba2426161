#!/usr/bin/python3
"""Basic under load and guessing, against the real programs: storms, fairness, lock-outs over restarts, sprays, the memory of
a connection."""
import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import unittest
import urllib.request
import warnings

from harness import BIN, EDGE, EventWatch, GatehouseTest, client_context, wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

USERS = 200
CONFIG = EDGE + """---
kind: UserStore
name: staff
users: [{users}]
---
{{kind: Route, name: secure, match: {{path: /secure}}, require: {{any_of: [Basic]}}, fixed_response: {{body: ok}}}}
"""
SCHEME = '{{kind: Scheme, name: Basic, basic: {{user_store: staff, throttle: {{{0}}}}}}}'
PATIENT = "address_free_users: 100000"  # guessers are stopped by nothing but the queue
STRICT = "free_failures: 2, lockout_failures: 3, first_delay: 0.1s, max_delay: 0.1s"


def bcrypt(password, cost):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2 ** cost))


def basic(user, password):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


class Fixture(GatehouseTest):
    options = ("--metrics-address", "127.0.0.1:0")
    cost = 4  # of bcrypt

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.server()
        cls.hash = bcrypt("right", cls.cost)
        users = ", ".join(f"{{name: user{i}, password_hash: {cls.hash}}}" for i in range(USERS))
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, users=users) + "---\n" + SCHEME.format(PATIENT))
        cls.context = client_context(cls.pki)

    def throttle(self, options):
        self.gatehouse.apply(SCHEME.format(options))

    def login(self, user, password="right", address="127.0.0.1"):
        """(status, Retry-After) of one request on a connection of its own."""
        return asyncio.run(self.ask(user, password, address))

    async def ask(self, user, password, address="127.0.0.1"):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname="localhost",
                                                       local_addr=(address, 0))
        try:
            writer.write(f"GET /secure HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                         f"Authorization: Basic {basic(user, password)}\r\n\r\n".encode())
            await writer.drain()
            head = (await reader.read()).decode("latin-1")
        finally:
            writer.close()
        retry = re.search(r"retry-after: (\d+)", head, re.IGNORECASE)
        return int(head.split()[1]), int(retry[1]) if retry else None

    said = "gatehouse.out"

    def metrics(self):
        url = re.search(r": metrics (\S+)", (self.folder / self.said).read_text())[1]
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}

    def clear(self):
        self.gatehouse.ctl("lockouts", "clear", "--all")

    def lockouts(self, *options):
        return json.loads(self.gatehouse.ctl("lockouts", "list", "-o", "json", *options).stdout).get("lockouts", [])


class StormTest(Fixture):
    cost = 6

    def test_a_cold_storm_from_one_address_gets_in_and_pays_one_hash_each(self):
        before = self.metrics()

        async def storm():
            return await asyncio.gather(*(self.ask(f"user{i}", "right") for i in range(USERS)))

        answers = asyncio.run(storm())
        self.assertEqual({status for status, _ in answers}, {200})
        after = self.metrics()
        self.assertEqual(after["gatehouse_password_hashes_total"] - before["gatehouse_password_hashes_total"], USERS)
        self.assertEqual(after["gatehouse_password_queue_refused_total"], before["gatehouse_password_queue_refused_total"])
        # And then from memory.
        self.assertEqual(self.login("user0")[0], 200)
        self.assertEqual(self.metrics()["gatehouse_password_hashes_total"], after["gatehouse_password_hashes_total"])


class StarvingTest(Fixture):
    cost = 8

    def test_a_guesser_starves_nobody(self):
        self.gatehouse.ctl("user", "set-password", "staff", "user1", "--password-stdin", stdin="quite-fresh\n")
        answered = []

        async def guess(i):
            answered.append(await self.ask(f"nobody{i}", "Summer2026!", "127.0.0.2"))

        async def attack():
            guesses = [asyncio.create_task(guess(i)) for i in range(120)]
            while len(answered) < 2:
                await asyncio.sleep(0.001)
            status, _ = await self.ask("user1", "quite-fresh", "127.0.0.1")
            waiting = 120 - len(answered)
            await asyncio.gather(*guesses)
            return status, waiting

        status, waiting = asyncio.run(attack())
        self.assertEqual(status, 200)
        self.assertGreater(waiting, 30, "the right password waited for the guesses")
        self.assertEqual({status for status, _ in answered}, {401})
        self.clear()


class GuessingTest(Fixture):
    def tearDown(self):
        self.clear()
        self.throttle(PATIENT)

    def lock_out(self, user="user2", address="127.0.0.1"):
        self.throttle(STRICT)
        while not any(e.get("locked_out") for e in self.lockouts("--user", user)):
            self.login(user, "wrong", address)

    def test_a_lockout_is_seen_and_cleared(self):
        with EventWatch(self.gatehouse) as watch:
            self.lock_out()
            status, retry = self.login("user2")
            self.assertEqual(status, 429, "the right password too")
            self.assertTrue(600 < retry <= 900, retry)
            self.assertEqual(self.login("user2", address="127.0.0.3")[0], 200, "elsewhere it counts apart")
            self.assertEqual(self.login("user3")[0], 200)
            watch.wait(lambda e: e["type"] == "GUESSING" and e["reason"] == "LOCKED_OUT" and
                       'user "user2" from 127.0.0.1 is locked out for 15m after 3 failures' in e["detail"] and
                       e["schemes"] == ["Basic"])
            listed = self.lockouts("--user", "user2", "--address", "127.0.0.1")
            self.assertEqual([(e["kind"], e["user"], e["address"], e["failures"], e["gateway"]) for e in listed],
                             [("USER_AND_ADDRESS", "user2", "127.0.0.1", 3, "embedded")])
            table = self.gatehouse.ctl("lockouts", "list").stdout
            self.assertRegex(table, r"user2 +127\.0\.0\.1 +Basic +embedded +3 .* locked out 1[45]m")
            self.assertIn("user: user2", self.gatehouse.ctl("lockouts", "list", "-o", "yaml").stdout)
            done = self.gatehouse.ctl("lockouts", "clear", "--user", "user2", "--address", "127.0.0.1")
            self.assertEqual(done.stdout, "1 entry cleared on 1 gateway\n")
            watch.wait(lambda e: e["type"] == "AUDIT" and e["actor"] == f"uid:{os.getuid()}" and
                       'cleared lock-outs: user "user2" address "127.0.0.1": 1 entries' in e["detail"])
            self.assertEqual(self.login("user2")[0], 200)

    def test_what_is_no_address_and_what_names_nothing_is_refused(self):
        done = self.gatehouse.ctl("lockouts", "clear", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--user, --address or --scheme, or else --all", done.stderr)
        done = self.gatehouse.ctl("lockouts", "list", "--address", "10.0.0.0/8", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("neither an address nor an IPv6 /64", done.stderr)
        self.assertEqual(self.gatehouse.ctl("lockouts", "list", "--gateway", "nobody", check=False).returncode, 5)

    def test_changed_options_hold_at_once_and_forget_nothing(self):
        self.throttle("free_failures: 50")
        for _ in range(3):
            self.assertEqual(self.login("user4", "wrong")[0], 401)
        self.throttle(STRICT + ", lockout: 40s")
        self.assertEqual(self.login("user4", "wrong")[0], 401, "the fourth")
        status, retry = self.login("user4")
        self.assertEqual(status, 429)
        self.assertTrue(30 <= retry <= 40, retry)

    def test_an_address_that_tries_many_users_is_locked_out_and_names_of_nobody_are_not_kept(self):
        self.assertEqual(self.login("user5", address="127.0.0.4")[0], 200)
        self.throttle("address_free_users: 5, address_lockout_users: 6, first_delay: 0.1s, max_delay: 0.1s")
        names = (f"hunter{i}" for i in range(1000))
        wait_for("the address is locked out", lambda: (self.login(next(names), "Summer2026!", "127.0.0.4")[1] or 0) > 600, 30)
        self.assertEqual(self.login("user6", address="127.0.0.4")[0], 429)
        self.assertEqual(self.login("user6", address="127.0.0.5")[0], 200)
        self.gatehouse.ctl("user", "set-password", "staff", "user5", "--password-stdin", stdin="quite-fresh\n")
        self.assertEqual(self.login("user5", "quite-fresh", address="127.0.0.4")[0], 200, "who was verified from there is spared")
        text = self.gatehouse.ctl("lockouts", "list", "--all").stdout
        self.assertNotIn("hunter", text)
        self.assertRegex(text, r"\(anybody\) +127\.0\.0\.4")
        self.assertEqual(len(self.lockouts("--all", "--user", "hunter0")), 2, "who knows the name finds it")

    def test_a_spray_over_many_addresses_is_told_of(self):
        self.throttle("spray_users: 8")
        with EventWatch(self.gatehouse, "--type", "guessing") as watch:
            for i in range(10):
                self.assertEqual(self.login(f"user{20 + i}", "Summer2026!", f"127.0.1.{i + 1}")[0], 401)
            event = watch.wait(lambda e: "password spray" in e["detail"])
            self.assertRegex(event["detail"], r"about [89] users fail, 1\.0 tries each, from [89] addresses")
            self.assertEqual((event["outcome"], event["schemes"]), ("REFUSED", ["Basic"]))
        metrics = self.metrics()
        self.assertEqual(metrics["gatehouse_password_sprays_active"], 1)
        self.assertEqual(metrics["gatehouse_password_sprays_total"], 1)
        self.assertEqual(self.login("user40")[0], 200, "nobody is refused for it")

    def test_a_lockout_outlives_a_restart_and_a_kill(self):
        for sig, user in ((signal.SIGTERM, "user7"), (signal.SIGKILL, "user17")):
            with self.subTest(sig.name):
                self.lock_out(user)
                wait_for("it is on disk", lambda: self.metrics()["gatehouse_lockout_unsaved_changes"] == 0)
                time_left = self.login(user)[1]
                self.assertEqual(self.gatehouse.stop(sig), 0 if sig == signal.SIGTERM else -sig)
                self.gatehouse.start()
                status, retry = self.login(user)
                self.assertEqual(status, 429)
                self.assertTrue(0 < retry <= time_left, (retry, time_left))
                self.assertEqual(self.login("user8")[0], 200)
                self.clear()
                self.assertEqual(self.login(user)[0], 200)

    def test_a_damaged_file_is_told_of_and_shuts_nobody_out(self):
        self.lock_out("user9")
        self.gatehouse.stop()
        file = self.gatehouse.state / "lockouts.sealed"
        content = bytearray(file.read_bytes())
        self.assertNotIn(b"user9", content)
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        self.gatehouse.start()
        self.assertEqual(self.login("user9")[0], 200)
        with EventWatch(self.gatehouse) as watch:
            self.login("user9")
            watch.wait(lambda e: e["type"] == "DECISION")
        with EventWatch(self.gatehouse, "--since", "10m", "--type", "guessing") as watch:
            watch.wait(lambda e: "the saved lock-outs are not used, guessers begin anew" in e["detail"])
        self.assertTrue((self.gatehouse.state / "lockouts.sealed.damaged").exists())


class ConnectionMemoryTest(Fixture):
    """An HTTP/2 connection that repeats its Authorization field."""

    def connect(self):
        import h2.connection
        self.h2 = h2.connection.H2Connection()
        context = client_context(self.pki, alpn=["h2"])
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=10), server_hostname="localhost")
        self.addCleanup(self.sock.close)
        self.h2.initiate_connection()

    def get(self, user, password):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/secure"),
                                      ("authorization", "Basic " + basic(user, password))], end_stream=True)
        self.sock.sendall(self.h2.data_to_send())
        status = None
        while True:
            for event in self.h2.receive_data(self.sock.recv(65536)):
                kind = type(event).__name__
                if kind == "ResponseReceived" and event.stream_id == stream:
                    status = int(dict(event.headers)[b":status"] if b":status" in dict(event.headers) else dict(event.headers)[":status"])
                elif kind == "StreamEnded" and event.stream_id == stream:
                    return status
                elif kind in ("StreamReset", "ConnectionTerminated"):
                    self.fail(kind)
            self.sock.sendall(self.h2.data_to_send())

    def test_credentials_are_checked_once_and_again_when_the_user_changes(self):
        self.connect()
        before = self.metrics()
        for _ in range(50):
            self.assertEqual(self.get("user10", "right"), 200)
        after = self.metrics()
        grown = {name: after[name] - before[name] for name in before if "password_hashes" in name or "credential_cache" in name}
        self.assertEqual(grown, {"gatehouse_password_hashes_total": 1, "gatehouse_credential_cache_hits_total": 49,
                                 "gatehouse_credential_cache_misses_total": 1})
        self.assertEqual(self.get("user10", "wrong"), 401, "another field is another question")
        self.assertEqual(self.get("user10", "right"), 200)
        self.gatehouse.ctl("user", "set-password", "staff", "user10", "--password-stdin", stdin="quite-changed\n")
        self.assertEqual(self.get("user10", "right"), 401)
        self.assertEqual(self.get("user10", "quite-changed"), 200)
        self.gatehouse.ctl("user", "remove", "staff", "user10")
        self.assertEqual(self.get("user10", "quite-changed"), 401)
        self.assertEqual(self.get("user11", "right"), 200, "the connection lives")


class RemoteGatewayTest(Fixture):
    """`gatehouse --no-gateway` with a `gatehouse-gateway` apart."""

    options = ("--no-gateway",)
    said = "gateway.out"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start()

    @classmethod
    def start(cls):
        with open(cls.folder / "gateway.out", "w") as out:
            cls.gateway = subprocess.Popen([BIN / "gatehouse-gateway", "--control", cls.gatehouse.control, "--name", "far",
                                            "--workers", "2", "--state-dir", cls.folder / "far", "--metrics-address",
                                            "127.0.0.1:0"], stdout=out, stderr=out)
        wait_for("the gateway is ready", lambda: "ready" in (cls.folder / "gateway.out").read_text(), 20)

    @classmethod
    def tearDownClass(cls):
        cls.gateway.terminate()
        cls.gateway.wait(20)
        super().tearDownClass()

    def test_lockouts_are_listed_and_cleared_over_the_stream_and_outlive_a_kill(self):
        self.throttle(STRICT)
        while not any(e.get("locked_out") for e in self.lockouts()):
            self.login("user12", "wrong")
        self.assertEqual(self.lockouts()[0]["gateway"], "far")
        wait_for("it is on disk", lambda: self.metrics()["gatehouse_lockout_unsaved_changes"] == 0)
        self.gateway.kill()
        self.gateway.wait(20)
        done = self.gatehouse.ctl("lockouts", "list", check=False)
        self.assertEqual(done.returncode, 5, "no gateway is connected")
        self.start()
        self.assertEqual(self.login("user12")[0], 429)
        self.gatehouse.ctl("lockouts", "clear", "--user", "user12", "--gateway", "far")
        self.assertEqual(self.login("user12")[0], 200)


if __name__ == "__main__":
    unittest.main()
