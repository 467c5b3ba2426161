#!/usr/bin/python3
"""Trailers of requests: HTTP/1.1 and HTTP/2 clients by HTTP/1.1 and HTTP/2 upstreams. What passes, what never does, and that nothing
in them becomes a header field, an identity or a second request."""
import base64
import unittest

import h2.config
import h2.connection
import h2.events

from harness import EDGE, Acceptor, GatehouseTest, wait_for

PASSWORD = "correct-horse-battery"

CONFIG = EDGE + """---
{{kind: TrustStore, name: clients, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: clients}}}}
---
{{kind: UserStore, name: staff, hashing: {{argon2_memory_mib: 8, argon2_passes: 1}}}}
---
{{kind: Scheme, name: Basic, basic: {{user_store: staff}}}}
---
{{kind: Upstream, name: h1, endpoints: ["127.0.0.1:{h1}"]}}
---
{{kind: Upstream, name: h2, protocol: HTTP_2, endpoints: ["127.0.0.1:{h2}"]}}
---
{{kind: Route, name: h1, match: {{path: "/h1/{{rest...}}"}}, anonymous: true, upstream: h1, max_body_bytes: 30000,
  response_headers: {{remove: [X-Internal], set: {{X-Set: ours}}}}}}
---
{{kind: Route, name: h2, match: {{path: "/h2/{{rest...}}"}}, anonymous: true, upstream: h2, max_body_bytes: 30000,
  response_headers: {{remove: [X-Internal], set: {{X-Set: ours}}}}}}
---
{{kind: Route, name: who1, match: {{path: "/who/h1/{{rest...}}"}}, require: {{any_of: [Certificate, Basic]}}, upstream: h1,
  identity_headers: {{claims: {{X-Caller: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"}}}}}}
---
{{kind: Route, name: who2, match: {{path: "/who/h2/{{rest...}}"}}, require: {{any_of: [Certificate, Basic]}}, upstream: h2,
  identity_headers: {{claims: {{X-Caller: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"}}}}}}
"""

# Names that must not follow a body to any upstream: whose caller it is, framing, routing, credentials, and what the connection owns.
NEVER = ["X-Caller", "x_caller", "X-Forwarded-Client-Cert", "Client-Cert", "Client_Cert", "X-Auth-Subject", "X-SSL-Client-Verify", "Remote-User",
         "X-Remote-User", "X-Forwarded-User", "Content-Length", "Host", "Authorization", "Proxy-Authorization", "Cookie", "X-Forwarded-For",
         "Forwarded", "X-Real-IP", "X-Request-Id", "Traceparent", "Expect", "Range", "If-Match", "Cache-Control", "Content-Type", "Trailer",
         "X-HTTP-Method-Override"]
HOP = ["Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE"]  # HTTP/2 does not take these from a client at all

# Trailers of the answer: the first two pass, the rest may not.
ANSWER = [("x-answer", "done"), ("grpc-status", "0"), ("set-cookie", "a=b"), ("x-internal", "1"), ("x-set", "theirs"), ("content-length", "99"),
          ("www-authenticate", "Basic"), ("location", "https://elsewhere/")]


