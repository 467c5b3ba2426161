#!/usr/bin/python3
"""Several endpoints behind one upstream: spreading, faults, retries, ejection, health checks, change under load.

What is lost is counted on the client's side.
"""
import json
import socket
import subprocess
import threading
import time
import unittest

from harness import BIN, EDGE, EventWatch, GatehouseTest, RawClient, client_context, wait_for

CONFIG = EDGE + """---
{{kind: Route, name: app, match: {{path: "/app/{{rest...}}"}}, anonymous: true, upstream: app}}
---
{upstream}
"""


class Place:
    """One endpoint that behaves as its mode says: ok, ill (503), break (reset before the answer), half (reset in its body), hang."""

    def __init__(self, port=0):
        self.mode = "ok"
        self.health = 200
        self.count = 0
        self.checks = 0
        self.port = port
        self.let_go = threading.Event()  # answers to /held wait for it
        self.listener = None
        self.open()

    def open(self):
        """Listens, again on the same port after close()."""
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(256)
        self.port = self.listener.getsockname()[1]
        self.connections = set()
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self):
        """Refuses new connections, and resets those that are open."""
        listener, self.listener = self.listener, None
        if listener is None:
            return
        self.refuse(listener)
        listener.close()
        for connection in list(self.connections):
            self._reset(connection)

    def refuse(self, listener=None):
        """New connections are refused; open ones live."""
        try:
            (listener or self.listener).shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # refused already

    def endpoint(self, name="127.0.0.1"):
        return f"{name}:{self.port}"

    @staticmethod
    def _reset(connection):
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.shutdown(socket.SHUT_RD)  # wakes who reads
        except OSError:
            pass

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections = self.connections
            connections.add(connection)
            threading.Thread(target=self._serve, args=(connection, connections), daemon=True).start()

    def _serve(self, connection, connections):
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = connection.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                length = next((int(l.split(b":")[1]) for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")), 0)
                while len(buffer) < length:
                    data = connection.recv(65536)
                    if not data:
                        return
                    buffer += data
                buffer = buffer[length:]
                if head.startswith(b"GET /health"):
                    self.checks += 1
                    connection.sendall(b"HTTP/1.1 %d Health\r\nContent-Length: 0\r\n\r\n" % self.health)
                    continue
                self.count += 1
                mode = self.mode
                if b"/slow" in head:
                    time.sleep(1)
                if b"/held" in head:
                    self.let_go.wait(30)
                if mode == "break":
                    return self._reset(connection)
                if mode == "half":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
                    return self._reset(connection)
                if mode == "hang":
                    connection.recv(1)
                    return None
                status = b"503 Ill" if mode == "ill" else b"200 OK"
                connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n%05d" % self.port)
        except OSError:
            pass
        finally:
            connections.discard(connection)
            connection.close()


class Load:
    """Clients that ask without pause; counts answers by status, and connections that ended instead as None."""

    def __init__(self, test, clients=6, method="GET", path="/app/x"):
        self.results = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.context = client_context(test.pki)
        self.test, self.method, self.path = test, method, path
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        client = None
        while not self.stopping.is_set():
            try:
                client = client or RawClient(self.test.port, self.context)
                status = client.get(self.path, method=self.method, body=b"12" if self.method == "POST" else b"")[0]
            except OSError:
                status, client = None, None
            with self.lock:
                self.results[status] = self.results.get(status, 0) + 1
        if client:
            client.close()

    def total(self):
        with self.lock:
            return sum(self.results.values())

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(20)
        return self.results

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()


class Fixture(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.server()

    def places(self, n):
        made = [Place() for _ in range(n)]
        for place in made:
            self.addCleanup(place.close)
        return made

    def behind(self, endpoints, more=""):
        """The configuration, in force, with these endpoints and further fields of the upstream (YAML flow, after a comma)."""
        names = ", ".join(e if isinstance(e, str) else e.endpoint() for e in endpoints)
        upstream = f"{{kind: Upstream, name: app, endpoints: [{names}]{more}}}"
        self.gatehouse.apply(CONFIG.format(pki=self.pki.folder, port=self.port, upstream=upstream), "--wait")

    def endpoints(self, *options):
        said = json.loads(self.gatehouse.ctl("upstream", "status", "-o", "json", *options).stdout)
        return {e.get("address", e["endpoint"]): e for e in said.get("endpoints", [])}

    def state(self, place):
        return self.endpoints().get(place.endpoint(), {}).get("state")


class BalanceTest(Fixture):
    def test_requests_are_spread_over_the_endpoints(self):
        for balance in ("ROUND_ROBIN", "LEAST_REQUEST"):
            places = self.places(3)
            self.behind(places, f", balance: {balance}")
            with Load(self) as load:
                wait_for("enough requests", lambda: load.total() > 300)
            self.assertEqual(set(load.results), {200})
            self.assertTrue(all(p.count > load.total() / 6 for p in places), (balance, [p.count for p in places]))

    def test_a_name_stands_for_its_addresses(self):
        place, = self.places(1)
        self.behind([place.endpoint("localhost")])
        wait_for("the name is found", lambda: self.endpoints().get(place.endpoint(), {}).get("endpoint") == place.endpoint("localhost"))
        self.assertEqual(self.status("/app/x"), 200)
        told = self.gatehouse.ctl("upstream", "status", "app").stdout
        self.assertIn(place.endpoint("localhost"), told)

    def test_a_name_that_nobody_has_is_told(self):
        with EventWatch(self.gatehouse, "--type", "upstream") as watch:
            self.behind(["nobody.invalid:80"])
            event = watch.wait(lambda e: e["upstream"]["endpoint"] == "nobody.invalid:80", 20)
        self.assertEqual(event["reason"], "UPSTREAM_UNAVAILABLE")
        listed = self.endpoints()["nobody.invalid:80"]
        self.assertEqual(listed["state"], "UNHEALTHY")
        status, _, _ = self.client().get("/app/x")
        self.assertEqual(status, 503)

    def test_nothing_is_lost_when_an_endpoint_refuses(self):
        places = self.places(3)
        self.behind(places)
        with Load(self) as gets, Load(self, method="POST") as posts:
            wait_for("some requests", lambda: gets.total() > 50 and posts.total() > 50)
            places[0].refuse()
            seen = gets.total()
            wait_for("more requests", lambda: gets.total() > seen + 300)
        self.assertEqual((set(gets.results), set(posts.results)), ({200}, {200}))

    def test_idempotent_requests_survive_an_endpoint_that_breaks_off_and_it_is_ejected(self):
        places = self.places(3)
        places[0].mode = "break"
        self.behind(places, ", retries: {idempotent: true}, ejection: {rest: 1s}")
        with EventWatch(self.gatehouse, "--type", "upstream") as watch:
            # No more clients than retries are always in the budget: all may be at the one endpoint at once.
            with Load(self, clients=3) as load:
                out = watch.wait(lambda e: e["upstream"]["endpoint"] == places[0].endpoint() and "out of service" in e["detail"])
                self.assertEqual(out["upstream"]["upstream"], "app")
                places[0].mode = "ok"
                watch.wait(lambda e: e["upstream"]["endpoint"] == places[0].endpoint() and "back in service" in e["detail"])
                wait_for("it is used again", lambda: self.state(places[0]) == "HEALTHY" and places[0].count > 20)
        self.assertEqual(set(load.results), {200})
        metrics = self.endpoints()[places[0].endpoint()]
        self.assertGreaterEqual(int(metrics["failures"]), 5)

    def test_a_request_that_may_have_been_seen_is_not_repeated_unasked(self):
        places = self.places(2)
        places[0].mode = "break"
        self.behind(places, ", ejection: {off: true}")
        counted = [self.status("/app/x", method="POST") for _ in range(10)]
        self.assertIn(502, counted)
        self.assertEqual(sum(p.count for p in places), 10, "each was sent once")

    def test_an_answer_that_breaks_off_in_its_body_does_not_look_whole(self):
        places = self.places(2)
        places[0].mode = "half"
        self.behind(places, ", retries: {idempotent: true}, ejection: {off: true}")
        results = []
        for _ in range(10):
            try:
                results.append(self.client().get("/app/x")[0])
            except OSError:
                results.append(None)
        self.assertEqual((results.count(200), results.count(None)), (5, 5))
        self.assertEqual(sum(p.count for p in places), 10, "no head of an answer is followed by a retry")

    def test_an_endpoint_that_hangs_costs_a_timeout_and_no_request(self):
        places = self.places(2)
        places[0].mode = "hang"
        self.behind(places, ", response_timeout: 0.2s, retries: {idempotent: true}, ejection: {consecutive_failures: 2}")
        with Load(self, clients=2) as load:
            wait_for("it is ejected", lambda: self.state(places[0]) == "EJECTED")
            wait_for("more requests", lambda: load.total() > 50)
        self.assertEqual(set(load.results), {200})
        detail = self.endpoints()[places[0].endpoint()]["detail"]
        self.assertIn("no response in time", detail)

    def test_endpoints_that_are_not_well_are_not_asked(self):
        places = self.places(2)
        self.behind(places, ", health_check: {path: /health, interval: 0.1s, unhealthy_after: 2}")
        wait_for("both were asked", lambda: all(p.checks > 1 for p in places))
        places[0].health = 503
        wait_for("one is out", lambda: self.state(places[0]) == "UNHEALTHY")
        before = places[0].count
        self.assertEqual({self.status("/app/x") for _ in range(10)}, {200})
        self.assertEqual(places[0].count, before)
        places[1].health = 500
        wait_for("both are out", lambda: self.state(places[1]) == "UNHEALTHY")
        with EventWatch(self.gatehouse, "--type", "decision", "--type", "upstream") as watch:
            self.assertEqual(self.status("/app/x"), 503)
            refused = watch.wait(lambda e: e["type"] == "DECISION")
            self.assertEqual(refused["reason"], "UPSTREAM_UNAVAILABLE")
            self.assertIn("no endpoint is healthy", refused["detail"])
            places[0].health = places[1].health = 200
            watch.wait(lambda e: e["type"] == "UPSTREAM" and "back in service" in e["detail"])
        wait_for("both are back", lambda: {self.state(p) for p in places} == {"HEALTHY"})
        self.assertEqual(self.status("/app/x"), 200)

    def test_a_health_check_is_made_once_a_gateway(self):
        places = self.places(1)
        self.behind(places, ", health_check: {path: /health, interval: 0.2s}")
        wait_for("it was asked", lambda: places[0].checks > 0)
        before, began = places[0].checks, time.monotonic()
        wait_for("it was asked again", lambda: places[0].checks >= before + 5)
        self.assertGreater(time.monotonic() - began, 5 * 0.2 * 0.8, "two workers would ask twice as often")

    def test_beyond_its_limit_an_upstream_is_overloaded_at_once(self):
        place, = self.places(1)
        self.behind([place], ", max_requests: 1")
        busy = [self.client() for _ in range(8)]
        for client in busy:
            client.send(b"GET /app/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = [client.answer() for client in busy]
        statuses = [status for status, _, _ in answers]
        self.assertIn(503, statuses)
        self.assertIn(200, statuses)
        headers = dict(next(h for s, h, _ in answers if s == 503))
        self.assertEqual(headers["retry-after"], "1")

    def test_endpoints_come_and_go_under_load_and_nothing_is_lost(self):
        places = self.places(4)
        self.behind(places[:2])
        with Load(self) as gets, Load(self, method="POST") as posts:
            wait_for("some requests", lambda: gets.total() > 50)
            for chosen in ([0, 1, 2], [1, 2], [2, 3], [0, 1, 2, 3], [3], [0, 3], [0, 1]):
                seen = {p: p.count for p in places}
                self.behind([places[i] for i in chosen])
                wait_for("all that are there are asked", lambda: all(places[i].count > seen[places[i]] + 10 for i in chosen))
        self.assertEqual((set(gets.results), set(posts.results)), ({200}, {200}))

    def test_an_endpoint_that_was_taken_out_finishes_what_it_has(self):
        old, new = self.places(2)
        self.behind([old])
        client = self.client()
        client.send(b"GET /app/held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for("it is there", lambda: old.count == 1)
        self.behind([new])
        self.assertEqual(self.state(old), "DRAINING")
        self.assertEqual(self.status("/app/x"), 200)
        self.assertEqual((old.count, new.count), (1, 1))
        old.let_go.set()
        self.assertEqual(client.answer()[0], 200)
        wait_for("it is forgotten", lambda: self.state(old) is None)

    def test_connections_to_endpoints_that_stay_are_kept_over_a_change(self):
        places = self.places(2)
        self.behind(places[:1])
        client = self.client()
        client.get("/app/x")
        kept = set(places[0].connections)
        for _ in range(4):
            self.behind(places)
            self.behind(places[:1])
        client.get("/app/x")
        self.assertEqual(set(places[0].connections), kept)

    def test_mistakes_are_refused_by_name(self):
        for more, path in ((", balance: RANDOM", "balance"), (", retries: {attempts: 11}", "retries.attempts"),
                           (", health_check: {path: health}", "health_check.path"), (", dns_refresh: 0.5s", "dns_refresh"),
                           (", ejection: {max_percent: 101}", "ejection.max_percent")):
            upstream = f"{{kind: Upstream, name: app, endpoints: ['127.0.0.1:1']{more}}}"
            refused = self.gatehouse.apply(CONFIG.format(pki=self.pki.folder, port=self.port, upstream=upstream), check=False)
            self.assertNotEqual(refused.returncode, 0, more)
            self.assertIn(f'upstreams["app"].{path}', refused.stderr + refused.stdout)

    def test_an_unknown_upstream_is_named(self):
        self.behind(self.places(1))
        asked = self.gatehouse.ctl("upstream", "status", "ap", check=False)
        self.assertNotEqual(asked.returncode, 0)
        self.assertIn('did you mean "app"?', asked.stderr)


class SoakTest(Fixture):
    SECONDS = 20

    def test_endpoints_that_flap_cost_idempotent_requests_nothing(self):
        places = self.places(4)
        self.behind(places, ", response_timeout: 0.5s, retries: {attempts: 4, idempotent: true, budget_percent: 100}, "
                            "ejection: {rest: 0.5s, consecutive_failures: 3}, "
                            "health_check: {path: /health, interval: 0.2s, timeout: 0.2s, unhealthy_after: 2}")
        end = time.monotonic() + self.SECONDS
        with Load(self, clients=8) as load:
            turn = 0
            while time.monotonic() < end:
                # One is always well; the others have a trouble each, in turn.
                for i, place in enumerate(places[1:]):
                    trouble = ("ok", "break", "ill-health", "closed", "hang")[(turn + i) % 5]
                    if trouble == "closed":
                        place.close()
                        continue
                    if place.listener is None:
                        place.open()
                    place.health = 503 if trouble == "ill-health" else 200
                    place.mode = trouble if trouble in ("break", "hang") else "ok"
                turn += 1
                seen, until = load.total(), time.monotonic() + 1
                wait_for("requests go on", lambda: load.total() > seen + 20 and time.monotonic() > until)
        self.assertEqual(set(load.results), {200}, load.results)
        print(f"{load.total()} requests, {turn} turns, by endpoint {[p.count for p in places]}")


class RemoteGatewayTest(Fixture):
    """`gatehouse --no-gateway` with a `gatehouse-gateway` apart."""

    options = ("--no-gateway",)

    def test_a_remote_gateway_tells_of_its_endpoints(self):
        out = self.folder / "far.out"
        with open(out, "w") as said, open(self.folder / "far.log", "w") as log:
            gateway = subprocess.Popen([BIN / "gatehouse-gateway", "--control", self.gatehouse.control, "--name", "far",
                                        "--workers", "2", "--state-dir", self.folder / "far"], stdout=said, stderr=log)
        self.addCleanup(lambda: (gateway.kill(), gateway.wait()))
        place, = self.places(1)
        self.behind([place])
        wait_for("the gateway is ready", lambda: "ready" in out.read_text() or gateway.poll() is not None, 30)
        self.assertEqual(self.status("/app/x"), 200)
        one = self.endpoints("--gateway", "far")[place.endpoint()]
        self.assertEqual((one["state"], one["requests"], one["upstream"]), ("HEALTHY", "1", "app"))
        self.assertIn("not connected", self.gatehouse.ctl("upstream", "status", "--gateway", "nobody", check=False).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
