#!/usr/bin/python3
"""The edge: load balancers that introduce their clients, the listener that only redirects, limits of connections and of time,
descriptors that run out, and a thousand clients that are slow."""
import pathlib
import re
import resource
import socket
import struct
import subprocess
import time
import unittest
import urllib.request

import h2.connection
import h2.events

from harness import EDGE, Acceptor, EventWatch, GatehouseTest, RawClient, client_context, free_port, wait_for
from sockets import Socket1, Socket2, SocketUpstream

CONFIG = EDGE + """---
{{kind: Listener, name: behind, address: "127.0.0.1:{behind}", server_certificates: [server], proxy_protocol_from: ["127.0.0.0/8"],
  limits: {{handshake_timeout: 2s, max_connections_per_address: 3}}}}
---
{{kind: Listener, name: apart, address: "127.0.0.1:{apart}", server_certificates: [server], proxy_protocol_from: ["10.0.0.0/8", "2001:db8::/32"]}}
---
{{kind: Listener, name: brisk, address: "127.0.0.1:{brisk}", server_certificates: [server], limits: {{request_timeout: 1s}}}}
---
{{kind: Listener, name: few, address: "127.0.0.1:{few}", server_certificates: [server], limits: {{max_connections: 4}}}}
---
{{kind: Listener, name: plain, address: "127.0.0.1:{plain}", redirect_only: {{}}, limits: {{max_connections_per_address: 20, header_timeout: 1s}}}}
---
{{kind: Listener, name: plain-port, address: "127.0.0.1:{plain_port}", redirect_only: {{status: 301, port: 8443}},
  proxy_protocol_from: ["127.0.0.1"]}}
---
{{kind: Upstream, name: app, endpoints: ["127.0.0.1:{upstream}"]}}
---
{{kind: Upstream, name: sockets, endpoints: ["127.0.0.1:{sockets}"], max_connections: 1000}}
---
{{kind: Policy, name: guests, condition: {{address: {{ranges: ["192.0.2.0/24"]}}}}}}
---
{{kind: TrustStore, name: clients, anchors: [{{file: {pki}/ca.pem}}]}}
---
{{kind: Scheme, name: Certificate, client_certificate: {{trust_store: clients}}}}
---
{{kind: Route, name: app, match: {{path: "/app/{{rest...}}"}}, anonymous: true, upstream: app}}
---
{{kind: Route, name: guests, match: {{path: /guests}}, require: {{any_of: [Certificate], policies: [guests]}}, fixed_response: {{body: in}}}}
---
{{kind: Route, name: fixed, match: {{path: /fixed}}, anonymous: true, fixed_response: {{body: here}}}}
---
{{kind: Upstream, name: interim, endpoints: ["127.0.0.1:{interim}"]}}
---
{{kind: Route, name: interim, match: {{path: "/interim/{{rest...}}"}}, anonymous: true, upstream: interim}}
---
{{kind: Route, name: ws, match: {{path: "/ws/{{rest...}}"}}, anonymous: true, upstream: sockets, websocket: true}}
"""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version2(client, port=1234, command=0x21, tlvs=b""):
    packed = socket.inet_pton(socket.AF_INET6 if ":" in client else socket.AF_INET, client)
    family = 0x21 if ":" in client else 0x11
    body = packed + packed + struct.pack("!HH", port, 443) + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def version1(client, port=1234):
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {client} {port} 443\r\n".encode()


