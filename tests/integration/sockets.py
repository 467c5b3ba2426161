"""WebSockets for the integration tests: clients over HTTP/1.1 and over HTTP/2 (RFC 8441), and an upstream that speaks them.

Frames and the client's handshake are wsproto's, HTTP/2 is h2's: nothing of this is Gatehouse's own reading of the standards.
"""
import base64
import hashlib
import itertools
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import wsproto
import wsproto.connection
import wsproto.events as ws

from harness import Acceptor, RawClient, client_context

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


class SocketUpstream(Acceptor):
    """Answers /echo with what it is sent, /tick with a message each 20 ms, /flood with as much as it can, /refuse with 403 and
    anything else with 200. Remembers each request with the number of its connection."""

    def __init__(self):
        self.requests, self.sockets, self.sent, self.received = [], 0, 0, 0
        self.numbers = itertools.count(1)
        self.stopped = False
        super().__init__()

    def close(self):
        self.stopped = True
        super().close()

    def serve(self, sock):
        number = next(self.numbers)
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                data = sock.recv(65536)
                if not data:
                    return
                buffer += data
            head, buffer = buffer.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
            path = lines[0].split()[1]
            self.requests.append({"path": path, "line": lines[0], "headers": fields, "connection": number})
            kind = path.split("?")[0].rsplit("/", 1)[-1]
            if fields.get("upgrade") != "websocket" or kind == "refuse":
                body = b"no" if kind == "refuse" else b"plain"
                status = b"403 Forbidden" if kind == "refuse" else b"200 OK"
                sock.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
                continue
            answer = getattr(self, "answer_" + kind, None)
            if answer is not None:
                return answer(sock, fields)
            sock.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Accept: {accept_of(fields['sec-websocket-key'])}\r\nSec-WebSocket-Protocol: chat\r\n\r\n").encode())
            self.sockets += 1
            try:
                return self.frames(sock, kind, buffer)
            finally:
                self.sockets -= 1

    def frames(self, sock, kind, buffer):
        frames = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)
        if kind == "flood":
            piece = frames.send(ws.Message(b"x" * 65536))
            while True:
                self.sent += sock.send(piece)
        if kind == "deaf":
            while not self.stopped:
                time.sleep(0.02)
            return
        if kind == "tick":
            threading.Thread(target=self.tick, args=(sock,), daemon=True).start()
        while True:
            frames.receive_data(buffer)
            for event in frames.events():
                if isinstance(event, (ws.TextMessage, ws.BytesMessage)) and kind == "echo":
                    self.received += len(event.data)
                    sock.sendall(frames.send(type(event)(data=event.data, message_finished=event.message_finished)))
                elif isinstance(event, ws.Ping):
                    sock.sendall(frames.send(event.response()))
                elif isinstance(event, ws.CloseConnection):
                    sock.sendall(frames.send(event.response()))
                    return
            buffer = sock.recv(65536)
            if not buffer:
                return

    def tick(self, sock):
        frames = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)
        try:
            while not self.stopped:
                sock.sendall(frames.send(ws.TextMessage("tick")))
                time.sleep(0.02)
        except OSError:
            pass


class SocketUpstream2(Acceptor):
    """The same over HTTP/2 with prior knowledge (RFC 8441), many WebSockets a connection. /end ends its side at once, /reset resets
    the stream after the first message. With `connect` false it does not say that it takes an extended CONNECT."""

    def __init__(self, connect=True):
        self.requests, self.resets, self.ended = [], [], []
        self.connect = connect
        self.numbers = itertools.count(1)
        self.stopped = False
        super().__init__()

    def close(self):
        self.stopped = True
        super().close()

    def serve(self, sock):
        number = next(self.numbers)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: int(self.connect), h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        connection.initiate_connection()
        lock, streams, waiting = threading.Lock(), {}, {}

        def flush():
            for stream, data in list(waiting.items()):
                while data:
                    room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size, len(data))
                    if room <= 0:
                        break
                    connection.send_data(stream, data[:room])
                    data = data[room:]
                waiting[stream] = data
            sock.sendall(connection.data_to_send())

        def send(stream, data):
            waiting[stream] = waiting.get(stream, b"") + data
            flush()

        def tick(stream):
            frames = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)
            while not self.stopped:
                with lock:
                    if stream not in streams:
                        return
                    try:
                        send(stream, frames.send(ws.TextMessage("tick")))
                    except (OSError, h2.exceptions.H2Error):
                        return
                time.sleep(0.02)

        def begin(stream, headers):
            fields = dict(headers)
            self.requests.append({"path": fields[":path"], "headers": fields, "connection": number})
            kind = fields[":path"].split("?")[0].rsplit("/", 1)[-1]
            if fields.get(":protocol") != "websocket" or kind == "refuse":
                connection.send_headers(stream, [(":status", "403" if kind == "refuse" else "200")])
                connection.send_data(stream, b"no" if kind == "refuse" else b"plain", end_stream=True)
                return
            connection.send_headers(stream, [(":status", "200"), ("sec-websocket-protocol", "chat")])
            streams[stream] = (kind, wsproto.connection.Connection(wsproto.ConnectionType.SERVER))
            if kind == "tick":
                threading.Thread(target=tick, args=(stream,), daemon=True).start()
            if kind == "end":
                connection.end_stream(stream)

        def receive(stream, data):
            kind, frames = streams[stream]
            frames.receive_data(data)
            for event in frames.events():
                if kind == "reset":
                    connection.reset_stream(stream, 2)
                    streams.pop(stream)
                    return
                if isinstance(event, (ws.TextMessage, ws.BytesMessage)) and kind == "echo":
                    send(stream, frames.send(type(event)(data=event.data, message_finished=event.message_finished)))
                elif isinstance(event, ws.Ping):
                    send(stream, frames.send(event.response()))
                elif isinstance(event, ws.CloseConnection) and kind != "end":
                    send(stream, frames.send(event.response()))
                    connection.end_stream(stream)
                    streams.pop(stream)
                    return

        sock.sendall(connection.data_to_send())
        while data := sock.recv(65536):
            with lock:
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        begin(event.stream_id, event.headers)
                    elif isinstance(event, h2.events.DataReceived):
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        if event.stream_id in streams:
                            receive(event.stream_id, event.data)
                    elif isinstance(event, h2.events.StreamReset):
                        self.resets.append(event.error_code)
                        streams.pop(event.stream_id, None)
                        waiting.pop(event.stream_id, None)
                    elif isinstance(event, h2.events.StreamEnded):
                        self.ended.append(event.stream_id)
                flush()