class Raw1(Acceptor):
    """An HTTP/1.1 upstream that remembers what it was sent octet by octet, and answers with trailers."""

    def __init__(self):
        self.requests = []
        super().__init__()

    def serve(self, sock):
        with sock.makefile("rb") as stream:
            while line := stream.readline():
                fields = []
                while (field := stream.readline()) not in (b"\r\n", b""):
                    fields.append(tuple(part.strip().lower() for part in field.decode("latin-1").split(":", 1)))
                body, trailers = b"", []
                if ("transfer-encoding", "chunked") in fields:
                    while True:
                        size = stream.readline()
                        if not size:
                            return
                        if int(size, 16) == 0:
                            break
                        body += stream.read(int(size, 16))
                        stream.readline()
                    while (field := stream.readline()) != b"\r\n":
                        if not field:
                            return
                        name, value = field.decode("latin-1").rstrip("\r\n").split(": ", 1)
                        trailers.append((name, value))
                elif length := int(dict(fields).get("content-length", 0)):
                    body = stream.read(length)
                self.requests.append({"line": line.decode().strip(), "path": line.split()[1].decode(), "fields": fields, "body": body,
                                      "trailers": trailers})
                tail = "".join(f"{name}: {value}\r\n" for name, value in ANSWER)
                sock.sendall(f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{tail}\r\n".encode())


class Raw2(Acceptor):
    """The same over HTTP/2 with prior knowledge."""

    def __init__(self):
        self.requests = []
        super().__init__()

    def serve(self, sock):
        # What is sent is the test's business, and not the library's to mend.
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        streams = {}
        sock.sendall(connection.data_to_send())
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    fields = dict(event.headers)
                    streams[event.stream_id] = {"path": fields[":path"], "fields": list(event.headers), "body": b"", "trailers": []}
                elif isinstance(event, h2.events.DataReceived):
                    streams[event.stream_id]["body"] += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.TrailersReceived):
                    streams[event.stream_id]["trailers"] = list(event.headers)
                elif isinstance(event, h2.events.StreamEnded):
                    self.requests.append(streams.pop(event.stream_id))
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    connection.send_data(event.stream_id, b"ok")
                    connection.send_headers(event.stream_id, [f for f in ANSWER if f[0] != "content-length"], end_stream=True)
            sock.sendall(connection.data_to_send())


