#!/usr/bin/python3
"""WebSockets that come and go in every way, against upstreams that answer anything, while the permission is given and taken: the
gateway stays, serves others, and nothing of it is left."""
import pathlib
import random
import re
import socket
import struct
import threading
import time
import unittest
import urllib.request

import h2.exceptions
import wsproto.events as ws
import wsproto.utilities

from harness import GatehouseTest, RawClient, client_context, wait_for
from sockets import Refused, Socket1, Socket2, SocketUpstream
from websocket_test import CONFIG, RawUpstream, ask

SECONDS = 8
CALLERS = 8


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class WebSocketChurnTest(GatehouseTest):
    options = ("--metrics-address", "127.0.0.1:0")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream.close()
        cls.upstream = SocketUpstream()
        cls.raw = RawUpstream()
        for ca in ("ca", "other"):
            cls.pki.ca(ca)
        cls.pki.server()
        cls.pki.leaf("alice", "ca")
        cls.pki.leaf("mallory", "other")
        cls.config = CONFIG.format(pki=cls.pki.folder, port=cls.port, upstream=cls.upstream.port, raw=cls.raw.port)
        cls.gatehouse.apply(cls.config)

    def metric(self, name):
        url = re.search(r"gatehouse: metrics (http://\S+)/metrics", (self.folder / "gatehouse.out").read_text())[1]
        with urllib.request.urlopen(url + "/metrics") as answer:
            return next(float(line.split()[1]) for line in answer.read().decode().splitlines() if line.startswith(name + " "))

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.gatehouse.process.pid}/fd").iterdir()))

    def plain_socket(self, rng):
        """An upgrade by hand that is left in the middle."""
        client = RawClient(self.port, client_context(self.pki, "alice"), timeout=2)
        try:
            client.send(ask(rng.choice(["/ws/x/echo", "/ws/x/flood", "/raw/x"])) + b"z" * rng.randrange(3000))
            if rng.random() < 0.5:
                client.sock.recv(100)
            if rng.random() < 0.3:
                socket.socket.shutdown(client.sock, socket.SHUT_WR)
                client.sock.settimeout(1)
                client.sock.recv(65536)
        finally:
            (reset if rng.random() < 0.3 else socket.socket.close)(client.sock)

    def web_socket(self, rng):
        """A WebSocket that says a little, and ends in some way."""
        path = rng.choice(["/ws/x/echo", "/ws/x/tick", "/ws/x/flood", "/ws/x/deaf", "/ws/x/refuse", "/raw/q"])
        socket_ = rng.choice([Socket1, Socket2])(self, rng.choice(["alice", "mallory", None]), path)
        try:
            socket_.client.sock.settimeout(0.5)
            for _ in range(rng.randrange(5)):
                socket_.send(ws.BytesMessage(b"x" * rng.randrange(70_000)))
                if rng.random() < 0.7:
                    socket_.read()
            if isinstance(socket_, Socket2):
                rng.choice([socket_.end, lambda: socket_.h2.reset_stream(socket_.stream), lambda: None])()
                socket_.client.send(socket_.h2.data_to_send())
        finally:
            socket_.close()

    def test_nothing_is_left(self):
        end = time.monotonic() + SECONDS
        done, unexpected = [0], []
        answers = [self.raw.switch, lambda f: self.raw.switch(f) + b"x" * 100_000, lambda f: b"", lambda f: b"HTTP/1.1 101 x\r\n\r\n",
                   lambda f: b"HTTP/1.1 200 OK\r\n\r\nabc", lambda f: b"HTTP/1.1 403 x\r\nContent-Length: 1\r\n\r\nn"]

        def call(seed):
            rng = random.Random(seed)
            while time.monotonic() < end:
                done[0] += 1
                try:
                    (self.plain_socket if rng.random() < 0.4 else self.web_socket)(rng)
                except (Refused, OSError, h2.exceptions.ProtocolError, wsproto.utilities.ProtocolError):
                    pass  # what ends in the middle ends in any of these
                except Exception as error:  # pylint: disable=broad-except
                    unexpected.append(repr(error))

        def hang_up():
            rng = random.Random(1)
            while time.monotonic() < end:
                while self.raw.sockets:
                    rng.choice([reset, socket.socket.close])(self.raw.sockets.pop())
                self.raw.answer = rng.choice(answers)
                time.sleep(0.05)

        def change():
            allowed = False
            while time.monotonic() < end:
                self.gatehouse.apply(self.config.replace("websocket: true", f"websocket: {str(allowed).lower()}", 1))
                allowed = not allowed

        before = self.descriptors()
        threads = [threading.Thread(target=call, args=(seed,)) for seed in range(CALLERS)]
        threads += [threading.Thread(target=hang_up), threading.Thread(target=change)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(unexpected, [])
        while self.raw.sockets:
            self.raw.sockets.pop().close()
        self.gatehouse.apply(self.config)
        self.doCleanups()  # connections of clients that were refused
        for name in ("gatehouse_websockets_open", "gatehouse_streams_open", "gatehouse_connections_open"):
            wait_for(f"{name} is 0", lambda name=name: self.metric(name) == 0, 30)
        print(f"{done[0]} attempts, {self.metric('gatehouse_websockets_total'):.0f} of them became WebSockets")
        self.assertGreater(self.metric("gatehouse_websockets_total"), 10)
        wait_for("their descriptors are closed", lambda: self.descriptors() < before + 30)
        self.assertEqual(self.status("/fixed"), 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
