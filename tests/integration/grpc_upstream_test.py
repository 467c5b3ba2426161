"""gRPC through the gateway, end to end: grpcio's client over TLS and HTTP/2, grpcio's server behind HTTP/2, in clear and over TLS.
"""
import concurrent.futures
import threading
import time
import unittest

import grpc

from harness import EventWatch, GatehouseTest, free_port, wait_for

CONFIG = """
kind: ServerCertificate
name: site
certificate_chain_file: {site}
private_key_file: {site_key}
---
kind: Listener
name: edge
address: 127.0.0.1:{port}
server_certificates: [site]
---
kind: TrustStore
name: inside
anchors: [{{file: {ca}}}]
---
kind: ServerCertificate
name: gateway
certificate_chain_file: {client}
private_key_file: {client_key}
---
kind: Upstream
name: clear
protocol: HTTP_2
endpoints: ["127.0.0.1:{clear}"]
---
kind: Upstream
name: secure
protocol: HTTP_2
endpoints: ["127.0.0.1:{secure}"]
tls: {{trust_store: inside, server_name: backend.test, client_certificate: gateway}}
---
kind: Upstream
name: wrong-name
protocol: HTTP_2
endpoints: ["127.0.0.1:{secure}"]
tls: {{trust_store: inside, verify_names: [other.test], client_certificate: gateway}}
---
kind: Upstream
name: watched
protocol: HTTP_2
endpoints: ["127.0.0.1:{clear}"]
health_check: {{grpc_service: "acme.Watched", interval: 0.2s, healthy_after: 1, unhealthy_after: 1}}
---
kind: Upstream
name: gone
protocol: HTTP_2
endpoints: ["127.0.0.1:{gone}"]
---
kind: Route
name: clear
match: {{path: "/test.Echo/{{rest...}}"}}
anonymous: true
upstream: clear
---
kind: Route
name: hurried
match: {{path: "/test.Hurried/{{rest...}}"}}
anonymous: true
upstream: clear
timeout: 0.3s
---
kind: Route
name: secure
match: {{path: "/test.Secure/{{rest...}}"}}
anonymous: true
upstream: secure
---
kind: Route
name: wrong-name
match: {{path: "/test.WrongName/{{rest...}}"}}
anonymous: true
upstream: wrong-name
---
kind: Route
name: watched
match: {{path: "/test.Watched/{{rest...}}"}}
anonymous: true
upstream: watched
---
kind: Route
name: gone
match: {{path: "/test.Gone/{{rest...}}"}}
anonymous: true
upstream: gone
"""