class TrailersTest(GatehouseTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.h1, cls.h2 = Raw1(), Raw2()
        cls.pki.ca("ca")
        cls.pki.server()
        cls.pki.leaf("alice", "ca")
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, h1=cls.h1.port, h2=cls.h2.port))
        cls.gatehouse.ctl("user", "add", "staff", "bob", "--password-stdin", stdin=PASSWORD)

    @classmethod
    def tearDownClass(cls):
        cls.h1.close()
        cls.h2.close()
        super().tearDownClass()

    def by_http1(self, path, trailers, fields=(), body=b"hello", cert=None, framing="Transfer-Encoding: chunked\r\n"):
        """The answer's head and all that follows it, until the connection ends or the answer does."""
        client = self.client(cert)
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        chunks = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        tail = b"".join(name.encode() + b": " + value.encode("latin-1") + b"\r\n" for name, value in trailers)
        client.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{head}{framing}\r\n".encode() + chunks + b"0\r\n" + tail + b"\r\n")
        data = b""
        while not data.endswith(b"\r\n\r\n") or b"\r\n0\r\n" not in data:
            piece = client.sock.recv(65536)
            data += piece
            if not piece or b"problem+json" in data and data.endswith(b"}\n"):
                break
        return int(data.split()[1]), data

    def by_http2(self, path, trailers, fields=(), body=b"hello", cert=None):
        """The answer's status, or how the stream ended, and its trailers."""
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False)
        connection = h2.connection.H2Connection(config)
        client = self.client(cert, alpn=["h2"])
        connection.initiate_connection()
        connection.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path), *fields])
        for at in range(0, len(body), 16384):
            connection.send_data(1, body[at:at + 16384])
        connection.send_headers(1, trailers, end_stream=True)
        client.send(connection.data_to_send())
        status, got = None, []
        while True:
            data = client.sock.recv(65536)
            if not data:
                return "closed", got
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                elif isinstance(event, h2.events.TrailersReceived):
                    got = list(event.headers)
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    return status or type(event).__name__, got
                elif isinstance(event, h2.events.StreamEnded):
                    return status, got
            client.send(connection.data_to_send())

    def clients(self):
        return (("HTTP/1.1", self.by_http1), ("HTTP/2", self.by_http2))

    def upstreams(self):
        return (("h1", self.h1), ("h2", self.h2))

    def seen(self, upstream, path):
        return wait_for("the upstream has it", lambda: next((r for r in upstream.requests if r["path"] == path), None))

    def test_they_reach_the_upstream_behind_the_body_and_the_answers_come_back(self):
        for client, send in self.clients():
            for kind, upstream in self.upstreams():
                with self.subTest(client=client, upstream=kind):
                    path = f"/{kind}/pass-{client[-1]}"
                    status, answer = send(path, [("x-sum", "7"), ("x-more", "a, b"), ("x-more", "c")], [("te", "trailers"), ("trailer", "X-Sum, X-Caller, Host")])
                    self.assertEqual(status, 200)
                    request = self.seen(upstream, path)
                    self.assertEqual(request["body"], b"hello")
                    self.assertEqual(request["trailers"], [("x-sum", "7"), ("x-more", "a, b"), ("x-more", "c")])
                    names = [name for name, _ in request["fields"]]
                    self.assertFalse({"x-sum", "x-more"} & set(names), "never among the header fields")
                    self.assertIn(("trailer", "x-sum"), request["fields"], "announced, as far as they may come")
                    self.assertIn(("te", "trailers"), request["fields"])
                    if client == "HTTP/1.1":
                        self.assertEqual(answer.split(b"\r\n0\r\n")[1], b"x-answer: done\r\ngrpc-status: 0\r\n\r\n")
                    else:
                        self.assertEqual(answer, [("x-answer", "done"), ("grpc-status", "0")])

    def test_nothing_in_them_is_an_identity_a_credential_or_a_frame(self):
        for client, send in self.clients():
            for kind, upstream in self.upstreams():
                with self.subTest(client=client, upstream=kind):
                    path = f"/who/{kind}/never-{client[-1]}"
                    names = [name if client == "HTTP/1.1" else name.lower() for name in NEVER] + (HOP if client == "HTTP/1.1" else [])
                    trailers = [(name, "5" if name.lower() == "content-length" else "forged") for name in names if name.lower() != "trailer"]
                    status, _ = send(path, trailers + [("trailer", "forged"), ("x-hop", "forged"), ("x-last", "kept")],
                                     [("connection", "x-hop")] if client == "HTTP/1.1" else [], cert="alice")
                    self.assertEqual(status, 200)
                    request = self.seen(upstream, path)
                    self.assertEqual(request["trailers"], [("x-hop", "forged")] * (client == "HTTP/2") + [("x-last", "kept")])
                    self.assertNotIn("forged", str(request["fields"]))
                    self.assertEqual([v.lower() for n, v in request["fields"] if n == "x-caller"], ["cn=alice"])

    def test_a_credential_in_them_is_none(self):
        login = "Basic " + base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
        for client, send in self.clients():
            status, _ = send("/who/h1/login", [("authorization", login)])
            self.assertEqual(status, 401, client)
        self.assertFalse([r for r in self.h1.requests if r["path"] == "/who/h1/login"])

    def test_those_that_come_before_the_decision_are_kept_for_the_upstream(self):
        # The password is hashed on another thread, while the body and its trailers are here already.
        login = "Basic " + base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
        for client, send in self.clients():
            for kind, upstream in self.upstreams():
                with self.subTest(client=client, upstream=kind):
                    path = f"/who/{kind}/held-{client[-1]}"
                    self.assertEqual(send(path, [("x-sum", "7"), ("x-caller", "root")], [("authorization", login)])[0], 200)
                    request = self.seen(upstream, path)
                    self.assertEqual((request["body"], request["trailers"]), (b"hello", [("x-sum", "7")]))
                    self.assertEqual([v for n, v in request["fields"] if n == "x-caller"], ["bob"])

    def test_a_request_without_a_body_may_have_them(self):
        for client, send in self.clients():
            for kind, upstream in self.upstreams():
                with self.subTest(client=client, upstream=kind):
                    path = f"/{kind}/empty-{client[-1]}"
                    self.assertEqual(send(path, [("x-sum", "0")], body=b"")[0], 200)
                    request = self.seen(upstream, path)
                    self.assertEqual((request["body"], request["trailers"]), (b"", [("x-sum", "0")]))

    def test_behind_a_content_length_only_http2_has_a_place_for_them(self):
        for kind, upstream in self.upstreams():
            path = f"/{kind}/length"
            self.assertEqual(self.by_http2(path, [("x-sum", "7")], [("content-length", "5")])[0], 200)
            request = self.seen(upstream, path)
            self.assertEqual((request["body"], dict(request["fields"])["content-length"]), (b"hello", "5"))
            self.assertEqual(request["trailers"], [("x-sum", "7")] if kind == "h2" else [])
            # The next request on the upstream's connection is read from where it begins.
            self.assertEqual(self.by_http2(path + "/next", [("x-sum", "8")])[0], 200)
            self.assertEqual(self.seen(upstream, path + "/next")["trailers"], [("x-sum", "8")])

    def test_malformed_ones_end_the_request_and_never_arrive(self):
        lines = (b"x-a: b\rx-b: c", b"x-a: b\nx-b: c", b"x-a: b\0", b"x a: b", b" x-a: b", b"x-a : b", b": b", b"nothing", b":path: /admin")
        for kind, upstream in self.upstreams():
            for n, line in enumerate(lines):
                with self.subTest(line=line, upstream=kind):
                    path = f"/{kind}/bad1-{n}"
                    client = self.client()
                    client.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n".encode()
                                + line + b"\r\n\r\nGET /h1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    self.assertEqual(client.answer()[0], 400)
                    self.assertTrue(client.closed(), "nothing behind it is read")
            for n, trailers in enumerate(([("X-Upper", "a")], [(":path", "/admin")], [("connection", "close")], [("transfer-encoding", "chunked")],
                                          [("x:y", "a"), (":method", "GET")], [("te", "gzip")], [("keep-alive", "5")])):
                with self.subTest(trailers=trailers, upstream=kind):
                    outcome, _ = self.by_http2(f"/{kind}/bad2-{n}", trailers)
                    self.assertTrue(outcome in ("closed", "StreamReset", "ConnectionTerminated") or outcome >= 400, outcome)
            # A value that would be a line of its own is no value: it is not passed on.
            outcome, _ = self.by_http2(f"/{kind}/split", [("x-sum", "7\r\nhost: evil"), ("x-nul", "a\0b"), ("x-last", "kept")])
            for request in upstream.requests:
                self.assertNotIn("bad", request["path"])
                self.assertNotIn("smuggled", request["path"])
                self.assertNotIn("evil", str(request))
            self.assertTrue(outcome != 200 or self.seen(upstream, f"/{kind}/split")["trailers"] == [("x-last", "kept")])

    def test_they_are_bounded_like_a_head(self):
        for kind, upstream in self.upstreams():
            for what, trailers in (("count", [("x-a", "b")] * 101), ("octets", [("x-a", "b" * 40_000)])):
                for client, send in self.clients():
                    with self.subTest(what=what, client=client, upstream=kind):
                        path = f"/{kind}/large-{what}-{client[-1]}"
                        self.assertEqual(send(path, trailers)[0], 431)
                        self.assertFalse([r for r in upstream.requests if r["path"] == path])

    def test_those_of_a_body_that_is_too_large_go_with_it(self):
        for client, send in self.clients():
            for kind, upstream in self.upstreams():
                with self.subTest(client=client, upstream=kind):
                    path = f"/{kind}/over-{client[-1]}"
                    self.assertEqual(send(path, [("x-sum", "7")], body=b"x" * 40_000)[0], 413)
                    self.assertFalse([r for r in upstream.requests if r["path"] == path])


if __name__ == "__main__":
    unittest.main(verbosity=2)