class Refused(Exception):
    def __init__(self, status, body=b""):
        super().__init__(status)
        self.status, self.body = status, body


class Socket1:
    """A WebSocket over HTTP/1.1."""

    def __init__(self, test, cert, path, headers=(), host="localhost"):
        self.client = RawClient(test.port, client_context(test.pki, cert))
        test.addCleanup(self.client.close)
        self.frames = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.client.send(self.frames.send(ws.Request(host=host, target=path, subprotocols=["chat"], extra_headers=list(headers))))
        self.events = []
        self.accepted = None
        while self.accepted is None:
            data = self.client.sock.recv(65536)
            if not data:
                raise Refused(0)
            self.feed(data)

    def feed(self, data):
        self.frames.receive_data(data)
        for event in self.frames.events():
            if isinstance(event, ws.AcceptConnection):
                self.accepted = event
            elif isinstance(event, ws.RejectConnection):
                raise Refused(event.status_code)
            else:
                self.events.append(event)

    def send(self, event):
        self.client.send(self.frames.send(event))

    def read(self):
        """One more read. False: the connection has ended."""
        try:
            data = self.client.sock.recv(65536)
        except ConnectionResetError:
            return False
        if data:
            self.feed(data)
        return bool(data)

    def message(self):
        """The next whole message."""
        whole = None
        while True:
            while self.events:
                event = self.events.pop(0)
                if isinstance(event, ws.Message):
                    whole = event.data if whole is None else whole + event.data
                    if event.message_finished:
                        return whole
                elif isinstance(event, ws.CloseConnection):
                    raise ConnectionError("close frame")
            if not self.read():
                raise ConnectionError("ended")

    def cut(self, seconds):
        """True when it is ended by the other side within the time."""
        end = time.monotonic() + seconds
        self.client.sock.settimeout(0.2)
        while time.monotonic() < end:
            try:
                if not self.read():
                    return True
            except TimeoutError:
                pass
            self.events.clear()
        return False

    def assert_runs(self, messages=10):
        self.client.sock.settimeout(10)
        self.events.clear()
        for _ in range(messages):
            self.message()

    def close(self):
        self.client.close()


class Socket2(Socket1):
    """A WebSocket on a stream of an HTTP/2 connection."""

    def __init__(self, test, cert, path, headers=(), host="localhost", protocol="websocket"):
        self.client = RawClient(test.port, client_context(test.pki, cert, ["h2"]))
        test.addCleanup(self.client.close)
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()
        self.client.send(self.h2.data_to_send())
        self.frames = wsproto.connection.Connection(wsproto.ConnectionType.CLIENT)
        self.events, self.accepted, self.body, self.reset = [], None, b"", None
        self.ended = self.gone = False
        self.raw = b""
        while self.h2.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL) != 1:
            if not self.read():
                raise ConnectionError("no settings")
        self.stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(self.stream, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":path", path),
                                           (":authority", host), ("sec-websocket-version", "13"),
                                           ("sec-websocket-protocol", "chat"), *headers])
        self.client.send(self.h2.data_to_send())
        while self.accepted is None:
            if not self.read():
                raise Refused(0)
        status = int(self.accepted[":status"])
        if status != 200:
            while not self.ended and self.read():
                pass
            raise Refused(status, self.body)

    def read(self):
        if self.reset is not None or self.ended or self.gone:
            return False
        data = self.client.sock.recv(65536)
        if not data:
            self.gone = True
            return False
        for event in self.h2.receive_data(self.without_goaway(data)):
            if isinstance(event, h2.events.ResponseReceived):
                self.accepted = {(k if isinstance(k, str) else k.decode()): (v if isinstance(v, str) else v.decode())
                                 for k, v in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if self.accepted[":status"] != "200":
                    self.body += event.data
                elif event.data:
                    self.frames.receive_data(event.data)
                    self.events.extend(self.frames.events())
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
            elif isinstance(event, h2.events.StreamReset):
                self.reset = event.error_code
        self.client.send(self.h2.data_to_send())
        return True

    def without_goaway(self, data):
        """h2 takes no frame any more after GOAWAY, but the streams that run go on."""
        self.raw += data
        passed = b""
        while len(self.raw) >= 9 and len(self.raw) >= 9 + int.from_bytes(self.raw[:3], "big"):
            end = 9 + int.from_bytes(self.raw[:3], "big")
            if self.raw[3] != 7:
                passed += self.raw[:end]
            self.raw = self.raw[end:]
        return passed

    def send(self, event):
        data = self.frames.send(event)
        while data:
            room = min(self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size, len(data))
            if room == 0:
                if not self.read():
                    raise ConnectionError("ended")
                continue
            self.h2.send_data(self.stream, data[:room])
            data = data[room:]
            self.client.send(self.h2.data_to_send())

    def end(self):
        self.h2.end_stream(self.stream)
        self.client.send(self.h2.data_to_send())