class Echo(grpc.GenericRpcHandler):
    """Answers every service; messages are bytes."""

    def __init__(self):
        self.metadata = {}
        self.hanging = threading.Event()
        self.cancelled = threading.Event()
        self.sent = 0
        self.peer = {}
        self.remaining = None
        self.health = b"\x08\x01"  # SERVING

    def service(self, call):
        if call.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(lambda question, context: self.health if b"acme.Watched" in question else b"")
        method = call.method.rsplit("/", 1)[1]
        self.metadata = dict(call.invocation_metadata)
        return {"Unary": grpc.unary_unary_rpc_method_handler(self.unary),
                "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
                "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
                "Many": grpc.unary_stream_rpc_method_handler(self.many),
                "Collect": grpc.stream_unary_rpc_method_handler(lambda it, c: str(sum(len(m) for m in it)).encode()),
                "Chat": grpc.stream_stream_rpc_method_handler(self.chat)}.get(method)

    def unary(self, message, context):
        self.peer = context.auth_context()
        context.set_trailing_metadata((("x-trailer", "seen"),))
        return message

    def fail(self, message, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: \u00e9")

    def hang(self, message, context):
        self.remaining = context.time_remaining()
        context.add_callback(self.cancelled.set)
        self.hanging.set()
        self.cancelled.wait(10)
        return b""

    def many(self, message, context):
        count, size = (int(n) for n in message.split())
        for i in range(count):
            if not context.is_active():
                return
            self.sent = i + 1
            yield b"m" * size

    def chat(self, messages, context):
        context.add_callback(self.cancelled.set)
        for message in messages:
            yield b"re: " + message


class GrpcUpstreamTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        pki = cls.pki
        pki.server("site")
        pki.ca("ca", "CN=Inside")
        pki.make("leaf", "backend", "CN=backend", "--ca", pki.pem("ca"), "--ca-key", pki.key("ca"), "--eku", "server",
                 "--san", "dns:backend.test")
        pki.leaf("gateway", "ca", "CN=gateway")
        cls.echo = Echo()
        # Each call that runs holds a thread.
        cls.server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), handlers=[cls.echo])
        cls.clear = cls.server.add_insecure_port("127.0.0.1:0")
        with open(pki.key("backend"), "rb") as key, open(pki.pem("backend"), "rb") as pem, open(pki.pem("ca"), "rb") as ca:
            credentials = grpc.ssl_server_credentials([(key.read(), pem.read())], ca.read(), require_client_auth=True)
        cls.secure = cls.server.add_secure_port("127.0.0.1:0", credentials)
        cls.server.start()
        cls.gatehouse.apply(CONFIG.format(site=pki.pem("site"), site_key=pki.key("site"), ca=pki.pem("ca"),
                                          client=pki.pem("gateway"), client_key=pki.key("gateway"), port=cls.port,
                                          clear=cls.clear, secure=cls.secure, gone=free_port()))
        with open(pki.pem("site"), "rb") as pem:
            cls.credentials = grpc.ssl_channel_credentials(pem.read())

    @classmethod
    def tearDownClass(cls):
        cls.server.stop(0).wait()
        super().tearDownClass()

    def setUp(self):
        self.echo.hanging.clear()
        self.echo.cancelled.clear()
        self.echo.sent = 0
        self.echo.metadata = {}
        self.channel = grpc.secure_channel(f"localhost:{self.port}", self.credentials)
        self.addCleanup(self.channel.close)

    def failure(self, path, message=b"x", **options):
        with self.assertRaises(grpc.RpcError) as caught:
            self.channel.unary_unary(path)(message, **{"timeout": 20, **options})
        return caught.exception

    def test_a_call_goes_through_with_metadata_and_trailers(self):
        for service in ("test.Echo", "test.Secure"):
            answer, call = self.channel.unary_unary(f"/{service}/Unary").with_call(
                b"hello", timeout=20, metadata=(("x-mine", "1"), ("x-bytes-bin", b"\0\xff")))
            self.assertEqual(answer, b"hello")
            self.assertIn(("x-trailer", "seen"), call.trailing_metadata())
            self.assertEqual(self.echo.metadata["x-mine"], "1")
            self.assertEqual(self.echo.metadata["x-bytes-bin"], b"\0\xff")
            self.assertEqual(self.echo.metadata["x-forwarded-proto"], "https")

    def test_the_gateway_proves_who_it_is(self):
        self.channel.unary_unary("/test.Secure/Unary")(b"x", timeout=20)
        self.assertEqual(self.echo.peer["x509_common_name"], [b"gateway"])

    def test_an_endpoint_with_another_name_is_unavailable_and_the_event_says_why(self):
        with EventWatch(self.gatehouse) as watch:
            error = self.failure("/test.WrongName/Unary")
            self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
            event = watch.wait(lambda e: "WrongName" in str(e))
            self.assertIn("does not bear the name other.test", str(event))
            self.assertIn("UPSTREAM_UNAVAILABLE", str(event))

    def test_the_status_of_the_service_arrives_as_it_is(self):
        error = self.failure("/test.Echo/Fail")
        self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(error.details(), "no such thing: \u00e9")
        error = self.failure("/test.Echo/NoSuchMethod")  # Trailers-Only
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_service_that_is_not_there_is_unavailable(self):
        self.assertEqual(self.failure("/test.Gone/Unary").code(), grpc.StatusCode.UNAVAILABLE)

    def test_a_service_is_asked_by_grpc_whether_it_is_well(self):
        def state():
            return self.gatehouse.ctl("upstream", "status", "watched").stdout

        self.assertEqual(self.channel.unary_unary("/test.Watched/Unary")(b"x", timeout=20), b"x")
        wait_for("it is healthy", lambda: " HEALTHY" in state())
        self.echo.health = b"\x08\x02"  # NOT_SERVING
        wait_for("it is unhealthy", lambda: "UNHEALTHY" in state())
        self.assertEqual(self.failure("/test.Watched/Unary").code(), grpc.StatusCode.UNAVAILABLE)
        self.echo.health = b"\x08\x01"
        wait_for("it is healthy again", lambda: " HEALTHY" in state())
        self.assertEqual(self.channel.unary_unary("/test.Watched/Unary")(b"x", timeout=20), b"x")

    def test_messages_go_back_and_forth_while_both_sides_are_open(self):
        asked, go_on = [], threading.Semaphore(0)

        def questions():
            for i in range(20):
                asked.append(i)
                yield b"%d" % i
                self.assertTrue(go_on.acquire(timeout=10))

        answers = self.channel.stream_stream("/test.Echo/Chat")(questions(), timeout=60)
        for i, answer in enumerate(answers):
            self.assertEqual(answer, b"re: %d" % i)
            self.assertEqual(len(asked), i + 1, "the answer came before the next question was asked")
            go_on.release()
        self.assertEqual(len(asked), 20)

    def test_streams_either_way_are_whole(self):
        got = list(self.channel.unary_stream("/test.Secure/Many")(b"500 20000", timeout=60))
        self.assertEqual((len(got), sum(map(len, got))), (500, 10_000_000))
        total = self.channel.stream_unary("/test.Secure/Collect")((b"c" * 20000 for _ in range(500)), timeout=60)
        self.assertEqual(total, b"10000000")

    def test_cancelling_reaches_the_service(self):
        call = self.channel.unary_unary("/test.Echo/Hang").future(b"x", timeout=60)
        self.assertTrue(self.echo.hanging.wait(10))  # its metadata are there earlier, when a cancel would find nobody who waits for it
        call.cancel()
        self.assertTrue(self.echo.cancelled.wait(10))
        self.echo.cancelled.clear()
        chat = self.channel.stream_stream("/test.Echo/Chat")(iter([b"hello"]), timeout=60)
        next(chat)
        chat.cancel()
        self.assertTrue(self.echo.cancelled.wait(10))

    def test_a_slow_reader_holds_the_service_up_and_nobody_else(self):
        stream = self.channel.unary_stream("/test.Echo/Many")(b"10000 20000", timeout=120)
        next(stream)
        last = -1
        while self.echo.sent != last:  # it stops, since nobody reads
            last = self.echo.sent
            time.sleep(0.3)
        self.assertLess(last, 2000)
        self.assertEqual(self.channel.unary_unary("/test.Echo/Unary")(b"quick", timeout=20), b"quick")
        for i, _ in enumerate(stream):
            if i == last + 500:
                break
        self.assertGreater(self.echo.sent, last)
        stream.cancel()

    def test_the_clients_deadline_is_the_gateways_and_the_services(self):
        begun = time.monotonic()
        error = self.failure("/test.Echo/Hang", timeout=1)
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertLess(time.monotonic() - begun, 8)
        self.assertLessEqual(self.echo.remaining, 1.0)
        self.assertTrue(self.echo.cancelled.wait(10))

    def test_the_routes_timeout_is_deadline_exceeded(self):
        begun = time.monotonic()
        error = self.failure("/test.Hurried/Hang", timeout=30)
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertLess(time.monotonic() - begun, 8)
        self.assertLessEqual(self.echo.remaining, 0.31, "the service is told the shorter time")
        self.assertTrue(self.echo.cancelled.wait(10))
        # The stream is reset when the answer has begun.
        stream = self.channel.stream_stream("/test.Hurried/Chat")
        held = threading.Event()

        def one():
            yield b"x"
            held.wait(10)

        call = stream(one(), timeout=30)
        self.assertEqual(next(call), b"re: x")
        with self.assertRaises(grpc.RpcError):
            next(call)
        held.set()

    def test_a_malformed_deadline_is_refused(self):
        call = self.client(alpn=["http/1.1"])
        status, headers, _ = call.get("/test.Echo/Unary", method="POST",
                                      headers="Content-Type: application/grpc\r\nGrpc-Timeout: soon\r\n")
        self.assertEqual(dict(headers).get("grpc-status"), "13", (status, headers))


if __name__ == "__main__":
    unittest.main()