class Introduced(RawClient):
    """A client behind a load balancer that sends `header` first."""

    def __init__(self, port, context, header, pieces=1, timeout=10):
        raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        step = max(1, len(header) // pieces)
        for at in range(0, len(header), step):
            raw.sendall(header[at:at + step])
            if pieces > 1:
                time.sleep(0.002)
        self.buffer = b""
        self.sock = context.wrap_socket(raw, server_hostname="localhost")


class InterimUpstream(Acceptor):
    """Answers /hints with interim answers, a body in chunks and trailers, /many with too many interim ones, and HEAD without a body."""

    def serve(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                return
            head += data
        hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: a=b\r\nConnection: x\r\n\r\n"
        if b"/many" in head:
            sock.sendall(hint * 30)
        else:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + hint)
            time.sleep(0.3)
        if head.startswith(b"HEAD"):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        else:
            sock.sendall(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"5\r\nhello\r\n0\r\nX-Sum: 7\r\nConnection: y\r\n\r\n")
        sock.recv(1)


class EdgeTest(GatehouseTest):
    options = ("--metrics-address", "127.0.0.1:0")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.ca("ca")
        cls.pki.server()
        cls.pki.leaf("alice", "ca")
        cls.sockets = SocketUpstream()
        cls.interim = InterimUpstream()
        cls.ports = {name: free_port() for name in ("behind", "apart", "brisk", "few", "plain", "plain_port")}
        cls.gatehouse.apply(CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port, sockets=cls.sockets.port, interim=cls.interim.port,
                                          **cls.ports))

    def metric(self, name, gatehouse=None):
        gatehouse = gatehouse or self.gatehouse
        url = re.search(r"gatehouse: metrics (http://\S+)/metrics", (gatehouse.folder / "gatehouse.out").read_text())[1]
        with urllib.request.urlopen(url + "/metrics") as answer:
            return sum(float(line.split()[-1]) for line in answer.read().decode().splitlines() if line.split("{")[0].split(" ")[0] == name)

    def introduced(self, header, cert=None, port="behind", **options):
        client = Introduced(self.ports[port], client_context(self.pki, cert), header, **options)
        self.addCleanup(client.close)
        return client

    # PROXY protocol

    def test_the_client_is_whom_the_load_balancer_introduces(self):
        for name, header in {"version 1": version1("192.0.2.7"), "version 2": version2("192.0.2.7", tlvs=b"\x04\x00\x02\0\0"),
                             "version 1, IPv6": version1("2001:db8::7"), "version 2, IPv6": version2("2001:db8::7")}.items():
            with self.subTest(name), EventWatch(self.gatehouse, "--type", "DECISION") as watch:
                address = "2001:db8::7" if "IPv6" in name else "192.0.2.7"
                client = self.introduced(header, "alice")
                self.assertEqual(client.get("/app/told")[0], 200)
                fields = {k.lower(): v for k, v in self.upstream.requests[-1]["headers"]}
                self.assertEqual(fields["x-forwarded-for"], address, "the upstream")
                event = watch.wait(lambda e: e["request"]["path"] == "/app/told")
                self.assertEqual(event["peer"], f"[{address}]:1234" if ":" in address else f"{address}:1234", "the event")
                self.assertEqual(client.get("/guests")[0], 403 if ":" in address else 200, "a policy over addresses")
                client.close()

    def test_it_may_come_in_pieces_and_together_with_the_handshake(self):
        for header in (version1("192.0.2.8"), version2("192.0.2.8", tlvs=b"\x04\x0f\xa0" + b"\0" * 4000)):
            client = self.introduced(header, "alice", pieces=20)
            self.assertEqual(client.get("/guests")[0], 200)
            client.close()

    def test_who_speaks_for_itself_is_the_client(self):
        for header in (SIGNATURE + b"\x20\x00\x00\x00", version2("192.0.2.9", command=0x20), b"PROXY UNKNOWN\r\n"):
            client = self.introduced(header, "alice")
            self.assertEqual(client.get("/guests")[0], 403)
            client.close()

    def test_it_is_demanded(self):
        with EventWatch(self.gatehouse, "--type", "HANDSHAKE") as watch:
            with self.assertRaises(OSError):
                RawClient(self.ports["behind"], client_context(self.pki), timeout=5)
            event = watch.wait(lambda e: "PROXY" in e.get("detail", ""))
            self.assertEqual((event["outcome"], event["reason"]), ("REFUSED", "HANDSHAKE_FAILED"))
        for wrong in (b"PROXY TCP4 1.2.3.4 1.2.3.4 70000 1\r\n", b"PROXY TCP4 x y 1 1\r\n", SIGNATURE + b"\x21\x12\x00\x0c" + b"\0" * 12,
                      SIGNATURE + b"\x21\x11\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"PROXY " + b"x" * 200):
            with socket.create_connection(("127.0.0.1", self.ports["behind"]), timeout=5) as sock:
                sock.sendall(wrong)
                try:
                    self.assertEqual(sock.recv(10), b"", wrong)
                except ConnectionResetError:
                    pass

    def test_it_must_come_in_the_handshakes_time(self):
        with socket.create_connection(("127.0.0.1", self.ports["behind"]), timeout=8) as sock:
            sock.sendall(b"PROXY TCP4 192.0.2.1")
            start = time.monotonic()
            self.assertEqual(sock.recv(10), b"")
            self.assertTrue(1.5 < time.monotonic() - start < 5)

    def test_from_anywhere_else_its_octets_are_no_tls(self):
        client = RawClient(self.ports["apart"], client_context(self.pki, "alice"))
        self.assertEqual(client.get("/guests")[0], 403)
        client.close()
        with self.assertRaises(OSError):
            Introduced(self.ports["apart"], client_context(self.pki, "alice"), version1("192.0.2.1"), timeout=5)

    # limits

    def test_connections_of_one_address_are_limited_and_those_of_others_are_not(self):
        def opens(address):
            client = self.introduced(version2(address))
            self.assertEqual(client.get("/fixed")[0], 200)
            return client

        def refused(address):
            try:
                Introduced(self.ports["behind"], client_context(self.pki), version2(address), timeout=5).close()
            except OSError:
                return True
            return False

        held = [opens("198.51.100.1") for _ in range(3)]
        before = self.metric("gatehouse_connections_refused_total")
        self.assertTrue(refused("198.51.100.1"))
        self.assertEqual(self.metric("gatehouse_connections_refused_total"), before + 1)
        opens("198.51.100.2").close()
        held.pop().close()
        wait_for("a place is free again", lambda: not refused("198.51.100.1"))
        for client in held:
            self.assertEqual(client.get("/fixed")[0], 200, "who is in stays in")
        # An IPv6 client has a whole /64.
        six = [opens(f"2001:db8:1::{n}") for n in range(1, 4)]
        self.assertTrue(refused("2001:db8:1::99"))
        opens("2001:db8:1:1::1").close()
        for client in held + six:
            client.close()

    def test_connections_of_a_listener_are_limited(self):
        held = [self.client(port=self.ports["few"]) for _ in range(4)]
        with EventWatch(self.gatehouse, "--type", "GATEWAY") as watch:
            with self.assertRaises(OSError):
                RawClient(self.ports["few"], client_context(self.pki), timeout=5)
            watch.wait(lambda e: "connections were closed" in e.get("detail", ""), 15)
        for client in held:
            self.assertEqual(client.get("/fixed")[0], 200)
            client.close()

    def test_a_request_that_takes_too_long_is_ended(self):
        client = self.client(port=self.ports["brisk"])
        start = time.monotonic()
        self.assertEqual(client.get("/app/slow/5")[0], 504)
        self.assertTrue(0.8 < time.monotonic() - start < 3)
        client.close()
        streaming = self.client(port=self.ports["brisk"])
        streaming.send(b"GET /app/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertTrue(streaming.closed(4), "in the middle of its answer")
        self.assertEqual(self.client(port=self.ports["brisk"]).get("/app/slow/0.3")[0], 200)
        upload = self.client(port=self.ports["brisk"])
        upload.send(b"POST /app/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        self.assertEqual(upload.answer()[0], 408)

    def test_upgraded_connections_are_bounded_by_it_too(self):
        port, self.port = self.port, self.ports["brisk"]
        try:
            for kind in (Socket1, Socket2):
                start = time.monotonic()
                socket_ = kind(self, None, "/ws/tick")
                self.assertTrue(socket_.cut(4))
                self.assertGreater(time.monotonic() - start, 0.8)
        finally:
            self.port = port

    # interim answers and trailers

    def raw(self, request, until):
        client = self.client()
        client.send(request)
        data = b""
        while not data.endswith(until):
            piece = client.sock.recv(65536)
            self.assertTrue(piece, data)
            data += piece
        return data

    def test_early_hints_and_trailers_reach_a_client_of_http1(self):
        data = self.raw(b"GET /interim/hints HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n", b"0\r\nx-sum: 7\r\n\r\n")
        hints, answer = data.split(b"\r\n\r\n", 1)
        self.assertEqual(hints, b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload", "links, and nothing else")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
        self.assertNotIn(b"100 Continue", data)
        self.assertNotIn(b"102", data)
        old = self.raw(b"GET /interim/hints HTTP/1.0\r\nHost: h\r\n\r\n", b"hello")
        self.assertTrue(old.startswith(b"HTTP/1.1 200 OK\r\n"), "HTTP/1.0 knows no interim answers")

    def test_early_hints_and_trailers_reach_a_client_of_http2(self):
        client = self.client(alpn=["h2"])
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        connection.send_headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/interim/hints")],
                                end_stream=True)
        client.send(connection.data_to_send())
        got = []
        while not any(isinstance(e, h2.events.StreamEnded) for e in got):
            got += connection.receive_data(client.sock.recv(65536))
        text = lambda headers: {k.decode(): v.decode() for k, v in headers}
        hints, = [text(e.headers) for e in got if isinstance(e, h2.events.InformationalResponseReceived)]
        self.assertEqual(hints, {":status": "103", "link": "</a.css>; rel=preload"})
        trailers, = [text(e.headers) for e in got if isinstance(e, h2.events.TrailersReceived)]
        self.assertEqual(trailers, {"x-sum": "7"})
        self.assertEqual(b"".join(e.data for e in got if isinstance(e, h2.events.DataReceived)), b"hello")

    def test_interim_answers_without_end_are_an_error(self):
        with EventWatch(self.gatehouse, "--type", "DECISION") as watch:
            self.assertIn(b"HTTP/1.1 502", self.raw(b"GET /interim/many HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"}\n"))
            self.assertIn("too many interim", watch.wait(lambda e: e["request"]["path"] == "/interim/many")["detail"])

    def test_an_answer_to_head_has_no_body(self):
        client = self.client()
        client.send(b"HEAD /interim/x HTTP/1.1\r\nHost: h\r\n\r\n")
        while client.buffer.count(b"\r\n\r\n") < 2:
            client._fill()
        self.assertIn(b"content-length: 5000\r\n", client.buffer)
        self.assertTrue(client.buffer.endswith(b"\r\n\r\n"))
        client.buffer = b""
        self.assertEqual(client.get("/fixed")[::2], (200, b"here"), "the next answer follows at once")

    # redirects

    def plain(self, request, port="plain", header=b""):
        with socket.create_connection(("127.0.0.1", self.ports[port]), timeout=5) as sock:
            sock.sendall(header + request)
            data = b""
            while b"\r\n\r\n" not in data:
                piece = sock.recv(65536)
                if not piece:
                    break
                data += piece
        head = data.split(b"\r\n\r\n")[0].decode().split("\r\n")
        return int(head[0].split()[1]), {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:])}

    def test_every_request_is_sent_to_https(self):
        for request, location in {
                b"GET /a?b=c HTTP/1.1\r\nHost: Shop.Example:8080\r\n\r\n": "https://shop.example/a?b=c",
                b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc": "https://h/x",
                b"HEAD / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n": "https://[2001:db8::1]/",
                b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n": "https://h/",
                b"GET /fixed HTTP/1.0\r\nHost: h\r\n\r\n": "https://h/fixed",
                b"GET http://h/abs HTTP/1.1\r\nHost: h\r\n\r\n": "https://h/abs",
                b"GET /%2e%2e//x HTTP/1.1\r\nHost: h\r\n\r\n": None}.items():
            status, fields = self.plain(request)
            if location is not None:
                self.assertEqual((status, fields["location"]), (308, location), request)
            elif status == 308:
                self.assertTrue(fields["location"].startswith("https://h/"), fields)
        status, fields = self.plain(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "plain_port", version1("192.0.2.1"))
        self.assertEqual((status, fields["location"]), (301, "https://h:8443/a"))
        self.assertGreater(self.metric("gatehouse_redirects_total"), 5)

    def test_an_odd_host_is_no_place_to_be_sent_to(self):
        for host in (b"evil.example/", b"good@evil.example", b"a b", b"h\x00", b"\xc3\xa4.example", b"h:99999", b"h:x", b"", b"[::1", b"..",
                     b"evil.example\\x", b"h?x", b"h#x", b"a,b", b"%65vil"):
            status, fields = self.plain(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertEqual(status, 400, host)
            self.assertNotIn("location", fields)
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET //evil\r\n\r\n",
                        b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n\r\n"):
            self.assertEqual(self.plain(request)[0], 400, request)
        self.assertEqual(self.plain(b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")[0], 501)

    def test_it_serves_nothing_else_and_keeps_its_limits(self):
        status, _ = self.plain(b"GET /fixed HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        self.assertEqual(status, 308)
        with socket.create_connection(("127.0.0.1", self.ports["plain"]), timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 3)
            data = b""
            while data.count(b"308 Permanent Redirect") < 3:
                data += sock.recv(65536)
            sock.sendall(b"GET / HTTP/1.1\r\nHos")
            rest = b""
            while b"408" not in rest:
                rest += sock.recv(65536)
        held = [socket.create_connection(("127.0.0.1", self.ports["plain"]), timeout=5) for _ in range(20)]
        for sock in held:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            self.assertIn(b"308", sock.recv(1000))
        with socket.create_connection(("127.0.0.1", self.ports["plain"]), timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            try:
                self.assertEqual(sock.recv(100), b"")
            except ConnectionResetError:
                pass
        for sock in held:
            sock.close()

    def test_a_listener_may_become_one_and_cease_to_be(self):
        port = free_port()
        tls = f'{{kind: Listener, name: changing, address: "127.0.0.1:{port}", server_certificates: [server]}}'
        plain = f'{{kind: Listener, name: changing, address: "127.0.0.1:{port}", redirect_only: {{}}}}'
        self.gatehouse.apply(tls)
        client = self.client(port=port)
        self.assertEqual(client.get("/fixed")[0], 200)
        self.gatehouse.apply(plain)
        self.assertTrue(client.closed(5), "no request is served there any more")
        self.ports["changing"] = port
        sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.addCleanup(sock.close)
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertIn(b"location: https://h/x\r\n", sock.recv(1000))
        self.gatehouse.apply(tls)
        self.assertEqual(sock.recv(100), b"", "no redirect is given there any more")
        self.assertEqual(self.status("/fixed", port=port), 200)

    def test_what_makes_no_sense_together_is_refused(self):
        port = free_port()
        done = self.gatehouse.apply(f"""
{{kind: Listener, name: odd, address: "127.0.0.1:{port}", redirect_only: {{status: 200, port: 70000}}, server_certificates: [server],
  min_tls_version: TLS_1_3, proxy_protocol_from: ["10.0.0.1/8", "nonsense"]}}
---
{{kind: Route, name: odd, match: {{path: /odd}}, listeners: [plain], anonymous: true, fixed_response: {{body: x}}}}
""", check=False)
        self.assertNotEqual(done.returncode, 0)
        for said in ("redirect_only.status", "redirect_only.port", "server_certificates", "min_tls_version", "proxy_protocol_from[0]",
                     "proxy_protocol_from[1]", 'routes["odd"].listeners[0]'):
            self.assertIn(said, done.stderr + done.stdout)

    # many

    def test_a_thousand_slow_clients_cost_little_and_hold_up_nobody(self):
        def rss():
            status = pathlib.Path(f"/proc/{self.gatehouse.process.pid}/status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

        def busy(seconds):
            """How long the middle one of some requests took, one after the other."""
            client, took, end = self.client(), [], time.monotonic() + seconds
            while time.monotonic() < end:
                start = time.monotonic()
                self.assertEqual(client.get("/fixed")[0], 200)
                took.append(time.monotonic() - start)
            client.close()
            return sorted(took)[len(took) // 2]

        resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        before_time, before = busy(1), rss()
        slow = []
        context = client_context(self.pki)
        for i in range(1000):
            client = RawClient(self.port, context)
            slow.append(client)
            # A head, a body and an answer that do not go on, in turn.
            client.send((b"GET /fixed HTTP/1.1\r\nHost: h\r\nX-", b"POST /app/x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx",
                         b"GET /app/stream HTTP/1.1\r\nHost: h\r\n\r\n" if i % 90 == 2 else b"GET /fixed HTTP/1.1\r\n")[i % 3])
        after_time, after = busy(1), rss()
        print(f"median {before_time * 1e3:.1f} ms alone, {after_time * 1e3:.1f} ms among 1,000 slow clients; "
              f"{(after - before) / 1000:.1f} KiB each")
        self.assertLess((after - before) / 1000, 192)  # under a sanitizer too
        self.assertLess(after_time, max(10 * before_time, 0.05))
        # Heads and bodies run into their timeouts: nobody is there for ever.
        end = time.monotonic() + 60
        for i, client in enumerate(slow):
            if i % 90 != 2:
                self.assertTrue(client.closed(max(1, end - time.monotonic())), i)
            client.close()
        wait_for("all are gone", lambda: self.metric("gatehouse_connections_open") < 50)

    def test_hundreds_of_websockets_cost_little_and_leave_nothing(self):
        def rss():
            status = pathlib.Path(f"/proc/{self.gatehouse.process.pid}/status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

        open_before, before = self.metric("gatehouse_websockets_open"), rss()
        sockets = [kind(self, None, "/ws/tick") for _ in range(100) for kind in (Socket1, Socket2)]
        for socket_ in sockets:
            socket_.assert_runs(2)
        self.assertEqual(self.metric("gatehouse_websockets_open"), open_before + 200)
        print(f"{(rss() - before) / 200:.1f} KiB a WebSocket")
        self.assertLess((rss() - before) / 200, 192)
        for socket_ in sockets:
            socket_.close()
        wait_for("all are gone", lambda: self.metric("gatehouse_websockets_open") == open_before and self.sockets.sockets == 0)


class DescriptorsTest(GatehouseTest):
    options = ("--metrics-address", "127.0.0.1:0")
    metric = EdgeTest.metric

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki.server()
        cls.gatehouse.apply(f"""
kind: ServerCertificate
name: server
certificate_chain_file: {cls.pki.pem("server")}
private_key_file: {cls.pki.key("server")}
---
{{kind: Listener, name: edge, address: "127.0.0.1:{cls.port}", server_certificates: [server]}}
---
{{kind: Route, name: fixed, match: {{path: /fixed}}, anonymous: true, fixed_response: {{body: here}}}}
""")

    def ticks(self):
        return sum(map(int, pathlib.Path(f"/proc/{self.gatehouse.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))

    def test_when_descriptors_run_out_who_is_in_is_served_and_who_waits_gets_in_later(self):
        pid = self.gatehouse.process.pid
        inside = self.client()
        self.assertEqual(inside.get("/fixed")[0], 200)
        with EventWatch(self.gatehouse, "--type", "GATEWAY") as watch:
            used = len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
            subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={used + 8}:"], check=True)
            callers = [socket.create_connection(("127.0.0.1", self.port), timeout=10) for _ in range(40)]
            for caller in callers:
                caller.sendall(b"\x16\x03\x01\x00\xff")  # the beginning of a record: they hold what they have
            wait_for("descriptors are out", lambda: len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())) >= used + 8)
            before, start = self.ticks(), time.monotonic()
            while time.monotonic() < start + 1.5:
                self.assertEqual(inside.get("/fixed")[0], 200)
                time.sleep(0.05)
            self.assertLess(self.ticks() - before, 75, "half a core: it spins")
            watch.wait(lambda e: "descriptors" in e.get("detail", ""), 15)
            for caller in callers:
                caller.close()
        subprocess.run(["prlimit", "--pid", str(pid), "--nofile=1024:"], check=True)
        self.assertEqual(self.status("/fixed"), 200)
        self.assertGreater(self.metric("gatehouse_accept_pauses_total"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
