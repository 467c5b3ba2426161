"""The model itself, on cases whose answers are written down in the reference."""
import datetime
import random
import unittest

import model
from generate import Documents, Generator, make_certificates
from model import Request
from pki import Pki

NOW = datetime.datetime(2026, 1, 1)


def route(path, hosts=(), methods=(), require=None, listeners=()):
    return {"hosts": list(hosts), "path": path, "methods": list(methods), "listeners": list(listeners), "anonymous": require is None,
            "require": require, "action": {"kind": "fixed", "status": 200, "body": ""}}


class Routes(unittest.TestCase):
    def find(self, routes, host, path, method="GET", listener="one"):
        name, allow = model.find_route({"routes": routes}, Request(listener, host, path, method, [], None))
        return sorted(allow) if allow is not None else name

    def test_the_most_specific_wins(self):
        routes = {"any": route("/{r...}"), "wild": route("/x", ["*.test"]), "exact": route("/x", ["a.test"]),
                  "template": route("/{v}", ["a.test"])}
        self.assertEqual(self.find(routes, "a.test", "/x"), "exact")
        self.assertEqual(self.find(routes, "a.test", "/y"), "template")
        self.assertEqual(self.find(routes, "b.test", "/x"), "wild")
        self.assertEqual(self.find(routes, "b.test", "/y"), "any")
        self.assertIsNone(self.find({"x": route("/x")}, "b.test", "/y"))

    def test_a_method_miss_goes_nowhere_else(self):
        routes = {"any": route("/{r...}"), "post": route("/x", methods=["POST"]), "get": route("/y", methods=["GET"])}
        self.assertEqual(self.find(routes, "a", "/x"), ["POST"])
        self.assertEqual(self.find(routes, "a", "/y", "POST"), ["GET", "HEAD"])
        self.assertEqual(self.find(routes, "a", "/y", "HEAD"), "get")


class Callers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pki = Pki(NOW)
        cls.authorities, cls.middles, cls.callers = make_certificates(cls.pki)
        cls.store = {"anchors": [cls.authorities["ca-a"]], "intermediates": [], "pins": [("spki", cls.callers["self"][0])]}

    def outcome(self, caller, **options):
        return model.judge_certificate({"trust_stores": {"s": self.store}}, {"trust_store": "s", **options}, self.callers[caller])[0]

    def test_certificates(self):
        expected = {"nobody": "nothing", "leaf-a": "success", "leaf-b": "failure", "past-a": "failure", "server-a": "failure",
                    "no-eku-a": "failure", "self": "success", "self-renewed": "success", "self-unknown": "failure",
                    "middle-sent": "success", "middle-not-sent": "failure", "old-middle-sent": "failure"}
        self.assertEqual({c: self.outcome(c) for c in expected}, expected)
        self.assertEqual(self.outcome("past-a", validate_validity_period=False), "success")
        self.assertEqual(self.outcome("server-a", validate_certificate_use=False), "success")
        self.assertEqual(self.outcome("no-eku-a", allow_absent_extended_key_usage=True), "success")
        self.assertEqual(self.outcome("self", allowed_certificate_types="CHAINED"), "failure")
        self.assertEqual(self.outcome("leaf-a", allowed_certificate_types="SELF_SIGNED"), "failure")
        self.assertEqual(self.outcome("self-unknown", self_signed_trust="ANY"), "success")

    def test_basic(self):
        self.assertEqual(model.parse_basic("bAsIc YW5uOnB3"), ("ann", "pw"))
        for text in ("Basic", "Basic YW5u", "Basic OnB3", "Basic YW5uOnB3=", "Basic YToDYg=="):
            self.assertEqual(model.parse_basic(text), "malformed", text)
        self.assertEqual(model.parse_basic("Bearer x"), "other")

    def test_generation_is_reproducible(self):
        def make():
            generator = Generator(random.Random(7), self.pki, 7, (self.authorities, self.middles, self.callers))
            config = generator.config()
            documents = Documents(self.pki, {"one": 1}, self.callers["self"][0]).of(config)
            requests = [generator.request(config) for _ in range(50)]
            for request in requests:
                request.now = NOW.replace(tzinfo=datetime.timezone.utc)
            return documents, [model.answer(config, r).status for r in requests]
        self.assertEqual(make(), make())


if __name__ == "__main__":
    unittest.main()
